"""What the commands of protocols that interfaces speak have in common."""

from typing import TYPE_CHECKING, Any

from pyvs.process.daemon import CommandError

if TYPE_CHECKING:
    from vswitchd.switch import Switch

OVERRIDES = {"true": True, "false": False, "normal": None}


def find(switch: "Switch", protocol: str, name: str | None, error: str) -> list[tuple[str, Any]]:
    """(interface, the protocol of its bridge): those with a session, or the one of this name;
    CommandError where that has none."""
    found = [
        (each, bridge.protocols.by_name[protocol])
        for bridge in switch.bridges.values()
        for each in bridge.protocols.by_name[protocol].sessions
    ]
    if name is None:
        return sorted(found, key=lambda pair: pair[0])
    found = [pair for pair in found if pair[0] == name]
    if not found:
        raise CommandError(error)
    return found


def parse_override(text: str) -> bool | None:
    if text.lower() not in OVERRIDES:
        raise CommandError("unknown fault string")
    return OVERRIDES[text.lower()]
