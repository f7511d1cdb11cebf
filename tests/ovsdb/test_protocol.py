"""The protocol as clients see it: the same expectations hold for Open vSwitch's server."""

import contextlib
import json
import socket
import time

import pytest

from pyvs_tools.ovsdb.rpc import Disconnected
from tests.ovsdb.ovsdb_world import (
    HAVE_OVS,
    Daemon,
    RpcError,
    directory,
    insert,
    select,
)

STRINGS = {"type": {"key": "string", "min": 0, "max": "unlimited"}}
SCHEMA = {
    "name": "Small",
    "version": "1.2.3",
    "cksum": "1 2",
    "tables": {
        "T": {
            "isRoot": True,
            "columns": {"name": {"type": "string"}, "n": {"type": "integer"}, "tags": STRINGS},
        },
        "U": {"isRoot": True, "columns": {"name": {"type": "string"}}},
    },
}


def without_roots(schema):
    """The schema as servers write it: where all tables are roots, none says so."""
    copy = json.loads(json.dumps(schema))
    for table in copy["tables"].values():
        del table["isRoot"]
    return copy


ZERO = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module", params=["pyvs", pytest.param("ovs", marks=pytest.mark.peer)])
def server(request):
    if request.param == "ovs" and not HAVE_OVS:
        pytest.skip("Open vSwitch is not installed")
    with directory() as path:
        started = Daemon(request.param, path, SCHEMA)
        yield started
        assert started.process.poll() is None, started.log
        started.stop()


@pytest.fixture
def connect(server):
    """A function that makes clients."""
    made = []

    def connect():
        made.append(server.client())
        return made[-1]

    yield connect
    for client in made:
        client.close()
    cleaner = server.client()
    deletes = [{"op": "delete", "table": name, "where": []} for name in ("T", "U")]
    assert len(cleaner.transact("Small", *deletes)) == 2
    cleaner.close()


@pytest.fixture
def client(connect):
    return connect()


def error_of(client, method, *params):
    """The error that a request gets."""
    with pytest.raises(RpcError) as caught:
        client.request(method, list(params))
    error = caught.value.error
    return error if isinstance(error, str) else error["error"]


def uuid_of(results):
    return results[0]["uuid"][1]


# --- requests


def test_databases_and_schema(client):
    assert sorted(client.request("list_dbs", [])) == ["Small", "_Server"]
    assert client.request("get_schema", ["Small"]) == without_roots(SCHEMA)
    assert "Database" in client.request("get_schema", ["_Server"])["tables"]
    assert client.request("get_server_id", []) == client.request("get_server_id", [])


def test_bad_requests(server, client):
    assert error_of(client, "get_schema", "Nosuch") == "unknown database"
    assert error_of(client, "get_schema") == "syntax error"
    assert error_of(client, "get_schema", 1) == "syntax error"
    assert error_of(client, "nonsense") == "unknown method"
    assert error_of(client, "transact") == "syntax error"
    if server.kind == "pyvs":  # Open vSwitch 3.1 crashes
        assert error_of(client, "monitor", "Small", 1) == "syntax error"
    assert error_of(client, "monitor", "Small", 1, []) == "syntax error"
    assert error_of(client, "monitor", "Small", 1, {"Nosuch": {}}) == "syntax error"
    assert error_of(client, "monitor", "Small", 1, {"T": {"columns": ["zz"]}}) == "syntax error"
    assert error_of(client, "monitor", "Small", 1, {"T": {"select": {"a": True}}}) == "syntax error"
    assert error_of(client, "monitor_cancel", 1) == "unknown monitor"
    with pytest.raises(RpcError) as caught:
        client.request("unlock", ["x"])
    assert caught.value.error["details"] == 'unlock: "unlock" without "lock" or "steal"'
    assert error_of(client, "lock", "1x") == "syntax error"
    assert error_of(client, "set_db_change_aware", 1) == "syntax error"
    assert client.request("transact", ["Small"]) == []
    assert client.request("echo", ["a", {"b": [None]}]) == ["a", {"b": [None]}]


