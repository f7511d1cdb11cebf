"""The memory of the rings on which packets go up to vswitchd: it outlives who reads them.

Where vswitchd is killed and comes again, the next one takes over the rings of the former and goes
on where that stopped: what came up meanwhile waits, as much as a ring holds, for PATIENCE at most.
"""

import contextlib
import os

from datapath.ipc.ring import Ring, create_memory
from datapath.ipc.upcall_rings import IN_PORT_AT

SIZE = 8 << 20  # bytes of each; a GSO frame takes 64 KiB of it
PATIENCE = 5000  # ms; who sent what has waited for longer has sent it again, or gave up


class UpMemory:
    """A ring of each worker, by its number; `n_lost` packets were taken over by nobody."""

    def __init__(self) -> None:
        self.n_lost = 0
        self._fds: dict[int, int] = {}
        self._first: dict[int, int] = {}  # where what waits began when a ring was parked last
        self.deadline: int | None = None  # ms; there is one while nobody reads

    def close(self) -> None:
        """There are no rings any more; the workers' mappings stay theirs."""
        for worker in list(self._fds):
            self.forget(worker)
        self._first = {}
        self.deadline = None

    def park(self, now: int) -> bool:
        """Who read is gone at `now`, ms.  False: the rings are of no use to another one.

        Nor are they where it took nothing of what it found: what comes first may be what ended it,
        and would end the next one, too.
        """
        self.deadline = now + PATIENCE
        former, self._first = self._first, {}
        for worker, fd in self._fds.items():
            n, first = _look(fd)
            if n is None or (n and former.get(worker) == first):
                self.close()
                return False
            if n:
                self._first[worker] = first
        return True

    def part_from_reader(self) -> None:
        """The rings of one who may read still go: of() is for another one."""
        if self.deadline is None:
            self.close()

    def read_anew(self) -> None:
        """Who has got what of() gave since part_from_reader() reads from now on."""
        self.deadline = None

    def of(self, worker: int) -> int:
        """A descriptor, the caller's, of a worker's ring.  Raises OSError."""
        if worker not in self._fds:
            self._fds[worker] = create_memory(SIZE)
        return os.dup(self._fds[worker])

    def forget_port(self, number: int) -> None:
        """While nobody reads: what came by a port that goes; its number may become another's."""
        for fd in self._fds.values() if self.deadline is not None else ():
            with contextlib.suppress(OSError):
                self.n_lost += Ring(fd).spoil(IN_PORT_AT, number.to_bytes(4, "big"))

    def forget(self, worker: int) -> None:
        """The worker is gone, or its ring."""
        fd = self._fds.pop(worker, None)
        if fd is None:
            return
        if self.deadline is not None:
            self.n_lost += _look(fd)[0] or 0
        os.close(fd)


def _look(fd: int) -> tuple[int | None, int]:
    """How many packets wait in a ring, None where it is broken or cannot be looked into; and where
    the first one is."""
    try:
        ring = Ring(fd)
    except OSError:
        return None, 0
    return ring.n_waiting(), ring.tail
