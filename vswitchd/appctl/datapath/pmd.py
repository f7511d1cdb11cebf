"""dpif-netdev/*: workers and receive queues, as Open vSwitch tells of its PMD threads.

A worker for a processor core is a "pmd thread"; those for none, which the datapath process has from
its start, are together the "main thread".
"""

from typing import TYPE_CHECKING, Any

import ovs.vlog

from datapath.ipc.perf_table import per
from pyvs.process.control import Pieces
from pyvs.process.daemon import CommandError
from vswitchd.appctl.datapath.asking import asking, dpif, insist
from vswitchd.appctl.datapath.dpif import is_datapath
from vswitchd.appctl.datapath.pmd_counters import (
    MAIN,
    Asked,
    Cleared,
    Counted,
    datapath_of,
    head,
    options_of,
    threads,
    workers,
)
from vswitchd.appctl.datapath.pmd_perf import LOG_USAGE, log_options
from vswitchd.appctl.datapath.pmd_perf import show as show_performance

if TYPE_CHECKING:
    from vswitchd.switch import Switch

vlog = ovs.vlog.Vlog("pmd_perf")

SECONDS, INTERVAL = 60, 5  # that pmd-rxq-show looks back at most, which stands for any other number
NOT_POLLED = ("dummy", "dummy-internal")  # packets come by commands only

# --- queues