def test_server_database_is_read_only(client):
    results = client.transact("_Server", {"op": "delete", "table": "Database", "where": []})
    assert results[0]["error"] == "not allowed"
    rows = client.transact("_Server", select("Database", [["name", "==", "Small"]]))[0]["rows"]
    assert len(rows) == 1
    row = rows[0]
    assert (row["model"], row["connected"], row["leader"]) == ("standalone", True, True)
    assert json.loads(row["schema"])["name"] == "Small"


def test_results_stop_at_the_error(client):
    results = client.transact(
        "Small", insert("T", name="a"), {"op": "zz"}, insert("T"), select("T")
    )
    assert "uuid" in results[0] and results[1]["error"] == "syntax error"
    assert results[2:] == [None, None]
    assert client.transact("Small", select("T"))[0]["rows"] == []


@pytest.mark.parametrize(
    "data",
    [
        b"garbage ",
        b"[]",
        b'{"method":1,"params":[],"id":1}',
        b'{"method":"echo","params":{},"id":1}',
        b'{"a":"\xff"}',
        b'{"id":1}',
        b'{"method":"echo","params":[' + b"[" * 10000,
    ],
)
def test_broken_stream_is_closed(server, data):
    """With or without a word; and the others are served on."""
    sock = server.connect()
    sock.sendall(data)
    with contextlib.suppress(ConnectionResetError):
        while sock.recv(65536):
            pass
    sock.close()
    assert server.client().request("echo", [1]) == [1]


def test_half_a_message_waits_for_the_rest(server):
    sock = server.connect()
    text = json.dumps({"method": "echo", "params": ["}{"], "id": "}"}).encode()
    for octet in text:
        sock.sendall(bytes([octet]))
    assert json.loads(sock.recv(65536)) == {"id": "}", "result": ["}{"], "error": None}
    sock.sendall(text[:10])
    sock.shutdown(socket.SHUT_WR)
    assert sock.recv(65536) == b""
    sock.close()


def test_notifications_are_not_answered(server):
    sock = server.connect()
    sock.sendall(b'{"method":"echo","params":[1],"id":null}{"method":"echo","params":[2],"id":7}')
    assert json.loads(sock.recv(65536))["id"] == 7
    sock.close()


# --- waits


def test_wait_is_fulfilled_by_another(client, connect):
    wait = {
        "op": "wait",
        "table": "T",
        "where": [["name", "==", "a"]],
        "columns": ["n"],
        "until": "==",
        "rows": [{"n": 5}],
    }
    client.send({"method": "transact", "params": ["Small", wait, insert("U")], "id": "w"})
    other = connect()
    other.transact("Small", insert("T", name="a", n=4))
    assert client.request("echo", []) == []
    assert client.pending == []
    assert other.transact("Small", select("U"))[0]["rows"] == []
    other.transact("Small", {"op": "update", "table": "T", "where": [], "row": {"n": 5}})
    message = client.receive()
    assert message["id"] == "w" and message["result"][0] == {}
    assert len(other.transact("Small", select("U"))[0]["rows"]) == 1


def test_wait_times_out(client):
    wait = {"op": "wait", "table": "T", "where": [], "until": "!=", "rows": [], "timeout": 30}
    assert client.transact("Small", wait)[0]["error"] == "timed out"
    wait["timeout"] = 0
    assert client.transact("Small", wait)[0]["error"] == "timed out"


def test_cancel(server, client):
    if server.kind == "ovs":
        pytest.skip("Open vSwitch 3.1 does not answer")
    wait = {"op": "wait", "table": "T", "where": [], "until": "!=", "rows": []}
    client.send({"method": "transact", "params": ["Small", wait], "id": ["w"]})
    client.send({"method": "cancel", "params": [["x"]], "id": None})
    client.send({"method": "cancel", "params": [["w"]], "id": None})
    assert client.receive() == {"id": ["w"], "result": None, "error": "canceled"}


# --- locks


def test_locks_queue(connect):
    first, second, third = connect(), connect(), connect()
    assert first.request("lock", ["l"]) == {"locked": True}
    assert second.request("lock", ["l"]) == {"locked": False}
    assert third.request("lock", ["l"]) == {"locked": False}
    assert first.request("lock", ["other"]) == {"locked": True}
    assert error_of(first, "lock", "l") == "syntax error"
    assertion = {"op": "assert", "lock": "l"}
    assert first.transact("Small", assertion) == [{}]
    assert second.transact("Small", assertion)[0]["error"] == "not owner"
    assert first.request("unlock", ["l"]) == {}
    assert second.notifications() == [("locked", ["l"])]
    assert second.transact("Small", assertion) == [{}]
    second.close()
    assert third.notification()["method"] == "locked"


