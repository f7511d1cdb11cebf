"""The whole switch with real daemons: containers talk, things die and come back."""

import json
import re
import sys
import time

import pytest
from ovs.unixctl.client import UnixctlClient
from scapy.all import ARP, Dot1Q, Ether

from tests.daemons import DATAPATH, OVSDB_SERVER, VSWITCHD, CommandFailed, Container, wait_until
from tests.system.traffic import Pinger, ofports
from vswitchd.appctl.commands import COMMANDS

pytestmark = pytest.mark.system


def two_containers(switch, *settings):
    switch.vsctl("add-br", "br0")
    one = switch.container("c1", "10.0.0.1/24", "br0", *settings)
    two = switch.container("c2", "10.0.0.2/24", "br0", *settings)
    return one, two


def test_no_control_command_stumbles(switch):
    """Each with words that fit some of them: it answers or refuses, the log has no traceback."""
    two_containers(switch)
    [path] = switch.directory.glob("pyvs-vswitchd.*.ctl")
    _, client = UnixctlClient.create(str(path))
    for command in COMMANDS:
        for words in (["br0", "c1", "in_port=1", "1"], ["c1", "7", "0a:00:00:00:00:01"], ["100"]):
            for n in range(command.min_args, min(command.max_args, len(words)) + 1):
                failed, error, reply = client.transact(command.name, words[:n])
                assert not failed and (error is not None or reply is not None)
    client.close()
    assert switch.appctl("ofproto/list") == "br0\n"


def test_limits_of_datapath_flows(switch):
    one, _ = two_containers(switch)
    tune = ("set", "Open_vSwitch", ".", "other_config:max-idle=500")
    switch.vsctl(*tune, "other_config:flow-limit=4321", "other_config:max-revalidator=100")
    assert "(limit 4321)" in switch.appctl("upcall/show")
    assert one.ping("10.0.0.2") == 3
    wait_until(lambda: "in_port" not in switch.appctl("dpctl/dump-flows"), what="idle flows' end")
    switch.appctl("upcall/set-flow-limit", "1234")
    switch.vsctl("set", "bridge", "br0", "external_ids:a=b")
    assert "(limit 1234)" in switch.appctl("upcall/show")
    switch.vsctl("clear", "Open_vSwitch", ".", "other_config")
    assert "(limit 200000)" in switch.appctl("upcall/show")


def test_ping_through_normal(switch):
    one, two = two_containers(switch)
    assert one.ping("10.0.0.2") == 3
    assert two.ping("10.0.0.1") == 3
    assert ofports(switch) == {"br0": 65534, "c1": 1, "c2": 2}
    table = switch.appctl("fdb/show", "br0").splitlines()
    assert table[0] == " port  VLAN  MAC                Age"
    assert {line.split()[0] for line in table[1:]} >= {"1", "2"}
    assert "actions=NORMAL" in switch.ofctl("dump-flows", "br0")
    assert re.search(r"in_port\(\d+\).*actions:\d+", switch.appctl("dpctl/dump-flows"))
    assert int(switch.get("Interface", "c1", "statistics:rx_packets")) >= 0


def test_host_has_an_address_on_the_bridge(switch):
    switch.vsctl("add-br", "br0")
    one = switch.container("c1", "10.0.0.1/24", "br0")
    switch.host.run("ip", "address", "add", "10.0.0.9/24", "dev", "br0")
    switch.host.run("ip", "link", "set", "br0", "up")
    assert one.ping("10.0.0.9") == 3
    assert switch.host.ping("10.0.0.1") == 3
    mac = json.loads(switch.host.run("ip", "-j", "link", "show", "br0"))[0]["address"]
    assert switch.get("Bridge", "br0", "datapath_id") == "0000" + mac.replace(":", "")


def arp(number, tag=None):
    """A broadcast ARP request of an address of its own, so that frames can be told apart."""
    source = f"02:00:00:00:00:{number:02x}"
    tags = Dot1Q(vlan=tag) if tag is not None else None
    frame = Ether(src=source, dst="ff:ff:ff:ff:ff:ff")
    request = ARP(hwsrc=source, psrc="10.0.0.77", pdst="10.0.0.99")
    return bytes(frame / tags / request if tags else frame / request)


def through(sender, frame, receiver):
    """What of a frame arrives: its VLAN tag (None: untagged), or "nothing"."""
    with receiver.receiving() as frames:
        sender.send(frame)
    ours = [Ether(each) for each in frames if each[6:12] == frame[6:12]]
    assert len(ours) <= 1
    if not ours:
        return "nothing"
    return ours[0][Dot1Q].vlan if Dot1Q in ours[0] else None


