"""pyvs-ovsdb-server: the command line of ovsdb-server(1), and how the parts are put together."""

import contextlib
import gc
import os
import select
import signal
import subprocess
import sys
from typing import Any

import ovs.vlog

from ovsdb.commands import Commands
from ovsdb.data.errors import OvsdbError
from ovsdb.followers.relay import Relay
from ovsdb.followers.replication import Replication
from ovsdb.kept import Kept
from ovsdb.serving.remotes import DatabaseSource, Remotes
from ovsdb.serving.server import Loop
from ovsdb.serving.service import Service
from ovsdb.storage import files
from pyvs import collector, containment, coverage, identity, rundir
from pyvs.process import daemon
from pyvs.streams import framing

vlog = ovs.vlog.Vlog("ovsdb_server")

PROGRAM = "pyvs-ovsdb-server"

USAGE = """{program}: database server of RFC 7047 (OVSDB)
usage: {program} [OPTIONS] [DATABASE...]
where each DATABASE is a database file, made with pyvs-ovsdb-tool or pyvs-ctl,
or relay:DB:SERVER[,SERVER]... for a copy of DB on another server
(default: {dbdir}/conf.db; with --no-db, none)

Connections:
  --remote=REMOTE         connect or listen to REMOTE: punix:FILE, ptcp:[PORT][:HOST],
                          pssl:[PORT][:HOST], unix:FILE, tcp:HOST:PORT,
                          ssl:HOST:PORT, or db:DB,TABLE,COLUMN
  --private-key=FILE, --certificate=FILE, --ca-cert=FILE
                          for ssl and pssl; FILE may be db:DB,TABLE,COLUMN
  --bootstrap-ca-cert=FILE
                          like --ca-cert; if there is no such file, the peer of the first
                          ssl connection says who its CA is (not that of a pssl one)
  --peer-ca-cert=FILE     certificates to send to peers besides our own
  --ssl-protocols=PROTOCOLS, --ssl-ciphers=CIPHERS
  --run=COMMAND           run COMMAND in a shell, and exit when it ends

Replication:
  --sync-from=SERVER      be a backup of SERVER (with --active: only when told to)
  --sync-exclude-tables=DB:TABLE[,DB:TABLE]...
                          tables that are not copied
  --active                start as the active server

Files:
  --disable-file-column-diff
                          write changed columns whole, not as differences
"""

OPTIONS = {
    "remote": daemon.REQUIRED,
    "run": daemon.REQUIRED,
    "sync-from": daemon.REQUIRED,
    "sync-exclude-tables": daemon.REQUIRED,
    "active": daemon.NONE,
    "no-db": daemon.NONE,
    "disable-file-column-diff": daemon.NONE,
}
# option -> attribute of TlsSettings
TLS_OPTIONS = {
    "private-key": "private_key",
    "certificate": "certificate",
    "ca-cert": "ca_cert",
    "bootstrap-ca-cert": "ca_cert",
    "peer-ca-cert": "peer_ca_cert",
    "ssl-protocols": "protocols",
    "ssl-ciphers": "ciphers",
}
OPTIONS.update(dict.fromkeys(TLS_OPTIONS, daemon.REQUIRED))
# Options of ovsdb-server that pyvs knows but does not have.
UNSUPPORTED = dict.fromkeys(
    ("syslog-target",),
    daemon.REQUIRED,
)


class Control:
    """Serves the control connections, which want poll(2), inside the epoll loop.

    Their descriptors are in an epoll of their own, which is one descriptor of the loop.
    """

    def __init__(self, loop: Loop, server: Any):
        self.server = server
        self._inner = select.epoll()
        self._events: dict[int, int] = {}  # of the descriptors in there
        self._wanted: dict[int, int] = {}
        self._at_once = os.eventfd(1, os.EFD_CLOEXEC)  # always readable
        self._watch()
        loop.register(self._inner.fileno(), select.EPOLLIN, self.run)
        # A reply that comes late and does not go out at once changes what is waited for.
        loop.timers.append(lambda _now: self.run())

    def run(self, _events: int = 0) -> None:
        """Serve the control connections."""
        self.server.run()
        self._watch()

    def _watch(self) -> None:
        """Have in the epoll what is waited for now, and no more."""
        self._wanted = {}
        self.server.wait(self)
        for fd in self._events.keys() - self._wanted.keys():
            with contextlib.suppress(OSError):  # closed: it has gone by itself
                self._inner.unregister(fd)
        for fd, events in self._wanted.items():
            try:
                self._inner.modify(fd, events)
            except FileNotFoundError:
                self._inner.register(fd, events)
        self._events = self._wanted

    # what server.wait() calls on a poller

    def fd_wait(self, fd: Any, events: int) -> None:
        """Wake up for a descriptor."""
        number = fd if isinstance(fd, int) else fd.fileno()
        self._wanted[number] = self._wanted.get(number, 0) | events

    def timer_wait(self, _msec: float) -> None:
        """The loop's timer is often enough."""

    def immediate_wake(self) -> None:
        """A client has sent more than is answered in one turn."""
        self._wanted[self._at_once] = select.EPOLLIN


