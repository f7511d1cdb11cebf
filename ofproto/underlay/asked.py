"""Neighbours that packets wait for: when each is asked for its Ethernet address.

At once, then each second, later each ten; until it answers or nobody wanted it for a while.  A flow
that lost its packet for want of an answer sends no other up, so the asking goes on by itself; at
its end flows are looked at again, of which one that still has packets wants it once more.
"""

from ofproto.underlay.messages import solicitation
from ofproto.underlay.neighbours import Neighbours
from pyvs import coverage

MAX_ASKED = 1024  # neighbours at a time; packets for others wait in vain
AT_ONCE = 64  # questions that one round sends
OFTEN_MS, OFTEN = 1000, 3  # so many times
SELDOM_MS = 10_000
GIVEN_UP_MS = 300_000  # after somebody wanted it last

FULL = coverage.counter("tnl_neigh_asked_full")


class _Question:
    __slots__ = ("asker", "due", "frame", "times", "wanted")

    def __init__(self, now: int):
        self.asker = "", b"", 0  # bridge, and our addresses
        self.frame = b""
        self.due = self.wanted = now
        self.times = 0


class Asked:
    """Times in ms."""

    def __init__(self) -> None:
        self.gave_up = False  # since somebody looked last
        self._questions: dict[tuple[str, int], _Question] = {}  # (device, address)

    def __bool__(self) -> bool:
        return bool(self._questions) or self.gave_up

    def want(
        self, device: str, bridge: str, mac: bytes, source: int, address: int, now: int
    ) -> None:
        """Once more where it is asked for already.  The answer goes to who asked: from another
        address of ours the next question is asked, and soon."""
        asker = bridge, mac, source
        question = self._questions.get((device, address))
        if question is None:
            if len(self._questions) >= MAX_ASKED:
                FULL.count += 1
                return
            question = self._questions[device, address] = _Question(now)
        question.wanted = now
        if question.asker != asker:
            question.asker = asker
            question.frame = solicitation(mac, source, address)
            question.due = min(question.due, now + OFTEN_MS)

    def take(self, neighbours: Neighbours, now: int) -> list[tuple[str, bytes]]:
        """(device, frame) of those that are due, AT_ONCE at most."""
        found: list[tuple[str, bytes]] = []
        for (device, address), question in list(self._questions.items()):
            if len(found) == AT_ONCE:
                break
            if question.due > now:
                continue
            known = neighbours.lookup(question.asker[0], address, now) is not None
            if (known and question.times) or now - question.wanted > GIVEN_UP_MS:
                del self._questions[device, address]
                self.gave_up |= not known
                continue
            question.times += 1
            question.due = now + (OFTEN_MS if question.times < OFTEN else SELDOM_MS)
            found.append((device, question.frame))
        return found

    def next_run(self) -> int | None:
        return min((question.due for question in self._questions.values()), default=None)
