"""Plots of page.py, as SVG.  matplotlib is wanted by nothing but this."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot

from bench.performance.results import COSTS, FIGURES, KINDS, NAMES, Results

COLOURS = {"pyvs-kernel": "#0b6e4f", "pyvs": "#6bbf59", "bridge": "#5c677d", "wire": "#adb5bd"}
OTHERS = "#d08c60"
SHADES = ("#264653", "#2a9d8f", "#e9c46a")  # user, system, softirq
# Nothing that differs from run to run but the figures.
matplotlib.rcParams.update({"svg.hashsalt": "pyvs", "svg.fonttype": "none", "font.size": 9})


def _panel(axes, results: Results, key: str, **label) -> None:
    """A bar for each peer, its number beside it."""
    peers = list(results.samples)
    values = [results.of(peer, key) for peer in peers]
    bars = axes.barh(
        [NAMES.get(peer, peer) for peer in peers],
        [value or 0 for value in values],
        color=[COLOURS.get(peer, OTHERS) for peer in peers],
    )
    figure = FIGURES[key]
    told = ["fails" if value is None else f"{value:.{figure.digits}f}" for value in values]
    axes.bar_label(bars, told, **(label or {"padding": 3}))
    _finish(axes, f"{figure.title} ({figure.unit})")


def _finish(axes, title: str) -> None:
    axes.set_title(title)
    axes.invert_yaxis()
    axes.margins(x=0.2)
    axes.spines[["top", "right"]].set_visible(False)


def _percentiles(axes, results: Results) -> None:
    """The median as a bar, 90 and 99 % as marks."""
    _panel(axes, results, "rtt_50", label_type="center", color="white")
    axes.set_xscale("log")
    for key, mark in (("rtt_90", "|"), ("rtt_99", "x")):
        found = [(results.of(peer, key), at) for at, peer in enumerate(results.samples)]
        known = [pair for pair in found if pair[0] is not None]
        axes.plot(*zip(*known, strict=True), mark, color="black", label=FIGURES[key].title)
    axes.legend(frameon=False, fontsize=8, loc="right", bbox_to_anchor=(1.0, 0.5))


def _stack(axes, results: Results, what: str) -> None:
    peers = [peer for peer in results.samples if results.of(peer, f"{what}_cost") is not None]
    names, left = [NAMES.get(peer, peer) for peer in peers], [0.0] * len(peers)
    for kind, shade in zip(KINDS, SHADES, strict=True):
        values = [results.of(peer, f"{what}_{kind}") or 0.0 for peer in peers]
        axes.barh(names, values, left=left, color=shade, label=kind)
        left = [a + b for a, b in zip(left, values, strict=True)]
    axes.legend(frameon=False, fontsize=8)
    _finish(axes, f"{COSTS[what].title} ({COSTS[what].unit})")


def _save(figure, path: Path) -> str:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path.name


def draw(results: Results, directory: Path) -> dict[str, str]:
    """Returns the files' names."""
    rates, (tcp, udp, rtt) = pyplot.subplots(3, 1, figsize=(8, 7.5))
    _panel(tcp, results, "tcp_rate")
    _panel(udp, results, "udp_rate")
    _percentiles(rtt, results)
    costs, panels = pyplot.subplots(2, 1, figsize=(8, 5))
    for axes, what in zip(panels, COSTS, strict=True):
        _stack(axes, results, what)
    return {
        "rates": _save(rates, directory / "performance-rates.svg"),
        "costs": _save(costs, directory / "performance-costs.svg"),
    }
