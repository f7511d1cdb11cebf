"""All OpenFlow connections of one bridge: controllers, management and snoop sockets.

Runs the sockets, hands messages to the switch (turns: in which order, how many), and sends what
goes to several connections: PORT_STATUS, FLOW_REMOVED, PACKET_IN, ROLE_STATUS.  What serves one
target or one connection is in a guard of its own: an exception ends that one.
"""

import errno
from collections.abc import Callable, Iterable

import ovs.vlog

from ofproto.codec import messages
from pyvs import containment

from . import roles, streams
from .connection import DEFAULT_VERSIONS, PACKET_IN_BACKLOG, VERSION_NAMES, Backlog
from .controller import ControllerConfig
from .peer import Peer, is_primary, probe_interval
from .rconn import Rconn
from .roles import Roles
from .service import Service
from .turns import Turns

vlog = ovs.vlog.Vlog("connmgr")

Target = Rconn | Service
ALL_VERSIONS = frozenset(range(1, 7))


# What the switch sends unasked: a version without a row for one of these cannot be allowed.
ASYNCHRONOUS = (messages.PacketIn, messages.PortStatus, messages.FlowRemoved)


def spoken() -> frozenset[int]:
    """The versions that can say all asynchronous messages."""
    return frozenset(
        version
        for version in ALL_VERSIONS
        if all((version, "") in each.FORMS for each in ASYNCHRONOUS)
    )


