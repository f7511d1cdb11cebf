"""What a spanning tree says in the database: columns of Bridge and Port."""

from typing import Any

from ofproto.protocols.rstp_port import ROLES
from ofproto.protocols.stp import STATES
from pyvs import clock

NO_PORT: dict[str, Any] = {
    "status": {},
    "statistics": {},
    "rstp_status": {},
    "rstp_statistics": {},
}


def stp_id(bridge: int) -> str:
    """A bridge's identifier, as STP's columns have it."""
    return f"{bridge >> 48:04x}.{bridge & 0xFFFF_FFFF_FFFF:012x}"


def rstp_id(bridge: int) -> str:
    """The same for RSTP: the priority's low bits are an extension."""
    digits = f"{bridge:016x}"
    return f"{digits[0]}.{digits[1:4]}.{digits[4:]}"


def bridge_row(key: str | None, tree: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"status": {}, "rstp_status": {}}
    if key == "stp":
        row["status"] = {
            "stp_bridge_id": stp_id(tree.bridge_id),
            "stp_designated_root": stp_id(tree.designated_root),
            "stp_root_path_cost": str(tree.root_path_cost),
        }
    elif key == "rstp":
        root = tree.root_priority
        row["rstp_status"] = {
            "rstp_bridge_id": rstp_id(tree.bridge_id),
            "rstp_root_id": rstp_id(root.root),
            "rstp_root_path_cost": str(root.cost),
            "rstp_designated_id": rstp_id(root.bridge),
            "rstp_designated_port_id": f"{root.port:04x}",
            "rstp_bridge_port_id": f"{tree.root_port.port_id if tree.root_port else 0:04x}",
        }
    return row


def port_row(key: str, tree: Any, number: int, started: int) -> dict[str, Any]:
    """`started` is when the tree was made."""
    port, now = tree.ports[number], clock.msec()
    if key == "stp":
        return {
            **NO_PORT,
            "status": {
                "stp_port_id": str(port.port_id),
                "stp_state": STATES[port.state],
                "stp_sec_in_state": str((now - port.since) // 1000),
                "stp_role": tree.role(port),
            },
            "statistics": _counters("stp", port),
        }
    heard = port.port_priority
    uptime = (now - started) // 1000
    return {
        **NO_PORT,
        "rstp_status": {
            "rstp_port_id": f"{port.port_id:04x}",
            "rstp_port_role": ROLES[port.role],
            "rstp_port_state": port.state,
            "rstp_designated_bridge_id": rstp_id(heard.bridge),
            "rstp_designated_port_id": f"{heard.port:04x}",
            "rstp_designated_path_cost": str(heard.cost),
        },
        "rstp_statistics": {**_counters("rstp", port), "rstp_uptime": uptime},
    }


def _counters(key: str, port: Any) -> dict[str, int]:
    return {
        f"{key}_tx_count": port.tx,
        f"{key}_rx_count": port.rx,
        f"{key}_error_count": port.errors,
    }
