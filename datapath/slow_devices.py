"""Devices that the kernel takes long to open and to let go of: threads do it, and the control
thread serves others meanwhile.
"""

import errno
import functools
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from datapath.requests import EngineError, NotYet


class SlowDevices:
    """One opening of each name at a time; it waits for who closes a device of that name."""

    def __init__(self, executor: Executor):
        self._executor = executor
        self._opening: dict[str, tuple[Any, Future]] = {}
        self._closing: dict[str, Future] = {}

    def open(self, name: str, words: Any, make: Callable[[], Any]) -> Any:
        """What `make` gives or raises; NotYet: ask for the same (`words`) again, or forget it."""
        if name not in self._opening:
            future = self._executor.submit(_open, self._closing.get(name), make)
            self._opening[name] = words, future
        known, future = self._opening[name]
        if known != words:
            raise EngineError(errno.EBUSY, f"{name} is being opened")
        if not future.done():
            raise NotYet(functools.partial(self.forget, name))
        del self._opening[name]
        return future.result()

    def close(self, name: str, device: Any) -> None:
        """Close a device that no worker knows any more."""
        self._end(name, device.close)

    def forget(self, name: str) -> None:
        """Nobody asks for what is being opened any more."""
        _words, future = self._opening.pop(name, (None, None))
        if future is not None:
            self._end(name, lambda: future.result().close())

    def forget_all(self) -> None:
        for name in list(self._opening):
            self.forget(name)

    def _end(self, name: str, close: Callable[[], None]) -> None:
        self._closing = {n: each for n, each in self._closing.items() if not each.done()}
        self._closing[name] = self._executor.submit(close)


def _open(closing: Future | None, make: Callable[[], Any]) -> Any:
    if closing is not None:
        closing.exception()  # which waits for its end
    return make()
