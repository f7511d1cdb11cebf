"""Groups beside Open vSwitch: the same groups, flows and packets on both sides, the same
ofproto/trace expected, and the same buckets for the same hash."""

import re

import pytest

from ofproto.codec.messages import GROUP_ADD
from ofproto.text.group_text import parse_group
from ofproto.xlate.state.recirc import RecircTable
from ofproto.xlate.trace import trace_flow
from tests.daemons import wait_until
from tests.ofproto.ovs_peer import peer_marks
from tests.ofproto.xlate.test_trace_peer import add_rule, comparable, ovs, worlds  # noqa: F401  (a fixture)

pytestmark = peer_marks
# groups, rules, flows
CASES = {
    "all": (
        [
            "group_id=1,type=all,bucket=output:1,bucket=set_field:0:0:0:0:0:9->eth_dst,output:2,"
            "bucket=output:3"
        ],
        ["actions=group:1,output:4"],
        ["in_port=1,tcp", "in_port=2", "in_port=4,arp"],
    ),
    "indirect": (
        ["group_id=1,type=indirect,bucket=dec_ttl,output:2"],
        ["actions=group:1,output:3"],
        ["in_port=1,tcp,nw_ttl=7"],
    ),
    "fast failover": (
        [
            "group_id=1,type=ff,bucket=watch_port:99,output:2,bucket=watch_port:3,output:3",
            "group_id=2,type=ff,bucket=watch_port:98,output:2,bucket=watch_port:99,output:3",
        ],
        ["tcp,actions=group:1,output:4", "udp,actions=group:2,output:4"],
        ["in_port=1,tcp", "in_port=1,udp"],
    ),
    "watched groups": (
        [
            "group_id=1,type=ff,bucket=watch_port:99,output:2",
            "group_id=2,type=ff,bucket=watch_port:2,output:2",
            "group_id=3,type=ff,bucket=watch_group:2,output:4,bucket=watch_port:1,output:3",
            "group_id=4,type=all,bucket=output:2",
            "group_id=5,type=ff,bucket=watch_group:4,output:3",
        ],
        ["tcp,actions=group:3", "udp,actions=group:5", "sctp,actions=group:1"],
        ["in_port=1,tcp", "in_port=1,udp", "in_port=1,sctp"],
    ),
    "action set": (
        ["group_id=1,type=all,bucket=output:3,bucket=set_field:9->ip_dscp,output:2"],
        [
            "actions=write_actions(group:1,output:4),goto_table:1",
            "table=1,tcp,actions=write_actions(output:3,set_field:3->ip_dscp)",
            "table=1,udp,actions=clear_actions,write_actions(output:3)",
            "table=1,sctp,actions=group:1",
        ],
        ["in_port=1,tcp,nw_tos=0", "in_port=1,udp", "in_port=1,sctp"],
    ),
    "order in a bucket": (
        [
            "group_id=1,type=all,bucket=output:2,set_field:1->reg0,dec_ttl,push_vlan:0x8100,"
            "output:3,bucket=resubmit(,4),output:2,bucket=resubmit(,4),set_field:5->reg1,bucket=drop"
        ],
        ["actions=group:1", "table=4,reg1=5,actions=output:4", "table=4,actions=output:3"],
        ["in_port=1,tcp,nw_ttl=9"],
    ),
    "chained": (
        [
            "group_id=1,type=all,bucket=group:2,bucket=set_field:7->reg2,group:3",
            "group_id=2,type=indirect,bucket=set_field:10->nw_ttl,group:3",
            "group_id=3,type=all,bucket=resubmit(,1),bucket=output:4",
        ],
        ["actions=group:1", "table=1,reg2=7,actions=output:2", "table=1,actions=output:3"],
        ["in_port=1,tcp,nw_ttl=9"],
    ),
    "not there": (
        ["group_id=1,type=all,bucket=output:2,bucket=group:77,bucket=output:3"],
        ["actions=group:1,output:4"],
        ["in_port=1"],
    ),
    "endless": (
        ["group_id=1,type=all,bucket=output:2,bucket=group:1"],
        ["actions=group:1,output:4"],
        ["in_port=1"],
    ),
    "controller": (
        ["group_id=1,type=all,bucket=controller"],
        ["cookie=9,actions=group:1,controller"],
        ["in_port=1,tcp"],
    ),
    "VLAN": (
        ["group_id=1,type=all,bucket=pop_vlan,output:2,bucket=output:3"],
        ["actions=push_vlan:0x8100,set_field:4103->vlan_vid,group:1,output:4"],
        ["in_port=1,tcp"],
    ),
    "select": (
        ["group_id=1,type=select,bucket=weight:3,output:2,bucket=output:3"],
        ["tcp,actions=set_field:9->nw_ttl,group:1,output:4", "actions=output:2,group:1,output:4"],
        ["in_port=1,tcp,nw_ttl=64", "in_port=1"],
    ),
    "select in all": (
        [
            "group_id=1,type=select,bucket=weight:3,output:2,bucket=output:3",
            "group_id=2,type=all,bucket=group:1,bucket=set_field:9->nw_ttl,group:1,bucket=output:4",
        ],
        ["actions=group:2"],
        ["in_port=1,tcp,nw_ttl=64"],
    ),
    "to another bridge": (
        ["group_id=1,type=all,bucket=output:20,bucket=output:2"],
        ["actions=group:1,output:3"],
        ["in_port=1,tcp"],
    ),
}


