"""What is of no use any more, and too much to be freed in one turn of the loop."""

import time
from collections.abc import Iterator
from typing import Any

SLICE_SECONDS = 0.004  # of the loop, in each round
STEP = 200  # members in one step


class Disposal:
    """Lists, sets and dicts that nobody else has, and of such in them, emptied slice by slice."""

    def __init__(self) -> None:
        self._heaps: list[Any] = []
        self._steps: Iterator[None] = iter(())

    def add(self, *heaps: Any) -> None:
        """Take them over; the last one goes first."""
        if not self._heaps:
            self._steps = self._empty()
        self._heaps += heaps

    def run(self) -> None:
        """Go on for one slice of time."""
        end = time.monotonic() + SLICE_SECONDS
        while self._heaps and time.monotonic() < end:
            next(self._steps, None)

    def wait(self, poller: Any) -> None:
        if self._heaps:
            poller.immediate_wake()

    def _empty(self) -> Iterator[None]:
        while self._heaps:
            heap = self._heaps.pop()
            while heap:
                for member in _take(heap):
                    if type(member) in (list, set, dict) and len(member) > STEP:
                        self._heaps.append(member)
                self._heaps.append(heap)
                yield
                heap = self._heaps.pop()


def _take(heap: Any) -> list[Any]:
    """Some members less; of a dict its values are told."""
    if type(heap) is list:
        some = heap[-STEP:]
        del heap[-STEP:]
        return some
    pop = heap.pop if type(heap) is set else lambda: heap.popitem()[1]
    return [pop() for _ in range(min(STEP, len(heap)))]
