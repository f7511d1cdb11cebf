"""multipath, bundle and select groups with fields: shares, symmetry, ports that go down, masks."""

import random
from collections import Counter

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.sctp import SCTP

from datapath.key import flow
from ofproto.codec import messages
from ofproto.codec.errors import OFError
from ofproto.codec.fields import BY_NAME
from ofproto.codec.instructions import parse_instructions
from ofproto.codec.match_text import TextError
from ofproto.codec.messages import Bucket
from ofproto.rules.classifier import Rule
from ofproto.rules.compile import compile_actions
from ofproto.tables.flow_table import FlowTables
from ofproto.tables.group import GroupTable, as_mod
from ofproto.text.flow_text import parse_flow
from ofproto.xlate.translate import translate
from tests.ofproto.xlate_world import World, key_of, match

GROUP_ADD, GROUP_SELECT = 0, 1
REG0 = flow.MEMBERS["reg0"][0]
NONE = 0xFFFF


@pytest.fixture
def world():
    return World(6)


def run(world, text, key):
    world.bridge.tables[0] = None
    program = compile_actions((), parse_instructions(text))
    world.bridge.table(0).insert(Rule(match(), 1, program=program))
    return translate(world.bridge, key)


def reg0(result):
    return int.from_bytes(result.final_key[REG0 : REG0 + 4], "big")


def connection(rng, proto=TCP):
    ends = [(f"10.0.{rng.randrange(99)}.{rng.randrange(99)}", rng.randrange(1 << 16)) for _ in "ab"]
    macs = [f"00:00:00:00:00:{rng.randrange(99):02}" for _ in "ab"]

    def frame(a, b):
        addresses = Ether(src=macs[a], dst=macs[b]) / IP(src=ends[a][0], dst=ends[b][0])
        return key_of(addresses / proto(sport=ends[a][1], dport=ends[b][1]), 1)

    return frame(0, 1), frame(1, 0)


@pytest.mark.parametrize("algorithm", ["modulo_n", "hash_threshold", "hrw", "iter_hash"])
@pytest.mark.parametrize("links", [1, 2, 5, 12, 100])
def test_multipath_shares(world, algorithm, links):
    """Each link gets its part of the connections, which are many."""
    rng = random.Random(links)
    text = f"multipath(symmetric_l4,7,{algorithm},{links},0,NXM_NX_REG0[])"
    each = 40 if links < 50 else 8
    found = Counter(reg0(run(world, text, connection(rng)[0])) for _ in range(each * links))
    assert set(found) <= set(range(links))
    assert len(found) >= links * 0.95
    assert max(found.values()) <= each * (2 if links < 50 else 3.5)


SYMMETRIC = ("symmetric_l4", "symmetric_l3l4", "symmetric_l3l4+udp", "symmetric_l3")


@pytest.mark.parametrize("fields", [*SYMMETRIC, "eth_src", "nw_src", "nw_dst"])
def test_both_ways_and_masks(world, fields):
    """Symmetric hashes are; and what the megaflow leaves out decides nothing."""
    rng = random.Random(1)
    text = f"multipath({fields},7,modulo_n,65536,0,NXM_NX_REG0[0..15])"
    for _ in range(30):
        key, back = connection(rng, rng.choice([TCP, UDP]))
        result = run(world, text, key)
        if fields in SYMMETRIC:
            assert reg0(result) == reg0(run(world, text, back))
        other = connection(rng, rng.choice([TCP, UDP]))[0]
        mixed = bytes(
            a & m | b & ~m & 0xFF for a, b, m in zip(key, other, result.mask, strict=True)
        )
        assert reg0(run(world, text, mixed)) == reg0(result)
        assert reg0(run(world, text.replace(",7,", ",8,"), key)) != reg0(result)


FIELDS = ("eth_src", "symmetric_l4", "symmetric_l3l4", "symmetric_l3l4+udp", "nw_src", "nw_dst")
ETHER = Ether(src="50:54:00:00:00:01", dst="52:54:00:00:00:02")
V4, V6 = IP(src="1.2.3.4", dst="5.6.7.8"), IPv6(src="1::2", dst="33::5555")
# What ovs-vswitchd 3.1 hashes these to, with the bases 10 to 16, modulo 65535
HASHES = (
    (Dot1Q(vlan=7) / V4 / TCP(sport=77, dport=88), "8c0e 3667 0ed3 437a 2e0a 1d55 6b7a"),
    (V4 / UDP(sport=77, dport=88), "8c0e 3a81 ebd9 4d29 2e0a 1d55 6b7a"),
    (V6 / UDP(sport=77, dport=88), "8c0e ed18 3e9a 3820 5fcc d940 35c3"),
    (V6 / SCTP(sport=77, dport=88), "8c0e c9e0 572b e26d 5fcc d940 35c3"),
    (ARP(psrc="1.2.3.4", pdst="1.2.3.9"), "8c0e 5845 2160 581a 000e 000f 3993"),
    (V4 / ICMP(type=3), "8c0e 4741 30f0 2b4f 2e0a 1d55 6b7a"),
)


@pytest.mark.parametrize(("packet", "hashes"), HASHES)
def test_hashes_are_those_of_open_vswitch(world, packet, hashes):
    key = key_of(ETHER / packet, 1)
    found = []
    for basis, fields in enumerate((*FIELDS, "symmetric_l3"), 10):
        text = f"multipath({fields},{basis},modulo_n,65535,0,NXM_NX_REG0[])"
        found.append(f"{reg0(run(world, text, key)):04x}")
    assert " ".join(found) == hashes


