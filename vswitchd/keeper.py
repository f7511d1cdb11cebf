"""A bridge's protocols and bonds over the death of the daemon: pyvs/kept.py has the file.

The parts of a bridge that know something of their peers, or were learned from them, say what that
is in kept(), and get it back in recall() before they are configured, unless too much time went by:
peers that have noticed, too, start anew.  Written is what changed states at once, all else each
second.
"""

import time
from collections.abc import Iterable
from typing import Any, Protocol

import ovs.vlog

from pyvs import containment, coverage
from pyvs.kept import KeptFile, Recalled

vlog = ovs.vlog.Vlog("bridge")

RECALLED = coverage.counter("protocols_recalled")

INTERVAL_MS = 1000
LEAST_MS = 100  # between two writes, whatever happens
# So many times as much time as a write takes of a processor nothing is written, but no longer than
# so long: who dies then is taken for one that was away for that time.
SHARE, LONGEST_MS = 50, 2000


class Part(Protocol):
    """`kept_for`: ms after which what it kept is of no use."""

    name: str
    kept_for: int

    def kept(self, now: int) -> dict[str, Any]:
        """By names, as JSON has it; {} where there is nothing."""

    def recall(self, recalled: Recalled) -> None:
        """What kept() gave, before this process."""


class Keeper:
    """Of one bridge; `path` None: nothing is kept.  Times are in ms of the daemon's clock, but for
    the intervals between writes, which no test's clock stops."""

    def __init__(self, path: str | None, parts: Iterable[Part]):
        self._file = KeptFile(path)
        self._parts = list(parts)
        self._next = self._not_before = 0.0  # of time.monotonic(), in s
        self._is_empty = True

    def recall(self, now: int) -> None:
        """Give all parts what they kept."""
        found = self._file.read()
        if found is None:
            return
        values, age = found
        for part in self._parts:
            kept = values.get(part.name)
            if isinstance(kept, dict) and kept and age < part.kept_for:
                RECALLED.count += 1
                vlog.info(f"{self._file.path}: {part.name} of {age} ms ago")
                given = Recalled(kept, now + part.kept_for - age)
                containment.call("keeping", part.name, part.recall, given)

    def run(self, now: int, urgent: bool) -> None:
        """`urgent`: something has another state than before."""
        began = time.monotonic()
        if began < (self._not_before if urgent else self._next):
            return
        spent = time.thread_time()  # a system call, unlike the other
        self.write(now)
        pause = SHARE * (time.thread_time() - spent)
        self._not_before = began + min(max(LEAST_MS / 1000, pause), LONGEST_MS / 1000)
        self._next = max(began + INTERVAL_MS / 1000, self._not_before)

    def write(self, now: int) -> None:
        values = {}
        for part in self._parts:
            kept = containment.call("keeping", part.name, part.kept, now, default={})
            if kept:
                values[part.name] = kept
        self._is_empty = not values
        containment.call("keeping", str(self._file.path), self._file.write, values)

    def wait_ms(self) -> int | None:
        """In how many ms run() has something to do."""
        if self._is_empty or self._file.path is None:
            return None
        return max(0, int((self._next - time.monotonic()) * 1000) + 1)

    def close(self, delete: bool, now: int) -> None:
        """`delete`: the bridge is gone."""
        if delete:
            self._file.remove()
        else:
            self.write(now)
