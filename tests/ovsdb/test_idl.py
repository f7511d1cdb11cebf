"""The `ovs` package's IDL and ovsdbapp against our server: what controllers and agents use."""

import contextlib
import socket
import threading
import uuid as uuid_module

import ovs.db.idl
import ovs.poller
import pytest

from ovsdb.storage import files
from pyvs_tools.ovsdb.rpc import Disconnected
from tests.ovsdb.ovsdb_world import Daemon, directory, insert


@pytest.fixture(scope="module")
def server():
    with directory() as path:
        started = Daemon("pyvs", path, files.load_schema(files.SWITCH_SCHEMA))
        client = started.client()
        client.transact("Open_vSwitch", insert("Open_vSwitch"))
        client.close()
        yield started
        started.stop()


class Recorder(ovs.db.idl.Idl):
    """An IDL that remembers the events of its rows."""

    def __init__(self, server, *tables, columns=None):
        helper = ovs.db.idl.SchemaHelper(schema_json=files.load_schema(files.SWITCH_SCHEMA))
        for table in tables:
            if columns:
                helper.register_columns(table, columns)
            else:
                helper.register_table(table)
        self.events = []
        super().__init__(server.remote, helper)

    def notify(self, event, row, updates=None):
        changed = sorted(updates._data) if updates is not None else None
        self.events.append((event, row._table.name, getattr(row, "name", None), changed))


def run_until(condition, *idls):
    """Run IDLs until something holds."""
    for _ in range(2000):
        for idl in idls:
            idl.run()
        if condition():
            return
        poller = ovs.poller.Poller()
        for idl in idls:
            idl.wait(poller)
        poller.timer_wait(20)
        poller.block()
    raise AssertionError("waited in vain")


@pytest.fixture
def follow(server):
    """A function that makes IDLs which are up to date."""
    with contextlib.ExitStack() as stack:

        def make(*tables, columns=None):
            idl = Recorder(server, *tables, columns=columns)
            stack.callback(idl.close)
            run_until(idl.has_ever_connected, idl)
            return idl

        yield make


def add_bridge(idl, name, **columns):
    """Commit a bridge; the status of the transaction."""
    txn = ovs.db.idl.Transaction(idl)
    root = next(iter(idl.tables["Open_vSwitch"].rows.values()))
    bridge = txn.insert(idl.tables["Bridge"])
    bridge.name = name
    for column, value in columns.items():
        setattr(bridge, column, value)
    root.addvalue("bridges", bridge)
    return txn.commit_block()


def by_name(idl, name):
    return [row for row in idl.tables["Bridge"].rows.values() if row.name == name]


def test_rows_come_change_and_go(follow):
    writer, reader = (
        follow("Open_vSwitch", "Bridge"),
        follow("Bridge", columns=["name", "fail_mode"]),
    )
    assert add_bridge(writer, "i0", external_ids={"a": "b"}) == ovs.db.idl.Transaction.SUCCESS
    run_until(lambda: by_name(reader, "i0"), reader)
    assert ("create", "Bridge", "i0", None) in reader.events
    reader.events.clear()
    [bridge] = by_name(writer, "i0")
    txn = ovs.db.idl.Transaction(writer)
    bridge.fail_mode = "secure"
    bridge.setkey("external_ids", "c", "d")
    assert txn.commit_block() == ovs.db.idl.Transaction.SUCCESS
    run_until(lambda: by_name(reader, "i0")[0].fail_mode, reader)
    assert reader.events == [("update", "Bridge", "i0", ["fail_mode"])]
    run_until(lambda: len(bridge.external_ids) == 2, writer)
    txn = ovs.db.idl.Transaction(writer)
    root = next(iter(writer.tables["Open_vSwitch"].rows.values()))
    root.delvalue("bridges", bridge)
    assert txn.commit_block() == ovs.db.idl.Transaction.SUCCESS
    run_until(lambda: not by_name(reader, "i0"), reader)
    assert reader.events[-1] == ("delete", "Bridge", "i0", None)


def test_conditional_monitoring(follow):
    writer, reader = follow("Open_vSwitch", "Bridge"), follow("Bridge", columns=["name"])
    reader.cond_change("Bridge", [["name", "==", "c1"]])
    run_until(lambda: not reader.tables["Bridge"].rows, reader)
    for name in ("c0", "c1", "c2"):
        assert add_bridge(writer, name) == ovs.db.idl.Transaction.SUCCESS
    run_until(lambda: by_name(reader, "c1"), reader)
    assert {row.name for row in reader.tables["Bridge"].rows.values()} == {"c1"}
    reader.cond_change("Bridge", [["name", "==", "c2"], ["name", "==", "c0"]])
    run_until(lambda: len(reader.tables["Bridge"].rows) == 2 and not by_name(reader, "c1"), reader)
    reader.cond_change("Bridge", [True])
    run_until(lambda: len(reader.tables["Bridge"].rows) >= 3, reader)