def test_vlans_isolate(switch):
    switch.vsctl("add-br", "br0")
    one = switch.container("c1", "10.0.0.1/24", "br0", "tag=10")
    two = switch.container("c2", "10.0.0.2/24", "br0", "tag=10")
    other = switch.container("c3", "10.0.0.3/24", "br0", "tag=20")
    assert one.ping("10.0.0.2") == 3
    assert other.ping("10.0.0.1", count=2, wait=0.3) == 0
    switch.vsctl("set", "Port", "c3", "tag=10")
    assert other.ping("10.0.0.1") == 3
    # c2 becomes a trunk: it sees VLAN 10 tagged, and what it sends tagged arrives untagged.
    switch.vsctl("clear", "Port", "c2", "tag")
    assert through(one, arp(1), two) == 10
    assert through(two, arp(2, tag=10), one) is None
    assert through(two, arp(3, tag=11), one) == "nothing"
    assert through(two, arp(4), one) == "nothing"
    assert through(one, arp(5, tag=10), two) == "nothing"  # a tag on an access port


def test_native_vlan_modes(switch):
    switch.vsctl("add-br", "br0")
    one = switch.container("c1", "10.0.0.1/24", "br0", "tag=10")
    two = switch.container("c2", "10.0.0.2/24", "br0", "vlan_mode=native-untagged", "tag=10")
    assert one.ping("10.0.0.2") == 3
    assert through(one, arp(1), two) is None
    switch.vsctl("set", "Port", "c2", "vlan_mode=native-tagged")
    assert through(one, arp(2), two) == 10
    assert through(two, arp(3), one) is None
    assert through(two, arp(4, tag=10), one) is None


def test_patch_ports(switch):
    switch.vsctl("add-br", "br0", "--", "add-br", "br1")
    switch.vsctl(
        *("add-port", "br0", "p0", "--", "set", "Interface", "p0", "type=patch"),
        *("options:peer=p1", "--", "add-port", "br1", "p1", "--", "set", "Interface", "p1"),
        *("type=patch", "options:peer=p0"),
    )
    one = switch.container("c1", "10.0.0.1/24", "br0")
    switch.container("c2", "10.0.0.2/24", "br1")
    assert one.ping("10.0.0.2") == 3
    assert "p0 1/none: (patch: peer=p1)" in switch.appctl("dpif/show")


def test_port_comes_later_goes_and_comes_back(switch):
    switch.allow("could not open network device c2")
    switch.vsctl("add-br", "br0")
    one = switch.container("c1", "10.0.0.1/24", "br0")
    switch.vsctl("add-port", "br0", "c2")
    assert switch.get("Interface", "c2", "ofport") == "-1"
    error = switch.get("Interface", "c2", "error")
    assert error == "could not open network device c2 (No such device)"
    two = switch.container("c2", "10.0.0.2/24")
    wait_until(lambda: switch.get("Interface", "c2", "ofport") == "2", what="port c2")
    assert switch.get("Interface", "c2", "error") == "[]"
    assert one.ping("10.0.0.2") == 3
    two.disconnect()
    wait_until(lambda: switch.get("Interface", "c2", "ofport") == "-1", what="no port c2")
    two.connect()
    wait_until(lambda: switch.get("Interface", "c2", "ofport") == "2", what="port c2")
    one.run("ip", "neighbour", "flush", "dev", "eth0")  # it has another address now
    assert one.ping("10.0.0.2") == 3


def test_device_that_moves_to_another_namespace_is_gone(switch):
    switch.allow("could not open network device c1")
    one, two = two_containers(switch)
    switch.host.run("ip", "link", "set", "c1", "netns", str(two.pid))
    wait_until(lambda: switch.get("Interface", "c1", "ofport") == "-1", what="no port c1")
    assert switch.get("Interface", "c1", "error") != "[]"
    assert isinstance(one, Container)


@pytest.mark.parametrize(
    "names",
    [(VSWITCHD,), (OVSDB_SERVER,), (OVSDB_SERVER, VSWITCHD)],
    ids=lambda names: "+".join(names),
)
def test_kill_under_traffic(switch, names):
    """Known flows never stop, the configuration is whole, numbers stay."""
    switch.allow("connection (attempt )?(failed|dropped)|db.sock")
    one, _two = two_containers(switch)
    switch.vsctl("add-port", "br0", "d9", "--", "set", "Interface", "d9", "type=internal",
                 "ofport_request=9")  # fmt: skip
    switch.ofctl("add-flow", "br0", "priority=7,tcp,tp_dst=81,actions=drop")
    switch.ofctl("-OOpenFlow13", "add-flow", "br0", "table=3,priority=9,actions=output:1")
    numbers = ofports(switch)
    dpid = switch.get("Bridge", "br0", "datapath_id")
    assert one.ping("10.0.0.2") == 3
    pinger = Pinger(one, "10.0.0.2")
    time.sleep(0.5)
    switch.restart(*names)
    time.sleep(1)
    sent, lost = pinger.stop()
    assert sent > 20 and not lost
    wait_until(lambda: switch.get("Interface", "c1", "link_state") == "up", what="status")
    assert ofports(switch) == numbers
    assert switch.get("Bridge", "br0", "datapath_id") == dpid
    flows = switch.ofctl("dump-flows", "br0")
    assert "tp_dst=81" in flows and "table=3" in flows and "actions=NORMAL" in flows
    third = switch.container("c3", "10.0.0.3/24", "br0")
    assert third.ping("10.0.0.1") == 3


