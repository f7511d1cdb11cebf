"""Groups of the running switch: containers behind them, links that go, a vswitchd that is killed,
and Debian's ovs-ofctl as the one who makes them."""

import os
import re
import shutil

import pytest

from tests.daemons import VSWITCHD, wait_until

pytestmark = pytest.mark.system
MAC = "02:00:00:00:00:99"
NO_OVS = pytest.mark.skipif(shutil.which("ovs-ofctl") is None, reason="ovs-ofctl is not installed")


@pytest.fixture
def twins(switch):
    """(one, [two, three]) on br0 under the numbers 1 to 3; the last two have the same addresses."""
    switch.vsctl("add-br", "br0", "--", "set-fail-mode", "br0", "secure")
    one = switch.container("c1", "10.0.0.1/24", "br0", "--", "set", "interface", "c1",
                           "ofport_request=1")  # fmt: skip
    behind = []
    for number in (2, 3):
        name = f"c{number}"
        behind.append(switch.container(name, "10.0.0.2/24"))
        behind[-1].run("ip", "link", "set", "eth0", "address", MAC)
        switch.vsctl(
            *("add-port", "br0", name, "--", "set", "interface", name, f"ofport_request={number}")
        )
    one.run("ip", "neigh", "replace", "10.0.0.2", "lladdr", MAC, "dev", "eth0")
    for each in behind:
        each.run("ip", "neigh", "replace", "10.0.0.1", "lladdr", mac_of(one), "dev", "eth0")
    return one, behind


def add(switch, group, *flows):
    switch.ofctl("add-group", "br0", group)
    for flow in ("priority=1,actions=output:1", *flows):
        switch.ofctl("-OOpenFlow13", "add-flow", "br0", flow)


def counters(switch):
    """(packets of the group, [packets of each bucket]) of group 1."""
    said = switch.ofctl("dump-group-stats", "br0", "group_id=1")
    found = [int(n) for n in re.findall(r"packet_count=(\d+)", said)]
    return found[0], found[1:]


def test_fast_failover_when_a_link_goes(switch, twins):
    one, (two, _three) = twins
    group = "group_id=1,type=ff,bucket=watch_port:2,output:2,bucket=watch_port:3,output:3"
    add(switch, group, "in_port=1,ip,actions=group:1")

    def pings(*buckets):
        assert one.ping("10.0.0.2") == 3
        wait_until(lambda: counters(switch)[1] == [*buckets], what=f"the counters {buckets}")

    def until(link_down):
        def told():
            said = switch.ofctl("-OOpenFlow13", "dump-ports-desc", "br0", "c2")
            return ("LINK_DOWN" in said.split(" 3(c3)")[0].split(" 2(c2)")[1]) == link_down

        wait_until(told, what="the link's state")

    pings(3, 0)
    two.run("ip", "link", "set", "eth0", "down")
    until(True)
    pings(3, 3)
    two.run("ip", "link", "set", "eth0", "up")
    two.run("ip", "neigh", "replace", "10.0.0.1", "lladdr", mac_of(one), "dev", "eth0")
    until(False)
    pings(6, 3)
    switch.ofctl("mod-port", "br0", "c2", "down")
    pings(6, 6)


def mac_of(container):
    return re.search(r"ether ([0-9a-f:]+)", container.run("ip", "link", "show", "eth0"))[1]


SERVER = """
import socket
server = socket.create_server(("", 5001))
print("ready", flush=True)
while True:
    peer, _ = server.accept()
    size = 0
    while data := peer.recv(1 << 16):
        size += len(data)
    peer.sendall(size.to_bytes(8, "big"))
    peer.close()
"""
CLIENT = """
import socket
for _ in range(30):
    peer = socket.create_connection(("10.0.0.2", 5001))
    peer.sendall(bytes(300_000))
    peer.shutdown(socket.SHUT_WR)
    assert int.from_bytes(peer.recv(8), "big") == 300_000
"""


def test_tcp_through_a_select_group(switch, twins):
    """Each connection stays with one of two servers, and both have some; checksums and segments
    that are left to the devices pass the hash and the way round."""
    one, behind = twins
    bucket = "bucket=set_field:02:00:00:00:00:99->eth_dst,output"
    add(switch, f"group_id=1,type=select,{bucket}:2,{bucket}:3", "in_port=1,ip,actions=group:1")
    servers = [each.popen("python3", "-c", SERVER, stdout=-1, text=True) for each in behind]
    try:
        for server in servers:
            assert server.stdout.readline() == "ready\n"
        one.run("python3", "-c", CLIENT)
    finally:
        for server in servers:
            server.kill()
            server.communicate()
    wait_until(lambda: sum(counters(switch)[1]) == counters(switch)[0] > 60, what="the counters")
    assert all(counters(switch)[1])
    flows = switch.dpctl("dump-flows")
    assert "hash(sym_l4(0)),recirc(" in flows and "dp_hash(" in flows


