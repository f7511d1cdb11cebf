"""OFConnections on sockets: one read and write pump, reconnection and probes by ovs.reconnect.

`Peer` is one live connection with what the switch has to remember of it (role, configuration,
asynchronous message masks); it ends with its socket.  `Controller` (active) keeps making new
Peers for one target, `Service` (passive) accepts any number of them.
"""

import errno
import os
from collections.abc import Callable

import ovs.reconnect
import ovs.stream
import ovs.vlog

from ofproto.codec.numbers import (
    OF14,
    OFPPR_ADD,
    OFPPR_DELETE,
    OFPPR_MODIFY,
    OFPR_ACTION,
    OFPR_ACTION_SET,
    OFPR_GROUP,
    OFPR_INVALID_TTL,
    OFPR_NO_MATCH,
    OFPR_PACKET_OUT,
    OFPRR_DELETE,
    OFPRR_EVICTION,
    OFPRR_GROUP_DELETE,
    OFPRR_HARD_TIMEOUT,
    OFPRR_IDLE_TIMEOUT,
    OFPRR_METER_DELETE,
)
from pyvs import clock

from . import streams
from .connection import CLOSED, RUNNING, OFConnection
from .packet_in import RateLimiter

vlog = ovs.vlog.Vlog("rconn")

RECV_SIZE = 64 << 10
READS_PER_RUN = 4
MAX_PEERS_PER_SERVICE = 128
DEFAULT_PROBE = 5000  # ms

ROLE_OTHER, ROLE_MASTER, ROLE_SLAVE = "other", "master", "slave"

# Reasons, as bit numbers: asynchronous messages are masked by them.

DEFAULT_MISS_SEND_LEN = 128


def _bits(*numbers: int) -> int:
    return sum(1 << number for number in numbers)


def default_async(receives_nothing: bool = False) -> dict[str, dict[bool, int]]:
    """Masks of reasons by message kind and by whether the peer is a slave (OpenFlow 1.3 6.3.4)."""
    if receives_nothing:
        return {kind: {False: 0, True: 0} for kind in ("packet_in", "port_status", "flow_removed")}
    return {
        "packet_in": {
            False: _bits(OFPR_NO_MATCH, OFPR_ACTION, OFPR_ACTION_SET, OFPR_GROUP, OFPR_PACKET_OUT),
            True: 0,
        },
        "port_status": {
            False: _bits(OFPPR_ADD, OFPPR_DELETE, OFPPR_MODIFY),
            True: _bits(OFPPR_ADD, OFPPR_DELETE, OFPPR_MODIFY),
        },
        "flow_removed": {
            False: _bits(
                OFPRR_IDLE_TIMEOUT,
                OFPRR_HARD_TIMEOUT,
                OFPRR_DELETE,
                OFPRR_GROUP_DELETE,
                OFPRR_METER_DELETE,
                OFPRR_EVICTION,
            ),
            True: 0,
        },
    }


