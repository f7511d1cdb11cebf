"""Database server side by side with ovsdb-server: transactions, monitors, start, compaction.

    python -m bench.ovsdb [--seconds N] [--rows N] [SERVER...]

SERVER is a command; the default are pyvs-ovsdb-server and, where it is installed,
ovsdb-server.  They are measured in turns, round after round, so that what else the machine
does meets all alike.  Prints a line for each measurement, with a figure for each server and
the median of the rounds' ratios of the first to the last.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

import ovs.unixctl.client

from ovsdb.data.uuids import new_uuid
from ovsdb.storage import files
from ovsdb.storage.log import encode_record

ROUNDS = 6
LOG_SIZE = 50_000_000

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
    """A database server in a directory of its own, with an empty database."""

    def __init__(self, command: list[str]):
        self.name = "pyvs" if "ovsdb.main" in command else os.path.basename(command[0])
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
                Client(self.path).call("get_schema", ["Bench"])
                return time.perf_counter() - begin
            except OSError:
                if self.process.poll() is not None:
                    raise RuntimeError(f"{self.command[0]} did not start") from None
                time.sleep(0.005)

    def restart(self, database: str) -> float:
        """Start anew with a copy of another file; the seconds until the first reply."""
        self.stop()
        shutil.copy(database, self.database)
        return self.start()

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

    def cpu(self) -> float:
        """Seconds of processor time that the main thread has used."""
        with open(f"/proc/{self.process.pid}/schedstat") as file:
            return int(file.read().split()[0]) / 1e9

    def control(self, command: str) -> None:
        """Run a control command."""
        error, client = ovs.unixctl.client.UnixctlClient.create(os.path.join(self.directory, "ctl"))
        if error:
            raise OSError(error, os.strerror(error))
        error, failure, _reply = client.transact(command, [])
        client.close()
        if error or failure:
            raise RuntimeError(f"{command}: {failure or os.strerror(error)}")


def insert(number: int) -> dict:
    row = {"name": f"thing{number}", "number": number, "options": ["map", [["a", str(number)]]]}
    return {"op": "insert", "table": "Thing", "row": row}


def update(number: int) -> dict:
    where = [["name", "==", f"thing{number % 100}"]]
    return {"op": "update", "table": "Thing", "where": where, "row": {"number": number}}


# --- logs to start with


def write_log(path: str, size: int, records: Callable[[int], dict]) -> None:
    """A database file of `size` bytes; records(number) makes its records."""
    files.create(path, SCHEMA)
    with open(path, "ab") as file:
        number = 0
        while file.tell() < size:
            file.write(encode_record({**records(number), "_date": 1700000000000}))
            number += 1


def changes(rows: int) -> Callable[[int], dict]:
    """Records that add `rows` rows and then change a number in one after the other."""
    uuids = [new_uuid() for _ in range(rows)]

    def record(number: int) -> dict:
        uuid = uuids[number % rows]
        row = insert(number)["row"] if number < rows else {"number": number}
        return {"Thing": {uuid: row}, "_is_diff": True}

    return record


def large_rows(number: int) -> dict:
    """A record of 100 rows of about 1 KB each."""
    rows = {}
    for each in range(number * 100, number * 100 + 100):
        options = [[f"key{key}", f"{each:08} and what else is in a value"] for key in range(18)]
        rows[new_uuid()] = {**insert(each)["row"], "options": ["map", options]}
    return {"Thing": rows, "_is_diff": True}


# --- measurements: each returns one figure


PAUSE = 0.001  # s between an answer and the next question of a client that has other things to do


def asked_at_once(server: Server, seconds: float) -> float:
    """Transactions per second, each sent after the reply to the one before."""
    return one_at_a_time(server, seconds, 0)[0]


def asked_after_a_pause(server: Server, seconds: float) -> float:
    """Transactions per second of the time that a client waits for replies, where it pauses before
    each: the server has slept, and its caches are cold."""
    return one_at_a_time(server, seconds, PAUSE)[0]


def one_at_a_time(server: Server, seconds: float, pause: float) -> tuple[float, int]:
    """(transactions per second of waiting, transactions)"""
    client = Client(server.path)
    requests = [
        json.dumps({"method": "transact", "params": ["Bench", update(n)], "id": n}).encode()
        for n in range(1000)
    ]
    end = time.perf_counter() + seconds
    waited = 0.0
    count = 0
    begin = time.perf_counter()
    while begin < end:
        client.sock.sendall(requests[count % 1000])
        client.sock.recv(65536)
        waited += time.perf_counter() - begin
        count += 1
        if pause:
            time.sleep(pause)
        begin = time.perf_counter()
    return count / waited, count


def processor_time(server: Server, seconds: float, pause: float = 0) -> float:
    """Microseconds of the processor for each transaction of one_at_a_time().

    Other processes of the machine disturb it less than they do the rate.
    """
    used = server.cpu()
    _rate, count = one_at_a_time(server, seconds, pause)
    return (server.cpu() - used) / count * 1e6


def processor_time_of_an_idl(server: Server, seconds: float) -> float:
    """The same for what a client with a copy of the database sends: a condition that nothing has
    changed, changes of a row by its UUID, a new row, all in one; and with Python's own JSON."""
    client = Client(server.path)
    where = [["name", "==", "thing1"]]
    select = {"op": "select", "table": "Thing", "where": where, "columns": ["_uuid", "number"]}
    [row] = client.call("transact", ["Bench", select])["result"][0]["rows"]
    by_uuid = [["_uuid", "==", row["_uuid"]]]
    used = server.cpu()
    begin = time.perf_counter()
    count = 0
    number = row["number"]
    while time.perf_counter() - begin < seconds:
        wait = {"op": "wait", "table": "Thing", "where": by_uuid, "columns": ["number"]}
        wait |= {"until": "==", "rows": [{"number": number}], "timeout": 0}
        number += 1
        values = {"number": number, "options": ["map", [["a", str(number)], ["b", "c"]]]}
        change = {"op": "update", "table": "Thing", "where": by_uuid, "row": values}
        tags = {"op": "mutate", "table": "Thing", "where": by_uuid}
        tags["mutations"] = [["tags", "delete", ["set", ["y"]]], ["tags", "insert", ["set", ["x"]]]]
        reply = client.call("transact", ["Bench", wait, change, tags])
        assert reply["result"][1:] == [{"count": 1}] * 2, reply
        count += 1
    return (server.cpu() - used) / count * 1e6


