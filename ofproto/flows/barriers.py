"""What waits until the datapath, too, does what the tables say: answers to barriers.

Tables change at once, and the datapath's flows behind them, in the revalidator's pieces of work.
A barrier is answered when all flows were looked at again and the workers have taken what became of
that.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

LONGEST = 5000  # ms that one waits: a datapath may not answer for as long as that


class Barriers:
    def __init__(self) -> None:
        self._waiting: deque[tuple[int, int, Callable[[], Any]]] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, generation: int, now: int, then: Callable[[], Any]) -> None:
        """`then` is called once the flows are those of this generation of the tables."""
        self._waiting.append((generation, now + LONGEST, then))

    def is_due(self, passed: int, now: int, lost: bool) -> bool:
        """Whether the first one's time has come; `passed`: the generation that the flows are of,
        `lost`: there is no datapath to wait for."""
        if not self._waiting:
            return False
        generation, deadline, _then = self._waiting[0]
        return lost or passed >= generation or now >= deadline

    def take(self, passed: int, now: int, lost: bool) -> list[Callable[[], Any]]:
        """Those whose time has come."""
        found = []
        while self.is_due(passed, now, lost):
            found.append(self._waiting.popleft()[2])
        return found
