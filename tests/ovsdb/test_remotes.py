"""Remotes: those of the Manager table with their status and probes, active ones, and the
control commands."""

import json
import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovsdb.serving import remotes
from ovsdb.storage import files
from tests.ovsdb.ovsdb_world import Client, Daemon, directory, insert, select, wait_until

MANAGERS = "db:Open_vSwitch,Open_vSwitch,manager_options"


@pytest.fixture(scope="module")
def server():
    with directory() as path:
        schema = files.load_schema(files.SWITCH_SCHEMA)
        started = Daemon("pyvs", path, schema, options=[f"--remote={MANAGERS}"])
        client = started.client()
        client.transact("Open_vSwitch", insert("Open_vSwitch"))
        client.close()
        yield started
        started.stop()


@pytest.fixture
def client(server):
    made = server.client()
    yield made
    set_managers(made)
    made.close()


def set_managers(client, *rows):
    """Make these the managers."""
    inserts = [insert("Manager", named=f"m{n}", **row) for n, row in enumerate(rows)]
    names = ["set", [["named-uuid", f"m{n}"] for n in range(len(rows))]]
    update = {"op": "update", "table": "Open_vSwitch", "where": []}
    results = client.transact(
        "Open_vSwitch", *inserts, {**update, "row": {"manager_options": names}}
    )
    assert "error" not in results[-1], results


def manager(client):
    """The only Manager row, its status as a dict."""
    [row] = client.transact("Open_vSwitch", select("Manager"))[0]["rows"]
    return {**row, "status": dict(row["status"][1])}


def peer_of(listener):
    listener.settimeout(15)
    sock, _ = listener.accept()
    sock.settimeout(15)
    return sock


def read_message(sock):
    text = b""
    while True:
        data = sock.recv(65536)
        if not data:
            return None
        text += data
        try:
            return json.loads(text)
        except ValueError:
            continue


def _locks(client):
    status = manager(client)["status"]
    return {name: told for name, told in status.items() if name.startswith("locks_")}


def test_passive_manager(server, client):
    set_managers(client, {"target": "ptcp:0:127.0.0.1"})
    port = int(wait_until(lambda: manager(client)["status"].get("bound_port"), "the port"))
    assert manager(client)["is_connected"] is False
    sock = socket.create_connection(("127.0.0.1", port))
    other = Client(sock, "tcp")
    assert "Open_vSwitch" in other.request("list_dbs", [])
    wait_until(lambda: manager(client)["is_connected"], "is_connected")
    status = manager(client)["status"]
    assert status["state"] == "ACTIVE" and int(status["sec_since_connect"]) >= 0
    assert "n_connections" not in status  # of one
    for method, locks in (
        ("lock", {"locks_held": "a"}),
        ("steal", {"locks_lost": "a"}),
        ("unlock", {"locks_held": "a"}),
    ):
        (other if method == "lock" else client).request(method, ["a"])
        wait_until(lambda want=locks: want == _locks(client), f"the status after {method}")
    set_managers(client)
    sock.settimeout(15)
    while sock.recv(4096):  # a removed remote's clients are closed
        pass
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port))


def test_manager_that_cannot_listen(server, client):
    taken = socket.create_server(("127.0.0.1", 0))
    target = f"ptcp:{taken.getsockname()[1]}:127.0.0.1"
    set_managers(client, {"target": target})
    wait_until(lambda: "in use" in manager(client)["status"].get("last_error", ""), "the error")
    taken.close()
    wait_until(lambda: manager(client)["status"].get("state") == "ACTIVE", "another attempt")


def test_active_manager_and_backoff(server, client):
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    set_managers(client, {"target": f"tcp:127.0.0.1:{port}", "max_backoff": 1000})
    sock = peer_of(listener)
    wait_until(lambda: manager(client)["is_connected"], "is_connected")
    other = Client(sock, "tcp")
    assert other.request("echo", [7]) == [7]
    other.close()
    sock = peer_of(listener)  # it comes back
    listener.close()
    sock.close()
    wait_until(lambda: not manager(client)["is_connected"], "the end of the connection")
    wait_until(lambda: "last_error" in manager(client)["status"], "the reason")


