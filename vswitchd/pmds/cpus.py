"""The processor cores of the machine and their NUMA nodes."""

import os
import re
from pathlib import Path

import ovs.vlog

vlog = ovs.vlog.Vlog("ovs_numa")

NODES = Path("/sys/devices/system/node")
MOST_CORES = 4096  # that a mask can name

Cores = dict[int, int]  # core -> its NUMA node


def parse_mask(text: str) -> set[int] | None:
    """The cores of a hexadecimal mask; None where it is none."""
    digits = text.lower().removeprefix("0x")
    if not re.fullmatch(f"[0-9a-f]{{1,{MOST_CORES // 4}}}", digits):
        return None
    mask = int(digits, 16)
    return {core for core in range(mask.bit_length()) if mask >> core & 1}


def parse_list(text: str) -> set[int]:
    """The numbers of a list like "0-3,8"."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if first.isdecimal():
            found.update(range(int(first), int(last or first) + 1))
    return found


def of_machine(nodes: Path = NODES) -> Cores:
    """Those that this process may use; all on node 0 where the kernel tells of none."""
    ours = os.sched_getaffinity(0)
    found: Cores = {}
    for node in sorted(nodes.glob("node[0-9]*")):
        for core in parse_list((node / "cpulist").read_text()) & ours:
            found[core] = int(node.name.removeprefix("node"))
    return found or dict.fromkeys(sorted(ours), 0)


def of_text(text: str) -> Cores:
    """--dummy-numa: the node of each core.  Raises ValueError."""
    return {core: int(node) for core, node in enumerate(text.split(","))}


def tell(cores: Cores) -> None:
    nodes = sorted(set(cores.values()))
    for node in nodes:
        n_cores = list(cores.values()).count(node)
        vlog.info(f"Discovered {n_cores} CPU cores on NUMA node {node}")
    vlog.info(f"Discovered {len(nodes)} NUMA nodes and {len(cores)} CPU cores")
