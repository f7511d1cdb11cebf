"""Servers that follow another: active-backup replication and relays, beside Open vSwitch's."""

import contextlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovsdb.data.database import Database
from ovsdb.data.errors import OvsdbError
from ovsdb.data.schema import DatabaseSchema
from ovsdb.followers.replication import parse_excluded
from ovsdb.followers.upstream import apply_updates, split_servers
from pyvs_tools.ovsdb import rpc as ovsdb_rpc
from tests.ovsdb.ovsdb_world import (
    HAVE_OVS,
    Daemon,
    RpcError,
    directory,
    insert,
    select,
    wait_until,
)

MANY = {"min": 0, "max": "unlimited"}
SCHEMA = {
    "name": "Repl",
    "version": "1.0.0",
    "tables": {
        "T": {
            "isRoot": True,
            "indexes": [["name"]],
            "columns": {
                "name": {"type": "string"},
                "words": {"type": {"key": "string", **MANY}},
                "parts": {"type": {"key": {"type": "uuid", "refTable": "P"}, **MANY}},
            },
        },
        "P": {"columns": {"n": {"type": "integer"}}},
        "Local": {"isRoot": True, "columns": {"name": {"type": "string"}}},
    },
}
PAIRS = [("pyvs", "pyvs"), ("ovs", "pyvs"), ("pyvs", "ovs")]


def pair(kinds, path):
    """(the kind of the leading server, of the following), with a directory for each."""
    if "ovs" in kinds and not HAVE_OVS:
        pytest.skip("Open vSwitch is not installed")
    made = [os.path.join(path, name) for name in ("active", "other")]
    for each in made:
        os.mkdir(each)
    return made


def names(client):
    results = client.transact("Repl", select("T", columns=["name"]))
    return sorted(row["name"] for row in results[0]["rows"])


def everything(client):
    """All rows but their versions, comparable: UUIDs are the same on both sides."""
    results = client.transact("Repl", select("T"), select("P"))
    rows = [row for result in results for row in result["rows"]]
    return sorted(
        str(sorted((name, str(row[name])) for name in row if name != "_version")) for row in rows
    )


def add(client, name):
    part = insert("P", named="p", n=len(name))
    row = {"name": name, "words": ["set", ["a", "b"]], "parts": ["named-uuid", "p"]}
    results = client.transact("Repl", part, insert("T", **row))
    assert "error" not in results[-1], results


@pytest.fixture(params=PAIRS, ids="-".join)
def replicated(request):
    """(active, backup)"""
    with directory() as path:
        first, second = pair(request.param, path)
        active = Daemon(request.param[0], first, SCHEMA)
        client = active.client()
        add(client, "before")
        client.close()
        options = [f"--sync-from={active.remote}", "--sync-exclude-tables=Repl:Local"]
        backup = Daemon(request.param[1], second, SCHEMA, options=options)
        yield active, backup
        active.stop()
        backup.stop()


def test_replication(replicated):
    """The backup has what the active server has, refuses writers, and takes over."""
    active, backup = replicated
    writer, reader = active.client(), backup.client()
    wait_until(lambda: names(reader) == ["before"], "the first copy")
    reader.request("monitor", ["Repl", "m", {"T": {"columns": ["name"]}}])
    for name in ("x", "y", "z"):
        add(writer, name)
    writer.transact("Repl", {"op": "delete", "table": "T", "where": [["name", "==", "y"]]})
    mutation = ["words", "insert", ["set", ["c"]]]
    mutate = {"op": "mutate", "table": "T", "where": [["name", "==", "x"]]}
    writer.transact("Repl", {**mutate, "mutations": [mutation]}, insert("Local", name="here"))
    wait_until(lambda: everything(reader) == everything(writer), "the changes")
    assert reader.transact("Repl", select("Local"))[0]["rows"] == []
    # How many depends on how many changes came at once.
    assert "update" in [method for method, _ in reader.notifications()]
    assert reader.transact("Repl", insert("T", name="no"))[0]["error"] == "not allowed"
    assert f"replicating: {active.remote}\n" in backup.control("ovsdb-server/sync-status")
    assert "exclude: Repl:Local" in backup.control("ovsdb-server/sync-status")
    active.kill()
    if backup.kind == "pyvs":
        wait_until(lambda: "connecting: " in backup.control("ovsdb-server/sync-status"), "the news")
    assert names(reader) == ["before", "x", "z"]
    backup.control("ovsdb-server/disconnect-active-ovsdb-server")
    assert backup.control("ovsdb-server/sync-status") == "state: active\n"
    add(backup.client(), "after")


