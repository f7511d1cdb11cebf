"""The monitor commands of pyvs-ovsdb-client: print what tables hold, then each change."""

import json

from pyvs_tools.command import Fatal
from pyvs_tools.ovsdb.table import Table

from . import types
from .client_background import MONITOR_ID, follow
from .client_session import parse_json

_SELECTORS = ("!initial", "!insert", "!delete", "!modify")


class _Watched:
    """A monitored table: the columns to print, in order, and the requests for the server."""

    def __init__(self, table, database):
        self.name = table.name
        self._kinds = {name: column.type for name, column in table.columns.items()}
        self._kinds["_version"] = types.UUID_COLUMN.type
        self._database = database
        self.columns = []
        self.requests = []

    def add_group(self, text):
        """Takes COLUMN[,COLUMN]..., where !initial and the like select what to be told."""
        words = [word for word in text.replace(" ", ",").split(",") if word]
        select = {word[1:]: False for word in words if word in _SELECTORS}
        columns = [word for word in words if word not in _SELECTORS]
        for column in columns:
            if column not in self._kinds:
                raise Fatal(
                    f'table "{self.name}" in {self._database} does not have a column named '
                    f'"{column}"'
                )
            if column in self.columns:
                raise Fatal(f'column "{column}" mentioned multiple times')
            self.columns.append(column)
        if not columns:
            # Every column, the versions only for those who will see changes of them
            columns = [*sorted(name for name in self._kinds if name != "_version"), "_version"]
            self.columns += columns
        request = {"columns": columns}
        if select:
            request["select"] = select
        self.requests.append(request)

    def cells(self, row):
        """The cells of a row as the server sent it; None for columns that it left out."""
        return [
            (self._kinds[column], types.from_wire(self._kinds[column], row[column]))
            if column in row
            else None
            for column in self.columns
        ]


def _watch(session, name, groups, schema):
    if name not in schema:
        raise Fatal(f'{session.remote}: {session.database} does not have a table named "{name}"')
    watched = _Watched(schema.table(name), session.database)
    try:
        for group in groups or [""]:
            watched.add_group(group)
    except Fatal as error:
        raise Fatal(f"{session.remote}: {error}") from None
    return watched


def _watched_tables(session, words):
    """{name: _Watched} of TABLE [COLUMNS]... or ALL."""
    schema = session.schema()
    if words[0] == "ALL" and "ALL" not in schema:
        if len(words) > 1:
            raise Fatal("no columns can be given with ALL")
        return {name: _watch(session, name, [], schema) for name in schema.table_names}
    return {words[0]: _watch(session, words[0], list(words[1:]), schema)}


class _Output:
    """Prints updates of either form as tables."""

    def __init__(self, session, tables):
        self._session = session
        self._tables = tables

    def _timestamp(self):
        if "timestamp" not in self._session.options:
            return None
        import time

        now = time.time()
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now))
        return f"{stamp}.{int(now * 1000) % 1000:03d}"

    def print(self, updates, lines_of):
        """One table for each table of `updates`; `lines_of` makes a row's lines."""
        for name in sorted(updates):
            watched = self._tables.get(name)
            if watched is None:
                continue
            caption = name if len(self._tables) > 1 else None
            headings = ["row", "action", *watched.columns]
            shown = Table(headings, caption, self._timestamp())
            for uuid, change in updates[name].items():
                for uuid_cell, action, row in lines_of(uuid, change):
                    shown.add([uuid_cell, action, *watched.cells(row)])
            if shown.rows:
                self._session.printer.print(shown)


def _update_lines(initial):
    """For updates of RFC 7047: {"old": row, "new": row}."""

    def lines(uuid, change):
        old, new = change.get("old"), change.get("new")
        if new is None:
            return [(uuid, "delete", old or {})]
        if old is None:
            return [(uuid, "initial" if initial else "insert", new)]
        return [(uuid, "old", old), ("", "new", new)]

    return lines


def _update2_lines(uuid, change):
    """For updates of monitor_cond: {"initial" or "insert" or "modify" or "delete": row}."""
    return [(uuid, action, row or {}) for action, row in change.items()]


def _conditions(text):
    value = parse_json(text)
    if not isinstance(value, list):
        raise Fatal("condition array is not a JSON array")
    return value


def run_monitor(session, *words):
    tables = _watched_tables(session, words)
    requests = {name: watched.requests for name, watched in tables.items()}
    output = _Output(session, tables)
    first = session.client.request("monitor", [session.database, MONITOR_ID, requests])
    output.print(first, _update_lines(True))
    _follow(session, lambda params: output.print(params[1], _update_lines(False)))


def _cond_requests(tables, conditions):
    requests = {name: watched.requests for name, watched in tables.items()}
    if conditions:
        for group in requests.values():
            group[0]["where"] = conditions
    return requests


def run_monitor_cond(session, conditions, *words):
    tables = _watched_tables(session, words)
    requests = _cond_requests(tables, _conditions(conditions))
    output = _Output(session, tables)
    first = session.client.request("monitor_cond", [session.database, MONITOR_ID, requests])
    output.print(first, _update2_lines)
    _follow(session, lambda params: output.print(params[1], _update2_lines))


def run_monitor_cond_since(session, *words):
    last_id = "00000000-0000-0000-0000-000000000000"
    if types.is_uuid(words[0]):
        last_id, words = words[0], words[1:]
    if len(words) < 2:
        raise Fatal("invalid syntax for 'monitor-cond-since' (use --help for help)")
    tables = _watched_tables(session, words[1:])
    requests = _cond_requests(tables, _conditions(words[0]))
    output = _Output(session, tables)
    params = [session.database, MONITOR_ID, requests, last_id]
    found, last_id, first = session.client.request("monitor_cond_since", params)
    print(f"found: {json.dumps(found)}, last_id: {last_id}")
    output.print(first, _update2_lines)

    def show(params):
        session.printer.separate()
        print(f"last_id: {params[1]}")
        output.print(params[2], _update2_lines)

    _follow(session, show)


def _follow(session, show):
    """Hands the parameters of each update to `show`."""

    def take(message):
        if message["method"] in ("update", "update2", "update3"):
            show(message["params"])

    follow(session, take)
