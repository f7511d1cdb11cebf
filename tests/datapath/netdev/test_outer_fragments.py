"""Tunnels' outer packets that come in fragments: popped when they are whole; what is no tunnel's
goes on in its pieces, what contradicts itself or waits for nothing is lost under its name."""

import random

import pytest
from scapy.all import GRE, IP, TCP, UDP, Ether, IPv6, defragment, fragment
from scapy.layers.inet6 import IPv6ExtHdrFragment, defragment6, fragment6
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

HEAD = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
INNER = Ether(src="02:00:00:00:00:03", dst="02:00:00:00:00:04") / IP(src="10.9.0.1", dst="10.9.0.2")
INNER = bytes(INNER / UDP(sport=7, dport=8) / Raw(random.Random(1).randbytes(2900)))
DEFRAG = "tnl_defrag(out_port(2),udp(4789,tnl_pop(4)),ip(47,tnl_pop(5)))"
PAYLOADS = {
    "vxlan": UDP(sport=9, dport=4789, chksum=0) / VXLAN(flags=8, vni=7) / Raw(INNER),
    "vxlan-csum": UDP(sport=9, dport=4789) / VXLAN(flags=8, vni=7) / Raw(INNER),
    "gre": GRE(proto=0x6558) / Raw(INNER),
    "other-port": UDP(sport=9, dport=4788) / Raw(INNER),
    "other-protocol": TCP(sport=9, dport=4789) / Raw(INNER),
}
TUNNELS = (("vx4", "vxlan", 4), ("gre5", "gre", 5))
PORTS = {"vxlan": 4, "vxlan-csum": 4, "gre": 5}


def pieces(payload, v6=False, size=600, **more):
    more.setdefault("id", 9)
    if not v6:
        return fragment(IP(src="172.16.0.2", dst="172.16.0.1", **more) / payload, size)
    number = more.pop("id")
    whole = IPv6(src="fd16::2", dst="fd16::1", **more) / payload
    return fragment6(
        IPv6(src="fd16::2", dst="fd16::1", nh=44, **more)
        / IPv6ExtHdrFragment(id=number, nh=whole.nh)
        / Raw(bytes(whole)[40:]),
        size,
    )


@pytest.fixture
def under(shared):
    shared.dpif.flow_flush()
    for name, kind, number in TUNNELS:
        shared.add(name, kind, number)
    for kind in ("eth_type(0x0800)", "eth_type(0x86dd)"):
        for frag in ("first", "later"):
            match = kind + (",ipv4" if "800" in kind else ",ipv6") + f"(frag={frag})"
            shared.flow(f"recirc_id(0),in_port(1),{match}", DEFRAG)
    for port in (4, 5):
        shared.flow(f"recirc_id(0),tunnel(),in_port({port}),eth()", "3")
    yield shared
    shared.dpif.flow_flush()
    for _, _, number in TUNNELS:
        shared.dpif.port_del(number)
    for number in (1, 2, 3):
        shared.dpif.port_drain(number)


def receive(process, fragments):
    for each in fragments:
        process.dpif.port_inject(1, bytes(HEAD / each))


def lost(process, before):
    now = process.drops()
    return {name: n - before.get(name, 0) for name, n in now.items() if n != before.get(name, 0)}


@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("name", PAYLOADS)
def test_in_any_order(under, name, v6):
    before = under.drops()
    for seed in range(6):
        cut = pieces(PAYLOADS[name], v6, id=100 + seed)
        assert len(cut) > 4
        random.Random(seed).shuffle(cut)
        receive(under, [*cut[:-1], cut[seed % 4]])  # one of them twice
        assert [under.dpif.port_drain(port) for port in (2, 3)] == [[], []]
        receive(under, cut[-1:])
        out, inside = (under.dpif.port_drain(port) for port in (2, 3))
        if name in PORTS:
            assert (out, inside) == ([], [INNER])
            continue
        assert sorted(out) == sorted(bytes(HEAD / each) for each in cut) and inside == []
        found = [Ether(each).payload for each in out]
        whole = defragment6(found) if v6 else defragment(found)[0]
        assert bytes(whole).endswith(INNER)
    assert lost(under, before) == {"frag_malformed": 6}


def test_what_is_lost(under):
    """A wrong checksum of the tunnel's, one of a fragment's header, and pieces that overlap."""
    before = under.drops()
    wrong = PAYLOADS["vxlan-csum"].copy()
    wrong.chksum = 5
    receive(under, pieces(wrong))
    assert lost(under, before) == {"tunnel_pop_error": 1}
    cut = pieces(PAYLOADS["vxlan"], id=10)
    cut[1].chksum = 1
    receive(under, cut[1:2])
    assert lost(under, before) == {"tunnel_pop_error": 1, "frag_malformed": 1}
    cut = pieces(PAYLOADS["vxlan"], id=11)
    cut[2].frag -= 1
    del cut[2].chksum
    receive(under, cut)
    assert lost(under, before) == {"tunnel_pop_error": 1, "frag_malformed": 1 + len(cut)}
    assert under.dpif.port_drain(3) == []


def test_a_flood_of_pieces_keeps_nobody_out(under):
    """What waits longest makes room; nothing waits beyond a second."""
    before = under.drops()
    sent = [
        each
        for number in range(1000)
        for each in pieces(PAYLOADS["vxlan"], id=1000 + number, size=600)[: 1 + number % 4]
    ]
    good = pieces(PAYLOADS["vxlan"], id=5000)
    receive(under, [*sent, *good])
    assert under.dpif.port_drain(3) == [INNER]
    found = lost(under, before)
    assert set(found) <= {"frag_limit", "frag_timeout"}
    assert len(sent) - 1000 <= sum(found.values()) < len(sent)
    assert "num frag: 0" in under.dpctl("ipf-get-status")  # those of the tracker


def test_congestion_that_one_piece_met(under):
    """RFC 3168, section 5.3: it is the whole packet's."""
    under.dpif.flow_flush()
    under.flow("recirc_id(0),in_port(1),eth_type(0x0800)", DEFRAG)
    under.flow("recirc_id(0),tunnel(tos=0x3),in_port(4),eth()", "3")
    cut = pieces(PAYLOADS["vxlan"], tos=2)
    cut[2].tos = 3
    del cut[2].chksum
    receive(under, cut)
    assert under.dpif.port_drain(3) == [INNER]
