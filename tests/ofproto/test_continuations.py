"""controller(userdata, pause, meter_id): packet-ins of Nicira's second form, and packets that wait
for the controller and go on from where they were."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.all import IP, UDP, Ether

from datapath.actions.text import odp_text
from ofproto.codec import messages as m
from ofproto.codec.errors import OFError
from ofproto.codec.messages.properties import make
from ofproto.xlate.bridges.xbridge import XBridge
from ofproto.xlate.state import continuation
from tests.ofproto.bridge_world import World, flow, frame

OF10, OF13 = 1, 4
MAC = "02:00:00:00:00:09"


@pytest.fixture
def world():
    made = World()
    yield made
    made.close()


def asking(world, version=OF13):
    client = world.client(version)
    client.do(m.SetConfig(0, 128), m.NxSetPacketInFormat("nxt_packet_in2"))
    return client


def sent(world, number):
    """The next frames that leave by a port."""
    return world.until(lambda: world.received(number), f"a frame at port {number}")


# What is before and behind the pause: registers, the stack, metadata, tables that go on in one
# another, the action set.
TABLES = [
    "table=0,in_port=1 actions=set_field:7->reg3,push:NXM_NX_REG3[],resubmit(,1),"
    "output:NXM_NX_REG5[]",
    "table=1 actions=write_actions(output:3),write_metadata:5,goto_table:2",
    "table=2,cookie=0xabc,metadata=5 actions=controller(userdata=01.02,pause,max_len=40),"
    "pop:NXM_NX_REG4[],set_field:2->reg5,goto_table:3",
    "table=3,reg4=7,reg6=9,udp,tp_dst=99 actions=mod_nw_ttl:9",
]


@pytest.mark.parametrize("version", [OF10, OF13])
def test_a_paused_packet_goes_on_as_the_controller_says(world, version):
    world.client().do(*(flow(text) for text in TABLES))
    client = asking(world, version)
    packet = bytes(Ether(src=MAC, dst=MAC) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(dport=53))
    world.send(1, packet)
    told = client.wait_for(m.PacketIn)
    assert (told.format, told.userdata, told.cookie) == ("nxt_packet_in2", b"\1\2", 0xABC)
    assert (told.table_id, told.packet, told.total_len) == (2, packet, len(packet))
    assert told.match.get("reg3")[0] == 7 and told.match.get("metadata")[0] == 5
    assert not world.received(2) and not world.received(3)
    changed = Ether(packet)
    changed[UDP].dport = 99
    del changed[UDP].chksum
    told.packet = bytes(changed)
    told.match.set("reg6", 9)
    client.do(m.Resume(told))
    for port in (2, 3):  # of the first table's list, and of the action set
        (got,) = sent(world, port)
        assert (Ether(got)[IP].ttl, Ether(got)[UDP].dport) == (9, 99)
    counts = {rule.table_id: rule.n_packets for rule in world.bridge.tables.rules()}
    assert counts[3] == 1


def test_a_tracked_packet_is_tracked_when_it_goes_on(world):
    """In the datapath, too, which has to say so when the packet comes round."""
    world.client().do(
        flow("table=0,in_port=1,ip actions=ct(commit,table=1,zone=5,exec(set_field:7->ct_mark))"),
        flow("table=1,ip,ct_state=+trk actions=set_field:9->pkt_mark,controller(pause),"
             "debug_recirc,resubmit(,2)"),
        flow("table=2,ip,ct_state=+new+trk,ct_zone=5,ct_mark=7,ct_nw_src=10.0.0.1,pkt_mark=9 "
             "actions=output:2"),
    )  # fmt: skip
    client = asking(world)
    packet = bytes(Ether(src=MAC, dst=MAC) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(dport=53))
    world.send(1, packet)
    told = client.wait_for(m.PacketIn)
    assert told.match.get("ct_mark")[0] == 7
    client.do(m.Resume(told))
    assert sent(world, 2) == [packet]


def test_resumed_twice_and_by_a_bridge_that_did_not_pause_it(world):
    """The switch keeps nothing of a packet that waits; what another bridge said is stale."""
    client = asking(world)
    client.do(flow("in_port=1 actions=controller(pause),controller(pause),2"))
    world.send(1, frame(60))
    first = client.wait_for(m.PacketIn)
    client.do(m.Resume(first))
    second = client.wait_for(m.PacketIn)
    client.do(m.Resume(second))
    client.do(flow("in_port=1 actions=drop"))
    client.do(m.Resume(second))
    got = []
    world.until(lambda: len(got) == 2 or got.extend(world.received(2)), "both copies at port 2")
    first.continuation = first.continuation.replace(b"br0", b"br9")
    assert client.refused(m.Resume(first)) == "NXR_STALE"
    second.continuation = None
    assert client.refused(m.Resume(second)) == "NXR_STALE"


def test_what_is_left_is_checked_when_it_comes_back(world):
    client = asking(world)
    client.do(flow("in_port=1 actions=controller(pause),output:2"))
    world.send(1, frame(60))
    told = client.wait_for(m.PacketIn)
    good = told.continuation
    for bad in (b"output:z", b"group:77", b"goto_tab", b"\xff\xfe\xfd\xfc:\xfb\xfa\xf9"[:8]):
        told.continuation = good.replace(b"output:2", bad)
        assert client.refused(m.Resume(told)).startswith(("NXR_STALE", "OFPBAC_BAD_OUT_GROUP"))
    told.continuation = good
    told.packet = told.packet[:13]
    assert client.refused(m.Resume(told)) == "OFPBRC_BAD_LEN"


def test_a_meter_of_its_own(world):
    """What is over the rate of meter_id is not told; without that meter all is."""
    client = asking(world)
    client.do(
        m.MeterMod(m.METER_ADD, 2, 5, [m.Band(m.BAND_DROP, 1000)]),
        flow("in_port=1 actions=controller(meter_id=5,userdata=aa),controller(meter_id=6)"),
    )
    world.send(1, frame(60))
    assert client.wait_for(m.PacketIn).userdata == b"\xaa"
    assert client.wait_for(m.PacketIn).userdata == b""
    (installed,) = world.backer.dpif.flow_dump()
    text = odp_text.format_actions(installed.actions)
    beginning = "sample(sample=100.0%,actions(meter(0),userspace(pid=0,controller(reason=1,"
    assert text.startswith(f"{beginning}dont_send=0,continuation=0,recirc_id="), text
    assert text.count("meter") == 1 and odp_text.parse_actions(text) == installed.actions


BRIDGE = XBridge("br0")
TEXTS = [b"output:2,controller(pause),goto_table:9", b"write_actions(output:1,group:3)", b"drop"]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.binary(max_size=64)
    | st.lists(
        st.tuples(
            st.integers(0xA000, 0xA006),
            st.sampled_from([b"br0", b"\0", *(bytes(10) + text for text in TEXTS)])
            | st.binary(max_size=40),
        ),
        max_size=6,
    ).map(lambda rows: bytes(4) + b"".join(make(*row) for row in rows))
)
def test_hostile_continuations(data):
    told = m.PacketIn(bytes(60), 60, format="nxt_packet_in2", continuation=data)
    try:
        state = continuation.decode(BRIDGE, told)
    except OFError:
        return
    told.continuation = continuation.encode(state)
    assert continuation.decode(BRIDGE, told).name == state.name