class Peer:
    """A live connection.  `primary`: a controller, that gets asynchronous messages unasked.

    `fsm` is the ovs.reconnect machine that watches it; a Controller's outlives its Peers.
    """

    def __init__(self, name: str, stream, allowed, fsm, config):
        self.name = name
        self.stream = stream
        self.fsm = fsm
        self.primary = is_primary(config)
        self.connection = OFConnection(allowed)
        self.role = ROLE_OTHER
        self.miss_send_len = DEFAULT_MISS_SEND_LEN if self.primary else 0
        self.invalid_ttl = False
        self.controller_id = 0
        self.packet_in_format = "standard"
        self.flow_mod_table_id = False
        self.flow_format = "openflow10"
        self.async_masks = default_async(not config.enable_async_messages)
        self.scheduler: RateLimiter | None = None
        self.handshake_done = False
        self.last_error = 0
        self._more = False
        self._dead = False
        self.reconfigure(config)

    def reconfigure(self, config) -> None:
        """Take over what may change while connected; what a rate limiter holds stays in it."""
        self.primary = is_primary(config)
        self.fsm.set_probe_interval(probe_interval(config))
        rate = config.controller_rate_limit
        if not rate:
            self.scheduler = None
            return
        burst = config.controller_burst_limit or rate
        if self.scheduler is None:
            self.scheduler = RateLimiter(rate, burst, config.controller_queue_size)
        else:
            self.scheduler.reconfigure(rate, burst, config.controller_queue_size)

    @property
    def version(self) -> int | None:
        return self.connection.version

    @property
    def alive(self) -> bool:
        """False once it has to be closed and forgotten."""
        if self._dead:
            return False
        return self.connection.state is not CLOSED or self.connection.has_output

    @property
    def running(self) -> bool:
        return not self._dead and self.connection.state is RUNNING

    def wants(self, kind: str, reason: int) -> bool:
        """Whether an asynchronous message of this kind and reason is for this peer."""
        if not self.running:
            return False
        # A service connection asks for them by setting a miss_send_len.
        if not self.primary and not self.miss_send_len:
            return False
        if kind == "packet_in" and reason == OFPR_INVALID_TTL and self.invalid_ttl:
            return self.role != ROLE_SLAVE
        reasons = self.async_masks[kind][self.role == ROLE_SLAVE]
        if kind == "flow_removed" and reason == OFPRR_METER_DELETE and self.version < OF14:
            reasons |= reasons >> OFPRR_DELETE << reason  # the message will say that it was deleted
        return bool(reasons >> reason & 1)

    def reply(self, request, message) -> None:
        """Answer a decoded message with another, under its transaction id."""
        self.connection.send(message.encode(self.version, request.xid))

    def run(self, now: int) -> None:
        """Read and write what the socket takes; probes."""
        self._probe(now)
        self._read(now)
        self.write()

    def note_handshake(self, now: int) -> None:
        """After messages were handled: tell the machine when the handshake is done."""
        if self.running and not self.handshake_done:
            self.handshake_done = True
            self.fsm.connected(now)

    def _probe(self, now: int) -> None:
        if not self.handshake_done:
            return
        action = self.fsm.run(now)
        if action == ovs.reconnect.PROBE:
            self.connection.probe()
        elif action == ovs.reconnect.DISCONNECT:
            self._die(errno.ETIMEDOUT)

    def _read(self, now: int) -> None:
        self._more = False
        for _ in range(READS_PER_RUN):
            if self._dead or not self.connection.wants_input:
                return
            error, data = self.stream.recv(RECV_SIZE)
            if error == errno.EAGAIN:
                self.fsm.receive_attempted(now)
                return
            if error or not data:
                self._die(error or ovs.reconnect.EOF)
                return
            self.connection.receive(data)
            if self.handshake_done:
                self.fsm.activity(now)
            self.fsm.receive_attempted(now)
        self._more = True

    def write(self) -> None:
        """Write until the socket is full.  A closed connection's last words have this one try."""
        while not self._dead:
            data = self.connection.pull()
            if not data:
                return
            sent = self.stream.send(data)
            if sent < 0:
                self.connection.unpull(data)
                if sent != -errno.EAGAIN or self.connection.state is CLOSED:
                    self._die(-sent)
                return
            if sent < len(data):
                self.connection.unpull(data[sent:])

    def _die(self, error: int) -> None:
        self._dead = True
        self.last_error = error

    def wait(self, poller) -> None:
        if (
            not self.alive
            or self.connection.has_input
            or (self._more and self.connection.wants_input)
        ):
            poller.immediate_wake()
            return
        self.stream.run_wait(poller)
        if self.connection.wants_input:
            self.stream.recv_wait(poller)
        if self.connection.has_output:
            self.stream.send_wait(poller)
        if self.handshake_done:
            self.fsm.wait(poller, clock.msec())

    def close(self) -> None:
        """Drop the socket; what is still queued is lost."""
        self._dead = True
        self.stream.close()

    def close_reason(self) -> int:
        """An errno, or ovs' EOF, or 0."""
        if self.connection.error:
            return errno.EPROTO
        return self.last_error


