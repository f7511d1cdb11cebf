"""ofproto/trace beside Open vSwitch's: the same rules on both sides, the same text expected."""

import re
import tempfile
from pathlib import Path

import pytest

import ofproto.codec.actions  # noqa: F401  (actions that the instructions' parser looks up)
from ofproto.codec.instructions import (
    decode_instructions,
    encode_instructions,
    parse_instructions,
)
from ofproto.codec.match_text import parse_match
from ofproto.xlate.bridges.xbridge import XBundle, XPort, connect_patch
from ofproto.xlate.trace import trace_flow
from ofproto.xlate.trace_recirc import parse_ct_state
from tests.ofproto.ovs_peer import Ovs, peer_marks
from tests.ofproto.xlate_world import World

pytestmark = peer_marks
LOCAL = 0xFFFE
PATCH = 20
METERS = {1: 0, 2: 1, 3: 2}  # as the peer numbers them in its datapath
# rules, flows
CASES = {
    "normal": (
        ["actions=normal"],
        [
            "in_port=1,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:02",
            "in_port=1,dl_dst=01:80:c2:00:00:00",
            "in_port=1,dl_dst=01:80:c2:00:00:10",
            "in_port=1,dl_type=0x8100",
            "in_port=99",
        ],
    ),
    "no rule": ([], ["in_port=1"]),
    "goto": (
        [
            "priority=5,ip actions=set_field:10.0.0.9->ip_dst,goto_table:1",
            "table=1,ip,nw_dst=10.0.0.0/8,cookie=0x12 "
            "actions=dec_ttl,output:2,resubmit(,2),output:3",
            "table=2,tcp actions=push_vlan:0x8100,set_field:4101->vlan_vid,output:4",
        ],
        ["in_port=1,tcp,nw_dst=1.2.3.4,nw_ttl=64", "in_port=1,arp"],
    ),
    "TTL": (
        ["udp actions=dec_ttl,output:2", "udp6 actions=dec_ttl(3,4),output:2"],
        ["in_port=1,udp,nw_ttl=1", "in_port=1,udp6,nw_ttl=1", "in_port=1,udp,nw_ttl=2"],
    ),
    "what is now": (
        [
            "tcp actions=move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[],move:NXM_OF_ETH_SRC[]->"
            "NXM_OF_ETH_DST[],move:NXM_OF_TCP_SRC[]->NXM_OF_TCP_DST[],move:NXM_OF_IP_SRC[0..15]"
            "->NXM_NX_REG0[0..15],push:NXM_NX_IP_TTL[],"
            "pop:NXM_NX_IP_TTL[],multipath(symmetric_l4,1024,modulo_n,1,0,NXM_NX_REG0[])",
            "udp6 actions=move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[],push:NXM_OF_IN_PORT[],"
            "pop:NXM_OF_IN_PORT[]",
        ],
        [
            "in_port=1,tcp,nw_src=1.2.3.4,dl_src=00:00:00:00:00:01,tp_src=9,nw_tos=32,nw_ecn=1",
            "in_port=1,udp6,ipv6_src=fe80::1,ipv6_label=5",
        ],
    ),
    "fragments and hashes": (
        [
            "actions=multipath(symmetric_l3l4,0,modulo_n,99,0,NXM_NX_REG0[]),"
            "multipath(symmetric_l3l4+udp,0,modulo_n,99,0,NXM_NX_REG1[]),"
            "multipath(symmetric_l4,0,modulo_n,99,0,NXM_NX_REG2[])",
            "priority=40000,icmp actions=bundle(symmetric_l3l4,0,hrw,ofport,members:2)",
        ],
        [
            *(
                f"in_port=1,{word},nw_frag={which}{ports}"
                for word, name in (("tcp", "tcp"), ("udp", "udp"), ("sctp6", "sctp"))
                for which, ports in (
                    ("no", f",{name}_src=5,{name}_dst=9"),
                    ("first", f",{name}_src=5,{name}_dst=9"),
                    ("later", ""),
                )
            ),
            "in_port=1,icmp",
        ],
    ),
    "queues": (
        ["in_port=1 actions=pop_queue,2", "in_port=2 actions=set_queue:7,pop_queue,set_queue:0,1"],
        ["in_port=1,tcp", "in_port=2,tcp"],
    ),
    "neighbours": (
        ["actions=2"],
        [
            "in_port=1,icmp6,icmpv6_type=135,nd_target=fe80::2,nd_sll=00:11:22:33:44:55",
            "in_port=1,icmp6,icmpv6_type=136,nd_target=fe80::2,nd_tll=00:11:22:33:44:55",
            "in_port=1,icmp6,icmpv6_type=134",
        ],
    ),
    "TOS without ECN": (
        [
            "tcp,tp_dst=1 actions=load:0xff->NXM_OF_IP_TOS[],2",
            "tcp,tp_dst=2 actions=move:NXM_OF_IP_TOS[]->NXM_NX_REG0[0..7],move:NXM_NX_REG1[0..7]->"
            "NXM_OF_IP_TOS[],2",
            "tcp,tp_dst=3 actions=push:NXM_OF_IP_TOS[],pop:NXM_NX_REG0[0..7],"
            "load:0xf->NXM_OF_IP_TOS[0..3],2",
            "tcp6,tp_dst=4 actions=set_field:0xfc->nw_tos,"
            "move:NXM_OF_IP_TOS[0..1]->NXM_NX_REG0[30..31],2",
        ],
        [
            *(f"in_port=1,tcp,nw_tos=0x40,nw_ecn=1,tp_dst={port},reg1=0x13" for port in (1, 2, 3)),
            "in_port=1,tcp6,nw_tos=0x40,nw_ecn=3,tp_dst=4",
        ],
    ),
    "action set": (
        [
            "actions=write_actions(output:2,dec_ttl),goto_table:1",
            "table=1,actions=write_actions(push_vlan:0x8100),goto_table:2",
            "table=2,tcp,actions=clear_actions,write_actions(output:3)",
            "table=2,udp,actions=output:4",
        ],
        ["in_port=1,tcp,nw_ttl=3", "in_port=1,udp,nw_ttl=3"],
    ),
    "ports": (
        ["actions=in_port,output:1,local,output:99,output:2"],
        ["in_port=1,tcp", "in_port=LOCAL"],
    ),
    "controller": (
        ["cookie=7,actions=controller,controller(max_len=7,id=3),output:2"],
        ["in_port=1,tcp,nw_ttl=3"],
    ),
    "registers": (
        [
            "actions=set_field:5->reg0,move:NXM_NX_REG0[0..7]->NXM_NX_REG1[8..15],"
            "push:NXM_NX_REG1[],pop:NXM_NX_REG2[],output:NXM_NX_REG0[],resubmit(,1)",
            "table=1,reg2=0x500,actions=output:NXM_NX_REG1[],pop:NXM_NX_REG3[],output:4",
        ],
        ["in_port=1,tcp"],
    ),
    "clone": (["actions=clone(set_field:5->reg1,output:2),output:3"], ["in_port=1,tcp"]),
    "clone and action set": (
        [
            "in_port=1,actions=write_actions(output:3),goto_table:1",
            "table=1,actions=clone(output:2),output:4",
            "in_port=2,actions=clone(resubmit(,5)),output:4",
            "in_port=3,actions=clone(resubmit(,5)),write_actions(output:1)",
            "in_port=4,actions=clone(clone(resubmit(,5)),resubmit(,5))",
            "table=5,actions=write_actions(output:3)",
        ],
        [f"in_port={number},tcp" for number in (1, 2, 3, 4)],
    ),
    "exit in a clone": (
        [
            "tcp,actions=clone(output:2,exit),output:3",
            "udp,actions=clone(resubmit(,1),output:1),output:3",
            "sctp,actions=clone(clone(exit),output:1),output:3",
            "ipv6,actions=clone(ct_clear,push_vlan:0x8100,output:2,exit),output:3",
            "arp,actions=clone(output:20),resubmit(,1),output:3",
            "table=1,actions=output:4,exit",
        ],
        [f"in_port=1,{kind}" for kind in ("tcp", "udp", "sctp", "ipv6", "arp")],
    ),
    "MPLS": (
        [
            "actions=push_mpls:0x8847,set_field:100->mpls_label,output:2,pop_mpls:0x0800,output:3",
            "priority=40000,mpls,actions=pop_mpls:0x0800,dec_ttl,output:3",
        ],
        ["in_port=1,tcp,nw_ttl=9,nw_tos=8", "in_port=1,mpls,mpls_bos=1,mpls_label=5,mpls_ttl=8"],
    ),
    "endless": (["actions=resubmit(,0)"], ["in_port=1"]),
    "explosion": (
        ["actions=output:2,resubmit(,1),resubmit(,1)"]
        + [f"table={i},actions=resubmit(,{i + 1}),resubmit(,{i + 1})" for i in range(1, 13)],
        ["in_port=1"],
    ),
    "metadata": (
        [
            "actions=write_metadata:0x5/0xf,goto_table:1",
            "table=1,metadata=0x5/0xf,actions=output:2",
        ],
        ["in_port=1", "in_port=1,metadata=0x30"],
    ),
    "exit": (
        ["actions=resubmit(,1),output:2", "table=1,actions=output:3,exit,output:4"],
        ["in_port=1"],
    ),
    "exit before the action set": (
        ["actions=write_actions(output:3),goto_table:1", "table=1,actions=output:2,exit"],
        ["in_port=1,icmp"],
    ),
    "exit in a clone before the action set": (
        ["actions=write_actions(output:3),goto_table:1", "table=1,actions=clone(output:2,exit)"],
        ["in_port=1,icmp"],
    ),
    "a clone behind deeper tables": (
        [
            "actions=resubmit(,1),resubmit(,2)",
            "table=1,actions=resubmit(,3),output:2",
            "table=2,actions=clone(output:2,clone(output:3)),output:3",
            "table=3,actions=output:3",
        ],
        ["in_port=1,icmp"],
    ),
    "actions behind a look at the size": (
        [
            "actions=check_pkt_larger(99)->NXM_NX_REG0[1],resubmit(,6),output:2",
            "table=6,actions=output:3",
        ],
        ["in_port=1,dl_type=0x9999"],
    ),
    "large packets": (
        [
            "actions=check_pkt_larger(99)->NXM_NX_REG0[1],resubmit(,6)",
            "table=6,reg0=2,actions=output:3",
            "table=6,reg0=0,actions=output:2",
        ],
        ["in_port=1,dl_type=0x9999"],
    ),
    "cut packets": (
        [
            "actions=set_queue:4,output(port=2,max_len=200),output:3,set_queue:5,"
            "output(port=3,max_len=100)"
        ],
        ["in_port=1,dl_type=0x9999"],
    ),
    "the switch's own rules": (
        ["arp,actions=resubmit(,254),output:2", "priority=1,actions=goto_table:254"],
        ["in_port=1,arp", "in_port=1,dl_type=0x9999"],
    ),
    "a controller that answers": (
        ["actions=controller(pause),output:2"],
        ["in_port=1,dl_type=0x9999"],
    ),
    "VLAN": (
        [
            "dl_vlan=10,actions=pop_vlan,output:2",
            # Open vSwitch's second tag would begin with VID 0.
            "priority=1,actions=push_vlan:0x88a8,set_field:4103->vlan_vid,push_vlan:0x8100,"
            "set_field:4104->vlan_vid,output:2,pop_vlan,pop_vlan,output:3",
        ],
        ["in_port=1,dl_vlan=10,dl_vlan_pcp=3", "in_port=1"],
    ),
    "fragments": (
        ["udp,tp_dst=53,actions=output:2", "priority=1,ip,actions=output:3"],
        [f"in_port=1,udp,udp_dst=53,ip_frag={kind}" for kind in ("no", "first")]
        + ["in_port=1,udp,ip_frag=later"],
    ),
    "another port": (
        ["in_port=1,actions=resubmit(2,0),output:3", "in_port=2,actions=in_port,output:2"],
        ["in_port=1", "in_port=2"],
    ),
    "patch": (["in_port=1,actions=output:20,output:2"], ["in_port=1,tcp"]),
    "meters": (
        [
            "udp,actions=meter:1,set_field:1->ip_dscp,goto_table:3",
            "tcp,actions=meter:2,resubmit(,3),write_actions(output:2)",
            "arp,actions=meter:2",
            "table=3,actions=meter:3,output:1,output:3",
        ],
        ["in_port=1,udp", "in_port=1,tcp", "in_port=1,arp"],
    ),
    "ct": (
        [
            "priority=9,in_port=1,icmp,actions=ct(table=1,zone=5)",
            "priority=9,in_port=2,icmp,actions=ct(table=1,nat),set_field:3->reg2,output:3",
            "priority=8,in_port=1,tcp,actions=set_field:6->reg0,ct(commit,table=1,"
            "zone=NXM_NX_REG0[0..15],nat(src=10.0.0.240:80-90),exec(set_field:0x1->ct_mark,"
            "load:2->NXM_NX_CT_LABEL[0..31],move:NXM_NX_REG1[]->NXM_NX_CT_MARK[])),"
            "load:3->NXM_NX_REG2[],resubmit(,2)",
            "priority=8,in_port=2,tcp,actions=clone(ct(commit),output:3),"
            "ct(commit,nat(dst=10.0.0.1)),output:1",
            "priority=8,in_port=2,udp,actions=clone(ct(commit),output:1)",
            "priority=8,in_port=3,tcp,actions=ct(commit,force,alg=ftp,"
            "nat(dst=10.0.0.1-10.0.0.5,random)),ct_clear,output:1",
            "priority=8,in_port=1,tcp6,actions=ct(commit,table=3,nat(dst=[fe80::1]:66)),exit",
            "priority=8,in_port=1,udp6,actions=ct(commit,table=3,nat(dst=fe80::1-fe80::9)),output:2",
            "table=1,tcp,ct_state=+trk+new,actions=ct(commit,zone=3),output:2",
            "table=1,tcp,ct_state=+trk+est,actions=resubmit(,2,ct),ct_clear,output:2",
            "table=1,icmp,ct_state=+new,actions=resubmit(,3),output:2",
            "table=1,icmp,ct_state=-new,actions=set_field:5->metadata,ct(table=2,zone=1)",
            "table=1,icmp,ct_state=+inv+trk,priority=40000,actions=drop",
            "table=2,tcp,ct_state=+trk+est,nw_src=1.2.3.4,"
            "actions=move:NXM_NX_CT_NW_SRC[]->NXM_NX_REG0[]",
            "table=2,ip,ct_state=+rpl+trk,actions=drop",
            "table=3,ct_mark=5,ip,actions=drop",
            "table=3,ct_state=+trk,ct_zone=7,actions=output:20",
            "table=3,tcp6,actions=output:20",
            "priority=8,in_port=3,udp,actions=ct(commit,table=4,zone=NXM_NX_CT_LABEL[0..15],"
            "exec(set_field:7->ct_label))",
            "table=4,udp,actions=ct(commit,zone=NXM_NX_CT_LABEL[4..19],nat),output:2",
        ],
        [
            "in_port=3,udp,ct_label=0x55550000",
            "in_port=1,icmp",
            "in_port=1,icmp --ct-next trk,est --ct-next trk,est,rpl",
            "in_port=1,icmp --ct-next inv,trk",
            "in_port=2,icmp",
            "in_port=1,tcp,nw_src=1.1.1.1,nw_dst=2.2.2.2,tp_src=5",
            "in_port=1,tcp --ct-next trk,est",
            "in_port=2,tcp",
            "in_port=2,udp",
            "in_port=3,tcp",
            "in_port=1,tcp6",
            "in_port=1,udp6,ct_state=trk|new,ct_zone=4",
        ],
    ),
    "late resubmit": (
        [
            "in_port=1,actions=set_field:2->reg0,resubmit(,5)",
            "table=5,actions=resubmit(,6),write_actions(set_field:7->reg3)",
            "table=6,actions=write_actions(output:4)",
        ],
        ["in_port=1"],
    ),
}


