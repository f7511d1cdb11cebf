"""What the sessions share: databases, `_Server`, locks, transactions that wait.

Knows nothing of sockets; times are monotonic milliseconds that the caller gives.
"""

import ctypes
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

import orjson

from ovsdb.data.database import Database
from ovsdb.data.errors import OvsdbError
from ovsdb.data.schema import DatabaseSchema
from ovsdb.data.uuids import new_uuid
from ovsdb.serving.monitor import Fanout
from ovsdb.storage import files
from ovsdb.transactions.operations import Blocked, execute
from ovsdb.transactions.rbac import EVERYTHING, Rights
from pyvs import containment, coverage

SERVER_DATABASE = "_Server"
MODELS = ["set", ["clustered", "relay", "standalone"]]
# The schema of ovsdb-server(5).
SERVER_SCHEMA = {
    "name": SERVER_DATABASE,
    "version": "1.2.0",
    "tables": {
        "Database": {
            "columns": {
                "name": {"type": "string"},
                "model": {"type": {"key": {"type": "string", "enum": MODELS}}},
                "connected": {"type": "boolean"},
                "leader": {"type": "boolean"},
                "schema": {"type": {"key": "string", "min": 0}},
                "cid": {"type": {"key": "uuid", "min": 0}},
                "sid": {"type": {"key": "uuid", "min": 0}},
                "index": {"type": {"key": "integer", "min": 0}},
            }
        }
    },
}

TRANSACTIONS = coverage.counter("ovsdb_transact")
REFUSALS = coverage.counter("ovsdb_resources_exhausted")


# What one client may have at a time: more is refused.
MAX_WAITING = 64
MAX_LOCKS = 256
RETRY_SECONDS = 0.005  # in one round, for transactions that wait


class Client(Protocol):
    """Who uses the service: session.Session."""

    name: str
    read_only: bool
    role: str  # for RBAC, "" for all rights
    client_id: str | None
    change_aware: bool
    backlog: int  # bytes that it has not taken

    def reply(self, id_json: Any, result: Any) -> None:
        """Answer a request."""

    def reply_error(self, id_json: Any, error: Any) -> None:
        """Answer a request with an error."""

    def notify(self, method: str, params: list) -> None:
        """Tell it something."""

    def owns_lock(self, name: str) -> bool:
        """For "assert"."""

    def cancel_monitors(self, database: Database) -> None:
        """The database goes away: end its monitors and say so."""

    def close(self, reason: str) -> None:
        """End the connection."""


class Waiting:
    """A "transact" request whose "wait" does not hold yet."""

    __slots__ = ("created", "database", "deadline", "id_json", "operations", "seen", "session")

    def __init__(
        self, session: Client, id_json: Any, database: Database, operations: list, now: float
    ):
        self.session = session
        self.id_json = id_json
        self.database = database
        self.operations = operations
        self.created = now
        self.deadline: float | None = None  # monotonic ms
        self.seen = database.last_txn_id  # the commit after which it was tried last

    def set_deadline(self, timeout: int | None) -> None:
        """Wait for `timeout` ms after the request came, None for ever."""
        self.deadline = None if timeout is None else self.created + timeout


class Lock:
    """A lock's owner and, after it, the sessions that wait for it."""

    __slots__ = ("losers", "queue")

    def __init__(self):
        self.queue: dict[Client, None] = {}
        self.losers: set[Client] = set()  # of those who wait, those from whom it was stolen


