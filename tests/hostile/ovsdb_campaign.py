"""OVSDB's JSON-RPC (RFC 7047, ovsdb-server(7)), spoken by a grammar and then bent.

Against a server with the switch's schema, which has references, maps and constraints, and one
small database with limits, which the bystander works on, too.
"""

import contextlib
import json
import os
import shutil
import socket
import struct
import tempfile
import time

from ovsdb.storage import files
from tests.hostile.campaign import Campaign
from tests.hostile.json_values import COUNTS, TEXTS, hostile_value, mutate, nested, text
from tests.ovsdb.ovsdb_world import Daemon

SMALL = {
    "name": "Small",
    "version": "1.0.0",
    "tables": {
        "T": {
            "isRoot": True,
            "maxRows": 200,
            "indexes": [["name"]],
            "columns": {
                "name": {"type": {"key": {"type": "string", "maxLength": 2000}}},
                "n": {"type": "integer"},
                "r": {"type": {"key": "real", "min": 0}},
                "m": {"type": {"key": "string", "value": "uuid", "min": 0, "max": "unlimited"}},
                "s": {"type": {"key": "integer", "min": 0, "max": 64}},
                "kids": {"type": {"key": {"type": "uuid", "refTable": "K"}, "min": 0, "max": 9}},
                "friends": {
                    "type": {
                        "key": {"type": "uuid", "refTable": "T", "refType": "weak"},
                        "min": 0,
                        "max": "unlimited",
                    }
                },
            },
        },
        "K": {"columns": {"v": {"type": {"key": {"type": "integer", "minInteger": 0}}}}},
        "B": {"isRoot": True, "columns": {"count": {"type": "integer"}}},
    },
}
COLUMNS = ("name", "n", "r", "m", "s", "kids", "friends", "_uuid", "_version", "nosuch")
FUNCTIONS = ("==", "!=", "<", "<=", ">", ">=", "includes", "excludes", "like")
MUTATORS = ("+=", "-=", "*=", "/=", "%=", "insert", "delete", "append")


# --- the grammar


def value(rng):
    """Of some column."""
    return rng.choice(
        (
            lambda: rng.choice(TEXTS),
            lambda: rng.randrange(-5, 5),
            lambda: 1.5,
            lambda: ["set", [rng.randrange(99) for _ in range(rng.choice((0, 1, 3, 64, 65)))]],
            lambda: ["map", [[str(n), ["named-uuid", "a"]] for n in range(rng.choice((0, 1, 9)))]],
            lambda: ["named-uuid", rng.choice("abc")],
            lambda: hostile_value(rng),
        )
    )()


def row(rng):
    return {rng.choice(COLUMNS): value(rng) for _ in range(rng.choice((0, 1, 2, 5)))}


def where(rng):
    count = rng.choice((0, 0, 1, 1, 2, 9, 300))
    return [[rng.choice(COLUMNS), rng.choice(FUNCTIONS), value(rng)] for _ in range(count)]


def operation(rng):
    table = rng.choice(("T", "T", "K", "nosuch"))
    kind = rng.randrange(10)
    if kind <= 1:
        return {"op": "insert", "table": table, "row": row(rng), "uuid-name": rng.choice("abc")}
    base = {"table": table, "where": where(rng)}
    if kind == 2:
        columns = [rng.choice(COLUMNS) for _ in range(rng.choice((0, 1, 3)))]
        return {"op": "select", **base, "columns": columns, "sort": columns}
    if kind == 3:
        return {"op": "update", **base, "row": row(rng)}
    if kind == 4:
        mutations = [
            [rng.choice(COLUMNS), rng.choice(MUTATORS), value(rng)]
            for _ in range(rng.choice((0, 1, 2, 100)))
        ]
        return {"op": "mutate", **base, "mutations": mutations}
    if kind == 5:
        return {"op": "delete", **base}
    if kind == 6:
        rows = [row(rng) for _ in range(rng.choice((0, 1, 50)))]
        until = rng.choice(("==", "!="))
        timeout = rng.choice((0, 0, 1, 10, 10**9, -1))
        return {"op": "wait", **base, "rows": rows, "until": until, "timeout": timeout}
    return rng.choice(
        (
            {"op": "comment", "comment": rng.choice(TEXTS)},
            {"op": "assert", "lock": "fuzz"},
            {"op": "commit", "durable": rng.random() < 0.2},
            {"op": "abort"},
            {"op": hostile_value(rng)},
        )
    )


def monitor_request(rng):
    request = {"columns": [rng.choice(COLUMNS[:6]) for _ in range(rng.choice((0, 1, 2)))]}
    if rng.random() < 0.5:
        request["where"] = where(rng)
    if rng.random() < 0.3:
        request["select"] = {"initial": rng.random() < 0.5, "modify": rng.random() < 0.5}
    return {rng.choice("TK"): [request] * rng.choice((1, 1, 2))}


