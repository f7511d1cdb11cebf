"""What coverage/show and memory/show tell of a switch."""

from typing import TYPE_CHECKING

from pyvs import coverage

if TYPE_CHECKING:
    from vswitchd.switch import Switch

# Of Revalidator.stats(): what is no count of events.
LEVELS = ("max_flows", "avg_flows", "round_ms")
# Of UpcallHandler.stats(), the same.
SIZES = ("flows", "states")


def events(switch: "Switch") -> dict[str, int]:
    """Counts of upcalls and revalidation; they begin anew with vswitchd."""
    found = {"bridge_reconfigure": switch.n_reconciled}
    if switch.backer is not None:
        upcalls, rounds = switch.backer.flows.stats(), switch.backer.revalidator.stats()
        found |= {f"upcall_{name}": n for name, n in upcalls.items() if name not in SIZES}
        found |= {f"revalidate_{name}": n for name, n in rounds.items() if name not in LEVELS}
    return found


def memory(switch: "Switch") -> dict[str, int]:
    """Sizes, under the names that OVS gives them."""
    cells = sum(
        len(row._data) for table in switch.idl.tables.values() for row in table.rows.values()
    )
    found = {
        "idl-cells": cells,
        "rules": sum(len(bridge.ofproto.tables) for bridge in switch.bridges.values()),
    }
    if switch.backer is not None:
        found |= {
            "handlers": 1,
            "revalidators": 1,
            "ports": len(switch.backer.ports),
            "udpif keys": len(switch.backer.flows.ukeys()),
        }
    return found


def register(switch: "Switch") -> None:
    coverage.event_reporter(lambda: events(switch))
    coverage.memory_reporter(lambda: memory(switch))
