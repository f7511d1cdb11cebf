"""Event counters and memory usage reports, as coverage/show and memory/show print them.

A counter costs one addition when hit: `HITS = coverage.counter("txn_success")` at module
level, `HITS.count += 1` where it happens.  Rates come from samples that `tick()` takes.
"""

import time
import zlib
from collections import deque
from collections.abc import Callable

SAMPLE_SECONDS = 5
HOUR_SAMPLES = 3600 // SAMPLE_SECONDS
MINUTE_SAMPLES = 60 // SAMPLE_SECONDS


class Counter:
    """A named count of events; `count` is for the caller to raise."""

    __slots__ = ("count", "name", "samples")

    def __init__(self, name: str):
        self.name = name
        self.count = 0
        # totals at the ends of past sampling periods, newest last
        self.samples: deque[int] = deque([0], maxlen=HOUR_SAMPLES + 1)

    def rate(self, periods: int) -> float:
        """Events per second over the last `periods` sampling periods."""
        samples = self.samples
        first = samples[-1 - periods] if periods < len(samples) else samples[0]
        return (samples[-1] - first) / (periods * SAMPLE_SECONDS)


_counters: dict[str, Counter] = {}
_events: list[Callable[[], dict[str, int]]] = []
_memory: list[Callable[[], dict[str, int]]] = []
_next_sample = 0.0


def counter(name: str) -> Counter:
    """The counter of that name, made when it is new."""
    found = _counters.get(name)
    if found is None:
        found = _counters[name] = Counter(name)
    return found


def event_reporter(report: Callable[[], dict[str, int]]) -> None:
    """Have events that are counted elsewhere among the counters: `report()`, name to count."""
    _events.append(report)


def _collect() -> None:
    for report in _events:
        for name, count in report().items():
            counter(name).count = count


def memory_reporter(report: Callable[[], dict[str, int]]) -> None:
    """Have `report()`, name to number, printed by memory/show."""
    _memory.append(report)


def tick(now: float | None = None) -> None:
    """Take samples for the rates when a period is over; `now` in monotonic seconds."""
    global _next_sample
    now = time.monotonic() if now is None else now
    if now < _next_sample:
        return
    # After a long sleep one sample stands for all the periods that passed.
    _next_sample = now + SAMPLE_SECONDS
    _collect()
    for each in _counters.values():
        each.samples.append(each.count)


_RATES = "avg rate over last: 5 seconds, last minute, last hour"


def _profile() -> int:
    """One number of which events there were, and which of them more often: the same for two
    reports whose rows differ in size only."""
    order = sorted(_counters.values(), key=lambda each: (-each.count, each.name))
    return zlib.crc32(" ".join(each.name for each in order if each.count).encode())


def show() -> str:
    """The text of coverage/show: counters that were hit, then how many were not."""
    _collect()
    lines = [f"Event coverage, {_RATES},  hash={_profile():08x}:"]
    never = 0
    for each in sorted(_counters.values(), key=lambda c: c.name):
        if not each.count:
            never += 1
            continue
        lines.append(
            f"{each.name:<24} {each.rate(1):5.1f}/sec {each.rate(MINUTE_SAMPLES):9.3f}/sec"
            f" {each.rate(HOUR_SAMPLES):13.4f}/sec   total: {each.count}"
        )
    lines.append(f"{never} events never hit")
    return "\n".join(lines) + "\n"


def read(name: str) -> int | None:
    """The count of a counter, None when there is none of that name."""
    _collect()
    found = _counters.get(name)
    return None if found is None else found.count


def memory() -> str:
    """The text of memory/show: `name:count` pairs in the order of their names."""
    usage: dict[str, int] = {}
    for report in _memory:
        for name, value in report().items():
            usage[name] = usage.get(name, 0) + value
    return " ".join(f"{name}:{usage[name]}" for name in sorted(usage)) + "\n"
