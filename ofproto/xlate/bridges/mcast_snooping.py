"""Who wants which multicast group: (VLAN, group) -> ports, and the ports with routers behind them.

It is kept as RFC 4541 has it, and Open vSwitch: a port stays in a group until it leaves it or was
not heard for the ageing time; a port with a router, which gets all groups, is in none.  Ports are
any objects with `mcast_flood` and `mcast_flood_reports`, as XBundles have them.

All calls that change what is forwarded say so.  Times are in ms.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ofproto.protocols.membership import Message
from pyvs import coverage

ROUTER_AGING = 180_000  # as Open vSwitch; a querier asks each 125 s (RFC 3376, 8.2)
EXPIRED_AT_ONCE = 5000  # the rest at the next run()

LEARNED = coverage.counter("mcast_snooping_learned")
EXPIRED = coverage.counter("mcast_snooping_expired")
EVICTED = coverage.counter("mcast_snooping_evicted")

Key = tuple[int, bytes]  # VLAN (0 untagged), group (4 bytes or 16)
Members = OrderedDict[Any, int]  # port -> when it was heard, oldest first


class SnoopingSettings(NamedTuple):
    aging: int = 300  # s that a port stays in a group
    max_entries: int = 2048
    flood_unregistered: bool = True  # what nobody asked for: to all, or to routers only


class McastSnooping:
    """Groups and routers are each bounded by `max_entries`; the one that was heard least recently
    makes room."""

    aging: int  # ms
    max_entries: int
    flood_unregistered: bool

    def __init__(self) -> None:
        self._groups: OrderedDict[Key, Members] = OrderedDict()
        self._memberships: OrderedDict[tuple[Key, Any], None] = OrderedDict()  # oldest first
        self._routers: OrderedDict[tuple[int, Any], int] = OrderedDict()  # (VLAN, port) -> heard
        self._vlan_routers: dict[int, OrderedDict[Any, None]] = {}
        self.configure(SnoopingSettings())

    def __len__(self) -> int:
        return len(self._groups)

    # --- settings

    def configure(self, settings: SnoopingSettings) -> None:
        """A smaller table loses the groups that were heard of least recently."""
        self.aging = settings.aging * 1000
        self.max_entries = settings.max_entries
        self.flood_unregistered = settings.flood_unregistered
        self._make_room(0)

    # --- for translation

    def members(self, vlan: int, group: bytes) -> Iterable[Any] | None:
        """The ports of a group; None where nobody is known to want it."""
        return self._groups.get((vlan, group))

    def routers(self, vlan: int) -> Iterable[Any]:
        """The ports with a router in this VLAN."""
        return self._vlan_routers.get(vlan, ())

    def all_routers(self) -> Iterable[tuple[int, Any]]:
        """(VLAN, port), the one that was heard least recently first."""
        return self._routers

    # --- what is heard

    def hear(self, message: Message, vlan: int, port: Any, now: int) -> bool:
        """Learns from a message; nothing from a port to which everything is flooded."""
        if port.mcast_flood:
            return False
        changed = message.from_router and self._learn_router(vlan, port, now)
        for group, joined in message.changes:
            if joined:
                changed |= self._join((vlan, group), port, now)
            else:
                changed |= self._leave((vlan, group), port)
        return changed

    def _learn_router(self, vlan: int, port: Any, now: int) -> bool:
        is_new = (vlan, port) not in self._routers
        if is_new and len(self._routers) >= self.max_entries:
            self._drop_router(*next(iter(self._routers)))
            EVICTED.count += 1
        self._routers[vlan, port] = now
        self._routers.move_to_end((vlan, port))
        of_vlan = self._vlan_routers.setdefault(vlan, OrderedDict())
        of_vlan[port] = None
        of_vlan.move_to_end(port)
        return is_new

    def _join(self, key: Key, port: Any, now: int) -> bool:
        if (key[0], port) in self._routers:
            return False
        members = self._groups.get(key)
        if members is None:
            self._make_room(1)
            members = self._groups[key] = OrderedDict()
            LEARNED.count += 1
        is_new = port not in members
        members[port] = now
        self._memberships[key, port] = None
        for order, each in (
            (members, port),
            (self._memberships, (key, port)),
            (self._groups, key),
        ):
            order.move_to_end(each)
        return is_new

    def _leave(self, key: Key, port: Any) -> bool:
        """Behind a port that gets all reports are many hosts: it leaves by age only."""
        if port.mcast_flood_reports or port not in self._groups.get(key, ()):
            return False
        self._drop_member(key, port)
        return True

    # --- what ends

    def run(self, now: int) -> bool:
        """Forgets what has aged."""
        before = EXPIRED.count
        while self._routers and EXPIRED.count - before < EXPIRED_AT_ONCE:
            (vlan, port), heard = next(iter(self._routers.items()))
            if heard + ROUTER_AGING > now:
                break
            self._drop_router(vlan, port)
            EXPIRED.count += 1
        while self._memberships and EXPIRED.count - before < EXPIRED_AT_ONCE:
            key, port = next(iter(self._memberships))
            if self._groups[key][port] + self.aging > now:
                break
            self._drop_member(key, port)
            EXPIRED.count += 1
        return EXPIRED.count != before

    def flush(self) -> bool:
        """Forgets everything that was heard."""
        changed = bool(self._groups or self._routers)
        for each in (self._groups, self._memberships, self._routers, self._vlan_routers):
            each.clear()
        return changed

    def forget_ports(self, ports: Iterable[Any]) -> bool:
        """They go, or have other VLANs, or a tree's topology changed."""
        wanted = frozenset(ports)
        members = [each for each in self._memberships if each[1] in wanted]
        routers = [each for each in self._routers if each[1] in wanted]
        for key, port in members:
            self._drop_member(key, port)
        for vlan, port in routers:
            self._drop_router(vlan, port)
        return bool(members or routers)

    def _make_room(self, n: int) -> None:
        """For `n` more groups."""
        while len(self._groups) + n > self.max_entries:
            key = next(iter(self._groups))
            for port in list(self._groups[key]):
                self._drop_member(key, port)
            EVICTED.count += 1

    def _drop_member(self, key: Key, port: Any) -> None:
        members = self._groups[key]
        del members[port], self._memberships[key, port]
        if not members:
            del self._groups[key]

    def _drop_router(self, vlan: int, port: Any) -> None:
        del self._routers[vlan, port], self._vlan_routers[vlan][port]
        if not self._vlan_routers[vlan]:
            del self._vlan_routers[vlan]

    # --- for mdb/show

    def rows(self, now: int) -> Iterator[tuple[Any, int, bytes | None, int]]:
        """(port, VLAN, group or None of a router, age in s): groups by when they were heard last,
        the least recent one first, each with its ports in the same order; routers."""
        for (vlan, group), members in self._groups.items():
            for port, heard in members.items():
                yield port, vlan, group, (now - heard) // 1000
        for (vlan, port), heard in self._routers.items():
            yield port, vlan, None, (now - heard) // 1000
