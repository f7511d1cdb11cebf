"""What is of no use any more, and too much to be freed in one turn of the loop."""

import time
from typing import Any

SLICE_SECONDS = 0.004  # of the loop, in each round
STEP = 200  # members in one step


class Disposal:
    """Lists, sets and dicts that nobody else has, and of such in them, emptied slice by slice."""

    def __init__(self) -> None:
        self._heaps: list[Any] = []

    def add(self, *heaps: Any) -> None:
        """Take them over; the last one goes first."""
        self._heaps += heaps

    def run(self) -> None:
        """Go on for one slice of time.  What cannot be emptied is let go at once."""
        end = time.monotonic() + SLICE_SECONDS
        while self._heaps and time.monotonic() < end:
            self._step()

    def _step(self) -> None:
        heap = self._heaps.pop()
        members = _take(heap)
        if heap:
            self._heaps.append(heap)
        kinds = (list, set, dict)
        self._heaps += [each for each in members if type(each) in kinds and len(each) > STEP]

    def wait(self, poller: Any) -> None:
        if self._heaps:
            poller.immediate_wake()


def _take(heap: Any) -> list[Any]:
    """Some members less; of a dict its values are told."""
    if type(heap) is list:
        some = heap[-STEP:]
        del heap[-STEP:]
        return some
    pop = heap.pop if type(heap) is set else lambda: heap.popitem()[1]
    return [pop() for _ in range(min(STEP, len(heap)))]
