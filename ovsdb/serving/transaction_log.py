"""Writes the changes of chosen tables to the log: ovsdb-server/tlog-set and tlog-list.

One line of module `transaction` per row, with the row as it is now, or was when deleted.
"""

import re
from typing import Any

import orjson
import ovs.vlog

from ovsdb.data.condition import Row
from ovsdb.data.database import Changes, Database
from ovsdb.data.schema import BaseType, Column
from ovsdb.serving.service import Service

vlog = ovs.vlog.Vlog("transaction")

_plain = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z").match
_WORDS = ("true", "false")


class TransactionLog:
    """Which tables are logged, by the names of database and table."""

    def __init__(self, service: Service):
        self._service = service
        self._chosen: set[tuple[str, str]] = set()

    def set(self, name: str, on: bool) -> None:
        """`name` is DB:TABLE.  Raises ValueError."""
        database_name, colon, table = name.partition(":")
        if not colon or not table:
            raise ValueError("invalid DB:TABLE argument")
        database = self._service.databases.get(database_name)
        if database is None:
            raise ValueError("no such database")
        if table not in database.tables:
            raise ValueError("no such table")
        if on:
            self._chosen.add((database_name, table))
        else:
            self._chosen.discard((database_name, table))
        self._listen(database)

    def _listen(self, database: Database) -> None:
        wanted = any(name == database.name for name, _ in self._chosen)
        if wanted and self._committed not in database.listeners:
            database.listeners.append(self._committed)
        elif not wanted and self._committed in database.listeners:
            database.listeners.remove(self._committed)

    def list(self) -> str:
        """What tlog-list says."""
        lines = ["database        table                       logging"]
        lines.append("--------        -----                       -------")
        for name, database in sorted(self._service.databases.items()):
            lines.append(f"{name:<16} ")
            for table in sorted(database.tables):
                state = "ON" if (name, table) in self._chosen else "OFF"
                lines.append(f"{'':<16}{table:<27} {state}")
        return "".join(f"{line}\n" for line in lines)

    def _committed(self, database: Database, changes: Changes, _txn_id: str) -> None:
        for table, rows in changes.items():
            if (database.name, table) not in self._chosen:
                continue
            columns = database.tables[table].schema.all_columns
            for old, new in rows.values():
                what = "updated" if old and new else "inserted" if new else "deleted"
                shown: Any = new if new is not None else old
                vlog.info(f"table:{table},op:{what},{_row_text(columns, shown)}")


def _row_text(columns: dict[str, Column], row: Row) -> str:
    return ",".join(
        f"{name}:{_value_text(column, row[name])}" for name, column in sorted(columns.items())
    )


def _value_text(column: Column, value: Any) -> str:
    """A value as the commands print it."""
    kind = column.type
    if type(value) is dict:
        pairs = (f"{_atom(kind.key, k)}={_atom(kind.value, v)}" for k, v in value.items())
        return "{" + ", ".join(pairs) + "}"
    atoms = [_atom(kind.key, atom) for atom in value]
    return atoms[0] if len(atoms) == kind.max == 1 else "[" + ", ".join(atoms) + "]"


def _atom(base: BaseType | None, atom: Any) -> str:
    if base is not None and base.kind == "string" and (not _plain(atom) or atom in _WORDS):
        return orjson.dumps(atom).decode()
    return str(atom).lower() if type(atom) is bool else str(atom)