def same(report):
    lines = [re.sub(r"0x[0-9a-f]+(?=\))", "ID", line) for line in comparable(report)]
    # Ours tells why no bucket was chosen yet.
    return [line.replace("the datapath is to hash the packet", "no live bucket") for line in lines]


def put(ovs, groups, rules):  # noqa: F811
    """The groups and rules on both sides; the bridge here."""
    target = f"{ovs.directory}/br0.mgmt"
    world, other = worlds(ovs)
    ovs.run("ovs-ofctl", "-OOpenFlow13", "del-flows", target)
    ovs.run("ovs-ofctl", "-OOpenFlow13", "add-flow", f"{ovs.directory}/br1.mgmt", "actions=normal")
    add_rule(other, "actions=normal")
    ovs.run("ovs-ofctl", "-OOpenFlow13", "del-groups", target)
    for text in groups:
        ovs.run("ovs-ofctl", "-OOpenFlow13", "add-group", target, text)
        made = parse_group(text, GROUP_ADD)
        world.group(made.group_id, made.type, made.buckets)
    for text in rules:
        ovs.run("ovs-ofctl", "-OOpenFlow13", "add-flow", target, text)
        add_rule(world, text)
    return world


@pytest.mark.parametrize("name", CASES)
def test_the_same_trace(ovs, name):  # noqa: F811
    groups, rules, flows = CASES[name]
    world = put(ovs, groups, rules)
    for flow in flows:
        theirs = ovs.appctl("ofproto/trace", "br0", flow)
        assert same(trace_flow(world.bridge, flow)) == same(theirs), flow


WEIGHTS = [(1, 1), (3, 1, 4), (1, 1, 1), (200, 1), (5, 0, 7), (2, 2, 2, 9)]


PACKET = (
    "in_port(1),eth(src=0a:00:00:00:00:01,dst=0a:00:00:00:00:02),eth_type(0x0800),ipv4(src=1.2.3.4,"
    "dst=1.2.3.5,proto=17,tos=0,ttl=64,frag=no),udp(src=8,dst=9)"
)


def their_flows(ovs):  # noqa: F811
    """The flows that a packet makes: as long as they are there, their recirculation id is."""
    ovs.appctl("revalidator/purge")
    ovs.appctl("netdev-dummy/receive", "p1", PACKET)
    return wait_until(lambda: re.search(r".*recirc\(.*", ovs.appctl("dpctl/dump-flows")))[0]


@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_fair_share_of_hashes(ovs, weights):  # noqa: F811
    """How many values of the hash lead to each bucket: as many as with Open vSwitch, or nearer to
    its weight."""
    ports = [2 + i % 3 for i in range(len(weights))]
    buckets = "".join(f",bucket=weight:{w},output:{p}" for w, p in zip(weights, ports, strict=True))
    world = put(ovs, [f"group_id=1,type=select{buckets}"], ["actions=group:1"])
    recirc = RecircTable()
    ours = trace_flow(world.bridge, "in_port=1,udp", recirc=recirc)
    theirs = their_flows(ovs)
    counts = []
    for report, trace in (
        (ours, lambda flow: trace_flow(world.bridge, flow, recirc=recirc)),
        (theirs, lambda flow: ovs.appctl("ofproto/trace", "br0", flow)),
    ):
        recirc_id = re.search(r"recirc\((0x[0-9a-f]+)\)", report)[1]
        chosen = []
        for dp_hash in range(1, 65):
            found = trace(f"in_port=1,udp,recirc_id={recirc_id},dp_hash={dp_hash}")
            chosen.append(int(re.search(r"using bucket (\d+)", found)[1]))
        counts.append([abs(chosen.count(i) / 64 - w / sum(weights)) for i, w in enumerate(weights)])
    assert max(counts[0]) <= max(counts[1]) and sum(counts[0]) <= sum(counts[1])
