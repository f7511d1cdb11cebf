"""The report as tables of a terminal."""

from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

_SHOWN = ("dp_lookups_", "dp_flows", "dp_masks", "pmd_cache", "upcalls", "drops")
_STEPS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def short(number: float) -> str:
    for step, letter in _STEPS:
        if number >= step:
            return f"{number / step:.1f}{letter}"
    return f"{number:g}"


def _ports(report: dict[str, Any]) -> Table:
    table = Table(title="ports", title_justify="left", expand=True, box=None)
    table.add_column("port", overflow="ellipsis")
    heads = ("rx p/s", "rx b/s", "tx p/s", "tx b/s", "dropped/s", "dropped")
    for head in heads:
        table.add_column(head, justify="right")
    for port in report["ports"]:
        rates, totals = port["rates"], port["totals"]
        table.add_row(
            Text(port["name"]),
            *(short(rates["rx_packets"]), short(8 * rates["rx_bytes"])),
            *(short(rates["tx_packets"]), short(8 * rates["tx_bytes"])),
            short(rates["rx_dropped"] + rates["tx_dropped"]),
            short(totals["rx_dropped"] + totals["tx_dropped"]),
        )
    return table


def _counters(report: dict[str, Any]) -> Table:
    table = Table(title="datapath", title_justify="left", expand=True, box=None)
    table.add_column("what", overflow="ellipsis")
    table.add_column("per second", justify="right")
    table.add_column("total", justify="right")
    for name, value in report["counters"].items():
        if name.startswith(_SHOWN) and value["total"]:
            text = name.replace("_total", "").replace("_", " ")
            table.add_row(Text(text), short(value["rate"]), short(value["total"]))
    return table


def _flows(report: dict[str, Any], n_flows: int) -> Table:
    table = Table(title="flows", title_justify="left", expand=True, box=None)
    table.add_column("p/s", justify="right")
    table.add_column("b/s", justify="right")
    table.add_column("flow", overflow="ellipsis", no_wrap=True, ratio=3)
    table.add_column("actions", overflow="ellipsis", no_wrap=True, ratio=1)
    for flow in report["flows"][:n_flows]:
        rates = short(flow["packet_rate"]), short(flow["bit_rate"])
        table.add_row(*rates, Text(flow["flow"]), Text(flow["actions"]))
    return table


def view(report: dict[str, Any], height: int = 40) -> Group:
    """For a terminal of so many lines."""
    state = "" if report["up"] else "  vswitchd does not answer"
    head = Text(f"pyvs-top  over {report['seconds']:g} s{state}", style="bold")
    ports, counters = _ports(report), _counters(report)
    n_flows = max(1, height - 10 - ports.row_count - counters.row_count)
    return Group(head, ports, counters, _flows(report, n_flows))