def test_inactivity_probe(server, client):
    """A silent peer is asked for a sign of life; one that gives none is let go.  No probes
    where they are switched off."""
    listener, quiet_listener = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    target, quiet = (
        f"tcp:127.0.0.1:{each.getsockname()[1]}" for each in (listener, quiet_listener)
    )
    set_managers(
        client,
        {"target": target, "inactivity_probe": 1000},
        {"target": quiet, "inactivity_probe": 0},
    )
    sock, quiet_sock = peer_of(listener), peer_of(quiet_listener)
    for _ in range(2):
        probe = read_message(sock)
        assert probe["method"] == "echo" and probe["id"] is not None
        sock.sendall(json.dumps({"id": probe["id"], "result": [], "error": None}).encode())
    assert read_message(sock)["method"] == "echo"
    assert read_message(sock) is None, "a dead peer is kept"
    quiet_sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        quiet_sock.recv(100)
    for each in (sock, quiet_sock, listener, quiet_listener):
        each.close()


def test_strange_targets_do_no_harm(server, client):
    targets = ["nonsense", "ptcp:99999", "tcp:", "punix:/nonexistent/x", "db:Open_vSwitch,A,b", ""]
    set_managers(client, *[{"target": target} for target in targets])
    wait_until(
        lambda: "punix:/nonexistent/x: listen failed" in server.log, "a word about the socket"
    )
    assert client.request("echo", []) == []


def test_control_commands(server, client, tmp_path):
    assert server.control("ovsdb-server/list-dbs").split() == ["Open_vSwitch", "_Server"]
    assert MANAGERS in server.control("ovsdb-server/list-remotes").split()
    extra = str(tmp_path / "extra.db")
    files.create(extra, {"name": "Extra", "version": "1.0.0", "tables": {}})
    client.request("set_db_change_aware", [True])
    server.control("ovsdb-server/add-db", extra)
    assert "Extra" in client.request("list_dbs", [])
    assert "Extra" in server.control("ovsdb-server/list-dbs")
    rows = client.transact("_Server", select("Database", columns=["name"]))[0]["rows"]
    assert {"name": "Extra"} in rows
    assert "already" in server.control("ovsdb-server/add-db", extra, check=False)
    server.control("ovsdb-server/compact", "Extra")
    server.control("ovsdb-server/compact")
    server.control("ovsdb-server/remove-db", "Extra")
    assert "Extra" not in client.request("list_dbs", [])
    assert "Failed to find" in server.control("ovsdb-server/remove-db", "Extra", check=False)
    assert "no database" in server.control("ovsdb-server/compact", "zz", check=False)
    path = f"{server.directory}/more.sock"
    server.control("ovsdb-server/add-remote", "punix:" + path)
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    server.control("ovsdb-server/remove-remote", "punix:" + path)
    assert sock.recv(10) == b"" and not os.path.exists(path)
    assert "no such remote" in server.control("ovsdb-server/remove-remote", "x:y", check=False)
    assert "not a valid" in server.control("ovsdb-server/add-remote", "foo", check=False)
    assert "no database" in server.control("ovsdb-server/add-remote", "db:a,b,c", check=False)
    assert server.control("ovsdb-server/sync-status") == "state: active\n"
    memory = server.control("memory/show")
    assert all(word in memory for word in ("cells:", "monitors:", "sessions:"))
    assert "ovsdb" in server.control("vlog/list")


def test_reconnect_drops_everybody(server):
    other = server.connect()
    server.control("ovsdb-server/reconnect")
    assert other.recv(10) == b""


@given(st.text("ptcpunixsdb:,/[].0123456789", max_size=25))
def test_any_name_is_checked(name):
    try:
        remotes.check_name(name)
    except ValueError as error:
        assert name in str(error)