def _watch(name: str, now: int) -> ovs.reconnect.Reconnect:
    """The machine of an accepted connection: probes, no reconnection."""
    fsm = ovs.reconnect.Reconnect(now)
    fsm.set_name(name)
    fsm.set_quiet(True)
    fsm.set_max_tries(1)
    fsm.enable(now)
    fsm.connecting(now)
    return fsm


def probe_interval(config) -> int:
    """The inactivity probe of a target, in ms; 0: none."""
    if not streams.needs_probes(config.target) and config.inactivity_probe is None:
        return 0
    return DEFAULT_PROBE if config.inactivity_probe is None else config.inactivity_probe


def is_primary(config) -> bool:
    """Whether a target's peers are controllers: the type column, else whether it is active."""
    return (
        config.type or ("primary" if streams.kind(config.target) == "active" else "service")
    ) == "primary"


class Controller:
    """An active controller target (`config` is a controller.ControllerConfig)."""

    passive = False

    def __init__(self, config, allowed: frozenset[int], now: int):
        self.config = config
        self.allowed = allowed
        self.peer: Peer | None = None
        self.last_error = ""
        self.fsm = ovs.reconnect.Reconnect(now)
        self.fsm.set_name(config.target)
        self.reconfigure(config)
        self.fsm.enable(now)

    def reconfigure(self, config) -> None:
        """Take over all but the target."""
        self.config = config
        self.fsm.set_backoff(1000, config.max_backoff)
        if self.peer:
            self.peer.reconfigure(config)

    @property
    def peers(self) -> list[Peer]:
        return [self.peer] if self.peer else []

    @property
    def is_connected(self) -> bool:
        return self.peer is not None and self.peer.running

    def run(self, now: int, new_peer: Callable[[Peer], None]) -> None:
        """Connect, and pump the connection.  `new_peer` is told of each Peer made."""
        if self.peer is None:
            if self.fsm.run(now) == ovs.reconnect.CONNECT:
                self._connect(now, new_peer)
            return
        peer = self.peer
        if not peer.handshake_done and self.fsm.run(now) == ovs.reconnect.DISCONNECT:
            peer._die(errno.ETIMEDOUT)
        error = 0 if peer.handshake_done else peer.stream.connect()
        if error == 0:
            peer.run(now)
        elif error != errno.EAGAIN:
            peer._die(error)

    def reap(self, now: int) -> Peer | None:
        """Closes a dead connection and returns it."""
        peer = self.peer
        if peer is None or peer.alive:
            return None
        reason = peer.close_reason()
        self._set_error(reason, peer.connection.error)
        self.fsm.disconnected(now, reason)
        peer.close()
        self.peer = None
        return peer

    def _connect(self, now: int, new_peer) -> None:
        self.fsm.connecting(now)
        try:
            stream = streams.open_active(self.config.target, self.config.dscp)
        except OSError as error:
            self._set_error(error.errno or errno.EINVAL, error.strerror)
            self.fsm.connect_failed(now, error.errno or errno.EINVAL)
            return
        self.peer = Peer(self.config.target, stream, self.allowed, self.fsm, self.config)
        new_peer(self.peer)

    def _set_error(self, error: int, text: str | None) -> None:
        if error == ovs.reconnect.EOF:
            self.last_error = "End of file"
        elif error:
            self.last_error = text or os.strerror(error)

    def force_reconnect(self, now: int) -> None:
        """Drop the connection, and connect again."""
        if self.peer:
            self.peer.close()
            self.fsm.disconnected(now, 0)
            self.peer = None

    def wait(self, poller, now: int) -> None:
        if self.peer is None:
            self.fsm.wait(poller, now)
        elif self.peer.handshake_done:
            self.peer.wait(poller)
        else:
            self.fsm.wait(poller, now)
            self.peer.wait(poller)

    def status(self, now: int) -> dict[str, str]:
        """The status column of ovs-vswitchd.conf.db(5), table Controller."""
        fsm = self.fsm
        found = {"state": fsm.state.name}
        if self.last_error:
            found["last_error"] = self.last_error
        connected, disconnected = (
            fsm.get_last_connect_elapsed(now),
            fsm.get_last_disconnect_elapsed(now),
        )
        if connected is not None:
            found["sec_since_connect"] = str(int(connected) // 1000)
        if disconnected is not None:
            found["sec_since_disconnect"] = str(int(disconnected) // 1000)
        return found

    @property
    def role(self) -> str | None:
        return self.peer.role if self.is_connected else None

    def close(self) -> None:
        if self.peer:
            self.peer.close()
            self.peer = None


class Service:
    """A passive target; each accepted connection is a Peer."""

    passive = True

    def __init__(self, config, allowed: frozenset[int], now: int, snoop: bool = False):
        self.config = config
        self.allowed = allowed
        self.snoop = snoop
        self.peers: list[Peer] = []
        self.last_error = ""
        self._listener: streams.Listener | None = None
        self._retry = now
        self._listen(now)

    def reconfigure(self, config) -> None:
        """Take over all but the target."""
        self.config = config
        for peer in self.peers:
            peer.reconfigure(config)

    def _listen(self, now: int) -> None:
        try:
            self._listener = streams.Listener(self.config.target)
        except OSError as error:
            text = error.strerror or str(error)
            if text != self.last_error:
                vlog.warn(f"{self.config.target}: failed to listen ({text})")
            self.last_error = text
            self._retry = now + 1000

    @property
    def port(self) -> int:
        """The TCP port that it listens on, for tests."""
        return self._listener.port

    @property
    def is_connected(self) -> bool:
        return any(peer.running for peer in self.peers)

    @property
    def role(self) -> str | None:
        return next((peer.role for peer in self.peers if peer.running), None)

    def run(self, now: int, new_peer: Callable[[Peer], None]) -> None:
        """Accept, and pump the connections."""
        if self._listener is None:
            if now >= self._retry:
                self._listen(now)
            return
        while len(self.peers) < MAX_PEERS_PER_SERVICE:
            stream = self._listener.accept()
            if stream is None:
                break
            self.peers.append(self._peer(stream, now))
            new_peer(self.peers[-1])
        for peer in self.peers:
            if not peer.handshake_done and peer.fsm.run(now) == ovs.reconnect.DISCONNECT:
                peer._die(errno.ETIMEDOUT)
            peer.run(now)

    def _peer(self, stream, now: int) -> Peer:
        fsm = _watch(stream.name, now)
        fsm.backoff = 10000  # the handshake may take so many ms
        return Peer(stream.name, stream, self.allowed, fsm, self.config)

    def reap(self, now: int) -> list[Peer]:
        """Closes dead connections and returns them."""
        dead = [peer for peer in self.peers if not peer.alive]
        for peer in dead:
            peer.close()
            self.peers.remove(peer)
        return dead

    def force_reconnect(self, now: int) -> None:
        """Drop the connections; their peers may come again."""
        for peer in self.peers:
            peer.close()
        self.peers.clear()

    def wait(self, poller, now: int) -> None:
        if self._listener is None:
            poller.timer_wait(self._retry - now)
        elif len(self.peers) < MAX_PEERS_PER_SERVICE:
            self._listener.wait(poller)
        for peer in self.peers:
            peer.wait(poller)
            if not peer.handshake_done:
                peer.fsm.wait(poller, now)

    def status(self, now: int) -> dict[str, str]:
        found = {"state": "ACTIVE" if self.is_connected else "IDLE"}
        if len(self.peers) > 1:
            found["n_connections"] = str(len(self.peers))
        if self.last_error and self._listener is None:
            found["last_error"] = self.last_error
        return found

    def close(self) -> None:
        for peer in self.peers:
            peer.close()
        self.peers.clear()
        if self._listener:
            self._listener.close()
            self._listener = None
