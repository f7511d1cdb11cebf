"""dpif-netdev/pmd-*: the datapath's workers, as Open vSwitch tells of its PMD threads.

A worker is bound to no processor core; its number stands where Open vSwitch has one. Each port has
one receive queue, which one worker polls. Cycles are not counted: where a share of them would
stand is what Open vSwitch says of an idle thread, NOT AVAIL.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pyvs.process.daemon import CommandError
from vswitchd.appctl.dpif import check_datapath

if TYPE_CHECKING:
    from vswitchd.switch import Switch

SECONDS, INTERVAL = 60, 5  # that pmd-rxq-show looks back at most, which stands for any other number
NOT_POLLED = ("dummy", "dummy-internal")  # Open vSwitch's main thread does that


def _dpif(switch: "Switch") -> Any:
    dpif = switch.backer.dpif if switch.backer is not None else None
    if dpif is None:
        raise CommandError("no datapath process")
    return dpif


def _options(args: list[str], known: tuple[str, ...]) -> tuple[dict[str, int], list[str]]:
    """Options that take a number, and other words.  Raises CommandError."""
    options: dict[str, int] = {}
    words = []
    rest = iter(args)
    for word in rest:
        if not word.startswith("-"):
            words.append(word)
            continue
        value = next(rest, "")
        if word not in known:
            raise CommandError(f"{word}: unknown option")
        if not value.removeprefix("-").isdecimal():
            raise CommandError(f"{word}: a number is expected")
        options[word] = int(value)
    if len(words) > 1:
        raise CommandError("more than one datapath")
    check_datapath(words)
    return options, words


def _workers(switch: "Switch", options: dict[str, int]) -> Iterator[tuple[int, dict[str, int]]]:
    only = options.get("-pmd")
    for number, counted in enumerate(_dpif(switch).stats()["workers"]):
        if only is None or only == number:
            yield number, counted


def _head(number: int) -> str:
    return f"pmd thread numa_id 0 core_id {number}:\n"


def show_queues(switch: "Switch", args: list[str]) -> str:
    options, _ = _options(args, ("-pmd", "-secs"))
    seconds = options.get("-secs", SECONDS)
    if not 0 < seconds <= SECONDS:
        seconds = SECONDS
    seconds = -(-seconds // INTERVAL) * INTERVAL
    ports = sorted(_dpif(switch).port_dump(), key=lambda port: port.name)
    ports = [port for port in ports if port.type not in NOT_POLLED]
    text = f"Displaying last {seconds} seconds pmd usage %\n"
    for number, _counted in _workers(switch, options):
        text += f"{_head(number)}  isolated : false\n"
        lines = [
            f"  port: {port.name:<16}  queue-id: {0:2d} (enabled)   pmd usage: NOT AVAIL\n"
            for port in ports
            if port.worker == number
        ]
        text += "".join(lines) + ("  overhead: NOT AVAIL\n" if lines else "")
    return text


class Cleared:
    """What the workers had counted when pmd-stats-clear was called last."""

    before: tuple[dict[str, int], ...] = ()

    @classmethod
    def since(cls, number: int, counted: dict[str, int]) -> dict[str, int]:
        if number >= len(cls.before):
            return counted
        # Less than before: it is another process.
        return {name: n - min(n, cls.before[number].get(name, 0)) for name, n in counted.items()}


def _per(total: int, count: int) -> float:
    return total / count if count else 0.0


def show_statistics(switch: "Switch", args: list[str]) -> str:
    options, _ = _options(args, ("-pmd",))
    text = ""
    for number, counted in _workers(switch, options):
        n = Cleared.since(number, counted)
        passes = _per(n["packets"] + n["recirculations"], n["packets"])
        text += (
            f"{_head(number)}"
            f"  packets received: {n['packets']}\n"
            f"  packet recirculations: {n['recirculations']}\n"
            f"  avg. datapath passes per packet: {passes:.02f}\n"
            "  phwol hits: 0\n"
            "  mfex opt hits: 0\n"
            "  simple match hits: 0\n"
            f"  emc hits: {n['emc_hits']}\n"
            "  smc hits: 0\n"
            f"  megaflow hits: {n['megaflow_hits']}\n"
            "  avg. subtable lookups per megaflow hit: "
            f"{_per(n['masks_probed'], n['megaflow_hits']):.02f}\n"
            f"  miss with success upcall: {n['misses'] - min(n['lost'], n['misses'])}\n"
            f"  miss with failed upcall: {n['lost']}\n"
        )
    return text


def clear_statistics(switch: "Switch", args: list[str]) -> None:
    options, _ = _options(args, ("-pmd",))
    only = options.get("-pmd")
    before = list(Cleared.before)
    for number, counted in enumerate(_dpif(switch).stats()["workers"]):
        if number >= len(before):
            before.append({})
        if only is None or only == number:
            before[number] = counted
    Cleared.before = tuple(before)


# name, usage, least and most arguments, function
COMMANDS = [
    ("dpif-netdev/pmd-rxq-show", "[-pmd core] [-secs secs] [dp]", 0, 5, show_queues),
    ("dpif-netdev/pmd-stats-clear", "[-pmd core] [dp]", 0, 3, clear_statistics),
    ("dpif-netdev/pmd-stats-show", "[-pmd core] [dp]", 0, 3, show_statistics),
]
