"""From OpenFlow actions and instructions to the ops that translation runs."""

from collections.abc import Callable, Iterable
from typing import Any

from ofproto.rules.program import Program

EMIT: dict[str, Callable[[Program, Any], None]]  # class name -> compiler

def compile_fields(fields: Iterable[tuple[Any, int]]) -> Program:
    """(Field, mask) that a select group hashes.  Raises ValueError for what is too long."""

def compile_actions(actions: Iterable[Any], instructions: Iterable[Any] = ()) -> Program:
    """A Program of actions, then instructions, in the order they run.

    Raises ValueError for what translation cannot do.
    """
