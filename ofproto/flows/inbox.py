"""Packets that came in by ports on which protocols listen (XPort.listen), until they have them.

Translation finds them, in upcalls and in what is sent out of patch ports; it may be under way when
they are found, so that they wait for the next round.  Of a port that floods more is lost than of
others.
"""

from collections import Counter, deque
from collections.abc import Iterable
from time import monotonic
from typing import Any

from pyvs import containment, coverage

WAITING = 64  # packets of a port, at most
ROUND_SECONDS = 0.01  # for giving them to their protocols, in one round

LOST = coverage.counter("protocol_packet_lost")


class Inbox:
    """A port's packets are lost where it has WAITING already."""

    def __init__(self) -> None:
        self._packets: deque[tuple[Any, int, bytes]] = deque()
        self._waiting: Counter[Any] = Counter()  # by port

    def __bool__(self) -> bool:
        return bool(self._packets)

    def put(self, listeners: Iterable[tuple[Any, int]], packet: bytes) -> None:
        """`listeners`: XPorts and bits of the protocols that take the packet there."""
        for port, slow in listeners:
            if self._waiting[port] >= WAITING:
                LOST.count += 1
                continue
            self._waiting[port] += 1
            self._packets.append((port, slow, packet))

    def run(self, now: int) -> None:
        """Give what has come by now to the protocols, or some of it; what their answers lead to,
        over patch ports, is for the next round."""
        waiting = len(self._packets)
        end = monotonic() + ROUND_SECONDS if waiting else 0
        for _ in range(waiting):
            port, slow, packet = self._packets.popleft()
            self._waiting[port] -= 1
            if not self._waiting[port]:
                del self._waiting[port]
            receive = port.receivers.get(slow)
            if receive is not None:  # else it ended meanwhile
                containment.call("protocol", port.name, receive, packet, now)
            if monotonic() > end:
                break
