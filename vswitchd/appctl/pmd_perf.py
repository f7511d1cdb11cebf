"""dpif-netdev/pmd-perf-show: what a worker's iterations cost, where other_config:pmd-perf-metrics
is set each for itself: histograms, and the last of them."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from datapath.ipc.perf_requests import Measured, PerfRow
from vswitchd.appctl.pmd_counters import (
    MAIN,
    Cleared,
    Counted,
    datapath_of,
    head,
    options_of,
    per,
    threads,
    workers,
)

if TYPE_CHECKING:
    from vswitchd.switch import Switch

MOST = 1000  # rows of a history


def show(switch: "Switch", args: list[str]) -> Iterator[str]:
    options, word = options_of([arg for arg in args if arg != "-nh"], ("-it", "-ms", "-pmd"))
    rows = [min(max(options.get(name, 0), 0), MOST) for name in ("-it", "-ms")]
    with datapath_of(switch, word) as asked:
        stats = asked.dpif.stats()
        for core, counted in workers(stats, options):
            if core == MAIN and not counted.get("packets"):
                continue
            n = Cleared.since(asked.name, core, counted)
            present = threads(stats, core)
            measured = _measured(asked.dpif, present, rows)
            duration = per(n["cycles"], stats["frequency"] * len(present))
            yield _title(duration) + head(switch, core) + "\n"
            yield from _overall(n, stats["frequency"], duration, measured)
            if measured:
                yield "" if "-nh" in args else _histograms(measured)
                yield _history(measured.iterations, ITERATIONS, 1)
                yield _history(measured.ms, MILLISECONDS, stats["frequency"] // 1000)


def _measured(dpif: Any, present: list[dict[str, Any]], rows: list[int]) -> Measured | None:
    """Of all these workers together; the histories are those of who has had most packets."""
    found = [
        measured
        for each in sorted(present, key=lambda each: -each["packets"])
        if (measured := dpif.perf_get(each["id"], *rows)) is not None
    ]
    if not found:
        return None
    total = PerfRow(*map(sum, zip(*(each.total for each in found), strict=True)))
    bins = [
        [sum(counts) for counts in zip(*histograms, strict=True)]
        for histograms in zip(*(each.bins for each in found), strict=True)
    ]
    return found[0]._replace(total=total, bins=bins)


# --- all iterations together


def _title(duration: float) -> str:
    now = time.time()
    clock = time.strftime("%H:%M:%S", time.localtime(now)) + f".{int(now * 1000) % 1000:03d}"
    return f"\nTime: {clock}\nMeasurement duration: {duration:.3f} s\n\n"


def _overall(
    n: Counted, frequency: int, duration: float, measured: Measured | None
) -> Iterator[str]:
    us = _upcall_us(measured.total, frequency) if measured else 0
    yield from _iterations(n, frequency)
    yield from _received(n, duration, us) if n["packets"] else (_line("Rx packets:", 0),)
    yield from _sent(n, duration) if n["sent"] else (_line("Tx packets:", 0), "\n")


def _upcall_us(total: PerfRow, frequency: int) -> float:
    return per(total.upcall_cycles * 1_000_000, total.upcalls * frequency)


def _iterations(n: Counted, frequency: int) -> Iterator[str]:
    used = max(n["cycles"] - n["asleep"], 0)
    busy = min(n["busy"], used)
    slept = per(n["asleep"] * 1_000_000, frequency)
    sleep = per(slept, n["sleeps"])
    us = per(n["cycles"] * 1_000_000, n["rounds"] * frequency)
    idle_rounds = max(n["rounds"] - n["busy_rounds"], 0)
    yield _line("Iterations:", n["rounds"], f"{us:.2f} us/it")
    yield _line("- Used TSC cycles:", used, f"{_percent(used, n['cycles'])} of total cycles")
    yield _line("- idle iterations:", idle_rounds, f"{_percent(used - busy, used)} of used cycles")
    yield _line("- busy iterations:", n["busy_rounds"], f"{_percent(busy, used)} of used cycles")
    share = _percent(n["sleeps"], n["rounds"])
    yield _line("- sleep iterations:", n["sleeps"], f"{share} of iterations")
    yield _line("Sleep time (us):", int(slept), f"{sleep:3.0f} us/iteration avg.")


def _received(n: Counted, duration: float, upcall_us: float) -> Iterator[str]:
    """`n`: with packets.  What hardware and parsers of single processors do elsewhere is never
    done."""
    passes = n["packets"] + n["recirculations"]
    lookups = per(n["masks_probed"], n["megaflow_hits"])
    cost = f"{n['busy'] / n['packets']:.0f} cycles/pkt"
    yield _line("Rx packets:", n["packets"], f"{_kpps(n['packets'], duration)}, {cost}")
    yield _line("Datapath passes:", passes, f"{passes / n['packets']:.2f} passes/pkt")
    for name, count, more in (
        ("- PHWOL hits:", 0, ""),
        ("- MFEX Opt hits:", 0, ""),
        ("- Simple Match hits:", 0, ""),
        ("- EMC hits:", n["emc_hits"], ""),
        ("- SMC hits:", n["smc_hits"], ""),
        ("- Megaflow hits:", n["megaflow_hits"], f", {lookups:.2f} subtbl lookups/hit"),
        ("- Upcalls:", n["misses"], f", {upcall_us:.1f} us/upcall"),
        ("- Lost upcalls:", n["lost"], ""),
    ):
        yield _line(name, count, _percent(count, passes) + more)


def _sent(n: Counted, duration: float) -> Iterator[str]:
    batch = per(n["sent"], n["sent_batches"])
    yield _line("Tx packets:", n["sent"], _kpps(n["sent"], duration))
    yield _line("Tx batches:", n["sent_batches"], f"{batch:.2f} pkts/batch")


def _line(name: str, count: int, remark: str = "") -> str:
    return f"  {name:<20}{count:>12}" + (f"  ({remark})\n" if remark else "\n")


def _kpps(packets: int, duration: float) -> str:
    return f"{per(packets, duration * 1000):.0f} Kpps"


def _percent(part: int, whole: int) -> str:
    return f"{per(100 * part, whole):5.1f} %"


# --- each for itself


class Column(NamedTuple):
    title: str
    of: Callable[[PerfRow], float]
    form: str = ".0f"


_CYCLES = Column("cycles/it", lambda row: row.cycles // max(row.iterations, 1))
_PER_PACKET = Column("cycles/pkt", lambda row: row.packet_cycles // max(row.packets, 1))
_PER_BATCH = Column("pkts/batch", lambda row: per(row.packets, row.batches), ".5f")
_QUEUE = Column("vhost qlen", lambda _row: 0, ".5f")
_PER_UPCALL = Column("cycles/upcall", lambda row: row.upcall_cycles // max(row.upcalls, 1))
_OF_PACKETS = (_PER_PACKET, _PER_BATCH, _QUEUE)
_OF_UPCALLS = (Column("upcalls", lambda row: row.upcalls), _PER_UPCALL)

# In the order in which the datapath has them.
HISTOGRAMS = (
    _CYCLES,
    Column("packets/it", lambda row: per(row.packets, row.iterations), ".5f"),
    *_OF_PACKETS,
    Column("upcalls/it", lambda row: per(row.upcalls, row.iterations), ".5f"),
    _PER_UPCALL,
)
# The first with the space that it takes.
ITERATIONS = (
    Column(f"{'iter':<17}", lambda row: row.at),
    Column("cycles", lambda row: row.cycles),
    Column("packets", lambda row: row.packets),
    *(*_OF_PACKETS, *_OF_UPCALLS),
)
MILLISECONDS = (
    Column(f"{'ms':<12}", lambda row: row.at),
    Column("iterations", lambda row: row.iterations),
    _CYCLES,
    Column("Kpps", lambda row: row.packets),  # thousands in a second: packets in one ms
    *(*_OF_PACKETS, *_OF_UPCALLS),
)


def _histograms(measured: Measured) -> str:
    titles = [column.title for column in HISTOGRAMS]
    averages = [format(column.of(measured.total), column.form) for column in HISTOGRAMS]
    text = "\nHistograms\n"
    text += _wide("max vhost qlen" if title == _QUEUE.title else title for title in titles)
    for number in range(len(measured.bins[0])):
        text += _wide(
            f"{walls[number] if number < len(walls) else '>':<9} {bins[number]:<11}"
            for walls, bins in zip(measured.walls, measured.bins, strict=True)
        )
    return text + "-" * 154 + "\n" + _wide(titles) + _wide(averages)


def _wide(cells: Iterator[str] | Sequence[str]) -> str:
    return "   " + "  ".join(f"{cell:<21}" for cell in cells) + "\n"


def _history(rows: Sequence[PerfRow], columns: Sequence[Column], unit: int) -> str:
    """`unit`: of the rows' numbers."""
    if not rows:
        return ""
    first, *others = columns
    text = "\n   " + "   ".join(f"{column.title:<10}" for column in columns) + "\n"
    for row in rows:
        cells = "  ".join(f"{int(column.of(row)):<11}" for column in others)
        text += f"   {row.at // unit:<{len(first.title)}}   {cells}\n"
    return text
