"""Routes, neighbours and headers of tunnels: a naive twin for prefixes, scapy for bytes."""

import random

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, GRE, Ether
from scapy.layers.vxlan import VXLAN

from datapath.actions import odp
from datapath.actions.text import odp_text, tunnel_text
from ofproto.underlay import addresses, headers, messages
from ofproto.underlay.asked import GIVEN_UP_MS, MAX_ASKED, Asked
from ofproto.underlay.listening import Listener
from ofproto.underlay.neighbours import HEAD, MAX_NEIGHBOURS, Neighbours
from ofproto.underlay.routes import Route, RouteTable
from ofproto.underlay.underlay import Device, Underlay, networks

MAC, OTHER = bytes.fromhex("aa55aa550000"), bytes.fromhex("f8bc124434b6")


def number(text):
    return addresses.from_text(text)


def network(text):
    return addresses.network_from_text(text)


def underlay():
    made = Underlay()
    made.set_devices({"br0": Device(MAC, networks(["1.1.2.88/24", "2001:cafe::88/24"]))})
    return made


def add(table, text, device="br0", gateway="", mark=0, source=None):
    bits = network(text)
    there = number(gateway) if gateway else 0
    source = number(source) if source else None
    route = table.user_route(*bits, mark, device, there, source)
    if route is not None:
        table.routes.add(route)
        table.refresh()
    return route


def test_what_a_user_may_route():
    """As Open vSwitch 3.1 answered."""
    table = underlay()
    assert add(table, "1.1.2.92/24") is not None
    assert add(table, "1.1.3.0/24", "nobr") is None
    assert add(table, "9.1.3.0/24") is None
    assert add(table, "9.1.4.0/24", gateway="3.1.2.1") is None
    assert add(table, "9.1.4.0/24", gateway="1.1.2.1") is not None
    assert add(table, "9.1.8.0/24", gateway="1.1.2.1", mark=5) is not None
    assert add(table, "2001:cafe::92/24") is not None
    assert add(table, "::/0", gateway="2001:cafe::1") is not None
    assert add(table, "9.9.9.9", gateway="1.1.2.1", source="1.1.2.88") is not None
    assert add(table, "9.9.9.9", gateway="1.1.2.1", source="1.1.2.89") is None
    assert sorted(map(str, table.routes)) == [
        "User: 1.1.2.0/24 dev br0 SRC 1.1.2.88",
        "User: 2001:ca00::/24 dev br0 SRC 2001:cafe::88",
        "User: 9.1.4.0/24 dev br0 GW 1.1.2.1 SRC 1.1.2.88",
        "User: 9.1.8.0/24 MARK 5 dev br0 GW 1.1.2.1 SRC 1.1.2.88",
        "User: 9.9.9.9/32 dev br0 GW 1.1.2.1 SRC 1.1.2.88",
        "User: ::/0 dev br0 GW 2001:cafe::1 SRC 2001:cafe::88",
    ]
    way = table.way(number("9.1.4.7"), 0, 0)
    assert way == ("br0", MAC, number("1.1.2.88"), number("1.1.2.1"))
    assert table.way(number("9.1.8.7"), 0, 0) is None
    assert table.way(number("9.1.8.7"), 0, 5).next_hop == number("1.1.2.1")
    assert table.way(number("1.1.2.5"), number("1.1.2.1"), 0) is None  # a source that is not ours
    assert table.listening.keys() == {"br0"}


