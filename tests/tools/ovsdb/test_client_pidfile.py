"""ovsdb-client --detach --pidfile: the file says who it is, for as long as there is somebody."""

import contextlib
import glob
import json
import os
import signal
import subprocess
import sys

import pytest

from tests.ovsdb.ovsdb_world import Daemon, directory, insert, needs_ovs, wait_until

SCHEMA = {
    "name": "D",
    "version": "1.0.0",
    "tables": {"T": {"isRoot": True, "columns": {"name": {"type": "string"}}}},
}
PROGRAM = "import sys; from pyvs_tools.ovsdb.client import main; sys.exit(main())"


@pytest.mark.parametrize("end", ["the server", "SIGTERM"])
def test_the_file_goes_with_the_process(end):
    with directory() as path:
        server = Daemon("pyvs", path, SCHEMA)
        file = f"{path}/client.pid"
        try:
            options = ("--detach", f"--pidfile={file}")
            command = [sys.executable, "-c", PROGRAM, *options, "monitor", server.remote, "D", "T"]
            subprocess.run(command, check=True, timeout=20, stdout=subprocess.DEVNULL)
            wait_until(lambda: os.path.exists(file) and os.path.getsize(file), "the pid file")
            with open(file) as opened:
                pid = int(opened.read())
            if end == "the server":
                server.kill()
            else:
                os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not os.path.exists(file), "the end of the pid file")
        finally:
            server.stop()


@pytest.mark.parametrize(
    "client", [[sys.executable, "-c", PROGRAM], pytest.param(["ovsdb-client"], marks=needs_ovs)]
)
def test_lock_and_transact_in_the_background(client):
    """What is started in the background can be told to unlock at once; a transaction that waits
    does so there."""
    wait = {"op": "wait", "table": "T", "where": [], "columns": ["name"], "until": "!="}
    wait |= {"rows": []}
    with directory() as path:
        server = Daemon("pyvs", path, SCHEMA)
        pids = []
        environment = {**os.environ, "OVS_RUNDIR": path, "PYVS_RUNDIR": path}

        def background(name, *words):
            options = ["--detach", "--no-chdir", f"--pidfile={path}/{name}"]
            with open(f"{path}/{name}.out", "w") as out:
                command = [*client, *options, *words]
                subprocess.run(command, check=True, timeout=20, stdout=out, env=environment)
            pids.append(int(text(f"{name}")))

        def text(name):
            with open(f"{path}/{name}") as file:
                return file.read()

        try:
            background("first", "lock", server.remote, "l")
            background("second", "lock", server.remote, "l")
            background("third", "transact", server.remote, json.dumps(["D", wait]))
            [target] = glob.glob(f"{path}/*ovsdb-client.{pids[0]}.ctl")
            program = "import sys; from pyvs_tools.appctl import main; sys.exit(main())"
            command = [sys.executable, "-c", program, "-t", target, "unlock", "l"]
            subprocess.run(command, check=True, timeout=20)
            wait_until(lambda: text("second.out").count("\n") == 3, "the lock")
            assert text("first.out") == '{"locked":true}\n{}\n'
            assert text("second.out") == '{"locked":false}\nlocked\n["l"]\n'
            assert text("third.out") == ""
            server.client().transact("D", insert("T", name="x"))
            wait_until(lambda: text("third.out") == "[{}]\n", "the transaction")
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            server.stop()
