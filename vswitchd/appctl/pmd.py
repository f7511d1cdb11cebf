"""dpif-netdev/*: workers and receive queues, as Open vSwitch tells of its PMD threads.

A worker for a processor core is a "pmd thread"; those for none, which the datapath process has from
its start, are together the "main thread".
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from datapath.ipc import further
from pyvs import digits
from pyvs.process.control import Pieces
from pyvs.process.daemon import CommandError
from vswitchd.appctl.asking import asking, dpif, insist
from vswitchd.appctl.dpif import is_datapath

if TYPE_CHECKING:
    from vswitchd.switch import Switch

SECONDS, INTERVAL = 60, 5  # that pmd-rxq-show looks back at most, which stands for any other number
NOT_POLLED = ("dummy", "dummy-internal")  # packets come by commands only
MAIN = -1  # as the core of the main thread
MOST_CLEARED = 1024  # workers, of all datapaths that were

Counted = dict[str, int]


class Asked(NamedTuple):
    """`pmds`: what is known of the switch's own workers; None of another datapath's."""

    name: str  # of a datapath that add-dp made, else empty
    dpif: Any
    pmds: Any


@contextmanager
def _asked(switch: "Switch", word: str) -> Iterator[Asked]:
    """The datapath that a word names: as in Open vSwitch, where there is but one, it is that one,
    whatever the word.  Raises CommandError."""
    main = dpif(switch)
    others = [] if not word or is_datapath([word]) else further.names(main)
    found = [each for each in others if word in (each, each.partition("@")[2])]
    if others and not found:
        raise CommandError("please specify an existing datapath")
    if not found:
        yield Asked("", main, switch.pmds)
        return
    other = further.FurtherDpif(main.path, found[0].partition("@")[2], main.patience)
    try:
        yield Asked(found[0], other, None)
    finally:
        other.close()


def _options(args: list[str], known: tuple[str, ...]) -> tuple[dict[str, int], str]:
    """Options that take a number, and the word that names a datapath.  Raises CommandError."""
    options: dict[str, int] = {}
    named = ""
    rest = iter(args)
    for word in rest:
        if not word.startswith("-"):
            named = word
            continue
        value = next(rest, "")
        if word not in known:
            raise CommandError(f"{word}: unknown option")
        found = digits.number(value.removeprefix("-"))
        if found is None:
            raise CommandError(f"{word}: a number is expected")
        options[word] = -found if value.startswith("-") else found
    return options, named


def _workers(asked: Asked, options: dict[str, int]) -> Iterator[tuple[int, Counted]]:
    """What each has counted, by its core; the main thread's is the last."""
    main: Counted = {}
    found = {}
    for each in asked.dpif.stats()["workers"]:
        if each["core"] is not None:
            found[each["core"]] = each
            continue
        for name, count in each.items():
            main[name] = main.get(name, 0) + (count or 0)
    wanted = options.get("-pmd")
    for core, counted in (*sorted(found.items()), (MAIN, main)):
        if wanted in (None, core):
            yield core, counted


def _head(switch: "Switch", core: int) -> str:
    if core == MAIN:
        return "main thread:\n"
    return f"pmd thread numa_id {switch.pmds.cores.get(core, 0)} core_id {core}:\n"


# --- queues


