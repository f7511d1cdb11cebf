"""A live connection on its socket, with what the switch has to remember of it.

A Peer ends with its socket.  Who makes Peers: rconn (active targets) and service (passive ones).
"""

import errno
from collections.abc import Iterator
from typing import Any

import ovs.reconnect
import ovs.stream

from pyvs import clock

from . import streams, vconn_log
from .async_masks import AsyncMasks
from .connection import CLOSED, RUNNING, OFConnection
from .flow_mod_report import FlowModReport
from .packet_in import Scheduler
from .parts import Parts
from .roles import ROLE_OTHER

RECV_SIZE = 64 << 10
READS_PER_RUN = 4
DEFAULT_PROBE = 5000  # ms


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


class Peer:
    """`primary`: a controller, that gets asynchronous messages unasked.  `work`: what is left to
    do of the last request, an iterator of steps; the next message is handled after it.

    `fsm` is the ovs.reconnect machine that watches it; an Rconn's outlives its Peers.
    """

    def __init__(self, name: str, stream, allowed, fsm, config):
        self.name = name
        self.stream = stream
        self.fsm = fsm
        self.primary = is_primary(config)
        self.connection = OFConnection(allowed, vconn_log.of(name))
        self.work: Iterator[Any] | None = None
        self.role = ROLE_OTHER
        self.asynchronous = AsyncMasks(self.primary, not config.enable_async_messages)
        self.controller_id = 0
        self.packet_in_format = "standard"
        self.flow_mod_table_id = False
        self.flow_format = "openflow10"
        self.scheduler: Scheduler | None = None
        self.flow_mods = FlowModReport()
        self.parts = Parts()
        self.handshake_done = False
        self.last_error = 0
        self._is_tls = isinstance(stream, ovs.stream.SSLStream)  # gives one record at a time
        self._socket: Any = None  # what is read and written once it is connected, but with TLS
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
            self.scheduler = Scheduler(rate, burst, config.controller_queue_size)
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
        return self.running and self.asynchronous.wants(
            kind, reason, self.role, self.primary, self.version or 0
        )

    def reply(self, request, message) -> None:
        """Answer a decoded message with another, under its transaction id."""
        self.connection.send(message.encode(self.version, request.xid))

    # --- the socket

    def run(self, now: int) -> None:
        """Probes, and read what the socket has."""
        self.connection.log = vconn_log.of(self.name)
        if self.handshake_done:
            self._probe(now)
        self.read(now)

    def note_handshake(self, now: int) -> None:
        """After messages were handled: tell the machine when the handshake is done."""
        if self.running and not self.handshake_done:
            self.handshake_done = True
            self._socket = None if self._is_tls else getattr(self.stream, "socket", None)
            self.fsm.connected(now)

    def _probe(self, now: int) -> None:
        action = self.fsm.run(now)
        if action == ovs.reconnect.PROBE:
            self.connection.probe()
        elif action == ovs.reconnect.DISCONNECT:
            self.end(errno.ETIMEDOUT)

    def read(self, now: int) -> None:
        """Take what the socket has: between rounds there is no more to do."""
        self._more = False
        for _ in range(READS_PER_RUN):
            if self._dead or not self.connection.wants_input:
                return
            error, data = self._recv()
            if error == errno.EAGAIN:
                self.fsm.receive_attempted(now)
                return
            if error or not data:
                self.end(error or ovs.reconnect.EOF)
                return
            self.connection.receive(data)
            if self.handshake_done:
                self.fsm.activity(now)
            self.fsm.receive_attempted(now)
            if len(data) < RECV_SIZE and not self._is_tls:
                return  # there was no more
        self._more = True

    def _recv(self) -> tuple[int, bytes]:
        """As the stream's recv(), whose looks at the connection's state cost as much again."""
        if self._socket is None:
            return self.stream.recv(RECV_SIZE)
        try:
            return 0, self._socket.recv(RECV_SIZE)
        except OSError as error:
            return error.errno or errno.EIO, b""

    def _send(self, data: bytes) -> int:
        """As the stream's send(): how many bytes, or an errno less than 0."""
        if self._socket is None:
            return self.stream.send(data)
        try:
            return self._socket.send(data)
        except OSError as error:
            return -(error.errno or errno.EIO)

    def write(self) -> None:
        """Write until the socket is full.  A closed connection's last words have this one try."""
        while not self._dead:
            data = self.connection.pull()
            if not data:
                return
            sent = self._send(data)
            if sent < 0:
                self.connection.unpull(data)
                if sent != -errno.EAGAIN or self.connection.state is CLOSED:
                    self.end(-sent)
                return
            if sent < len(data):
                self.connection.unpull(data[sent:])

    def end(self, error: int) -> None:
        """It is to be closed, for this errno (or ovs' EOF)."""
        self._dead = True
        self.last_error = error

    def fault(self) -> None:
        """An exception while it was served: it is to be closed without a last word."""
        self.connection.fail("internal error")
        self.end(errno.EPROTO)

    @property
    def is_quiet(self) -> bool:
        """Whether there is nothing to do for it until it sends something more."""
        connection = self.connection
        if self._dead or not self.running or self.work is not None or self._more:
            return False
        return connection.wants_input and not connection.has_input and not connection.has_output

    def fileno(self) -> int:
        """The socket's."""
        return self.stream.socket.fileno()

    def wait(self, poller) -> None:
        connection = self.connection
        if not self.alive or connection.has_input or (self._more and connection.wants_input):
            poller.immediate_wake()
            return
        self.stream.run_wait(poller)
        if connection.wants_input:
            self.stream.recv_wait(poller)
        if connection.has_output:
            self.stream.send_wait(poller)
        if self.handshake_done:
            self.fsm.wait(poller, clock.msec())

    def close(self) -> None:
        """Drop the socket; what is still queued is lost."""
        self._dead = True
        self.connection.discard()
        self.stream.close()

    def close_reason(self) -> int:
        """An errno, or ovs' EOF, or 0."""
        if self.connection.error:
            return errno.EPROTO
        return self.last_error
