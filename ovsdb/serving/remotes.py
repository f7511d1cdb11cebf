"""Remotes: the addresses that the server listens on, or connects to (ovsdb(7)).

    punix:FILE  ptcp:[PORT][:HOST]  pssl:[PORT][:HOST]
    unix:FILE   tcp:HOST[:PORT]     ssl:HOST[:PORT]     db:DB,TABLE,COLUMN

A db: remote stands for those that a column names: addresses themselves, or references to
rows with a `target` column (the Manager table), into which the status is written back.
"""

import errno
import os
import select
import socket
from typing import Any

import ovs.vlog

from ovsdb.data.condition import Row
from ovsdb.data.database import Changes, Database, Table
from ovsdb.data.errors import OvsdbError
from ovsdb.serving.listener import DEFAULT_PORT, Listener, new_connection
from ovsdb.serving.rpc import Peer
from ovsdb.serving.server import Connection, Loop
from ovsdb.serving.session import Session
from ovsdb.transactions.operations import execute
from pyvs import containment, rundir
from pyvs.streams.listener import parse_port
from pyvs.streams.resolver import Lookup
from pyvs.streams.short_path import ShortPath

vlog = ovs.vlog.Vlog("reconnect")

DEFAULT_PROBE_MSEC = 5000
DEFAULT_MAX_BACKOFF_MSEC = 8000
MIN_BACKOFF_MSEC = 1000
STATUS_MSEC = 2500


class Options:
    """What a row of the Manager table says of a connection, besides its target."""

    __slots__ = ("max_backoff", "probe_interval", "read_only", "role")

    def __init__(
        self,
        probe_interval: int | None = None,
        max_backoff: int | None = None,
        read_only: bool = False,
        role: str = "",
    ):
        self.probe_interval = probe_interval
        self.max_backoff = max_backoff
        self.read_only = read_only
        self.role = role

    def probe(self, default: int) -> int:
        """The interval of probes in ms, 0 for none; a short one is lengthened."""
        if self.probe_interval is None:
            return default
        return 0 if self.probe_interval <= 0 else max(1000, self.probe_interval)


