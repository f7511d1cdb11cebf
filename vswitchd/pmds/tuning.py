"""What Open_vSwitch's other_config says of workers and queues, and what the log says of it."""

from typing import NamedTuple

import ovs.vlog

from vswitchd.pmds.assign import ALGORITHMS
from vswitchd.pmds.cpus import parse_mask

vlog = ovs.vlog.Vlog("dpif_netdev")

MINUTE = 60_000  # ms
LONGEST_SLEEP = 10_000  # us


class Tuning(NamedTuple):
    mask: frozenset[int] | None = None  # cores
    algorithm: str = "cycles"
    isolate: bool = True
    balance: bool = False
    interval: int = 1  # minutes from one look at the balance to the next
    improvement: int = 25  # percent
    load: int = 95
    sleep: int = 0  # us


def _within(options: dict[str, str], name: str, default: int, low: int, high: int) -> int:
    """As Open vSwitch: a number out of bounds is none."""
    try:
        value = int(options.get(name, default))
    except ValueError:
        return default
    return value if low <= value <= high else default


def read(options: dict[str, str]) -> Tuning:
    mask = parse_mask(options["pmd-cpu-mask"]) if options.get("pmd-cpu-mask") else None
    algorithm = options.get("pmd-rxq-assign", "cycles")
    isolate = options.get("pmd-rxq-isolate", "true") != "false"
    sleep = options.get("pmd-sleep-max", options.get("pmd-maxsleep", "0"))
    return Tuning(
        mask=frozenset(mask) if mask else None,
        algorithm=algorithm if algorithm in ALGORITHMS else "cycles",
        isolate=isolate or algorithm != "group",
        balance=options.get("pmd-auto-lb", "false") == "true",
        interval=_within(options, "pmd-auto-lb-rebal-interval", 1, 1, 20_000),
        improvement=_within(options, "pmd-auto-lb-improvement-threshold", 25, 0, 100),
        load=_within(options, "pmd-auto-lb-load-threshold", 95, 0, 100),
        sleep=min(int(sleep), LONGEST_SLEEP) if sleep.isdecimal() and len(sleep) < 10 else 0,
    )


# Field of Tuning -> what the log says when it differs.
_TOLD = {
    "algorithm": ("Rxq to PMD assignment mode changed to: '{}'.",),
    "interval": ("PMD auto load balance interval set to {} mins",),
    "improvement": ("PMD auto load balance improvement threshold set to {}%",),
    "load": ("PMD auto load balance load threshold set to {}%",),
    "sleep": ("PMD max sleep request is {} usecs.",),
}
_SAID = {
    "isolate": {
        True: "pmd-rxq-affinity isolates PMD core",
        False: "pmd-rxq-affinity does not isolate PMD core",
    },
    "balance": {
        True: "PMD auto load balance is enabled",
        False: "PMD auto load balance is disabled",
    },
}
_SILENT_AT_FIRST = ("algorithm", "isolate")  # where it is the default


def tell(before: Tuning | None, now: Tuning) -> None:
    """`before` None: for the first time."""
    old = Tuning() if before is None else before
    for name, value in now._asdict().items():
        first = before is None and name not in _SILENT_AT_FIRST
        if value == getattr(old, name) and not first:
            continue
        for text in _TOLD.get(name, ()):
            vlog.info(text.format(value))
        if name in _SAID:
            vlog.info(_SAID[name][value])
        if name == "sleep":
            state = "enabled" if value else "disabled"
            vlog.info(f"PMD load based sleeps are {state}.")


def complaints(options: dict[str, str]) -> list[str]:
    """What is wrong with the options, some of which read() takes for their defaults."""
    found = []
    algorithm = options.get("pmd-rxq-assign", "cycles")
    if algorithm not in ALGORITHMS:
        found.append(f"Unsupported rx queue to PMD assignment mode in pmd-rxq-assign: {algorithm}")
    if options.get("pmd-rxq-isolate") == "false" and algorithm != "group":
        found.append("pmd-rxq-isolate can only be set false when using pmd-rxq-assign=group")
    if options.get("pmd-cpu-mask") and parse_mask(options["pmd-cpu-mask"]) is None:
        found.append(f"pmd-cpu-mask: {options['pmd-cpu-mask']} is no hexadecimal mask")
    return found


def affinity(text: str, port: str) -> dict[int, int]:
    """pmd-rxq-affinity of an interface: queue -> core."""
    found = {}
    for pair in text.split(",") if text else ():
        queue, _, core = pair.strip().partition(":")
        if not (queue.isdecimal() and core.isdecimal()) or len(pair) > 12:
            vlog.warn(f"{port}: pmd-rxq-affinity: {pair} is not QUEUE:CORE")
            continue
        found[int(queue)] = int(core)
    return found
