"""What coverage/show and memory/show tell of a switch."""

from typing import TYPE_CHECKING

from pyvs import coverage

if TYPE_CHECKING:
    from vswitchd.switch import Switch

# Of Revalidator.stats(): what is no count of events.
LEVELS = ("max_flows", "avg_flows", "round_ms")
# Reason of a discard in the datapath -> Open vSwitch's counter, without "datapath_".
DATAPATH_DROPS = {
    "rx_invalid_packet": "drop_rx_invalid_packet",
    "no_such_port": "drop_invalid_port",
    "tunnel_no_header": "drop_invalid_port",
    "upcall_queue_full": "drop_upcall_error",
    "upcall_no_handler": "drop_upcall_error",
    "recirc_too_deep": "drop_recirc_error",
    "bond_no_member": "drop_invalid_bond",
    "meter_exceeded": "drop_meter",
    "tunnel_push_error": "drop_tunnel_push_error",
    "tunnel_pop_error": "drop_tunnel_pop_error",
}
# Of UpcallHandler.stats(), the same.
SIZES = ("flows", "states")


class _Told:
    """What the datapath has counted, when it was asked last."""

    drops: dict[str, int] = {}


def events(switch: "Switch") -> dict[str, int]:
    """Counts of upcalls and revalidation; they begin anew with vswitchd."""
    found = {"bridge_reconfigure": switch.n_reconciled}
    if switch.backer is not None:
        upcalls, rounds = switch.backer.flows.stats(), switch.backer.revalidator.stats()
        found |= {f"upcall_{name}": n for name, n in upcalls.items() if name not in SIZES}
        found |= {f"revalidate_{name}": n for name, n in rounds.items() if name not in LEVELS}
        found |= _datapath_drops(switch)
    return found


def _datapath_drops(switch: "Switch") -> dict[str, int]:
    """What the datapath discarded, under the names that OVS has for it; while it does not answer,
    what it has told last."""
    stats = switch.backer.stats()
    if stats is not None:
        _Told.drops = stats["drops"]
    elif not switch.backer.is_stalled():
        _Told.drops = {}
    counted = _Told.drops
    found = {f"datapath_{name}": 0 for name in DATAPATH_DROPS.values()}
    for reason, count in counted.items():
        if reason in DATAPATH_DROPS:
            found[f"datapath_{DATAPATH_DROPS[reason]}"] += count
    return found


def memory(switch: "Switch") -> dict[str, int]:
    """Sizes, under the names that OVS gives them."""
    cells = sum(
        len(row._data) for table in switch.idl.tables.values() for row in table.rows.values()
    )
    found = {
        "idl-cells-Open_vSwitch": cells,
        "rules": sum(len(bridge.ofproto.tables) for bridge in switch.bridges.values()),
    }
    if switch.backer is not None:
        found |= {
            "handlers": 1,
            "revalidators": 1,
            "ports": len(switch.backer.ports),
        }
        if n_keys := len(switch.backer.flows.ukeys()):
            found["udpif keys"] = n_keys
    return found


def register(switch: "Switch") -> None:
    coverage.event_reporter(lambda: events(switch))
    coverage.memory_reporter(lambda: memory(switch))