def test_lookup_is_the_longest_prefix():
    chosen = random.Random(7)
    table, known = RouteTable(), {}
    for _ in range(300):
        bits = addresses.IPV4_BITS + chosen.choice([0, 4, 8, 9, 16, 24, 32])
        net = (
            number("10.0.0.0") | chosen.getrandbits(8) << 16 | chosen.getrandbits(3)
        ) & addresses.mask(bits)
        route = Route(net, bits, 0, "br0", 0, chosen.getrandbits(32), chosen.random() < 0.3)
        known[net, bits, route.is_user] = route
        table.add(route)
    for route in chosen.sample(list(known.values()), 60):
        table.remove(route)
        del known[route.network, route.bits, route.is_user]
    assert set(table) == set(known.values())
    for _ in range(500):
        to = number("10.0.0.0") | chosen.getrandbits(8) << 16 | chosen.getrandbits(3)
        fitting = [r for r in known.values() if to & addresses.mask(r.bits) == r.network]
        best = max((r.priority for r in fitting), default=None)
        found = table.lookup(to)
        assert (found is None) == (best is None) and (found is None or found in fitting)
        assert found is None or found.priority == best


def test_the_kernels_routes_follow_and_users_stay():
    table = underlay()
    add(table, "1.1.2.92/24")
    first = [Route(*network("10.0.0.0/8"), 0, "br0", 0, number("1.1.2.88"))]
    table.routes.set_kernel(first)
    before = table.routes.changed
    table.routes.set_kernel(first)
    assert table.routes.changed == before
    local = Route(*network("1.1.2.88/32"), 0, "br0", 0, number("1.1.2.88"), is_local=True)
    table.routes.set_kernel([local])
    assert sorted(map(str, table.routes)) == [
        "Cached: 1.1.2.88/32 dev br0 SRC 1.1.2.88 local",
        "User: 1.1.2.0/24 dev br0 SRC 1.1.2.88",
    ]


def test_neighbours_age_and_are_bounded():
    told = []
    table = Neighbours(lambda: told.append(1))
    table.set("br0", number("1.1.2.92"), OTHER, 0)
    assert str(table) == HEAD + f"{'1.1.2.92':<46}f8:bc:12:44:34:b6   br0\n"
    assert table.lookup("br0", number("1.1.2.92"), 800_000) == OTHER
    table.run(900_001)  # it was used meanwhile
    assert len(table) == 1 and len(told) == 1
    table.set_aging(5000, 900_001)
    table.run(905_001)
    assert len(table) == 0 and len(told) == 2
    for address in range(MAX_NEIGHBOURS + 10):
        table.set("br0", address, OTHER, address)
    assert len(table) == MAX_NEIGHBOURS
    assert table.lookup("br0", 3, 20) is None and table.lookup("br0", 12, 20) == OTHER
    table.flush()
    assert len(table) == 0


def test_who_is_asked_and_when():
    asked, known = Asked(), Neighbours()
    asked.want("br0", "br0", MAC, number("1.1.2.88"), number("1.1.2.92"), 0)
    times = [now for now in range(0, 40_000, 500) if asked.take(known, now)]
    assert times == [0, 1000, 2000, 12_000, 22_000, 32_000]
    known.set("br0", number("1.1.2.92"), OTHER, 40_000)
    assert asked.take(known, 50_000) == [] and asked.next_run() is None
    asked.want("br0", "br0", MAC, number("1.1.2.88"), number("1.1.2.93"), 0)
    assert asked.take(known, GIVEN_UP_MS + 1) == [] and asked.next_run() is None


def test_who_was_known_before_this_process_is_asked_once():
    """What a dead process knew, less than what was heard since, and in turn of age."""
    before, table = Neighbours(), underlay()
    peers = [number("1.1.2.92"), number("1.1.2.93")]
    for now, address in enumerate(peers):
        before.set("br0", address, OTHER, now)
        before.set("br1", address, MAC, 600_000)
    add(table, "1.1.2.92/24")
    table.neighbours.set("br0", peers[1], MAC, 0)
    table.neighbours.recall("br0", list(before.of("br0")), 300_000)
    known = {address: (mac, expires) for address, mac, expires in table.neighbours.of("br0")}
    assert known == {peers[0]: (OTHER, 900_000), peers[1]: (MAC, 900_000)}
    for now, frames in ((300_000, 1), (300_000, 0), (400_000, 0)):
        for address in peers:
            table.make_sure("br0", table.way(address, 0, 0), now)
        assert len(table.frames_to_send(now)) == frames
    assert table.neighbours.lookup("br0", peers[0], 400_000) == OTHER