def show_queues(switch: "Switch", args: list[str]) -> str:
    options, name = _options(args, ("-pmd", "-secs"))
    seconds = options.get("-secs", SECONDS)
    if not 0 < seconds <= SECONDS:
        seconds = SECONDS
    seconds = -(-seconds // INTERVAL) * INTERVAL
    head, text = f"Displaying last {seconds} seconds pmd usage %\n", ""
    with _asked(switch, name) as asked:
        polled = _polled(asked.dpif)
        for core in sorted(polled, key=lambda each: (each == MAIN, each)):
            if options.get("-pmd") in (None, core):
                text += _head(switch, core) + _queues_of(asked, core, polled[core], seconds)
    return head + text if text or "-pmd" not in options else ""


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


class Cleared:
    """What the workers had counted when pmd-stats-clear was called last, by datapath and core."""

    before: dict[tuple[str, int], Counted] = {}

    @classmethod
    def since(cls, name: str, core: int, counted: Counted) -> Counted:
        before = cls.before.get((name, core), {})
        if any(count < before.get(name, 0) for name, count in counted.items() if count):
            return counted  # it is another worker
        return {name: n - before.get(name, 0) for name, n in counted.items() if n is not None}


def _per(total: int, count: int) -> float:
    return total / count if count else 0.0


def _cycles(n: Counted) -> str:
    if not n["cycles"] or not n["packets"]:
        return ""
    idle = max(0, n["cycles"] - n["busy"])
    share = 100 * _per(idle, n["cycles"])
    return (
        f"  idle cycles: {idle} ({share:.02f}%)\n"
        f"  processing cycles: {n['busy']} ({100 - share:.02f}%)\n"
        f"  avg cycles per packet: {_per(n['cycles'], n['packets']):.02f}"
        f" ({n['cycles']}/{n['packets']})\n"
        f"  avg processing cycles per packet: {_per(n['busy'], n['packets']):.02f}"
        f" ({n['busy']}/{n['packets']})\n"
    )


def _counted(switch: "Switch", args: list[str], known: tuple[str, ...]) -> tuple[str, Any]:
    """A datapath's name, and what its workers have counted."""
    options, word = _options(args, known)
    with _asked(switch, word) as asked:
        return asked.name, list(_workers(asked, options))


def show_statistics(switch: "Switch", args: list[str]) -> str:
    name, workers = _counted(switch, args, ("-pmd",))
    text = ""
    for core, counted in workers:
        n = Cleared.since(name, core, counted)
        passes = _per(n["packets"] + n["recirculations"], n["packets"])
        batch = _per(n.get("sent", 0), n.get("sent_batches", 0))
        text += (
            f"{_head(switch, core)}"
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
            f"{_per(n['masks_probed'], n['megaflow_hits']):.02f}\n"
            f"  miss with success upcall: {n['misses'] - min(n['lost'], n['misses'])}\n"
            f"  miss with failed upcall: {n['lost']}\n"
            f"  avg. packets per output batch: {batch:.02f}\n"
            f"{_cycles(n)}"
        )
    return text


def clear_statistics(switch: "Switch", args: list[str]) -> None:
    name, workers = _counted(switch, args, ("-pmd",))
    kept = dict(list(Cleared.before.items())[-MOST_CLEARED:])
    Cleared.before = kept | {(name, core): counted for core, counted in workers}


def show_performance(switch: "Switch", args: list[str]) -> str:
    """pmd-perf-show, without histograms and history, which nobody keeps here."""
    known = ("-it", "-ms", "-pmd")
    name, workers = _counted(switch, [arg for arg in args if arg != "-nh"], known)
    text = ""
    for core, counted in workers:
        if core == MAIN and not counted.get("packets"):
            continue
        n = Cleared.since(name, core, counted)
        passes = n["packets"] + n["recirculations"]
        upcalls = n["misses"]
        share = _per(100 * n["busy"], n["cycles"])
        text += (
            f"{_head(switch, core)}\n"
            f"  Busy bursts:      {n['bursts']:12d}\n"
            f"  Sleeps:           {n['sleeps']:12d}\n"
            f"  - Used TSC cycles: {n['busy']:12d}  ({share:5.1f} % of total cycles)\n"
            f"  Rx packets:       {n['packets']:12d}"
            f"  ({_per(n['busy'], n['packets']):.0f} cycles/pkt)\n"
            f"  Datapath passes:  {passes:12d}  ({_per(passes, n['packets']):.2f} passes/pkt)\n"
            f"  - EMC hits:       {n['emc_hits']:12d}"
            f"  ({_per(100 * n['emc_hits'], passes):5.1f} %)\n"
            f"  - SMC hits:       {n['smc_hits']:12d}"
            f"  ({_per(100 * n['smc_hits'], passes):5.1f} %)\n"
            f"  - Megaflow hits:  {n['megaflow_hits']:12d}"
            f"  ({_per(100 * n['megaflow_hits'], passes):5.1f} %,"
            f" {_per(n['masks_probed'], n['megaflow_hits']):.2f} subtbl lookups/hit)\n"
            f"  - Upcalls:        {upcalls:12d}  ({_per(100 * upcalls, passes):5.1f} %)\n"
            f"  - Lost upcalls:   {n['lost']:12d}  ({_per(100 * n['lost'], passes):5.1f} %)\n\n"
        )
    return text


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


def refuse_log(_switch: "Switch", _args: list[str]) -> None:
    raise CommandError("not supported: suspicious iterations are not logged")


# name, usage, least and most arguments, function
COMMANDS = [
    ("dpif-dummy/change-port-number", "dp port new-number", 3, 3, refuse_renumbering),
    ("dpif-netdev/bond-show", "[dp]", 0, 1, asking(show_bonds)),
    ("dpif-netdev/pmd-perf-log-set", "on|off ...", 0, 10, refuse_log),
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
