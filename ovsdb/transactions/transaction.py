"""One atomic change of a database: reads its own writes, commits or leaves no trace.

The rows of the tables are replaced at once, and what they were before is kept; abort() puts
it back.  So a transaction costs what it touches, whatever the size of the database.
commit() follows RFC 7047 section 5.2 and the order of checks of ovsdb-server: references,
garbage collection, maxRows, weak references, indexes, and last the file.
"""

from collections.abc import Collection, Iterable
from typing import Any

from ovsdb.data.condition import Condition, Row
from ovsdb.data.database import Changes, Database, RefColumn, Table, Written
from ovsdb.data.datum import Datum, make_map
from ovsdb.data.errors import OvsdbError, constraint_violation
from ovsdb.data.schema import Symbols
from ovsdb.data.uuids import new_uuid


class Transaction:
    """A change under way.  End it with commit() or abort()."""

    def __init__(self, database: Database):
        self.database = database
        self.symbols = Symbols()
        self.comments: list[str] | None = None
        self.durable = False
        # table name -> uuid -> the row before this transaction, None for a new one.
        self.before: dict[str, dict[str, Row | None]] = {}
        # Of the rows in `before` that are not new.
        self.written: Written = {}
        # Strong references gained and lost: (table, uuid) -> difference.
        self._delta: dict[tuple[str, str], int] | None = None
        # Of each index: the rows whose key is another one now, as (table, number, uuids).
        self._moved: list[tuple[Table, int, list[str]]] | None = None

    # --- reading and writing rows

    def find(self, table: Table, condition: Condition) -> list[Row]:
        """The rows that match, as this transaction sees them."""
        return table.find(condition, table.name not in self.before)

    def insert(self, table: Table, uuid: str, values: Row) -> None:
        """Add a row; columns that `values` leaves out get their defaults."""
        table.rows[uuid] = {
            **table.defaults,
            **values,
            "_uuid": (uuid,),
            "_version": (new_uuid(),),
        }
        if self._rows_before(table).setdefault(uuid, None) is not None:  # deleted before
            self._write(table, table.defaults)

    def knows(self, table: Table, uuid: str) -> bool:
        """Whether there is such a row, or was one before this transaction."""
        return uuid in table.rows or uuid in self.before.get(table.name, ())

    def delete(self, table: Table, row: Row) -> None:
        """Remove a row."""
        uuid = row["_uuid"][0]
        self._rows_before(table).setdefault(uuid, row)
        del table.rows[uuid]

    def writable(self, table: Table, row: Row, names: Iterable[str]) -> Row:
        """The row as one whose columns of these names this transaction may change in place."""
        self._write(table, names)
        uuid = row["_uuid"][0]
        before = self._rows_before(table)
        if uuid in before:
            return row
        before[uuid] = row
        copy = table.rows[uuid] = row.copy()
        return copy

    def comment(self, text: str) -> None:
        """Have a comment in the file."""
        if self.comments is None:
            self.comments = []
        self.comments.append(text)

    def _rows_before(self, table: Table) -> dict[str, Row | None]:
        rows = self.before.get(table.name)
        if rows is None:
            rows = self.before[table.name] = {}
        return rows

    def _write(self, table: Table, names: Iterable[str]) -> None:
        written = self.written.get(table.name)
        if written is None:
            self.written[table.name] = set(names)
        else:
            written.update(names)

    # --- ending

    def abort(self) -> None:
        """Put back everything."""
        tables = self.database.tables
        for name, rows in self.before.items():
            current = tables[name].rows
            for uuid, row in rows.items():
                if row is not None:
                    current[uuid] = row
                else:
                    current.pop(uuid, None)
        self.before = {}

    def commit(self) -> Changes:
        """Check and store everything, and tell the followers of the database.

        Returns what changed.  Raises OvsdbError, with nothing changed.
        """
        try:
            relinked = self._settle()
            if not self.before:
                return {}
            if relinked:
                self._count_references()
                self._collect_garbage()
                self._check_max_rows()
                self._prune_weak_references()
            self._check_indexes()
            changes = self._changes()
            size = 0
            if self.database.file is not None:
                comment = "\n".join(self.comments) if self.comments else ""
                size = self.database.file.commit(
                    self.database, changes, comment, self.durable, self.written
                )
        except BaseException:
            self.abort()
            raise
        if relinked:
            self._update_references(changes)
        if self._moved is not None:
            self._update_indexes()
        self.database.publish(changes, size)
        return changes

    def _settle(self) -> bool:
        """Forget the rows that are as they were; whether rows came, went or hold other
        references, so that references and numbers of rows are to be looked at."""
        tables = self.database.tables
        relinked = False
        empty = False
        for name, rows in self.before.items():
            table = tables[name]
            current = table.rows
            written = self.written.get(name)
            same = None
            for uuid, old in rows.items():
                new = current.get(uuid)
                if old is None or new is None:
                    if old is not new:
                        relinked = True
                        continue
                elif _differ(old, new, written):
                    if not relinked:
                        relinked = table.relinked(uuid, old, new)
                    continue
                if same is None:
                    same = []
                same.append(uuid)
            if same is not None:
                self._forget(rows, current, same)
                empty = empty or not rows
        if empty:
            self.before = {name: rows for name, rows in self.before.items() if rows}
        return relinked

    def _forget(self, rows: dict[str, Row | None], current: dict[str, Row], same: list) -> None:
        for uuid in same:
            row = rows.pop(uuid)
            if row is not None:
                current[uuid] = row

    def _changes(self) -> Changes:
        """What changed; gives changed rows new versions (new ones have theirs)."""
        changes: Changes = {}
        tables = self.database.tables
        for name, rows in self.before.items():
            table = tables[name]
            current = table.rows
            of_table = {}
            for uuid, old in rows.items():
                new = current.get(uuid)
                if old is None:
                    if new is None:  # inserted, and garbage at once
                        continue
                elif new is not None:
                    new["_version"] = (new_uuid(),)
                of_table[uuid] = (old, new)
            if of_table:
                changes[name] = of_table
        return changes

    # --- strong references

    def _count_references(self) -> None:
        self._delta = {}
        tables = self.database.tables
        for name, rows in self.before.items():
            table = tables[name]
            if not table.strong_columns:
                continue
            for uuid, old in rows.items():
                self._count_row(table, uuid, old, table.rows.get(uuid))
        for (target, uuid), delta in self._delta.items():
            if uuid not in tables[target].rows:
                self._check_dangling(tables[target], uuid, delta)
        for name, rows in self.before.items():
            table = tables[name]
            if table.strong:
                for uuid in rows:
                    if uuid in table.strong and uuid not in table.rows:
                        self._check_dangling(table, uuid, self._delta.get((name, uuid), 0))

    def _count_row(self, table: Table, uuid: str, old: Row | None, new: Row | None) -> None:
        """Note the references that a row gained and lost; those to itself do not count."""
        delta = self._delta
        for ref in table.strong_columns:
            before = () if old is None else old[ref.name]
            after = () if new is None else new[ref.name]
            if before is after or before == after:
                continue
            lost, gained = _reference_changes(ref, before, after)
            for target in lost:
                if target != uuid:
                    key = (ref.target, target)
                    delta[key] = delta.get(key, 0) - 1
            rows = self.database.tables[ref.target].rows
            for target in gained:
                if target == uuid:
                    continue
                if target not in rows:
                    raise OvsdbError(
                        "referential integrity violation",
                        f"Table {table.name} column {ref.name} row {uuid} references nonexistent"
                        f" row {target} in table {ref.target}.",
                    )
                key = (ref.target, target)
                delta[key] = delta.get(key, 0) + 1

    def _check_dangling(self, table: Table, uuid: str, delta: int) -> None:
        count = table.strong.get(uuid, 0) + delta
        if count > 0:
            raise OvsdbError(
                "referential integrity violation",
                f"cannot delete {table.name} row {uuid} because of {count} remaining reference(s)",
            )

    def _collect_garbage(self) -> None:
        """Delete the rows of non-root tables that nothing refers to any more."""
        tables = self.database.tables
        delta = self._delta
        waiting = [
            (name, uuid)
            for name, rows in self.before.items()
            if not tables[name].schema.is_root
            for uuid in rows
        ]
        waiting += [
            key for key, change in delta.items() if change < 0 and not tables[key[0]].schema.is_root
        ]
        while waiting:
            name, uuid = key = waiting.pop()
            table = tables[name]
            row = table.rows.get(uuid)
            if row is None or table.strong.get(uuid, 0) + delta.get(key, 0) > 0:
                continue
            self.delete(table, row)
            for ref in table.strong_columns:
                for target in ref.uuids(row[ref.name]):
                    if target == uuid:
                        continue
                    lost = (ref.target, target)
                    delta[lost] = delta.get(lost, 0) - 1
                    if not tables[ref.target].schema.is_root:
                        waiting.append(lost)

    def _update_references(self, changes: Changes) -> None:
        """Make the kept reference counts those after the commit."""
        tables = self.database.tables
        for (name, uuid), change in self._delta.items():
            strong = tables[name].strong
            count = strong.get(uuid, 0) + change
            if count > 0:
                strong[uuid] = count
            else:
                strong.pop(uuid, None)
        for name, rows in changes.items():
            table = tables[name]
            if not table.weak_columns:
                continue
            for uuid, (old, new) in rows.items():
                before = table.weak_targets(old) if old is not None else set()
                after = table.weak_targets(new) if new is not None else set()
                for target_table, target in before - after:
                    sources = tables[target_table].weak.get(target)
                    if sources is not None:
                        sources.discard((name, uuid))
                        if not sources:
                            del tables[target_table].weak[target]
                for target_table, target in after - before:
                    tables[target_table].weak.setdefault(target, set()).add((name, uuid))

    # --- the other constraints

    def _check_max_rows(self) -> None:
        for name in self.before:
            table = self.database.tables[name]
            limit = table.schema.max_rows
            if len(table.rows) > limit:
                raise constraint_violation(
                    f'transaction causes "{name}" table to contain {len(table.rows)} rows,'
                    f" greater than the schema-defined limit of {limit} row(s)"
                )

    def _prune_weak_references(self) -> None:
        """Remove weak references to rows that are not there (any more)."""
        tables = self.database.tables
        suspects: set[tuple[str, str]] = set()
        for name, rows in self.before.items():
            table = tables[name]
            if table.weak:
                for uuid in rows:
                    if uuid in table.weak and uuid not in table.rows:
                        suspects |= table.weak[uuid]
            if table.weak_columns:
                suspects |= {(name, uuid) for uuid in rows}
        for name, uuid in suspects:
            table = tables[name]
            row = table.rows.get(uuid)
            if row is not None:
                for ref in table.weak_columns:
                    self._prune_column(table, table.rows[uuid], ref)

    def _prune_column(self, table: Table, row: Row, ref: RefColumn) -> None:
        datum = row[ref.name]
        rows = self.database.tables[ref.target].rows
        if all(uuid in rows for uuid in ref.uuids(datum)):
            return
        pruned: Any
        if type(datum) is dict:
            pruned = {k: v for k, v in datum.items() if (k if ref.in_key else v) in rows}
            pruned = make_map(pruned)
        else:
            pruned = tuple([uuid for uuid in datum if uuid in rows])
        least = table.schema.columns[ref.name].type.min
        if len(pruned) < least:
            uuid = row["_uuid"][0]
            raise constraint_violation(
                f"Weak references to rows that are not there leave column {ref.name} of"
                f" {table.name} row {uuid} with {len(pruned)} values, but {least} are required."
            )
        self.writable(table, row, (ref.name,))[ref.name] = pruned

    def _check_indexes(self) -> None:
        for name, rows in self.before.items():
            table = self.database.tables[name]
            for number, index in enumerate(table.indexes):
                moved = table.moved(number, rows)
                if not moved:
                    continue
                if self._moved is None:
                    self._moved = []
                self._moved.append((table, number, moved))
                added: dict[Any, str] = {}
                for uuid in rows:
                    row = table.rows.get(uuid)
                    if row is None:
                        continue
                    key = table.index_key(number, row)
                    other = added.get(key)
                    if other is None:
                        other = index.get(key)
                        if other in rows:
                            # The old key of a row that this transaction changes, too.
                            other = None
                    if other is not None:
                        raise _duplicate(table, number, key, rows, other, uuid)
                    added[key] = uuid

    def _update_indexes(self) -> None:
        for table, number, uuids in self._moved:
            index = table.indexes[number]
            before = self.before[table.name]
            for uuid in uuids:
                old = before[uuid]
                if old is not None:
                    key = table.index_key(number, old)
                    if index.get(key) == uuid:
                        del index[key]
            for uuid in uuids:
                new = table.rows.get(uuid)
                if new is not None:
                    index[table.index_key(number, new)] = uuid


