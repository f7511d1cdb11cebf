"""Daemons are killed while two containers talk: for how long does a known flow get no data?

The kernel cache is on.  Beside the switch a Linux bridge has the same streams at the same time:
what they suffer there is the machine's, and is allowed to the switch.
"""

import math
import os
import random
import re
import signal
import statistics
import time
from typing import NamedTuple

from tests.daemons import DATAPATH, VSWITCHD, wait_until
from tests.soak.streams import LinuxBridge, both_kinds

TARGETS = {
    "vswitchd": (VSWITCHD,),
    "datapath": (DATAPATH,),
    "both": (VSWITCHD, DATAPATH),
}
LIMIT = 0.1  # seconds
PARTS = (0.5, 0.9, 0.99, 1)  # of kills, of which the report tells
PATIENCE = 40  # seconds; the monitor waits the longer the more often its child dies


class Kill(NamedTuple):
    """`pauses`: the longest of each stream, in seconds; `back`: when the cache was used again."""

    target: str
    back: float
    pauses: dict[tuple[str, str], float]

    def excess(self):
        """(seconds beyond what is allowed, kind) of the worse stream."""
        return max(
            (self.pauses["pyvs", kind] - LIMIT - self.pauses["bridge", kind], kind)
            for kind in ("udp", "tcp")
        )


def hits(switch):
    """Packets that the kernel's cache forwarded; None: it is off, or there is no datapath."""
    found = re.search(r"kernel cache: on, flows:\d+ hit:(\d+)", switch.dpctl("show", check=False))
    return int(found[1]) if found else None


def pid(switch, name):
    found = switch.pid(name)
    try:
        os.kill(found or 0, 0)
    except ProcessLookupError:
        return None
    return found


class Killer:
    """Streams run through a switch that pyvs-ctl started, with two containers at br0."""

    def __init__(self, switch, containers, seed):
        self.switch, self._random = switch, random.Random(seed)
        self._bridge = LinuxBridge()
        self.streams = [
            *both_kinds("pyvs", containers, switch.directory),
            *both_kinds("bridge", self._bridge.containers, switch.directory),
        ]
        wait_until(self._known, PATIENCE, "flows in the kernel")

    def _known(self):
        """Whether these very flows are forwarded by the kernel, most of their packets."""
        before = hits(self.switch)
        time.sleep(0.2)
        after = hits(self.switch)
        return before is not None and after is not None and after - before > 150

    def kill(self, target):
        old = {name: pid(self.switch, name) for name in TARGETS[target]}
        begin = time.time()
        for number in old.values():
            os.kill(number, signal.SIGKILL)
        for name, number in old.items():
            new = lambda name=name: pid(self.switch, name)  # noqa: E731
            wait_until(lambda new=new, number=number: new() not in (None, number), PATIENCE, name)
        wait_until(self._known, PATIENCE, "flows in the kernel, again")
        end = time.time()
        time.sleep(self._random.uniform(0.2, 0.5))
        assert all(stream.alive() for stream in self.streams), "a stream has ended"
        pauses = {(each.name, each.kind): each.longest(begin, end) for each in self.streams}
        return Kill(target, end - begin, pauses)

    def run(self, count):
        """Iterator of what each kill did."""
        names = list(TARGETS)
        for number in range(count):
            yield self.kill(names[number % len(names)])

    def close(self):
        for stream in self.streams:
            stream.stop()
        self._bridge.close()


def distribution(pauses):
    """Within how many ms PARTS of the pauses stay."""
    ordered = sorted(pauses)
    last = len(ordered) - 1
    return " ".join(f"{ordered[math.ceil(part * last)] * 1e3:.0f}" for part in PARTS)


def report(kills):
    """Lines: of each target and stream, how long the longest pauses were."""
    words = ", ".join(f"{part * 100:g} %" for part in PARTS)
    yield f"{'killed':<10}{'times':>6}{'back':>9}   longest pause in ms of {words}"
    for target in TARGETS:
        those = [each for each in kills if each.target == target]
        if not those:
            continue
        back = statistics.median(each.back for each in those)
        words = [
            f"{name} {kind} {distribution([each.pauses[name, kind] for each in those])}"
            for name, kind in those[0].pauses
        ]
        yield f"{target:<10}{len(those):>6}{back:>7.1f} s   {'; '.join(words)}"
    worst = max(kills, key=Kill.excess)
    beyond, kind = worst.excess()
    yield f"worst beside the bridge: {worst.target}, {kind}, {(beyond + LIMIT) * 1e3:.0f} ms more"
    yield f"kills with a pause beyond {LIMIT * 1e3:.0f} ms and the bridge's own: " + str(
        sum(each.excess()[0] > 0 for each in kills)
    )
