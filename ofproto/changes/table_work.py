"""Work on a bridge's tables that is too much for one turn of the loop: done in slices.

One at a time.  Messages of all connections that change tables wait meanwhile, so that nobody's
falls into the middle of another's; whoever asked for the work gets to its own next message when
it is done.  A connection that goes does not end what it began.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ofproto.codec.errors import OFError
from pyvs import containment

SLICE_SECONDS = 0.008  # of the loop, in each round


class _Work(NamedTuple):
    place: str
    steps: Iterator[None]
    peer: Any
    refuse: Callable[[OFError], None] | None


class TableWork:
    """Of the bridge whose journal is `log`."""

    def __init__(self, log: Any):
        self._log = log
        self._queue: deque[_Work] = deque()
        self._waiting: deque[tuple[Any, Callable[[], None]]] = deque()

    @property
    def busy(self) -> bool:
        """Whether the tables may not be changed by a message now."""
        return bool(self._queue)

    def start(
        self,
        place: str,
        steps: Iterator[None],
        peer: Any = None,
        refuse: Callable[[OFError], None] | None = None,
    ) -> None:
        """Do all steps, each a little work, after those of before.  `peer`: who asked for it;
        `refuse()`: called with an OFError that ends it; `place`: see containment.caught()."""
        if peer is not None:
            peer.connection.hold()
        self._log.hold()  # a shorter journal has all of it, or what was before
        self._queue.append(_Work(place, steps, peer, refuse))

    def defer(self, peer: Any, handle: Callable[[], None]) -> None:
        """Handle this message of a peer, and its next ones, once the tables are free."""
        peer.connection.hold()
        self._waiting.append((peer, handle))

    def run(self, _now: int) -> None:
        """Go on for one slice of time."""
        end = time.monotonic() + SLICE_SECONDS
        while self._queue and time.monotonic() < end:
            work = self._queue[0]
            try:
                next(work.steps)
            except StopIteration:
                self._over()
            except OFError as error:
                if work.refuse is not None:
                    work.refuse(error)
                self._over()
            except Exception:
                containment.caught(work.place, "" if work.peer is None else work.peer.name)
                self._over()
                if work.peer is not None:
                    work.peer.connection.fail("internal error")

    def _over(self) -> None:
        """Those that waited have their turn, until one of them is much work again."""
        work = self._queue.popleft()
        if work.peer is not None:
            work.peer.connection.release()
        if self._queue:
            return
        self._log.release()
        while self._waiting and not self._queue:
            peer, handle = self._waiting.popleft()
            peer.connection.release()
            if peer.alive:
                containment.call("OpenFlow connection", peer.name, handle)

    def close(self) -> None:
        """The bridge goes: what is under way ends, or is undone, and nobody waits."""
        self._waiting.clear()
        queue, self._queue = self._queue, deque()
        for work in queue:
            work.steps.close()  # type: ignore[attr-defined]

    def wait(self, poller: Any) -> None:
        if self._queue:
            poller.immediate_wake()
