"""kill -9 under concurrent writers: what was acknowledged is there, and nothing by halves."""

import json
import os
import random
import threading

import pytest

from ovsdb.storage import files
from pyvs_tools.ovsdb import rpc as ovsdb_rpc
from tests.ovsdb.ovsdb_world import Client, Daemon, directory, insert, select

PAIRS = {
    "name": "Pairs",
    "version": "1.0.0",
    "tables": {
        name: {
            "isRoot": True,
            "indexes": [["n"]],
            "columns": {"n": {"type": "integer"}, "padding": {"type": "string"}},
        }
        for name in ("A", "B")
    },
}
WRITERS = 3
# PYVS_TEST_KILLS=300 for a long run.
KILLS = int(os.environ.get("PYVS_TEST_KILLS", "8"))


class Writer(threading.Thread):
    """Inserts pairs of rows, durably, until the connection breaks; `acknowledged` are those
    that the server said it has."""

    def __init__(self, client, first):
        super().__init__(daemon=True)
        self.client = client
        self.number = first
        self.acknowledged = []
        self.refused = []

    def run(self):
        try:
            while True:
                n = self.number
                padding = "x" * (n % 500)
                results = self.client.transact(
                    "Pairs",
                    insert("A", n=n, padding=padding),
                    insert("B", n=n, padding=padding),
                    {"op": "commit", "durable": True},
                )
                if any("error" in result for result in results):
                    self.refused.append(results)
                    return
                self.acknowledged.append(n)
                self.number += 1
        except (ovsdb_rpc.Disconnected, OSError, TimeoutError):
            return


def write_until_killed(server, chance, first):
    """Have writers at work, kill the server at a random moment; what they have acknowledged."""
    writers = [Writer(server.client(), first + k * 10_000_000) for k in range(WRITERS)]
    for writer in writers:
        writer.start()
    goal = chance.randrange(1, 60)
    while sum(len(writer.acknowledged) for writer in writers) < goal:
        assert not any(writer.refused for writer in writers)
        if not any(writer.is_alive() for writer in writers):
            raise AssertionError("all writers ended: " + server.log)
    server.kill()
    for writer in writers:
        writer.join(10)
        assert not writer.is_alive() and not writer.refused
        writer.client.close()
    return {n for writer in writers for n in writer.acknowledged}


def pairs(results):
    """The numbers in the two tables, which must be the same."""
    a, b = ({row["n"] for row in result["rows"]} for result in results)
    assert a == b, "half a transaction"
    return a


SELECTS = [select("A", columns=["n"]), select("B", columns=["n"])]


@pytest.mark.timeout(60 + 5 * KILLS)
def test_kill_in_a_loop():
    chance = random.Random(1)
    with directory() as where:
        server = Daemon("pyvs", where, PAIRS)
        expected = set()
        try:
            for attempt in range(KILLS):
                expected |= write_until_killed(server, chance, attempt * 10_000)
                server.start()
                client = server.client()
                found = pairs(client.transact("Pairs", *SELECTS))
                client.close()
                assert expected <= found
                expected = found
        finally:
            server.kill()


def test_file_cut_anywhere_has_whole_transactions(tmp_path):
    """A file cut at any place holds the first so many transactions, each of them whole."""
    with directory() as where:
        server = Daemon("pyvs", where, PAIRS)
        write_until_killed(server, random.Random(2), 0)
        path = server.databases[0]
        with open(path, "rb") as file:
            data = file.read()
    chance = random.Random(3)
    copy = str(tmp_path / "copy.db")
    head = data.index(b"OVSDB JSON", 10)  # the schema is the first record
    order = []
    for line in data.split(b"\n")[3::2]:
        order += [row.get("n", 0) for row in json.loads(line)["A"].values()]
    for _ in range(60):
        size = chance.randrange(head, len(data) + 1)
        with open(copy, "wb") as file:
            file.write(data[:size])
        database = files.open_database(copy)
        database.file.close()
        a, b = ({row["n"][0] for row in database.tables[name].rows.values()} for name in ("A", "B"))
        assert a == b == set(order[: len(a)])


def test_client_sees_the_end_of_the_connection():
    """A server that is killed leaves its clients with an end of file, not waiting."""
    with directory() as where:
        server = Daemon("pyvs", where, PAIRS)
        client = server.client()
        assert isinstance(client, Client)
        server.kill()
        try:
            client.request("echo", [])
        except ovsdb_rpc.Disconnected:
            return
        raise AssertionError("an answer of a dead server")
