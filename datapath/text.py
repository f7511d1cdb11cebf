"""Ports, flows and counters of a datapath as people read them, in the layout of ovs-dpctl(8).

For pyvs-dpctl and for the dpctl/* commands of both daemons.
"""

import time
from collections.abc import Iterable

from datapath import flow, odp

DATAPATH = "netdev@pyvs"
TCP_FLAGS = "FSRP.UEC"


def _tcp_flags(flags: int) -> str:
    return "".join(letter for bit, letter in enumerate(TCP_FLAGS) if flags >> bit & 1)


def _used(used: int, now: int) -> str:
    return f"{max(0, now - used) / 1000:.3f}s" if used else "never"


def format_flow(info, more: bool = False, now: int | None = None) -> str:
    """One line for a FlowInfo; `more`: with its ufid.  `now`: ms of CLOCK_MONOTONIC."""
    now = time.monotonic_ns() // 1_000_000 if now is None else now
    parts = [f"ufid:{format_ufid(info.ufid)}"] if more else []
    parts.append(flow.format_key(info.key, info.mask))
    parts.append(f"packets:{info.packets}, bytes:{info.bytes}, used:{_used(info.used, now)}")
    if info.tcp_flags:
        parts.append(f"flags:{_tcp_flags(info.tcp_flags)}")
    parts.append(f"actions:{odp.format_actions(info.actions, info.key)}")
    return ", ".join(parts)


def format_ufid(ufid: bytes) -> str:
    """16 bytes in the form of a UUID."""
    digits = ufid.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _port_type(port) -> str:
    shown = "tap" if port.type == "internal" else port.type
    return "" if shown == "system" else f" ({shown})"


_STATISTICS = (
    ("RX packets", ("rx_packets", "rx_errors", "rx_dropped", "rx_over_err", "rx_frame_err")),
    ("TX packets", ("tx_packets", "tx_errors", "tx_dropped")),
)
_SHORT = {
    "rx_errors": "errors",
    "rx_dropped": "dropped",
    "rx_over_err": "overruns",
    "rx_frame_err": "frame",
    "tx_errors": "errors",
    "tx_dropped": "dropped",
}


def _port_statistics(port) -> list[str]:
    lines = []
    for title, (first, *others) in _STATISTICS:
        counts = " ".join(f"{_SHORT[name]}:{port.stats[name]}" for name in others)
        lines.append(f"    {title}:{port.stats[first]} {counts}")
    lines.append(f"    RX bytes:{port.stats['rx_bytes']}  TX bytes:{port.stats['tx_bytes']}")
    lines += [f"    drop {name}:{count}" for name, count in sorted(port.drops.items())]
    return lines


def format_show(stats: dict, ports: Iterable, statistics: bool = False) -> str:
    """dpctl/show: lookups, flows, ports; `statistics`: with each port's counters and drops."""
    hits, misses = stats["hits"], stats["misses"]
    per_packet = stats["mask_hits"] / (hits + misses) if hits + misses else 0.0
    lines = [
        f"{DATAPATH}:",
        f"  lookups: hit:{hits} missed:{misses} lost:{stats['lost']}",
        f"  flows: {stats['n_flows']}",
        f"  masks: hit:{stats['mask_hits']} total:{stats['masks']} hit/pkt:{per_packet:.2f}",
    ]
    for port in ports:
        gone = ", interface is gone" if port.dead else ""
        lines.append(f"  port {port.port_no}: {port.name}{_port_type(port)}{gone}")
        if statistics:
            lines += _port_statistics(port)
    return "\n".join(lines) + "\n"


def format_drops(stats: dict) -> str:
    """Every reason for which packets were discarded, with its count."""
    return "".join(f"{name:<24}{count}\n" for name, count in sorted(stats["drops"].items()))


def format_workers(stats: dict) -> str:
    """Counters of each worker."""
    lines = []
    for number, worker in enumerate(stats["workers"]):
        lines.append(f"worker {number}:")
        lines += [f"  {name}: {count}" for name, count in worker.items()]
    return "\n".join(lines) + "\n"
