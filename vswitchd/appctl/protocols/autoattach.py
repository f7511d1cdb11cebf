"""autoattach/*: LLDP's neighbours that know of Auto Attach, and what became of the mappings."""

from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import TYPE_CHECKING

from ofproto.protocols.lldp import Agent

if TYPE_CHECKING:
    from vswitchd.switch import Switch

COUNTS = (
    ("tx cnt", "sent"),
    ("rx cnt", "received"),
    ("rx discarded cnt", "discarded"),
    ("rx unrecognized cnt", "unrecognized"),
    ("ageout cnt", "ageouts"),
    ("insert cnt", "inserts"),
    ("delete cnt", "deletes"),
    ("drop cnt", "drops"),
)
INDENT = "  Auto Attach Primary Server"


def _command(title: str, shown: Callable[[Agent], Iterator[str]]) -> Callable[..., Iterator[str]]:
    def run(switch: "Switch", args: list[str]) -> Iterator[str]:
        """As in Open vSwitch, a bridge that is named selects nothing."""
        agents = {
            name: agent
            for bridge in switch.bridges.values()
            for name, agent in bridge.protocols.by_name["lldp"].sessions.items()
        }
        for name, agent in sorted(agents.items(), key=itemgetter(0)):
            yield "".join(f"{line}\n" for line in (f"{title}: {name}", *shown(agent)))

    return run


def _status(agent: Agent) -> Iterator[str]:
    for neighbor, _end in agent.neighbors.values():
        if any(neighbor.system_id[:6]):
            yield f"{INDENT} Id: {neighbor.chassis[1:].hex(':')}"
            yield f"{INDENT} Descr: {neighbor.description}"
            yield f"{INDENT} System Id: {neighbor.system_id.ljust(12, bytes(1)).hex(':')}"


def _isids(agent: Agent) -> Iterator[str]:
    yield from ("I-SID    VLAN Source      Status  ", "-------- ---- ----------- --------")
    for (isid, vlan), status in agent.statuses.items():
        yield f"{isid:<8} {vlan:<4} {'Switch':<11} {status:<11}"


def _statistics(agent: Agent) -> Iterator[str]:
    for title, name in COUNTS:
        yield f"  {title}: {getattr(agent.counts, name)}"


COMMANDS = [
    ("autoattach/status", "[bridge]", 0, 1, _command("LLDP", _status)),
    ("autoattach/show-isid", "[bridge]", 0, 1, _command("LLDP", _isids)),
    ("autoattach/statistics", "[bridge]", 0, 1, _command("Statistics", _statistics)),
]