class ConnMgr:
    """`handle(peer, raw)` is called with each message that the switch has to see, and may leave
    the rest of the work in peer.work; `settle()` when some were handled, before anything is sent;
    `between()` while many are, every few milliseconds; `closed(peer)` when a connection is gone.
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[Peer, bytes], None],
        closed: Callable[[Peer], None] = lambda peer: None,
        settle: Callable[[], None] = lambda: None,
        between: Callable[[], object] = lambda: None,
    ):
        self.name = name
        self.versions = DEFAULT_VERSIONS
        self.controllers: dict[str, Target] = {}
        self.management: list[Service] = []
        self.snoops: list[Service] = []
        self.roles = Roles()
        self._turns = Turns(handle, between)
        self._closed = closed
        self._settle = settle

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
            self.snoops.append(Service(config, ALL_VERSIONS, now))

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
                make = Rconn if streams.kind(target) == "active" else Service
                known = make(config, self.versions, now)
            else:
                known.reconfigure(config)
            self.controllers[target] = known

    def set_versions(self, versions: Iterable[int], now: int) -> None:
        """Allow these versions; connections of a version that is no longer allowed are closed."""
        wanted = frozenset(versions) or DEFAULT_VERSIONS
        lacking = wanted - spoken()
        if lacking:
            names = ", ".join(VERSION_NAMES.get(each, str(each)) for each in sorted(lacking))
            vlog.warn(f"{self.name}: OpenFlow {names} is not spoken here")
        self.versions = (wanted - lacking) or DEFAULT_VERSIONS
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

    def _all(self) -> list[Target]:
        return [*self.controllers.values(), *self.management]

    def peers(self) -> list[Peer]:
        """Every connection but snoops."""
        return [peer for each in self._all() for peer in each.peers]

    def in_band_remotes(self) -> list[tuple[str, int]]:
        """IPv4 address and port of each controller that is to be reached through the bridge."""
        return [
            each.remote
            for each in self.controllers.values()
            if each.remote and each.config.connection_mode == "in-band"
        ]

    def _drop(self, each: Target) -> None:
        peers = list(each.peers)
        each.close()
        for peer in peers:
            self._closed(peer)

    # --- the daemon's rhythm

    def run(self, now: int) -> None:
        """Pump sockets, handle messages."""
        for each in self._all():
            self._serve(each, now, lambda peer, each=each: self._new_peer(each, peer))
        peers = self.peers()
        self._turns.run(peers)
        self._settle()
        for peer in peers:
            self._finish(peer, now)
            self._report(peer, peer.flow_mods.due(now))
        self._run_snoops(now)
        for each in self._all():
            for peer in each.reap(now):
                self._report(peer, peer.flow_mods.text(now))
                self._closed(peer)

    def serve(self, peer: Peer, now: int) -> bool:
        """Between rounds: one connection whose socket has something.  Returns False when there is
        more to do than can be done here, or others wait for their turn."""
        if self._turns.busy:
            return False
        try:
            peer.read(now)
        except Exception:
            containment.caught("OpenFlow connection", peer.name)
            peer.fault()
            return False
        self._turns.run([peer])
        self._settle()
        self._finish(peer, now)
        if not peer.is_quiet or self._turns.busy:
            return False
        return not Backlog.total or not any(each.connection.has_output for each in self.peers())

    def send_queued(self, now: int) -> bool:
        """Between rounds: what there is for peers; returns whether nothing of it is left."""
        all_sent = True
        for peer in self.peers():
            if peer.connection.has_output:
                self._finish(peer, now)
            if peer.connection.has_output or peer.scheduler is not None or not peer.alive:
                all_sent = False
        return all_sent

    @staticmethod
    def _serve(each: Target, now: int, new_peer: Callable[[Peer], None]) -> None:
        try:
            each.run(now, new_peer)
        except Exception:
            containment.caught("OpenFlow target", each.config.target)
            each.fault(now)

    def _new_peer(self, each: Target, peer: Peer) -> None:
        if self.controllers.get(each.config.target) is each:
            peer.connection.snoop = self._snooped

    def _report(self, peer: Peer, text: str | None) -> None:
        if text:
            vlog.info(f"{self.name}<->{peer.name}: {text}")

    @staticmethod
    def _finish(peer: Peer, now: int) -> None:
        """After messages were handled: send what is queued."""
        try:
            peer.note_handshake(now)
            if peer.scheduler:
                peer.scheduler.run(now, peer.connection.send_packet_in)
            if peer.connection.has_output:
                peer.write()
        except Exception:
            containment.caught("OpenFlow connection", peer.name)
            peer.fault()

    def wait(self, poller, now: int) -> None:
        if self._turns.busy:
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
        self._turns = Turns(lambda peer, raw: None)
        self._closed = lambda peer: None

    # --- snoops

    def _snooped(self, raw: bytes) -> None:
        for each in self.snoops:
            for peer in each.peers:
                if peer.running:
                    peer.connection.send_packet_in(raw)

    def _run_snoops(self, now: int) -> None:
        for each in self.snoops:
            self._serve(each, now, lambda peer: None)
            if not self.controllers:  # as in Open vSwitch: there will be nothing to hear
                for peer in each.peers:
                    peer.end(errno.ENOTCONN)
            for peer in each.peers:
                peer.connection.next_message()  # a snoop has nothing to say
                self._finish(peer, now)
            each.reap(now)

    # --- to several connections

    def broadcast(
        self,
        kind: str,
        reason: int,
        encode: Callable[[int], bytes | None],
        source: Peer | None = None,
    ) -> int:
        """Send an asynchronous message to all that want it but `source`; returns to how many.

        `encode(version)` makes it, once per version; None: that version has no such message.
        """
        encoded: dict[int, bytes | None] = {}
        n = 0
        for peer in self.peers():
            if peer is source or not peer.wants(kind, reason):
                continue
            version = peer.version
            if version not in encoded:
                encoded[version] = containment.call(
                    "OpenFlow message", f"{kind} in version {version}", encode, version
                )
            if encoded[version] is not None:
                peer.connection.send(encoded[version])
                n += 1
        return n

    @property
    def packet_in_backlog(self) -> int:
        """Where a peer counts as too slow for packet-ins, in bytes."""
        return PACKET_IN_BACKLOG

    # --- fail-mode asks

    def primaries(self) -> list[Target]:
        """Configured targets that count for fail-mode."""
        return [each for each in self.controllers.values() if is_primary(each.config)]

    def longest_probe(self) -> int:
        """The longest inactivity probe of these, in ms."""
        return max((probe_interval(each.config) for each in self.primaries()), default=0)

    def any_connected(self) -> bool:
        """Whether a primary controller is connected now."""
        return any(each.is_connected for each in self.primaries())

    # --- roles

    def set_role(self, peer: Peer, role: str) -> list[Peer]:
        """Give `peer` a role; returns the peers that lost mastership by it."""
        return roles.give(role, peer, self.peers())
