"""ofproto/trace: the layout."""

import pytest
from scapy.all import ARP, Ether

from ofproto.codec.fields import BY_NAME
from ofproto.codec.match_text import parse_flow
from ofproto.xlate.bridges.xbridge import connect_patch
from ofproto.xlate.trace import Names, TraceError, Tracing, trace_flow, trace_key
from ofproto.xlate.trace_steps import render
from tests.ofproto.xlate_world import CONTROLLER, NORMAL, World, act, match, output, resubmit


@pytest.fixture
def world():
    made = World(3)
    made.rule([output(NORMAL)], priority=0)
    return made


def test_normal(world):
    text = "in_port=1,dl_src=00:00:00:00:00:0a,dl_dst=00:00:00:00:00:0b"
    assert trace_flow(world.bridge, text).splitlines() == [
        "Flow: in_port=1,vlan_tci=0x0000,dl_src=00:00:00:00:00:0a,dl_dst=00:00:00:00:00:0b,"
        "dl_type=0x0000",
        "",
        'bridge("br0")',
        "-------------",
        " 0. priority 0",
        "    Output",
        "     -> no learned MAC for destination, flooding",
        "",
        "Final flow: unchanged",
        "Megaflow: recirc_id=0,eth,in_port=1,dl_src=00:00:00:00:00:0a,dl_dst=00:00:00:00:00:0b,"
        "dl_type=0x0000",
        "Datapath actions: 12,13",
    ]


def test_only_with_learn_is_anything_learned(world):
    text = "in_port=1,dl_src=00:00:00:00:00:0a,dl_dst=00:00:00:00:00:0b"
    trace_flow(world.bridge, text)
    assert len(world.bridge.mac) == 0
    trace_flow(world.bridge, text, learn=True, now=5)
    assert len(world.bridge.mac) == 1
    assert "learned port is input port" not in trace_flow(world.bridge, text)


def test_changed_headers_and_cookie(world):
    world.rule([act("DecTtl"), output(2)], match(in_port=1, eth_type=0x800), 5, cookie=0xAB)
    report = trace_flow(world.bridge, "in_port=1,ip,nw_ttl=9")
    assert " 0. ip,in_port=1, priority 5, cookie 0xab\n    DecTtl\n    Output\n" in report
    assert "nw_ttl=8" in report.partition("Final flow: ")[2].splitlines()[0]
    assert "nw_ttl=9" in report.partition("Megaflow: ")[2].splitlines()[0]


def test_indentation_of_what_an_action_leads_to(world):
    other = World(0, "br1", world.bridge.generation)
    mine, theirs = world.add_port(4, odp="none"), other.add_port(1, odp="none")
    connect_patch(mine, theirs)
    other.add_port(7)
    other.rule([output(7)])
    world.rule([resubmit(1), output(4), output(2)], match(in_port=1), 9)
    world.rule([resubmit(2)], table=1)
    lines = trace_flow(world.bridge, "in_port=1").splitlines()
    assert lines[2:20] == [
        'bridge("br0")',
        "-------------",
        " 0. in_port=1, priority 9",
        "    Resubmit",
        "     1. priority 32768",
        "            Resubmit",
        "         2. No match.",
        "            drop",
        "    Output",
        "",
        '    bridge("br1")',
        "    -------------",
        "         0. priority 32768",
        "            Output",
        "    Output",
        "",
        "Final flow: unchanged",
        "Megaflow: recirc_id=0,eth,in_port=1,dl_type=0x0000",
    ]


def test_action_set(world):
    late = [act("WriteActions", actions=[output(2), act("DecTtl")])]
    late.append(act("GotoTable", table=1))
    world.rule([], match(in_port=1), 9, instructions=late)
    world.rule([act("Note")], table=1)
    report = trace_flow(world.bridge, "in_port=1,ip,nw_ttl=4")
    assert report.splitlines()[4:13] == [
        " 0. in_port=1, priority 9",
        "    WriteActions",
        "     -> action set is: DecTtl,Output",
        "    GotoTable",
        "     1. priority 32768",
        "            Note",
        "--. Executing action set:",
        "    DecTtl",
        "    Output",
    ]


