"""Monitors: what a client wants to hear of, and how changes are told.

The three kinds differ in their notifications: "monitor" gets `update` with old and new
values (RFC 7047 section 4.1.5), "monitor_cond" `update2` with differences, and
"monitor_cond_since" `update3`, which also has a transaction id (ovsdb-server(7)).
Monitors that ask for the same share the work: `Monitor.key` tells which do.
"""

from collections.abc import Iterable
from typing import Any, Protocol

import orjson

from ovsdb.data.condition import Condition, Row, parse_condition
from ovsdb.data.database import Changes, Database, Table
from ovsdb.data.datum import diff
from ovsdb.data.errors import Members, fail
from ovsdb.data.schema import Column
from pyvs import containment
from pyvs.streams.json_text import dumps

SELECTS = ("initial", "insert", "delete", "modify")
EVERYTHING = Condition([])


class TableMonitor:
    """What a monitor wants of one table."""

    def __init__(self, table: Table):
        self.table = table
        self.columns: dict[str, tuple[Column, dict[str, bool]]] = {}
        self.condition = EVERYTHING
        self.where_json: list = []
        self.key: Any = None

    def add_request(self, json: Any, conditional: bool) -> None:
        """Parse a <monitor-request> or <monitor-cond-request> and add its columns."""
        members = Members(json, f"table {self.table.name}")
        names = members.get("columns", (list,))
        where = members.get("where", (list,)) if conditional else None
        select_json = members.get("select", (dict,), {})
        members.finish()
        select = Members(select_json, f"table {self.table.name} select")
        wanted = {event: select.get(event, (bool,), True) for event in SELECTS}
        select.finish()
        for column in self._columns(names):
            if column.name in self.columns:
                fail(f"column {column.name} mentioned more than once", names)
            self.columns[column.name] = (column, wanted)
        if where is not None:
            self.where_json += where

    def _columns(self, names: list | None) -> Iterable[Column]:
        if names is None:
            columns = self.table.schema.all_columns
            return [column for name, column in columns.items() if name != "_uuid"]
        return self.table.schema.parse_columns(names)

    def settle(self) -> None:
        """Work out what the requests together say.  Call again when `where_json` changed."""
        self.condition = parse_condition(self.table.schema, self.where_json, None)
        if self.condition.is_true:
            self.condition = EVERYTHING
        self.events = {
            event: [
                (name, column.type.encode, column.type)
                for name, (column, wanted) in self.columns.items()
                if wanted[event]
            ]
            for event in SELECTS
        }
        # With no columns at all, rows still come and go.
        self.wants = {event: bool(self.events[event]) or not self.columns for event in SELECTS}
        chosen = [(name, wanted) for name, (_column, wanted) in sorted(self.columns.items())]
        self.key = dumps([chosen, self.where_json])

    def matches(self, row: Row | None) -> bool:
        """Whether there is such a row, and the condition holds for it."""
        return row is not None and (self.condition is EVERYTHING or self.condition.any(row))

    # --- one row's update, or None

    def update(self, old: Row | None, new: Row | None) -> dict | None:
        """A <row-update> of RFC 7047."""
        if old is None:
            return {"new": self._values("insert", new)} if self.wants["insert"] else None
        if new is None:
            return {"old": self._values("delete", old)} if self.wants["delete"] else None
        columns = self.events["modify"]
        before = {
            name: encode(old[name])
            for name, encode, _type in columns
            if old[name] is not new[name] and old[name] != new[name]
        }
        if not before:
            return None
        return {"old": before, "new": {name: encode(new[name]) for name, encode, _type in columns}}

    def update2(self, old: Row | None, new: Row | None) -> dict | None:
        """A <row-update2>; `old` and `new` are None where the condition does not hold."""
        if old is None:
            return {"insert": self._non_defaults("insert", new)} if self.wants["insert"] else None
        if new is None:
            return {"delete": None} if self.wants["delete"] else None
        changed = {}
        for name, encode, type_ in self.events["modify"]:
            before, after = old[name], new[name]
            if before is not after and before != after:
                changed[name] = encode(diff(before, after) if type_.is_composite else after)
        return {"modify": changed} if changed else None

    def initial(self, row: Row, conditional: bool) -> dict:
        """The update for a row that is there when the monitor starts."""
        if conditional:
            return {"initial": self._non_defaults("initial", row)}
        return {"new": self._values("initial", row)}

    def _values(self, event: str, row: Row | None) -> dict:
        return {name: encode(row[name]) for name, encode, _ in self.events[event]}  # type: ignore

    def _non_defaults(self, event: str, row: Row | None) -> dict:
        return {
            name: encode(row[name])  # type: ignore[index]
            for name, encode, type_ in self.events[event]
            if row[name] != type_.default  # type: ignore[index]
        }