def test_steal(connect):
    first, second, third = connect(), connect(), connect()
    assert first.request("lock", ["s"]) == {"locked": True}
    assert second.request("lock", ["s"]) == {"locked": False}
    assert third.request("steal", ["s"]) == {"locked": True}
    assert first.notifications() == [("stolen", ["s"])]
    assert error_of(second, "steal", "s") == "syntax error"
    assert first.transact("Small", {"op": "assert", "lock": "s"})[0]["error"] == "not owner"
    third.request("unlock", ["s"])
    # Who was stolen from is first in the queue again.
    assert first.notifications() == [("locked", ["s"])]
    assert second.notifications() == []


# --- monitors


def test_monitor(client, connect):
    writer = connect()
    uuid = uuid_of(writer.transact("Small", insert("T", name="a", n=1)))
    requests = {
        "T": [{"columns": ["name", "n"]}, {"columns": ["tags"], "select": {"modify": False}}]
    }
    first = client.request("monitor", ["Small", None, requests])
    assert first == {"T": {uuid: {"new": {"name": "a", "n": 1, "tags": ["set", []]}}}}
    where = [["_uuid", "==", ["uuid", uuid]]]
    update = {"op": "update", "table": "T", "where": where}
    writer.transact("Small", {**update, "row": {"n": 2, "tags": "x"}})
    writer.transact("Small", {**update, "row": {"n": 2}})
    writer.transact("Small", insert("U", name="unseen"))
    writer.transact("Small", {"op": "delete", "table": "T", "where": where})
    assert client.notifications() == [
        ("update", [None, {"T": {uuid: {"old": {"n": 1}, "new": {"name": "a", "n": 2}}}}]),
        ("update", [None, {"T": {uuid: {"old": {"name": "a", "n": 2, "tags": "x"}}}}]),
    ]


def test_own_update_comes_before_the_reply(client):
    client.request("monitor", ["Small", 1, {"T": {}}])
    client.send({"method": "transact", "params": ["Small", insert("T")], "id": 99})
    assert client.receive()["method"] == "update"
    assert client.receive()["id"] == 99


def test_monitor_ids(client):
    client.request("monitor", ["Small", {"a": [1, 2]}, {"T": {}}])
    assert error_of(client, "monitor", "Small", {"a": [1, 2]}, {"T": {}}) == "syntax error"
    assert error_of(client, "monitor_cond", "Small", {"a": [1, 2]}, {"T": {}}) == "syntax error"
    assert client.request("monitor_cancel", [{"a": [1, 2]}]) == {}
    client.transact("Small", insert("T"))
    assert client.notifications() == []
    assert client.request("monitor", ["Small", {"a": [1, 2]}, {"U": {}}]) == {}


def test_monitor_cond(client, connect):
    writer = connect()
    ids = [
        uuid_of(writer.transact("Small", insert("T", name=f"r{n}", n=n, tags="a")))
        for n in range(4)
    ]
    request = {"columns": ["n", "tags"], "where": [["n", ">=", 2]]}
    first = client.request("monitor_cond", ["Small", "m", {"T": [request]}])
    assert first == {
        "T": {
            ids[2]: {"initial": {"n": 2, "tags": "a"}},
            ids[3]: {"initial": {"n": 3, "tags": "a"}},
        }
    }

    def mutate(n, *mutations):
        where = [["_uuid", "==", ["uuid", ids[n]]]]
        operation = {"op": "mutate", "table": "T", "where": where, "mutations": list(mutations)}
        assert writer.transact("Small", operation) == [{"count": 1}]

    mutate(0, ["n", "+=", 1])  # stays outside
    mutate(1, ["n", "+=", 1])  # comes in
    mutate(2, ["n", "-=", 1])  # goes out
    mutate(3, ["tags", "insert", "b"], ["tags", "delete", "a"])
    assert client.notifications() == [
        ("update2", ["m", {"T": {ids[1]: {"insert": {"n": 2, "tags": "a"}}}}]),
        ("update2", ["m", {"T": {ids[2]: {"delete": None}}}]),
        ("update2", ["m", {"T": {ids[3]: {"modify": {"tags": ["set", ["a", "b"]]}}}}]),
    ]


