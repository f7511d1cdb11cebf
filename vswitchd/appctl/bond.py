"""bond/*: the bonds of all bridges, as ovs-vswitchd(8) has them."""

from typing import TYPE_CHECKING

from pyvs import clock
from pyvs.daemon import CommandError
from vswitchd.bonds import Bond, Member
from vswitchd.settings import parse_mac

if TYPE_CHECKING:
    from vswitchd.switch import Switch

MODE = "active-backup"
BUCKETS = 256  # of a balancing bond: what bond/hash counts in


def _bonds(switch: "Switch") -> dict[str, Bond]:
    return {
        name: bond
        for bridge in switch.bridges.values()
        for name, bond in bridge.bundles.bonds.items()
    }


def _find(switch: "Switch", name: str) -> Bond:
    bond = _bonds(switch).get(name)
    if bond is None:
        raise CommandError("no such bond")
    return bond


def _member(switch: "Switch", args: list[str]) -> tuple[Bond, Member]:
    bond = _find(switch, args[0])
    if args[1] not in bond.members:
        raise CommandError("no such member")
    return bond, bond.members[args[1]]


def list_bonds(switch: "Switch", _args: list[str]) -> str:
    lines = ["bond\ttype\trecircID\tmembers"]
    for name, bond in sorted(_bonds(switch).items()):
        lines.append(f"{name}\t{MODE}\t0\t{', '.join(sorted(bond.members))}")
    return "\n".join(lines) + "\n"


def show(switch: "Switch", args: list[str]) -> str:
    bonds = {args[0]: _find(switch, args[0])} if args else _bonds(switch)
    return "".join(_shown(bond, clock.msec()) for _, bond in sorted(bonds.items()))


def _shown(bond: Bond, now: int) -> str:
    missing = "" if bond.primary in bond.members else " (no such member)"
    primary = f"{bond.primary}{missing}" if bond.primary else "<none>"
    active = bond.active.iface.name if bond.active else "none"
    lines = [
        f"---- {bond.name} ----",
        f"bond_mode: {MODE}",
        "bond may use recirculation: no, Recirc-ID : -1",
        f"bond-hash-basis: {bond.basis}",
        "lb_output action: disabled, bond-id: -1",
        f"updelay: {bond.updelay} ms",
        f"downdelay: {bond.downdelay} ms",
        "lacp_status: off",
        "lacp_fallback_ab: false",
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
    return "\n".join(lines) + "\n\n"


def set_active_member(switch: "Switch", args: list[str]) -> str:
    bond, member = _member(switch, args)
    if not member.enabled:
        raise CommandError("cannot make disabled member active")
    if member is bond.active:
        return "no change"
    bond.set_active(member)
    _apply(switch, bond)
    return "done"


def _bar(switch: "Switch", args: list[str], barred: bool) -> str:
    bond, member = _member(switch, args)
    member.is_barred = barred
    bond.run(clock.msec())
    _apply(switch, bond)
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
    _find(switch, args[0])
    raise CommandError("not an SLB bond")  # there are none yet


# --- bond/hash


def _mix(value: int) -> int:
    value = value * 0xCC9E2D51 & 0xFFFFFFFF
    value = (value << 15 | value >> 17) & 0xFFFFFFFF
    return value * 0x1B873593 & 0xFFFFFFFF


def _add(found: int, value: int) -> int:
    found ^= _mix(value)
    found = (found << 13 | found >> 19) & 0xFFFFFFFF
    return (found * 5 + 0xE6546B64) & 0xFFFFFFFF


def hash_source(mac: bytes, vlan: int, basis: int) -> int:
    """MurmurHash3 (32 bits) of VLAN and address as one 64-bit word: a bond's bucket."""
    word = vlan << 48 | int.from_bytes(mac)
    found = _add(_add(basis, word & 0xFFFFFFFF), word >> 32) ^ 8
    found = (found ^ found >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    found = (found ^ found >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return (found ^ found >> 16) % BUCKETS


def hash_mac(_switch: "Switch", args: list[str]) -> str:
    mac = parse_mac(args[0])
    if mac is None:
        raise CommandError("invalid mac")
    numbers = []
    for text, bits, name in zip(args[1:], (16, 32), ("vlan", "basis"), strict=False):
        if not text.isdecimal() or int(text) >> 32:
            raise CommandError(f"invalid {name}")
        numbers.append(int(text) & (1 << bits) - 1)
    vlan, basis = [*numbers, 0, 0][:2]
    return str(hash_source(bytes.fromhex(mac.replace(":", "")), vlan, basis))


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
