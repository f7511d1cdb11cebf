"""The control commands, beside those of Open vSwitch's server."""

import contextlib
import os
import re
import signal

import pytest

from tests.ovsdb.ovsdb_world import Daemon, RpcError, directory, insert, needs_ovs, wait_until

SCHEMA = {
    "name": "Things",
    "version": "1.0.0",
    "tables": {
        name: {
            "isRoot": True,
            "columns": {
                "name": {"type": "string"},
                "number": {"type": {"key": "integer", "min": 0, "max": 3}},
                "tags": {
                    "type": {"key": "string", "value": "string", "max": "unlimited", "min": 0}
                },
                "on": {"type": "boolean"},
            },
        }
        for name in ("Thing", "Other")
    },
}


@pytest.fixture(params=["pyvs", pytest.param("ovs", marks=needs_ovs)])
def server(request):
    with directory() as where:
        made = Daemon(request.param, where, SCHEMA, options=[f"--log-file={where}/log"])
        try:
            yield made
        finally:
            made.kill()


def log(server):
    with open(f"{server.directory}/log") as file:
        return file.read()


@needs_ovs
def test_no_command_of_ovs_is_missing():
    names = {}
    with directory() as where:
        for kind in ("pyvs", "ovs"):
            server = Daemon(kind, where, SCHEMA)
            try:
                out = server.control("list-commands")
            finally:
                server.kill()
            names[kind] = set(re.findall(r"^  (\S+)", out, re.MULTILINE))
    assert "ovsdb-server/tlog-set" in names["ovs"]
    assert names["ovs"] <= names["pyvs"]


def test_changes_are_logged_as_tlog_says(server):
    for words, message in [
        (("Things:Nothing", "on"), "no such table"),
        (("Nothing:Thing", "on"), "no such database"),
        (("Things", "on"), "invalid DB:TABLE argument"),
        (("Things:Thing", "maybe"), "invalid command argument"),
    ]:
        assert message in server.control("ovsdb-server/tlog-set", *words, check=False)
    server.control("ovsdb-server/tlog-set", "Things:Thing", "on")
    listed = server.control("ovsdb-server/tlog-list")
    assert re.search(r"^ +Thing +ON$", listed, re.MULTILINE)
    assert re.search(r"^ +Other +OFF$", listed, re.MULTILINE)
    client = server.client()
    row = {"number": ["set", [1, 2]], "tags": ["map", [["a", "b c"]]]}
    client.transact("Things", insert("Thing", name="x-1", **row), insert("Other", name="o"))
    where = [["name", "==", "x-1"]]
    change = {"op": "update", "table": "Thing", "where": where, "row": {"number": 7}}
    client.transact("Things", change)
    client.transact("Things", {"op": "delete", "table": "Thing", "where": where})
    server.control("ovsdb-server/tlog-set", "Things:Thing", "off")
    client.transact("Things", insert("Thing", name="silent"))
    client.close()
    wait_until(lambda: "op:deleted" in log(server), "the log")
    lines = re.findall(r"transaction\|INFO\|table:(\w+),op:(\w+),(.*)", log(server))
    assert [(table, what) for table, what, _ in lines] == [
        ("Thing", "inserted"),
        ("Thing", "updated"),
        ("Thing", "deleted"),
    ]
    for shown, number in zip(lines, ("number:[1, 2]", "number:[7]", "number:[7]"), strict=True):
        for part in ("name:x-1", number, 'tags:{a="b c"}', "on:false"):
            assert part in shown[2]


def test_without_conditional_monitors(server):
    client = server.client()
    client.request("monitor_cond", ["Things", "x", {"Thing": [{}]}])
    server.control("ovsdb-server/disable-monitor-cond")
    client.close()
    client = server.client()
    for method, more in (("monitor_cond", []), ("monitor_cond_since", ["0" * 8])):
        with pytest.raises(RpcError, match="unknown method"):
            client.request(method, ["Things", "x", {"Thing": [{}]}, *more])
    assert client.request("monitor", ["Things", "x", {"Thing": [{}]}]) == {}
    client.close()


def test_memory_is_trimmed_if_wanted(server):
    command = "ovsdb-server/memory-trim-on-compaction"
    assert "invalid argument" in server.control(command, "x", check=False)
    server.control(command, "on")
    server.control("ovsdb-server/compact")
    server.control(command, "off")
    wait_until(lambda: "memory trimming after compaction disabled" in log(server), "the log")


def test_small_ones(server):
    command = "ovsdb-server/set-active-ovsdb-server-probe-interval"
    assert server.control(command, "20000") == ""
    assert "integer value expected" in server.control(command, "x")
    assert "not supported" in server.control("ovsdb-server/perf-counters-show")
    for word in ("disable", "enable"):
        assert server.control(f"vlog/{word}-rate-limit") == ""
        assert "unknown module" in server.control(f"vlog/{word}-rate-limit", "nope", check=False)


def _child(pid):
    """The process that a monitor watches, or None for a moment."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return next(iter(file.read().split()), None)


@pytest.mark.parametrize("kind", ["pyvs", pytest.param("ovs", marks=needs_ovs)])
def test_what_commands_added_is_there_after_a_crash(kind):
    other = {**SCHEMA, "name": "Added"}
    with directory() as where, contextlib.ExitStack() as stack:
        helper = Daemon(kind, where, other)  # (only to have a file with this schema)
        helper.kill()
        server = Daemon(kind, where, SCHEMA, options=["--monitor"])
        stack.callback(server.stop)
        # Open vSwitch's monitor, when it is ended, leaves what it watches running.
        stack.callback(server.control, "exit", check=False)
        server.control("ovsdb-server/add-db", f"{where}/{kind}-Added.db")
        server.control("ovsdb-server/remove-db", "Things")
        server.control("ovsdb-server/add-remote", f"punix:{where}/more")
        before = _child(server.process.pid)
        os.kill(int(before), signal.SIGSEGV)
        wait_until(lambda: _child(server.process.pid) not in (None, before), "another process")
        wait_until(server._listens, "it to listen")
        wait_until(lambda: "Added" in server.control("ovsdb-server/list-dbs", check=False), "Added")
        assert set(server.control("ovsdb-server/list-dbs").split()) == {"Added", "_Server"}
        remotes = server.control("ovsdb-server/list-remotes").split()
        assert sorted(remotes) == sorted([f"punix:{where}/more", f"punix:{server.socket}"])