@pytest.fixture(scope="module")
def ovs():
    with tempfile.TemporaryDirectory() as directory:
        peer = Ovs(Path(directory))
        try:
            peer.start()
            made = [["set", "Open_vSwitch", ".", "other_config:vlan-limit=2"]]
            for name in ("br0", "br1"):
                made += [["add-br", name], ["set", "bridge", name, "datapath_type=dummy"]]
                made += [["set", "bridge", name, "fail_mode=secure", "protocols=OpenFlow13"]]
            for bridge, name, number, what in ports():
                made.append(["add-port", bridge, name])
                made.append(["set", "interface", name, f"ofport_request={number}", *what])
            peer.vsctl(*[word for command in made for word in ("--", *command)])
            for number in METERS:
                meter = f"meter={number},kbps,band=type=drop,rate=1"
                peer.run("ovs-ofctl", "-OOpenFlow13", "add-meter", mgmt(peer, "br0"), meter)
            yield peer
        finally:
            peer.stop()


def mgmt(peer, bridge):
    return f"unix:{peer.directory}/{bridge}.mgmt"


def ports():
    """(bridge, name, OpenFlow port, columns of the Interface)"""
    for number in range(1, 5):
        yield "br0", f"p{number}", number, ["type=dummy"]
    yield "br1", "q1", 1, ["type=dummy"]
    yield "br0", "pa", PATCH, ["type=patch", "options:peer=pb"]
    yield "br1", "pb", PATCH, ["type=patch", "options:peer=pa"]