def test_error(world):
    world.rule([resubmit(0)], priority=9)
    report = trace_flow(world.bridge, "in_port=1")
    assert "     >>>> over max translation depth 64 <<<<\n" in report
    assert report.endswith(
        "Datapath actions: drop\nTranslation failed (Recursion too deep), packet is dropped.\n"
    )


def test_a_packet_instead_of_fields(world):
    frame = bytes(Ether(src="00:00:00:00:00:0a", dst="ff:ff:ff:ff:ff:ff") / ARP(psrc="10.0.0.1"))
    report = trace_flow(world.bridge, "in_port=2", packet=frame)
    assert report.startswith("Flow: arp,in_port=2,vlan_tci=0x0000,dl_src=00:00:00:00:00:0a,")
    assert "arp_spa=10.0.0.1" in report and "Datapath actions: 11,13\n" in report


@pytest.mark.parametrize("text", ["in_port=1,nonsense=3", "dl_vlan=banana", "in_port="])
def test_bad_flows(world, text):
    with pytest.raises(TraceError):
        trace_flow(world.bridge, text)


def test_unknown_recirculation_id(world):
    """That is how the translation of an OpenFlow flow fails; a datapath flow cannot be traced."""
    text = "in_port=1,recirc_id=77,ip"
    assert trace_flow(world.bridge, text).splitlines()[1:] == [
        "",
        'bridge("br0")',
        "-------------",
        "     >>>> Recirculation context not found for ID 4d <<<<",
        "",
        "Final flow: unchanged",
        "Megaflow: recirc_id=0x4d,eth,ip,in_port=1,nw_frag=no",
        "Datapath actions: drop",
        "Translation failed (No recirculation context), packet is dropped.",
    ]
    with pytest.raises(TraceError, match="no recirculation data for recirc_id 0x4d"):
        trace_key(world.bridge, bytes(parse_flow(text).key), Tracing())


def test_render_of_nothing():
    assert list(render([])) == []


def test_only_a_generated_packet_goes_to_the_controllers():
    world = World(1)
    world.rule([output(CONTROLLER)])
    for learn in (False, True):
        text = trace_flow(world.bridge, "in_port=1,arp", learn=learn)
        assert f"controller(reason=1,dont_send={int(not learn)}," in text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("in_port=1,tcp_dst=5", "prerequisites not met for setting tcp_dst"),
        ("in_port=1,ip,nw_src=1.2.3.0/24", "wildcards not allowed here"),
        ("in_port=1,bogus=2", "unknown field bogus"),
    ],
)
def test_a_flow_is_one_packet(world, text, why):
    with pytest.raises(TraceError, match=why):
        trace_flow(world.bridge, text)


def test_ports_by_name_and_none(world):
    report = trace_flow(world.bridge, "in_port=p1,ip", numbers={"p1": 1}, names=Names({1: "p1"}))
    assert "Flow: ip,in_port=p1," in report
    assert "Flow: ip,in_port=ANY," in trace_flow(world.bridge, "ip")


def test_what_the_megaflow_of_a_frame_has(world):
    """Nothing of an outer header that it has not; of a broadcast ARP, whether
    it announces its sender."""
    world.rule(
        [act("SetField", field=BY_NAME["tun_id"], value=5, mask=None), output(2)],
        match(in_port=1),
        9,
    )
    assert "tun_" not in trace_flow(world.bridge, "in_port=1").partition("Megaflow")[2]
    arp = "in_port=2,arp,arp_spa=1.1.1.1,arp_tpa=2.2.2.2,arp_op=1,dl_dst=ff:ff:ff:ff:ff:ff"
    mega = trace_flow(world.bridge, arp).partition("Megaflow: ")[2].splitlines()[0]
    assert mega.endswith(",arp_spa=1.1.1.1,arp_tpa=2.2.2.2,arp_op=1")
    assert (
        "arp_op" not in trace_flow(world.bridge, "in_port=2,arp,arp_op=1").partition("Megaflow")[2]
    )
