"""Ports that a spanning tree keeps from carrying packets."""

import pytest
from scapy.all import IP, LLC, UDP, Dot3, Ether, Raw

from datapath.actions.text import odp_text
from ofproto.text.flow_text import parse_flow
from ofproto.xlate.bridges.xbridge import connect_patch
from ofproto.xlate.state.recirc import RecircTable
from ofproto.xlate.translate import translate
from tests.ofproto.xlate_world import World, key_of, output

SRC = "00:00:00:00:00:07"
PACKET = Ether(src=SRC, dst="00:00:00:00:00:08") / IP(dst="10.0.0.9") / UDP()


def actions(text):
    (apply,) = parse_flow(f"ip,actions={text}").instructions
    return apply.actions


@pytest.mark.parametrize(
    "looks",
    [
        "check_pkt_larger(99)->NXM_NX_REG0[0],output:1",
        "ct(table=1)",
        "ct(commit),mod_nw_tos:4,output:1",
        "push_vlan:0x8100,output:1,controller",
    ],
)
def test_what_a_port_only_learns_of_is_nothing_to_the_bridge_before(looks):
    first = World(name="a")
    second = World(name="b", generation=first.bridge.generation)
    for world in (first, second):
        world.add_port(9, odp="none")
    connect_patch(first.ports[9], second.ports[9])
    first.rule(actions("output:9,debug_recirc,output:2"))
    second.rule(actions(looks))
    found = []
    for learns in (False, True):
        second.ports[9].forwards, second.ports[9].learns = False, learns
        done = translate(first.bridge, key_of(PACKET, 1), recirc=RecircTable())
        found.append(odp_text.format_actions(done.actions))
    assert found[0] == found[1] and found[0].startswith("recirc("), found


def test_by_a_blocked_port_go_bpdus_only_and_the_mask_says_so():
    world = World()
    world.rule([output(2)])
    world.ports[2].forwards = False
    sent = {}
    for dst in ("01:80:c2:00:00:00", "00:00:00:00:00:08"):
        key = key_of(Dot3(src=SRC, dst=dst) / LLC() / Raw(bytes(35)), 1)
        done = translate(world.bridge, key)
        sent[key] = bool(done.actions)
        mask = int.from_bytes(done.mask, "big")
    assert list(sent.values()) == [True, False]
    bpdu, other = (int.from_bytes(key, "big") for key in sent)
    assert (bpdu ^ other) & mask