def test_another_address_of_ours_asks_soon():
    """The answer to the old one would not be for us."""
    asked, known, found = Asked(), Neighbours(), []
    for now in range(0, 12_000, 100):
        source = "1.1.2.88" if now < 5000 else "1.1.2.89"
        asked.want("br0", "br0", MAC, number(source), number("1.1.2.92"), now)
        frames = [frame for _, frame in asked.take(known, now)]
        found += [(now, Ether(frame)[ARP].psrc) for frame in frames]
    assert [now for now, source in found if source == "1.1.2.88"] == [0, 1000, 2000]
    assert [now for now, source in found if source == "1.1.2.89"] == [6000]


def test_many_questions_are_not_asked_in_one_round():
    asked, known, rounds = Asked(), Neighbours(), []
    for address in range(MAX_ASKED + 5):
        asked.want("br0", "br0", MAC, number("1.1.2.88"), number("1.2.0.0") + address, 0)
    while asked.next_run() == 0:
        rounds.append(len(asked.take(known, 0)))
    assert sum(rounds) == MAX_ASKED and max(rounds) <= 64


def test_when_asking_ends_flows_are_looked_at_again():
    """A flow that still loses packets wants the neighbour once more."""
    table, told = underlay(), []
    add(table, "1.1.2.92/24")
    table.told = lambda: told.append(1)
    table.ask("br0", table.way(number("1.1.2.92"), 0, 0), 0)
    times = [now for now in range(0, GIVEN_UP_MS + 60_000, 1000) if table.frames_to_send(now)]
    assert max(times) <= GIVEN_UP_MS and len(told) == 1
    table.ask("br0", table.way(number("1.1.2.92"), 0, 0), 400_000)
    assert len(table.frames_to_send(400_000)) == 1
    table.neighbours.set("br0", number("1.1.2.92"), OTHER, 400_001)
    told.clear()
    assert table.frames_to_send(500_000) == [] and not told


def test_a_gateway_of_the_other_family_has_no_source():
    table = underlay()
    add(table, "::/0", gateway="1.1.2.1")
    assert table.way(number("2001:db8::1"), 0, 0) is None


def test_questions():
    arp = Ether(messages.solicitation(MAC, number("1.1.2.88"), number("1.1.2.92")))
    assert (arp.dst, arp.src) == ("ff:ff:ff:ff:ff:ff", "aa:55:aa:55:00:00")
    assert (arp[ARP].op, arp[ARP].psrc, arp[ARP].pdst) == (1, "1.1.2.88", "1.1.2.92")
    frame = messages.solicitation(MAC, number("2001:cafe::88"), number("2001:cafe::92"))
    wanted = (
        Ether(dst="33:33:ff:00:00:92", src="aa:55:aa:55:00:00")
        / IPv6(src="2001:cafe::88", dst="ff02::1:ff00:92", hlim=255)
        / ICMPv6ND_NS(tgt="2001:cafe::92")
        / ICMPv6NDOptSrcLLAddr(lladdr="aa:55:aa:55:00:00")
    )
    assert frame == bytes(wanted)


def test_who_hears_what():
    table = underlay()
    assert not table.hears("br0", number("1.1.2.88"))  # no route leads out there
    add(table, "1.1.2.92/24")
    for text, heard in (("1.1.2.88", True), ("1.1.2.90", False), ("2001:cafe::88", True),
                        ("ff02::1:ff00:88", True), ("ff02::1:ff00:89", False)):  # fmt: skip
        assert table.hears("br0", number(text)) == heard
    one = Listener("vxlan_sys_4789", 4789, 17, 4789, 3)
    assert one.text(MAC, number("1.1.2.88")) == (
        "eth(dst=aa:55:aa:55:00:00),eth_type(0x0800),"
        "ipv4(dst=1.1.2.88,proto=17,frag=no),udp(dst=4789)"
    )


