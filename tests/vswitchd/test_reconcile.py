"""The reconciliation of the database, on the real database server and recording fakes."""

import select
import subprocess
import time

import ovs.poller
import pytest

from ofproto.bonds import BondSettings
from ovsdb.storage import files
from pyvs.poller import Poller
from tests.daemons import BIN, OVSDB_SERVER, wait_until
from tests.vswitchd.fakes import FakeBacker, FakeDpif, FakeLinks, FakeOfproto, no_device
from vswitchd import status
from vswitchd.appctl.protocols import bond as bond_commands
from vswitchd.database import columns
from vswitchd.devices import netdev
from vswitchd.devices.links import IFF_LOWER_UP, IFF_UP
from vswitchd.switch import Switch


class Bench:
    """A Switch in this process with fake lower floors, and vsctl beside it."""

    def __init__(self, directory):
        self.directory = directory
        self.links = FakeLinks()
        self.refuse = {}
        self.dpif = FakeDpif()
        self.server = None
        self.start_server()
        self.ofprotos = []  # all that were made
        self.slices = {}  # that those of the names have to do first
        self.switch = self.make_switch()

    def start_server(self):
        database = self.directory / "conf.db"
        if not database.exists():
            files.create(str(database), files.load_schema(files.SWITCH_SCHEMA))
        socket = self.directory / "db.sock"
        self.server = subprocess.Popen(
            [
                BIN / OVSDB_SERVER,
                database,
                f"--remote=punix:{socket}",
                f"--rundir={self.directory}",
            ],
            stderr=subprocess.DEVNULL,
        )
        wait_until(socket.exists, what="the database server")

    def stop_server(self):
        self.server.kill()
        self.server.wait()
        (self.directory / "db.sock").unlink(missing_ok=True)

    def make_switch(self):
        return Switch(
            columns.make_idl(f"unix:{self.directory / 'db.sock'}"),
            self.links,
            lambda: self.dpif,
            FakeBacker,
            self.make_ofproto,
        )

    def make_ofproto(self, name, backer):
        self.ofprotos.append(FakeOfproto(name, backer, self.refuse, self.links))
        self.ofprotos[-1].slices_left = self.slices.get(name, 0)
        return self.ofprotos[-1]

    def run_until(self, condition, seconds=10):
        """Rounds of the daemon's loop until `condition()`."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "nothing more happens"
            self.switch.run()
            poller = ovs.poller.Poller()
            self.switch.wait(poller)
            poller.timer_wait(10)
            poller.block()

    def rounds(self, n=20):
        for _ in range(n):
            self.switch.run()
            time.sleep(0.002)

    def vsctl(self, *words, wait=True):
        """pyvs-vsctl while the switch runs; returns its output.  Fails when it does."""
        command = [BIN / "pyvs-vsctl", f"--db=unix:{self.directory / 'db.sock'}", "--timeout=10"]
        command += [] if wait else ["--no-wait"]
        child = subprocess.Popen(
            [*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.run_until(lambda: child.poll() is not None)
        out, err = child.communicate()
        self.errors = err
        if child.returncode:
            raise AssertionError(f"{words}: {child.returncode} {err}")
        return out.strip()

    def ofproto(self, name="br0"):
        return self.switch.bridges[name].ofproto

    def close(self):
        self.switch.close()
        self.server.kill()
        self.server.wait()


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setattr(netdev, "set_mac", lambda name, mac: None)
    monkeypatch.setattr(netdev, "set_mtu", lambda name, mtu: None)
    made = Bench(tmp_path)
    try:
        made.vsctl("init", wait=False)
        yield made
    finally:
        made.close()


def test_bridge_and_ports(bench):
    bench.links.add("p1")
    bench.vsctl("add-br", "br0")
    bench.vsctl("add-port", "br0", "p1", "tag=7")
    ofproto = bench.ofproto()
    assert ofproto.ports["br0"].type == "internal"
    assert ofproto.ports["p1"].type == "system"
    assert ofproto.bundles["p1"][:3] == ([1], None, 7)
    assert bench.vsctl("get", "Interface", "p1", "ofport", "link_state") == "1\nup"
    assert bench.vsctl("get", "Interface", "br0", "ofport") == "65534"
    assert ofproto.ports["p1"].state["admin_up"]
    assert bench.switch.backer.calls == [("tune", 200_000, 10_000, 500), "first_reconcile_done"]


def test_nothing_is_done_twice(bench):
    bench.links.add("p1")
    bench.vsctl("add-br", "br0", "--", "add-port", "br0", "p1")
    before = list(bench.ofproto().calls)
    bench.vsctl("set", "Bridge", "br0", "external_ids:a=b")
    bench.vsctl("set", "Open_vSwitch", ".", "external_ids:a=b")
    assert bench.ofproto().calls == before


def test_changes_are_differences(bench):
    bench.switch.dummies.mode = ""
    bench.vsctl("add-br", "br0", "--", "add-port", "br0", "d0", "--", "set", "interface", "d0",
                "type=dummy")  # fmt: skip
    before = len(bench.ofproto().calls)
    bench.vsctl("set", "port", "d0", "vlan_mode=native-tagged", "tag=3", "trunks=4,5")
    assert bench.ofproto().calls[before:] == [("bundle_set", "d0")]
    assert bench.ofproto().bundles["d0"] == ([1], "native-tagged", 3, [4, 5], None)
    before = len(bench.ofproto().calls)
    bench.vsctl("set", "bridge", "br0", "fail_mode=secure", "other_config:mac-aging-time=20")
    assert bench.ofproto().calls[before:] == [
        ("set_fail_mode", "secure"),
        ("set_mac_table", 20, 8192),
    ]
    bench.vsctl("del-port", "d0")
    assert bench.ofproto().calls[-2:] == [("bundle_del", "d0"), ("port_del", "d0")]
    ofproto = bench.ofproto()
    bench.vsctl("del-br", "br0")
    assert ofproto.calls[-1] == ("destroy", True)
    assert not bench.switch.bridges


def test_missing_device_is_an_error_until_it_comes(bench):
    bench.vsctl("add-br", "br0")
    bench.vsctl("add-port", "br0", "p1")
    assert "could not open network device p1 (No such device)" in bench.errors
    assert bench.vsctl("get", "Interface", "p1", "ofport") == "-1"
    assert "No such device" in bench.vsctl("get", "Interface", "p1", "error")
    bench.links.add("p1")
    bench.run_until(lambda: "p1" in bench.ofproto().ports)
    bench.run_until(lambda: bench.switch.is_ready)
    assert bench.vsctl("get", "Interface", "p1", "ofport", "error") == "1\n[]"


def test_device_goes_and_comes_back_with_its_number(bench):
    for name in ("p1", "p2"):
        bench.links.add(name)
    bench.vsctl("add-br", "br0", "--", "add-port", "br0", "p1")
    bench.vsctl("add-port", "br0", "p2")
    bench.links.remove("p1")
    bench.run_until(lambda: "p1" not in bench.ofproto().ports)
    bench.links.add("p3")
    bench.vsctl("add-port", "br0", "p3")
    assert bench.ofproto().ports["p3"].number == 3
    assert bench.vsctl("get", "Interface", "p1", "ofport") == "-1"
    bench.links.add("p1")
    bench.run_until(lambda: "p1" in bench.ofproto().ports)
    assert bench.ofproto().ports["p1"].number == 1
    # Deleted and made anew between two looks of ours: another device of the same name.
    before = len(bench.ofproto().calls)
    bench.links.remove("p1")
    bench.links.add("p1")
    bench.rounds()
    calls = bench.ofproto().calls[before:]
    assert ("port_del", "p1") in calls and ("port_add", "p1", "system") in calls
    assert bench.ofproto().ports["p1"].number == 1


def test_ofport_request(bench):
    for name in ("p1", "p2"):
        bench.links.add(name)
    bench.vsctl("add-br", "br0", "--", "add-port", "br0", "p1")
    bench.vsctl("add-port", "br0", "p2", "--", "set", "interface", "p2", "ofport_request=40")
    assert bench.vsctl("get", "interface", "p2", "ofport") == "40"
    bench.vsctl("set", "interface", "p1", "ofport_request=41")
    assert bench.vsctl("get", "interface", "p1", "ofport") == "41"


def test_who_comes_new_gets_its_number(bench):
    """Where there are dummies it takes it from nobody at once, as in Open vSwitch, but with the
    next change; devices of the kernel are such a change themselves."""
    for name in ("p1", "p2", "p3", "p4"):
        bench.links.add(name)
    bench.vsctl("add-br", "br1", "--", "add-port", "br1", "p3")
    bench.vsctl("add-port", "br1", "p4", "--", "set", "interface", "p4", "ofport_request=1")
    assert [bench.ofproto("br1").ports[name].number for name in ("p3", "p4")] == [3, 1]
    bench.switch.dummies.mode = ""
    bench.vsctl("add-br", "br0", "--", "add-port", "br0", "p1")
    bench.vsctl("add-port", "br0", "p2", "--", "set", "interface", "p2", "ofport_request=1")
    assert [bench.ofproto().ports[name].number for name in ("p1", "p2")] == [1, 2]
    bench.vsctl("set", "bridge", "br0", "other_config:next=change")
    assert bench.ofproto().ports["p2"].number == 1
    assert bench.ofproto().ports["p1"].number > 1


def test_numbers_and_ids_survive_a_restart(bench):
    for name in ("p1", "p2", "p3"):
        bench.links.add(name)
    bench.vsctl("add-br", "br0", "--", "add-port", "br0", "p3")
    bench.vsctl("add-port", "br0", "p1", "--", "add-port", "br0", "p2")
    numbers = {name: port.number for name, port in bench.ofproto().ports.items()}
    dpid = bench.vsctl("get", "bridge", "br0", "datapath_id")
    assert dpid.startswith('"0000')
    bench.switch.close()
    bench.switch = bench.make_switch()
    bench.run_until(lambda: bench.switch.is_ready)
    assert {name: port.number for name, port in bench.ofproto().ports.items()} == numbers
    assert bench.vsctl("get", "bridge", "br0", "datapath_id") == dpid


def test_status_that_is_there_already_keeps_nobody_waiting(bench):
    """Of many rows it takes several transactions, none of which the server has an answer to."""
    bench.switch.dummies.mode = ""
    names = [f"d{number}" for number in range(2 * status.PIECE)]
    added = (f"-- add-port br0 {name} -- set interface {name} type=dummy" for name in names)
    bench.vsctl("add-br", "br0", *" ".join(added).split())
    bench.run_until(lambda: bench.switch.is_ready)
    bench.switch.close()
    bench.switch = bench.make_switch()
    bench.switch.dummies.mode = ""
    idle = 0
    while not bench.switch.is_ready:
        bench.switch.run()
        poller = ovs.poller.Poller()
        bench.switch.wait(poller)
        if bench.switch._writer.has_more:
            idle += 1
            assert poller.timeout == 0
        poller.timer_wait(100)
        poller.block()
    assert idle >= 2


def test_database_server_killed(bench):
    bench.links.add("p1")
    bench.vsctl("add-br", "br0", "--", "add-port", "br0", "p1")
    ofproto, before = bench.ofproto(), len(bench.ofproto().calls)
    bench.stop_server()
    bench.rounds()
    bench.start_server()
    # Ephemeral columns, gone with the server, are written again.
    bench.run_until(lambda: bench.switch.idl.has_lock)
    bench.run_until(lambda: bench.vsctl("get", "interface", "p1", "link_state") == "up")
    bench.vsctl("add-br", "br1")
    assert bench.ofproto() is ofproto
    assert ofproto.calls[before:] == []


def test_bad_interfaces_report_errors(bench):
    bench.links.add("p1")
    bench.refuse["p1"] = no_device("p1")
    bench.vsctl("add-br", "br0")
    bench.vsctl("add-port", "br0", "p1")
    assert "could not add network device p1 to ofproto" in bench.errors
    bench.vsctl("add-port", "br0", "vx", "--", "set", "interface", "vx", "type=vxlan")
    assert "requires valid 'remote_ip'" in bench.vsctl("get", "interface", "vx", "error")
    bench.vsctl("set", "interface", "vx", "type=nonesuch")
    assert "Address family not supported" in bench.vsctl("get", "interface", "vx", "error")
    bench.vsctl("add-port", "br0", "pp", "--", "set", "interface", "pp", "type=patch")
    assert "requires valid 'peer'" in bench.vsctl("get", "interface", "pp", "error")
    bench.vsctl("set", "interface", "pp", "options:peer=qq")
    assert bench.vsctl("get", "interface", "pp", "error") == "[]"


def test_interface_moves_to_another_bridge(bench):
    bench.links.add("p1")
    bench.vsctl("add-br", "a", "--", "add-br", "b", "--", "add-port", "a", "p1")
    bench.vsctl("del-port", "p1", "--", "add-port", "b", "p1")
    assert "p1" not in bench.ofproto("a").ports
    assert bench.ofproto("b").ports["p1"].number == 1


def test_bond_uses_an_interface_that_is_up(bench):
    bench.links.add("p1")
    bench.links.add("p2")
    bench.vsctl("add-br", "br0", "--", "add-bond", "br0", "bond0", "p1", "p2")
    numbers = {name: bench.ofproto().ports[name].number for name in ("p1", "p2")}
    ofproto = bench.ofproto()
    assert ofproto.bundles["bond0"][0] == [numbers["p1"], numbers["p2"]]
    assert ofproto.bond_settings["bond0"] == BondSettings("active-backup", numbers["p1"])
    bench.links.change("p1", flags=0)
    bench.rounds()
    assert ofproto.bond_settings["bond0"].active == numbers["p2"]
    assert ofproto.calls[-1] == ("announce", "bond0")
    bench.vsctl("set", "port", "bond0", "bond_mode=balance-slb")
    assert set(ofproto.bond_settings["bond0"].buckets) == {numbers["p2"]}
    bench.links.change("p1", flags=IFF_UP | IFF_LOWER_UP)
    bench.rounds()
    assert set(ofproto.bond_settings["bond0"].buckets) == set(numbers.values())
    bench.vsctl("del-bond-iface", "bond0", "p1")
    assert ofproto.bundles["bond0"][0] == [numbers["p2"]]
    assert ofproto.bond_settings["bond0"] is None


def test_a_bond_goes_on_without_a_member(bench):
    for name in ("p1", "p2", "p3"):
        bench.links.add(name)
    bench.vsctl("add-br", "br0", "--", "add-bond", "br0", "bond0", "p1", "p2", "p3",
                "bond_mode=balance-slb", "other_config:bond-rebalance-interval=0")  # fmt: skip
    ofproto = bench.ofproto()
    numbers = {name: ofproto.ports[name].number for name in ("p1", "p2", "p3")}
    bond_commands.disable_member(bench.switch, ["bond0", "p3"])
    bench.switch.run()
    bond_commands.set_active_member(bench.switch, ["bond0", "p2"])
    bond_commands.migrate(bench.switch, ["bond0", "7", "p1"])
    bond_commands.migrate(bench.switch, ["bond0", "8", "p2"])
    before = len(ofproto.calls)
    bench.links.remove("p1")
    bench.run_until(lambda: "p1" not in ofproto.ports)
    assert ofproto.bundles["bond0"][0] == [numbers["p2"], numbers["p3"]]
    settings = ofproto.bond_settings["bond0"]
    assert settings.active == numbers["p2"] and set(settings.buckets) == {numbers["p2"]}
    assert ("announce", "bond0") in ofproto.calls[before:]
    # It comes back, and gets what is idle; what was moved or carries something stays.
    ofproto.bond_loads = [1000] * 7 + [0] * 249
    bench.links.add("p1")
    bench.run_until(lambda: numbers["p1"] in ofproto.bond_settings["bond0"].buckets)
    settings = ofproto.bond_settings["bond0"]
    assert set(settings.buckets[:7]) == {numbers["p2"]} == {settings.buckets[8], settings.active}
    assert settings.buckets.count(numbers["p1"]) == 128 and numbers["p3"] not in settings.buckets
    # A bundle that one port is left of is no bond, but the same bundle.
    bench.links.remove("p1")
    bench.links.remove("p2")
    bench.run_until(lambda: not {"p1", "p2"} & ofproto.ports.keys())
    assert ofproto.bundles["bond0"][0] == [numbers["p3"]]
    assert ofproto.bond_settings["bond0"] is None
    assert ("bundle_del", "bond0") not in ofproto.calls
    bench.links.remove("p3")
    bench.run_until(lambda: "p3" not in ofproto.ports)
    assert "bond0" not in ofproto.bundles


def test_controllers_and_their_status(bench):
    bench.vsctl("add-br", "br0", "--", "set-controller", "br0", "tcp:127.0.0.1:1")
    (controller,) = bench.ofproto().controllers
    assert controller.target == "tcp:127.0.0.1:1" and controller.max_backoff == 8000
    bench.vsctl("set", "controller", "br0", "inactivity_probe=0", "connection_mode=out-of-band")
    (controller,) = bench.ofproto().controllers
    assert controller.inactivity_probe == 0 and controller.connection_mode == "out-of-band"
    assert bench.vsctl("get", "controller", "br0", "is_connected") == "false"
    bench.ofproto().connected.add("tcp:127.0.0.1:1")
    bench.rounds(5)
    assert bench.vsctl("get", "controller", "br0", "is_connected", "role") == "true\nother"


def test_a_number_without_end_stops_nothing(bench):
    bench.links.add("p1")
    bench.vsctl("add-br", "br0", "--", "set-controller", "br0", "tcp:127.0.0.1:1")
    bench.vsctl("set", "controller", "br0", f"other_config:dscp={'9' * 5000}")
    bench.vsctl("add-port", "br0", "p1")
    assert bench.ofproto().ports["p1"].number == 1
    assert bench.switch.config.bridges["br0"].controllers[0].dscp is None


def test_new_datapath_process_keeps_ports(bench):
    bench.links.add("p1")
    bench.vsctl("add-br", "br0", "--", "add-port", "br0", "p1")
    before = len(bench.ofproto().calls)
    bench.switch.backer.dpif = None
    bench.vsctl("--timeout=10", "set", "bridge", "br0", "fail_mode=secure", wait=False)
    bench.rounds()
    assert bench.ofproto().calls[before:] == []
    bench.switch.backer.dpif = FakeDpif()
    bench.rounds()
    assert bench.ofproto().calls[before:] == [("set_fail_mode", "secure")]


def test_status_columns(bench):
    bench.links.add("p1", mtu=1400)
    bench.vsctl("add-br", "br0", "--", "add-port", "br0", "p1")
    link = bench.links.get("p1")
    words = ["get", "interface", "p1", "mac_in_use", "mtu", "ifindex", "admin_state"]
    expected = [f'"{link.mac}"', "1400", str(link.ifindex), "up"]
    assert bench.vsctl(*words).split("\n") == expected
    bench.links.change("p1", mtu=1300, flags=0)
    bench.rounds(5)
    expected[1], expected[3] = "1300", "down"
    assert bench.vsctl(*words).split("\n") == expected
    get = ("get", "interface", "p1", "statistics:rx_packets")
    assert bench.vsctl(*get) == "1"
    types, datapaths = bench.vsctl(
        "get", "Open_vSwitch", ".", "iface_types", "datapath_types"
    ).split("\n")
    assert set(types.strip("[]").split(", ")) >= {"geneve", "gre", "internal", "patch", "vxlan"}
    assert datapaths == "[netdev, system]"


@pytest.mark.parametrize("device", ["p1", "missing"])
def test_what_protocols_said_before_this_process_is_over(bench, device):
    bench.links.add("p1")
    told = ("bfd_status:state=up", "cfm_fault=true", "lacp_current=true", "cfm_health=7")
    add = ("add-br", "br0", "--", "add-port", "br0", device, "--", "set", "interface", device)
    bench.vsctl(*add, *told, wait=False)
    words = ("get", "interface", device, "bfd_status", "cfm_fault", "lacp_current", "cfm_health")
    bench.run_until(lambda: bench.vsctl(*words).split() == ["{}", "[]", "[]", "[]"])


def test_of_an_interface_in_another_bridge_now_that_one_tells():
    key = ("Interface", 1)
    gone, there = {key: {"cfm_fault": [], "bfd_status": {}}}, {key: {"cfm_fault": [False]}}
    for order in ((gone, there), (there, gone)):
        rows = {}
        for each in order:
            status.join(rows, each)
        assert rows == {key: {"cfm_fault": [False], "bfd_status": {}}}


def test_second_vswitchd_waits_for_the_lock(bench):
    bench.vsctl("add-br", "br0")
    first = bench.switch
    bench.switch = bench.make_switch()
    bench.run_until(lambda: bench.switch.idl.is_lock_contended)
    bench.rounds()
    assert not bench.switch.bridges
    first.close()
    bench.run_until(lambda: "br0" in bench.switch.bridges)


def test_poll_does_not_spin(bench):
    """Idle, the loop sleeps until the next statistics."""
    bench.vsctl("add-br", "br0")
    bench.run_until(lambda: bench.switch.is_ready)
    bench.rounds(5)

    class Recorder:
        timeout = 1_000_000

        def fd_wait(self, fd, events):
            assert events & (select.POLLIN | select.POLLOUT)

        def timer_wait(self, msec):
            self.timeout = min(self.timeout, msec)

        def timer_wait_until(self, msec):
            import ovs.timeval

            self.timer_wait(msec - ovs.timeval.msec())

        def immediate_wake(self):
            self.timeout = 0

    poller = Recorder()
    bench.switch.wait(poller)
    assert poller.timeout > 100


@pytest.mark.parametrize("kind", ["dummy", "dummy-internal", "dummy-pmd"])
def test_no_dummies_without_enable_dummy(bench, kind):
    """They write files: who may write to the database need not be who may write to /etc."""
    add = ("--", "set", "interface", "d0", f"type={kind}")
    bench.vsctl("add-br", "br0", "--", "add-port", "br0", "d0", *add, "options:tx_pcap=/etc/x")
    assert "d0" not in bench.ofproto().ports
    error = "could not open network device d0 (Address family not supported by protocol)"
    assert bench.vsctl("get", "interface", "d0", "ofport", "error").strip() == f'-1\n"{error}"'
    bench.switch.dummies.mode = ""
    bench.vsctl("set", "interface", "d0", "options:tx_pcap=/etc/y")
    assert "d0" in bench.ofproto().ports


@pytest.mark.parametrize(
    "name, kind", [("brd", "dummy"), ("brd", "x"), ("../d", "netdev"), ("a\\b", "netdev")]
)
def test_bridges_that_cannot_be(bench, name, kind):
    bench.vsctl("add-br", "br0")
    bench.vsctl("add-br", name, "--", "set", "bridge", name, f"datapath_type={kind}")
    assert set(bench.switch.bridges) == {"br0"}
    assert f"Error detected while setting up '{name}'.  See" in bench.errors
    assert bench.vsctl("get", "interface", name, "ofport") == "[]"
    bench.vsctl("set", "bridge", name, "datapath_type=netdev")
    assert (name in bench.switch.bridges) is (name == "brd")
    bench.vsctl("set", "bridge", "br0", "datapath_type=x")
    assert "br0" not in bench.switch.bridges
    bench.vsctl("set", "bridge", "br0", "datapath_type=system")
    assert "br0" in bench.switch.bridges
    bench.vsctl("del-br", name)


@pytest.mark.parametrize("interval", ["9" * 18, "9" * 5000, "x", "-1", "0"])
def test_an_interval_that_cannot_be(bench, interval):
    bench.vsctl("set", "Open_vSwitch", ".", f"other_config:stats-update-interval={interval}")
    poller = Poller()
    bench.switch.run()
    bench.switch.wait(poller)
    poller.immediate_wake()
    poller.block()
    assert bench.switch._interval() >= 5000


# --- bridges that take over flows of before

ENDLESS = 1 << 30  # slices


@pytest.fixture
def replaying(bench):
    """A switch that came back: br1 is there, br0 has flows to take over; returns its Ofproto."""
    bench.vsctl("add-br", "br0", "--", "add-br", "br1")
    bench.switch.close()
    bench.slices["br0"] = ENDLESS
    bench.ofprotos.clear()
    bench.switch = bench.make_switch()
    bench.run_until(lambda: "br1" in bench.switch.bridges)
    return bench.ofprotos[0]


def test_a_bridge_is_made_in_the_round_that_took_over_its_last_flow(bench, replaying):
    calls = bench.switch.backer.calls
    assert calls[-1] == "some_bridges_done" and not bench.switch.is_ready
    bench.links.add("p1")
    bench.vsctl("add-port", "br0", "p1", wait=False)
    bench.rounds()
    assert set(bench.switch.bridges) == {"br1"} and "first_reconcile_done" not in calls
    replaying.slices_left = 1
    bench.switch.run()  # nothing else need wake it
    assert bench.ofproto() is replaying and set(replaying.ports) == {"br0", "p1"}
    assert calls[-1] == "first_reconcile_done"
    bench.run_until(lambda: bench.switch.is_ready)


def test_a_bridge_that_goes_while_it_takes_over_flows(bench, replaying):
    bench.vsctl("del-br", "br0")
    assert replaying.calls == [("destroy", True)] and set(bench.switch.bridges) == {"br1"}
    assert bench.switch.backer.calls[-1] == "first_reconcile_done"


def test_another_bridge_of_the_name_takes_over_nothing(bench, replaying):
    bench.slices.clear()
    bench.vsctl("del-br", "br0", "--", "add-br", "br0")
    assert replaying.calls == [("destroy", True)]
    assert bench.ofproto() is bench.ofprotos[-1] is not replaying


def test_the_end_while_flows_are_taken_over_leaves_them_on_disk(bench, replaying):
    bench.switch.close()
    assert replaying.calls == [("destroy", False)]


def test_a_bridge_that_could_not_be_made_takes_over_its_flows_once_more(bench, replaying):
    replaying.set_datapath_id = lambda value: 1 // 0
    replaying.slices_left = 1
    bench.slices.clear()
    bench.run_until(lambda: "br0" in bench.switch.bridges)
    assert replaying.calls == [("destroy", "keep_journal")]
    assert bench.ofproto() is not replaying


def test_bridges_that_cannot_be_made_again_and_again_keep_nobody_waiting(bench, monkeypatch):
    """Each begins anew while the other takes over its flows."""
    bench.vsctl("add-br", "br0", "--", "add-br", "br1", "--", "add-br", "br2")
    bench.switch.close()
    bench.slices = {"br0": 40, "br1": 40}
    set_id = FakeOfproto.set_datapath_id

    def make(ofproto, number):
        set_id(ofproto, number // (ofproto.name == "br2"))

    with monkeypatch.context() as patched:
        patched.setattr(FakeOfproto, "set_datapath_id", make)
        bench.switch = bench.make_switch()
        bench.run_until(lambda: bench.switch.backer and _all_done(bench))
        assert set(bench.switch.bridges) == {"br2"}
        bench.vsctl("set", "open", ".", "next_cfg=7", wait=False)
        made = len(bench.ofprotos)
        bench.run_until(lambda: len(bench.ofprotos) >= made + 4)
        assert _cfg(bench, "cur_cfg") < _cfg(bench, "next_cfg")  # nobody is told that it is done
        assert all(each.first_slices == 0 for each in bench.ofprotos[made:])
    bench.run_until(lambda: len(bench.switch.bridges) == 3)
    bench.run_until(lambda: _cfg(bench, "cur_cfg") == _cfg(bench, "next_cfg"))


def _all_done(bench):
    return "first_reconcile_done" in bench.switch.backer.calls


def _cfg(bench, column):
    [row] = bench.switch.idl.tables["Open_vSwitch"].rows.values()
    return getattr(row, column)


def test_what_is_to_be_done_once_all_is_there_is_done_after_a_fault_too(bench, monkeypatch):
    bench.switch.close()
    faults = [True]
    done = FakeBacker.first_reconcile_done

    def once_with_a_fault(backer):
        if faults:
            faults.clear()
            raise OSError
        done(backer)

    monkeypatch.setattr(FakeBacker, "first_reconcile_done", once_with_a_fault)
    bench.switch = bench.make_switch()
    bench.run_until(lambda: bench.switch.backer and _all_done(bench))
    assert not faults
