"""What a former datapath process left on devices, and how long its flows go on.

The kernel follows them until hand-over: see docs/kernel-cache.md.  Times are in ms.
"""

from collections import Counter

from datapath.bpf.tc import Tc

LEFT_FOR = 10000  # that it stays on ports not yet added
MOST_PROGRAMS = 4  # that are looked at for their maps


class Former:
    """`followed`: flows of the former process are in force; until handed_over()."""

    def __init__(self, tc: Tc):
        self._tc = tc
        self._n_came = 0  # ports that were there when overdue() looked
        self.until: int | None = None  # when what was left goes
        try:
            self._left = tc.left()
        except OSError:
            self._left = {}
        self.followed = bool(self._left)

    def programs(self) -> list[int]:
        """The ids of the programs whose flows are followed, the most frequent ones first."""
        if not self.followed:
            return []
        return [program for program, _ in Counter(self._left.values()).most_common(MOST_PROGRAMS)]

    def program(self, index: int) -> int | None:
        """The id of the program that was left on a device."""
        return self._left.get(index)

    def replaced(self, index: int) -> None:
        """Ours is where the former one's was, or none is there any more."""
        self._left.pop(index, None)

    def drop(self, index: int) -> None:
        """Let go of what was left on a device."""
        if self._left.pop(index, None) is not None:
            self._tc.detach(index)

    def drop_all(self) -> None:
        for index in list(self._left):
            self.drop(index)

    def overdue(self, now: int, served: bool, n_ports: int) -> bool:
        """Whether what was left is to go from devices that are no ports of this process.

        `served`: a vswitchd is there; no new port came for LEFT_FOR, so it has told them all."""
        if not served or not (self._left or self.followed):
            self.until = None
        elif self.until is None or self._n_came != n_ports:
            self.until = now + LEFT_FOR
        elif now >= self.until:
            return True
        self._n_came = n_ports
        return False
