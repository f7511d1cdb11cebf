"""Neighbours that packets wait for: when each is asked for its Ethernet address.

At once, then each second, later each ten; until it answers or nobody wanted it for a while.  A flow
that lost its packet for want of an answer sends no other up, so the asking goes on by itself.
"""

from ofproto.underlay.messages import solicitation
from ofproto.underlay.neighbours import Neighbours
from pyvs import coverage

MAX_ASKED = 1024  # neighbours at a time; packets for others wait in vain
OFTEN_MS, OFTEN = 1000, 3  # so many times
SELDOM_MS = 10_000
GIVEN_UP_MS = 300_000  # after somebody wanted it last

FULL = coverage.counter("tnl_neigh_asked_full")


class _Question:
    __slots__ = ("bridge", "due", "frame", "times", "wanted")

    def __init__(self, bridge: str, frame: bytes, now: int):
        self.bridge = bridge
        self.frame = frame
        self.due = self.wanted = now
        self.times = 0


class Asked:
    """Times in ms."""

    def __init__(self) -> None:
        self._questions: dict[tuple[str, int], _Question] = {}  # (device, address)

    def want(
        self, device: str, bridge: str, mac: bytes, source: int, address: int, now: int
    ) -> None:
        question = self._questions.get((device, address))
        if question is not None:
            question.wanted = now
        elif len(self._questions) < MAX_ASKED:
            frame = solicitation(mac, source, address)
            self._questions[device, address] = _Question(bridge, frame, now)
        else:
            FULL.count += 1

    def take(self, neighbours: Neighbours, now: int) -> list[tuple[str, bytes]]:
        """(device, frame) of those that are due."""
        found = []
        for (device, address), question in list(self._questions.items()):
            if question.due > now:
                continue
            known = neighbours.lookup(question.bridge, address, now) is not None
            if known or now - question.wanted > GIVEN_UP_MS:
                del self._questions[device, address]
                continue
            question.times += 1
            question.due = now + (OFTEN_MS if question.times < OFTEN else SELDOM_MS)
            found.append((device, question.frame))
        return found

    def next_run(self) -> int | None:
        return min((question.due for question in self._questions.values()), default=None)
