"""Database server side by side with ovsdb-server: transactions, monitors, start.

    python -m bench.ovsdb [--seconds N] [--rows N] [SERVER...]

SERVER is a command; the default are pyvs-ovsdb-server and, where it is installed,
ovsdb-server.  Prints one line for each measurement and server.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from ovsdb import files

SCHEMA = {
    "name": "Bench",
    "version": "1.0.0",
    "tables": {
        "Thing": {
            "columns": {
                "name": {"type": "string"},
                "number": {"type": "integer"},
                "tags": {"type": {"key": "string", "min": 0, "max": "unlimited"}},
                "options": {
                    "type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}
                },
            },
            "isRoot": True,
            "indexes": [["name"]],
        }
    },
}


class Client:
    """A blocking client that counts replies without parsing more than it must."""

    def __init__(self, path: str):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.sock.settimeout(60)
        self.decoder = json.JSONDecoder()
        self.text = ""

    def send(self, method: str, params: list, number: int = 0) -> None:
        request = {"method": method, "params": params, "id": number}
        self.sock.sendall(json.dumps(request).encode())

    def receive(self) -> dict:
        while True:
            if self.text:
                try:
                    message, end = self.decoder.raw_decode(self.text)
                except ValueError:
                    pass
                else:
                    self.text = self.text[end:]
                    return message
            data = self.sock.recv(1 << 20)
            if not data:
                raise EOFError("the server closed the connection")
            self.text += data.decode()

    def call(self, method: str, params: list) -> dict:
        self.send(method, params)
        while True:
            reply = self.receive()
            if reply.get("id") == 0:
                return reply


class Server:
    """A database server with an empty (or given) database in a directory of its own."""

    def __init__(self, command: list[str]):
        self.directory = tempfile.mkdtemp(prefix="pyvs-bench-")
        self.database = os.path.join(self.directory, "db")
        self.path = os.path.join(self.directory, "sock")
        self.command = command
        files.create(self.database, SCHEMA)
        self.start()

    def start(self) -> float:
        """Start; returns the seconds until the first reply."""
        begin = time.perf_counter()
        self.process = subprocess.Popen(
            [
                *self.command,
                self.database,
                f"--remote=punix:{self.path}",
                "--unixctl=" + os.path.join(self.directory, "ctl"),
                "-vconsole:off",
            ],
            env={**os.environ, "PYVS_RUNDIR": self.directory, "OVS_RUNDIR": self.directory},
        )
        while True:
            try:
                Client(self.path).call("list_dbs", [])
                return time.perf_counter() - begin
            except OSError:
                if self.process.poll() is not None:
                    raise RuntimeError(f"{self.command[0]} did not start") from None
                time.sleep(0.005)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.directory)

    def memory(self) -> int:
        """Resident KiB."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def insert(number: int) -> dict:
    row = {"name": f"thing{number}", "number": number, "options": ["map", [["a", str(number)]]]}
    return {"op": "insert", "table": "Thing", "row": row}


def update(number: int) -> dict:
    where = [["name", "==", f"thing{number % 100}"]]
    return {"op": "update", "table": "Thing", "where": where, "row": {"number": number}}


def one_at_a_time(server: Server, seconds: float) -> float:
    client = Client(server.path)
    client.call("transact", ["Bench", *[insert(n) for n in range(100)]])
    requests = [
        json.dumps({"method": "transact", "params": ["Bench", update(n)], "id": n}).encode()
        for n in range(1000)
    ]
    begin = time.perf_counter()
    count = 0
    while time.perf_counter() - begin < seconds:
        client.sock.sendall(requests[count % 1000])
        client.sock.recv(65536)
        count += 1
    return count / (time.perf_counter() - begin)


def pipelined(server: Server, seconds: float) -> float:
    client = Client(server.path)
    batch = 500
    request = b"".join(
        json.dumps({"method": "transact", "params": ["Bench", update(n)], "id": n}).encode()
        for n in range(batch)
    )
    begin = time.perf_counter()
    count = 0
    while time.perf_counter() - begin < seconds:
        client.sock.sendall(request)
        replies = 0
        tail = b""
        while replies < batch:
            data = tail + client.sock.recv(1 << 20)
            replies += data.count(b'"result"')
            tail = data[-7:]
        count += batch
    return count / (time.perf_counter() - begin)


def monitors(server: Server, rows: int) -> tuple[float, float, int]:
    """Seconds to a monitor's first reply, updates per second to 50 monitors, KiB."""
    client = Client(server.path)
    for first in range(1000, 1000 + rows, 1000):
        client.call("transact", ["Bench", *[insert(first + n) for n in range(1000)]])
    begin = time.perf_counter()
    client.call("monitor_cond", ["Bench", 1, {"Thing": [{}]}])
    first_reply = time.perf_counter() - begin
    watchers = [Client(server.path) for _ in range(50)]
    for watcher in watchers:
        watcher.call("monitor_cond", ["Bench", 1, {"Thing": [{}]}])
    begin = time.perf_counter()
    rounds = 50
    for number in range(rounds):
        client.call("transact", ["Bench", update(number)])
        for watcher in watchers:
            watcher.receive()
    fanout = rounds * len(watchers) / (time.perf_counter() - begin)
    return first_reply, fanout, server.memory()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rows", type=int, default=10000)
    parser.add_argument("servers", nargs="*")
    args = parser.parse_args()
    commands = [server.split() for server in args.servers]
    if not commands:
        commands = [[sys.executable, "-m", "ovsdb.main"]]
        if shutil.which("ovsdb-server"):
            commands.append(["ovsdb-server"])
    for command in commands:
        name = "pyvs" if "ovsdb.main" in command else os.path.basename(command[0])
        server = Server(command)
        try:
            single = one_at_a_time(server, args.seconds)
            print(f"{name:14} transactions one at a time: {single:8.0f}/s")
            print(f"{name:14} transactions pipelined:     {pipelined(server, args.seconds):8.0f}/s")
            first, fanout, memory = monitors(server, args.rows)
            print(f"{name:14} first reply, {args.rows} rows:    {first * 1000:8.0f} ms")
            print(f"{name:14} updates to 50 monitors:     {fanout:8.0f}/s")
            print(f"{name:14} resident memory:            {memory:8} KiB")
            server.stop()
            size = os.path.getsize(server.database) / 1e6
            print(f"{name:14} start with a {size:3.0f} MB log:    {server.start() * 1000:8.0f} ms")
        finally:
            server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