def worlds(peer):
    """The two bridges here, with the other side's datapath port numbers."""
    odp = {name: int(n) for name, n in re.findall(r"(\w+) \d+/(\d+):", peer.appctl("dpif/show"))}
    made = {"br0": World(0)}
    made["br1"] = World(0, "br1", made["br0"].bridge.generation)
    patch = []
    for bridge, name, number, _ in [("br0", "br0", LOCAL, 0), ("br1", "br1", LOCAL, 0), *ports()]:
        port = XPort(name, number, *([odp[name]] if name in odp else []))
        made[bridge].bridge.port_add(port)
        made[bridge].bridge.bundle_set(XBundle(name), [port])
        patch += [port] if number == PATCH else []
    connect_patch(*patch)
    made["br0"].bridge.meters.update(METERS)
    return made["br0"], made["br1"]


def add_rule(world, text):
    head, _, actions = text.partition("actions=")
    words = [word for word in head.strip(" ,").split(",") if word]
    # Over OpenFlow 1.3, as the peer gets it: strip_vlan is pop_vlan there.
    instructions = decode_instructions(encode_instructions(parse_instructions(actions), 4), 4)
    special = dict(w.split("=") for w in words if re.match("table|priority|cookie", w))
    fields = ",".join(w for w in words if w.partition("=")[0] not in special)
    world.rule(
        [],
        parse_match(fields),
        int(special.get("priority", 0x8000)),
        int(special.get("table", 0)),
        instructions,
        cookie=int(special.get("cookie", "0"), 0),
    )


