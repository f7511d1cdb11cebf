"""dump-flows --tree: flows below the flows that lead to them.

A table stands below the first flow that sends packets there (goto_table, resubmit, ct), and is only
named where a later one does; tables to which none leads stand at the top.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ofproto.codec import messages as m

BRANCH, LAST, PAST, NOTHING = "├── ", "└── ", "│   ", "    "


def targets(each: Any, table: int) -> Iterator[int]:
    """The tables that an instruction or action of a flow of this table leads to, in order."""
    kind = type(each).__name__
    if kind == "Resubmit":
        yield table if each.table is None else each.table
    elif kind in ("GotoTable", "Ct") and each.table is not None:
        yield each.table
    for inner in getattr(each, "actions", None) or ():
        yield from targets(inner, table)


def _leads_to(flow: m.FlowStats) -> list[int]:
    found = (to for each in flow.instructions for to in targets(each, flow.table_id))
    return list(dict.fromkeys(found))


class _Forest:
    """Nodes are tables, by number, and flows."""

    def __init__(self, flows: Iterable[m.FlowStats], text: Callable[[m.FlowStats], str]):
        self._text = text
        self._tables: dict[int, list[m.FlowStats]] = {}
        for flow in flows:
            self._tables.setdefault(flow.table_id, []).append(flow)
        self._shown: set[int] = set()

    def lines(self) -> Iterator[str]:
        """A tree for each table at the top: table 0, and those that no other leads to."""
        led = {
            to for number, flows in self._tables.items() for flow in flows
            for to in _leads_to(flow) if to != number
        }  # fmt: skip
        first = [number for number in sorted(self._tables) if not number or number not in led]
        for number in [*first, *sorted(self._tables)]:  # the latter: of those in a circle
            if number not in self._shown:
                yield from self._walk(number)

    def _walk(self, table: int) -> Iterator[str]:
        """The lines of one tree, whose depth nothing bounds but the number of tables."""
        stack: list[tuple[int | m.FlowStats, str, str]] = [(table, "", "")]
        while stack:
            node, head, rest = stack.pop()
            text, below = self._table(node) if isinstance(node, int) else self._flow(node)
            yield head + text
            ends, between = (rest + LAST, rest + NOTHING), (rest + BRANCH, rest + PAST)
            for each in reversed(below):  # who share their strings: many flows, 254 tables deep
                stack.append((each, *ends))
                ends = between

    def _table(self, number: int) -> tuple[str, list[m.FlowStats]]:
        if number in self._shown:
            return f"table {number}: see above", []
        if number not in self._tables:
            return f"table {number}: no flows", []
        self._shown.add(number)
        return f"table {number}", self._tables[number]

    def _flow(self, flow: m.FlowStats) -> tuple[str, list[int]]:
        return self._text(flow), _leads_to(flow)


def tree(flows: Iterable[m.FlowStats], text: Callable[[m.FlowStats], str]) -> Iterator[str]:
    """The lines; `text` is how a flow is shown."""
    return _Forest(flows, text).lines()
