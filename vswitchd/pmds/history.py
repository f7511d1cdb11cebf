"""What receive queues and workers cost lately, in samples of five seconds."""

from collections import deque
from typing import Any

INTERVAL = 5000  # ms
LENGTH = 12  # samples


class History:
    """Counters only rise; samples are what they rose by."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """The queues are polled by others from now on."""
        self._last: dict[Any, int] = {}
        self._samples: dict[Any, deque[int]] = {}

    def add(self, counters: dict[Any, int]) -> None:
        """What was counted by now, by whatever name; the first time says nothing."""
        for name, count in counters.items():
            if name in self._last:
                samples = self._samples.setdefault(name, deque(maxlen=LENGTH))
                samples.append(max(0, count - self._last[name]))
        self._last = counters
        for name in self._samples.keys() - counters.keys():
            del self._samples[name]

    def sum(self, name: Any, n: int = LENGTH) -> int:
        """Of the last `n` samples."""
        return sum(list(self._samples.get(name, ()))[-n:])