class Program:
    """The running server."""

    def __init__(self, names: list[str], as_diff: bool = True, kept: Kept | None = None):
        self.as_diff = as_diff
        self._kept = kept
        self._names: dict[str, str] = {}  # database -> by what name add() gets it
        self.service = Service()
        self.loop = Loop(self.service)
        self.remotes = Remotes(self.loop)
        self.replication = Replication(self.loop)
        self._breather = containment.Breather()
        for name in names:
            self.add(name)
        coverage.memory_reporter(self.service.memory)

    def add(self, name: str) -> None:
        """Serve a database named on the command line or by add-db; OvsdbError, ValueError."""
        if name.startswith("relay:"):
            relay = Relay.parse(self.loop, name)
            self.service.add_database(relay.database)
            self._names[relay.database.name] = name
            relay.start()
            return
        path = os.path.realpath(name)
        # (Opening it again would lose the lock, which belongs to the process.)
        if path in [db.file.path for db in self.service.databases.values() if db.file]:
            raise OvsdbError("ovsdb error", f"{name}: already open")
        database = files.open_database(name)
        assert database.file is not None
        database.file.as_diff = self.as_diff
        try:
            self.service.add_database(database)
        except OvsdbError:
            database.file.close()
            raise
        self._names[database.name] = path

    def keep(self) -> None:
        """A command changed the databases or remotes: so they are to be after a crash, too."""
        if self._kept is not None:
            names = [self._names[each] for each in self.service.databases if each in self._names]
            self._kept.save(names, list(self.remotes.configured))

    def run(self, process: subprocess.Popen | None) -> int:
        """Serve until told to exit, or until `process` ends; the exit status."""
        while not daemon.exiting():
            self.turn(100 if process is not None else None)
            if process is not None and process.poll() is not None:
                return _result(process)
        return 0

    def turn(self, wait_ms: float | None) -> None:
        """One round, which waits for at most so long."""
        try:
            self.loop.run(wait_ms)
            self.remotes.run()
        except Exception:
            containment.caught("OVSDB loop")
        self._breather.rest()

    def close(self) -> None:
        """Close sockets and files."""
        self.remotes.close()
        self.loop.close()
        self.service.close()


def _result(process: subprocess.Popen) -> int:
    """The exit status that the command's means for the server, which tells of a failure."""
    code = process.returncode
    if code == 0:
        return 0
    how = f"exit status {code}" if code > 0 else f"killed ({signal.strsignal(-code)})"
    print(f"{identity.program(PROGRAM)}: {process.args!s}: child exited, {how}", file=sys.stderr)
    return 1


def _set_replication(replication: Replication, options: dict) -> None:
    """As the options say; ValueError."""
    excluded = daemon.last(options, "sync-exclude-tables")
    if excluded is not None:
        replication.set_excluded(excluded)
    source = daemon.last(options, "sync-from")
    if source is not None:
        replication.set_source(source)
        if "active" not in options:
            replication.start()


def _names(options: Any, names: list[str]) -> list[str]:
    """The databases that are named, or the one of the run directory."""
    if names and "no-db" in options:
        daemon.fatal("--no-db and databases make no sense together")
    if not names and "no-db" not in options:
        return [os.path.join(rundir.dbdir(), "conf.db")]
    return [n if n.startswith("relay:") else os.path.abspath(n) for n in names]


def _set_tls(program: Program, options: Any) -> None:
    for option, attribute in TLS_OPTIONS.items():
        if option in options:
            value = daemon.last(options, option)
            if value and value.startswith("db:"):
                DatabaseSource(program.loop, value)  # says what is wrong with it
            setattr(program.loop.tls, attribute, value)
    program.loop.tls.bootstrap = "bootstrap-ca-cert" in options


def _program(options: Any, names: list[str], kept: Kept | None) -> Program:
    """With its databases read and its remotes listened on."""
    try:
        remotes = [str(remote) for remote in options.get("remote", [])]
        if kept is not None:
            names, remotes = kept.load() or (names, remotes)
        program = Program(names, "disable-file-column-diff" not in options, kept)
        _set_tls(program, options)
        for remote in remotes:
            program.remotes.add(remote)
        _set_replication(program.replication, options)
    except (OvsdbError, ValueError) as error:
        daemon.fatal(str(error))
    errors = program.remotes.errors()
    if errors:
        daemon.fatal(errors[0])
    return program


def _main(argv: list[str] | None) -> int:
    options, names = daemon.parse(PROGRAM, argv, {**OPTIONS, **UNSUPPORTED}, USAGE)
    for name in UNSUPPORTED:
        if name in options:
            daemon.fatal(f"option '--{name}' is not supported")
    names = _names(options, names)  # before it leaves its directory
    kept = Kept() if "monitor" in options else None
    daemon.start()
    # What JSON's nesting costs Python's comparisons and encoders, which count a level as a call.
    sys.setrecursionlimit(5 * framing.MAX_DEPTH)
    gc.disable()  # until the databases are read: see pyvs/collector.py
    program = _program(options, names, kept)
    Commands(program).register()
    control = daemon.unixctl_server(PROGRAM)
    if control is not None:
        Control(program.loop, control)
    process = None
    command = daemon.last(options, "run")
    if command is not None:
        process = subprocess.Popen(command, shell=True)
    daemon.ready()
    # A terminal stays empty; with --run the output is the command's.
    if process is None and "log-file" in options:
        vlog.info(f"{daemon.version_text(PROGRAM).splitlines()[0]}")
    collector.spare()  # rows make no cycles
    status = program.run(process)
    if control is not None:
        control.close()
    program.close()
    return status


def main(argv: list[str] | None = None) -> int:
    """Run the server with `argv` (without the program's name); returns the exit status."""
    return daemon.guard(lambda: _main(argv))


if __name__ == "__main__":
    sys.exit(main())