def test_roles_change():
    """The old active server comes back as a backup; what the copy has is on disk."""
    with directory() as path:
        first, second = pair(("pyvs", "pyvs"), path)
        active = Daemon("pyvs", first, SCHEMA)
        backup = Daemon("pyvs", second, SCHEMA, options=[f"--sync-from={active.remote}"])
        add(active.client(), "one")
        wait_until(lambda: names(backup.client()) == ["one"], "the copy")
        active.kill()
        backup.control("ovsdb-server/disconnect-active-ovsdb-server")
        add(backup.client(), "two")
        active.options = [f"--sync-from={backup.remote}"]
        active.start()
        wait_until(lambda: names(active.client()) == ["one", "two"], "the copy back")
        backup.kill()
        backup.options = []
        backup.start()
        assert names(backup.client()) == ["one", "two"]
        for server in (active, backup):
            server.stop()


def test_control_of_replication():
    with directory() as path:
        server = Daemon("pyvs", path, SCHEMA, options=["--sync-from=unix:/nowhere", "--active"])
        control = server.control
        assert control("ovsdb-server/sync-status") == "state: active\n"
        assert control("ovsdb-server/get-active-ovsdb-server") == "unix:/nowhere\n"
        control("ovsdb-server/connect-active-ovsdb-server")
        assert control("ovsdb-server/sync-status") == "state: backup\nconnecting: unix:/nowhere\n"
        control("ovsdb-server/set-active-ovsdb-server", server.remote)  # itself
        assert "connecting" in control("ovsdb-server/sync-status")
        control("ovsdb-server/set-sync-exclude-tables", "b:y,a:x")
        assert control("ovsdb-server/get-sync-exclude-tables") == "a:x,b:y\n"
        for wrong in ("ptcp:1", "x", "_Server"):
            assert "not an active" in control(
                "ovsdb-server/set-active-ovsdb-server", wrong, check=False
            )
        server.stop()


@pytest.fixture(params=PAIRS, ids="-".join)
def relayed(request):
    """(server, relay)"""
    with directory() as path:
        first, second = pair(request.param, path)
        server = Daemon(request.param[0], first, SCHEMA)
        source = f"relay:Repl:unix:/nonexistent/sock,{server.remote}"
        relay = Daemon(request.param[1], second, databases=[source])
        yield server, relay
        server.stop()
        relay.stop()


def server_row(client):
    client.request("set_db_change_aware", [True])
    [row] = client.transact("_Server", select("Database", [["name", "==", "Repl"]]))[0]["rows"]
    return row


def has_copied(relay):
    """Whether a relay follows its server.  The sessions of clients that have not said yet that
    they follow such changes are ended when the copy comes."""
    try:
        return server_row(relay.client())["connected"]
    except ovsdb_rpc.Disconnected:
        return False


