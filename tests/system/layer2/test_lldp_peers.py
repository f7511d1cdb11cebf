"""LLDP with Open vSwitch at the other end of the cable."""

import contextlib
import time

import pytest

from datapath.base.protocols import ETH_LLDP
from ofproto.protocols.lldp import ADDRESS, Settings, compose
from tests import ovs_userspace
from tests.daemons import wait_until
from tests.ovs_names import Names
from vswitchd.protocols.frames import ethernet

pytestmark = [pytest.mark.system, pytest.mark.peer]


def add(switch, name, *more):
    switch.vsctl(*("--may-exist", "add-br", "br0", "--", "set", "bridge", "br0", *more))
    switch.vsctl("add-port", "br0", name, "--", "set", "interface", name, "lldp:enable=true")
    switch.vsctl("add-aa-mapping", "br0", "3", "4")


def statistics(switch):
    lines = switch.appctl("autoattach/statistics").splitlines()[1:]
    return {key.strip(): int(count) for key, _, count in (line.partition(":") for line in lines)}


@pytest.mark.skipif(ovs_userspace.missing() is not None, reason=str(ovs_userspace.missing()))
def test_open_vswitch_says_the_same_of_us(switch):
    with contextlib.closing(ovs_userspace.OvsSwitch()) as other:
        other.start()
        switch.host.run(
            *("ip", "link", "add", "v0", "type", "veth", "peer", "name", "w0"),
            *("netns", str(other.host.pid)),
        )
        switch.host.run("ip", "link", "set", "v0", "up")
        other.host.run("ip", "link", "set", "w0", "up")
        add(switch, "v0", "other_config:a=b")
        add(other, "w0", "datapath_type=netdev")
        ends = ((switch, "v0"), (other, "w0"))
        wait_until(lambda: all(statistics(s)["rx cnt"] for s, _ in ends), 30, "both")
        time.sleep(0.2)
        for command in ("status", "show-isid"):
            shown = []
            for each, name in ends:
                mac = each.vsctl("get", "interface", name, "mac_in_use").strip().strip('"')
                shown.append((each.appctl(f"autoattach/{command}").replace(name, "IF"), mac))
            (ours, our_mac), (theirs, their_mac) = shown
            ours = ours.replace(their_mac, "MAC").replace("openvswitch 3.1.0", "DESCR")
            theirs = theirs.replace(our_mac, "MAC").replace("pyvs 0.1.0", "DESCR")
            assert ours == theirs
            assert "MAC" in ours or command == "show-isid"
        assert statistics(switch)["insert cnt"] == statistics(other)["insert cnt"] == 1
        switch.vsctl("set", "interface", "v0", "lldp:enable=false")
        assert switch.appctl("autoattach/status") == ""
        switch.vsctl("del-br", "br0")  # before the other end of its cable goes


@pytest.fixture
def names(tmp_path):
    made = Names(tmp_path)
    made.start("--enable-dummy", "--disable-system")
    yield made
    made.close()


def test_what_auto_attach_grants_is_trunked(names):
    words = "add-br br0 -- set bridge br0 datapath_type=dummy -- add-port br0 p1 trunks=7"
    names.run("ovs-vsctl", *f"{words} -- set interface p1 type=dummy lldp:enable=true".split())
    names.run("ovs-vsctl", "add-aa-mapping", "br0", "70000", "200")

    def answer(status):
        said = Settings(bytes.fromhex("505400000001"), "x", "server", "", ((70000, 200),))
        frame = ethernet(ADDRESS, said.mac, ETH_LLDP, compose(said))
        mapping = bytes.fromhex("011170")
        assert frame.count(b"\x00\xc8" + mapping) == 1
        frame = frame.replace(b"\x00\xc8" + mapping, bytes((status << 4, 200)) + mapping)
        names.run("ovs-appctl", "netdev-dummy/receive", "p1", frame.hex())

    def trunks():
        return names.run("ovs-vsctl", "get", "port", "p1", "trunks").strip()

    active, rejected = 2, 3
    wait_until(lambda: "Pending" in names.run("ovs-appctl", "autoattach/show-isid"))
    answer(active)
    wait_until(lambda: trunks() == "[7, 200]", what="the VLAN among the trunks")
    names.run("ovs-vsctl", "add", "port", "p1", "trunks", "9")
    answer(rejected)
    wait_until(lambda: trunks() == "[7, 9]", what="the VLAN away from the trunks")
    answer(active)
    wait_until(lambda: trunks() == "[7, 9, 200]", what="the VLAN back")
    names.run("ovs-vsctl", "remove", "port", "p1", "trunks", "200")
    answer(rejected)
    wait_until(lambda: "Rejected" in names.run("ovs-appctl", "autoattach/show-isid"))
    answer(active)
    wait_until(lambda: trunks() == "[7, 9, 200]", what="what was there once")
    names.run("ovs-vsctl", "del-aa-mapping", "br0", "70000", "200")
    wait_until(lambda: trunks() == "[7, 9]", what="the mapping gone")
