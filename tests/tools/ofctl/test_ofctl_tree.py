"""Flows as a tree: what the largest ones take."""

import tracemalloc
from types import SimpleNamespace

from pyvs_tools.ofctl.tree import tree


class GotoTable:
    def __init__(self, table):
        self.table = table


def test_many_flows_below_a_long_chain_of_tables():
    """What stands before a line has 2 kB there, which flows of a table have in common."""
    deep, many = 253, 20_000
    flows = [
        SimpleNamespace(table_id=table, instructions=[GotoTable(table + 1)])
        for table in range(deep)
    ]
    flows += [SimpleNamespace(table_id=deep, instructions=[])] * many
    tracemalloc.start()
    try:
        count = sum(1 for _ in tree(flows, lambda flow: "flow"))
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()
    assert count == 2 * deep + many + 1


def test_tables_in_a_circle_are_told_once():
    flows = [
        SimpleNamespace(table_id=table, instructions=[GotoTable(3 - table)]) for table in (1, 2)
    ]
    lines = [line.strip("│├└─ ") for line in tree(flows, lambda flow: f"of {flow.table_id}")]
    assert lines == ["table 1", "of 1", "table 2", "of 2", "table 1: see above"]