class Monitor:
    """A client's monitor of a database.

    `version` is 1 for monitor, 2 for monitor_cond, 3 for monitor_cond_since.  `id_json` is
    what the client named it.
    """

    def __init__(self, database: Database, id_json: Any, requests: Any, version: int):
        self.database = database
        self.rename(id_json)
        self.version = version
        self.conditional = version > 1
        self.tables: dict[str, TableMonitor] = {}
        if type(requests) is not dict:
            fail("monitor-requests must be object", requests)
        for name, json in requests.items():
            table = database.tables.get(name)
            if table is None:
                fail(f"no table named {name}")
            monitored = self.tables[name] = TableMonitor(table)
            for request in json if type(json) is list else [json]:
                monitored.add_request(request, self.conditional)
            monitored.settle()
        self._settle()

    def rename(self, id_json: Any) -> None:
        """Take the name that notifications have."""
        self.id_json = id_json
        self.id_text = dumps(id_json)

    def _settle(self) -> None:
        parts = [(name, table.key) for name, table in sorted(self.tables.items())]
        self.key = (min(self.version, 2), tuple(parts))

    def initial(self) -> dict:
        """<table-updates> with the rows that there are now."""
        updates = {}
        for name, monitored in self.tables.items():
            if monitored.wants["initial"]:
                rows = {
                    uuid: monitored.initial(row, self.conditional)
                    for uuid, row in monitored.table.rows.items()
                    if monitored.matches(row)
                }
                if rows:
                    updates[name] = rows
        return updates

    def since(self, txn_id: str) -> tuple[bool, dict]:
        """For monitor_cond_since: whether the transaction is known; the updates after it."""
        later = self.database.changes_since(txn_id)
        if later is None:
            return False, self.initial()
        return True, self.updates(_merged(later))

    def updates(self, changes: Changes) -> dict:
        """<table-updates> (or <table-updates2>) of a commit."""
        updates = {}
        for name, rows in changes.items():
            monitored = self.tables.get(name)
            if monitored is None:
                continue
            of_table = (
                self._updates2(monitored, rows)
                if self.conditional
                else self._updates1(monitored, rows)
            )
            if of_table:
                updates[name] = of_table
        return updates

    @staticmethod
    def _updates1(monitored: TableMonitor, rows: dict) -> dict:
        found = {}
        for uuid, (old, new) in rows.items():
            update = monitored.update(old, new)
            if update is not None:
                found[uuid] = update
        return found

    @staticmethod
    def _updates2(monitored: TableMonitor, rows: dict) -> dict:
        found = {}
        everything = monitored.condition is EVERYTHING
        for uuid, (old, new) in rows.items():
            if not everything:
                old = old if monitored.matches(old) else None
                new = new if monitored.matches(new) else None
                if old is None and new is None:
                    continue
            update = monitored.update2(old, new)
            if update is not None:
                found[uuid] = update
        return found

    def change_conditions(self, requests: Any) -> dict:
        """Take new conditions; returns the updates that lead from the old rows to the new.

        Raises OvsdbError, with nothing changed.
        """
        if type(requests) is not dict:
            fail("<monitor-cond-update-requests> must be an object", requests)
        wheres = {name: self._new_where(name, json) for name, json in requests.items()}
        updates = {}
        for name, where in wheres.items():
            if where is None:
                continue
            monitored = self.tables[name]
            before = monitored.condition
            monitored.where_json = where
            monitored.settle()
            rows = {}
            for uuid, row in monitored.table.rows.items():
                was, is_ = before.any(row), monitored.condition.any(row)
                if was != is_:
                    update = monitored.update2(row if was else None, row if is_ else None)
                    if update is not None:
                        rows[uuid] = update
            if rows:
                updates[name] = rows
        self._settle()
        return updates

    def _new_where(self, name: str, json: Any) -> list | None:
        monitored = self.tables.get(name)
        if monitored is None:
            fail(f"no table named {name} in monitor session")
        where = None
        for request in json if type(json) is list else [json]:
            members = Members(request, f"table {name}")
            columns = members.get("columns", (list,))
            clauses = members.get("where", (list,))
            members.finish()
            if columns is not None:
                fail("changing columns is unsupported", request)
            if clauses is not None:
                where = (where or []) + clauses
        if where is not None:
            parse_condition(monitored.table.schema, where, None)
        return where


