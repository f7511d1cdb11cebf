"""fdb/*: the MAC tables of the bridges."""

from typing import TYPE_CHECKING, Any

from pyvs import clock
from pyvs.daemon import CommandError
from vswitchd.bridge import LOCAL
from vswitchd.settings import parse_mac

if TYPE_CHECKING:
    from vswitchd.switch import Switch


def _table(switch: "Switch", bridge: str) -> Any:
    if bridge not in switch.bridges:
        raise CommandError("no such bridge")
    return switch.bridges[bridge].ofproto.xbridge.mac


def _vlan(text: str) -> int:
    if not text.isdecimal() or int(text) > 4095:
        raise CommandError(f"{text}: invalid VLAN")
    return int(text)


def _mac(text: str) -> bytes:
    mac = parse_mac(text)
    if mac is None:
        raise CommandError(f"{text}: invalid MAC address")
    return bytes.fromhex(mac.replace(":", ""))


def show(switch: "Switch", args: list[str]) -> str:
    table = _table(switch, args[0])
    bridge = switch.bridges[args[0]]
    lines = [" port  VLAN  MAC                Age"]
    for bundle, vlan, mac, age in table.rows(clock.msec()):
        number = bridge.bundles.port(bundle)
        port = "LOCAL" if number == LOCAL else "?" if number is None else str(number)
        lines.append(f"{port:>5}  {vlan:4d}  {mac}  {age:3d}")
    return "\n".join(lines) + "\n"


def stats_show(switch: "Switch", args: list[str]) -> str:
    table = _table(switch, args[0])
    return (
        f'Statistics for bridge "{args[0]}":\n'
        f"  Current/maximum MAC entries in the table: {len(table)}/{table.max_entries}\n"
        f"  Current static MAC entries in the table : 0\n"
        f"  Total number of learned MAC entries     : {table.total_learned}\n"
        f"  Total number of expired MAC entries     : {table.total_expired}\n"
        f"  Total number of evicted MAC entries     : {table.total_evicted}\n"
        f"  Total number of port moved MAC entries  : {table.total_moved}\n"
    )


def flush(switch: "Switch", args: list[str]) -> str:
    for name in args or list(switch.bridges):
        _table(switch, name).flush()
        switch.bridges[name].ofproto.xbridge.touch()
    return "table successfully flushed\n"


# name, usage, least and most arguments, function
COMMANDS = [
    ("fdb/flush", "[BRIDGE]", 0, 1, flush),
    ("fdb/show", "BRIDGE", 1, 1, show),
    ("fdb/stats-show", "BRIDGE", 1, 1, stats_show),
]
