"""ovsdb-client --detach --pidfile: the file says who it is, for as long as there is somebody."""

import os
import signal
import subprocess
import sys

import pytest

from tests.ovsdb.ovsdb_world import Daemon, directory, wait_until

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
