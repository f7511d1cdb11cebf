"""What a run of pyvs-ovsdb-client has: options, connection, output."""

import atexit
import contextlib
import json
import os
import signal
import sys

from pyvs import identity
from pyvs_tools.command import Fatal
from pyvs_tools.ovsdb import table

from . import rpc as ovsdb_rpc
from . import types

PROGRAM = identity.program("pyvs-ovsdb-client")
DEFAULT_DATABASE = "Open_vSwitch"
_TLS = {
    "private-key": "private_key",
    "certificate": "certificate",
    "ca-cert": "ca_cert",
    "peer-ca-cert": "peer_ca_cert",
    "ssl-protocols": "protocols",
    "ssl-ciphers": "ciphers",
}


class Session:
    """A run: its options, its connection, the database that it is about (or None)."""

    def __init__(self, options):
        self.style = table.Style("table")
        self.tls = ovsdb_rpc.Tls()
        self.options = {}
        for name, value in options:
            if name in _TLS:
                setattr(self.tls, _TLS[name], value)
            elif name == "bootstrap-ca-cert":
                self.tls.ca_cert, self.tls.bootstrap = value, True
            elif not self.style.set_option(name, value):
                self.options[name] = value
        self.printer = table.Printer(self.style)
        self.remote = None
        self.client = None
        self.database = None

    def trace(self):
        if "verbose" in self.options and self.options["verbose"] in (None, "dbg", "jsonrpc:dbg"):
            return lambda text: print(f"jsonrpc|DBG|{text}", file=sys.stderr)
        return None

    def connect(self):
        """Connects to `remote`; with several, to the leader of the cluster."""
        leader_of = None if "no-leader-only" in self.options else DEFAULT_DATABASE
        self.client = ovsdb_rpc.connect(self.remote, self.tls, self.trace(), leader_of)

    def schema(self):
        """The types.Schema of the database."""
        return types.Schema(self.schema_json())

    def schema_json(self, name=None):
        return self.client.request("get_schema", [name or self.database])

    def print_json(self, value):
        print(table.dump_json(value, self.style.pretty), flush=True)

    def print_table(self, headings, rows):
        shown = table.Table(headings)
        for row in rows:
            shown.add(row)
        self.printer.print(shown)


def parse_json(text):
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Fatal(f'"{text}": {error}') from None


def detach(session, prepare=lambda: None):
    """With --detach: goes on in the background, and says by a pid file who that is.

    The process that was started ends when that is so and `prepare()`, whose result is returned,
    has been called in the one that stays.
    """
    reader, writer = os.pipe()
    if "detach" in session.options:
        sys.stdout.flush()
        if os.fork():
            os.close(writer)
            os._exit(0 if os.read(reader, 1) else 1)
        os.setsid()
        if "no-chdir" not in session.options:
            os.chdir("/")
    if "pidfile" in session.options:
        from pyvs import rundir

        path = os.path.join(rundir.rundir(), session.options["pidfile"] or PROGRAM + ".pid")
        with open(path, "w") as file:
            file.write(f"{os.getpid()}\n")
        _remove_at_the_end(path)
    result = prepare()
    if "detach" in session.options:
        _leave_terminal()
    os.write(writer, b"\0")
    os.close(reader)
    os.close(writer)
    return result


def _leave_terminal():
    """What is told of the database still goes to standard output, and nothing else to anybody."""
    sys.stderr.flush()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 2):
        os.dup2(null, fd)
    os.close(null)


def _remove_at_the_end(path):
    """The file goes with the process: when the server ends the connection, by a signal too."""

    def remove():
        with contextlib.suppress(OSError):
            os.unlink(path)

    def end(number, _frame):
        remove()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    atexit.register(remove)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
