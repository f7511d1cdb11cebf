"""Tunnels' outer packets that come in fragments: popped when they are whole; what is no tunnel's
goes on in its pieces, what contradicts itself or waits for nothing is lost under its name."""

import random
import time

import pytest
from scapy.all import GRE, IP, TCP, UDP, Ether, IPv6, defragment, fragment
from scapy.contrib.geneve import GENEVE, GeneveOptions
from scapy.layers.inet6 import IPv6ExtHdrFragment, defragment6, fragment6
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from tests.daemons import wait_until

HEAD = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
INNER = Ether(src="02:00:00:00:00:03", dst="02:00:00:00:00:04") / IP(src="10.9.0.1", dst="10.9.0.2")
INNER = bytes(INNER / UDP(sport=7, dport=8) / Raw(random.Random(1).randbytes(2900)))
DEFRAG = "tnl_defrag(out_port(2),udp(4789,tnl_pop(4)),ip(47,tnl_pop(5)),udp(6081,tnl_pop(6)))"
OPTION = GeneveOptions(classid=0x102, type=0x80, data=b"abcdefgh")
PAYLOADS = {
    "vxlan": UDP(sport=9, dport=4789, chksum=0) / VXLAN(flags=8, vni=7) / Raw(INNER),
    "vxlan-csum": UDP(sport=9, dport=4789) / VXLAN(flags=8, vni=7) / Raw(INNER),
    "gre": GRE(proto=0x6558) / Raw(INNER),
    "gre-csum": GRE(proto=0x6558, chksum_present=1, key_present=1, key=7) / Raw(INNER),
    "geneve": UDP(sport=9, dport=6081) / GENEVE(vni=7, proto=0x6558, options=[OPTION]) / Raw(INNER),
    "other-port": UDP(sport=9, dport=4788) / Raw(INNER),
    "other-protocol": TCP(sport=9, dport=4789) / Raw(INNER),
}
TUNNELS = (("vx4", "vxlan", 4), ("gre5", "gre", 5), ("gen6", "geneve", 6))
PORTS = {"vxlan": 4, "vxlan-csum": 4, "gre": 5, "gre-csum": 5, "geneve": 6}


def pieces(payload, v6=False, size=600, **more):
    more.setdefault("id", 9)
    if not v6:
        more.setdefault("src", "172.16.0.2")
        return fragment(IP(dst="172.16.0.1", **more) / payload, size)
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
    for _, _, port in TUNNELS:
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


def first(number, src="172.16.0.2"):
    """The first piece of a packet, for ever the only one."""
    return pieces(PAYLOADS["vxlan"], id=number, src=src)[:1]


def test_who_sends_most_pieces_pushes_out_his_own(under):
    """Packets of ever new ids, and the many pieces of some, from one host: another's stay."""
    good = pieces(PAYLOADS["vxlan"], id=1)
    others = [pieces(PAYLOADS["gre"], id=number, src="172.16.0.3") for number in range(20)]
    flood = "172.16.0.66"
    many = [pieces(PAYLOADS["gre"], id=2000 + i, src=flood, size=48)[:-1] for i in range(20)]
    under.dpif.set_clock(time.monotonic_ns(), 0)  # so that nothing is lost by its time
    try:
        receive(under, [*good[:-1], *[each for cut in others for each in cut[1:]]])
        for number in range(200):
            receive(under, first(3000 + number, flood))
        receive(under, [each for cut in many for each in cut])
        receive(under, good[-1:])
        receive(under, [cut[0] for cut in others])
    finally:
        under.dpif.set_clock(None, 0)
    assert under.dpif.port_drain(3) == [INNER] * 21


def test_nothing_waits_for_the_next_piece_to_be_told_the_time(under):
    before = under.drops()
    receive(under, [*first(1), *first(2)])
    # At least: what earlier tests left waits no longer either.
    late = "frag_timeout"
    wait_until(lambda: lost(under, before).get(late, 0) >= 2, what="the end of their second")


@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize(
    ("bits", "told"),
    [((2, 3, 2), 3), ((1, 1, 3), 3), ((2, 1, 2), 2), ((0, 3, 0), None), ((1, 0, 1), None)],
)
def test_congestion_that_one_piece_met(under, v6, bits, told):
    """RFC 3168, section 5.3: it is the whole packet's; and with pieces of a transport that knows no
    ECN there is no whole."""
    under.dpif.flow_flush()
    under.flow("recirc_id(0),in_port(1),eth_type(0x%x)" % (0x86DD if v6 else 0x800), DEFRAG)
    under.flow(f"recirc_id(0),tunnel(tos={told or 0:#x}/0x3),in_port(4),eth()", "3")
    cut = pieces(PAYLOADS["vxlan"], v6, size=1200)
    for each, ecn in zip(cut, bits, strict=True):
        if v6:
            each.tc = ecn
        else:
            each.tos = ecn
            del each.chksum
    before = under.drops()
    receive(under, cut)
    assert under.dpif.port_drain(3) == ([] if told is None else [INNER])
    assert lost(under, before) == ({} if told is not None else {"frag_malformed": 3})
