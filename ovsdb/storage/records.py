"""What the records of a database file say: commits as JSON, and back into rows.

A file has the schema as its first record, and transactions after it.  Changes of columns
with room for several elements are written as differences ("_is_diff"), as ovsdb-server
does since 2.14.  Compiled: a commit and the start of the server wait for it.
"""

from typing import Any

from ovsdb.data.condition import Row
from ovsdb.data.database import Changes, Database, Table, Written
from ovsdb.data.datum import apply_diff, diff
from ovsdb.data.errors import OvsdbError
from ovsdb.data.schema import UNLIMITED, ColumnType
from ovsdb.data.uuids import is_uuid, new_uuid
from ovsdb.storage import sysio


def _row_json(table: Table, old: Row | None, new: Row, as_diff: bool, names: set | None) -> dict:
    """The persistent columns of `new` that differ from `old`, or from the defaults; no others
    than `names` can."""
    json = {}
    base = table.defaults if old is None else old
    stored = table.stored
    for name in stored if names is None or old is None else names:
        column = stored.get(name)
        if column is None:
            continue
        value, before = new[name], base[name]
        if value is before or value == before:
            continue
        if as_diff and column[1] and old is not None:
            value = diff(before, value)
        json[name] = value[0] if column[2] else column[0](value)
    return json


def transaction_json(
    database: Database,
    changes: Changes,
    comment: str,
    as_diff: bool = True,
    written: Written | None = None,
) -> dict | None:
    """The record of a commit; None when nothing persistent changed.

    Without `as_diff`, values are written whole, as servers before 2.15 read them.
    """
    json: dict[str, Any] = {}
    for name, rows in changes.items():
        table = database.tables[name]
        names = None if written is None else written.get(name)
        of_table = {}
        for uuid, (old, new) in rows.items():
            if new is None:
                of_table[uuid] = None
                continue
            row = _row_json(table, old, new, as_diff, names)
            if row or old is None:
                of_table[uuid] = row
        if of_table:
            json[name] = of_table
    if not json:
        return None
    json["_date"] = sysio.wall_ms()
    if as_diff:
        json["_is_diff"] = True
    if comment:
        json["_comment"] = comment
    return json


def snapshot_json(database: Database, comment: str) -> dict:
    """One record with all rows of the database."""
    everything: Changes = {
        name: {uuid: (None, row) for uuid, row in table.rows.items()}
        for name, table in database.tables.items()
    }
    json = transaction_json(database, everything, comment)
    return json or {"_date": sysio.wall_ms(), "_comment": comment}


class Reader:
    """Applies the records of a file to the rows of a database."""

    def __init__(self, database: Database):
        self.database = database
        # table name -> column name -> (parse a value, parse a difference or None)
        self._parsers: dict[str, dict[str, tuple]] = {
            name: {name: _parsers(column.type) for name, column in table.schema.columns.items()}
            for name, table in database.tables.items()
        }

    def apply(self, json: Any) -> None:
        """Apply one record; raises OvsdbError when it does not fit the schema."""
        if type(json) is not dict:
            raise OvsdbError("syntax error", "transaction record is not an object")
        is_diff = json.get("_is_diff") is True
        for name, rows in json.items():
            if name.startswith("_"):
                continue
            table = self.database.tables.get(name)
            if table is None:
                raise OvsdbError("unknown table", f"No table named {name}.", json)
            if type(rows) is not dict:
                raise OvsdbError("syntax error", "<table-txn> must be an object", rows)
            for uuid, row in rows.items():
                if row is None:
                    table.rows.pop(uuid.lower(), None)
                elif type(row) is dict:
                    self._apply_row(table, uuid, row, is_diff)
                else:
                    raise OvsdbError("syntax error", "<row-txn> must be an object or null", row)

    def _apply_row(self, table: Table, uuid: str, json: dict, is_diff: bool) -> None:
        parsers = self._parsers[table.name]
        old = table.rows.get(uuid)
        if old is None:
            if not is_uuid(uuid):
                raise OvsdbError("syntax error", "<row-txn> must be an object or null", json)
            uuid = uuid.lower()
            old = table.rows.get(uuid)
        if old is None:
            old = {**table.defaults, "_uuid": (uuid,), "_version": (new_uuid(),)}
            is_diff = False
            table.rows[uuid] = old
        for name, value in json.items():
            parse = parsers.get(name)
            if parse is None:
                raise OvsdbError("unknown column", f"No column {name} in table {table.name}.", json)
            if is_diff and parse[1] is not None:
                old[name] = apply_diff(old[name], parse[1](value))
            else:
                old[name] = parse[0](value)


def _parsers(type_: ColumnType) -> tuple:
    """How a column's values are parsed, and its differences if it has such: they may have
    more elements than the column."""
    parse_diff = type_.resized(0, UNLIMITED).unchecked_parse if type_.is_composite else None
    return type_.unchecked_parse, parse_diff
