"""Traces through several bridges, as Open vSwitch shows them: each bridge that NORMAL, flood or a
group leads to stands where it is seen what follows it."""

import pytest

from tests.ofproto.ovs_peer import peer_marks
from tests.system.commands.test_told_alike import both

__all__ = ["both"]  # a fixture
pytestmark = [pytest.mark.system, *peer_marks]

# bridge, its port -> the other bridge, the port there
PATCHES = (
    ("br0", "p1", "x1", "q1"),
    ("br0", "p2", "x2", "q2"),
    ("x1", "p3", "y1", "q3"),
    ("x1", "p4", "y2", "q4"),
)
FLOWS = (
    ("actions=normal",),
    ("actions=normal,local",),
    ("actions=1,normal",),
    ("actions=flood,2",),
    ("actions=1,2",),
    ("actions=group:1,local",),
    ("actions=clone(normal),2",),
    ("actions=resubmit(,1),resubmit(,2)", "table=1 actions=normal,1", "table=2 actions=flood"),
    ("actions=learn(table=5,NXM_OF_VLAN_TCI[0..11]=0,load:0->NXM_OF_VLAN_TCI[]),normal",),
)
PACKET = "in_port=9,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:02"


def prepare(switch):
    for name in ("br0", "x1", "x2", "y1", "y2"):
        words = f"add-br {name} -- set bridge {name} datapath_type=dummy fail_mode=standalone"
        switch.run("ovs-vsctl", *words.split())
    for here, port, there, other in PATCHES:
        words = []
        for bridge, name, peer in ((here, port, other), (there, other, port)):
            options = f"type=patch options:peer={peer} ofport_request={port[1:]}"
            words += f"-- add-port {bridge} {name} -- set interface {name} {options}".split()
        switch.run("ovs-vsctl", *words[1:])
    words = "add-port br0 in -- set interface in type=dummy ofport_request=9"
    switch.run("ovs-vsctl", *words.split())
    group = "group_id=1,type=all,bucket=output:1,output:2,bucket=output:2"
    switch.run("ovs-ofctl", "add-group", "br0", group, "-OOpenFlow13")


def test_as_open_vswitch_shows_them(both):
    for switch in both:
        prepare(switch)
    for flows in FLOWS:
        told = []
        for switch in both:
            switch.run("ovs-ofctl", "del-flows", "br0")
            for flow in flows:
                switch.run("ovs-ofctl", "add-flow", "br0", flow)
            shown = switch.run("ovs-ofctl", "dump-flows", "br0", "--no-stats").splitlines()
            trace = switch.run("ovs-appctl", "ofproto/trace", "br0", PACKET).splitlines()
            told.append((shown, [line for line in trace if not line.startswith("Datapath")]))
        assert told[0] == told[1]
        assert str(told[0]).count("bridge(") > 2


def test_a_mirror_that_leads_to_a_bridge(both):
    """What a mirror makes of a packet stands behind the rule that the packet meets."""
    mirror = (
        "-- --id=@p get port p1 -- --id=@m create mirror name=m select-all=true output-port=@p"
        " -- set bridge br0 mirrors=@m"
    )
    told = []
    for switch in both:
        prepare(switch)
        switch.run("ovs-vsctl", *mirror.split())
        switch.run("ovs-ofctl", "add-flow", "br0", "table=1,actions=normal")
        for actions in ("local", "resubmit(,1)", "sample(probability=5,collector_set_id=1),local"):
            switch.run("ovs-ofctl", "add-flow", "br0", f"actions={actions}")
            trace = switch.run("ovs-appctl", "ofproto/trace", "br0", PACKET).splitlines()
            told.append([line for line in trace if not line.startswith("Datapath")])
    assert told[:3] == told[3:]
    assert told[0].count('    bridge("x1")') == 1
