"""cfm/*: the maintenance points of all bridges, as ovs-vswitchd(8) has them."""

from typing import TYPE_CHECKING

from ofproto.protocols.cfm import MaintenancePoint
from pyvs import clock
from vswitchd.appctl.protocols.sessions import find, parse_override

if TYPE_CHECKING:
    from vswitchd.switch import Switch

NONE = "no such CFM object"


def show(switch: "Switch", args: list[str]) -> str:
    now = clock.msec()
    found = find(switch, "cfm", args[0] if args else None, NONE)
    return "".join(_shown(name, protocol.sessions[name], now) for name, protocol in found)


def _shown(name: str, point: MaintenancePoint, now: int) -> str:
    extended = " extended" * point.settings.extended
    override = " fault_override" * (point.override is not None)
    health = "undefined" if point.health is None else str(point.health)
    lines = [f"---- {name} ----", f"MPID {point.settings.mpid}:{extended}{override}"]
    if point.is_faulty:
        lines.append(f"  fault: {' '.join(point.shown_faults)}")
    lines += [
        f"  average health: {health}",
        f"  opstate: {_up(point.settings.is_up)}",
        f"  remote_opstate: {_up(point.remote_is_up)}",
        f"  interval: {point.interval}ms",
        f"  next CCM tx: {point.next_send - now}ms",
        f"  next fault check: {point.next_check - now}ms",
    ]
    for mpid, remote in point.remotes.items():
        lines += [f"Remote MPID {mpid}", f"  recv since check: {str(remote.heard).lower()}"]
        lines.append(f"  opstate: {_up(remote.is_up)}")
    return "\n".join(lines) + "\n"


def _up(is_up: bool) -> str:
    return "up" if is_up else "down"


def set_fault(switch: "Switch", args: list[str]) -> str:
    faulty = parse_override(args[-1])
    found = find(switch, "cfm", args[0] if len(args) > 1 else None, NONE)
    for name, protocol in found:
        protocol.sessions[name].set_override(faulty)
        protocol.follow(name, clock.msec())
    return "OK"


COMMANDS = [
    ("cfm/show", "[interface]", 0, 1, show),
    ("cfm/set-fault", "[interface] normal|false|true", 1, 2, set_fault),
]
