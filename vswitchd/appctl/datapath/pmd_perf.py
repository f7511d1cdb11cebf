"""dpif-netdev/pmd-perf-show: what a worker's iterations cost, where other_config:pmd-perf-metrics
is set each for itself: histograms, and the last of them."""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from datapath.ipc.perf_requests import Measured, PerfRow
from datapath.ipc.perf_table import (
    CYCLES,
    ITERATIONS,
    MILLISECONDS,
    OF_PACKETS,
    PER_UPCALL,
    QUEUE,
    Column,
    history,
    per,
)
from pyvs import digits
from pyvs.process.daemon import CommandError
from vswitchd.appctl.datapath.pmd_counters import (
    MAIN,
    Cleared,
    Counted,
    datapath_of,
    head,
    options_of,
    threads,
    workers,
)

if TYPE_CHECKING:
    from vswitchd.switch import Switch

MOST = 1000  # rows of a history


def show(switch: "Switch", args: list[str]) -> Iterator[str]:
    options, word = options_of([arg for arg in args if arg != "-nh"], ("-it", "-ms", "-pmd"))
    kept = [min(max(options.get(name, 0), 0), MOST) for name in ("-it", "-ms")]
    with datapath_of(switch, word) as asked:
        stats = asked.dpif.stats()
        for core, counted in workers(stats, options):
            if core == MAIN and not counted.get("packets"):
                continue
            n = Cleared.since(asked.name, core, counted)
            present = threads(stats, core)
            measured = _measured(asked.dpif, present, kept)
            duration = per(n["cycles"], stats["frequency"] * len(present))
            yield _title(duration) + head(switch, core) + "\n"
            yield from _overall(n, stats["frequency"], duration, measured)
            if measured:
                yield "" if "-nh" in args else _histograms(measured)
                for rows, columns, unit in (
                    (measured.iterations, ITERATIONS, 1),
                    (measured.ms, MILLISECONDS, stats["frequency"] // 1000),
                ):
                    yield "\n" + history(rows, columns, unit) if rows else ""


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


# In the order in which the datapath has them.
HISTOGRAMS = (
    CYCLES,
    Column("packets/it", lambda row: per(row.packets, row.iterations), ".5f"),
    *OF_PACKETS,
    Column("upcalls/it", lambda row: per(row.upcalls, row.iterations), ".5f"),
    PER_UPCALL,
)


def _histograms(measured: Measured) -> str:
    titles = [column.title for column in HISTOGRAMS]
    averages = [format(column.of(measured.total), column.form) for column in HISTOGRAMS]
    text = "\nHistograms\n"
    text += _wide("max vhost qlen" if title == QUEUE.title else title for title in titles)
    for number in range(len(measured.bins[0])):
        text += _wide(
            f"{walls[number] if number < len(walls) else '>':<9} {bins[number]:<11}"
            for walls, bins in zip(measured.walls, measured.bins, strict=True)
        )
    return text + "-" * 154 + "\n" + _wide(titles) + _wide(averages)


def _wide(cells: Iterator[str] | Sequence[str]) -> str:
    return "   " + "  ".join(f"{cell:<21}" for cell in cells) + "\n"


# --- which iterations are logged

LOG_USAGE = "on|off [-b before] [-a after] [-e|-ne] [-us usec] [-q qlen]"
_SWITCHES = {"on": {"on": True}, "off": {"on": False}, "-e": {"extend": True}} | {
    "-ne": {"extend": False}
}
_NUMBERS = {"-b": "before", "-a": "after", "-us": "us", "-q": "queue"}


def log_options(args: list[str]) -> dict[str, int]:
    """What is given of LogSettings.  Raises CommandError."""
    given: dict[str, int] = {}
    rest = iter(args)
    for word in rest:
        value = digits.number(next(rest, "")) if word in _NUMBERS else None
        if word in _SWITCHES:
            given |= _SWITCHES[word]
        elif value is not None and value < 1 << 32:
            given[_NUMBERS[word]] = value
        else:
            usage = LOG_USAGE.replace("on|off", "[on|off]")
            raise CommandError(f"Usage: ovs-appctl dpif-netdev/pmd-perf-log-set {usage}")
    return given
