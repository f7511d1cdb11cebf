"""Following another server: what replication and relays share.

`Upstream` connects to one of several servers, again and again; `Follower` is its end of the
connection, which copies databases with "monitor" and keeps the copies true.
"""

from collections.abc import Callable
from typing import Any

import ovs.vlog

from ovsdb.data.database import Database, Table
from ovsdb.data.errors import OvsdbError, syntax_error
from ovsdb.data.uuids import is_uuid
from ovsdb.serving.remotes import KINDS, ActiveRemote, Options
from ovsdb.serving.rpc import ClientPeer
from ovsdb.serving.server import Loop
from ovsdb.transactions.transaction import Transaction

vlog = ovs.vlog.Vlog("ovsdb_cs")


def split_servers(text: str) -> list[str]:
    """The addresses of a comma-separated list; ValueError when one is not active."""
    servers: list[str] = []
    for piece in text.split(","):
        if servers and piece.partition(":")[0] not in KINDS:
            servers[-1] += "," + piece  # of a file's name
        else:
            servers.append(piece.strip())
    for server in servers:
        kind, colon, _rest = server.partition(":")
        if not colon or KINDS.get(kind) is not ActiveRemote:
            raise ValueError(f"{server}: not an active connection method")
    return servers


class Upstream(ActiveRemote):
    """The connection to one of `servers`; each failed attempt goes on to the next,
    and there is a pause after the last."""

    def __init__(
        self,
        loop: Loop,
        servers: list[str],
        new_follower: Callable[[str], "Follower"],
        options: Options | None = None,
    ):
        self._servers = servers
        self._at = 0
        self._new_follower = new_follower
        self.follower: Follower | None = None
        super().__init__(loop, servers[0], options or Options())
        loop.timers.append(self.run_timer)

    def new_session(self) -> "Follower":
        self.follower = self._new_follower(self.name)
        self.follower.start()
        return self.follower

    def _failed(self, reason: str, now: float) -> None:
        super()._failed(reason, now)
        self._at = (self._at + 1) % len(self._servers)
        self.name = self._servers[self._at]
        if self._at:
            self._next_try = now  # it waits after the last of them
            self.run_timer(now)

    def close(self, reason: str) -> None:
        self.loop.timers.remove(self.run_timer)
        super().close(reason)


class Follower(ClientPeer):
    """Copies databases; `start` asks for what is to be copied."""

    def __init__(self, name: str):
        super().__init__(name)
        self.copies: dict[str, Database] = {}

    def start(self) -> None:
        """The connection is there."""
        raise NotImplementedError

    def copied(self, database: Database) -> None:
        """The first copy of a database is complete."""

    def copy(self, database: Database, excluded: set[str]) -> None:
        """Make the database what it is there, from now on, but for `excluded` tables."""
        tables = [name for name in database.tables if name not in excluded]

        def done(result: Any, error: Any) -> None:
            if error is not None:
                self.close(f"cannot monitor {database.name}: {error}")
            elif self._apply(database, result, tables):
                self.copies[database.name] = database
                self.copied(database)

        requests: dict[str, dict] = {name: {} for name in tables}
        self.request("monitor", [database.name, database.name, requests], done)

    def notified(self, method: str, params: list) -> None:
        if method != "update" or len(params) != 2 or type(params[0]) is not str:
            return
        database = self.copies.get(params[0])
        if database is not None:
            self._apply(database, params[1], [])

    def _apply(self, database: Database, updates: Any, replaced: list[str]) -> bool:
        try:
            apply_updates(database, updates, replaced)
        except OvsdbError as error:
            vlog.warn(f"{self.name}: cannot follow {database.name}: {error}")
            self.close(str(error))
            return False
        return True


def apply_updates(database: Database, updates: Any, replaced: list[str]) -> None:
    """Commit <table-updates> of RFC 7047.  In the tables `replaced` there are no rows but
    these afterwards.  Raises OvsdbError, with nothing changed."""
    if type(updates) is not dict:
        raise syntax_error("<table-updates> must be an object", updates)
    transaction = Transaction(database)
    try:
        for name in replaced:
            kept = updates.get(name, {})
            if type(kept) is not dict:
                raise syntax_error("<table-update> must be an object", kept)
            for uuid, row in list(database.tables[name].rows.items()):
                if uuid not in kept:
                    transaction.delete(database.tables[name], row)
        for name, rows in updates.items():
            table = database.tables.get(name)
            if table is None or type(rows) is not dict:
                raise syntax_error(f"No table named {name}.", updates)
            for uuid, change in rows.items():
                _apply_row(transaction, table, uuid, change)
    except BaseException:
        transaction.abort()
        raise
    transaction.commit()


def _apply_row(transaction: Transaction, table: Table, uuid: str, change: Any) -> None:
    if not is_uuid(uuid) or type(change) is not dict:
        raise syntax_error("<row-update> must be an object", change)
    row = table.rows.get(uuid)
    new = change.get("new")
    if new is None:
        if row is not None:
            transaction.delete(table, row)
        return
    if type(new) is not dict:
        raise syntax_error("<row> must be an object", new)
    values = {
        name: table.schema.columns[name].type.unchecked_parse(value)
        for name, value in new.items()
        if name in table.schema.columns
    }
    if row is None:
        transaction.insert(table, uuid, values)
    else:
        transaction.writable(table, row, values).update(values)
