"""In-band control: a controller is reached through the bridge that it controls.

Hidden rules above all that a FLOW_MOD can say let the switch's own host talk with its controllers,
whatever flows these have or have not set up: ovs-vswitchd.conf.db(5), Controller, connection_mode.
Their priorities and matches are those that bridge/dump-flows of Open vSwitch shows.  Only
controllers and managers with an IPv4 address have them, as there.

One rule is ours: a DHCP server's answer to the bridge's own address reaches it.  Open vSwitch needs
none for that, and so bridge/dump-flows does not show it.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ofproto.codec.actions import Output, SetQueue
from ofproto.codec.instructions import ApplyActions
from ofproto.codec.match import Match
from ofproto.codec.match_text import parse_match
from ofproto.codec.numbers import OF13, OFPP_LOCAL, OFPP_NORMAL
from ofproto.rules.classifier import Rule
from ofproto.rules.compile import compile_actions
from ofproto.tables.flow_table import FlowTables

FIRST_PRIORITY = 180_000
NEXT_HOP_MS = 10_000  # until next hops are looked for again

Remote = tuple[str, int]  # IPv4 address, TCP port

# What a rule matches, in the order of priorities: one set for the bridge, one for each next hop's
# address, one for each controller's, one for each controller's address and port.
_LOCAL = (
    "udp,in_port={local},dl_src={mac},tp_src=68,tp_dst=67",
    "arp,dl_dst={mac},arp_op=2",
    "arp,dl_src={mac},arp_op=1",
)
_NEXT_HOP = ("arp,dl_dst={mac},arp_op=2", "arp,dl_src={mac},arp_op=1")
_ADDRESS = ("arp,arp_tpa={ip},arp_op=2", "arp,arp_spa={ip},arp_op=1")
_SERVICE = ("tcp,nw_dst={ip},tp_dst={port}", "tcp,nw_src={ip},tp_src={port}")
_ANSWER = ("udp,dl_dst={mac},tp_src=67,tp_dst=68",)


class _Wanted(NamedTuple):
    remotes: frozenset[Remote]
    local: str  # Ethernet address of the local port
    next_hops: frozenset[str]
    queue: int | None


class InBand:
    """The rules of one bridge.  `next_hop(ip)` gives the Ethernet address by which the host
    reaches an address, or None.  `enabled` and `queue` are the bridge's other_config."""

    def __init__(self, tables: FlowTables):
        self.enabled = True
        self.queue: int | None = None
        self.managers: tuple[Remote, ...] = ()  # of the database, reached in the same way
        self.next_hop: Callable[[str], str | None] = lambda ip: None
        self._tables = tables
        self._made: _Wanted | None = None
        self._rules: list[Rule] = []
        self.answer: Rule | None = None  # the rule that is ours
        self._hops: dict[str, str | None] = {}
        self._hops_due = 0

    def run(self, remotes: Iterable[Remote], local: str | None, now: int) -> None:
        """Follow which controllers there are; `local` is None while the bridge has no device."""
        found = frozenset([*remotes, *self.managers]) if self.enabled and local else frozenset()
        wanted = None
        if found:
            hops = self._next_hops({ip for ip, _ in found}, now)
            wanted = _Wanted(found, local, hops, self.queue)
        if wanted != self._made or not self._in_place():
            self._remove()
            self._made = None  # as long as not all are there
            if wanted:
                self._add(wanted, now)
            self._made = wanted

    def _next_hops(self, addresses: set[str], now: int) -> frozenset[str]:
        if self._hops.keys() != addresses or now >= self._hops_due:
            self._hops = {ip: self.next_hop(ip) for ip in addresses}
            self._hops_due = now + NEXT_HOP_MS
        return frozenset(mac for mac in self._hops.values() if mac)

    def _in_place(self) -> bool:
        """False after all flows of the bridge were deleted, the hidden ones too."""
        return not self._rules or self._rules[0] in self._tables.hidden

    def _remove(self) -> None:
        for rule in self._rules:
            if rule in self._tables.hidden:
                self._tables.remove(rule, None)
        self._rules = []
        self.answer = None

    def _add(self, wanted: _Wanted, now: int) -> None:
        actions: list[Any] = [] if wanted.queue is None else [SetQueue(wanted.queue)]
        instructions = [ApplyActions([*actions, Output(OFPP_NORMAL)])]
        program = compile_actions((), instructions)
        for priority, text in _matches(wanted):
            match: Match = parse_match(text)
            rule = Rule(match, priority, actions=instructions, program=program, now=now)
            rule.data = OF13
            self._tables.insert(rule)
            self._rules.append(rule)
        self.answer = self._rules[-1]


def _matches(wanted: _Wanted) -> list[tuple[int, str]]:
    """(priority, match) of each rule."""
    sets = (
        (_LOCAL, [{"local": OFPP_LOCAL, "mac": wanted.local}]),
        (_NEXT_HOP, [{"mac": mac} for mac in sorted(wanted.next_hops)]),
        (_ADDRESS, [{"ip": ip} for ip in sorted({ip for ip, _ in wanted.remotes})]),
        (_SERVICE, [{"ip": ip, "port": port} for ip, port in sorted(wanted.remotes)]),
        (_ANSWER, [{"mac": wanted.local}]),
    )
    made, priority = [], FIRST_PRIORITY
    for forms, values in sets:
        for form in forms:
            made += [(priority, form.format(**each)) for each in values]
            priority += 1
    return made
