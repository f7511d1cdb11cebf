"""Turns: the messages of many peers are handled by one thread, and none keeps the others waiting.

In a round each peer that has something to do gets slices of time in turn, until the round's budget
is spent; the next round begins with the peer whose turn it was.  A request that takes longer than
a slice is an iterator of steps (`Peer.work`), a long reply is made part by part.  The messages of
one connection are handled in their order: the next one is looked at when all of that is done.

Packets that come up meanwhile wait for no more than a slice: whoever writes all of its flows does
not keep other controllers from answering them.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

from pyvs import containment, coverage

from .peer import Peer

# Seconds of the loop for all peers of a bridge in a round, and for one of them at a time.
BUDGET, SLICE = 0.015, 0.003
MESSAGES_PER_TURN = 64  # before the next peer has its turn

PREEMPTED = coverage.counter("ofconn_budget_spent")

# What a step of Peer.work gives when there is nothing to do for now.
WAITING = "waiting"
_DONE = object()


class Turns:
    """`handle(peer, raw)` is called with each message that the switch has to see, `between()` when
    a slice of a round is over.  `busy` after run(): somebody has something to do yet."""

    def __init__(
        self,
        handle: Callable[[Peer, bytes], None],
        between: Callable[[], object] = lambda: None,
    ):
        self._handle = handle
        self._between = between
        self.busy = False
        self._next: Peer | None = None  # who was not served in full in the last round

    def run(self, peers: list[Peer]) -> None:
        """One round."""
        end = time.monotonic() + BUDGET
        waiting = self._in_order(peers)
        while waiting:
            later = []
            for peer in waiting:
                if self._turn(peer, end):
                    later.append(peer)
                    containment.call("between turns", "", self._between)
            waiting = later
            if waiting and time.monotonic() >= end:
                PREEMPTED.count += 1
                break
        self.busy = bool(waiting)

    def _in_order(self, peers: list[Peer]) -> list[Peer]:
        at = peers.index(self._next) if self._next in peers else 0
        self._next = None
        return peers[at:] + peers[:at]

    def _turn(self, peer: Peer, end: float) -> bool:
        """Whether it has more to do at once."""
        now = time.monotonic()
        if now >= end:  # somebody else has used all of it
            self._next = self._next or peer
            return True
        own = min(end, now + SLICE)
        try:
            for _ in range(MESSAGES_PER_TURN):
                if not peer.alive or not self._step(peer):
                    return False
                if time.monotonic() >= own:
                    break
        except Exception:
            containment.caught("OpenFlow connection", peer.name)
            peer.connection.fail("internal error")
            return False
        return True

    def _step(self, peer: Peer) -> bool:
        """Do the next thing; False when there is none for now."""
        connection = peer.connection
        if peer.work is not None:
            done = next(peer.work, _DONE)
            if done is _DONE:
                peer.work = None
            return done is not WAITING
        if connection.may_advance:
            connection.advance()
            return True
        raw = connection.next_message()
        if raw is None:
            return connection.has_input
        self._handle(peer, raw)
        return True


def finish(work: Iterable[Any]) -> None:
    """Do all steps at once, where there is nobody who would have to wait."""
    for _ in work:
        pass
