"""What trace tells of the actions that waited while a packet was sent round, as Open vSwitch does.

There a goto_table that waited is a resubmit; and before what may send the packet to the controllers
stands which rule it is of, where that is another one than was said last.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

_TO_CONTROLLERS = (
    *("Output", "OutputReg", "OutputTrunc", "Group", "Controller"),
    *("DecTtl", "DecMplsTtl", "DecNshTtl"),
)
_SAME_TABLE = 255  # of a resubmit


class Unrolled(NamedTuple):
    """Of which rule the actions behind it are."""

    table_id: int
    cookie: int

    def format(self, _names: Any = None) -> str:
        return f"unroll_xlate(table={self.table_id}, cookie={self.cookie})"


def unrolled(action: Any, table_id: int, rule: Any, last: Unrolled | None) -> Unrolled | None:
    """What stands before `action`, if anything; `last`: what stood before another one."""
    name = type(action).__name__
    if name not in _TO_CONTROLLERS and not (name == "Resubmit" and action.table == _SAME_TABLE):
        return None
    found = Unrolled(table_id, 0 if rule is None else rule.cookie)
    return None if found == last else found


def as_waited(action: Any) -> Any:
    """A step of trace."""
    return f"resubmit(,{action.table})" if type(action).__name__ == "GotoTable" else action


def waiting(todo: Iterable[tuple]) -> Iterator[Any]:
    """All that is left to do, as steps of trace; nothing where that begins with a table."""
    last = None
    for program, pc, table_id, rule in todo:
        for action in () if program is None else program.remaining(pc):
            found = unrolled(action, table_id, rule, last)
            if found is not None:
                yield found
                last = found
            yield as_waited(action)
