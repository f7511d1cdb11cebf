"""A flood of upcalls gets of the processors what nobody else wants.

Whoever sends frames of ever new flows as fast as it can would have vswitchd take a processor for
itself, from the traffic that is established as well.  The scheduler says for how long a thread
that could have run was kept from it (/proc/PID/schedstat, proc(5)): where that is much, others
want the processors, and between small turns the flood's packets wait a little.
"""

import os
import time

TURN, TURN_OF_MANY = 512, 48  # upcalls in one turn: of a processor of our own, of a wanted one
# Others' first packets wait for the rest to be over.  Each turn has a round of the loop with it:
# with rests of 1 ms they took up to three quarters more of the processor.
REST_MS = 2
# Of the time that we ran, kept from it for as much: others want the processor.
WANTED = 0.25
LOOK_AGAIN = 0.1  # seconds


class Courtesy:
    """`turn`: how many upcalls to answer at once."""

    def __init__(self) -> None:
        self.turn = TURN
        self._schedstat = -1
        self._before: tuple[int, int] | None = None
        self._until = 0.0

    def rest(self) -> int:
        """With upcalls left after a turn: the ms to wait before the next."""
        ran, waited = self._times()
        before, self._before = self._before or (ran, waited), (ran, waited)
        wanted = waited - before[1] > WANTED * (ran - before[0])
        now = time.monotonic()
        if wanted:
            self._until = now + LOOK_AGAIN
        crowded = now < self._until
        self.turn = TURN_OF_MANY if crowded else TURN
        return REST_MS if crowded else 0

    def over(self) -> None:
        """No upcall is left."""
        self.turn = TURN

    def _times(self) -> tuple[int, int]:
        """Nanoseconds that the main thread ran, and was kept from it; (0, 0): nobody says."""
        try:
            if self._schedstat < 0:  # of this process, not of the one that forked it
                self._schedstat = os.open("/proc/self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
            ran, waited = os.pread(self._schedstat, 100, 0).split()[:2]
            return int(ran), int(waited)
        except (OSError, ValueError):
            return 0, 0
