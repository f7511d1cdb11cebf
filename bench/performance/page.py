"""docs/performance.md from the figures of one run: python -m bench.performance.page DIRECTORY.

DIRECTORY has performance.json as bench/performance.py writes it; the page and its plots are
written beside it.
"""

import json
import sys
from pathlib import Path

from bench.performance.results import COSTS, FIGURES, KINDS, NAMES, Results

DATA, PAGE = "performance.json", "performance.md"
# (figure, peer, beside which, the goal in words, whether a ratio meets it)
GOALS = (
    ("tcp_rate", "pyvs-kernel", "bridge", "≥ 1.0", lambda ratio: ratio >= 1.0),
    ("tcp_cost", "pyvs-kernel", "bridge", "≤ 1.0", lambda ratio: ratio <= 1.0),
    ("tcp_rate", "pyvs", "bridge", "≥ 0.85", lambda ratio: ratio >= 0.85),
    ("udp_rate", "pyvs-kernel", "bridge", "≥ 1.25", lambda ratio: ratio >= 1.25),
    ("udp_rate", "pyvs", "ovs", "≥ 2", lambda ratio: ratio >= 2),
    ("rtt_50", "pyvs-kernel", "bridge", "≤ 1.1", lambda ratio: ratio <= 1.1),
    ("rtt_50", "pyvs", "ovs", "≤ 0.45", lambda ratio: ratio <= 0.45),
)
COST_TITLES = {"tcp_cost": "TCP, processor time for a gigabyte"}


def number(value: float | None, digits: int) -> str:
    return "fails" if value is None else f"{value:.{digits}f}"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Of markdown; all columns but the first are numbers."""
    rule = "|---|" + "---:|" * (len(head) - 1)
    return [f"| {' | '.join(head)} |", rule, *(f"| {' | '.join(row)} |" for row in rows), ""]


def rates(results: Results) -> list[str]:
    head = ["", *(f"{each.title} ({each.unit})" for each in FIGURES.values())]
    rows = [
        [NAMES.get(peer, peer)]
        + [number(results.of(peer, key), each.digits) for key, each in FIGURES.items()]
        for peer in results.samples
    ]
    return table(head, rows)


def costs(results: Results, what: str) -> list[str]:
    head = [COSTS[what].title, *KINDS, "together"]
    rows = [
        [NAMES.get(peer, peer)]
        + [number(results.of(peer, f"{what}_{kind}"), 3) for kind in (*KINDS, "cost")]
        for peer in results.samples
    ]
    return table(head, rows)


def standing(results: Results) -> list[str]:
    rows = []
    for key, peer, other, goal, met in GOALS:
        ratio = results.ratio(key, peer, other)
        title = COST_TITLES.get(key) or FIGURES[key].title
        verdict = "not measured" if ratio is None else "yes" if met(ratio) else "no"
        told = "-" if ratio is None else f"{ratio:.2f}"
        rows.append([f"{title}: {NAMES[peer]} / {NAMES[other]}", told, goal, verdict])
    return table(["Ratio", "measured", "goal", "met"], rows)


def where(results: Results) -> list[str]:
    machine = results.made["machine"]
    rows = [[name, value] for name, value in machine.items()]
    absent = [
        f"Not measured: {NAMES.get(name, name)} ({why})."
        for name, why in results.made["absent"].items()
    ]
    return [*table(["Machine", ""], rows), *absent, ""]


PAGE_TEXT = """# Performance

Two containers talk through one switch: pyvs with and without its
[kernel cache](kernel-cache.md), Open vSwitch's userspace datapath, the Linux bridge, and no switch
at all, one veth between them, which is the least.  All stand side by side on one machine and are
measured in turns, rounds in one run: {rounds} ({date}); figures are medians of the rounds.
`python -m bench performance DIRECTORY` measures anew and writes this page.
What controllers feel is in [control-path.md](control-path.md).

{where}
## Where pyvs stands

Ratios are taken within a round, so that the machine's moods strike both sides.

{standing}
## Rate, loss, latency

{plot_rates}{rates}
- *TCP, one stream*: iperf3 for {seconds} s, the containers' segmentation and checksum offloads on.
  "fails" means that no connection came about: Open vSwitch's AF_PACKET ports want
  `userspace-tso-enable` or containers without offloads.
- *UDP, 60 bytes*: frames of 1,000 flows, sent as fast as one processor can, counted where they
  arrive in the other container.  What is lost is what the sender was faster than the switch: both
  share the machine's processors, so a switch that takes less of them leaves more to the sender,
  and a high rate may come with loss.
- *RTT*: pings, one each 10 ms, on a machine that does nothing else: what waking a process costs
  is seen here.  90 and 99 % are percentiles within a round.

## What it costs

{plot_costs}{costs}
Seconds of all processors by /proc/stat, less what the idle machine takes: sender, receiver and
switch together, as where the kernel forwards, the work is done in whoever sends.  The ends cost the
same with each switch; the row without one is what they cost by themselves.  *user* is processes,
*system* their system calls, *softirq* the kernel's network stack.

pyvs with its kernel cache forwards hot flows in softirq and takes no process's time for them;
without it, each frame is copied to a process and back.  The cache has its price at a flow's
start: its first packets go the long way, see [kernel-cache.md](kernel-cache.md).
"""


def text(results: Results, plots: dict[str, str]) -> str:
    """`plots`: file names of the plots that there are, by "rates" and "costs"."""
    images = {
        f"plot_{name}": f"![{name}]({plots[name]})\n\n" if name in plots else ""
        for name in ("rates", "costs")
    }
    return PAGE_TEXT.format(
        rounds=results.rounds,
        date=results.made["date"],
        seconds=results.made["seconds"],
        where="\n".join(where(results)),
        standing="\n".join(standing(results)),
        rates="\n".join(rates(results)),
        costs="\n".join(line for what in COSTS for line in costs(results, what)),
        **images,
    )


def write(directory: Path) -> None:
    """Plots where matplotlib is installed, and the page."""
    results = Results(json.loads((directory / DATA).read_text()))
    try:
        from bench import plots
    except ImportError:
        print("no plots: matplotlib is not installed (pip install matplotlib)", file=sys.stderr)
        made = {}
    else:
        made = plots.draw(results, directory)
    (directory / PAGE).write_text(text(results, made))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
