"""ofproto/trace: what would happen to a packet."""

from typing import TYPE_CHECKING

from pyvs.daemon import CommandError

if TYPE_CHECKING:
    from vswitchd.switch import Switch

USAGE = "{BRIDGE FLOW | [DP] ODP_FLOW} [-generate | PACKET]"


def trace(switch: "Switch", args: list[str]) -> str:
    from ofproto import trace as tracing

    try:
        return tracing.command(switch.backer, args)
    except ValueError as error:
        raise CommandError(str(error)) from error


# name, usage, least and most arguments, function
COMMANDS = [("ofproto/trace", USAGE, 1, 6, trace)]
