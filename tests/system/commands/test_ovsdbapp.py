"""ovsdbapp's Open_vSwitch API, as neutron's agents use it, against the running switch."""

import pytest

from tests.daemons import wait_until

pytest.importorskip("ovsdbapp", reason="ovsdbapp is not installed")
pytestmark = pytest.mark.system


@pytest.fixture
def api(switch):
    from ovsdbapp.backend.ovs_idl import connection
    from ovsdbapp.schema.open_vswitch import impl_idl

    remote = f"unix:{switch.directory}/db.sock"
    idl = connection.OvsdbIdl.from_server(remote, "Open_vSwitch")
    made = connection.Connection(idl=idl, timeout=20)
    # It keeps the connection in the class.
    fresh = type("Api", (impl_idl.OvsdbIdl,), {"_ovsdb_connection": None})
    try:
        yield fresh(made)
    finally:
        made.stop()


def run(command):
    return command.execute(check_error=True)


def test_bridges_and_ports(switch, api):
    run(api.add_br("br-int", datapath_type="system"))
    one = switch.container("c1", "10.0.0.1/24")
    switch.container("c2", "10.0.0.2/24")
    with api.transaction(check_error=True) as transaction:
        for name, tag in (("c1", 5), ("c2", 5)):
            transaction.add(api.add_port("br-int", name))
            transaction.add(api.db_set("Port", name, ("tag", tag)))
            ids = {"iface-id": f"id-{name}"}
            transaction.add(api.db_set("Interface", name, ("external_ids", ids)))
    assert sorted(run(api.list_ports("br-int"))) == ["c1", "c2"]
    assert run(api.port_to_br("c1")) == "br-int"
    # The API waits for vswitchd, as next_cfg and cur_cfg say.
    numbers = {row["name"]: row["ofport"] for row in run(api.db_list("Interface"))}
    assert numbers == {"br-int": 65534, "c1": 1, "c2": 2}
    assert one.ping("10.0.0.2") == 3
    run(api.db_set("Port", "c2", ("tag", 6)))
    wait_until(lambda: one.ping("10.0.0.2", count=1) == 0, what="the VLAN")
    run(api.db_clear("Port", "c2", "tag"))
    run(api.db_clear("Port", "c1", "tag"))
    wait_until(lambda: one.ping("10.0.0.2", count=1) == 1, what="the same VLAN")
    run(api.del_port("c2", bridge="br-int"))
    assert run(api.list_ports("br-int")) == ["c1"]
    wait_until(lambda: one.ping("10.0.0.2", count=1) == 0, what="the port's end")


def test_controllers_modes_and_patches(switch, api):
    with api.transaction(check_error=True) as transaction:
        for name, peer in (("br-int", "phy"), ("br-ex", "int")):
            transaction.add(api.add_br(name))
            port = "int" if peer == "phy" else "phy"
            transaction.add(api.add_port(name, port))
            options = {"peer": peer}
            transaction.add(api.db_set("Interface", port, ("type", "patch"), ("options", options)))
    one = switch.container("c1", "10.0.0.1/24", "br-int")
    switch.container("c2", "10.0.0.2/24", "br-ex")
    assert one.ping("10.0.0.2") == 3
    run(api.set_fail_mode("br-int", "secure"))
    run(api.set_controller("br-int", ["ptcp:0:127.0.0.1"]))
    assert run(api.get_controller("br-int")) == ["ptcp:0:127.0.0.1"]
    assert switch.ofctl("dump-flows", "br-int").count("actions=") == 0
    run(api.del_controller("br-int"))
    run(api.set_fail_mode("br-int", "standalone"))
    wait_until(lambda: one.ping("10.0.0.2", count=1) == 1, what="traffic")
    run(api.del_br("br-ex"))
    assert sorted(run(api.list_br())) == ["br-int"]
