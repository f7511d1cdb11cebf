"""NORMAL: learning, VLAN modes, what is never forwarded."""

import itertools

import pytest
from scapy.all import ARP, IP, Dot1Q, Ether, Raw

from datapath.actions.text import odp_text
from ofproto.xlate.bridges.xbridge import connect_patch
from ofproto.xlate.translate import translate
from tests.ofproto.xlate_world import NORMAL, World, key_of, output

A, B, C = (f"00:00:00:00:00:{i:02x}" for i in (0xA, 0xB, 0xC))
BROADCAST = "ff:ff:ff:ff:ff:ff"


def frame(src=A, dst=B, vid=None, pcp=0, inner=None):
    made = Ether(src=src, dst=dst)
    if vid is not None:
        made /= Dot1Q(vlan=vid, prio=pcp)
    if inner is not None:
        made /= Dot1Q(vlan=inner)
    return bytes(made / IP(src="10.0.0.1", dst="10.0.0.2") / Raw(b"x" * 20))


def run(world, packet, in_port, learn=False, now=0):
    result = translate(
        world.bridge, key_of(packet, in_port), side_effects=learn, packet_size=len(packet), now=now
    )
    return odp_text.format_actions(result.actions)


@pytest.fixture
def world():
    made = World(3)
    made.rule([output(NORMAL)], priority=0)
    return made


def test_unknown_floods_and_known_does_not(world):
    assert run(world, frame(A, B), 1, learn=True, now=1000) == "12,13"
    assert run(world, frame(B, A), 2, learn=True, now=1000) == "11"
    assert run(world, frame(A, B), 1) == "12"
    assert list(world.bridge.mac.rows(3500)) == [
        ("p1", 0, "00:00:00:00:00:0a", 2),
        ("p2", 0, "00:00:00:00:00:0b", 2),
    ]


def test_without_side_effects_nothing_is_learned(world):
    run(world, frame(A, B), 1)
    assert len(world.bridge.mac) == 0


def test_destination_behind_the_input_port_drops(world):
    run(world, frame(B, A), 1, learn=True)
    assert run(world, frame(A, B), 1) == "drop"


def test_to_its_own_address_drops(world):
    """The source is learned before the destination is looked up."""
    for port in (1, 2):
        assert run(world, frame(A, A), port, learn=True, now=port) == "drop"
    assert [row[:3] for row in world.bridge.mac.rows(2)] == [("p2", 0, "00:00:00:00:00:0a")]
    assert run(world, frame(A, A), 2) == "drop"


def test_a_station_moves(world):
    run(world, frame(A, BROADCAST), 1, learn=True, now=1)
    run(world, frame(A, BROADCAST), 3, learn=True, now=2)
    assert run(world, frame(B, A), 2) == "13"
    assert world.bridge.mac.total_moved == 1


@pytest.mark.parametrize(
    "address", ["01:80:c2:00:00:00", "01:80:c2:00:00:0e", "01:00:0c:cc:cc:cc", "00:e0:2b:00:00:06"]
)
def test_reserved_addresses(world, address):
    assert run(world, frame(A, address), 1) == "drop"
    world.bridge.forward_bpdu = True
    assert run(world, frame(A, address), 1) == "12,13"


def test_neighbours_of_reserved_addresses_are_forwarded(world):
    for address in ("01:80:c2:00:00:10", "01:00:0c:cc:cc:ce", "00:e0:2b:00:00:05"):
        assert run(world, frame(A, address), 1) == "12,13"


def test_no_flood(world):
    world.ports[2].config |= 16
    assert run(world, frame(A, B), 1) == "13"
    world.bridge.mac.add(0, bytes.fromhex("00000000000b"), world.bundles[2], 0)
    assert run(world, frame(A, B), 1) == "12"


def test_no_receive_no_forward_and_down(world):
    world.ports[1].config = 4
    assert run(world, frame(A, B), 1) == "drop"
    assert run(world, frame(A, "01:80:c2:00:00:00"), 1) == "drop"
    world.ports[1].config = 8  # NO_RECV_STP
    assert run(world, frame(A, B), 1) == "12,13"
    world.ports[1].config = 0
    world.ports[2].config = 32
    assert run(world, frame(A, B), 1) == "13"
    world.ports[3].config = 1
    assert run(world, frame(A, B), 1) == "drop"


