"""vswitchd with Open vSwitch's clustered database, as docs/clustered-database.md sets it up."""

import subprocess

import pytest

from ovsdb.storage import files
from tests import raft
from tests.daemons import VSWITCHD, Namespace, wait_until
from tests.system.traffic import Pinger, all_have_numbers, ofports

pytestmark = [
    pytest.mark.system,
    pytest.mark.peer,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(raft.MISSING), reason=f"not installed: {', '.join(raft.MISSING)}"),
]


@pytest.fixture
def cluster(switch_daemons):
    switch = switch_daemons
    switch.host = Namespace()
    made = raft.Cluster(switch.directory, files.SWITCH_SCHEMA, switch.host.popen)
    try:
        switch.database = ",".join(made.remotes)
        yield made
    finally:
        made.close()


@pytest.fixture
def switch(switch_daemons, cluster):
    """The running switch, its database the cluster."""
    switch_daemons.allow("connection (attempt )?(failed|dropped)|(receive|send) error")
    switch_daemons.allow("clustered database")
    switch_daemons.allow("transaction|status failed")  # of a member that was killed
    switch_daemons.allow("could not open network device c2")
    switch_daemons.start(vswitchd=["--enable-dummy"])
    return switch_daemons


def test_leader_killed_under_traffic(switch, cluster):
    switch.vsctl("add-br", "br0")
    one = switch.container("c1", "10.0.0.1/24", "br0")
    two = switch.container("c2", "10.0.0.2/24", "br0")
    assert one.ping("10.0.0.2") == 3
    pinger = Pinger(one, "10.0.0.2")
    try:
        for name, number in (("d1", 3), ("d2", 4)):
            leader = cluster.leader()
            cluster.kill(leader)
            settings = ("--", "set", "Interface", name, "type=dummy")
            # Without --no-wait: returns when vswitchd has done it and written that back.
            switch.vsctl("--timeout=40", "add-port", "br0", name, *settings, timeout=60)
            assert ofports(switch) == {"br0": 65534, "c1": 1, "c2": 2} | {
                n: k for n, k in (("d1", 3), ("d2", 4)) if k <= number
            }
            cluster.start(leader)
            cluster.joined()
    finally:
        sent, lost = pinger.stop()
    assert sent > 50 and not lost
    third = switch.container("c3", "10.0.0.3/24", "br0")
    assert third.ping("10.0.0.1") == 3
    two.disconnect()
    wait_until(lambda: switch.get("Interface", "c2", "ofport") == "-1", 20, "the status")


def test_no_quorum_for_a_while(switch, cluster):
    """Two of three gone: nothing can be configured, everything goes on; then it is made up for."""
    switch.vsctl("add-br", "br0")
    one = switch.container("c1", "10.0.0.1/24", "br0")
    switch.container("c2", "10.0.0.2/24", "br0")
    lost = [cluster.leader()]
    lost.append(next(n for n in cluster.alive() if n not in lost))
    for number in lost:
        cluster.kill(number)
    assert one.ping("10.0.0.2") == 3
    with pytest.raises((AssertionError, subprocess.TimeoutExpired)):
        switch.vsctl("--timeout=3", "add-port", "br0", "d1")
    assert one.ping("10.0.0.2") == 3
    for number in lost:
        cluster.start(number)
    cluster.joined()
    switch.vsctl(
        *("--timeout=40", "--may-exist", "add-port", "br0", "d1"),
        *("--", "set", "Interface", "d1", "type=dummy"),
        timeout=60,
    )
    wait_until(lambda: all_have_numbers(switch), 20, "all ports")
    assert one.ping("10.0.0.2") == 3


def test_vswitchd_starts_on_what_the_cluster_has(switch, cluster):
    """Killed while the leader is, too, it takes up the ports where they were."""
    switch.vsctl("add-br", "br0")
    one = switch.container("c1", "10.0.0.1/24", "br0")
    switch.container("c2", "10.0.0.2/24", "br0")
    assert one.ping("10.0.0.2") == 3
    before = ofports(switch)
    switch.kill(VSWITCHD)
    cluster.kill(cluster.leader())
    switch.start_daemon(VSWITCHD)
    assert one.ping("10.0.0.2") == 3
    assert ofports(switch) == before


def test_ovs_vsctl_and_ours_see_the_same(switch, cluster):
    switch.vsctl("add-br", "br0", "--", "set-fail-mode", "br0", "secure")
    command = ("ovs-vsctl", f"--db={switch.database}", "--no-wait", "--timeout=20")
    switch.host.run(*command, "add-br", "br1")
    words = ("get", "Bridge", "br0", "fail_mode", "datapath_type")
    assert switch.host.run(*command, *words) == switch.vsctl(*words)
    wait_until(lambda: "br1" in switch.appctl("ofproto/list"), 20, "br1")


def test_ctl_starts_on_a_cluster(switch_daemons, cluster):
    """`pyvs-ctl --db=...`: vswitchd and datapath only, again and again the same."""
    switch = switch_daemons
    switch.vsctl("--no-wait", "init")
    words = (f"--rundir={switch.directory}", f"--db={switch.database}", "--no-monitor")
    first = switch.command("pyvs-ctl", *words, "start", timeout=60)
    assert f"database: ({switch.database})" in first and "pyvs-ovsdb-server" not in first
    assert switch.command("pyvs-ctl", *words, "start") == first
    switch.vsctl("add-br", "br0")
    assert switch.get("Interface", "br0", "ofport") == "65534"
    assert "pyvs-vswitchd" in switch.command("pyvs-ctl", *words, "stop")
