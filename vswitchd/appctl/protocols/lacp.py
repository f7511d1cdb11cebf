"""lacp/*: the ports of all bridges that speak LACP, as ovs-vswitchd(8) has them."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ofproto.protocols.lacp import STATES, Aggregate, Info, Member
from pyvs.process.daemon import CommandError

if TYPE_CHECKING:
    from vswitchd.switch import Switch

# label -> counter
COUNTS = {
    "TX PDUs": "sent",
    "RX PDUs": "received",
    "RX Bad PDUs": "bad",
    "RX Marker Request PDUs": "markers",
    "Link Expired": "expired",
    "Link Defaulted": "defaulted",
    "Carrier Status Changed": "carrier_changes",
}


def _of_all(switch: "Switch", args: list[str], shown: Callable[[str, Aggregate], str]) -> str:
    """What is to be said of a port, or of all."""
    found = {
        name: aggregate
        for bridge in switch.bridges.values()
        for name, aggregate in bridge.protocols.lacp.aggregates.items()
    }
    if not args:
        return "".join(shown(*each) for each in found.items())
    if args[0] not in found:
        raise CommandError("no such lacp object")
    return shown(args[0], found[args[0]])


def show(switch: "Switch", args: list[str]) -> str:
    return _of_all(switch, args, _shown)


def show_stats(switch: "Switch", args: list[str]) -> str:
    return _of_all(switch, args, _counted)


def _shown(name: str, aggregate: Aggregate) -> str:
    settings = aggregate.settings
    status = "active" if settings.active else "passive"
    lines = [
        f"---- {name} ----",
        f"  status: {status}{' negotiated' * aggregate.is_negotiated}",
        f"  sys_id: {settings.sys_id.hex(':')}",
        f"  sys_priority: {settings.sys_priority}",
        f"  aggregation key: {aggregate.key}",
        f"  lacp_time: {'fast' if settings.fast else 'slow'}",
    ]
    for key in sorted(aggregate.members, key=str):
        lines += _member(aggregate, aggregate.members[key], aggregate.may_enable(key))
    return "\n".join(lines) + "\n"


def _member(aggregate: Aggregate, member: Member, may_enable: bool) -> list[str]:
    settings = member.settings
    return [
        "",
        f"member: {settings.name}: {member.status} {'at' if member.attached else 'de'}tached",
        f"  port_id: {settings.port_id}",
        f"  port_priority: {settings.port_priority}",
        f"  may_enable: {str(may_enable).lower()}",
        *_info("actor", aggregate.actor(member)),
        *_info("partner", member.partner),
    ]


def _info(who: str, info: Info) -> list[str]:
    states = "".join(f" {name}" for name, bit in STATES.items() if info.state & bit)
    return [
        "",
        f"  {who} sys_id: {info.sys_id.hex(':')}",
        f"  {who} sys_priority: {info.sys_priority}",
        f"  {who} port_id: {info.port_id}",
        f"  {who} port_priority: {info.port_priority}",
        f"  {who} key: {info.key}",
        f"  {who} state:{states}",
    ]


def _counted(name: str, aggregate: Aggregate) -> str:
    lines = [f"---- {name} statistics ----"]
    for key in sorted(aggregate.members, key=str):
        member = aggregate.members[key]
        lines += ["", f"member: {member.settings.name}:"]
        lines += [f"  {label}: {getattr(member.counts, what)}" for label, what in COUNTS.items()]
    return "\n".join(lines) + "\n"


COMMANDS = [
    ("lacp/show", "[port]", 0, 1, show),
    ("lacp/show-stats", "[port]", 0, 1, show_stats),
]
