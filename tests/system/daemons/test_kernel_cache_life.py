"""other_config:kernel-cache with the whole switch: flows in the kernel follow the tables, outlive
the daemons, and go with their ports."""

import re

import pytest

from tests.daemons import DATAPATH, VSWITCHD, wait_until
from tests.datapath.bpf.test_instructions import needs_bpf
from tests.datapath.wire import neighbours
from tests.system.traffic import Pinger, longest_run

pytestmark = [pytest.mark.system, needs_bpf]


def pair(switch):
    switch.vsctl("add-br", "br0")
    return [switch.container(f"c{n}", f"10.0.0.{n}/24", "br0") for n in (1, 2)]


def hits(switch):
    found = re.search(r"kernel cache: on, flows:\d+ hit:(\d+)", switch.dpctl("show"))
    return int(found[1]) if found else -1


def clsacts(switch):
    return switch.host.run("tc", "qdisc", "show").count("clsact")


def n_packets(switch, match):
    found = switch.ofctl("dump-flows", "br0", match)
    return sum(int(count) for count in re.findall(r"n_packets=(\d+)", found))


def test_statistics_of_flows_and_ports_are_exact(switch):
    one, _ = pair(switch)
    switch.ofctl("del-flows", "br0")
    for number, out in ((1, 2), (2, 1)):
        switch.ofctl("add-flow", "br0", f"priority=9,in_port={number},icmp,actions={out}")
    switch.ofctl("add-flow", "br0", "priority=1,actions=normal")
    one.run("ping", "-q", "-c200", "-i0.005", "10.0.0.2")
    assert hits(switch) > 300
    assert n_packets(switch, "icmp,in_port=1") == n_packets(switch, "icmp,in_port=2") == 200
    assert "offloaded:yes, dp:tc-bpf" in switch.dpctl("dump-flows", "-m")
    for words, told in (("type=offloaded", True), ("type=ovs", False), ("type=dpdk", False)):
        assert ("proto=1" in switch.appctl("dpctl/dump-flows", words)) == told


def test_a_flow_mod_is_followed_at_its_barrier(switch):
    """ofctl returns when the barrier was answered: what is sent then goes by the new rules."""
    one, _ = pair(switch)
    assert one.ping("10.0.0.2", count=10) == 10
    for _ in range(5):
        switch.ofctl("add-flow", "br0", "priority=99,icmp,actions=drop")
        dropped = n_packets(switch, "icmp")
        one.run("ping", "-q", "-c20", "-i0.01", "-W0.1", "10.0.0.2", check=False)
        assert n_packets(switch, "icmp") - dropped == 20
        switch.ofctl("del-flows", "br0", "icmp")
        assert one.ping("10.0.0.2", count=10) == 10
    assert hits(switch) > 50


def test_known_flows_outlive_both_daemons(switch):
    one, two = pair(switch)
    neighbours(one, two)  # who is asked for again while nobody is there is no known flow
    switch.vsctl("set", "Open_vSwitch", ".", "other_config:max-idle=60000")
    pinger = Pinger(one, "10.0.0.2")
    wait_until(lambda: hits(switch) > 20, what="hits in the kernel")
    for name in (VSWITCHD, DATAPATH):
        switch.kill(name)
    lost = one.run("ping", "-q", "-c50", "-i0.02", "-W0.2", "10.0.0.2", check=False)
    assert clsacts(switch) == 2
    assert re.search(r"(\d+) received", lost)[1] == "50", lost
    switch.start_daemon(DATAPATH)
    switch.start_daemon(VSWITCHD)
    wait_until(lambda: hits(switch) > 20, what="hits in the kernel, again")
    sent, lost = pinger.stop()
    assert sent > 50
    assert longest_run(lost) < 10
    switch.allow("lost the datapath process")


def test_a_flow_mod_is_followed_at_its_barrier_after_the_datapath_was_killed(switch):
    """The killed process's flows are followed until the next one has all ports, not longer."""
    one, _ = pair(switch)
    assert one.ping("10.0.0.2", count=20) == 20
    wait_until(lambda: hits(switch) > 10, what="hits in the kernel")
    switch.kill(DATAPATH)  # vswitchd starts another
    wait_until(lambda: "c2" in switch.dpctl("show", check=False), what="the ports again")
    switch.ofctl("add-flow", "br0", "priority=99,icmp,actions=drop")
    one.run("ping", "-q", "-c20", "-i0.01", "-W0.1", "10.0.0.2", check=False)
    assert n_packets(switch, "icmp") == 20
    switch.allow("lost the datapath process")


def test_nothing_is_left_behind(switch):
    pair(switch)
    assert clsacts(switch) == 2
    switch.vsctl("set", "Interface", "c1", "other_config:kernel-cache=false")
    assert clsacts(switch) == 1
    switch.vsctl("remove", "Interface", "c1", "other_config", "kernel-cache")
    assert clsacts(switch) == 2
    for off, left in (("false", 0), ("true", 2)):
        switch.vsctl("set", "Open_vSwitch", ".", f"other_config:kernel-cache={off}")
        wait_until(lambda left=left: clsacts(switch) == left, what="the cache as it is wanted")
    switch.vsctl("del-port", "c1")
    assert clsacts(switch) == 1
    switch.kill(DATAPATH)
    assert clsacts(switch) == 1
    switch.command("pyvs-ctl", f"--rundir={switch.directory}", "stop")
    assert clsacts(switch) == 0
    switch.allow("lost the datapath process")
