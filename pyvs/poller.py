"""What `wait(poller)` methods say what they wait for to: poll(2)."""

import select
import time
from collections.abc import Callable
from typing import Any

from pyvs import clock, containment

# How long descriptors may be served one after the other without a round of the loop, in seconds.
QUICK = 0.05
LONGEST = 60_000  # ms; poll(2) takes no number, and who asks for a year has a look once a minute


class Poller:
    """Takes the place of ovs.poller.Poller, which is on select(2) and ends at descriptor 1024.

    One-shot: make one for every round, as with the library's own.
    """

    def __init__(self):
        self._events: dict[int, int] = {}
        self._timeout = -1
        self._quick: dict[int, Callable[[], float]] = {}
        self.ready: set[int] | None = None  # after block(): the descriptors with events

    def fd_wait(self, fd: Any, events: int) -> None:
        """Wake up at `events` (select.POLLIN, POLLOUT) of a descriptor or socket."""
        number = fd if isinstance(fd, int) else fd.fileno()
        if number < 0:  # closed meanwhile: its owner must look
            self.immediate_wake()
            return
        self._events[number] = self._events.get(number, 0) | events

    def quick(self, fd: int, serve: Callable[[], float]) -> None:
        """While nothing but input of such descriptors comes, block() calls their `serve()`, and
        goes on to wait, for QUICK at most: a client that asks one thing after the other need not
        wait for whole rounds.  serve() returns in how many seconds a round is wanted."""
        self._quick[fd] = serve

    def timer_wait(self, msec: float) -> None:
        """Wake up in `msec` milliseconds at the latest."""
        msec = int(max(0, min(msec, LONGEST)))
        if self._timeout < 0 or msec < self._timeout:
            self._timeout = msec

    def timer_wait_until(self, msec: float) -> None:
        """Wake up when the daemon's clock reaches `msec` at the latest."""
        self.timer_wait(msec - clock.msec())

    def immediate_wake(self) -> None:
        """Do not block."""
        self._timeout = 0

    @property
    def is_immediate(self) -> bool:
        """Whether somebody has more to do at once."""
        return self._timeout == 0

    def block(self) -> list[tuple[int, int]]:
        """Wait; returns what poll(2) does, [(descriptor, events)]."""
        poll = select.poll()
        for number, events in self._events.items():
            poll.register(number, events)
        start = time.monotonic()
        found = poll.poll(self._timeout)
        if self._quick:
            found = self._serve(poll, found, start)
        self.ready = {number for number, _events in found}
        return found

    def _serve(
        self, poll: select.poll, found: list[tuple[int, int]], start: float
    ) -> list[tuple[int, int]]:
        """What poll(2) gives when those of quick() have been served."""
        end = time.monotonic() + QUICK
        if self._timeout >= 0:
            end = min(end, start + self._timeout / 1000)
        while found and self._are_quick(found):
            wanted = QUICK
            for number, _events in found:
                left = containment.call("between rounds", "", self._quick[number], default=0)
                if left < wanted:
                    wanted = left
            now = time.monotonic()
            end = min(end, now + wanted)
            if end <= now:
                break
            found = poll.poll((end - now) * 1000)
        return found

    def _are_quick(self, found: list[tuple[int, int]]) -> bool:
        for number, events in found:
            if events != select.POLLIN or number not in self._quick:
                return False
        return True