def test_a_killed_vswitchd_comes_back_with_its_groups(switch, twins):
    one, _ = twins
    switch.ofctl("add-group", "br0", "group_id=7,type=select,bucket=group:1,bucket=group:1")
    add(
        switch,
        "group_id=1,type=ff,bucket=watch_port:2,output:2,bucket=watch_port:3,output:3",
        "in_port=1,ip,actions=group:7",
    )
    assert one.ping("10.0.0.2") == 3

    def state():
        groups = switch.ofctl("dump-groups", "br0").splitlines()[1:]
        return groups, switch.ofctl("-OOpenFlow13", "--no-stats", "dump-flows", "br0")

    before = state()
    for _ in range(2):
        switch.kill(VSWITCHD)
        assert one.ping("10.0.0.2") == 3  # the datapath goes on
        switch.start_daemon(VSWITCHD)
        assert state() == before
        assert one.ping("10.0.0.2") == 3
    switch.vsctl("del-br", "br0", "--", "add-br", "br0")
    assert state()[0] == []


def test_trace(switch, twins):
    """ofproto/trace tells of a group; so does what it is not allowed to be."""
    add(
        switch,
        "group_id=1,type=all,bucket=output:2,bucket=output:3",
        "in_port=1,ip,actions=group:1",
    )
    said = switch.appctl("ofproto/trace", "br0", "in_port=1,tcp")
    assert "    group:1\n    bucket 0\n            output:2\n    bucket 1\n" in said
    switch.ofctl("-OOpenFlow13", "add-flow", "br0", "in_port=2,actions=group:8", check=False)
    assert "in_port=2" not in switch.ofctl("-OOpenFlow13", "dump-flows", "br0")


@NO_OVS
@pytest.mark.peer
def test_made_by_ovs_ofctl(switch, twins):
    one, _ = twins
    environment = {**os.environ, "OVS_RUNDIR": str(switch.directory)}

    def theirs(*words):
        return switch.host.run("ovs-ofctl", "-OOpenFlow13", *words, env=environment)

    text = "group_id=1,type=select,bucket=weight:2,output:2,bucket=watch_port:3,output:3"
    theirs("add-group", "br0", text)
    theirs("add-group", "br0", "group_id=2,type=indirect,bucket=group:1")
    theirs("--may-create", "mod-group", "br0", "group_id=3,type=all,bucket=output:1")
    theirs("add-flow", "br0", "priority=1,actions=group:3")
    theirs("add-flow", "br0", "in_port=1,ip,actions=group:2")
    assert one.ping("10.0.0.2") == 3
    wait_until(lambda: counters(switch)[0] == 3, what="the counters")
    for words in (
        ["dump-groups", "br0"],
        ["dump-group-stats", "br0"],
        ["dump-group-features", "br0"],
        ["--no-stats", "dump-flows", "br0", "out_group=2"],
        ["dump-aggregate", "br0", "out_group=3"],
    ):
        ours = switch.ofctl("-OOpenFlow13", *words)
        assert steady(ours) == steady(theirs(*words)), words
    # Without a version: Nicira's messages of 1.0.
    text = "group_id=3,command_bucket_id=first,bucket=bucket_id:4,output:1"
    switch.host.run("ovs-ofctl", "insert-buckets", "br0", text, env=environment)
    assert "bucket=actions=output:1,bucket=actions=output:1" in theirs("dump-groups", "br0")
    for words in (["dump-groups", "br0", "3"], ["dump-group-stats", "br0"]):
        other = switch.host.run("ovs-ofctl", *words, env=environment)
        assert steady(switch.ofctl("-OOpenFlow10", *words)) == steady(other)
    theirs("del-groups", "br0", "group_id=2")
    assert "group:2" not in switch.ofctl("-OOpenFlow13", "dump-flows", "br0")
    theirs("del-groups", "br0")
    assert switch.ofctl("-OOpenFlow13", "--no-stats", "dump-flows", "br0").strip() == ""


def steady(text):
    return re.sub(r"duration=[\d.]+s|xid=0x\w+", "", text)