def pipelined(server: Server, seconds: float) -> float:
    """Transactions per second, 500 sent at once."""
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


def first_reply(server: Server) -> float:
    """Milliseconds to the first reply to a monitor of all rows."""
    client = Client(server.path)
    begin = time.perf_counter()
    client.call("monitor_cond", ["Bench", 1, {"Thing": [{}]}])
    return (time.perf_counter() - begin) * 1000


def fan_out(server: Server) -> float:
    """Updates per second to 50 monitors."""
    client = Client(server.path)
    watchers = [Client(server.path) for _ in range(50)]
    for watcher in watchers:
        watcher.call("monitor_cond", ["Bench", 1, {"Thing": [{}]}])
    begin = time.perf_counter()
    rounds = 50
    for number in range(rounds):
        change = {**update(number), "row": {"number": time.monotonic_ns()}}
        client.call("transact", ["Bench", change])
        for watcher in watchers:
            watcher.receive()
    return rounds * len(watchers) / (time.perf_counter() - begin)


def longest_wait(server: Server) -> float:
    """The longest time in ms that an echo took while the server compacted its database."""
    client = Client(server.path)
    client.call("echo", [])
    compaction = threading.Thread(target=server.control, args=("ovsdb-server/compact",))
    compaction.start()
    longest = 0.0
    while compaction.is_alive():
        begin = time.perf_counter()
        client.call("echo", [])
        longest = max(longest, time.perf_counter() - begin)
        time.sleep(0.001)
    compaction.join()
    return longest * 1000