def _merged(several: list[Changes]) -> Changes:
    """Commits that follow each other as one change."""
    if len(several) == 1:
        return several[0]
    merged: Changes = {}
    for changes in several:
        for name, rows in changes.items():
            of_table = merged.setdefault(name, {})
            for uuid, (old, new) in rows.items():
                if uuid in of_table:
                    old = of_table[uuid][0]
                of_table[uuid] = (old, new)
    return {
        name: {u: pair for u, pair in rows.items() if pair != (None, None)}
        for name, rows in merged.items()
    }


def notification(monitor: Monitor, updates_json: bytes, txn_id: str) -> bytes:
    """The bytes of the notification with already encoded <table-updates>."""
    id_json = monitor.id_text
    if monitor.version == 1:
        head = b'{"id":null,"method":"update","params":[%s,' % id_json
    elif monitor.version == 2:
        head = b'{"id":null,"method":"update2","params":[%s,' % id_json
    else:
        head = b'{"id":null,"method":"update3","params":[%s,"%s",' % (id_json, txn_id.encode())
    return head + updates_json + b"]}"


class Watcher(Protocol):
    """Who has monitors: session.Session."""

    name: str

    def send(self, data: bytes) -> None:
        """Queue bytes for the client."""

    def close(self, reason: str) -> None:
        """End the connection."""


class Fanout:
    """Follows a database for all its monitors; a commit's updates are encoded once per key."""

    def __init__(self, database: Database):
        self.database = database
        self.monitors: dict[Monitor, Watcher] = {}

    def add(self, monitor: Monitor, watcher: Watcher) -> None:
        """Send the monitor's notifications to `watcher` from now on."""
        if not self.monitors:
            self.database.listeners.append(self._committed)
        self.monitors[monitor] = watcher

    def remove(self, monitor: Monitor) -> None:
        """No more notifications for this monitor."""
        if self.monitors.pop(monitor, None) is not None and not self.monitors:
            self.database.listeners.remove(self._committed)

    def _committed(self, _database: Database, changes: Changes, txn_id: str) -> None:
        encoded: dict[Any, bytes | None] = {}
        for monitor, watcher in list(self.monitors.items()):
            try:
                if monitor.key in encoded:
                    updates_json = encoded[monitor.key]
                else:
                    updates = monitor.updates(changes)
                    updates_json = orjson.dumps(updates) if updates else None
                    encoded[monitor.key] = updates_json
                if updates_json is not None:
                    watcher.send(notification(monitor, updates_json, txn_id))
            except Exception:  # it missed this commit: it has to begin anew
                containment.caught("OVSDB monitor", watcher.name)
                watcher.close("internal error")
