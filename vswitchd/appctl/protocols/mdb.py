"""mdb/*: the multicast groups that the bridges have heard of."""

from collections.abc import Iterator
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


def _shown(number: int | None) -> str:
    return "LOCAL" if number == LOCAL else "?" if number is None else str(number)


def show(switch: "Switch", args: list[str]) -> Iterator[str]:
    snooping = _snooping(switch, args[0]).xbridge.snooping
    bundles = switch.bridges[args[0]].bundles
    yield " port  VLAN  GROUP                Age\n"
    for bundle, vlan, group, age in list(snooping.rows(clock.msec())):
        port = _shown(bundles.port(bundle.name))
        what = f"querier{'':13}" if group is None else f"{ip_address(group)}{'':9}"
        yield f"{port:>5}  {vlan:4d}  {what}{age:3d}\n"


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