def test_conflict_is_tried_again(follow):
    """verify() of a column that another changed meanwhile."""
    first, second = follow("Open_vSwitch", "Bridge"), follow("Open_vSwitch", "Bridge")
    assert add_bridge(first, "v0") == ovs.db.idl.Transaction.SUCCESS
    run_until(lambda: by_name(second, "v0"), second)
    [theirs] = by_name(second, "v0")
    [mine] = by_name(first, "v0")
    txn = ovs.db.idl.Transaction(second)
    theirs.datapath_type = "new"
    assert txn.commit_block() == ovs.db.idl.Transaction.SUCCESS
    txn = ovs.db.idl.Transaction(first)
    mine.verify("datapath_type")
    mine.fail_mode = "secure"
    assert txn.commit_block() == ovs.db.idl.Transaction.TRY_AGAIN


def test_constraint_is_an_error(follow):
    idl = follow("Open_vSwitch", "Bridge")
    assert add_bridge(idl, "twice") == ovs.db.idl.Transaction.SUCCESS
    assert add_bridge(idl, "twice") == ovs.db.idl.Transaction.ERROR


def test_locks(follow):
    first, second = follow("Bridge"), follow("Bridge")
    first.set_lock("idl")
    run_until(lambda: first.has_lock, first)
    second.set_lock("idl")
    run_until(lambda: second.is_lock_contended, first, second)
    first.set_lock(None)
    run_until(lambda: second.has_lock, first, second)


def test_reconnect_after_a_restart(server, follow):
    """monitor_cond_since finds its place again or starts anew: the rows are right."""
    writer, reader = follow("Open_vSwitch", "Bridge"), follow("Bridge")
    assert add_bridge(writer, "r0") == ovs.db.idl.Transaction.SUCCESS
    run_until(lambda: by_name(reader, "r0"), reader)
    server.kill()
    server.start()
    client = server.client()
    root = [["name", "==", "r0"]]
    change = {"op": "update", "table": "Bridge", "where": root, "row": {"datapath_type": "x"}}
    assert client.transact("Open_vSwitch", change) == [{"count": 1}]
    client.close()
    run_until(lambda: by_name(reader, "r0")[0].datapath_type == "x", reader)


class Vswitchd(threading.Thread):
    """Says of each configuration that it is in effect, as vswitchd does; until `client` is
    closed."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.client = server.client()
        self.writer = server.client()
        request = {"Open_vSwitch": {"columns": ["next_cfg"]}}
        self.client.request("monitor", ["Open_vSwitch", "cfg", request])
        self.start()

    def run(self):
        with contextlib.suppress(Disconnected, OSError):
            while True:
                for row in self.client.notification()["params"][1]["Open_vSwitch"].values():
                    row = {"cur_cfg": row["new"]["next_cfg"]}
                    change = {"op": "update", "table": "Open_vSwitch", "where": [], "row": row}
                    self.writer.transact("Open_vSwitch", change)

    def close(self):
        self.client.sock.shutdown(socket.SHUT_RDWR)
        self.join(10)
        self.client.close()
        self.writer.close()


def test_ovsdbapp(server):
    """ovsdbapp's Open_vSwitch API."""
    pytest.importorskip("ovsdbapp", reason="ovsdbapp is not installed")
    from ovsdbapp.backend.ovs_idl import connection
    from ovsdbapp.schema.open_vswitch import impl_idl

    idl = connection.OvsdbIdl.from_server(server.remote, "Open_vSwitch")
    api = impl_idl.OvsdbIdl(connection.Connection(idl, timeout=20))
    vswitchd = Vswitchd(server)
    try:
        api.add_br("app0").execute(check_error=True)
        with api.transaction(check_error=True) as txn:
            txn.add(api.add_port("app0", "p0"))
            txn.add(api.db_set("Port", "p0", ("tag", 5), ("external_ids", {"k": "v"})))
        assert "app0" in api.list_br().execute()
        assert api.list_ports("app0").execute() == ["p0"]
        assert api.db_get("Port", "p0", "tag").execute() == 5
        assert api.iface_to_br("p0").execute() == "app0"
        found = api.db_find("Port", ("external_ids", "=", {"k": "v"})).execute()
        assert [row["name"] for row in found] == ["p0"]
        assert isinstance(found[0]["_uuid"], uuid_module.UUID)
        api.set_controller("app0", ["tcp:127.0.0.1:6653"]).execute(check_error=True)
        assert api.get_controller("app0").execute() == ["tcp:127.0.0.1:6653"]
        api.db_clear("Port", "p0", "tag").execute(check_error=True)
        api.del_port("p0", "app0").execute(check_error=True)
        api.del_br("app0").execute(check_error=True)
        assert "app0" not in api.list_br().execute()
    finally:
        api.ovsdb_connection.stop()
        vswitchd.close()