def test_monitor_cond_change(client, connect):
    writer = connect()
    ids = [uuid_of(writer.transact("Small", insert("T", n=n))) for n in range(1, 4)]
    request = {"columns": ["n"], "where": [["n", "==", 1]]}
    assert ids[0] in client.request("monitor_cond", ["Small", "m", {"T": [request]}])["T"]
    change = {"T": [{"where": [["n", ">", 1]]}]}
    assert client.request("monitor_cond_change", ["m", "m2", change]) == {}
    [(method, params)] = client.notifications()
    assert method == "update2" and params[0] in ("m", "m2")
    assert params[1] == {
        "T": {
            ids[0]: {"delete": None},
            ids[1]: {"insert": {"n": 2}},
            ids[2]: {"insert": {"n": 3}},
        }
    }
    writer.transact("Small", insert("T", n=1), insert("T", n=9))
    [(_, params)] = client.notifications()
    assert params[0] == "m2"
    assert [each["insert"] for each in params[1]["T"].values()] == [{"n": 9}]
    assert error_of(client, "monitor_cond_change", "m", "m3", change) == "syntax error"
    assert error_of(client, "monitor_cond_change", "m2", "m3", {"U": []}) == "syntax error"
    client.request("monitor_cond_change", ["m2", "m2", {"T": [{"where": [False]}]}])
    assert len(client.notifications()[0][1][1]["T"]) == 3
    client.request("monitor_cond_change", ["m2", "m2", {"T": [{"where": [True]}]}])
    assert len(client.notifications()[0][1][1]["T"]) == 5


def test_monitor_cond_since(server, client, connect):
    writer = connect()
    writer.transact("Small", insert("T", name="a"))
    requests = {"T": [{"columns": ["name"]}]}
    found, last, updates = client.request("monitor_cond_since", ["Small", "m", requests, ZERO])
    assert found is False and len(updates["T"]) == 1
    uuid = uuid_of(writer.transact("Small", insert("T", name="b")))
    [(method, params)] = client.notifications()
    assert method == "update3" and params[0] == "m"
    assert params[2] == {"T": {uuid: {"insert": {"name": "b"}}}}
    if server.kind == "ovs":
        return  # has a history in clusters only
    again = connect().request("monitor_cond_since", ["Small", "m", requests, params[1]])
    assert again == [True, params[1], {}]
    writer.transact("Small", insert("T", name="c"))
    writer.transact("Small", {"op": "delete", "table": "T", "where": [["name", "==", "c"]]})
    update = {"op": "update", "table": "T", "where": [["name", "==", "b"]], "row": {"name": "d"}}
    writer.transact("Small", update)
    found, _, updates = connect().request("monitor_cond_since", ["Small", "m", requests, last])
    assert found is True
    assert updates == {"T": {uuid: {"insert": {"name": "d"}}}}
    assert error_of(client, "monitor_cond_since", "Small", "x", requests, "no") == "syntax error"


def test_monitor_of_the_server_database(client):
    requests = {"Database": [{"columns": ["name"], "where": [["name", "==", "Small"]]}]}
    first = client.request("monitor_cond", ["_Server", "s", requests])
    assert [row["initial"] for row in first["Database"].values()] == [{"name": "Small"}]


# --- conversion