def request(rng):
    """A method and its params."""
    database = rng.choice(("Small", "Small", "Small", "Open_vSwitch", "_Server", "nosuch"))
    kind = rng.randrange(16)
    if kind < 6:
        count = rng.choice((0, 1, 1, 2, 3, 5, 30))
        return "transact", [database, *(operation(rng) for _ in range(count))]
    if kind == 6:
        return "echo", [rng.choice((nested, hostile_value))(rng)]
    if kind in (7, 8):
        name = rng.choice(("monitor", "monitor_cond", "monitor_cond_since"))
        last = ["00000000-0000-0000-0000-000000000000"] if name == "monitor_cond_since" else []
        return name, [
            database,
            rng.choice(("m", "m", hostile_value(rng))),
            monitor_request(rng),
            *last,
        ]
    if kind == 9:
        return "monitor_cond_change", ["m", rng.choice("mn"), monitor_request(rng)]
    if kind == 10:
        return "monitor_cancel", [rng.choice(("m", hostile_value(rng)))]
    if kind == 11:
        return rng.choice(("lock", "steal", "unlock")), [rng.choice(("fuzz", rng.choice(TEXTS)))]
    if kind == 12:
        return "cancel", [rng.choice((0, 1, 2, nested(rng)))]
    if kind == 13:
        return "convert", [database, mutate(rng, json.loads(json.dumps({**SMALL, "name": "No"})))]
    if kind == 14:
        return "set_db_change_aware", [rng.choice((True, False, 1))]
    return rng.choice(("get_schema", "list_dbs", "get_server_id", "nosuch")), [database]


def message(rng, number):
    method, params = request(rng)
    identity = rng.choice((number, number, number, str(number), None, hostile_value(rng)))
    made = {"method": method, "params": params, "id": identity}
    return text(rng, mutate(rng, made) if rng.random() < 0.6 else made)


# --- conversations


def converse(rng, sock, messages):
    """Say it all, as somebody who reads, reads late, or never does; leave in some way."""
    pieces = rng.choice((1, 1, 1, 2, 50))
    data = b"".join(messages)
    step = max(1, len(data) // pieces)
    reads = rng.random() < 0.7
    sock.settimeout(2)
    for at in range(0, len(data), step):
        sock.sendall(data[at : at + step])
        if reads and rng.random() < 0.3:
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.recv(1 << 16)
            sock.settimeout(2)
    ending = rng.randrange(4)
    if ending == 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif ending == 1 and reads:
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1 << 18):
            pass


class OvsdbCampaign(Campaign):
    """ovsdb-server's socket."""

    name = "ovsdb"

    def __enter__(self):
        self._directory = tempfile.mkdtemp(prefix="pyvs-hostile-")
        switch = os.path.join(self._directory, "switch.db")
        files.create(switch, files.load_schema(files.SWITCH_SCHEMA))
        self._server = Daemon(
            "pyvs",
            self._directory,
            SMALL,
            databases=[switch],
            options=["--remote=ptcp:0:127.0.0.1"],
        )
        self._good = None
        return self

    def __exit__(self, *exc):
        if self._good is not None:
            self._good.close()
        self._server.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def pids(self):
        return {"pyvs-ovsdb-server": self._server.process.pid}

    def controls(self):
        return [f"{self._directory}/pyvs.ctl"]

    def logs(self):
        return self._server.log

    def bystander(self):
        good = self._good = self._server.client()
        good.transact("Small", {"op": "insert", "table": "B", "row": {"count": 0}})
        count = 0

        def probe():
            nonlocal count
            mutation = {
                "op": "mutate",
                "table": "B",
                "where": [],
                "mutations": [["count", "+=", 1]],
            }
            read = {"op": "select", "table": "B", "where": [], "columns": ["count"]}
            results = good.transact("Small", mutation, read)
            count += 1
            assert results == [{"count": 1}, {"rows": [{"count": count}]}], results

        return probe

    def attack(self, rng):
        if rng.random() < 0.03:
            crowd = [self._server.connect() for _ in range(rng.choice((10, 100)))]
            for sock in crowd:
                sock.close()
            return
        with self._server.connect() as sock:
            count = rng.choice((1, 1, 2, 5, 20))
            messages = [message(rng, number) for number in range(count)]
            if rng.random() < 0.1:
                messages = messages[:1] * rng.choice(COUNTS)
            converse(rng, sock, messages)
        if rng.random() < 0.02:
            time.sleep(0.01)  # so that deadlines of waits pass
