"""Active-backup replication (ovsdb(7)): a backup server copies an active one's databases,
and lets nobody write until it is made active itself."""

from typing import Any

import ovs.vlog

from ovsdb.data.database import Database
from ovsdb.followers.upstream import Follower, Upstream, split_servers
from ovsdb.serving.remotes import Options
from ovsdb.serving.server import Loop
from ovsdb.serving.service import SERVER_DATABASE, Service

vlog = ovs.vlog.Vlog("replication")

DEFAULT_PROBE_MSEC = 60000


def parse_excluded(text: str) -> dict[str, set[str]]:
    """DB:TABLE[,DB:TABLE]... as database -> tables; ValueError."""
    excluded: dict[str, set[str]] = {}
    for piece in filter(None, text.split(",")):
        database, colon, table = piece.strip().partition(":")
        if not colon or not database or not table:
            raise ValueError(f"{piece}: expected DB:TABLE")
        excluded.setdefault(database, set()).add(table)
    return excluded


class _Backup(Follower):
    """The backup's end: copies each database that both servers have with the same schema."""

    def __init__(self, name: str, service: Service, excluded: dict[str, set[str]]):
        super().__init__(name)
        self.service = service
        self.excluded = excluded

    def start(self) -> None:
        self.request("get_server_id", [], self._got_server_id)
        self.request("list_dbs", [], self._got_databases)

    def _got_server_id(self, result: Any, _error: Any) -> None:
        # (Other servers may not know the method.)
        if result == self.service.server_id:
            self.close("the active server is this server itself")

    def _got_databases(self, names: Any, error: Any) -> None:
        if error is not None or type(names) is not list:
            self.close(f"list_dbs failed: {error}")
            return
        for database in self.service.databases.values():
            if database.name == SERVER_DATABASE or database.relay is not None:
                continue
            if database.name not in names:
                vlog.warn(f"{self.name} has no database {database.name}")
                continue
            self.request("get_schema", [database.name], self._schema_check(database))

    def _schema_check(self, database: Database) -> Any:
        def done(schema: Any, error: Any) -> None:
            ours = {**database.schema.to_json(), "cksum": ""}
            if error is not None or type(schema) is not dict:
                self.close(f"get_schema failed: {error}")
            elif {**schema, "cksum": ""} != ours:
                vlog.warn(f"{self.name}: {database.name} has another schema there")
            else:
                self.copy(database, self.excluded.get(database.name, set()))

        return done


class Replication:
    """Whether this server is a backup, and whose."""

    def __init__(self, loop: Loop):
        self.loop = loop
        self.source = ""
        self.excluded: dict[str, set[str]] = {}
        self.probe_interval = DEFAULT_PROBE_MSEC
        self._upstream: Upstream | None = None

    @property
    def is_backup(self) -> bool:
        return self._upstream is not None

    def set_source(self, source: str) -> None:
        """Name the active server; ValueError.  A backup goes over to it."""
        split_servers(source)
        self.source = source
        self._restart()

    def set_excluded(self, text: str) -> None:
        """Name the tables that are not copied; ValueError."""
        self.excluded = parse_excluded(text)
        self._restart()

    def set_probe_interval(self, msec: int) -> None:
        """How long the active server may be silent before it is probed; 0: for ever."""
        self.probe_interval = msec
        if self._upstream is not None:
            self._upstream.set_options(Options(probe_interval=msec))

    def _restart(self) -> None:
        if self.is_backup:
            self.stop()
            self.start()

    def start(self) -> None:
        """Become a backup; ValueError when the active server is not known."""
        if not self.source:
            raise ValueError("Unable to connect: active server is not specified.")
        if not self.is_backup:
            self.loop.service.read_only = True
            servers = split_servers(self.source)
            options = Options(probe_interval=self.probe_interval)
            self._upstream = Upstream(self.loop, servers, self._new_follower, options)

    def stop(self) -> None:
        """Become active: clients may write."""
        if self._upstream is not None:
            self._upstream.close("this server is made active")
            self._upstream = None
            self.loop.service.read_only = False

    def _new_follower(self, name: str) -> Follower:
        return _Backup(name, self.loop.service, self.excluded)

    def excluded_text(self) -> str:
        """DB:TABLE,... in order."""
        return ",".join(
            f"{database}:{table}"
            for database in sorted(self.excluded)
            for table in sorted(self.excluded[database])
        )

    def status(self) -> str:
        """What sync-status says."""
        upstream = self._upstream
        if upstream is None:
            return "state: active\n"
        follower = upstream.follower
        if not upstream.connections() or follower is None or not follower.copies:
            return f"state: backup\nconnecting: {self.source}\n"
        text = f"state: backup\nreplicating: {upstream.name}\n"
        text += f"database: {', '.join(sorted(follower.copies))}\n"
        return text + (f"exclude: {self.excluded_text()}\n" if self.excluded else "")