def test_convert(server, connect):
    aware, unaware, other = connect(), connect(), connect()
    for each in (aware, other):
        assert each.request("set_db_change_aware", [True]) == {}
    aware.request("monitor", ["Small", "m", {"T": {}}])
    aware.request("monitor", ["_Server", "s", {"Database": {"columns": ["schema"]}}])
    unaware.request("monitor", ["Small", "m", {"T": {}}])
    other.transact("Small", insert("T", name="kept", n=3), insert("U"))
    aware.notifications()
    schema = json.loads(json.dumps(SCHEMA))
    schema["version"] = "2.0.0"
    del schema["tables"]["T"]["columns"]["n"]
    schema["tables"]["T"]["columns"]["more"] = {"type": {"key": "integer", "min": 0}}
    assert other.request("convert", ["Small", schema]) == {}
    methods = [(method, params[0]) for method, params in aware.notifications()]
    assert ("monitor_canceled", "m") in methods
    if server.kind == "pyvs":
        assert ("update", "s") in methods
    with pytest.raises(Disconnected):
        while True:
            unaware.receive()
    rows = other.transact("Small", select("T", columns=["name", "more"]))[0]["rows"]
    assert rows == [{"name": "kept", "more": ["set", []]}]
    assert other.request("get_schema", ["Small"]) == without_roots(schema)
    server.stop()
    server.start()
    fresh = connect()
    fresh.request("set_db_change_aware", [True])
    assert fresh.transact("Small", select("T", columns=["name"]))[0]["rows"] == [{"name": "kept"}]
    assert fresh.request("convert", ["Small", SCHEMA]) == {}
    with pytest.raises(RpcError):
        fresh.request("convert", ["Small", {**SCHEMA, "name": "Other"}])


def test_waits_end_with_a_conversion(client, connect):
    client.request("set_db_change_aware", [True])
    wait = {"op": "wait", "table": "T", "where": [], "until": "!=", "rows": []}
    client.send({"method": "transact", "params": ["Small", wait], "id": "w"})
    time.sleep(0.05)
    assert connect().request("convert", ["Small", SCHEMA]) == {}
    message = client.receive()
    assert message["id"] == "w" and message["error"] is not None


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [253, 254, 300, 900])
def test_deep_values_come_back(client, depth):
    """In an echo and its id, and in the text of an error."""
    client.send({"id": nested(depth), "method": "echo", "params": [nested(depth)]})
    reply = client.receive()
    assert reply["result"] == [nested(depth)] and reply["id"] == nested(depth)
    operation = {"op": "update", "table": "T", "where": [], "row": {"n": nested(depth)}}
    assert "error" in client.transact("Small", operation)[-1]


@pytest.mark.parametrize("sort", [["n"], ["name", "n"], ["tags", "n"], ["_uuid"]])
def test_select_in_order(client, sort):
    """ovsdb-server's order of sets: by their sizes first."""
    tags = [[], ["a"], ["z"], ["a", "b"], ["b"], ["A", "a", "b"], ["ä"]]
    rows = [
        insert("T", name=f"{n % 3}", n=10 - n, tags=["set", each]) for n, each in enumerate(tags)
    ]
    client.transact("Small", *rows)
    operation = {**select("T", columns=["name", "n", "tags", "_uuid"]), "sort": sort}
    found = client.transact("Small", operation)[0]["rows"]
    assert len(found) == len(tags)

    def key(row, name):
        value = row[name]
        if name == "tags":
            value = sorted(value[1] if type(value) is list else [value])
            return len(value), value
        return value

    assert found == sorted(found, key=lambda row: [key(row, name) for name in sort])


def test_select_in_no_such_order(client):
    for sort, tag in ((["nosuch"], "syntax error"), ("n", "syntax error"), (["n", "n"], None)):
        [result] = client.transact("Small", {**select("T"), "sort": sort})
        assert result["error"] == tag or tag is None
    [result] = client.transact("Small", {**select("T"), "sort": []})
    assert result == {"rows": []}


def test_versions(client):
    """A row has one from its insert on, and another after each change; no two are the same."""

    def versions():
        [result] = client.transact("Small", select("T", columns=["n", "_version"]))
        return {row["n"]: row["_version"][1] for row in result["rows"]}

    read = select("T", columns=["n", "_version"])
    result = client.transact("Small", insert("T", n=1), insert("T", n=2), insert("T", n=3), read)
    inside = {row["n"]: row["_version"][1] for row in result[-1]["rows"]}
    first = versions()
    assert inside == first and len(set(first.values())) == 3 and ZERO not in first.values()
    change = {"op": "update", "table": "T", "where": [["n", "<", 3]], "row": {"name": "x"}}
    client.transact("Small", change)
    second = versions()
    assert second[3] == first[3]
    assert len({*first.values(), *second.values()}) == 5
    client.transact("Small", change)  # nothing is another
    assert versions() == second


def test_what_it_says_at_its_start(server):
    """Nothing on a terminal, where Open vSwitch's names itself."""
    assert ("ovsdb-server (Open vSwitch" in server.log) == (server.kind == "ovs")
