"""Log messages that others cause, at a limited rate.

Whoever can send bytes to a daemon could else fill its log.  A token bucket lets a burst through
and then so many a minute; what was kept back is told with the next message that is let through.
"""

from collections.abc import Callable
from typing import Any

from pyvs import clock

MINUTE = 60_000  # ms

# Modules without limits: what vlog/disable-rate-limit was told.
_unlimited: set[str] = set()


def set_limited(modules: set[str], limited: bool) -> None:
    """Whether the messages of these modules have limits; they do in the beginning."""
    if limited:
        _unlimited.difference_update(modules)
    else:
        _unlimited.update(modules)


class LimitedLog:
    """The warn, info and other methods of an ovs Vlog, `per_minute` messages on average and
    `burst` at once.  One for each kind of cause: they do not take each other's room."""

    def __init__(self, vlog: Any, per_minute: int, burst: int):
        self._vlog = vlog
        self._per_minute = per_minute
        self._most = burst * MINUTE
        self._tokens = self._most  # a message takes MINUTE of them; per_minute come every ms
        self._filled: int | None = None  # ms
        self._dropped = 0
        self._first = self._last = 0  # ms, of those dropped

    def err(self, message: str) -> None:
        self._log("err", message)

    def warn(self, message: str) -> None:
        self._log("warn", message)

    def info(self, message: str) -> None:
        self._log("info", message)

    def dbg(self, message: str | Callable[[], str]) -> None:
        """A function is asked for the text only when it is let through."""
        self._log("dbg", message)

    def _log(self, level: str, message: str | Callable[[], str]) -> None:
        if not getattr(self._vlog, f"{level}_is_enabled")():
            return
        now = clock.msec()
        if self._vlog.name not in _unlimited and not self._take(now):
            if not self._dropped:
                self._first = now
            self._last = now
            self._dropped += 1
            return
        log = getattr(self._vlog, level)
        if self._dropped:
            since, latest = (now - self._first) // 1000, (now - self._last) // 1000
            log(
                f"Dropped {self._dropped} log messages in last {since} seconds"
                f" (most recently, {latest} seconds ago) due to excessive rate"
            )
            self._dropped = 0
        log(message() if callable(message) else message)

    def _take(self, now: int) -> bool:
        if self._filled is not None:
            gained = max(0, now - self._filled) * self._per_minute
            self._tokens = min(self._most, self._tokens + gained)
        self._filled = now
        if self._tokens < MINUTE:
            return False
        self._tokens -= MINUTE
        return True
