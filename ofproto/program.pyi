"""OpenFlow actions compiled for translation."""

from collections.abc import Iterable
from typing import Any

class Program:
    actions: list[Any]
    def signature(self) -> bytes:
        """Bytes that are equal for programs that do the same; the same in each run of the daemon."""

def compile_actions(actions: Iterable[Any], instructions: Iterable[Any] = ()) -> Program:
    """Compiles objects of ofproto.actions and ofproto.instructions, in the order they run.

    Raises ValueError for what translation cannot do.
    """
