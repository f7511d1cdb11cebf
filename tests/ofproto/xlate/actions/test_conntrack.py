"""ct in translation: what the datapath is told, and what the tables see of the packet later."""

import re

import pytest
from scapy.all import IP, TCP, UDP, Ether, IPv6

from datapath.actions.text.odp_text import format_actions
from datapath.key import flow
from ofproto.codec.instructions import parse_instructions
from ofproto.codec.match_text import parse_match
from ofproto.codec.messages import GROUP_ALL, Bucket
from ofproto.xlate.bridges.xbridge import connect_patch
from ofproto.xlate.state.recirc import RecircTable
from ofproto.xlate.state.steps import text_of
from ofproto.xlate.translate import translate
from tests.ofproto.xlate_world import World, key_of

TRACKED = {"ct_state": 0x22}  # est, trk
NEW = {"ct_state": 0x21}


def world_of(*rules, world=None):
    """Rules as ovs-ofctl takes them, in `table=N,priority=N,MATCH actions=...`."""
    world = world or World(4)
    for text in rules:
        head, _, actions = text.partition(" actions=")
        words = head.split(",")
        special = dict(w.split("=") for w in words if w.startswith(("table=", "priority=")))
        fields = ",".join(w for w in words if not w.startswith(("table=", "priority=")))
        world.rule(
            [],
            parse_match(fields),
            int(special.get("priority", 1)),
            int(special.get("table", 0)),
            parse_instructions(actions),
        )
    return world


class Trip:
    """A packet on its way: run() translates it, again() its copy that ct sent round."""

    def __init__(self, world, packet, in_port=1):
        self.world, self.recirc = world, RecircTable()
        self.key = key_of(packet, in_port)

    def run(self, **metadata):
        key = bytearray(self.key)
        for name, value in metadata.items():
            start, size = flow.MEMBERS[name]
            key[start : start + size] = value.to_bytes(size, "big")
        self.result = translate(self.world.bridge, bytes(key), recirc=self.recirc, trace=True)
        self.error = self.result.error
        return format_actions(self.result.actions, bytes(key)).removesuffix("drop")

    def again(self, number=-1, **metadata):
        fork = self.result.forked[number]
        self.key = fork.key
        return self.run(recirc_id=fork.recirc_id, **metadata)

    def sees(self, name):
        start, size = flow.MEMBERS[name]
        return int.from_bytes(self.result.mask[start : start + size], "big")


def ids_aside(text, trip):
    for each in trip.result.forked:
        text = text.replace(f"({each.recirc_id:#x})", "(ID)")
    return text


TCP4 = Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=5, dport=80)


def test_pipeline_as_ovn_has_it():
    """Zone from a register, state per table, commit with a label, registers kept all the way."""
    world = world_of(
        "ip actions=set_field:7->reg13,set_field:3->metadata,resubmit(,4)",
        "table=4,ip actions=ct(table=5,zone=NXM_NX_REG13[0..15])",
        "table=5,ct_state=+new-est+trk,ip actions=set_field:1->reg0,resubmit(,6)",
        "table=5,ct_state=+est+trk,ct_label=0/1,ip actions=resubmit(,7)",
        "table=5,priority=0 actions=drop",
        "table=6,reg0=1,metadata=3,ip actions=ct(commit,zone=NXM_NX_REG13[0..15],"
        "nat(src=172.16.0.1-172.16.0.9:1000-2000,random),exec(set_field:0/1->ct_label,"
        "move:NXM_NX_REG13[0..7]->NXM_NX_CT_MARK[8..15])),resubmit(,7)",
        "table=7 actions=output:2",
    )
    trip = Trip(world, TCP4)
    assert ids_aside(trip.run(), trip) == "ct(zone=7),recirc(ID)"
    assert trip.sees("ct_state") == 0
    first = trip.result
    assert trip.again(**NEW) == (
        "ct(commit,zone=7,mark=0x700/0xff00,label=0/0x1,"
        "nat(src=172.16.0.1-172.16.0.9:1000-2000,random)),12"
    )
    assert trip.sees("ct_state") == 0x23 and trip.sees("ct_mark") == 0
    trip.result = first
    assert trip.again(**TRACKED) == "12"
    assert trip.sees("ct_state") == 0x23 and trip.sees("ct_label") == 1
    trip.result = first
    assert trip.again(ct_state=0x30) == ""
    assert trip.error is None


def test_a_zone_from_the_label():
    """It is looked at, and is nothing that exec() wrote."""
    world = world_of("ip actions=ct(table=1)",
                     "table=1 actions=ct(commit,zone=NXM_NX_CT_LABEL[0..15]),output:2")  # fmt: skip
    trip = Trip(world, TCP4)
    trip.run()
    assert trip.again(ct_state=0x22, ct_label=0x50007) == "ct(commit,zone=7),12"
    assert trip.sees("ct_label") == 0xFFFF


def test_without_table_the_packet_is_untracked():
    """What was known of the packet is forgotten behind any ct; only a tracked one is cleared."""
    world = world_of(
        "ip actions=ct_clear,ct(table=1)",
        "table=1,ct_state=+trk actions=ct(commit,zone=5),resubmit(,2)",
        "table=2,priority=9,ct_state=+trk actions=output:4",
        "table=2 actions=ct_clear,output:2",
    )
    trip = Trip(world, TCP4)
    assert ids_aside(trip.run(), trip) == "ct,recirc(ID)"
    assert trip.again(**TRACKED) == "ct(commit,zone=5),12"
    world = world_of("ip actions=ct(table=1)", "table=1 actions=ct_clear,ct_clear,output:2")
    trip = Trip(world, TCP4)
    trip.run()
    assert trip.again(**TRACKED) == "ct_clear,12"


