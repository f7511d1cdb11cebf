"""What clients may do without harm to others: not reading, coming in masses, sending much."""

import json
import os
import resource
import select as polling
import socket
import time

import pytest

from ovsdb.data.errors import compact
from ovsdb.followers import relay
from ovsdb.serving import rpc, service, session
from ovsdb.serving import server as ovsdb_server
from ovsdb.serving.service import Service
from ovsdb.serving.session import Session
from ovsdb.storage import files
from ovsdb.transactions.operations import execute
from pyvs_tools.ovsdb.rpc import Disconnected
from tests.ovsdb.ovsdb_world import Daemon, RpcError, directory, insert, select, wait_until

BLOBS = {
    "name": "Blobs",
    "version": "1.0.0",
    "tables": {
        "T": {"isRoot": True, "columns": {"name": {"type": "string"}, "blob": {"type": "string"}}}
    },
}
MONITOR = {"method": "monitor", "params": ["Blobs", "m", {"T": {}}], "id": 0}


@pytest.fixture(scope="module")
def server():
    with directory() as path:
        started = Daemon("pyvs", path, BLOBS)
        yield started
        assert started.process.poll() is None, started.log
        started.stop()


@pytest.fixture
def client(server):
    made = server.client()
    yield made
    made.transact("Blobs", {"op": "delete", "table": "T", "where": []})
    made.close()


def update(blob):
    return {"op": "update", "table": "T", "where": [], "row": {"blob": blob}}


def test_who_does_not_read_updates_is_let_go(server, client):
    """Memory stays bounded, and the others get every update."""
    client.transact("Blobs", insert("T"))
    deaf = server.connect()
    deaf.sendall(json.dumps(MONITOR).encode())
    good = server.client()
    good.request("monitor", MONITOR["params"])
    before = server.memory()
    size, rounds = 500_000, rpc.MAX_BACKLOG // 1_000_000 + 30
    for number in range(rounds):
        client.transact("Blobs", update(f"{number:0{size}}"))
        [(_, params)] = good.notifications()
        [row] = params[1]["T"].values()
        assert row["new"]["blob"].endswith(f"0{number}")
    assert server.memory() - before < 3 * rpc.MAX_BACKLOG / 1024
    # It was disconnected: what the kernel holds for it ends.
    while deaf.recv(1 << 20):
        pass
    deaf.close()
    good.close()
    wait_until(lambda: "does not read" in server.log, "a word in the log")


def test_who_does_not_read_replies_is_not_read_from(server, client):
    """Requests pile up in the client's own socket, not in the server."""
    client.transact("Blobs", insert("T", blob="x" * 1_000_000))
    greedy = server.connect()
    greedy.setblocking(False)
    before = server.memory()
    request = json.dumps({"method": "transact", "params": ["Blobs", select("T")], "id": 1}).encode()
    request += b" " * 2000
    sent = 0
    poller = polling.poll()
    poller.register(greedy, polling.POLLOUT)
    while poller.poll(300):
        sent += greedy.send(request[sent % len(request) :])
        client.request("echo", [])
    assert sent < 50_000_000, "the server goes on reading"
    assert server.memory() - before < 150_000
    greedy.close()


def test_ten_megabytes(client):
    blob = "ä€" * 2_000_000
    assert "uuid" in client.transact("Blobs", insert("T", blob=blob))[0]
    assert client.transact("Blobs", select("T", columns=["blob"]))[0]["rows"] == [{"blob": blob}]


def test_one_client_in_pieces_does_not_stop_the_others(server, client):
    """A message that comes bit by bit, and never ends, costs its sender only."""
    slow = server.connect()
    slow.sendall(b'{"method":"echo","params":["')
    for _ in range(200):
        slow.sendall(b"x" * 1000)
        assert client.request("echo", [1]) == [1]
    slow.close()


