"""The memory of the rings on which packets go up to vswitchd: it outlives who reads them.

Where vswitchd is killed and comes again, the next one takes over the rings of the former and goes
on where that stopped: what came up meanwhile waits, as much as a ring holds, for PATIENCE at most.
"""

import os
from collections.abc import Callable

from datapath.ipc.ring import Ring, create_memory

SIZE = 8 << 20  # bytes of each; a GSO frame takes 64 KiB of it
PATIENCE = 5000  # ms; who sent what has waited for longer has sent it again, or gave up


class UpMemory:
    """A ring of each worker, by its number; `lose` is told how many packets nobody took over."""

    def __init__(self, lose: Callable[[int], None]):
        self._lose = lose
        self._fds: dict[int, int] = {}
        self.deadline: int | None = None  # ms; there is one while nobody reads

    def close(self) -> None:
        """There are no rings any more; the workers' mappings stay theirs."""
        for worker in list(self._fds):
            self.forget(worker)
        self.deadline = None

    def park(self, now: int) -> bool:
        """Who read is gone at `now`, ms.  False: the rings are of no use to another one."""
        if any(Ring(fd).n_waiting() is None for fd in self._fds.values()):
            self.close()
            return False
        self.deadline = now + PATIENCE
        return True

    def read_anew(self) -> None:
        """Who calls of() next reads what was parked; where somebody may read still, new rings."""
        if self.deadline is None:
            self.close()
        self.deadline = None

    def of(self, worker: int) -> int:
        """A descriptor, the caller's, of a worker's ring.  Raises OSError."""
        if worker not in self._fds:
            self._fds[worker] = create_memory(SIZE)
        return os.dup(self._fds[worker])

    def forget(self, worker: int) -> None:
        """The worker is gone, or its ring."""
        fd = self._fds.pop(worker, None)
        if fd is None:
            return
        if self.deadline is not None:
            self._lose(Ring(fd).n_waiting() or 0)
        os.close(fd)