# --- the whole


def report(what: str, unit: str, servers: list[Server], rounds: list[list[float]]) -> None:
    """Print a line; `rounds` has the figures of all servers for each round."""
    figures = [statistics.median(figure) for figure in zip(*rounds, strict=True)]
    pairs = zip(servers, figures, strict=True)
    texts = [f"{server.name} {figure:8.0f} {unit}" for server, figure in pairs]
    if len(servers) > 1:
        texts.append(f"ratio {statistics.median(each[0] / each[-1] for each in rounds):5.2f}")
    print(f"{what:38} {'  '.join(texts)}", flush=True)


def in_turns(
    servers: list[Server], count: int, measure: Callable[[Server], float]
) -> list[list[float]]:
    """Measure all servers `count` times, first and last in turn."""
    rounds = []
    for number in range(count):
        order = servers if number % 2 == 0 else servers[::-1]
        figures = [measure(server) for server in order]
        rounds.append(figures if number % 2 == 0 else figures[::-1])
    return rounds


def run(
    servers: list[Server], seconds: float, rows: int, directory: str, only_one: bool = False
) -> None:
    """All measurements, or only those of one transaction at a time."""

    def show(what: str, unit: str, measure: Callable[[Server], float], count: int = 1) -> None:
        report(what, unit, servers, in_turns(servers, count, measure))

    each = seconds / ROUNDS
    for server in servers:
        Client(server.path).call("transact", ["Bench", *[insert(n) for n in range(100)]])
    show("transactions one at a time", "/s", lambda s: asked_at_once(s, each), ROUNDS)
    show("  processor time of one", "us", lambda s: processor_time(s, each), ROUNDS)
    show("after a pause of 1 ms", "/s", lambda s: asked_after_a_pause(s, each), ROUNDS)
    show("  processor time of one", "us", lambda s: processor_time(s, each, PAUSE), ROUNDS)
    show("  of one of an IDL", "us", lambda s: processor_time_of_an_idl(s, each), ROUNDS)
    if only_one:
        return
    show("transactions pipelined", "/s", lambda s: pipelined(s, each), ROUNDS)
    for server in servers:
        client = Client(server.path)
        for first in range(1000, 1000 + rows, 1000):
            client.call("transact", ["Bench", *[insert(first + n) for n in range(1000)]])
    show(f"first reply to a monitor, {rows} rows", "ms", first_reply, 3)
    show("updates to 50 monitors", "/s", fan_out, 3)
    show(f"resident memory, {rows} rows", "KiB", Server.memory)

    log = os.path.join(directory, "changes")
    write_log(log, LOG_SIZE, changes(rows))
    show(f"start, 50 MB of changes to {rows} rows", "ms", lambda s: 1000 * s.restart(log), 3)
    show("  resident memory", "KiB", Server.memory)
    log = os.path.join(directory, "rows")
    write_log(log, LOG_SIZE, large_rows)
    show("start, 50 MB of rows", "ms", lambda s: 1000 * s.restart(log), 3)
    show("  resident memory", "KiB", Server.memory)
    show("  longest echo while compacting", "ms", longest_wait, 3)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rows", type=int, default=10000)
    parser.add_argument("--one-at-a-time", action="store_true", help="only these measurements")
    parser.add_argument("servers", nargs="*")
    args = parser.parse_args(argv)
    commands = [server.split() for server in args.servers]
    if not commands:
        commands = [[sys.executable, "-m", "ovsdb.main"]]
        if shutil.which("ovsdb-server"):
            commands.append(["ovsdb-server"])
    servers: list[Server] = []
    try:
        servers += [Server(command) for command in commands]
        with tempfile.TemporaryDirectory(prefix="pyvs-bench-") as directory:
            run(servers, args.seconds, args.rows, directory, args.one_at_a_time)
    finally:
        for server in servers:
            server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