def _split_host_port(text: str) -> tuple[str, str]:
    """Split HOST:PORT, where an IPv6 HOST is in brackets; either may be empty."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":")
    host, _, port = text.partition(":")
    return host, port


def _set_rights(session: Peer, options: Options) -> None:
    if isinstance(session, Session):
        session.read_only = options.read_only
        session.role = options.role


class PassiveRemote:
    """A remote that clients connect to.  Retries while it cannot listen."""

    def __init__(self, loop: Loop, name: str, options: Options):
        self.loop = loop
        self.name = name
        self.options = options
        self.listener: Listener | None = None
        self.error: str | None = None
        self._open()

    def _open(self) -> None:
        try:
            self.listener = Listener(self.loop, self.name)
        except OSError as error:
            text = error.strerror or str(error)
            if text != self.error:
                vlog.err(f"{self.name}: listen failed: {text}")
            self.error = text
            return
        self.error = None
        if self.listener.port is not None:
            vlog.info(f"{self.name}: listening on port {self.listener.port}")
        self.set_options(self.options)

    def set_options(self, options: Options) -> None:
        """Take changed options, for clients to come and those that are there."""
        self.options = options
        if self.listener is None:
            return
        default = 0 if self.name.startswith("punix:") else DEFAULT_PROBE_MSEC
        probe = options.probe(default)
        self.listener.probe_interval = probe
        self.listener.read_only = options.read_only
        self.listener.role = options.role
        for connection in self.listener.live_connections():
            connection.probe_interval = probe
            _set_rights(connection.session, options)

    def run_timer(self, now: float) -> None:
        """Try again to listen."""
        if self.listener is None:
            self._open()
        else:
            self.listener.resume()

    def connections(self) -> list[Connection]:
        """The clients that came by this remote."""
        return [] if self.listener is None else list(self.listener.live_connections())

    def status(self, now: float) -> tuple[bool, dict[str, str]]:
        """is_connected, and the status map, of the Manager table."""
        if self.listener is None:
            return False, {"state": "VOID", "last_error": self.error or ""}
        status = {"state": "ACTIVE"}
        if self.listener.port is not None:
            status["bound_port"] = str(self.listener.port)
        clients = self.connections()
        if clients:
            newest = max(clients, key=lambda each: each.connected_at)
            if len(clients) > 1:
                status["n_connections"] = str(len(clients))
            status.update(self.loop.service.lock_status(newest.session))
            status["sec_since_connect"] = str(int((now - newest.connected_at) / 1000))
        return bool(clients), status

    def close(self, reason: str) -> None:
        """Stop listening and end the connections."""
        if self.listener is not None:
            self.listener.close(reason)
            self.listener = None


class ActiveRemote:
    """A remote that the server connects to, again and again with backoff."""

    def __init__(self, loop: Loop, name: str, options: Options):
        self.loop = loop
        self.name = name
        self.options = options
        self.connection: Connection | None = None
        self.error: str | None = None
        self._lookup: Lookup | None = None  # while the host's name is looked up
        self._attempts = 0  # at the addresses of the name
        self._sock: socket.socket | None = None  # while connecting
        self._backoff = 0
        self._next_try = loop.now
        self._deadline = 0.0
        self._changed_at = loop.now
        self.run_timer(loop.now)

    def set_options(self, options: Options) -> None:
        """Take changed options."""
        self.options = options
        if self.connection is not None:
            self.connection.probe_interval = options.probe(self._default_probe())
            _set_rights(self.connection.session, options)

    def _default_probe(self) -> int:
        return 0 if self.name.startswith("unix:") else DEFAULT_PROBE_MSEC

    def run_timer(self, now: float) -> None:
        """Connect when it is time; notice that the connection has gone."""
        if self.connection is not None:
            if self.connection in self.loop.connections:
                return
            closed = self.connection.session.closed
            self.connection = None
            self._failed(closed or "connection dropped", now)
        elif self._sock is not None or self._lookup is not None:
            if now >= self._deadline:
                self._drop_socket()
                self._failed("connection timed out", now)
        elif now >= self._next_try:
            self._connect(now)

    def _connect(self, now: float) -> None:
        kind, _, rest = self.name.partition(":")
        self._deadline = now + max(1000, self._backoff)
        try:
            if kind == "unix":
                path = os.path.join(rundir.rundir(), rest)
                with ShortPath(path) as short:
                    self._connect_to(socket.AF_UNIX, short)
                return
            host, port = _split_host_port(rest)
            self._lookup = Lookup(host, parse_port(port, DEFAULT_PORT))
            if self._lookup.fileno() >= 0:
                self.loop.register(self._lookup.fileno(), select.EPOLLIN, self._found)
            else:
                self._found()
        except (OSError, ValueError) as error:
            self._drop_socket()
            self._failed(getattr(error, "strerror", None) or str(error), now)

    def _found(self, _events: int = 0) -> None:
        """The host's addresses are known, or why they are not; they have turns."""
        lookup = self._lookup
        assert lookup is not None
        try:
            addresses = lookup.addresses()
            if addresses is None:
                return
            self._drop_lookup()
            family, address = addresses[self._attempts % len(addresses)]
            self._attempts += 1
            self._connect_to(family, address)
        except OSError as error:
            self._drop_socket()
            self._failed(error.strerror or str(error), self.loop.now)

    def _connect_to(self, family: int, address: Any) -> None:
        self._sock = socket.socket(family, socket.SOCK_STREAM)
        self._sock.setblocking(False)
        code = self._sock.connect_ex(address)
        if code not in (0, errno.EINPROGRESS, errno.EAGAIN):
            raise OSError(code, os.strerror(code))
        self.loop.register(self._sock.fileno(), select.EPOLLOUT, self._completed)

    def _completed(self, _events: int) -> None:
        sock = self._sock
        assert sock is not None
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._drop_socket()
            self._failed(os.strerror(code), self.loop.now)
            return
        self.loop.unregister(sock.fileno())
        self._sock = None
        vlog.info(f"{self.name}: connected")
        self._backoff = 0
        self._changed_at = self.loop.now
        probe = self.options.probe(self._default_probe())
        session = self.new_session()
        with_tls = self.name.startswith("ssl:")
        try:
            made = new_connection(self.loop, sock, session, probe, with_tls, server_side=False)
        except (OSError, ValueError) as error:
            session.ended()
            sock.close()
            self._failed(str(error), self.loop.now)
            return
        self.connection = made
        self.loop.dirty.add(made)  # it may have something to say

    def new_session(self) -> Peer:
        """What speaks on a new connection."""
        options = self.options
        return Session(self.loop.service, self.name, options.read_only, options.role)

    def _drop_lookup(self) -> None:
        if self._lookup is not None:
            self.loop.unregister(self._lookup.fileno())
            self._lookup.close()
            self._lookup = None

    def _drop_socket(self) -> None:
        self._drop_lookup()
        if self._sock is not None:
            if self._sock.fileno() >= 0:
                self.loop.unregister(self._sock.fileno())
            self._sock.close()
            self._sock = None

    def _failed(self, reason: str, now: float) -> None:
        limit = self.options.max_backoff or DEFAULT_MAX_BACKOFF_MSEC
        self._backoff = min(max(MIN_BACKOFF_MSEC, 2 * self._backoff), max(MIN_BACKOFF_MSEC, limit))
        self._next_try = now + self._backoff
        if self.error != reason:
            vlog.info(f"{self.name}: connection attempt failed ({reason})")
        if self.error is None:
            self._changed_at = now
        self.error = reason

    def connections(self) -> list[Connection]:
        """The connection, if there is one."""
        return [self.connection] if self.connection in self.loop.connections else []

    def status(self, now: float) -> tuple[bool, dict[str, str]]:
        """is_connected, and the status map, of the Manager table."""
        connected = bool(self.connections())
        since = str(int((now - self._changed_at) / 1000))
        status = {}
        if connected:
            status = {"state": "ACTIVE", "sec_since_connect": since}
            assert self.connection is not None
            status.update(self.loop.service.lock_status(self.connection.session))
        else:
            trying = self._sock is not None or self._lookup is not None
            status["state"] = "CONNECTING" if trying else "BACKOFF"
            status["sec_since_disconnect"] = since
        if self.error:
            status["last_error"] = self.error
        return connected, status

    def close(self, reason: str) -> None:
        """End the connection and the attempts."""
        self._drop_socket()
        if self.connection is not None:
            self.connection.close(reason)


