"""mdb/*: the multicast groups that the bridges have heard of."""

from ipaddress import ip_address
from typing import TYPE_CHECKING

from ofproto.ofproto import Ofproto
from pyvs import clock
from pyvs.process.daemon import CommandError
from vswitchd.bridge import LOCAL

if TYPE_CHECKING:
    from vswitchd.switch import Switch


def _snooping(switch: "Switch", name: str) -> Ofproto:
    if name not in switch.bridges:
        raise CommandError("no such bridge")
    ofproto = switch.bridges[name].ofproto
    if ofproto.xbridge.snooping is None:
        raise CommandError("multicast snooping is disabled")
    return ofproto


def _number(switch: "Switch", bridge: str, bundle: str) -> str:
    number = switch.bridges[bridge].bundles.port(bundle)
    return "LOCAL" if number == LOCAL else "?" if number is None else str(number)


def show(switch: "Switch", args: list[str]) -> str:
    snooping = _snooping(switch, args[0]).xbridge.snooping
    lines = [" port  VLAN  GROUP                Age"]
    for bundle, vlan, group, age in snooping.rows(clock.msec()):
        port = _number(switch, args[0], bundle.name)
        what = f"querier{'':13}" if group is None else f"{ip_address(group)}{'':9}"
        lines.append(f"{port:>5}  {vlan:4d}  {what}{age:3d}")
    return "\n".join(lines) + "\n"


def flush(switch: "Switch", args: list[str]) -> str:
    for name in args or list(switch.bridges):
        if args:
            _snooping(switch, name)
        switch.bridges[name].ofproto.flush_groups()
    return "table successfully flushed\n"


# name, usage, least and most arguments, function
COMMANDS = [
    ("mdb/flush", "[bridge]", 0, 1, flush),
    ("mdb/show", "bridge", 1, 1, show),
]