def test_vswitchd_starts_a_datapath_and_a_new_one(switch_daemons):
    switch = switch_daemons
    switch.start(datapath=False)
    switch.allow("datapath")
    one, _two = two_containers(switch)
    assert one.ping("10.0.0.2") == 3
    numbers = ofports(switch)
    switch.kill(DATAPATH)
    wait_until(lambda: one.ping("10.0.0.2", count=1) == 1, seconds=15, what="traffic")
    assert ofports(switch) == numbers


OLDER = """
import sys
from datapath.ipc import protocol
protocol.LAYOUT = "1-00000000"
from datapath.main import main
sys.exit(main())
"""


def test_a_datapath_of_another_build_is_replaced(switch):
    switch.allow("of another build|lost the datapath|no datapath process")
    one, _two = two_containers(switch)
    numbers = ofports(switch)
    switch.kill(VSWITCHD)
    switch.kill(DATAPATH)
    options = ("--detach", "--no-chdir", "--pidfile", f"--rundir={switch.directory}")
    switch.host.run(sys.executable, "-c", OLDER, *options, env=switch.environment, timeout=20)
    older = switch.pid(DATAPATH)
    with pytest.raises(CommandFailed, match=f"process {older} is of another build"):
        switch.command("pyvs-dpctl", "show")
    switch.start_daemon(VSWITCHD)
    wait_until(lambda: one.ping("10.0.0.2", count=1) == 1, seconds=15, what="traffic")
    assert switch.pid(DATAPATH) != older
    assert ofports(switch) == numbers


def test_a_name_cannot_leave_the_run_directory(switch):
    """A bridge's name is part of its sockets'; neighbours are set up as if it were not there."""
    switch.allow("ignoring bridge with invalid name")
    (switch.directory / "b").mkdir()
    switch.vsctl("add-br", "b/c", "--", "add-br", "..\\d", "--", "add-br", "ok")
    assert switch.appctl("ofproto/list") == "ok\n"
    assert not list((switch.directory / "b").iterdir())
    switch.vsctl("del-br", "b/c", "--", "del-br", "..\\d")
    assert switch.vsctl("list-br") == "ok\n"


def test_bridges_go(switch):
    two_containers(switch)
    switch.vsctl("del-br", "br0")
    assert switch.vsctl("show").count("Bridge") == 0
    names = {link["ifname"] for link in json.loads(switch.host.run("ip", "-j", "link"))}
    assert "br0" not in names and "c1" in names
    assert switch.appctl("dpctl/show").count("port ") == 0


def test_control_commands(switch):
    one, _two = two_containers(switch)
    assert one.ping("10.0.0.2") == 3
    commands = switch.appctl("list-commands")
    for name in ("fdb/show", "dpif/show", "ofproto/trace", "vlog/set", "upcall/show", "exit"):
        assert re.search(rf"^  {name}\b", commands, re.MULTILINE), name
    shown = switch.appctl("dpif/show")
    assert re.search(r"^netdev@pyvs: hit:\d+ missed:\d+$", shown.splitlines()[0])
    assert "  br0:" in shown and re.search(r"    c1 1/\d+: \(system\)", shown)
    assert "lookups: hit:" in switch.appctl("dpctl/show")
    assert switch.appctl("ofproto/list") == "br0\n"
    assert "NORMAL" in switch.appctl("bridge/dump-flows", "br0")
    assert "Current/maximum MAC entries" in switch.appctl("fdb/stats-show", "br0")

    def flushed():
        assert switch.appctl("fdb/flush", "br0") == "table successfully flushed\n"
        return len(switch.appctl("fdb/show", "br0").splitlines()) == 1

    wait_until(flushed, what="a table without what a container says by itself")
    assert re.search(
        r"^  flows         : \(current \d+\) \(avg \d+\) \(max \d+\) \(limit \d+\)$",
        switch.appctl("upcall/show"),
        re.MULTILINE,
    )
    assert re.search(r"^upcall_misses .* total: [1-9]\d*$", switch.appctl("coverage/show"), re.M)
    assert int(switch.appctl("-t", DATAPATH, "coverage/read-counter", "worker_packets")) > 0
    assert " ports:3 " in switch.appctl("memory/show")
    switch.appctl("revalidator/wait")
    switch.appctl("revalidator/purge")
    assert "eth_type(0x0800)" not in switch.appctl("dpif/dump-flows", "br0")
    trace = switch.appctl("ofproto/trace", "br0", "in_port=1,dl_dst=ff:ff:ff:ff:ff:ff")
    assert "NORMAL" in trace and "Datapath actions:" in trace
    for words in (["fdb/show", "nothing"], ["time/warp", "x"], ["dpif/dump-flows", "nothing"]):
        with pytest.raises(AssertionError):
            switch.appctl(*words)
