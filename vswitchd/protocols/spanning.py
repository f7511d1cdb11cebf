"""A bridge's spanning tree, STP or RSTP: from rows to the protocol, from it to ports and status.

All that differs between the two is in a Kind.  RSTP is taken where both are asked for.
"""

from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID

import ovs.vlog

from datapath.actions.odp import STP as SLOW_STP
from ofproto.codec.numbers import (
    OFPPS_STP_BLOCK,
    OFPPS_STP_FORWARD,
    OFPPS_STP_LEARN,
    OFPPS_STP_LISTEN,
)
from ofproto.port import TreeState
from ofproto.protocols import rstp, stp
from ofproto.protocols.kept import KeptTree
from pyvs.once import Once
from vswitchd.database.config import BridgeConfig, PortConfig
from vswitchd.devices.iface import Iface
from vswitchd.protocols import tree_settings, tree_status
from vswitchd.protocols.base import Protocol, Rows

vlog = ovs.vlog.Vlog("ofproto_dpif")

NOT_IN_TREE = TreeState()
# Between two looks at what nobody tells of (a port's configuration, a patch's peer), however often
# the loop turns.
LOOK_MS = 100
INTERNAL = ("internal", "dummy-internal")  # such ports are in no tree

STATES = {
    "disabled": TreeState(False, False, False, OFPPS_STP_LISTEN),
    "blocking": TreeState(False, False, False, OFPPS_STP_BLOCK),
    "listening": TreeState(False, False, True, OFPPS_STP_LISTEN),
    "learning": TreeState(False, True, True, OFPPS_STP_LEARN),
    "forwarding": TreeState(True, True, True, OFPPS_STP_FORWARD),
    "Discarding": TreeState(False, False, True, OFPPS_STP_LISTEN),
    "Learning": TreeState(False, True, True, OFPPS_STP_LEARN),
    "Forwarding": TreeState(True, True, True, OFPPS_STP_FORWARD),
}


class Kind(NamedTuple):
    """One of the two protocols; `key` begins the keys of its options."""

    title: str
    key: str
    none: str  # the state of a port that is not in a tree
    numbers: int  # of ports, at most
    make: Callable[[Any, int], Any]
    restored: Callable[[KeptTree, int], Any]
    bridge_settings: Callable[[BridgeConfig, bytes], Any]
    port_number: Callable[[dict[str, str]], int | None]
    port_settings: Callable[[dict[str, str], int, int, bytes], Any]
    state: Callable[[Any], str]


STP = Kind(
    *("STP", "stp", "disabled", 255, stp.Stp, stp.Stp.restored),
    *(tree_settings.stp_bridge, tree_settings.stp_number, tree_settings.stp_port),
    lambda port: stp.STATES[port.state],
)
RSTP = Kind(
    *("RSTP", "rstp", "Disabled", 4095, rstp.Rstp, rstp.Rstp.restored),
    *(tree_settings.rstp_bridge, tree_settings.rstp_number, tree_settings.rstp_port_settings),
    lambda port: port.state,
)


class Member(NamedTuple):
    """A port of the bridge, whether in the tree or not."""

    config: PortConfig
    iface: Iface
    ofp_port: int


