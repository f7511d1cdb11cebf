"""What `wait(poller)` methods say what they wait for to: poll(2)."""

from collections.abc import Callable
from typing import Any

# How long descriptors may be served one after the other without a round of the loop, in seconds.
QUICK: float

def watch_signals() -> None:
    """See signals, too, that come just before block() waits."""

class Server:
    """What quick() takes instead of a function, where Python's steps between poll(2) and the answer
    would be a large part of it: a subclass in Cython has serve()."""

class Poller:
    """Takes the place of ovs.poller.Poller, which is on select(2) and ends at descriptor 1024.

    One-shot: make one for every round, as with the library's own.
    """

    ready: set[int] | None
    """After block(): the descriptors with events."""

    def fd_wait(self, fd: Any, events: int) -> None:
        """Wake up at `events` (select.POLLIN, POLLOUT) of a descriptor or socket."""

    def quick(self, fd: int, serve: Server | Callable[[], float]) -> None:
        """While nothing but input of such descriptors comes, block() calls their `serve()`, and
        goes on to wait, for QUICK at most: a client that asks one thing after the other need not
        wait for whole rounds.  serve() returns in how many seconds a round is wanted."""

    def timer_wait(self, msec: float) -> None:
        """Wake up in `msec` milliseconds at the latest."""

    def timer_wait_until(self, msec: float) -> None:
        """Wake up when the daemon's clock reaches `msec` at the latest."""

    def immediate_wake(self) -> None:
        """Do not block."""

    @property
    def timeout(self) -> int:
        """In milliseconds; -1: none."""

    @property
    def is_immediate(self) -> bool:
        """Whether somebody has more to do at once."""

    def block(self) -> list[tuple[int, int]]:
        """Wait; returns what poll(2) does, [(descriptor, events)]."""