Remote = PassiveRemote | ActiveRemote
KINDS: dict[str, type[PassiveRemote] | type[ActiveRemote]] = {
    "punix": PassiveRemote,
    "ptcp": PassiveRemote,
    "pssl": PassiveRemote,
    "unix": ActiveRemote,
    "tcp": ActiveRemote,
    "ssl": ActiveRemote,
}


def check_name(name: str) -> None:
    """Raise ValueError when `name` is not of a kind that is supported."""
    kind, colon, _rest = name.partition(":")
    if not colon or (kind not in KINDS and kind != "db"):
        raise ValueError(f"{name}: not a valid connection method")


class DatabaseSource:
    """db:DB,TABLE,COLUMN: remotes that a database names."""

    def __init__(self, loop: Loop, name: str):
        parts = name.removeprefix("db:").split(",")
        if len(parts) != 3:
            raise ValueError(f'"{name}": invalid syntax')
        self.loop = loop
        self.name = name
        self.database, self.table, self.column = parts
        self._check(self._database())

    def _database(self) -> Database:
        database = self.loop.service.databases.get(self.database)
        if database is None:
            raise ValueError(f'"{self.name}": no database named {self.database}')
        return database

    def _check(self, database: Database) -> None:
        table = database.tables.get(self.table)
        if table is None:
            raise ValueError(f'"{self.name}": no table named {self.table}')
        column = table.schema.columns.get(self.column)
        if column is None:
            raise ValueError(f'"{self.name}": table "{self.table}" has no column "{self.column}"')
        key = column.type.key
        if column.type.is_map or not (key.kind == "string" or key.ref_table):
            raise ValueError(
                f'"{self.name}": column "{self.column}" is neither of strings nor of references'
            )

    def targets(self) -> dict[str, tuple[Options, Row | None]]:
        """Address -> options and the row that it comes from; {} while the database is away."""
        database = self.loop.service.databases.get(self.database)
        table = database.tables.get(self.table) if database is not None else None
        if database is None or table is None or self.column not in table.schema.columns:
            return {}
        base = table.schema.columns[self.column].type.key
        found: dict[str, tuple[Options, Row | None]] = {}
        for row in table.rows.values():
            for atom in row[self.column]:
                if base.kind == "string":
                    found[atom] = (Options(), None)
                    continue
                target = database.tables[base.ref_table].rows.get(atom)  # type: ignore[index]
                address = _first(target, "target", str)
                if target is not None and address:
                    found[address] = (_row_options(target), target)
        return found

    def touches(self, database: Database, changes: Changes) -> bool:
        """Whether a commit can have changed the targets."""
        if database.name != self.database:
            return False
        key = database.tables[self.table].schema.columns[self.column].type.key
        return self.table in changes or key.ref_table in changes

    def write_status(self, remotes: dict[str, Remote], now: float) -> None:
        """Write is_connected and status into the rows that have these columns."""
        database = self.loop.service.databases.get(self.database)
        operations = []
        for address, (_options, row) in self.targets().items():
            remote = remotes.get(address)
            if row is None or remote is None or database is None:
                continue
            table = self._target_table(database)
            connected, status = remote.status(now)
            values: dict[str, Any] = {}
            new: Row = {"is_connected": (connected,), "status": dict(sorted(status.items()))}
            for column in ("is_connected", "status"):
                if column in table.schema.columns and row[column] != new[column]:
                    values[column] = table.encoders[column](new[column])
            if values:
                where = [["_uuid", "==", ["uuid", row["_uuid"][0]]]]
                operations.append(
                    {"op": "update", "table": table.name, "where": where, "row": values}
                )
        if operations and database is not None:
            results = execute(database, operations)
            if results[-1] is None or "error" in results[-1]:
                vlog.warn(f"{self.name}: cannot write the status: {results}")

    def _target_table(self, database: Database) -> Table:
        column = database.tables[self.table].schema.columns[self.column]
        return database.tables[column.type.key.ref_table]  # type: ignore[index]


