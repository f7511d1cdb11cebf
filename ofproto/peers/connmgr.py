"""All OpenFlow connections of one bridge: controllers, management and snoop sockets.

Runs the sockets, hands messages to the switch in order of arrival per connection, fairly among
connections, and sends what goes to several of them: PORT_STATUS, FLOW_REMOVED, PACKET_IN,
ROLE_STATUS.  Knows the roles, since the master is one among all connections.
"""

from collections.abc import Callable, Iterable

import ovs.vlog

from . import rconn, streams
from .connection import DEFAULT_VERSIONS, PACKET_IN_BACKLOG
from .controller import ControllerConfig
from .rconn import ROLE_MASTER, ROLE_SLAVE, Controller, Peer, Service

vlog = ovs.vlog.Vlog("connmgr")

MESSAGES_PER_TURN = 64  # of one connection, before the next one has its turn
TURNS_PER_RUN = 16

GENERATION_NONE = None
_U64 = (1 << 64) - 1


class ConnMgr:
    """`handle(peer, raw)` is called with each message that the switch has to see;
    `closed(peer)` when a connection is gone.
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[Peer, bytes], None],
        closed: Callable[[Peer], None] = lambda peer: None,
    ):
        self.name = name
        self.versions = DEFAULT_VERSIONS
        self.controllers: dict[str, Controller | Service] = {}
        self.management: list[Service] = []
        self.snoops: list[Service] = []
        self.generation_id: int | None = None
        self._handle = handle
        self._closed = closed
        self._busy = False

    # --- configuration

    def set_management(self, targets: Iterable[str], now: int) -> None:
        """Listen for tools on these."""
        for target in targets:
            config = ControllerConfig(target, inactivity_probe=0, type="service")
            self.management.append(Service(config, self.versions, now))

    def set_snoops(self, targets: Iterable[str], now: int) -> None:
        """Listen on these for peers that read what controllers and switch say."""
        for target in targets:
            config = ControllerConfig(target, inactivity_probe=0, type="service")
            self.snoops.append(Service(config, frozenset(range(1, 7)), now))

    def set_controllers(self, configs: Iterable, now: int) -> None:
        """Make these the controllers; those whose target stays keep their connections."""
        wanted = {}
        for config in configs:
            if streams.kind(config.target):
                wanted[config.target] = config
            else:
                vlog.warn(f"{self.name}: unsupported controller target {config.target!r}")
        for target in [target for target in self.controllers if target not in wanted]:
            self._drop(self.controllers.pop(target))
        previous, self.controllers = self.controllers, {}
        for target, config in wanted.items():
            known = previous.get(target)
            if known is None:
                make = Controller if streams.kind(target) == "active" else Service
                known = make(config, self.versions, now)
            else:
                known.reconfigure(config)
            self.controllers[target] = known

    def set_versions(self, versions: Iterable[int], now: int) -> None:
        """Allow these versions; connections of a version that is no longer allowed are closed."""
        self.versions = frozenset(versions) or DEFAULT_VERSIONS
        for each in self._all():
            each.allowed = self.versions
            for peer in each.peers:
                if peer.version is not None and peer.version not in self.versions:
                    peer.connection.fail("the version is no longer allowed")

    def reconnect(self, now: int) -> None:
        """Drop the controllers' connections; active ones are made again."""
        for each in self.controllers.values():
            peers = list(each.peers)
            each.force_reconnect(now)
            for peer in peers:
                self._closed(peer)

    def _all(self) -> list[Controller | Service]:
        return [*self.controllers.values(), *self.management]

    def peers(self) -> list[Peer]:
        """Every connection but snoops."""
        return [peer for each in self._all() for peer in each.peers]

    def _drop(self, each: Controller | Service) -> None:
        peers = list(each.peers)
        each.close()
        for peer in peers:
            self._closed(peer)

    # --- the daemon's rhythm

    def run(self, now: int) -> None:
        """Pump sockets, handle messages."""
        for each in self._all():
            each.run(now, lambda peer, each=each: self._new_peer(each, peer))
        self._handle_messages(now)
        for peer in self.peers():
            peer.note_handshake(now)
            if peer.scheduler:
                peer.scheduler.run(now, peer.connection.send_packet_in)
            if peer.connection.has_output:
                peer.write()
        self._run_snoops(now)
        self._reap(now)

    def _new_peer(self, each: Controller | Service, peer: Peer) -> None:
        if self.controllers.get(each.config.target) is each:
            peer.connection.snoop = self._snooped

    def _handle_messages(self, now: int) -> None:
        """Round robin; what is left at the end is for the next run."""
        busy = self.peers()
        for _ in range(TURNS_PER_RUN):
            busy = [peer for peer in busy if peer.alive and self._turn(peer)]
            if not busy:
                break
        self._busy = bool(busy)

    def _turn(self, peer: Peer) -> bool:
        connection = peer.connection
        for _ in range(MESSAGES_PER_TURN):
            raw = connection.next_message()
            if raw is None:
                return False
            try:
                self._handle(peer, raw)
            except Exception:  # a bug of ours costs this connection, not the switch
                vlog.exception(f"{self.name}<->{peer.name}: message of type {raw[1]}")
                connection.fail("internal error")
        return True

    def _reap(self, now: int) -> None:
        for each in self._all():
            dead = each.reap(now)
            for peer in dead if isinstance(dead, list) else [dead] if dead else []:
                self._closed(peer)

    def wait(self, poller, now: int) -> None:
        if self._busy:
            poller.immediate_wake()
        for each in (*self._all(), *self.snoops):
            each.wait(poller, now)
        for peer in self.peers():
            if peer.scheduler:
                peer.scheduler.wait(poller, now)

    def close(self) -> None:
        """Close all connections and listening sockets."""
        for each in (*self._all(), *self.snoops):
            each.close()
        self.controllers.clear()
        self.management.clear()
        self.snoops.clear()

    # --- snoops

    def _snooped(self, raw: bytes) -> None:
        for each in self.snoops:
            for peer in each.peers:
                if peer.running:
                    peer.connection.send_packet_in(raw)

    def _run_snoops(self, now: int) -> None:
        for each in self.snoops:
            each.run(now, lambda peer: None)
            for peer in each.peers:
                while peer.connection.next_message() is not None:
                    pass  # a snoop has nothing to say
                peer.note_handshake(now)
                peer.write()
            each.reap(now)

    # --- to several connections

    def broadcast(
        self, kind: str, reason: int, encode: Callable[[int], bytes | None], droppable: bool = False
    ) -> int:
        """Send an asynchronous message to all that want it; returns to how many.

        `encode(version)` makes it, once per version; None: that version has no such message.
        """
        encoded: dict[int, bytes | None] = {}
        n = 0
        for peer in self.peers():
            if not peer.wants(kind, reason):
                continue
            version = peer.version
            if version not in encoded:
                encoded[version] = encode(version)
            if encoded[version] is not None:
                peer.connection.send(encoded[version])
                n += 1
        return n

    @property
    def packet_in_backlog(self) -> int:
        """Where a peer counts as too slow for packet-ins, in bytes."""
        return PACKET_IN_BACKLOG

    # --- fail-mode asks

    def primaries(self) -> list[Controller]:
        """Configured targets that count for fail-mode."""
        return [each for each in self.controllers.values() if rconn.is_primary(each.config)]

    def longest_probe(self) -> int:
        """The longest inactivity probe of these, in ms."""
        return max((rconn.probe_interval(each.config) for each in self.primaries()), default=0)

    def any_connected(self) -> bool:
        """Whether a primary controller is connected now."""
        return any(each.is_connected for each in self.primaries())

    # --- roles

    def set_role(self, peer: Peer, role: str) -> list[Peer]:
        """Give `peer` a role; returns the peers that lost mastership by it."""
        demoted = []
        if role == ROLE_MASTER:
            for other in self.peers():
                if other is not peer and other.role == ROLE_MASTER:
                    other.role = ROLE_SLAVE
                    demoted.append(other)
        peer.role = role
        return demoted

    def accept_generation(self, generation_id: int) -> bool:
        """OpenFlow 1.3 6.3.4: stale when the signed distance to the present one is negative."""
        if self.generation_id is not None:
            distance = (generation_id - self.generation_id) & _U64
            if distance >> 63:
                return False
        self.generation_id = generation_id
        return True
