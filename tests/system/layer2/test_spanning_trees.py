"""Spanning trees on real ports: bridges of our own in a ring, the kernel's bridge, Open vSwitch."""

import json
import re

import pytest

from tests import ovs_userspace
from tests.daemons import wait_until

pytestmark = pytest.mark.system

LINKS = (("br0", "br1"), ("br1", "br2"), ("br2", "br0"))


def patches(key):
    """vsctl words: three bridges in a ring of patch ports, each with `key`."""
    words = []
    for i in range(3):
        words += ["--", "add-br", f"br{i}", "--", "set", "bridge", f"br{i}", f"{key}=true"]
        words += [f"other_config:hwaddr=02:00:00:00:00:0{i + 1}"]
    for a, b in LINKS:
        for here, there in ((a, b), (b, a)):
            words += ["--", "add-port", here, f"{here}-{there}", "--", "set", "interface"]
            words += [f"{here}-{there}", "type=patch", f"options:peer={there}-{here}"]
    return words[1:]


def shown(switch, protocol, bridge):
    """Port -> (role, state), as the command prints them."""
    table = switch.appctl(f"{protocol}/show", bridge).partition("Pri.Nbr")[2]
    rows = [line.split() for line in table.splitlines() if line.startswith("  ")]
    return {row[0]: (row[1], row[2]) for row in rows if not row[0].startswith("-")}


def test_a_ring_of_rapid_bridges(switch):
    switch.vsctl(*patches("rstp_enable"))
    a = switch.container("ca", "10.0.0.1/24", "br1")
    b = switch.container("cb", "10.0.0.2/24", "br2")
    settled = {"br0-br1": "Forwarding", "br0-br2": "Forwarding"}
    wait_until(
        lambda: {p: s for p, (_, s) in shown(switch, "rstp", "br0").items()} == settled,
        what="the root's ports",
    )
    assert shown(switch, "rstp", "br2")["br2-br1"] == ("Alternate", "Discarding")
    wait_until(lambda: shown(switch, "rstp", "br2")["cb"][1] == "Forwarding", 8, "an edge")
    wait_until(lambda: shown(switch, "rstp", "br1")["ca"][1] == "Forwarding", 8, "an edge")
    assert b.ping("10.0.0.1", 2) == 2
    # By the root; and at once the other way when that link goes.
    number = switch.get("interface", "cb", "ofport")
    traced = switch.appctl("ofproto/trace", "br2", f"in_port={number}")
    assert traced.count("bridge(") == 4 and traced.count("refuses the packet") == 1
    switch.vsctl("del-port", "br0", "br0-br2")
    assert a.ping("10.0.0.2", 3, 0.1) >= 2  # no forward delay goes by
    wait_until(
        lambda: shown(switch, "rstp", "br2")["br2-br1"][1] == "Forwarding", what="the way round"
    )
    wait_until(
        lambda: "rstp_port_state=Forwarding" in switch.get("port", "br2-br1", "rstp_status"),
        what="the status column",
    )
    assert switch.get("bridge", "br2", "rstp_status:rstp_root_id") == "8.000.020000000001"
    # Without a protocol, and without a loop, the ports are ordinary ones.
    for bridge in ("br0", "br1", "br2"):
        switch.vsctl("set", "bridge", bridge, "rstp_enable=false")
    assert a.ping("10.0.0.2", 2) == 2
    wait_until(lambda: switch.get("port", "br2-br1", "rstp_status") == "{}", what="no status")


