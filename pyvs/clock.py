"""The daemon's clock: CLOCK_MONOTONIC in milliseconds, as an integer, unless tests stop it.

The `ovs` library is given this clock, too, so that time/stop and time/warp reach everything;
who has a clock elsewhere, as the datapath process has, is among the `followers`.
"""

import time
from collections.abc import Callable

import ovs.timeval


class _State:
    stopped_at: float | None = None
    ahead = 0.0  # ms that were warped
    remaining = 0.0  # ms still to be warped, `step` in each round of the main loop
    step = 0.0


# Called after each change with (ns at which the clock stands or None, ns that it is ahead).
followers: list[Callable[[int | None, int], None]] = []


def position() -> tuple[int | None, int]:
    """What followers are told."""
    stopped = _State.stopped_at
    return None if stopped is None else int(stopped * 1e6), int(_State.ahead * 1e6)


def _tell() -> None:
    for follower in followers:
        follower(*position())


def msec() -> int:
    """Milliseconds of the daemon's clock."""
    return int(_now())


def _now() -> float:
    base = time.monotonic() * 1000.0 if _State.stopped_at is None else _State.stopped_at
    return base + _State.ahead


def stop() -> None:
    """The clock stands still, but for warp()."""
    if _State.stopped_at is None:
        _State.stopped_at = time.monotonic() * 1000.0
        _tell()


def warp(amount: float, step: float = 0) -> None:
    """Put the clock forward by `amount` ms: at once, or by `step` with each advance()."""
    _State.step = step or amount
    _State.remaining += amount
    advance()


def advance() -> bool:
    """One step of a warp that is under way; False where it is over."""
    if not _State.remaining:
        return False
    forward = min(_State.step, _State.remaining)
    _State.ahead += forward
    _State.remaining -= forward
    _tell()
    return True


ovs.timeval.msec = _now