def test_protected_ports_do_not_talk(world):
    world.bundles[1].protected = world.bundles[2].protected = True
    assert run(world, frame(A, BROADCAST), 1) == "13"
    world.bridge.mac.add(0, bytes.fromhex("00000000000b"), world.bundles[2], 0)
    assert run(world, frame(A, B), 1) == "drop"


def test_port_without_a_bundle(world):
    world.bridge.bundle_del(world.bundles[1])
    assert run(world, frame(A, B), 1) == "drop"
    assert run(world, frame(A, B), 2) == "13"


# How each mode treats a frame: VLAN 10 is the tag of p1, p2 the other port.
PORTS = {
    "access": {"tag": 10},
    "trunk": {},
    "trunk 10,20": {"trunks": [10, 20]},
    "trunk 20": {"trunks": [20]},
    "native-tagged": {"mode": "native-tagged", "tag": 10},
    "native-untagged": {"mode": "native-untagged", "tag": 10},
    "native-untagged 20": {"mode": "native-untagged", "tag": 10, "trunks": [20]},
    "access 20": {"tag": 20},
}
FRAMES = {"none": None, "10": 10, "20": 20, "0": 0}
# (input mode, frame) -> VLAN inside the switch, None: refused.  0 is "no VLAN" of a trunk.
INSIDE = {
    "access": {"none": 10, "10": None, "20": None, "0": 10},
    "trunk": {"none": 0, "10": 10, "20": 20, "0": 0},
    "trunk 10,20": {"none": None, "10": 10, "20": 20, "0": None},
    "trunk 20": {"none": None, "10": None, "20": 20, "0": None},
    "native-tagged": {"none": 10, "10": 10, "20": 20, "0": 10},
    "native-untagged": {"none": 10, "10": 10, "20": 20, "0": 10},
    "native-untagged 20": {"none": 10, "10": 10, "20": 20, "0": 10},
    "access 20": {"none": 20, "10": None, "20": None, "0": 20},
}
# (output mode, VLAN inside) -> tag on the wire (0: none), None: not sent there.
OUTSIDE = {
    "access": {0: None, 10: 0, 20: None},
    "trunk": {0: 0, 10: 10, 20: 20},
    "trunk 10,20": {0: None, 10: 10, 20: 20},
    "trunk 20": {0: None, 10: None, 20: 20},
    "native-tagged": {0: None, 10: 10, 20: 20},
    "native-untagged": {0: None, 10: 0, 20: 20},
    "native-untagged 20": {0: None, 10: 0, 20: 20},
    "access 20": {0: None, 10: None, 20: 0},
}


def expected(in_mode, out_mode, name):
    inside = INSIDE[in_mode][name]
    tag = None if inside is None else OUTSIDE[out_mode][inside]
    if tag is None:
        return "drop"
    had = FRAMES[name]
    if (had or None) == (tag or None) and had != 0:
        return "12"
    pop = "pop_vlan," if had is not None else ""
    return pop + (f"push_vlan(vid={tag},pcp=0),12" if tag else "12")


@pytest.mark.parametrize(("in_mode", "out_mode"), list(itertools.product(PORTS, PORTS)))
def test_vlan_modes(in_mode, out_mode):
    world = World(0)
    world.add_port(1, **PORTS[in_mode])
    world.add_port(2, **PORTS[out_mode])
    world.rule([output(NORMAL)])
    for name, vid in FRAMES.items():
        assert run(world, frame(vid=vid), 1) == expected(in_mode, out_mode, name), name


def test_priority_tags():
    world = World(0)
    world.add_port(1)
    world.add_port(2, tag=10, priority_tags="if-nonzero")
    world.add_port(3, tag=10, priority_tags="always")
    world.rule([output(NORMAL)])
    assert run(world, frame(vid=10, pcp=5), 1) == "pop_vlan,push_vlan(vid=0,pcp=5),12,13"
    assert run(world, frame(vid=10), 1) == "pop_vlan,12,push_vlan(vid=0,pcp=0),13"
    other = World(0)
    other.add_port(1)
    other.add_port(2, tag=10, priority_tags="anything")  # nothing in the database checks it
    other.rule([output(NORMAL)])
    assert run(other, frame(vid=10, pcp=5), 1) == "pop_vlan,12"


