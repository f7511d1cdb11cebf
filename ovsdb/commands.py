"""The control commands of ovsdb-server(1): ovsdb-server/*."""

from collections.abc import Callable
from typing import Any, Protocol

import ovs.unixctl
import ovs.vlog

from ovsdb.data.errors import OvsdbError
from ovsdb.followers.replication import Replication
from ovsdb.serving.remotes import Remotes
from ovsdb.serving.service import SERVER_DATABASE, Service
from ovsdb.serving.session import disable_monitor_cond
from ovsdb.serving.transaction_log import TransactionLog
from pyvs.process import daemon

vlog = ovs.vlog.Vlog("ovsdb_server")

NO_PERF_COUNTERS = "performance counter is not supported on this platform\n"


class Program(Protocol):
    """What main puts together."""

    service: Service
    remotes: Remotes
    replication: Replication

    def add(self, name: str) -> None:
        """Serve a database; OvsdbError, ValueError."""


class Commands:
    """register() makes them known."""

    def __init__(self, program: Program):
        self.program = program
        self.service = program.service
        self.remotes = program.remotes
        self.replication = program.replication
        self.transaction_log = TransactionLog(program.service)

    def register(self) -> None:
        """Make the commands known."""
        commands: list[tuple[str, str, int, int, Callable[[list[str]], str | None]]] = [
            ("ovsdb-server/list-dbs", "", 0, 0, self._list_dbs),
            ("ovsdb-server/add-db", "DB", 1, 1, self._add_db),
            ("ovsdb-server/remove-db", "DB", 1, 1, self._remove_db),
            ("ovsdb-server/add-remote", "REMOTE", 1, 1, self._add_remote),
            ("ovsdb-server/remove-remote", "REMOTE", 1, 1, self._remove_remote),
            ("ovsdb-server/list-remotes", "", 0, 0, self._list_remotes),
            ("ovsdb-server/reconnect", "", 0, 0, self._reconnect),
            ("ovsdb-server/sync-status", "", 0, 0, lambda _args: self.replication.status()),
            ("ovsdb-server/set-active-ovsdb-server", "SERVER", 1, 1, self._set_source),
            ("ovsdb-server/get-active-ovsdb-server", "", 0, 0, self._get_source),
            ("ovsdb-server/connect-active-ovsdb-server", "", 0, 0, self._start_backup),
            ("ovsdb-server/disconnect-active-ovsdb-server", "", 0, 0, self._stop_backup),
            ("ovsdb-server/set-sync-exclude-tables", "DB:TABLE,...", 1, 1, self._set_excluded),
            ("ovsdb-server/get-sync-exclude-tables", "", 0, 0, self._get_excluded),
            ("ovsdb-server/get-db-storage-status", "DB", 1, 1, self._storage_status),
            ("ovsdb-server/set-active-ovsdb-server-probe-interval", "MS", 1, 1, self._set_probe),
            ("ovsdb-server/tlog-set", "DB:TABLE on|off", 2, 2, self._tlog_set),
            ("ovsdb-server/tlog-list", "", 0, 0, lambda _args: self.transaction_log.list()),
            ("ovsdb-server/disable-monitor-cond", "", 0, 0, self._disable_monitor_cond),
            ("ovsdb-server/memory-trim-on-compaction", "on|off", 1, 1, self._trim),
            ("ovsdb-server/perf-counters-show", "", 0, 0, lambda _args: NO_PERF_COUNTERS),
            ("ovsdb-server/perf-counters-clear", "", 0, 0, lambda _args: ""),
        ]
        for command in commands:
            daemon.command(*command)
        ovs.unixctl.command_register("ovsdb-server/compact", "[DB]", 0, 1, self._compact, None)

    def _list_dbs(self, _args: list[str]) -> str:
        return "".join(f"{name}\n" for name in sorted(self.service.databases))

    def _add_db(self, args: list[str]) -> None:
        try:
            self.program.add(args[0])
        except (OvsdbError, ValueError) as error:
            raise daemon.CommandError(str(error)) from error
        self.remotes.reconfigure()
        self.program.keep()

    def _remove_db(self, args: list[str]) -> None:
        if args[0] == SERVER_DATABASE:
            raise daemon.CommandError("Cannot remove reserved database.")
        try:
            self.service.remove_database(args[0])
        except OvsdbError as error:
            raise daemon.CommandError(error.details) from error
        self.remotes.reconfigure()
        self.program.keep()

    def _add_remote(self, args: list[str]) -> None:
        try:
            self.remotes.add(args[0])
        except ValueError as error:
            raise daemon.CommandError(str(error)) from error
        self.program.keep()

    def _remove_remote(self, args: list[str]) -> None:
        try:
            self.remotes.remove(args[0])
        except KeyError:
            raise daemon.CommandError("no such remote") from None
        self.program.keep()

    def _list_remotes(self, _args: list[str]) -> str:
        return "".join(f"{name}\n" for name in sorted(self.remotes.configured))

    def _set_source(self, args: list[str]) -> None:
        try:
            self.replication.set_source(args[0])
        except ValueError as error:
            raise daemon.CommandError(str(error)) from error

    def _get_source(self, _args: list[str]) -> str:
        return f"{self.replication.source}\n" if self.replication.source else ""

    def _start_backup(self, _args: list[str]) -> str | None:
        try:
            self.replication.start()
        except ValueError as error:
            return str(error)  # (an answer like any other with ovsdb-server, too)
        return None

    def _stop_backup(self, _args: list[str]) -> None:
        self.replication.stop()

    def _set_excluded(self, args: list[str]) -> None:
        try:
            self.replication.set_excluded(args[0])
        except ValueError as error:
            raise daemon.CommandError(str(error)) from error

    def _get_excluded(self, _args: list[str]) -> str:
        excluded = self.replication.excluded_text()
        return f"{excluded}\n" if excluded else ""

    def _storage_status(self, args: list[str]) -> str:
        if args[0] not in self.service.databases:
            raise daemon.CommandError("Failed to find the database.")
        return "status: ok\n"

    def _set_probe(self, args: list[str]) -> str | None:
        try:
            self.replication.set_probe_interval(int(args[0]))
        except ValueError:
            return "Invalid probe interval, integer value expected\n"
        return None

    def _tlog_set(self, args: list[str]) -> None:
        if args[1] not in ("on", "off"):
            raise daemon.CommandError("invalid command argument")
        try:
            self.transaction_log.set(args[0], args[1] == "on")
        except ValueError as error:
            raise daemon.CommandError(str(error)) from error

    def _disable_monitor_cond(self, _args: list[str]) -> None:
        disable_monitor_cond()
        self.remotes.reconnect()

    def _trim(self, args: list[str]) -> None:
        if args[0] not in ("on", "off"):
            raise daemon.CommandError("invalid argument")
        self.service.trim_memory = args[0] == "on"
        vlog.info(f"memory trimming after compaction {'en' if args[0] == 'on' else 'dis'}abled.")

    def _reconnect(self, _args: list[str]) -> None:
        self.remotes.reconnect()

    def _compact(self, connection: Any, args: list[str], _aux: Any) -> None:
        """Replies when the last file is in place."""
        if args and args[0] not in self.service.databases:
            connection.reply_error("no database by that name\n")
            return
        names = args or [name for name in self.service.databases if name != SERVER_DATABASE]
        left = len(names)
        failures: list[str] = []

        def done(error: OvsdbError | None) -> None:
            nonlocal left
            left -= 1
            if error is not None:
                failures.append(f"{error}\n")
            if left == 0:
                if failures:
                    connection.reply_error("".join(failures))
                else:
                    connection.reply("")

        if not names:
            connection.reply("")
        for name in names:
            self.service.compact(self.service.databases[name], done)