class Service:
    """The databases and everything that one session can notice of another."""

    def __init__(self):
        self.server_id = new_uuid()
        self.sessions: set[Client] = set()
        self.databases: dict[str, Database] = {}
        self.fanouts: dict[str, Fanout] = {}
        self.locks: dict[str, Lock] = {}
        self._queued: dict[Client, set[str]] = {}  # the locks that it has or waits for
        self.waiting: dict[Waiting, None] = {}  # in the order of their arrival
        self._due: deque[Waiting] = deque()  # those that are to be tried again
        self.read_only = False
        self.compacting: set[Database] = set()  # whose files are written anew just now
        self.trim_memory = False  # give memory back to the kernel after a compaction
        self.add_database(Database(DatabaseSchema.from_json(SERVER_SCHEMA)))
        self.databases[SERVER_DATABASE].read_only = True

    # --- databases

    def add_database(self, database: Database) -> None:
        """Serve a database; OvsdbError when there is one of that name."""
        if database.name in self.databases:
            raise OvsdbError("ovsdb error", f"{database.name}: duplicate database name")
        self.databases[database.name] = database
        self.fanouts[database.name] = Fanout(database)
        self.notify_sessions(except_for=None)
        self._insert_server_row(database)

    def remove_database(self, name: str) -> None:
        """Stop serving a database, and close its file."""
        database = self.databases.get(name)
        if database is None or name == SERVER_DATABASE:
            raise OvsdbError("unknown database", "Failed to find the database.")
        self.cancel_database(database)
        del self.databases[name], self.fanouts[name]
        self._update_server({"op": "delete", "table": "Database", "where": _named(name)})
        if database.file is not None:
            database.file.close()
        if database.relay is not None:
            database.relay.close()
        self.notify_sessions(except_for=None)

    def cancel_database(self, database: Database) -> None:
        """Answer the waiting transactions of a database, and end its monitors."""
        for waiting in [w for w in self.waiting if w.database is database]:
            del self.waiting[waiting]
            waiting.session.reply_error(waiting.id_json, "canceled")
        for session in list(self.sessions):
            session.cancel_monitors(database)

    def notify_sessions(self, except_for: Client | None) -> None:
        """Close the sessions that do not follow `_Server`: they look anew on reconnect."""
        for session in list(self.sessions):
            if session is not except_for and not session.change_aware:
                session.close("the set of databases changed")

    def _insert_server_row(self, database: Database) -> None:
        row = {
            "name": database.name,
            "model": "standalone" if database.relay is None else "relay",
            "connected": database.relay is None,
            "leader": database.relay is None,
            "schema": _schema_text(database) if database.ready else ["set", []],
        }
        self._update_server({"op": "insert", "table": "Database", "row": row})

    def schema_changed(self, database: Database) -> None:
        """Show a database's new schema in `_Server`."""
        row = {"schema": _schema_text(database)}
        self._update_server(
            {"op": "update", "table": "Database", "where": _named(database.name), "row": row}
        )

    def set_connected(self, database: Database, connected: bool) -> None:
        """Show in `_Server` whether a relay follows its database."""
        row = {"connected": connected}
        self._update_server(
            {"op": "update", "table": "Database", "where": _named(database.name), "row": row}
        )

    def _update_server(self, operation: dict) -> None:
        results = execute(self.databases[SERVER_DATABASE], [operation])
        assert "error" not in results[-1], results

    def convert(self, database: Database, schema_json: Any, by: Client) -> None:
        """Give a database another schema, keeping what fits; OvsdbError if it cannot be."""
        schema = DatabaseSchema.from_json(schema_json)
        if schema.name != database.name:
            raise OvsdbError(
                "invalid parameters",
                f"new schema name ({schema.name}) does not match database name ({database.name})",
            )
        converted = files.converted(database, schema)
        if database.file is not None:
            database.file.replace(converted, "converted to another schema")
        self.cancel_database(database)
        database.take(converted)
        self.schema_changed(database)
        self.notify_sessions(except_for=by)

    # --- transactions

    def transact(
        self, session: Client, id_json: Any, database: Database, operations: list, now: float
    ) -> list | None:
        """Execute a request; its result, or None when it waits and is kept in `waiting`."""
        TRANSACTIONS.count += 1
        try:
            return self._execute(session, database, operations, 0)
        except Blocked as blocked:
            self._wait(Waiting(session, id_json, database, operations, now), blocked)
            return None

    def _wait(self, waiting: Waiting, blocked: Blocked) -> None:
        if sum(each.session is waiting.session for each in self.waiting) >= MAX_WAITING:
            raise exhausted(f"{MAX_WAITING} transactions of this client wait") from None
        waiting.set_deadline(blocked.timeout)
        self.waiting[waiting] = None

    def _execute(
        self, session: Client, database: Database, operations: list, elapsed: float
    ) -> list:
        return execute(
            database,
            operations,
            elapsed,
            session,
            database.read_only or session.read_only or self.read_only,
            Rights(session.role, session.client_id) if session.role else EVERYTHING,
        )

    def _try_again(self, waiting: Waiting, now: float) -> None:
        TRANSACTIONS.count += 1
        elapsed = now - waiting.created
        waiting.seen = waiting.database.last_txn_id
        try:
            result = self._execute(waiting.session, waiting.database, waiting.operations, elapsed)
        except Blocked as blocked:
            waiting.set_deadline(blocked.timeout)
            return
        except Exception:
            del self.waiting[waiting]
            containment.caught("OVSDB wait", waiting.session.name)
            waiting.session.close("internal error")
            return
        del self.waiting[waiting]
        waiting.session.reply(waiting.id_json, result)

    @property
    def has_work(self) -> bool:
        """Whether run() is to be called again at once."""
        return bool(self._due)

    def run(self, now: float) -> None:
        """Try waiting transactions again where something changed or time is up; some of them,
        if there are many."""
        if not self.waiting:
            if self._due:
                self._due.clear()
            return
        end = monotonic() + RETRY_SECONDS
        while True:
            if not self._due:
                self._find_due(now)
                if not self._due:
                    return
            each = self._due.popleft()
            if each in self.waiting:
                self._try_again(each, now)
            if monotonic() > end:
                return

    def _find_due(self, now: float) -> None:
        for each in self.waiting:
            late = each.deadline is not None and each.deadline <= now
            if late or each.seen is not each.database.last_txn_id:
                self._due.append(each)

    def cancel(self, session: Client, id_json: Any) -> None:
        """Give up a session's waiting transaction."""
        for waiting in self.waiting:
            if waiting.session is session and waiting.id_json == id_json:
                del self.waiting[waiting]
                session.reply_error(id_json, "canceled")
                return

    def forget(self, session: Client) -> None:
        """A session ended: its waiting transactions and locks go."""
        self.sessions.discard(session)
        for waiting in [each for each in self.waiting if each.session is session]:
            del self.waiting[waiting]
        for name in self._queued.pop(session, ()):
            self._leave(session, name)

    # --- locks

    def lock(self, session: Client, name: str, steal: bool) -> bool:
        """Queue for a lock, or take it from its owner; whether the session has it now."""
        mine = self._queued.setdefault(session, set())
        if name in mine:
            raise OvsdbError(
                "syntax error",
                f'must issue "unlock" before new "{"steal" if steal else "lock"}"',
                [name],
            )
        if len(mine) >= MAX_LOCKS:
            raise exhausted(f"this client has or waits for {MAX_LOCKS} locks")
        mine.add(name)
        queue = self.locks.setdefault(name, Lock()).queue
        if steal and queue:
            owner = next(iter(queue))
            owner.notify("stolen", [name])
            self.locks[name].queue = {session: None, **queue}
            self.locks[name].losers.add(owner)
            return True
        queue[session] = None
        return len(queue) == 1

    def unlock(self, session: Client, name: str) -> None:
        """Give up a lock or the wait for it; the next in the queue is told."""
        if name not in self._queued.get(session, ()):
            raise OvsdbError("syntax error", 'unlock: "unlock" without "lock" or "steal"', [name])
        self._queued[session].discard(name)
        self._leave(session, name)

    def _leave(self, session: Client, name: str) -> None:
        queue = self.locks[name].queue
        owned = self.owns(session, name)
        del queue[session]
        losers = self.locks[name].losers
        losers.discard(session)
        if not queue:
            del self.locks[name]
        elif owned:
            owner = next(iter(queue))
            losers.discard(owner)
            owner.notify("locked", [name])

    def lock_status(self, session: Client) -> dict[str, str]:
        """For the status column of ovs-vswitchd.conf.db(5), table Manager."""
        found: dict[str, list[str]] = {}
        for name in sorted(self._queued.get(session, ())):
            lost = session in self.locks[name].losers
            what = "held" if self.owns(session, name) else "lost" if lost else "waiting"
            found.setdefault(f"locks_{what}", []).append(name)
        return {what: " ".join(names) for what, names in found.items()}

    def owns(self, session: Client, name: str) -> bool:
        """Whether the session holds the lock."""
        lock = self.locks.get(name)
        return lock is not None and next(iter(lock.queue)) is session

    # --- files

    def run_files(self, now: float) -> None:
        """Start compactions that are due and finish those that are through.

        `now` in monotonic seconds.
        """
        for database in list(self.databases.values()):
            containment.call("OVSDB file", database.name, self._run_file, database, now)
        self.compacting = {
            each
            for each in self.compacting.intersection(self.databases.values())
            if each.file is not None and each.file.compacting
        }

    def _run_file(self, database: Database, now: float) -> None:
        file = database.file
        if file is None:
            return
        if file.run_compaction(now) and self.trim_memory:
            ctypes.CDLL(None).malloc_trim(0)
        if file.wants_compaction(now):
            self.compact(database, _ignore)

    def compact(self, database: Database, done: Callable[[OvsdbError | None], None]) -> None:
        """Compact a database's file and call `done(error or None)` then."""
        if database.file is None:
            done(None)
        else:
            database.file.start_compaction(database, "compacting database online", done)
            self.compacting.add(database)

    def close(self) -> None:
        """Close all files."""
        for database in self.databases.values():
            if database.file is not None:
                database.file.close()

    def memory(self) -> dict[str, int]:
        """Figures for memory/show, which leaves out what waits where nothing does."""
        waits = {
            "triggers": len(self.waiting),
            "backlog": sum(session.backlog for session in self.sessions),
        }
        return {
            "cells": sum(database.cells() for database in self.databases.values()),
            "monitors": sum(len(fanout.monitors) for fanout in self.fanouts.values()),
            "sessions": len(self.sessions),
            **{name: number for name, number in waits.items() if number},
        }


def exhausted(details: str) -> OvsdbError:
    """A client wants more than its share."""
    REFUSALS.count += 1
    return OvsdbError("resources exhausted", details)


def _schema_text(database: Database) -> str:
    return orjson.dumps(database.schema.to_json(), option=orjson.OPT_SORT_KEYS).decode()


def _named(name: str) -> list:
    return [["name", "==", name]]


def _ignore(_error: OvsdbError | None) -> None:
    """The end of a compaction that nobody waits for; failures are in the log."""
