"""For tests of the OVSDB tools: database servers in private directories (Open vSwitch's where
it is installed, and ours), and runs of a tool with its output caught."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from pyvs_tools.ovsdb import rpc as ovsdb_rpc

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
HAVE_OVS = all(shutil.which(tool) for tool in ("ovsdb-server", "ovsdb-tool", "ovs-vsctl")) and (
    os.path.exists(SCHEMA)
)
needs_ovs = pytest.mark.skipif(not HAVE_OVS, reason="Open vSwitch is not installed")


def have_our_server():
    try:
        import ovsdb.main  # noqa: F401
    except ImportError:
        return False
    return True


class Server:
    """A database server with the switch's schema; `remote` is where it listens."""

    def __init__(self, command, directory):
        self.directory = directory
        self.socket = os.path.join(directory, "db.sock")
        self.remote = "unix:" + self.socket
        log = open(os.path.join(directory, "output"), "w")  # noqa: SIM115
        environment = {**os.environ, "OVS_RUNDIR": directory, "PYVS_RUNDIR": directory}
        self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        log.close()
        deadline = time.monotonic() + 10
        while True:
            try:
                ovsdb_rpc.open_socket(self.remote).close()
                return
            except ovsdb_rpc.ConnectError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    self.stop()
                    with open(os.path.join(directory, "output")) as file:
                        raise RuntimeError(file.read()) from None
            time.sleep(0.01)

    def client(self):
        return ovsdb_rpc.connect(self.remote)

    def transact(self, *operations):
        client = self.client()
        try:
            return client.request("transact", ["Open_vSwitch", *operations])
        finally:
            client.close()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def start_server(kind):
    """A running server, "ovs" or "pyvs".  Skips the test when it cannot be had."""
    directory = tempfile.mkdtemp(prefix="pyvs-tools-")
    database = os.path.join(directory, "conf.db")
    listen = f"--remote=punix:{directory}/db.sock"
    control = f"--unixctl={directory}/ovsdb-server.ctl"
    if kind == "ovs":
        if not HAVE_OVS:
            pytest.skip("Open vSwitch is not installed")
        subprocess.run(["ovsdb-tool", "create", database, SCHEMA], check=True)
        return Server(["ovsdb-server", database, listen, control], directory)
    if not have_our_server():
        pytest.skip("pyvs' ovsdb-server is not built")
    from pyvs_tools.ctl.database import create_database

    create_database(database)
    program = "import sys; from ovsdb.main import main; sys.exit(main())"
    return Server([sys.executable, "-c", program, database, listen, control], directory)


def run_peer(tool, remote, args, timeout=10):
    """(exit status, stdout, stderr) of a tool of Open vSwitch."""
    option = [f"--db={remote}", "--no-wait"] if tool == "ovs-vsctl" else []
    done = subprocess.run(
        [tool, *option, *args], capture_output=True, text=True, timeout=timeout, check=False
    )
    return done.returncode, done.stdout, done.stderr


def run_ours(main, args):
    """(exit status, stdout, stderr) of main(args) of one of our tools."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(args)
        except SystemExit as exit_:
            status = exit_.code or 0
    return status, out.getvalue(), err.getvalue()


def normal_uuids(text):
    return UUID.sub("<uuid>", text)


def ordered(value):
    """What to sort JSON values by: servers write the members of objects in any order."""
    return json.dumps(value, sort_keys=True)


def contents(server):
    """The database as nested values without UUIDs: what a row refers to stands in its place.
    Root rows only, in a fixed order."""
    client = server.client()
    schema = client.request("get_schema", ["Open_vSwitch"])
    tables = sorted(schema["tables"])
    selects = [{"op": "select", "table": name, "where": []} for name in tables]
    results = client.request("transact", ["Open_vSwitch", *selects])
    client.close()
    rows = {
        row["_uuid"][1]: (name, row)
        for name, result in zip(tables, results, strict=True)
        for row in result["rows"]
    }

    def expand(value, path):
        if isinstance(value, list) and len(value) == 2 and value[0] == "uuid":
            return row_value(value[1], path)
        if isinstance(value, list):
            items = [expand(item, path) for item in value]
            return items if value[:1] in (["map"], ["set"]) else sorted(items, key=ordered)
        return value

    def row_value(uuid, path):
        if uuid in path:
            return "(again)"
        name, row = rows[uuid]
        skip = ("_uuid", "_version", "next_cfg", "cur_cfg")
        return {name: {k: expand(v, (*path, uuid)) for k, v in row.items() if k not in skip}}

    roots = [
        row_value(uuid, ())
        for uuid, (name, _) in rows.items()
        if schema["tables"][name].get("isRoot")
    ]
    return sorted(roots, key=ordered)
