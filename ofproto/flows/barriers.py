"""Answers that wait for the datapath: to barriers, and to who asks for counters.

Tables change at once, and the datapath's flows behind them, in the revalidator's pieces of work.
A barrier is answered when all flows were looked at again and the workers have taken what became of
that; counters, when what the datapath had counted at the request is credited to the flows.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from pyvs import containment

Then = Callable[[], Any]

LONGEST = 5000  # ms that one waits: a datapath may not answer for as long as that


class Barriers:
    def __init__(self) -> None:
        self._waiting: deque[tuple[int, int, Then]] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, generation: int, now: int, then: Then) -> None:
        """`then` is called once the flows are those of this generation of the tables."""
        self._waiting.append((generation, now + LONGEST, then))

    def is_due(self, passed: int, now: int, lost: bool) -> bool:
        """Whether the first one's time has come; `passed`: the generation that the flows are of,
        `lost`: there is no datapath to wait for."""
        if not self._waiting:
            return False
        generation, deadline, _then = self._waiting[0]
        return lost or passed >= generation or now >= deadline

    def take(self, passed: int, now: int, lost: bool) -> list[Then]:
        """Those whose time has come."""
        found = []
        while self.is_due(passed, now, lost):
            found.append(self._waiting.popleft()[2])
        return found


class Counters:
    """Of what `revalidator` collects."""

    def __init__(self, revalidator: Any) -> None:
        self._revalidator = revalidator
        # (round of statistics, what to call then, and if that fails).
        self._collecting: deque[tuple[int, Then, Then]] = deque()
        # And first for all flows to be what the tables of some generation say.
        self._settling: deque[tuple[int, Then]] = deque()
        self._asking: deque[tuple[Then, Then]] = deque()

    def __bool__(self) -> bool:
        return bool(self._collecting or self._settling or self._asking)

    def collect(self, then: Then, failed: Then) -> None:
        """`then` is called once all that the datapath has counted by now is credited; `failed` when
        it raises an exception, which is contained."""
        self._collecting.append((self._revalidator.collect(), then, failed))

    def ask(self, then: Then, failed: Then) -> None:
        """The same once the datapath answers at all: `then` asks it."""
        self._asking.append((then, failed))

    def settle(self, generation: int, then: Then) -> None:
        """The same once also the flows are those of this generation of the tables."""
        self._settling.append((generation, then))

    def call(self, lost: bool, answers: bool) -> None:
        """Those whose time has come; all, where there is no datapath to wait for: `lost`."""
        while self._settling and (lost or self._revalidator.reached >= self._settling[0][0]):
            _, then = self._settling.popleft()
            self.collect(then, lambda: None)
        while self._collecting and (lost or self._revalidator.collected >= self._collecting[0][0]):
            _call(*self._collecting.popleft()[1:])
        if lost or answers:
            for _ in range(len(self._asking)):
                _call(*self._asking.popleft())


def _call(then: Then, failed: Then) -> None:
    try:
        then()
    except Exception:
        containment.caught("statistics")
        failed()