def test_what_a_client_left_unfinished_goes_with_it(server, client):
    """At once, and not when the collector comes: that may be much later."""

    def memory():
        with open(f"/proc/{server.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    before = memory()
    for _ in range(40):
        leaving = server.connect()
        leaving.sendall(b'{"method":"echo","params":["' + b"x" * (4 << 20))
        leaving.close()
        assert client.request("echo", [1]) == [1]
    wait_until(lambda: memory() < before + (40 << 10), "the memory")


def test_a_thousand_connections(server, client):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1100:
        pytest.skip("too few descriptors are allowed")
    assert client.request("echo", []) == []  # it is accepted, and counted
    descriptors = len(os.listdir(f"/proc/{server.process.pid}/fd"))
    for _ in range(10):
        socks = [server.connect() for _ in range(100)]
        for number, sock in enumerate(socks):
            if number % 3 == 0:
                sock.sendall(json.dumps(MONITOR).encode()[: number + 1])
        for sock in socks:
            sock.close()
    assert client.request("echo", []) == []
    wait_until(
        lambda: len(os.listdir(f"/proc/{server.process.pid}/fd")) <= descriptors,
        "the descriptors to be closed",
    )


def test_without_descriptors_it_waits_for_better_times(server):
    """No spinning, no end: who is connected is served on, and who waits comes in later."""
    with directory() as path:
        poor = Daemon("pyvs", path, BLOBS)
        try:
            used = len(os.listdir(f"/proc/{poor.process.pid}/fd"))
            limit = used + 5
            resource.prlimit(poor.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
            first = poor.client()
            crowd = [poor.connect() for _ in range(20)]
            assert first.request("echo", []) == []
            for sock in crowd:
                sock.close()
            late = poor.client()
            assert late.request("echo", []) == []
        finally:
            poor.stop()


def test_many_monitors(server, client):
    """200 clients get each update; equal monitors share the work."""
    watchers = [server.client() for _ in range(200)]
    for watcher in watchers:
        watcher.request("monitor_cond", ["Blobs", "m", {"T": [{"columns": ["name"]}]}])
    client.transact("Blobs", insert("T", name="a"), insert("T", name="b"))
    for watcher in watchers:
        message = watcher.notification()
        assert len(message["params"][1]["T"]) == 2
        watcher.close()


def test_backlog_counts_what_was_written(monkeypatch):
    """Bytes that were written make room; replies do not count as what the client must read."""
    monkeypatch.setattr(rpc, "MAX_BACKLOG", 1000)
    made = Session(Service(), "s")
    made.reply(1, "x" * 5000)
    assert not made.closed
    made.notify("update", ["x" * 500])
    assert not made.closed
    made.written(made.backlog)
    made.output.clear()
    made.notify("update", ["x" * 600])
    assert not made.closed
    made.notify("update", ["x" * 600])
    assert made.closed and made.backlog == 0


def test_what_is_wrong_is_shown_in_part():
    """An error about megabytes reads 4096 characters of them, and says the same of those."""
    rows = [{"b": [1.0, "x" * 9], "a": {}}] * 1000
    short = compact(rows)
    assert short.startswith('[{"a":{},"b":[1,"xxxxxxxxx"]},') and short.endswith("...")
    assert compact(rows * 1000) == short and len(short) == 4096
    names = {f"{number:07}": [] for number in reversed(range(100_000))}
    assert compact(names).startswith('{"0000000":[],"0000001":[],')
    assert compact([10**400, 2**64]) == "[null,1.84467440737096e+19]"
    began = time.thread_time()
    compact(rows * 1000)
    assert time.thread_time() - began < 0.2


def test_sockets_are_for_their_owner(server):
    assert os.stat(server.socket).st_mode & 0o077 == 0


def test_socket_of_a_dead_server_is_taken_over():
    with directory() as path:
        started = Daemon("pyvs", path, BLOBS)
        started.kill()
        assert os.path.exists(started.socket)
        started.start()
        assert started.client().request("echo", []) == []
        started.stop()
        assert not os.path.exists(started.socket)
        with pytest.raises(OSError):
            socket.socket(socket.AF_UNIX).connect(started.socket)


# --- what one client may have


def test_locks_waits_and_monitors_of_one_client(server):
    """Beyond its share it is told so; another client has its own."""
    greedy, other = server.client(), server.client()
    for number in range(service.MAX_LOCKS):
        greedy.request("lock", [f"l{number}"])
    for number in range(session.MAX_MONITORS):
        greedy.request("monitor", ["Blobs", number, {"T": {}}])
    wait = {"op": "wait", "table": "T", "where": [], "columns": ["name"], "until": "==", "rows": []}
    wait["rows"] = [{"name": "never"}]
    for number in range(service.MAX_WAITING):
        greedy.send({"id": f"w{number}", "method": "transact", "params": ["Blobs", wait]})
    for method, params in (
        ("lock", ["one_more"]),
        ("monitor", ["Blobs", "one more", {"T": {}}]),
        ("transact", ["Blobs", wait]),
    ):
        with pytest.raises(RpcError) as caught:
            greedy.request(method, params)
        assert caught.value.error["error"] == "resources exhausted"
    assert other.request("lock", ["one_more"]) == {"locked": True}
    assert other.request("lock", ["l0"]) == {"locked": False}
    greedy.request("unlock", ["l1"])
    greedy.request("lock", ["two_more"])
    greedy.close()
    assert other.notification() == {"id": None, "method": "locked", "params": ["l0"]}
    other.close()


def test_a_remote_has_a_number_of_clients(server):
    """Further ones are let go at once, so that they know; those who are in stay."""
    with directory() as path:
        small = Daemon("pyvs", path, BLOBS, options=[f"--remote=punix:{path}/other"])
        try:
            # The limit is read when it listens.
            small.stop()
            small.start(prefix=("sh", "-c", 'ulimit -n 64; exec "$@"', "sh"))
            clients = [wait_until(lambda: _comes_in(small), "a place") for _ in range(32)]
            late = small.connect()
            assert late.recv(1) == b""
            assert clients[0].request("echo", [1]) == [1]
            other = socket.socket(socket.AF_UNIX)  # another remote has places of its own
            other.connect(f"{path}/other")
            other.sendall(b'{"id":1,"method":"echo","params":[]}')
            other.settimeout(20)
            assert other.recv(100)
            clients.pop().close()
            clients.append(wait_until(lambda: _comes_in(small), "a place that is free again"))
            assert int(small.control("coverage/read-counter", "pstream_refused")) >= 1
            for client in clients:
                client.close()
            other.close()
        finally:
            small.stop()


def _comes_in(server):
    """A client that is served, or None."""
    client = server.client()
    try:
        client.request("echo", [])
        return client
    except (OSError, Disconnected):
        client.close()
        return None


def test_unfinished_messages_of_all_clients(monkeypatch):
    """The largest goes when they are too many bytes together."""
    monkeypatch.setattr(ovsdb_server, "MAX_INPUT", 3_000_000)
    loop = ovsdb_server.Loop(Service())
    pairs = [socket.socketpair() for _ in range(3)]
    made = [
        ovsdb_server.Connection(loop, theirs, Session(loop.service, str(number)), 0)
        for number, (_ours, theirs) in enumerate(pairs)
    ]
    for size, (ours, _theirs) in zip((1_200_000, 1_700_000, 1_100_000), pairs, strict=True):
        data = b'{"id":1,"method":"echo","params":["' + b"x" * size
        ours.setblocking(False)
        while data and loop.connections:
            try:
                data = data[ours.send(data) :]
            except OSError:
                break
            loop.run(0)
    for _ in range(20):
        loop.run(0)
    assert [each.fd >= 0 for each in made] == [True, False, True]
    loop.close()
    for ours, _theirs in pairs:
        ours.close()


def test_a_relay_without_its_server():
    """So many transactions wait for it, and none of a client that has gone."""
    loop = ovsdb_server.Loop(Service())
    made = relay.Relay(loop, "D", ["unix:/nonexistent"])
    clients = [Session(loop.service, "first"), Session(loop.service, "second")]
    told = []
    for _ in range(relay.MAX_WAITING):
        assert made.forward([], lambda *answer: told.append(answer), clients[0])
    assert not made.forward([], lambda *answer: told.append(answer), clients[1])
    clients[0].close("gone")
    assert made.forward([], lambda *answer: told.append(answer), clients[1])
    assert not told
    loop.close()


def test_history_is_bounded_by_its_size():
    """A hundred changes of a large row do not keep a hundred large rows."""
    with directory() as path:
        files.create(f"{path}/db", BLOBS)
        database = files.open_database(f"{path}/db")
        execute(database, [insert("T")])
        first = database.last_txn_id
        for number in range(12):
            execute(database, [update(f"{number:0{5_000_000}}")])
        assert database.changes_since(first) is None
        assert sum(len(rows) for _, rows, _ in database.history) <= 7
        assert database.changes_since(database.last_txn_id) == []
        database.file.close()
