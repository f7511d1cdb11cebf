"""The one place where a fault is contained: what nobody foresaw ends no daemon.

Whoever serves many (connections, bridges, timers, commands) calls each of them in a guard of
its own.  An exception that gets as far as the guard is a fault of ours, or input that a handler
should have refused: its traceback goes to the log, it is counted, what was being served ends as
its owner says, and the others go on.

    try:
        connection.run()
    except Exception:
        containment.caught("OpenFlow connection", connection.name)
        connection.close()

    containment.call("compaction", path, file.run_compaction, now)

A fault that comes with every round of a loop is there to stay: a Breather slows the loop.

The counters, for coverage/show, are `fault_contained` for all and `fault_PLACE` for each place.
"""

import contextlib
import time
import traceback
from collections.abc import Callable
from typing import Any

import ovs.vlog

from pyvs import coverage
from pyvs.log_limit import LimitedLog

vlog = ovs.vlog.Vlog("containment")

FAULTS = coverage.counter("fault_contained")
# Tracebacks of one place: whoever finds a way to cause one may not fill the log.
_PER_MINUTE, _BURST = 6, 6
_MOST_TEXT = 8192  # characters of a traceback, whose message may be what a peer sent

# A fault that comes again in so many rounds one after the other: with each further one the loop
# rests so many seconds, and others still have their turns.
IN_A_ROW, REST = 8, 0.02


class _Place:
    """What is told of the faults of one place."""

    __slots__ = ("count", "log")

    def __init__(self, place: str):
        self.count = coverage.counter("fault_" + place.replace(" ", "_"))
        self.log = LimitedLog(vlog, _PER_MINUTE, _BURST)


_places: dict[str, _Place] = {}


def caught(place: str, whose: str = "") -> None:
    """Log and count the exception that is being handled; call it in an `except Exception`.
    Raises nothing.

    `place` is a constant of the calling code, a kind of thing that is served ("bridge");
    `whose` is the one that it happened to ("br0"), and may come from outside.
    """
    found = _places.get(place)
    if found is None:
        found = _places[place] = _Place(place)
    FAULTS.count += 1
    found.count.count += 1
    with contextlib.suppress(Exception):
        trace = traceback.format_exc()[-_MOST_TEXT:]
        found.log.err(f"{place} {whose[:200]}: unexpected error, contained\n{trace}")


def call(place: str, whose: str, function: Callable, *args: Any, default: Any = None) -> Any:
    """`function(*args)`, or `default` when that raised an exception, which is contained."""
    try:
        return function(*args)
    except Exception:
        caught(place, whose)
        return default


class Breather:
    """Of one loop, which calls rest() once a round."""

    def __init__(self):
        self._known = FAULTS.count
        self._in_a_row = 0

    def rest(self) -> bool:
        """Whether there was a fault since the last call; after too many such rounds, a short sleep:
        what causes it may be a descriptor that stays readable."""
        if self._known == FAULTS.count:
            self._in_a_row = 0
            return False
        self._known = FAULTS.count
        self._in_a_row += 1
        if self._in_a_row > IN_A_ROW:
            time.sleep(REST)
        return True
