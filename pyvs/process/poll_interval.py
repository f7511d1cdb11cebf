"""How long the turns of a main loop last.

A turn that lasts a second is told, in the words that Open vSwitch's users look for, with what it
was spent on.  Shorter ones are counted by the processor time that they took, which says what they
did themselves, however busy the machine was: `loop_over_20ms_cpu`, `loop_over_100ms_cpu`,
`loop_over_500ms_cpu`.  (A virtual machine that others' load stops in mid-turn may count that, too.)
"""

import resource
import time

import ovs.vlog

from pyvs import coverage
from pyvs.log_limit import LimitedLog

vlog = ovs.vlog.Vlog("timeval")

LONG = 1.0  # s
STEPS = (
    (0.02, coverage.counter("loop_over_20ms_cpu")),
    (0.1, coverage.counter("loop_over_100ms_cpu")),
    (0.5, coverage.counter("loop_over_500ms_cpu")),
)
LONG_INTERVALS = coverage.counter("long_poll_interval")

# A look at what the thread has used is a system call: not more often than once in so many seconds,
# which is how much of what came before may be counted as a turn's own.
EXACTNESS = 0.001


class PollInterval:
    """Of one loop: begin() after poll(2), end() before it."""

    def __init__(self):
        self._log = LimitedLog(vlog, 10, 10)
        self._looked = 0.0
        self.begin()

    def begin(self) -> None:
        self._began = now = time.monotonic()
        if now - self._looked >= EXACTNESS:
            self._looked = now
            self._usage = resource.getrusage(resource.RUSAGE_THREAD)

    def end(self) -> None:
        took = time.monotonic() - self._began
        if took < STEPS[0][0]:
            return
        now = resource.getrusage(resource.RUSAGE_THREAD)
        used = {name: getattr(now, name) - getattr(self._usage, name) for name in _NAMES}
        self._looked = 0.0
        for least, counter in STEPS:
            counter.count += used["ru_utime"] + used["ru_stime"] >= least
        if took >= LONG:
            LONG_INTERVALS.count += 1
            self._tell(took, used)

    def _tell(self, took: float, used: dict[str, float]) -> None:
        user, system = (int(1000 * used[name]) for name in ("ru_utime", "ru_stime"))
        self._log.warn(
            f"Unreasonably long {int(1000 * took)}ms poll interval"
            f" ({user}ms user, {system}ms system)"
        )
        for what, (first, one), (second, other) in _DETAILS:
            if used[first] or used[second]:
                self._log.warn(f"{what}: {used[first]} {one}, {used[second]} {other}")


_DETAILS = (
    ("faults", ("ru_minflt", "minor"), ("ru_majflt", "major")),
    ("disk", ("ru_inblock", "reads"), ("ru_oublock", "writes")),
    ("context switches", ("ru_nvcsw", "voluntary"), ("ru_nivcsw", "involuntary")),
)
_NAMES = ("ru_utime", "ru_stime", *(name for row in _DETAILS for name, _ in row[1:]))