def test_relay(relayed):
    """Reads and monitors are answered there, writes go on."""
    server, relay = relayed
    wait_until(lambda: has_copied(relay), "the first copy")
    row = server_row(relay.client())
    assert (row["model"], row["leader"]) == ("relay", False)
    direct, client = server.client(), relay.client()
    assert client.request("set_db_change_aware", [True]) == {}
    client.request("monitor", ["Repl", "m", {"T": {"columns": ["name"]}}])
    add(client, "through")
    assert names(direct) == ["through"]
    wait_until(lambda: names(client) == ["through"], "the change")
    results = client.transact("Repl", insert("T", name="through"))
    assert results[-1]["error"] == "constraint violation"
    add(direct, "direct")
    wait_until(lambda: everything(client) == everything(direct), "the change")
    assert len(client.notifications()) == 2
    assert client.transact("Repl", {"op": "zz"})[0]["error"] == "syntax error"
    server.kill()
    assert names(client) == ["direct", "through"], "the copy is still readable"
    server.start()
    add(server.client(), "again")
    wait_until(lambda: names(client) == ["again", "direct", "through"], "the way back")
    add(client, "last")


def test_relay_without_a_server():
    with directory() as path:
        relay = Daemon("pyvs", path, databases=["relay:Repl:unix:/nonexistent/sock"])
        client = relay.client()
        assert sorted(client.request("list_dbs", [])) == ["Repl", "_Server"]
        with pytest.raises(RpcError, match="database not available"):
            client.request("get_schema", ["Repl"])
        assert server_row(client)["connected"] is False
        relay.control("ovsdb-server/remove-db", "Repl")
        assert "duplicate" not in relay.control("ovsdb-server/add-db", "relay:Repl:tcp:127.0.0.1:1")
        assert "expected relay" in relay.control("ovsdb-server/add-db", "relay:x", check=False)
        relay.stop()


def test_relay_takes_over_a_new_schema():
    with directory() as path:
        first, second = pair(("pyvs", "pyvs"), path)
        server = Daemon("pyvs", first, SCHEMA)
        relay = Daemon("pyvs", second, databases=[f"relay:Repl:{server.remote}"])
        wait_until(lambda: has_copied(relay), "the first copy")
        schema = {**SCHEMA, "version": "2.0.0"}
        assert server.client().request("convert", ["Repl", schema]) == {}

        def version():
            # The relay ends sessions that do not follow schema changes, perhaps this one too.
            with contextlib.suppress(ovsdb_rpc.Disconnected):
                return relay.client().request("get_schema", ["Repl"])["version"]

        wait_until(lambda: version() == "2.0.0", "the new schema")
        server.stop()
        relay.stop()


JSON = st.recursive(
    st.none() | st.integers() | st.sampled_from(["T", "P", "new", "old", "name", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["T", "P", "new", "old", "name", "parts", "a" * 36, f"{0:032x}"]), inner
        )
    ),
    max_leaves=8,
)
UPDATES = st.dictionaries(
    st.sampled_from(["T", "P", "Zz"]),
    st.dictionaries(
        st.sampled_from([f"0000000{n}-0000-4000-8000-000000000000" for n in range(3)] + ["x"]), JSON
    ),
)


@given(st.lists(JSON | UPDATES, max_size=3))
def test_any_updates_are_applied_or_refused(several):
    database = Database(DatabaseSchema.from_json(SCHEMA))
    for updates in several:
        before = {name: dict(table.rows) for name, table in database.tables.items()}
        try:
            apply_updates(database, updates, ["T"])
        except OvsdbError as error:
            assert str(error)
            assert before == {name: table.rows for name, table in database.tables.items()}


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("tcp:1.2.3.4:5", ["tcp:1.2.3.4:5"]),
        ("tcp:[::1]:5,unix:/a,b,tcp:c:1", ["tcp:[::1]:5", "unix:/a,b", "tcp:c:1"]),
    ],
)
def test_lists_of_servers(text, servers):
    assert split_servers(text) == servers


@given(st.text("ab:,", max_size=12))
def test_excluded_tables(text):
    try:
        excluded = parse_excluded(text)
    except ValueError as error:
        assert "DB:TABLE" in str(error)
    else:
        assert all(database and tables for database, tables in excluded.items())