def test_priority_of_a_frame_that_leaves_a_tunnel_port():
    world = World(0)
    world.add_port(1)
    world.add_port(2, mode="dot1q-tunnel", tag=10, priority_tags="if-nonzero")
    world.add_port(3, mode="dot1q-tunnel", tag=10)
    world.rule([output(NORMAL)])
    assert run(world, frame(vid=10, pcp=5), 1) == "pop_vlan,push_vlan(vid=0,pcp=5),12,pop_vlan,13"
    tagged = run(world, frame(vid=10, pcp=5, inner=7), 1)  # the customer's tag is as it was
    assert tagged == run(world, frame(vid=10, pcp=0, inner=7), 1) == "pop_vlan,12,13"


def test_priority_survives_a_new_tag():
    world = World(0)
    world.add_port(1, tag=10)
    world.add_port(2)
    world.rule([output(NORMAL)])
    assert run(world, frame(vid=0, pcp=6), 1) == "pop_vlan,push_vlan(vid=10,pcp=6),12"


def test_inner_tag():
    """It goes on with the frame, but not out of an access port: as in Open vSwitch with its
    vlan-limit of 2."""
    world = World(0)
    world.add_port(1)
    world.add_port(2, tag=10)
    world.add_port(3, mode="native-untagged", tag=10)
    world.rule([output(NORMAL)])
    assert run(world, frame(dst=C, vid=10, inner=33), 1) == "pop_vlan,13"
    assert run(world, frame(dst=C, vid=10), 1) == "pop_vlan,12,13"
    # A station that was learned there gets it without tags.
    world.bridge.mac.add(10, bytes.fromhex("00000000000b"), world.bundles[2], 0)
    assert run(world, frame(dst=B, vid=10, inner=33), 1) == "pop_vlan,pop_vlan,12"


def test_customers_tag_does_not_reach_access_ports():
    world = World(0)
    for number, settings in enumerate(
        ({"mode": "dot1q-tunnel", "tag": 100}, {"tag": 100}, {"tag": 5}, {}), 1
    ):
        world.add_port(number, **settings)
    world.rule([output(NORMAL)])
    tunnel = "push_vlan(tpid=0x88a8,vid=100,pcp=0),14"
    assert run(world, frame(dst=C, vid=5), 1) == tunnel
    assert run(world, frame(dst=C), 1) == f"12,{tunnel}"
    world.bridge.mac.add(100, bytes.fromhex("00000000000b"), world.bundles[2], 0)
    assert run(world, frame(dst=B, vid=5), 1) == "pop_vlan,12"


def test_dot1q_tunnel():
    world = World(0)
    world.add_port(1, mode="dot1q-tunnel", tag=100, cvlans=[5])
    world.add_port(2)
    world.rule([output(NORMAL)])
    assert run(world, frame(vid=5), 1) == "push_vlan(tpid=0x88a8,vid=100,pcp=0),12"
    assert run(world, frame(vid=6), 1) == "drop"
    assert run(world, frame(vid=5, inner=7), 1) == "drop", "a third tag has no room"
    assert run(world, frame(vid=100, inner=5), 2) == "pop_vlan,11"


def test_vlans_learn_apart(world):
    run(world, frame(A, BROADCAST, vid=10), 1, learn=True)
    run(world, frame(A, BROADCAST, vid=20), 2, learn=True)
    assert run(world, frame(B, A, vid=10), 3) == "11"
    assert run(world, frame(B, A, vid=20), 3) == "12"
    assert run(world, frame(B, A), 3) == "11,12"


def test_patch_ports_lead_through_the_other_bridge(world):
    other = World(0, "br1", world.bridge.generation)
    mine = world.add_port(4, odp="none")
    theirs = other.add_port(1, odp="none")
    other.add_port(7)
    other.rule([output(NORMAL)])
    connect_patch(mine, theirs)
    packet = bytes(Ether(src=A, dst=BROADCAST) / ARP())
    assert run(world, packet, 1, learn=True) == "12,13,17"
    assert (mine.tx_packets, theirs.rx_packets, theirs.rx_bytes) == (1, 1, len(packet))
    assert next(other.bridge.mac.rows(0))[0] == "p1"
    assert run(world, frame(B, A), 2) == "11"


def test_patch_loop_ends():
    world = World(1)
    a, b = world.add_port(2, odp="none"), world.add_port(3, odp="none")
    connect_patch(a, b)
    world.rule([output(NORMAL)])
    result = translate(world.bridge, key_of(frame(A, BROADCAST), 1))
    assert result.error == "Recursion too deep" and result.actions == b""