def show_queues(switch: "Switch", args: list[str]) -> str:
    options, word = options_of(args, ("-pmd", "-secs"))
    seconds = options.get("-secs", SECONDS)
    if not 0 < seconds <= SECONDS:
        seconds = SECONDS
    seconds = -(-seconds // INTERVAL) * INTERVAL
    title, text = f"Displaying last {seconds} seconds pmd usage %\n", ""
    with datapath_of(switch, word) as asked:
        polled = _polled(asked.dpif)
        for core in sorted(polled, key=lambda each: (each == MAIN, each)):
            if options.get("-pmd") in (None, core):
                text += head(switch, core) + _queues_of(asked, core, polled[core], seconds)
    return title + text if text or "-pmd" not in options else ""


def _queues_of(asked: Asked, core: int, rows: list[tuple[str, int, int]], seconds: int) -> str:
    lines = [
        f"  port: {name:<16}  queue-id: {queue:2d} (enabled)   pmd usage: "
        f"{_percent(_usage(asked, core, (number, queue), seconds))}\n"
        for name, number, queue in sorted(rows)
    ]
    if core == MAIN:
        return "".join(lines)
    isolated = "true" if asked.pmds and core in asked.pmds.plan.isolated else "false"
    if lines:
        lines.append(f"  overhead: {_percent(_overhead(asked, core, rows, seconds))}\n")
    return f"  isolated : {isolated}\n" + "".join(lines)


def _polled(dpif: Any) -> dict[int, list[tuple[str, int, int]]]:
    """(port, its number, queue) of what each worker polls really, by core; of all workers for
    cores."""
    cores = {each["id"]: each["core"] for each in dpif.stats()["workers"]}
    found: dict[int, list[tuple[str, int, int]]]
    found = {core: [] for core in cores.values() if core is not None}
    for port in dpif.port_dump():
        if port.type in NOT_POLLED:
            continue
        for queue, (owner, _packets, _busy) in enumerate(port.queues):
            core = cores.get(owner)
            row = (port.name, port.port_no, queue)
            found.setdefault(MAIN if core is None else core, []).append(row)
    return found


def _usage(asked: Asked, core: int, queue: tuple[int, int] | None, seconds: int) -> int | None:
    if core == MAIN or asked.pmds is None:
        return None
    usage: int | None = asked.pmds.usage(core, queue, seconds)
    return usage


def _overhead(asked: Asked, core: int, rows: Any, seconds: int) -> int | None:
    """What it did that was of no queue."""
    busy = _usage(asked, core, None, seconds)
    if busy is None:
        return None
    shares = [_usage(asked, core, (number, queue), seconds) for _, number, queue in rows]
    return max(0, busy - sum(share or 0 for share in shares))


def _percent(share: int | None) -> str:
    return "NOT AVAIL" if share is None else f"{share:2d} %"


def _check_datapath(args: list[str]) -> None:
    """Of commands that take no other for the one that there is.  Raises CommandError."""
    if not is_datapath(args):
        raise CommandError("please specify an existing datapath")


def rebalance(switch: "Switch", args: list[str]) -> Pieces:
    _check_datapath(args)
    yield from insist(switch, lambda: switch.pmds.rebalance(switch.backer))
    yield "pmd rxq rebalance requested.\n"


# --- counters


def _cycles(n: Counted) -> str:
    if not n["cycles"] or not n["packets"]:
        return ""
    idle = max(0, n["cycles"] - n["busy"])
    share = 100 * per(idle, n["cycles"])
    return (
        f"  idle cycles: {idle} ({share:.02f}%)\n"
        f"  processing cycles: {n['busy']} ({100 - share:.02f}%)\n"
        f"  avg cycles per packet: {per(n['cycles'], n['packets']):.02f}"
        f" ({n['cycles']}/{n['packets']})\n"
        f"  avg processing cycles per packet: {per(n['busy'], n['packets']):.02f}"
        f" ({n['busy']}/{n['packets']})\n"
    )


def show_statistics(switch: "Switch", args: list[str]) -> str:
    options, word = options_of(args, ("-pmd",))
    with datapath_of(switch, word) as asked:
        found = workers(asked.dpif.stats(), options)
    text = ""
    for core, counted in found:
        n = Cleared.since(asked.name, core, counted)
        passes = per(n["packets"] + n["recirculations"], n["packets"])
        batch = per(n.get("sent", 0), n.get("sent_batches", 0))
        text += (
            f"{head(switch, core)}"
            f"  packets received: {n['packets']}\n"
            f"  packet recirculations: {n['recirculations']}\n"
            f"  avg. datapath passes per packet: {passes:.02f}\n"
            "  phwol hits: 0\n"
            "  mfex opt hits: 0\n"
            "  simple match hits: 0\n"
            f"  emc hits: {n['emc_hits']}\n"
            f"  smc hits: {n['smc_hits']}\n"
            f"  megaflow hits: {n['megaflow_hits']}\n"
            "  avg. subtable lookups per megaflow hit: "
            f"{per(n['masks_probed'], n['megaflow_hits']):.02f}\n"
            f"  miss with success upcall: {n['misses'] - min(n['lost'], n['misses'])}\n"
            f"  miss with failed upcall: {n['lost']}\n"
            f"  avg. packets per output batch: {batch:.02f}\n"
            f"{_cycles(n)}"
        )
    return text


def clear_statistics(switch: "Switch", args: list[str]) -> None:
    options, word = options_of(args, ("-pmd",))
    with datapath_of(switch, word) as asked:
        stats = asked.dpif.stats()
        found = workers(stats, options)
        asked.dpif.perf_clear([each["id"] for core, _ in found for each in threads(stats, core)])
    Cleared.now(asked.name, found)


def show_bonds(switch: "Switch", args: list[str]) -> str:
    """Those whose members the datapath chooses by itself (lb-output-action)."""
    _check_datapath(args)
    lines = ["Bonds:"]
    for bond in dpif(switch).bond_dump():
        lines.append(f"  bond-id {bond.bond}:")
        lines += [f"    bucket {n} - member {member}" for n, member in enumerate(bond.members)]
    return "\n".join(lines) + "\n" if lines[1:] else ""


def refuse_renumbering(_switch: "Switch", args: list[str]) -> None:
    raise CommandError(f"not supported: {args[1]} keeps its number")


def log_suspicious(switch: "Switch", args: list[str]) -> None:
    given = log_options(args)
    dpif(switch)
    now = switch.backer.log_measured(given)
    vlog.info(
        f"pmd-perf-log-set: {'on' if now.on else 'off'}, before={now.before}, after={now.after},"
        f" extend={str(now.extend).lower()}, us_thr={now.us}, q_thr={now.queue}"
    )


# name, usage, least and most arguments, function
COMMANDS = [
    ("dpif-dummy/change-port-number", "dp port new-number", 3, 3, refuse_renumbering),
    ("dpif-netdev/bond-show", "[dp]", 0, 1, asking(show_bonds)),
    ("dpif-netdev/pmd-perf-log-set", LOG_USAGE, 0, 10, asking(log_suspicious)),
    (
        "dpif-netdev/pmd-perf-show",
        "[-nh] [-it n] [-ms n] [-pmd core] [dp]",
        0,
        8,
        asking(show_performance),
    ),
    ("dpif-netdev/pmd-rxq-rebalance", "[dp]", 0, 1, rebalance),
    ("dpif-netdev/pmd-rxq-show", "[-pmd core] [-secs secs] [dp]", 0, 5, asking(show_queues)),
    ("dpif-netdev/pmd-stats-clear", "[-pmd core] [dp]", 0, 3, asking(clear_statistics)),
    ("dpif-netdev/pmd-stats-show", "[-pmd core] [dp]", 0, 3, asking(show_statistics)),
]