def test_udp_ports_count_only_where_said(world):
    rng = random.Random(2)
    key, _ = connection(rng, UDP)
    at = flow.MEMBERS["tp_src"][0]
    other = key[:at] + b"\x12\x34" + key[at + 2 :]
    for fields, same in (("symmetric_l3l4", True), ("symmetric_l3l4+udp", False)):
        text = f"multipath({fields},0,modulo_n,65536,0,NXM_NX_REG0[0..15])"
        assert (reg0(run(world, text, key)) == reg0(run(world, text, other))) is same


def test_hrw_moves_only_what_it_must(world):
    """RFC 2992: with a link more, only packets of the new one change."""
    rng = random.Random(3)
    for _ in range(100):
        key, _ = connection(rng)
        few = reg0(run(world, "multipath(symmetric_l4,0,hrw,5,0,NXM_NX_REG0[])", key))
        more = reg0(run(world, "multipath(symmetric_l4,0,hrw,6,0,NXM_NX_REG0[])", key))
        assert more in (few, 5)


def test_bundle_follows_ports(world):
    rng = random.Random(4)
    load = "bundle_load(symmetric_l4,0,{},ofport,NXM_NX_REG0[0..15],members:2,3,4)"
    keys = [connection(rng)[0] for _ in range(90)]
    before = [reg0(run(world, load.format("hrw"), key)) for key in keys]
    assert all(before.count(port) > 10 for port in (2, 3, 4))
    assert {reg0(run(world, load.format("active_backup"), key)) for key in keys} == {2}
    world.ports[2].up = False
    after = [reg0(run(world, load.format("hrw"), key)) for key in keys]
    assert all(new == old for old, new in zip(before, after, strict=True) if old != 2)
    assert {new for old, new in zip(before, after, strict=True) if old == 2} == {3, 4}
    assert reg0(run(world, load.format("active_backup"), keys[0])) == 3
    world.ports[3].config = 1  # OFPPC_PORT_DOWN
    world.bridge.port_del(world.ports[4])
    assert {reg0(run(world, load.format("hrw"), key)) for key in keys} == {NONE}


def test_bundle_passes_by_a_local_port_that_is_down(world):
    key = key_of(Ether() / IP(), 1)
    load = "bundle_load(eth_src,0,active_backup,ofport,NXM_NX_REG0[0..15],members:LOCAL,3)"
    assert reg0(run(world, load, key)) == 3
    local = world.add_port(0xFFFE)
    assert reg0(run(world, load, key)) == 0xFFFE
    local.up = False
    assert reg0(run(world, load, key)) == 3
    with pytest.raises(TextError, match="OFPBAC_BAD_OUT_PORT"):
        parse_flow("actions=bundle(eth_src,0,hrw,ofport,members:CONTROLLER,3)")


def test_bundle_outputs(world):
    key = key_of(Ether() / IP(), 1)
    result = run(world, "bundle(eth_src,0,active_backup,ofport,members:3,4)", key)
    assert result.actions == run(world, "output:3", key).actions
    assert not any(result.mask[flow.MEMBERS["eth_src"][0] :][:6])
    for port in world.ports.values():
        port.up = False
    assert not run(world, "bundle(eth_src,0,hrw,ofport,members:3,4)", key).actions


# --- select groups


def group(world, fields, parameter=0, method="hash"):
    """A group of buckets of ports 2 (twice the weight), 3 and 4."""
    table = GroupTable(FlowTables(world.bridge))
    buckets = [
        Bucket(weight=weight, actions=parse_instructions(f"output:{port}")[0].actions)
        for port, weight in ((2, 100), (3, 50), (4, 50))
    ]
    mod = messages.GroupMod(GROUP_ADD, GROUP_SELECT, 7, buckets)
    mod.method, mod.parameter, mod.fields = method, parameter, fields
    table.group_mod(mod, 6, 0)
    return table


def test_group_hashes_its_fields(world):
    fields = ((BY_NAME["ip_dst"], 0xFFFFFF00), (BY_NAME["tcp_dst"], 0xFFFF))
    table = group(world, fields)
    rng = random.Random(5)
    shares = Counter()
    for _ in range(400):
        key = connection(rng)[0]
        result = run(world, "group:7", key)
        shares[result.actions] += 1
        other = connection(rng)[0]
        mixed = bytes(
            a & m | b & ~m & 0xFF for a, b, m in zip(key, other, result.mask, strict=True)
        )
        assert translate(world.bridge, mixed).actions == result.actions
    at = flow.MEMBERS["nw_dst"][0]
    assert result.mask[at : at + 4] == b"\xff\xff\xff\0"
    assert not any(result.mask[flow.MEMBERS["nw_src"][0] :][:4])
    twice, *once = (share for _actions, share in shares.most_common())
    assert 240 < twice < 300  # the highest score, which is no share of the weight
    assert all(40 < share < 95 for share in once)
    # Kept in the journal, and told, as it came.
    mod = messages.decode(as_mod(table.groups[7]))
    assert (mod.method, mod.parameter) == ("hash", 0)
    assert next((field.name, mask) for field, mask in mod.fields) == ("ip_dst", 0xFFFFFF00)


def test_group_without_fields_hashes_the_connection(world):
    group(world, ())
    rng = random.Random(6)
    found = Counter(run(world, "group:7", connection(rng)[0]).actions for _ in range(200))
    assert len(found) == 3


def test_other_methods_are_refused(world):
    with pytest.raises(OFError, match="BAD_VALUE"):
        group(world, (), method="round_robin")
