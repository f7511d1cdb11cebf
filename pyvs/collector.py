"""Python's collector of cycles, which looks at all that there is, in daemons that have millions of
objects, next to none of them in cycles, and a loop that is not to stand for longer than 20 ms.

A collection takes 0.15 us an object.  So few objects come between two, and what has become much
is looked at once and never again: it goes when nobody refers to it any more, as everything does.
"""

import contextlib
import gc
import time
from collections.abc import Iterator

YOUNG = 10_000  # objects, more than went, between two collections of those
MIDDLE = 5  # of these collections between two that look at what they left, too
ALL = 2  # and of those between two that look at everything
LONG = 0.010  # seconds
FEW = 60_000  # objects: a look at all of them is not long

_paused = 0
_was_enabled = True
_began = 0.0


def spare() -> None:
    """From now on; what there is already is not looked at any more."""
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, ALL)
    if _watch not in gc.callbacks:
        gc.callbacks.append(_watch)
    gc.enable()


def _watch(phase: str, info: dict[str, int]) -> None:
    global _began
    if phase == "start":
        _began = time.thread_time()
    elif info["generation"] == 2 and time.thread_time() - _began > LONG:
        gc.freeze()


def look_at_all() -> None:
    """When something has gone whose parts know each other in circles, as a bridge's do, which may
    have been frozen while it was there.  Where there are more than FEW, it stays."""
    if _watch in gc.callbacks and not _paused and gc.get_freeze_count() <= FEW:
        gc.unfreeze()
        gc.collect()
        gc.freeze()


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Meanwhile none takes part of a slice of work that makes many objects which stay."""
    global _paused, _was_enabled
    if not _paused:
        _was_enabled = gc.isenabled()
    gc.disable()
    _paused += 1
    try:
        yield
    finally:
        _paused -= 1
        if gc.get_count()[0] > 2 * YOUNG:
            gc.freeze()
            gc.collect(0)  # of nothing: it counts from here on
        if not _paused and _was_enabled:
            gc.enable()
