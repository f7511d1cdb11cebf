"""bond/*: the bonds of all bridges, as ovs-vswitchd(8) has them."""

from typing import TYPE_CHECKING

from ofproto.xlate.bridges.xbond import bucket_of
from pyvs import clock, digits
from pyvs.process.daemon import CommandError
from vswitchd.bonding.bonds import SLB, TCP, Bond, Member
from vswitchd.bonding.buckets import N_BUCKETS
from vswitchd.bonding.bundles import Bundles
from vswitchd.database.settings import parse_mac

if TYPE_CHECKING:
    from vswitchd.switch import Switch


def _bonds(switch: "Switch") -> dict[str, tuple[Bond, Bundles]]:
    return {
        name: (bond, bridge.bundles)
        for bridge in switch.bridges.values()
        for name, bond in bridge.bundles.bonds.items()
    }


def _find(switch: "Switch", name: str) -> Bond:
    if name not in (bonds := _bonds(switch)):
        raise CommandError("no such bond")
    return bonds[name][0]


def _member(switch: "Switch", args: list[str]) -> tuple[Bond, Member]:
    bond = _find(switch, args[0])
    if args[1] not in bond.members:
        raise CommandError("no such member")
    return bond, bond.members[args[1]]


def list_bonds(switch: "Switch", _args: list[str]) -> str:
    lines = ["bond\ttype\trecircID\tmembers"]
    for name, (bond, bundles) in sorted(_bonds(switch).items()):
        recirc_id = bundles.recirc_id(bond)
        lines.append(f"{name}\t{bond.mode}\t{recirc_id}\t{', '.join(sorted(bond.members))}")
    return "\n".join(lines) + "\n"


def show(switch: "Switch", args: list[str]) -> str:
    bonds = _bonds(switch)
    if args:
        _find(switch, args[0])
        bonds = {args[0]: bonds[args[0]]}
    return "".join(_shown(*each, clock.msec()) for _, each in sorted(bonds.items()))


def _shown(bond: Bond, bundles: Bundles, now: int) -> str:
    if bond.is_balancing:
        bond.buckets.count(bundles.loads(bond))
    missing = "" if bond.primary in bond.members else " (no such member)"
    primary = f"{bond.primary}{missing}" if bond.primary else "<none>"
    active = bond.active.iface.name if bond.active else "none"
    goes_round = bond.mode == TCP and not bond.has_fallen_back
    lb_id = bundles.lb_id(bond)
    chosen = f"enabled, bond-id: {lb_id}" if lb_id else "disabled, bond-id: -1"
    round_ = f"yes, Recirc-ID : {bundles.recirc_id(bond)}" if goes_round else ""
    lines = [
        f"---- {bond.name} ----",
        f"bond_mode: {bond.mode}",
        f"bond may use recirculation: {round_ or 'no, Recirc-ID : -1'}",
        f"bond-hash-basis: {bond.basis}",
        f"lb_output action: {chosen}",
        *([f"all members active: {str(bond.all_members_active).lower()}"] * (bond.mode == SLB)),
        f"updelay: {bond.updelay} ms",
        f"downdelay: {bond.downdelay} ms",
        *_rebalancing(bond, now),
        f"lacp_status: {bond.lacp_status}",
        f"lacp_fallback_ab: {str(bond.lacp_fallback).lower()}",
        f"active-backup primary: {primary}",
        f"active member mac: {bond.active_mac}({active})",
    ]
    for name, member in sorted(bond.members.items()):
        lines += ["", f"member {name}: {'enabled' if member.enabled else 'disabled'}"]
        if member is bond.active:
            lines.append("  active member")
        if member.expires is not None:
            delay = "downdelay" if member.enabled else "updelay"
            lines.append(f"  {delay} expires in {member.expires - now} ms")
        lines.append(f"  may_enable: {'true' if member.may_enable else 'false'}")
        lines += _loads(bond, member)
    return "\n".join(lines) + "\n\n"


def _rebalancing(bond: Bond, now: int) -> list[str]:
    when = bond.when_to_rebalance()
    return [] if when is None else [f"next rebalance: {when - now} ms"]


def _loads(bond: Bond, member: Member) -> list[str]:
    """Of the buckets that the member carries."""
    if not bond.is_balancing:
        return []
    loads = {bucket: bond.buckets.loads[bucket] // 1024 for bucket in bond.buckets.buckets(member)}
    return [f"  hash {bucket}: {load} kB load" for bucket, load in loads.items() if load]


def set_active_member(switch: "Switch", args: list[str]) -> str:
    bond, member = _member(switch, args)
    if not member.enabled:
        raise CommandError("cannot make disabled member active")
    if member is bond.active:
        return "no change"
    bond.set_active(member)
    _bonds(switch)[bond.name][1].run_bond(bond, clock.msec())
    return "done"


def _bar(switch: "Switch", args: list[str], barred: bool) -> str:
    bond, member = _member(switch, args)
    member.bar(barred)
    _bonds(switch)[bond.name][1].run_bond(bond, clock.msec())
    return "disabled" if barred else "enabled"


def enable_member(switch: "Switch", args: list[str]) -> str:
    return _bar(switch, args, False)


def disable_member(switch: "Switch", args: list[str]) -> str:
    return _bar(switch, args, True)


def _apply(switch: "Switch", bond: Bond) -> None:
    for bridge in switch.bridges.values():
        if bridge.bundles.bonds.get(bond.name) is bond:
            bridge.bundles.follow(bond)


def migrate(switch: "Switch", args: list[str]) -> str:
    """Have a member of a balance-slb bond carry a bucket: its number, or a station's address."""
    bond = _find(switch, args[0])
    if bond.mode != SLB:
        raise CommandError("not an SLB bond")
    bucket = digits.number(args[1])
    if bucket is not None:
        bucket %= N_BUCKETS
    else:
        bucket = bucket_of(_mac(args[1], "bad hash"), 0, bond.basis)
    bond, member = _member(switch, [args[0], args[2]])
    if not member.enabled:
        raise CommandError("cannot migrate to disabled member")
    bond.migrate(bucket, member)
    _apply(switch, bond)
    return "migrated"


# --- bond/hash


def _mac(text: str, error: str) -> bytes:
    mac = parse_mac(text)
    if mac is None:
        raise CommandError(error)
    return bytes.fromhex(mac.replace(":", ""))


def hash_mac(_switch: "Switch", args: list[str]) -> str:
    mac = _mac(args[0], "invalid mac")
    numbers = []
    for text, bits, name in zip(args[1:], (16, 32), ("vlan", "basis"), strict=False):
        found = digits.number(text, (1 << 32) - 1)
        if found is None:
            raise CommandError(f"invalid {name}")
        numbers.append(found & (1 << bits) - 1)
    vlan, basis = [*numbers, 0, 0][:2]
    return str(bucket_of(mac, vlan, basis))


COMMANDS = [
    ("bond/list", "", 0, 0, list_bonds),
    ("bond/show", "[port]", 0, 1, show),
    ("bond/set-active-member", "port member", 2, 2, set_active_member),
    ("bond/set-active-slave", "port slave", 2, 2, set_active_member),
    ("bond/enable-member", "port member", 2, 2, enable_member),
    ("bond/enable-slave", "port slave", 2, 2, enable_member),
    ("bond/disable-member", "port member", 2, 2, disable_member),
    ("bond/disable-slave", "port slave", 2, 2, disable_member),
    ("bond/migrate", "port hash member", 3, 3, migrate),
    ("bond/hash", "mac [vlan] [basis]", 1, 3, hash_mac),
]
