"""qos/*: quality of service of interfaces, as ovs-vswitchd(8) has them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pyvs.process.daemon import CommandError
from vswitchd.bridge import Bridge
from vswitchd.qos.tc import TYPES, UNTOUCHED

if TYPE_CHECKING:
    from vswitchd.switch import Switch


def _bridge(switch: "Switch", name: str) -> Bridge:
    for bridge in switch.bridges.values():
        if name in bridge.ifaces:
            return bridge
    raise CommandError("no such interface")


def show_types(switch: "Switch", args: list[str]) -> str:
    """The types that can be configured."""
    bridge = _bridge(switch, args[0])
    if bridge.ifaces[args[0]].link is None:
        return f"No QoS types supported for interface: {args[0]}\n"
    return "".join(f"QoS type: {each}\n" for each in sorted([*TYPES, UNTOUCHED]))


def show(switch: "Switch", args: list[str]) -> Iterator[str]:
    """What a device has, as it came out of what is configured, and the queues' counters."""
    name = args[0]
    bridge = _bridge(switch, name)
    kind, options, queues = bridge.qos.shown(name)
    if not kind:
        yield f"QoS not configured on {name}\n"
        return
    counted = yield from bridge.qos.counters(name)
    yield "\n".join((f"QoS: {name} {kind}", *_options(options, ""))) + "\n"
    for number, given in queues:
        lines = ["", f"Queue {number}:" if number else "Default:", *_options(given, "  ")]
        lines += [f"  {key}: {value}" for key, value in counted.get(number, {}).items()]
        yield "\n".join(lines) + "\n"


def _options(options: dict[str, Any], indent: str) -> list[str]:
    return [f"{indent}{key}: {value}" for key, value in options.items()]


COMMANDS = (
    ("qos/show-types", "interface", 1, 1, show_types),
    ("qos/show", "interface", 1, 1, show),
)
