"""How what iterations of workers cost is written, in tables."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from datapath.ipc.perf_requests import PerfRow


class Column(NamedTuple):
    title: str
    of: Callable[[PerfRow], float]
    form: str = ".0f"


def per(total: float, count: float) -> float:
    return total / count if count else 0.0


CYCLES = Column("cycles/it", lambda row: row.cycles // max(row.iterations, 1))
PER_PACKET = Column("cycles/pkt", lambda row: row.packet_cycles // max(row.packets, 1))
PER_BATCH = Column("pkts/batch", lambda row: per(row.packets, row.batches), ".5f")
QUEUE = Column("vhost qlen", lambda _row: 0, ".5f")
PER_UPCALL = Column("cycles/upcall", lambda row: row.upcall_cycles // max(row.upcalls, 1))
OF_PACKETS = (PER_PACKET, PER_BATCH, QUEUE)
OF_UPCALLS = (Column("upcalls", lambda row: row.upcalls), PER_UPCALL)

# The first with the space that it takes.
ITERATIONS = (
    Column(f"{'iter':<17}", lambda row: row.at),
    Column("cycles", lambda row: row.cycles),
    Column("packets", lambda row: row.packets),
    *(*OF_PACKETS, *OF_UPCALLS),
)
MILLISECONDS = (
    Column(f"{'ms':<12}", lambda row: row.at),
    Column("iterations", lambda row: row.iterations),
    CYCLES,
    Column("Kpps", lambda row: row.packets),  # thousands in a second: packets in one ms
    *(*OF_PACKETS, *OF_UPCALLS),
)


def history(rows: Sequence[PerfRow], columns: Sequence[Column], unit: int = 1) -> str:
    """`unit`: of the rows' numbers."""
    if not rows:
        return ""
    first, *others = columns
    text = "   " + "   ".join(f"{column.title:<10}" for column in columns) + "\n"
    for row in rows:
        cells = "  ".join(f"{int(column.of(row)):<11}" for column in others)
        text += f"   {row.at // unit:<{len(first.title)}}   {cells}\n"
    return text