class Spanning(Protocol):
    """`tree` is the Stp or Rstp, whose ports are named by OpenFlow numbers; None: there is none.
    `names` are the names of those ports."""

    name = "spanning tree"
    kept_for = 20_000  # STP's max age, and longer than RSTP's peers wait

    def __init__(self, ofproto: Any):
        super().__init__(ofproto)
        self.kind: Kind | None = None
        self.tree: Any = None
        self.names: dict[int, str] = {}
        self._config: BridgeConfig | None = None
        self._mac = bytes(6)  # the bridge's
        self._members: dict[str, Member] = {}
        self._listening: set[int] = set()
        self._states: dict[int, str] = {}  # as last told
        self._stale = False  # which ports are in the tree is to be found anew
        self._told: set[UUID] | None = None  # Port rows with something in them
        self._stale_stations: set[int | None] = set()  # ports; None: all
        self._warned = Once()
        self._started = 0
        self._due: int | None = None  # ms, when the tree has something to do
        self._looked_at = 0  # ms, at the ports: each look walks over all of them
        self._skipped = False  # a turn of the loop since

    # --- configuration

    def configure(self, config: BridgeConfig, mac: bytes, now: int) -> None:
        self._config, self._mac = config, mac
        if config.rstp_enable and config.stp_enable:
            self._warn(f"{config.name}: both STP and RSTP are asked for; it is RSTP")
        self._stale = True

    def set_port(self, port: PortConfig, members: list[Iface], now: int) -> None:
        self._stale = True
        if len(members) == 1:
            self._members[port.name] = Member(port, members[0], members[0].ofp_port)
        else:
            self._members.pop(port.name, None)

    def drop_port(self, name: str, now: int) -> None:
        if self._members.pop(name, None) is not None:
            self._stale = True

    def leave(self, iface: Iface, now: int) -> None:
        self._unlisten(iface.ofp_port)
        for name, member in list(self._members.items()):
            if member.ofp_port == iface.ofp_port:
                del self._members[name]
                self._take_out(member.ofp_port, now)
                self._stale = True

    def link_changed(self, iface: Iface, now: int) -> None:
        if self.tree is not None:
            self._follow(now)

    def close(self) -> None:
        """The datapath keeps forwarding as it did."""
        self.tree = self.kind = None

    def _warn(self, text: str) -> None:
        if self._warned.is_new(text):
            vlog.warn(text)

    def _renew(self, now: int) -> None:
        """Make the tree what the rows say."""
        self._stale = False
        self._set_kind(self._wanted_kind(), now)
        if self.kind is None:
            return
        wanted = self.kind.bridge_settings(self._config, self._mac)
        if self.tree is None:
            self.tree = self._revived(now) or self.kind.make(wanted, now)
            self._started = now
        if self.tree.settings != wanted:
            self.tree.configure(wanted, now)
        self._listen()
        self._set_ports(self._mac, now)
        self._follow(now)

    def kept(self, now: int) -> dict[str, Any]:
        """Ports go by their names: numbers may be others."""
        if self.tree is None:
            return {}
        tree = self.tree.kept(now)
        ports = {self.names[number]: plain for number, plain in tree.ports.items()}
        return {self.kind.key: [tree.bridge, self.names.get(tree.root_port), ports]}

    def _revived(self, now: int) -> Any:
        """The tree of the process before this one, of ports that there are still."""
        numbers = {name: each.ofp_port for name, each in self._members.items() if self._joins(each)}

        def restore(kept: Any, now: int) -> Any:
            bridge, root, ports = kept
            found = {numbers[name]: plain for name, plain in ports.items() if name in numbers}
            return self.kind.restored(KeptTree(bridge, numbers.get(root), found), now)

        return self.revive(self.kind.key, restore, now)

    def _wanted_kind(self) -> Kind | None:
        if self._config.rstp_enable:
            return RSTP
        return STP if self._config.stp_enable and self._is_numbered() else None

    def _is_numbered(self) -> bool:
        """stp-port-num is for all ports or for none; else there is no STP (conf.db(5))."""
        joining = [
            each.config.other_config for each in self._members.values() if self._joins(each, STP)
        ]
        given = [STP.port_number(options) for options in joining]
        if None in given and any(given):
            self._warn(f"{self._config.name}: some ports lack stp-port-num: there is no STP")
            return False
        return True

    def _set_kind(self, kind: Kind | None, now: int) -> None:
        if kind is self.kind:
            return
        self._take_all_out()
        for number in list(self._listening):
            self._unlisten(number)
        self.tree, self.kind = None, kind
        self.has_news = True
        self.ofproto.set_spanning(kind.title if kind is not None else None)

    def _listen(self) -> None:
        """A bridge with a tree takes the BPDUs of all ports, also of those that are not in it."""
        for number, port in self.ofproto.ports.items():
            if number not in self._listening:
                self._listening.add(number)
                port.xport.listen(SLOW_STP, lambda frame, now, n=number: self._take(n, frame, now))

    def _unlisten(self, number: int) -> None:
        if number in self._listening:
            self._listening.discard(number)
            port = self.ofproto.ports.get(number)
            if port is not None:
                port.xport.unlisten(SLOW_STP)

    def _set_ports(self, mac: bytes, now: int) -> None:
        members = {each.ofp_port: each for each in self._members.values() if self._joins(each)}
        numbers = self._numbers(members)
        for number in [each for each in self.names if each not in numbers]:
            self._take_out(number, now)
        for number in [each for each in self.tree.ports if each not in numbers]:
            self.tree.remove_port(number, now)  # of a tree that was revived
        with self.tree.together():
            for number, tree_number in sorted(numbers.items()):
                self._set_tree_port(members[number], tree_number, mac, now)

    def _set_tree_port(self, member: Member, tree_number: int, mac: bytes, now: int) -> None:
        number, options = member.ofp_port, member.config.other_config
        port = self.ofproto.ports[number]
        source = port.hw_addr if any(port.hw_addr) else mac
        wanted = self.kind.port_settings(options, tree_number, port.curr_speed, source)
        known = self.tree.ports.get(number)
        if known is None or known.settings != wanted:
            self.tree.set_port(number, wanted, now)
        self.names[number] = member.config.name

    def _joins(self, member: Member, kind: Kind | None = None) -> bool:
        if member.iface.type in INTERNAL or member.ofp_port not in self.ofproto.ports:
            return False
        return member.config.other_config.get(f"{(kind or self.kind).key}-enable") != "false"

    def _numbers(self, members: dict[int, Member]) -> dict[int, int]:
        """The tree's number of each port: the one it is given, or had, else the lowest that is
        free."""
        kind = self.kind
        given = {
            number: kind.port_number(member.config.other_config)
            for number, member in members.items()
        }
        found = {number: wanted for number, wanted in given.items() if wanted}
        taken = set(found.values())
        if len(taken) < len(found):
            self._warn(f"{self._config.name}: ports with the same {kind.key}-port-num")
            found = {number: wanted for wanted, number in {w: n for n, w in found.items()}.items()}
        missing = [number for number in members if number not in found]
        missing.sort(key=lambda number: (number not in self.names, number))
        free = (n for n in range(1, kind.numbers + 1) if n not in taken)
        for number in missing:
            known = self.tree.ports.get(number)
            wanted = known.settings.number if known is not None else None
            if wanted is None or wanted in taken:
                wanted = next(free, None)
            if wanted is None:
                self._warn(f"{self._config.name}: too many {kind.title} ports")
                break
            taken.add(wanted)
            found[number] = wanted
        return found

    def _take_out(self, number: int, now: int) -> None:
        if self.names.pop(number, None) is None:
            return
        self.tree.remove_port(number, now)
        self._tell_state(number, self.kind.none, NOT_IN_TREE)
        del self._states[number]
        self._collect(now)
        self.has_news = True

    def _take_all_out(self) -> None:
        """The tree ends: it has nothing more to say, and stations may be anywhere."""
        for number in self.names:
            self._tell_state(number, self.kind.none, NOT_IN_TREE)
        if self.names:
            self.ofproto.forget_stations(None)
        self.names.clear()
        self._states.clear()
        self._stale_stations.clear()

    # --- while it runs

    def _take(self, number: int, frame: bytes, now: int) -> None:
        if self.tree is not None:
            self.tree.receive(number, frame, now)
            self._follow(now)

    def run(self, now: int) -> None:
        if self._stale and self._config is not None:
            self._renew(now)
        if self.tree is None:
            return
        due = self._due is not None and now >= self._due
        if due or not self._looked_at <= now < self._looked_at + LOOK_MS:
            self.tree.run(now)
            self._follow(now)
        else:
            self._skipped = True

    def next_run(self) -> int | None:
        if self._stale:
            return 0
        if self.tree is None:
            return None
        times = (self._due, self._looked_at + LOOK_MS if self._skipped else None)
        return min((each for each in times if each is not None), default=None)

    def detect_change(self, now: int) -> None:
        """As if the topology had changed."""
        self.tree.detect_change(now)
        self._follow(now)

    def _follow(self, now: int) -> None:
        """Links to the tree; states of ports, frames and what is to be forgotten from it."""
        with self.tree.together():
            for number in self.names:
                self._follow_link(number, now)
        for number in self.names:
            port = self.tree.ports[number]
            state = self.kind.state(port)
            if self._states.get(number) != state:
                self._tell_state(number, state, STATES[state])
        self._collect(now)
        self._due, self._looked_at, self._skipped = self.tree.next_wakeup(), now, False

    def _follow_link(self, number: int, now: int) -> None:
        port = self.ofproto.ports[number]
        up = port.may_forward and not (port.is_patch and port.xport.peer is None)
        if self.kind is RSTP:
            self.tree.set_link(number, up, now)
        elif up:
            self.tree.enable_port(number, now)
        else:
            self.tree.disable_port(number, now)

    def _tell_state(self, number: int, state: str, meaning: TreeState) -> None:
        before = self._states.get(number, self.kind.none)
        self._states[number] = state
        self.has_news = True
        port = self.ofproto.ports.get(number)
        if port is not None and before != state:
            title = self.kind.title
            vlog.dbg(f"port {port.name}: {title} state changed from {before} to {state}")
        if port is not None and port.xport.learns != meaning.learns:
            self._stale_stations.add(number)
        self.ofproto.set_tree_state(number, meaning)

    def _collect(self, now: int) -> None:
        self._stale_stations.update(self.tree.take_flushes())
        if self._stale_stations:
            stale, self._stale_stations = self._stale_stations, set()
            self.ofproto.forget_stations(None if None in stale else stale)
        for number, frame in self.tree.take_frames():
            if number in self.ofproto.ports:
                self.ofproto.send_frame(number, frame, now)

    # --- status

    def rows(self, bridge_uuid: UUID) -> Rows:
        kind = self.kind if self.tree is not None else None
        bridge_row = tree_status.bridge_row(kind and kind.key, self.tree)
        rows: Rows = {("Bridge", bridge_uuid): bridge_row}
        before, self._told = self._told, set()
        if before is None:  # an earlier process may have left something
            before = {member.config.uuid for member in self._members.values()}
        for member in self._members.values():
            if member.ofp_port in self.names:
                row = tree_status.port_row(self.kind.key, self.tree, member.ofp_port, self._started)
                rows["Port", member.config.uuid] = row
                self._told.add(member.config.uuid)
        for uuid in before - self._told:
            rows["Port", uuid] = tree_status.NO_PORT
        return rows