WAYS = {
    4: {"source": number("1.1.2.88"), "destination": number("1.1.2.92")},
    6: {"source": number("2001:cafe::88"), "destination": number("2001:cafe::92")},
}
KINDS = [
    {"kind": "vxlan", "key": 123, "dst_port": 4789},
    {"kind": "vxlan", "key": 123, "dst_port": 4789, "gpe": True, "inner": headers.ETH_NSH},
    {"kind": "vxlan", "key": 123, "dst_port": 4789, "gbp": (5, 8), "csum": True},
    {"kind": "geneve", "key": 123, "dst_port": 6081, "oam": True,
     "options": bytes.fromhex("ffff80010000000a00010000")},
    {"kind": "gre", "key": 123, "csum": True, "sequence": True},
    {"kind": "gre", "inner": 0x800},
    {"kind": "erspan", "key": 123, "erspan": (1, 3, 0, 0)},
    {"kind": "erspan", "key": 123, "erspan": (2, 0, 1, 7)},
    {"kind": "gtpu", "key": 123, "dst_port": 2152, "inner": 0x800},
]  # fmt: skip


def with_lengths(data):
    """As the datapath leaves a header in front of nothing."""
    whole, ipv4 = bytearray(data), data[12:14] == b"\x08\x00"
    size = len(data) - 14
    whole[16 if ipv4 else 18 : 18 if ipv4 else 20] = (size - 40 * (not ipv4)).to_bytes(2, "big")
    at = 34 if ipv4 else 54
    if data[23 if ipv4 else 20] == 17:
        whole[at + 4 : at + 6] = (len(data) - at).to_bytes(2, "big")
    return bytes(whole)


@pytest.mark.parametrize("version", WAYS)
@pytest.mark.parametrize("fields", KINDS)
def test_headers(fields, version):
    """scapy reads what was said, the datapath takes it, and its text says the same."""
    outer = headers.Outer(next_mac=OTHER, mac=MAC, tos=8, ttl=63, **WAYS[version], **fields)
    data = headers.build(outer)
    payload = tunnel_text.HEAD.pack(7, 1, outer.number, len(data)) + data
    action = odp_text.attribute(odp.TUNNEL_PUSH, payload)
    assert odp_text.parse_actions(odp_text.format_actions(action)) == action
    read = Ether(with_lengths(data))
    assert (read.dst, read.src) == ("f8:bc:12:44:34:b6", "aa:55:aa:55:00:00")
    ip = read[IP] if version == 4 else read[IPv6]
    assert (ip.src, ip.dst) == tuple(addresses.text(a) for a in WAYS[version].values())
    assert (ip.ttl, ip.tos) == (63, 8) if version == 4 else (ip.hlim, ip.tc) == (63, 8)
    if "dst_port" in fields:
        assert read[UDP].dport == fields["dst_port"]
        assert bool(read[UDP].chksum) == (fields.get("csum", False) or version == 6)
    if fields["kind"] == "vxlan":
        assert read[VXLAN].vni == 123
    if fields["kind"] == "gre":
        assert read[GRE].proto == fields.get("inner", 0x6558)
        assert read[GRE].key == fields.get("key")


def test_headers_that_cannot_be():
    with pytest.raises(ValueError, match="IPv6"):
        headers.build(headers.Outer("srv6", OTHER, MAC, **WAYS[4], inner=0x800))
    with pytest.raises(ValueError, match="protocol"):
        headers.build(headers.Outer("vxlan", OTHER, MAC, **WAYS[4], gpe=True, inner=0x8847))
    with pytest.raises(ValueError, match="version"):
        headers.build(headers.Outer("erspan", OTHER, MAC, **WAYS[4]))
