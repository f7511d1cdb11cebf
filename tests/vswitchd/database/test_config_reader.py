"""The configuration that is kept by changes is the one that a full read gives.

Random transactions on the real database server; after each, the Reader that followed them is
held against one that reads everything, and what it said had changed against what did.
"""

import copy
import itertools
import subprocess
from uuid import UUID

import ovs.poller
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ovsdb.storage import files
from pyvs_tools.ovsdb import rpc as ovsdb_rpc
from tests.daemons import BIN, OVSDB_SERVER, wait_until
from vswitchd.database import columns
from vswitchd.database.config import Changes
from vswitchd.database.config_reader import Reader

BRIDGES = ["br0", "br1", "br2"]
PORTS = ["p0", "p1", "p2", "p3", "p4"]
_numbers = itertools.count()


class World:
    """A database server, a client that writes and a replica that follows."""

    def __init__(self, directory):
        database, socket = directory / "conf.db", directory / "db.sock"
        files.create(str(database), files.load_schema(files.SWITCH_SCHEMA))
        command = [BIN / OVSDB_SERVER, database, f"--remote=punix:{socket}"]
        self.server = subprocess.Popen(
            [*command, f"--rundir={directory}"], stderr=subprocess.DEVNULL
        )
        wait_until(socket.exists, what="the database server")
        self.client = ovsdb_rpc.connect(f"unix:{socket}")
        self.transact({"op": "insert", "table": "Open_vSwitch", "row": {}})
        self.idl = columns.make_idl(f"unix:{socket}")
        self.next_cfg = 0

    def transact(self, *operations):
        """Whether it was accepted."""
        results = self.client.request("transact", ["Open_vSwitch", *operations])
        return not any(result and "error" in result for result in results)

    def follow(self):
        """Have the replica see everything that was written so far."""
        self.next_cfg += 1
        assert self.transact(update("Open_vSwitch", [], next_cfg=self.next_cfg))
        wait_until(self._is_current, what="the replica")

    def _is_current(self):
        poller = ovs.poller.Poller()
        self.idl.wait(poller)
        poller.timer_wait(20)
        poller.block()
        self.idl.run()
        rows = self.idl.tables["Open_vSwitch"].rows.values()
        return [row.next_cfg for row in rows] == [self.next_cfg]

    def close(self):
        self.idl.close()
        self.client.close()
        self.server.kill()
        self.server.wait()


def update(table, where, **row):
    return {"op": "update", "table": table, "where": where, "row": row}


def mutate(table, where, column, mutator, value):
    return {"op": "mutate", "table": table, "where": where, "mutations": [[column, mutator, value]]}


def named(name):
    return [["name", "==", name]]


def insert(table, symbol, **row):
    return {"op": "insert", "table": table, "uuid-name": symbol, "row": row}


def references(symbols):
    return ["set", [["named-uuid", symbol] for symbol in symbols]]


def port_rows(name, interfaces):
    """Operations that insert a port and its interfaces, and the port's symbol."""
    number = next(_numbers)
    symbols = [f"i{number}_{n}" for n in range(len(interfaces))]
    rows = [
        insert("Interface", symbol, name=interface)
        for symbol, interface in zip(symbols, interfaces, strict=True)
    ]
    port = f"p{number}"
    return [*rows, insert("Port", port, name=name, interfaces=references(symbols))], port


def some_configuration():
    """Operations that make a bridge with a controller and two ports, and one with a port."""
    made = []
    for bridge, names in (("br0", ("br0", "p0", "p1")), ("br1", ("br1", "p2"))):
        pairs = [port_rows(name, [name]) for name in names]
        controller = insert("Controller", f"c{bridge}", target="tcp:127.0.0.1:9")
        made += [row for rows, _ in pairs for row in rows]
        ports = references([symbol for _, symbol in pairs])
        row = {"ports": ports, "controller": references([f"c{bridge}"])}
        made += [controller, insert("Bridge", f"b{bridge}", name=bridge, **row)]
    return [*made, update("Open_vSwitch", [], bridges=references(["bbr0", "bbr1"]))]


