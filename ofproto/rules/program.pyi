"""OpenFlow actions compiled for translation."""

from typing import Any

class Program:
    """An immutable list of ops; ofproto.compile makes it."""

    actions: list[Any]  # what the ops came from, in order
    subs: list[Program]  # of write_actions and clone
    learned: tuple[tuple[int, int], ...]  # (table, cookie) of what its learn actions delete
    groups: frozenset[int] | None  # numbers of groups that it refers to
    options: frozenset[int] | None  # N of each tun_metadataN that it refers to
    def signature(self) -> bytes:
        """Bytes equal for programs that do the same; the same in each run of the daemon."""

    def remaining(self, pc: int) -> list[Any]:
        """The actions and instructions from op number `pc` on."""

    def __len__(self) -> int: ...