def begin(database: Database) -> Transaction:
    """As Transaction(database): every request comes through here."""
    self = Transaction.__new__(Transaction)
    self.database = database
    self.symbols = Symbols.__new__(Symbols)
    self.symbols.uuids = self.symbols.created = self.comments = None
    self.durable = False
    self.before = {}
    self.written = {}
    self._delta = self._moved = None
    return self


def _differ(old: Row, new: Row, names: set[str]) -> bool:
    """Whether one of these columns has another value."""
    for name in names:
        before, after = old[name], new[name]
        if before is not after and before != after:
            return True
    return False


def _reference_changes(
    ref: RefColumn, before: Datum | tuple, after: Datum | tuple
) -> tuple[Collection[str], Collection[str]]:
    """The references lost and gained between two values; for maps, kept ones may be in both."""
    if type(before) is dict or type(after) is dict:
        return _references(ref, before), _references(ref, after)
    old, new = set(before), set(after)
    return old - new, new - old


def _references(ref: RefColumn, datum: Datum | tuple) -> list[str]:
    return ref.uuids(datum) if datum else []


def _duplicate(
    table: Table, number: int, key: tuple, rows: dict, first: str, second: str
) -> OvsdbError:
    names = table.schema.indexes[number]
    columns = ", ".join(f'"{name}"' for name in names)
    plural = "columns" if len(names) > 1 else "column"
    told = "  ".join(
        f"{which} row, with UUID {uuid}, {_history(table, number, rows, uuid)}"
        for which, uuid in zip(("First", "Second"), sorted((first, second)), strict=True)
    )
    return constraint_violation(
        f'Transaction causes multiple rows in "{table.name}" table to have identical values'
        f" ({_key_text(table, number, key)}) for index on {plural} {columns}.  {told}"
    )


def _key_text(table: Table, number: int, key: tuple) -> str:
    columns = [table.schema.columns[name] for name in table.schema.indexes[number]]
    return ", ".join(
        str(value) if column.type.is_map else ", ".join(map(column.type.key.show, value))
        for column, value in zip(columns, key, strict=True)
    )


def _history(table: Table, number: int, rows: dict, uuid: str) -> str:
    """What this transaction did with a row; `rows` as it was before, for those that it touched."""
    if uuid not in rows:
        return (
            "existed in the database before this transaction and was not modified by the"
            " transaction."
        )
    old = rows[uuid]
    if old is None:
        return "was inserted by this transaction."
    before = table.index_key(number, old)
    if before == table.index_key(number, table.rows[uuid]):
        return (
            "existed in the database before this transaction, which modified some of the row's"
            " columns but not any columns in this index."
        )
    values = _key_text(table, number, before)
    return f"had the following index values before the transaction: {values}."