class Operations:
    """Draws operations on a database of which it knows the UUIDs of what is there."""

    def __init__(self, draw, world):
        self.draw = draw
        self.uuids = {}
        for table in ("Bridge", "Port", "Interface"):
            rows = world.idl.tables[table].rows.values()
            self.uuids[table] = {row.name: ["uuid", str(row.uuid)] for row in rows}

    def _bridge(self):
        return self.draw(st.sampled_from(BRIDGES))

    def _port(self):
        return self.draw(st.sampled_from(PORTS))

    def _uuid(self, table, names):
        known = sorted(self.uuids[table].keys() & set(names))
        return self.uuids[table][self.draw(st.sampled_from(known))] if known else None

    def _remove(self, table, column, uuid):
        return [mutate(table, [], column, "delete", uuid)] if uuid else []

    def add_bridge(self):
        name = self._bridge()
        rows, port = port_rows(name, [name])
        symbol = f"b{next(_numbers)}"
        return [
            *rows,
            insert("Bridge", symbol, name=name, ports=references([port])),
            mutate("Open_vSwitch", [], "bridges", "insert", references([symbol])),
        ]

    def del_bridge(self):
        return self._remove("Open_vSwitch", "bridges", self._uuid("Bridge", BRIDGES))

    def add_port(self):
        name = self._port()
        count = self.draw(st.integers(1, 2))
        rows, port = port_rows(name, [name, f"{name}x"][:count])
        add = mutate("Bridge", named(self._bridge()), "ports", "insert", references([port]))
        return [*rows, add]

    def del_port(self):
        return self._remove("Bridge", "ports", self._uuid("Port", PORTS))

    def replace_port(self):
        name = self._port()
        if name not in self.uuids["Port"]:
            return []
        rows, port = port_rows(name, [name])
        add = mutate("Bridge", named(self._bridge()), "ports", "insert", references([port]))
        return [*self._remove("Bridge", "ports", self.uuids["Port"][name]), *rows, add]

    def move_or_share_port(self):
        uuid = self._uuid("Port", PORTS)
        if uuid is None:
            return []
        gone = self._remove("Bridge", "ports", uuid) if self.draw(st.booleans()) else []
        return [*gone, mutate("Bridge", named(self._bridge()), "ports", "insert", uuid)]

    def move_interface(self):
        uuid = self._uuid("Interface", [*PORTS, *(f"{name}x" for name in PORTS)])
        if uuid is None:
            return []
        return [mutate("Port", named(self._port()), "interfaces", "insert", uuid)]

    def set_port(self):
        name, tag = self._port(), self.draw(st.integers(0, 4))
        change = self.draw(
            st.sampled_from([{"tag": tag}, {"tag": ["set", []]}, {"trunks": ["set", [1, tag]]}])
        )
        return [update("Port", named(name), **change)]

    def set_interface(self):
        number = self.draw(st.integers(1, 3))
        change = self.draw(
            st.sampled_from(
                [
                    {"ofport_request": number},
                    {"options": ["map", [["peer", f"q{number}"]]]},
                    {"type": "dummy"},
                    {"external_ids": ["map", [["a", str(number)]]]},
                ]
            )
        )
        return [update("Interface", named(self._port()), **change)]

    def set_bridge(self):
        mode = self.draw(st.sampled_from(["secure", "standalone", ["set", []]]))
        return [update("Bridge", named(self._bridge()), fail_mode=mode)]

    def add_controller(self):
        symbol = f"c{next(_numbers)}"
        target = f"tcp:127.0.0.1:{self.draw(st.integers(1, 3))}"
        column = (named(self._bridge()), "controller", "insert", references([symbol]))
        return [insert("Controller", symbol, target=target), mutate("Bridge", *column)]

    def set_controllers(self):
        return [update("Controller", [], max_backoff=1000 * self.draw(st.integers(1, 3)))]

    def clear_controllers(self):
        return [update("Bridge", named(self._bridge()), controller=["set", []])]

    def set_root(self):
        ids = ["map", [["a", str(self.draw(st.integers(0, 2)))]]]
        return [update("Open_vSwitch", [], other_config=ids)]

    def some(self):
        names = sorted(n for n in vars(Operations) if not n.startswith("_") and n != "some")
        name = self.draw(st.sampled_from(names))
        return getattr(self, name)()


def differences(before, after):
    """What really differs, as Changes."""
    found = Changes(switch=before.switch != after.switch)
    names = before.bridges.keys() | after.bridges.keys()
    found.bridges = {n for n in names if before.bridges.get(n) != after.bridges.get(n)}
    for bridge in names:
        old, new = before.ports.get(bridge, {}), after.ports.get(bridge, {})
        changed = {n for n in old.keys() | new.keys() if old.get(n) != new.get(n)}
        if changed:
            found.ports[bridge] = changed
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("reader"))
    try:
        yield made
    finally:
        made.close()


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_kept_by_changes_equals_a_full_read(world, data):
    world.transact(update("Open_vSwitch", [], bridges=["set", []], other_config=["map", []]))
    assert world.transact(*some_configuration())
    world.follow()
    reader = Reader(world.idl)
    reader.read()
    for _ in range(12):
        before = copy.deepcopy(reader.configuration)
        if data.draw(st.integers(0, 15)) == 0:
            if data.draw(st.booleans()):
                world.idl.last_id = str(UUID(int=0))  # have everything sent anew
            world.idl.force_reconnect()
        for _ in range(data.draw(st.integers(1, 3))):  # transactions seen at once
            operations = Operations(data.draw, world)
            chosen = [operations.some() for _ in range(data.draw(st.integers(1, 3)))]
            world.transact(*(each for part in chosen for each in part))
        world.follow()
        changes = reader.read()
        full = Reader(world.idl)
        full.read()
        assert reader.configuration == full.configuration
        real = differences(before, reader.configuration)
        assert changes.switch >= real.switch
        assert changes.bridges >= real.bridges
        for bridge, ports in real.ports.items():
            assert changes.ports[bridge] >= ports
        _assert_consistent(reader)


def _assert_consistent(reader):
    """It remembers nothing of rows that are gone."""
    ports = {port.uuid for each in reader.configuration.ports.values() for port in each.values()}
    assert reader._ports.keys() == ports
    assert {b.uuid for b in reader.configuration.bridges.values()} == reader._bridges.keys()
    assert reader._parts_of.keys() <= ports | reader._bridges.keys()
    parts = set().union(*reader._parts_of.values(), *reader._ports_of.values())
    assert {uuid for uuid, users in reader._users.items() if users} == parts
