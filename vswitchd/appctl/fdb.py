"""fdb/*: the MAC tables of the bridges."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ofproto.codec.match_text import TextError, parse_eth
from pyvs import clock
from pyvs.process.daemon import CommandError
from vswitchd.bridge import LOCAL

if TYPE_CHECKING:
    from vswitchd.switch import Switch

_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,18}")  # more would overflow anyway


def _table(switch: "Switch", bridge: str) -> Any:
    if bridge not in switch.bridges:
        raise CommandError("no such bridge")
    return switch.bridges[bridge].ofproto.xbridge.mac


def _vlan(text: str) -> int:
    """As atoi() has it, in 16 bits: what is no VLAN makes an entry that no packet finds."""
    number = _NUMBER.match(text)
    return int(number[0]) & 0xFFFF if number else 0


def _mac(text: str) -> bytes:
    try:
        return parse_eth(text).to_bytes(6, "big")
    except TextError:
        raise CommandError("bad MAC address") from None


def _bundle(switch: "Switch", bridge: str, name: str) -> Any:
    """The bundle of a port or one of its interfaces."""
    for bundle in switch.bridges[bridge].ofproto.xbridge.bundles:
        if name == bundle.name or any(name == port.name for port in bundle.ports):
            return bundle
    raise CommandError(f"{bridge} has no port {name}")


def _number(switch: "Switch", bridge: str, bundle: str) -> str:
    return _shown(switch.bridges[bridge].bundles.port(bundle))


def _shown(number: int | None) -> str:
    return "LOCAL" if number == LOCAL else "?" if number is None else str(number)


def show(switch: "Switch", args: list[str]) -> Iterator[str]:
    table = _table(switch, args[0])
    bundles = switch.bridges[args[0]].bundles
    yield " port  VLAN  MAC                Age\n"
    for bundle, vlan, mac, age in table.rows(clock.msec()):
        shown = "static" if age is None else f"{age:3d}"
        yield f"{_shown(bundles.port(bundle)):>5}  {vlan:4d}  {mac}  {shown}\n"


def stats_show(switch: "Switch", args: list[str]) -> str:
    table = _table(switch, args[0])
    return (
        f'Statistics for bridge "{args[0]}":\n'
        f"  Current/maximum MAC entries in the table: {len(table)}/{table.max_entries}\n"
        f"  Current static MAC entries in the table : {len(table.statics)}\n"
        f"  Total number of learned MAC entries     : {table.total_learned}\n"
        f"  Total number of expired MAC entries     : {table.total_expired}\n"
        f"  Total number of evicted MAC entries     : {table.total_evicted}\n"
        f"  Total number of port moved MAC entries  : {table.total_moved}\n"
    )


def flush(switch: "Switch", args: list[str]) -> str:
    for name in args or list(switch.bridges):
        _table(switch, name).flush()
        switch.bridges[name].ofproto.xbridge.touch("mac_learning")
    return "table successfully flushed\n"


def stats_clear(switch: "Switch", args: list[str]) -> str:
    for name in args or list(switch.bridges):
        _table(switch, name).clear_statistics()
    return "statistics successfully cleared\n"


def add(switch: "Switch", args: list[str]) -> str:
    name, port, vlan, mac = args
    table = _table(switch, name)
    address = _mac(mac)
    bundle = _bundle(switch, name, port)
    old = table.add_static(_vlan(vlan), address, bundle, clock.msec())
    if old is None:
        return ""
    kind = "static" if old.static else "dynamic"
    where = _number(switch, name, old.bundle.name)
    return f"Overriding already existing {kind} entry on {where}\n"


def delete(switch: "Switch", args: list[str]) -> str:
    if not _table(switch, args[0]).remove_static(_vlan(args[1]), _mac(args[2])):
        raise CommandError("could not find static mac entry")
    return ""


# name, usage, least and most arguments, function
COMMANDS = [
    ("fdb/add", "bridge port vlan mac", 4, 4, add),
    ("fdb/del", "bridge vlan mac", 3, 3, delete),
    ("fdb/flush", "[bridge]", 0, 1, flush),
    ("fdb/show", "bridge", 1, 1, show),
    ("fdb/stats-clear", "[bridge]", 0, 1, stats_clear),
    ("fdb/stats-show", "bridge", 1, 1, stats_show),
]
