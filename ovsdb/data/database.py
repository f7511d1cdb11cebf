"""A database in memory: tables, rows, and what is kept to check commits in O(change).

A row is a dict of column name to value, `_uuid` and `_version` among them.  Rows in a table
are never changed in place once their transaction is committed, so that old and new versions
can be compared, and kept in the history, without copies.
"""

from collections.abc import Callable
from typing import Any, Protocol

from ovsdb.data.condition import Condition, Row
from ovsdb.data.datum import Datum, as_key
from ovsdb.data.schema import DatabaseSchema, TableSchema
from ovsdb.data.uuids import new_uuid
from pyvs import containment, coverage

# How many transactions a monitor_cond_since can go back.
HISTORY_TRANSACTIONS = 100
HISTORY_BYTES = 32 * 1024 * 1024  # of their records, all together

# table name -> uuid -> (old row or None, new row or None)
Changes = dict[str, dict[str, tuple[Row | None, Row | None]]]
# table name -> the columns in which rows that were there before may have changed
Written = dict[str, set[str]]

COMMITS = coverage.counter("ovsdb_commit")


class RefColumn:
    """A column that holds references: where in its values they are, and where they lead."""

    __slots__ = ("in_key", "name", "strong", "target")

    def __init__(self, name: str, in_key: bool, target: str, strong: bool):
        self.name = name
        self.in_key = in_key
        self.target = target
        self.strong = strong

    def uuids(self, datum: Datum) -> list[str]:
        """The references in a value, each as often as it is there."""
        if self.in_key:
            return list(datum)
        return list(datum.values())  # type: ignore[union-attr]


class Table:
    """The rows of a table, its indexes, and the references to its rows."""

    def __init__(self, schema: TableSchema):
        self.schema = schema
        self.name = schema.name
        self.rows: dict[str, Row] = {}
        # For each index of the schema: key -> uuid, of the committed rows.
        self.indexes: list[dict[Any, str]] = [{} for _ in schema.indexes]
        # Those of one column, by its name.
        self._unique = {
            names[0]: index
            for names, index in zip(schema.indexes, self.indexes, strict=True)
            if len(names) == 1
        }
        # uuid -> number of strong references from other rows, where it is not 0.
        self.strong: dict[str, int] = {}
        # uuid -> the (table, uuid) of the rows that refer to it weakly.
        self.weak: dict[str, set[tuple[str, str]]] = {}
        self.defaults: Row = {c.name: c.type.default for c in schema.columns.values()}
        refs = [
            RefColumn(column.name, in_key, base.ref_table, base.strong)
            for column in schema.columns.values()
            for in_key, base in column.refs
        ]
        self._ref_names = [ref.name for ref in refs]
        self.strong_columns = [ref for ref in refs if ref.strong]
        self.weak_columns = [ref for ref in refs if not ref.strong]
        # The columns that are in the file: name -> (encode, whether changes are differences,
        # whether a value is one atom that is its own JSON).
        self.stored: dict[str, tuple[Callable[[Any], Any], bool, bool]] = {
            column.name: (column.type.encode, column.type.is_composite, column.type.is_plain)
            for column in schema.columns.values()
            if column.persistent
        }
        # Writers of the columns that monitors and select show: name -> encode
        self.encoders: dict[str, Callable[[Any], Any]] = {
            name: column.type.encode for name, column in schema.all_columns.items()
        }

    def index_key(self, index: int, row: Row) -> Any:
        """The key of a row in one of the indexes."""
        return tuple([as_key(row[name]) for name in self.schema.indexes[index]])

    def moved(self, index: int, before: dict[str, Row | None]) -> list[str]:
        """Which of the rows, given as they were before, have another key in an index now.

        Columns that nobody wrote are the same objects: no key has to be made to see that.
        """
        names = self.schema.indexes[index]
        found = []
        for uuid, old in before.items():
            new = self.rows.get(uuid)
            if old is None or new is None:
                found.append(uuid)
                continue
            for name in names:
                if old[name] is not new[name]:
                    found.append(uuid)
                    break
        return found

    def relinked(self, uuid: str, old: Row, new: Row) -> bool:
        """Whether a changed row may hold other references, or is garbage."""
        for name in self._ref_names:
            if old[name] is not new[name]:
                return True
        return not self.schema.is_root and uuid not in self.strong

    def weak_targets(self, row: Row) -> set[tuple[str, str]]:
        """The (table, uuid) pairs that a row refers to weakly."""
        return {
            (ref.target, uuid) for ref in self.weak_columns for uuid in ref.uuids(row[ref.name])
        }

    def find(self, condition: Condition, use_indexes: bool) -> list[Row]:
        """The rows that match; `use_indexes` when no row was touched since the last commit."""
        clauses = condition.clauses
        if not clauses:
            return list(self.rows.values())
        if len(clauses) == 1:
            clause = clauses[0]
            if clause.function == "==" and clause.column is not None:
                if clause.column == "_uuid":  # most often
                    row = self.rows.get(clause.arg[0])
                    return [] if row is None else [row]
                if use_indexes:
                    index = self._unique.get(clause.column)
                    if index is not None:
                        uuid = index.get((as_key(clause.arg),))
                        return [] if uuid is None else [self.rows[uuid]]
        found = []
        for row in self._candidates(condition.equalities(), use_indexes):
            if condition.all(row):
                found.append(row)
        return found

    def _candidates(self, equalities: dict[str, Datum], use_indexes: bool) -> Any:
        """As few rows as can be told quickly, among them all that match."""
        if "_uuid" in equalities:
            row = self.rows.get(equalities["_uuid"][0])
            return () if row is None else (row,)
        if use_indexes and equalities:
            for number, names in enumerate(self.schema.indexes):
                key = [as_key(equalities[name]) for name in names if name in equalities]
                if len(key) == len(names):
                    uuid = self.indexes[number].get(tuple(key))
                    return () if uuid is None else (self.rows[uuid],)
        return self.rows.values()