def comparable(report):
    """Recirculation ids and the order of ports in a flood are each side's own."""
    report = re.sub(r"recirc\(0x[0-9a-f]+\)", "recirc(ID)", report)
    report = re.sub(r"recirc_id=(\d+,rule|0x[0-9a-f]+)", "recirc_id=ID", report)
    # Open vSwitch wildcards it, though there may be a tuple to look up by
    report = re.sub("ct_nw_proto=0,", "", report)
    lines = report.splitlines()
    if all(word.isdigit() for word in lines[-1].partition(": ")[2].split(",")):
        lines[-1] = ",".join(sorted(lines[-1].partition(": ")[2].split(",")))
    # nw_proto is in their mask where a header is set
    if lines[-1] != "Datapath actions: drop" and "set(" in lines[-1]:
        lines = [re.sub("^Megaflow: recirc_id=0,eth,(tcp|udp)", "Megaflow: ip", k) for k in lines]
        lines = [re.sub("^Megaflow: recirc_id=0,eth,ip(v6)?", "Megaflow: ip", k) for k in lines]
    return lines


@pytest.mark.parametrize("case", CASES)
def test_trace(ovs, case):
    rules, flows = CASES[case]
    world, other = worlds(ovs)
    bridges = {"br0": rules, "br1": ["actions=normal"]}
    for name, lines in bridges.items():
        socket = mgmt(ovs, name)
        ovs.run("ovs-ofctl", "-O", "OpenFlow13", "del-flows", socket)
        for line in lines:
            ovs.run("ovs-ofctl", "-O", "OpenFlow13", "add-flow", socket, line)
            add_rule(world if name == "br0" else other, line)
    for text in flows:
        flow, *states = text.split()
        theirs = ovs.appctl("ofproto/trace", "br0", flow, *states)
        ours = trace_flow(world.bridge, flow, ct_states=list(map(parse_ct_state, states[1::2])))
        assert comparable(ours) == comparable(theirs)


def test_labels_without_a_bottom(ovs):
    """Open vSwitch counts by what it does not match on, so the megaflow is not compared."""
    world, _other = worlds(ovs)
    line = "mpls,actions=pop_mpls:0x0800,output:2"
    ovs.run("ovs-ofctl", "-O", "OpenFlow13", "del-flows", mgmt(ovs, "br0"))
    ovs.run("ovs-ofctl", "-O", "OpenFlow13", "add-flow", mgmt(ovs, "br0"), line)
    add_rule(world, line)
    for flow in ("in_port=1,mpls", "in_port=1,mpls,mpls_bos=0,mpls_label=5,mpls_ttl=9"):
        theirs = comparable(ovs.appctl("ofproto/trace", "br0", flow))
        ours = comparable(trace_flow(world.bridge, flow))
        assert [row for row in ours if not row.startswith("Megaflow")] == [
            row for row in theirs if not row.startswith("Megaflow")
        ]