def _first(row: Row | None, column: str, kind: type) -> Any:
    """The first element of a column if there is such a column and element, else None."""
    values = row.get(column) if row is not None else None
    if type(values) is tuple and values and type(values[0]) is kind:
        return values[0]
    return None


def _row_options(row: Row) -> Options:
    return Options(
        _first(row, "inactivity_probe", int),
        _first(row, "max_backoff", int),
        bool(_first(row, "read_only", bool)),
        _first(row, "role", str) or "",
    )


class Remotes:
    """All remotes: those named by options and commands, and those that databases name."""

    def __init__(self, loop: Loop):
        self.loop = loop
        self.configured: dict[str, DatabaseSource | None] = {}
        self.remotes: dict[str, Remote] = {}
        self._stale = False
        self._next_status = 0.0
        self._watched: set[str] = set()
        loop.timers.append(self.run_timer)

    def add(self, name: str) -> None:
        """Add a remote as --remote does; ValueError when it makes no sense."""
        check_name(name)
        if name not in self.configured:
            source = DatabaseSource(self.loop, name) if name.startswith("db:") else None
            self.configured[name] = source
            self.reconfigure()

    def remove(self, name: str) -> None:
        """Remove a remote that was added; KeyError when there is none of that name."""
        del self.configured[name]
        self.reconfigure()

    def errors(self) -> list[str]:
        """Configured remotes that cannot listen, and why."""
        return [
            f"{name}: {remote.error}"
            for name, remote in self.remotes.items()
            if name in self.configured and isinstance(remote, PassiveRemote) and remote.error
        ]

    def _committed(self, database: Database, changes: Changes, _txn_id: str) -> None:
        # Sockets are opened and closed after the transaction, not in its middle.
        sources = [source for source in self.configured.values() if source is not None]
        if any(source.touches(database, changes) for source in sources):
            self._stale = True

    def run(self) -> None:
        """Follow the databases' changes."""
        if self._stale:
            self._stale = False
            self.reconfigure()

    def reconfigure(self) -> None:
        """Open and close remotes so that they are those that are wanted."""
        wanted: dict[str, Options] = {}
        for name, source in self.configured.items():
            if source is None:
                wanted[name] = Options()
                continue
            self._watch(source)
            for address, (options, _row) in source.targets().items():
                try:
                    check_name(address)
                except ValueError as error:
                    vlog.warn(str(error))
                    continue
                if not address.startswith("db:"):
                    wanted[address] = options
        for name in [name for name in self.remotes if name not in wanted]:
            self.remotes.pop(name).close("remote was removed")
        for name, options in wanted.items():
            if name in self.remotes:
                self.remotes[name].set_options(options)
            else:
                self.remotes[name] = KINDS[name.partition(":")[0]](self.loop, name, options)

    def _watch(self, source: DatabaseSource) -> None:
        database = self.loop.service.databases.get(source.database)
        if database is not None and self._committed not in database.listeners:
            database.listeners.append(self._committed)

    def run_timer(self, now: float) -> None:
        """Let remotes retry; write the status now and then."""
        for name, remote in list(self.remotes.items()):
            containment.call("OVSDB remote", name, remote.run_timer, now)
        if now >= self._next_status:
            self._next_status = now + STATUS_MSEC
            for source in self.configured.values():
                if source is not None:
                    source.write_status(self.remotes, now)

    def reconnect(self) -> None:
        """Drop all connections; clients come back by themselves."""
        for connection in list(self.loop.connections):
            connection.close("reconnect was asked for")

    def close(self) -> None:
        """Close everything."""
        for remote in self.remotes.values():
            remote.close("server is exiting")
        self.remotes.clear()


__all__ = ["DatabaseSource", "OvsdbError", "Remotes", "check_name"]
