"""Debian's ovs-vsctl, ovs-ofctl, ovsdb-client and ovs-appctl against the running switch."""

import json
import os
import re
import shutil
import subprocess

import pytest

from tests.daemons import VSWITCHD, CommandFailed, wait_until

pytestmark = [
    pytest.mark.system,
    pytest.mark.peer,
    pytest.mark.skipif(
        any(shutil.which(name) is None for name in ("ovs-vsctl", "ovs-ofctl", "ovsdb-client")),
        reason="openvswitch-switch is not installed",
    ),
]


@pytest.fixture
def ovs(switch):
    """Runs a command of Open vSwitch with our sockets in its run directory."""

    def run(*words, **options):
        environment = {**os.environ, "OVS_RUNDIR": str(switch.directory)}
        return switch.host.run(*words, env=environment, timeout=30, **options)

    return run


def both(switch, ovs, words):
    """What ovs-vsctl and pyvs-vsctl print: the same, but for the order of rows."""
    theirs = ovs("ovs-vsctl", *words)
    apart = "\n\n" if "\n\n" in theirs else "\n"
    assert sorted(switch.vsctl(*words).strip().split(apart)) == sorted(theirs.strip().split(apart))
    return theirs


def test_vsctl_waits_and_reports_errors(switch, ovs):
    """add-port returns when the port works; what cannot work is told, and stays in `error`."""
    switch.allow("could not open network device|patch")
    one = switch.container("c1", "10.0.0.1/24")
    two = switch.container("c2", "10.0.0.2/24")
    ovs("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
    ovs("ovs-vsctl", "add-port", "br0", "c1", "--", "add-port", "br0", "c2")
    assert one.ping(two.address.split("/")[0]) == 3
    assert ovs("ovs-vsctl", "get", "Interface", "c1", "ofport", "error") == "1\n[]\n"
    environment = {**os.environ, "OVS_RUNDIR": str(switch.directory)}
    for program, device in (("ovs-vsctl", "nodev1"), ("pyvs-vsctl", "nodev2")):
        path = shutil.which(program) or f"{_bin()}/{program}"
        done = subprocess.run(
            [*switch.host.prefix, path, "add-port", "br0", device],
            capture_output=True,
            text=True,
            env={**environment, **switch.environment},
        )
        assert done.returncode == 0
        assert (
            f"{program}: Error detected while setting up '{device}': could not open network device"
            f" {device} (No such device)." in done.stderr
        )
    shown = both(switch, ovs, ["show"])
    assert 'error: "could not open network device nodev1 (No such device)"' in shown
    for words in (
        ["list-ports", "br0"],
        ["list-br"],
        ["iface-to-br", "c2"],
        ["--columns=name,type,ofport,error,admin_state,mac_in_use", "list", "Interface"],
        ["--columns=name,ofport,error", "-f", "csv", "find", "Interface", "ofport=-1"],
        ["get", "Open_vSwitch", ".", "cur_cfg", "next_cfg"],
        ["--format=json", "list", "Bridge"],
    ):
        both(switch, ovs, words)


def _bin():
    from tests.daemons import BIN

    return BIN


def test_transaction_as_mininet_makes_it(switch, ovs):
    """All of a topology in one command: bridges, controllers, ports."""
    switch.allow("6653: connection attempt failed")  # nobody is there
    for name in ("c1", "c2"):
        switch.container(name)
    ovs(
        *("ovs-vsctl", "--", "--id=@s1c0", "create", "Controller", 'target="tcp:127.0.0.1:6653"'),
        *("max_backoff=1000", "--", "--if-exists", "del-br", "s1"),
        *("--", "add-br", "s1", "--", "set", "bridge", "s1", "controller=[@s1c0]"),
        *("other_config:datapath-id=0000000000000001", "fail_mode=secure"),
        *("other-config:disable-in-band=true", "protocols=OpenFlow10,OpenFlow13"),
        *("--", "add-port", "s1", "c1", "--", "add-port", "s1", "c2"),
        *("--", "set", "Interface", "c1", "ofport_request=7"),
    )
    assert switch.get("Bridge", "s1", "datapath_id") == "0000000000000001"
    assert switch.get("Interface", "c1", "ofport") == "7"
    assert ovs("ovs-vsctl", "get-controller", "s1") == "tcp:127.0.0.1:6653\n"
    wait_until(
        lambda: switch.get("Controller", ".", "status:state") in ("BACKOFF", "CONNECTING"),
        what="the controller's state",
    )
    assert "dpid:0000000000000001" in ovs("ovs-ofctl", "show", "s1")
    ovs("ovs-vsctl", "--if-exists", "del-br", "s1")
    assert switch.vsctl("list", "Controller") == ""


def test_ofctl(switch, ovs):
    """Flows are set and read; what both print of the same state is the same."""
    switch.vsctl("add-br", "br0")
    one = switch.container("c1", "10.0.0.1/24", "br0")
    switch.container("c2", "10.0.0.2/24", "br0")
    ovs("ovs-ofctl", "add-flow", "br0", "priority=9,tcp,tp_dst=80,actions=drop")
    ovs("ovs-ofctl", "-OOpenFlow13", "add-flow", "br0", "table=2,ip,actions=dec_ttl,output:2")
    ovs("ovs-ofctl", "del-flows", "br0", "tcp,tp_dst=443")
    assert one.ping("10.0.0.2") == 3
    for words in (
        ["--no-stats", "dump-flows", "br0"],
        ["-OOpenFlow13", "--no-stats", "dump-flows", "br0"],
        ["show", "br0"],
        ["-OOpenFlow13", "dump-ports-desc", "br0"],
        ["dump-desc", "br0"],
    ):
        xid = re.compile(r" \(xid=0x[0-9a-f]+\)")
        theirs = xid.sub("", ovs("ovs-ofctl", *words))
        assert xid.sub("", switch.ofctl(*words)) == theirs
    with pytest.raises(CommandFailed, match=r"OFPBIC_UNSUP_EXP_INST|OFPBAC|OFPBRC|OFPBMC|invalid"):
        ovs("ovs-ofctl", "-OOpenFlow13", "add-flow", "br0", "actions=group:99999")


def test_ovsdb_client(switch, ovs):
    switch.vsctl("add-br", "br0")
    socket = f"unix:{switch.directory / 'db.sock'}"
    assert ovs("ovsdb-client", "list-dbs", socket) == "Open_vSwitch\n_Server\n"
    assert "br0" in ovs("ovsdb-client", "dump", socket, "Bridge", "name")
    operation = {"op": "select", "table": "Bridge", "where": [], "columns": ["name"]}
    answer = ovs("ovsdb-client", "transact", socket, json.dumps(["Open_vSwitch", operation]))
    assert json.loads(answer) == [{"rows": [{"name": "br0"}]}]
    ovs("ovsdb-client", "wait", socket, "Open_vSwitch", "connected")


def test_appctl(switch, ovs):
    """With the daemon's socket as target; one that is found by its pid file has ovs' name."""
    switch.vsctl("add-br", "br0")
    target = switch.directory / f"{VSWITCHD}.{switch.pid(VSWITCHD)}.ctl"
    for words in (["fdb/show", "br0"], ["dpif/show"], ["list-commands"], ["vlog/list"]):
        assert ovs("ovs-appctl", "-t", str(target), *words) == switch.appctl(*words)