class Storage(Protocol):
    """What keeps a database on disk; files.DatabaseFile."""

    path: str
    as_diff: bool

    def commit(
        self,
        database: "Database",
        changes: Changes,
        comment: str,
        durable: bool,
        written: Written | None = None,
    ) -> int:
        """Store a transaction; the bytes of its record.  OvsdbError, with nothing stored."""

    def replace(self, database: "Database", comment: str) -> None:
        """Write everything anew, with the database's schema and rows, durably."""

    def wants_compaction(self, now: float) -> bool:
        """Whether it has grown enough, and it is time (monotonic seconds)."""

    def start_compaction(self, database: "Database", comment: str, done: Callable) -> None:
        """Begin to write it anew beside the commits; done(error or None) in the end."""

    @property
    def compacting(self) -> bool:
        """Whether a compaction is under way."""

    def run_compaction(self, now: float, wait: bool = False) -> bool:
        """Finish a compaction that is through; whether one ended."""

    def close(self) -> None:
        """No more transactions come."""


class Source(Protocol):
    """The server whose copy a database is; relay.Relay."""

    def forward(self, operations: list, done: Callable[[Any, Any], None], client: Any) -> bool:
        """Have a transaction of `client` (of which `closed` is looked at) executed there, and call
        done(result, error).  False: it is refused, too many wait."""

    def close(self) -> None:
        """Stop following."""


class Database:
    """One database: its tables, its file if it has one, and who follows its commits.

    `listeners` are called with (database, changes, txn_id) after each commit that changed
    something, before its reply goes out.
    """

    def __init__(self, schema: DatabaseSchema, file: Storage | None = None):
        self.file = file
        self.read_only = False  # for clients; the server itself may write
        self.relay: Source | None = None  # whose copy it is
        self.ready = True  # False before a relay has its schema
        self.listeners: list[Callable[[Database, Changes, str], None]] = []
        # (transaction id, changes, size of the record), oldest first.
        self.history: list[tuple[str, Changes, int]] = []
        self._history_size = 0
        self.set_schema(schema)

    def set_schema(self, schema: DatabaseSchema) -> None:
        """Make the database an empty one of that schema."""
        self.schema = schema
        self.name = schema.name
        self.tables = {name: Table(table) for name, table in schema.tables.items()}
        self.forget()

    def take(self, other: "Database") -> None:
        """Become what `other`, of the same name, is: schema and rows.  The file stays."""
        self.schema = other.schema
        self.tables = other.tables
        self.forget()

    def rebuild(self) -> None:
        """Make indexes and reference counts anew from the rows, after a file was read."""
        for table in self.tables.values():
            table.strong.clear()
            table.weak.clear()
        for table in self.tables.values():
            for number, index in enumerate(table.indexes):
                index.clear()
                for uuid, row in table.rows.items():
                    index[table.index_key(number, row)] = uuid
            for uuid, row in table.rows.items():
                self._count_references(table, uuid, row)

    def _count_references(self, table: Table, uuid: str, row: Row) -> None:
        for ref in table.strong_columns:
            strong = self.tables[ref.target].strong
            for target in ref.uuids(row[ref.name]):
                if target != uuid:
                    strong[target] = strong.get(target, 0) + 1
        for target_table, target in table.weak_targets(row):
            weak = self.tables[target_table].weak
            weak.setdefault(target, set()).add((table.name, uuid))

    def publish(self, changes: Changes, size: int = 0) -> None:
        """Tell everyone who follows the database of a commit, a record of `size` bytes."""
        self.last_txn_id = new_uuid()
        COMMITS.count += 1
        self._remember(changes, size)
        if not self.listeners:
            return
        for listener in list(self.listeners):
            try:
                listener(self, changes, self.last_txn_id)
            except Exception:  # it is stored: neither its author nor the others are to suffer
                containment.caught("OVSDB commit listener", self.name)

    def _remember(self, changes: Changes, size: int) -> None:
        """Old rows are what the history costs: as much as the records that they came by."""
        history = self.history
        if len(history) == HISTORY_TRANSACTIONS:
            self._history_size -= history.pop(0)[2]
        history.append((self.last_txn_id, changes, size))
        self._history_size += size
        while self._history_size > HISTORY_BYTES and history:
            self._history_size -= history.pop(0)[2]

    def forget(self) -> None:
        """Another schema or other rows: nothing that was is of use to monitors."""
        self.history.clear()
        self._history_size = 0
        self.last_txn_id = new_uuid()

    def changes_since(self, txn_id: str) -> list[Changes] | None:
        """What was committed after that transaction; None when it is not in the history."""
        if txn_id == self.last_txn_id:
            return []
        later: list[Changes] = []
        for known, changes, _size in reversed(self.history):
            if known == txn_id:
                later.reverse()
                return later
            later.append(changes)
        return None

    def cells(self) -> int:
        """The number of values in the database, for memory/show."""
        return sum(len(t.rows) * len(t.schema.all_columns) for t in self.tables.values())