@pytest.mark.parametrize("root", ["kernel", "pyvs"])
def test_beside_the_kernels_bridge(switch, root):
    """Two cables between our bridge and the kernel's: one of the four ends blocks."""
    host = switch.host
    priority = {"kernel": "0x9000", "pyvs": "0x1000"}[root]
    switch.vsctl(
        *("add-br", "br0", "--", "set", "bridge", "br0", "stp_enable=true"),
        *("other_config:stp-forward-delay=4", "other_config:stp-hello-time=1"),
        *(f"other_config:stp-priority={int(priority, 16)}", "other_config:stp-max-age=6"),
    )
    try:
        host.run(
            *("ip", "link", "add", "kbr", "type", "bridge", "stp_state", "1"),
            *("forward_delay", "400", "hello_time", "100", "max_age", "600"),
        )
    except AssertionError as error:
        pytest.skip(f"no bridges here: {error}")
    for i in range(2):
        host.run("ip", "link", "add", f"v{i}", "type", "veth", "peer", "name", f"k{i}")
        host.run("ip", "link", "set", f"k{i}", "master", "kbr")
        host.run("ip", "link", "set", f"k{i}", "up")
        host.run("ip", "link", "set", f"v{i}", "up")
        switch.vsctl("add-port", "br0", f"v{i}")
    host.run("ip", "link", "set", "kbr", "up")

    def states():
        ours = [state for _, state in shown(switch, "stp", "br0").values()]
        kernels = [json.loads(host.run("ip", "-j", "-d", "link", "show", f"k{i}")) for i in (0, 1)]
        kernels = [link[0]["linkinfo"]["info_slave_data"]["state"] for link in kernels]
        return sorted(ours), sorted(kernels)

    wanted = {
        "kernel": (["blocking", "forwarding"], ["forwarding", "forwarding"]),
        "pyvs": (["forwarding", "forwarding"], ["blocking", "forwarding"]),
    }[root]
    wait_until(lambda: states() == wanted, 25, "the tree")
    kernel = json.loads(host.run("ip", "-j", "-d", "link", "show", "k0"))
    bridge_id = kernel[0]["linkinfo"]["info_slave_data"]["root_id"]
    priority, *address = re.split("[.:]", bridge_id)  # ip leaves zeros out
    bridge_id = f"{priority}.{''.join(byte.zfill(2) for byte in address)}"
    ours = switch.get("bridge", "br0", "status:stp_designated_root")
    assert ours == bridge_id
    forwarding = next(p for p, (_, s) in shown(switch, "stp", "br0").items() if s == "forwarding")
    assert switch.get("port", forwarding, "status:stp_state") == "forwarding"
    wait_until(lambda: "STP_FORWARD" in switch.ofctl("show", "br0"), what="OpenFlow's port state")


@pytest.mark.peer
@pytest.mark.skipif(ovs_userspace.missing() is not None, reason=str(ovs_userspace.missing()))
def test_beside_open_vswitch(switch):
    """Two cables to Open vSwitch: it agrees at once, whoever is the root."""
    other = ovs_userspace.OvsSwitch()
    other.start()
    try:
        for each, mac in ((switch, "02:00:00:00:00:02"), (other, "02:00:00:00:00:01")):
            each.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "rstp_enable=true")
            each.vsctl("set", "bridge", "br0", f"other_config:hwaddr={mac}")
        other.vsctl("set", "bridge", "br0", "datapath_type=netdev")
        for i in range(2):
            switch.host.run(
                *("ip", "link", "add", f"v{i}", "type", "veth", "peer", "name", f"w{i}"),
                *("netns", str(other.host.pid)),
            )
            switch.host.run("ip", "link", "set", f"v{i}", "up")
            other.host.run("ip", "link", "set", f"w{i}", "up")
            switch.vsctl("add-port", "br0", f"v{i}")
            other.vsctl("add-port", "br0", f"w{i}")

        def roles(each):
            return set(shown(each, "rstp", "br0").values())

        ends = {("Root", "Forwarding"), ("Alternate", "Discarding")}
        both = {("Designated", "Forwarding")}
        wait_until(lambda: (roles(switch), roles(other)) == (ends, both), 10, "a tree")
        switch.vsctl("set", "bridge", "br0", "other_config:rstp-priority=4096")
        wait_until(lambda: (roles(switch), roles(other)) == (both, ends), 10, "the other tree")
        assert "rstp_error_count=0" in switch.get("port", "v0", "rstp_statistics")
    finally:
        switch.vsctl("del-br", "br0")
        other.close()
