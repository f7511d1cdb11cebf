"""The bundles of a bridge: a Port of the database is one interface or a bond of several.

All members of a bond are ports of its bundle; which of them carries what is said apart.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from uuid import UUID

from ofproto.bonds import BondSettings
from ofproto.protocols.lacp import Aggregate
from pyvs.kept import Recalled
from vswitchd.bonding.bonds import ACTIVE_BACKUP, LACP_NEGOTIATED, TCP, Bond, Member
from vswitchd.bonding.buckets import N_BUCKETS
from vswitchd.database.config import PortConfig
from vswitchd.devices.iface import Iface


class Given(NamedTuple):
    """What the Ofproto was told of a bundle."""

    ofp_ports: list[int]
    arguments: tuple
    more: dict[str, Any]


class Bundles:
    """Keeps an Ofproto's bundles as the PortConfigs say, named as the ports.

    `bonds` are those of the ports that have more than one usable interface, by name;
    `bonds_changed` says that the active member of some may be another one.
    """

    name = "bonds"
    kept_for = 120_000  # ms; see keeper.Part

    def __init__(
        self,
        ofproto: Any,
        known_active: Callable[[UUID], str | None],
        lacp_of: Callable[[str], Aggregate | None] = lambda name: None,
        link_changed: Callable[[Iface, int], None] = lambda iface, now: None,
    ):
        """`known_active(uuid)`: the address of a Port's active member before this process;
        `lacp_of(name)`: its aggregate, where it speaks LACP; `link_changed(iface, now)` is told
        whose MII has another answer than before."""
        self._lacp_of = lacp_of
        self._link_changed = link_changed
        self._recalled = Recalled()
        self.bonds: dict[str, Bond] = {}
        self.bonds_changed = False
        self._ofproto = ofproto
        self._known_active = known_active
        self._ports: dict[str, PortConfig] = {}  # of the bonds
        self._given: dict[str, Given] = {}
        self._names: dict[int, set[str]] = {}  # port number -> bundles that were given it
        self._bond_given: dict[str, BondSettings] = {}

    def kept(self, now: int) -> dict[str, Any]:
        """See keeper.Part."""
        return {name: bond.kept() for name, bond in self.bonds.items()}

    def recall(self, recalled: Recalled) -> None:
        self._recalled = recalled

    def set(self, port: PortConfig, members: list[Iface], now: int) -> None:
        """Make or change the bundle of `port`; without a usable member there is none."""
        attached = [iface for iface in members if iface.ofp_port is not None]
        if len(attached) > 1:
            self._set_bond(port, attached, now)
            return
        self._forget_bond(port.name, now)
        if attached:
            self._give(port, [attached[0].ofp_port])
        else:
            self.drop(port.name, now)

    def _set_bond(self, port: PortConfig, members: list[Iface], now: int) -> None:
        bond = self.bonds.get(port.name)
        if bond is None:
            before = self._recalled.take(port.name, now)
            bond = Bond(port.name, self._known_active(port.uuid), before)
            self.bonds[port.name] = bond
        self._ports[port.name] = port
        self._count(bond)
        bond.lacp = self._lacp_of(port.name)
        self._links_changed(bond.configure(port, members, now), now)
        self.follow(bond)

    def follow(self, bond: Bond) -> None:
        """Have the Ofproto do as the bond says now."""
        self.bonds_changed = True
        self._give(self._ports[bond.name], [each.iface.ofp_port for each in bond.members.values()])
        settings = _settings(bond)
        if self._bond_given.get(bond.name) != settings:
            self._ofproto.bonds.set(bond.name, settings)
            self._bond_given[bond.name] = settings
        if bond.is_moving and bond.announces:
            self._ofproto.bonds.announce(bond.name)
        bond.is_moving = False

    def run(self, now: int) -> None:
        """Bonds whose delays are over, or whose loads are to be looked at."""
        for bond in self.bonds.values():
            when = bond.next_run()
            self._links_changed(bond.poll_mii(now), now)
            if when is not None and now >= when:
                self.run_bond(bond, now)
            when = bond.when_to_rebalance()
            if when is not None and now >= when and bond.rebalance(self.loads(bond), now):
                self.follow(bond)

    def _links_changed(self, ifaces: list[Iface], now: int) -> None:
        for iface in ifaces:
            self._link_changed(iface, now)

    def members_changed(self, names: Iterable[str], now: int) -> None:
        """Of these bundles: their devices came up or went down, or protocols say so."""
        for name in sorted(names):
            if name in self.bonds:
                self.run_bond(self.bonds[name], now)

    def run_bond(self, bond: Bond, now: int) -> None:
        """What it follows changed, or is to be looked at."""
        self._count(bond)
        bond.run(now)
        self.follow(bond)

    def _count(self, bond: Bond) -> None:
        """Have it know which buckets are idle: a member that is new may get those."""
        if bond.is_balancing and bond.name in self._bond_given:
            bond.buckets.count(self.loads(bond))

    def loads(self, bond: Bond) -> list[int]:
        """Bytes that left by each of its buckets, since ever."""
        return self._ofproto.bonds.loads(bond.name)

    def lb_id(self, bond: Bond) -> int:
        """Under which number the datapath chooses its members; 0: it does not."""
        return self._ofproto.bonds.lb_id(bond.name) if bond.name in self._bond_given else 0

    def recirc_id(self, bond: Bond) -> int:
        """The number that is kept for its packets that come round, also where a bond that balances
        sends none round, as in Open vSwitch; 0: it does not balance."""
        if bond.mode == ACTIVE_BACKUP:
            return 0
        return self._ofproto.bonds.recirc_id(bond.name)

    def next_run(self) -> int | None:
        """When run() has something to do, in ms."""
        bonds = self.bonds.values()
        times = [when for bond in bonds for when in (bond.next_run(), bond.when_to_rebalance())]
        return min((when for when in times if when is not None), default=None)

    def _give(self, port: PortConfig, ofp_ports: list[int]) -> None:
        """Have the Ofproto's bundle be this, if it is not."""
        trunks = list(port.trunks) or None
        priority_tags = port.other_config.get("priority-tags")
        more: dict[str, Any] = {"protected": True} if port.protected else {}
        for option in ("mcast-snooping-flood", "mcast-snooping-flood-reports"):
            if port.other_config.get(option) == "true":
                more[option.replace("-snooping-", "_").replace("-", "_")] = True
        if port.vlan_mode == "dot1q-tunnel":
            more["cvlans"] = list(port.cvlans) or None
            if "qinq-ethtype" in port.other_config:
                more["qinq_ethtype"] = port.other_config["qinq-ethtype"]
        arguments = (port.vlan_mode, port.tag, trunks, priority_tags)
        given = Given(ofp_ports, arguments, more)
        if self._given.get(port.name) != given:
            self._ofproto.bundle_set(port.name, port.name, given.ofp_ports, *arguments, **more)
            self._forget(port.name)
            self._given[port.name] = given
            for number in ofp_ports:
                self._names.setdefault(number, set()).add(port.name)

    def port(self, name: str) -> int | None:
        """The OpenFlow number of a bundle's port; None when there is no such bundle."""
        return self._given[name].ofp_ports[0] if name in self._given else None

    def leave(self, iface: Iface, now: int) -> None:
        """The interface's port goes: others of its bundle go on without it."""
        for name in sorted(self._names.get(iface.ofp_port, ())):
            self._leave(name, iface, now)

    def _leave(self, name: str, iface: Iface, now: int) -> None:
        others = [number for number in self._given[name].ofp_ports if number != iface.ofp_port]
        if len(others) > 1:
            self.bonds[name].remove(iface.name, now)
            self.follow(self.bonds[name])
        elif others:
            port = self._ports[name]
            self._forget_bond(name, now)
            self._give(port, others)
        else:
            self.drop(name, now)

    def drop(self, name: str, now: int) -> None:
        """End a bundle, if there is one of this name."""
        self._forget_bond(name, now)
        if self._forget(name):
            self._ofproto.bundle_del(name)

    def _forget_bond(self, name: str, now: int) -> None:
        bond = self.bonds.pop(name, None)
        if bond is not None:
            self._links_changed(bond.close(), now)
        self._ports.pop(name, None)
        if self._bond_given.pop(name, None) is not None:
            self._ofproto.bonds.set(name, None)

    def _forget(self, name: str) -> bool:
        given = self._given.pop(name, None)
        for number in given.ofp_ports if given else ():
            self._names[number].discard(name)
            if not self._names[number]:
                del self._names[number]
        return given is not None


def _settings(bond: Bond) -> BondSettings:
    def number(member: Member | None) -> int | None:
        return member.iface.ofp_port if member is not None else None

    if bond.is_idle:
        if bond.mode != TCP or not bond.lb_output:
            return BondSettings(ACTIVE_BACKUP, None)
        nobody = (None,) * N_BUCKETS
        return BondSettings(TCP, None, nobody, bond.basis, accepting=(), lb_output=True)
    if not bond.is_balancing:
        settings = BondSettings(ACTIVE_BACKUP, number(bond.active))
    else:
        buckets = tuple(map(number, bond.buckets.of))
        more = bond.basis, bond.all_members_active
        settings = BondSettings(
            bond.mode, number(bond.active), buckets, *more, lb_output=bond.lb_output
        )
    if bond.lacp_status != LACP_NEGOTIATED:
        return settings
    # The other side may send by a member a moment before it is enabled here.
    able = [each for each in bond.members.values() if each.enabled or each.may_enable]
    return settings._replace(accepting=tuple(map(number, able)))