def test_known_over_more_than_one_trip():
    """Sent round for another reason, a tracked packet stays one, an untracked one is none."""
    world = world_of(
        "ip actions=ct(table=1)",
        "table=1,ip actions=debug_recirc,debug_recirc,resubmit(,2),ct(commit),debug_recirc,"
        "resubmit(,2)",
        "table=2,priority=9,ct_state=+est+trk actions=output:3",
        "table=2,ip actions=output:4",
    )
    trip = Trip(world, TCP4)
    trip.run()
    out = trip.again(**TRACKED)
    for expected in ("", "", "13,ct(commit),", "14"):
        found = re.fullmatch(rf"{re.escape(expected)}(recirc\((0x[0-9a-f]+)\))?", out)
        assert found, out
        if found[2]:
            out = trip.run(recirc_id=int(found[2], 0), **TRACKED)


def test_original_direction():
    """resubmit(,N,ct) looks the rule up by the original tuple, and puts all back."""
    world = world_of(
        "ip actions=ct(table=1)",
        "table=1,ip actions=resubmit(,2,ct)",
        "table=1,ipv6 actions=resubmit(,2,ct)",
        "table=2,udp,nw_src=10.9.9.9,udp_dst=53 actions=resubmit(,3)",
        "table=3,tcp,nw_src=10.0.0.1 actions=output:3",
    )
    trip = Trip(world, TCP4)
    trip.run()
    before = trip.result
    original = {"ct_nw_src": 0x0A090909, "ct_nw_proto": 17, "ct_tp_dst": 53}
    assert trip.again(**TRACKED, **original) == "13"
    assert trip.sees("ct_nw_src") == 0xFFFFFFFF and trip.sees("ct_tp_dst") == 0xFFFF
    trip.result = before
    assert trip.again(**TRACKED, **{**original, "ct_nw_src": 0x0A090908}) == ""
    trip.result = before
    assert trip.again(**TRACKED) == ""
    assert any("resubmit(ct) with non-tracked" in text_of(each[-1]) for each in trip.result.trace)
    six = world_of(
        "ipv6 actions=ct(table=1)",
        "table=1,ipv6 actions=resubmit(,2,ct)",
        "table=2,udp6,ipv6_src=fe80::9 actions=output:4",
    )
    trip = Trip(six, Ether() / IPv6(src="fe80::1", dst="fe80::2") / TCP())
    trip.run()
    source = int.from_bytes(bytes.fromhex("fe80" + "00" * 13 + "09"), "big")
    assert trip.again(**TRACKED, ct_ipv6_src=source, ct_nw_proto=17) == "14"


def test_fields_of_connections_want_a_valid_one():
    world = world_of(
        "ip actions=ct(table=1)",
        "table=1,ct_state=+est+trk,ip actions=move:NXM_NX_CT_NW_SRC[]->NXM_OF_IP_SRC[],output:2",
        "table=1,priority=0,ip actions=output:3",
    )
    trip = Trip(world, TCP4)
    trip.run()
    assert trip.again(**TRACKED, ct_nw_src=0x01020304) == "set(ipv4(src=1.2.3.4)),12"
    with pytest.raises(Exception, match=r"MATCH_INCONSISTENT|prerequisite"):
        from ofproto.codec.actions import CheckContext, check_actions

        actions = parse_instructions("move:NXM_NX_CT_NW_SRC[]->NXM_NX_REG0[]")[0].actions
        check_actions(actions, CheckContext(parse_match("ip"), 4, 0, 254, {}, {}))


def test_copies():
    """A bucket's or a clone's ct does not reach the packet behind it; the last needs no clone."""
    world = world_of(
        "tcp actions=clone(ct(commit,nat(src=1.1.1.1)),output:2),output:3",
        "udp actions=group:1",
    )
    buckets = [
        Bucket(actions=parse_instructions(f"ct(commit,table={n},nat(dst=1.1.1.{n}))")[0].actions)
        for n in (2, 3)
    ]
    world.group(1, GROUP_ALL, buckets)
    assert Trip(world, TCP4).run() == "clone(ct(commit,nat(src=1.1.1.1)),12),13"
    trip = Trip(world, Ether() / IP() / UDP())
    assert ids_aside(trip.run(), trip) == (
        "clone(ct(commit,nat(dst=1.1.1.2)),recirc(ID)),ct(commit,nat(dst=1.1.1.3)),recirc(ID)"
    )


def test_patch_port():
    """The other bridge sees an untracked packet, and this one's goes on as it was."""
    world = world_of(
        "ip actions=ct(table=1)", "table=1,ip actions=output:9,resubmit(,2)",
        "table=2,ct_state=+est+trk actions=output:3",
    )  # fmt: skip
    other = World(0, "br1", world.bridge.generation)
    other.add_port(8)
    connect_patch(world.add_port(9, odp="none"), other.add_port(1, odp="none"))
    world_of("ct_state=-trk actions=output:8", "priority=9,ct_state=+trk actions=drop", world=other)
    trip = Trip(world, TCP4)
    trip.run()
    assert trip.again(**TRACKED) == "18,13"


def test_timeouts_of_zones():
    world = world_of("ip actions=ct(commit,zone=3),ct(zone=3),ct(commit,zone=4),output:2")
    world.bridge.ct_timeouts[3] = b"7"
    assert Trip(world, TCP4).run() == "ct(commit,zone=3,timeout=7),ct(zone=3),ct(commit,zone=4),12"
