"""A row of the replica, to be read.

`ovs.db.idl.Row` converts each column to Python, back to a Datum with its constraints, and to Python
again, in case this client has changes of its own that are not committed.  What is read as
configuration has none, so one conversion does, in less than half the time (a QoS with a thousand
queues: 6 ms instead of 13 in one turn of the main loop).
"""

from collections.abc import Iterator
from typing import Any


class Committed:
    """Gives a column as `Row` does: an atom, a list of at most one, a sorted list, a dict.  Rows
    that it refers to are Committed, too; those that are not there are left out.  AttributeError
    for a column that the replica does not have."""

    __slots__ = ("_row", "table", "uuid")

    def __init__(self, row: Any):
        self._row = row
        self.table: str = row._table.name
        self.uuid = row.uuid

    def __getattr__(self, column: str) -> Any:
        data = self._row._data
        if column not in data:
            raise AttributeError(f"{self.table} has no column {column}")
        return data[column].to_python(self._resolve)  # a missing one is its default there

    def rows_of(self, table: str) -> Iterator["Committed"]:
        """All of another table of the same replica."""
        return map(Committed, self._row._idl.tables[table].rows.values())

    def _resolve(self, atom: Any, base: Any) -> Any:
        """As Datum.to_python() wants it: what stands for an atom."""
        if base.ref_table is None:
            return atom
        row = self._row._idl.tables[base.ref_table.name].rows.get(atom)
        return row and Committed(row)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Committed) and self.uuid == other.uuid

    def __lt__(self, other: "Committed") -> bool:
        return self.uuid < other.uuid

    def __hash__(self) -> int:
        return hash(self.uuid)
