"""Tunnel ports: which of them a packet belongs to, and what goes into the outer header."""

import random
from ipaddress import ip_address

import pytest
from scapy.all import ARP, ICMP, IP, Ether, IPv6

from datapath.actions.text.odp_text import format_actions, parse_actions
from datapath.key import flow, key_text
from ofproto.codec.actions import parse_actions as parse_of
from ofproto.codec.numbers import OFPP_NORMAL as NORMAL
from ofproto.xlate.bridges.tunnel import Tunnel, TunnelTable
from ofproto.xlate.bridges.tunnel_config import FLOW, KINDS, PACKET_TYPES, TunnelConfig
from ofproto.xlate.bridges.xbridge import XPort, connect_patch
from ofproto.xlate.state.recirc import RecircTable
from ofproto.xlate.translate import translate
from tests.ofproto.xlate_world import (
    IN_PORT,
    ODP_BASE,
    World,
    act,
    key_of,
    match,
    move,
    output,
    resubmit,
    set_field,
)

ADDRESSES = [ip_address(text) for text in ("1.1.1.1", "2.2.2.2", "2001::1", "2001::2")]
FRAME = Ether(src="50:54:00:00:00:05", dst="50:54:00:00:00:07") / IP(src="10.0.0.1", dst="10.0.0.2")


def config(kind="gre", remote="1.1.1.1", local=None, **more):
    read = lambda text: text if text in (None, FLOW) else ip_address(text)  # noqa: E731
    return TunnelConfig(kind, read(remote), read(local), **more)


def tunnelled(text, packet=FRAME, in_port=1):
    """The key of a packet that came with this tunnel()."""
    key = bytearray(key_of(packet, in_port))
    outer, _ = key_text.parse_key(f"tunnel({text})")
    key[flow.KEY_PACKET_SIZE : flow.KEY_DP_SIZE] = outer[flow.KEY_PACKET_SIZE : flow.KEY_DP_SIZE]
    return bytes(key)


def add_tunnel(world, number, made):
    port = world.add_port(number)
    port.tunnel = Tunnel(made)
    return port


def actions_of(world, key, **more):
    return format_actions(translate(world.bridge, key, **more).actions)


# --- which port


def fits(made, key, src, dst):
    return (
        made.in_key in (key, FLOW)
        and made.remote in (src, FLOW)
        and made.local in (dst, None, FLOW)
    )


def rank(made):
    """Naive twin of the order: key, remote, local address; "flow" less than any."""
    local = 0 if made.local not in (None, FLOW) else 1 if made.local is None else 2
    return (made.in_key == FLOW, made.remote == FLOW, local)


def test_the_port_that_names_most_of_a_packet_gets_it():
    rng = random.Random(5)
    for _ in range(60):
        table, ports = TunnelTable(), {}
        for number in range(rng.randrange(1, 12)):
            made = TunnelConfig(
                "gre",
                rng.choice([*ADDRESSES, FLOW]),
                rng.choice([*ADDRESSES, None, FLOW]),
                in_key=rng.choice([0, 1, 2, FLOW]),
            )
            port = XPort(f"p{number}", number)
            try:
                table.add(7, Tunnel(made), port)
            except ValueError:
                assert table.owner(7, Tunnel(made)) in ports
            else:
                ports[port] = made
        for _ in range(40):
            src, dst, number = rng.choice(ADDRESSES), rng.choice(ADDRESSES), rng.randrange(3)
            if src.version != dst.version:
                continue
            v6 = "ipv6_" if src.version == 6 else ""
            text = f"tun_id={number},{v6}src={src},{v6}dst={dst},ttl=64,flags(key)"
            wanted = [p for p, made in ports.items() if fits(made, number, src, dst)]
            best = min(wanted, key=lambda p: rank(ports[p]), default=None)
            assert table.lookup(tunnelled(text, in_port=7)) is best
            assert table.lookup(tunnelled(text, in_port=8)) is None
        for port in list(ports):
            table.remove(port)
        assert not len(table)


# --- output


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (config(), "set(tunnel(dst=1.1.1.1,tos=0x1,ttl=64,flags(df)))"),
        (config(df=False), "set(tunnel(dst=1.1.1.1,tos=0x1,ttl=64,flags(0)))"),
        (
            config(local="2.2.2.2", in_key=5, out_key=5, csum=True),
            "set(tunnel(tun_id=0x5,src=2.2.2.2,dst=1.1.1.1,tos=0x1,ttl=64,flags(df|csum|key)))",
        ),
        (
            config(tos_inherit=True, ttl_inherit=True),
            "set(tunnel(dst=1.1.1.1,tos=0x29,ttl=9,flags(df)))",
        ),
        (
            config("vxlan", "2001::1", dst_port=4789, tos=0x10),
            "set(tunnel(ipv6_dst=2001::1,tos=0x11,ttl=64,tp_dst=4789,flags(df)))",
        ),
        (
            config("erspan", out_key=1, erspan_ver=2, erspan_dir=1, erspan_hwid=7),
            "set(tunnel(tun_id=0x1,dst=1.1.1.1,tos=0x1,ttl=64,erspan(ver=2,dir=1,hwid=0x7),"
            "flags(df|key)))",
        ),
        (
            config(egress_mark=7),
            "set(tunnel(dst=1.1.1.1,tos=0x1,ttl=64,flags(df))),set(skb_mark(0x7))",
        ),
    ],
)
def test_the_header_that_a_port_asks_for(made, wanted):
    world = World(1)
    add_tunnel(world, 2, made)
    world.rule([output(2)])
    packet = Ether() / IP(tos=0x29, ttl=9) / ICMP()
    text = actions_of(world, key_of(packet, 1))
    assert text == f"{wanted},{ODP_BASE + 2}"
    assert format_actions(parse_actions(text)) == text


def test_what_the_flow_sets_and_what_it_leaves():
    world = World(1)
    add_tunnel(world, 2, config("geneve", remote=FLOW, local=FLOW, out_key=FLOW))
    world.rule([
        output(2), set_field("tun_dst", 0x03030303), set_field("tun_id", 42), output(2),
        set_field("tun_src", 0x04040404), set_field("tun_flags", 1), output(2),
    ])  # fmt: skip
    assert actions_of(world, key_of(FRAME, 1)) == (
        f"set(tunnel(tun_id=0x2a,dst=3.3.3.3,ttl=64,flags(df|key))),{ODP_BASE + 2},"
        f"set(tunnel(tun_id=0x2a,src=4.4.4.4,dst=3.3.3.3,ttl=64,flags(oam|df|key))),{ODP_BASE + 2}"
    )


def test_no_packet_goes_back_to_our_own_address():
    world = World(0)
    add_tunnel(world, 1, config())
    add_tunnel(world, 2, config(remote="2.2.2.2"))
    world.rule([output(2), output(IN_PORT)])
    key = tunnelled("src=1.1.1.1,dst=2.2.2.2,ttl=64,flags()")
    assert actions_of(world, key) == f"set(tunnel(dst=1.1.1.1,ttl=64,flags(df))),{ODP_BASE + 1}"


@pytest.mark.parametrize("kind", ["vlan-free", "l3"])
def test_packets_with_and_without_ethernet(kind):
    world = World(1)
    add_tunnel(world, 2, config("gtpu", out_key=3, dst_port=2152, packet_type="legacy_l3"))
    if kind == "l3":
        world.rule([output(1)], match(in_port=2))
        key = bytearray(tunnelled("src=1.1.1.1,dst=2.2.2.2,ttl=64,flags()", in_port=2))
        at, size = flow.MEMBERS["packet_type"]
        key[at : at + size] = (1 << 16 | 0x800).to_bytes(4, "big")
        wanted = f"push_eth(src=00:00:00:00:00:00,dst=00:00:00:00:00:00),{ODP_BASE + 1}"
        assert actions_of(world, bytes(key)) == wanted
        return
    world.rule([output(2)])
    header = "set(tunnel(tun_id=0x3,dst=1.1.1.1,ttl=64,tp_dst=2152,flags(df|key)))"
    assert actions_of(world, key_of(FRAME, 1)) == f"{header},pop_eth,{ODP_BASE + 2}"
    world.rule([output(2), output(IN_PORT)], priority=0x9000)
    wanted = f"clone({header},pop_eth,{ODP_BASE + 2}),{ODP_BASE + 1}"
    assert actions_of(world, key_of(FRAME, 1)) == wanted


def test_what_has_no_ethernet_is_flooded_without_a_tag():
    """From an access port to a trunk, whose frames of that VLAN are tagged."""
    world = World(1)
    world.bundles[1].set_vlan(tag=10)
    add_tunnel(world, 2, config("gtpu", out_key=3, dst_port=2152, packet_type="legacy_l3"))
    world.add_port(3, tag=10)
    world.rule([*parse_of("decap()"), output(NORMAL)])
    header = "set(tunnel(tun_id=0x3,dst=1.1.1.1,ttl=64,tp_dst=2152,flags(df|key)))"
    assert actions_of(world, key_of(FRAME, 1)) == f"{header},pop_eth,{ODP_BASE + 2}"
    assert not len(world.bridge.mac)


def with_members(key, **values):
    made = bytearray(key)
    for name, value in values.items():
        at, size = flow.MEMBERS[name]
        made[at : at + size] = value.to_bytes(size, "big")
    return bytes(made)


@pytest.mark.parametrize("takes", PACKET_TYPES)
def test_a_packet_that_comes_round_belongs_to_its_port_with_another_packet_type(takes):
    """Actions may have put on an Ethernet header, or taken it off, before they sent it round."""
    table, port = TunnelTable(), XPort("p1", 1)
    table.add(7, Tunnel(config(packet_type=takes)), port)
    key = tunnelled("src=1.1.1.1,dst=2.2.2.2,ttl=64", in_port=7)
    forms = {"legacy_l2": key, "legacy_l3": with_members(key, packet_type=1 << 16 | 0x8847)}
    for form, packet in forms.items():
        expected = port if takes in (form, "ptap") else None
        assert table.lookup(packet) is expected
        assert table.lookup(with_members(packet, recirc_id=5)) is port


# --- input


@pytest.mark.parametrize("inner", range(4))
@pytest.mark.parametrize("outer", range(4))
def test_marks_of_congestion(outer, inner):
    """RFC 6040, figure 4, but that what routers may not do is let be."""
    world = World(1)
    add_tunnel(world, 2, config())
    world.rule([output(1)])
    packet = Ether() / IP(tos=inner) / ICMP()
    key = tunnelled(f"src=1.1.1.1,dst=2.2.2.2,tos={outer},ttl=64", packet, 2)
    text = actions_of(world, key)
    if outer != 3 or inner == 3:
        assert text == f"{ODP_BASE + 1}"
    else:
        assert text == (f"set(ipv4(tos=0x3/0x3)),{ODP_BASE + 1}" if inner else "drop")


# --- sent round, and behind a patch port


def sent_round(world, key):
    """The actions of a packet that is sent round once, each time that translation sees it."""
    recirc = RecircTable()
    first = translate(world.bridge, key, recirc=recirc)
    text = format_actions(first.actions)
    at, size = flow.MEMBERS["recirc_id"]
    number = int(text.rpartition("recirc(")[2].rstrip(")"), 16)
    again = key[:at] + number.to_bytes(size, "big") + key[at + size :]
    return text, format_actions(translate(world.bridge, again, recirc=recirc).actions)


def test_what_was_set_is_there_when_the_packet_comes_round():
    world = World(1)
    add_tunnel(world, 2, config(remote=FLOW, out_key=FLOW))
    world.rule(
        [set_field("tun_id", 9), set_field("tun_dst", 0x05050505), act("DebugRecirc"), resubmit(1)]
    )
    world.rule([output(2)], match(tun_id=9), table=1)
    for key in (key_of(FRAME, 1), tunnelled("tun_id=1,src=1.1.1.1,dst=2.2.2.2,ttl=64", FRAME, 1)):
        assert sent_round(world, key)[1] == (
            f"set(tunnel(tun_id=0x9,dst=5.5.5.5,ttl=64,flags(df|key))),{ODP_BASE + 2}"
        )


def test_another_bridge_sees_nothing_of_the_tunnel():
    world, other = World(1), World(1, "br1")
    other.bridge.tables.clear()
    other = World(1, "br1", world.bridge.generation)
    patch, peer = world.add_port(8, "none"), other.add_port(9, "none")
    connect_patch(patch, peer)
    world.rule([output(8)])
    other.rule([act("DebugRecirc"), resubmit(1)])
    other.rule([output(1)], match(tun_id=0), table=1)
    key = tunnelled("tun_id=6,src=1.1.1.1,dst=2.2.2.2,ttl=64", FRAME, 1)
    assert sent_round(world, key)[1] == f"{ODP_BASE + 1}"


# --- the megaflow


def random_config(rng):
    kind = rng.choice([name for name in KINDS if name not in ("srv6", "lisp", "stt", "bareudp")])
    return TunnelConfig(
        kind,
        rng.choice([*ADDRESSES, FLOW]),
        rng.choice([None, FLOW]),
        out_key=rng.choice([None, 3, FLOW]),
        tos_inherit=rng.random() < 0.5,
        ttl_inherit=rng.random() < 0.5,
        csum=rng.random() < 0.5,
        packet_type=KINDS[kind].layers[0] if rng.random() < 0.7 else PACKET_TYPES[2],
        egress_mark=rng.choice([None, None, 5]),
        erspan_ver=rng.choice([1, FLOW]),
        erspan_idx=rng.choice([7, FLOW]),
    )


def random_key(rng):
    inner = rng.choice([
        IP(tos=rng.randrange(4), ttl=rng.choice([5, 64])) / ICMP(),
        IPv6(tc=rng.randrange(4), hlim=rng.choice([5, 64])),
        ARP(),
    ])  # fmt: skip
    flags = "|".join(f for f in ("oam", "df", "csum", "key") if rng.random() < 0.5)
    text = (
        f"tun_id={rng.randrange(3)},src={rng.choice(ADDRESSES[:2])},dst={rng.choice(ADDRESSES[:2])}"
        f",tos={rng.randrange(8)},ttl={rng.choice([3, 64])},tp_src={rng.randrange(9)},tp_dst=4789"
        f",vxlan(gbp(id={rng.randrange(8)},flags={rng.randrange(2)}))"
        f",erspan(ver={rng.randrange(3)},idx={rng.randrange(2)},dir={rng.randrange(2)})"
        f",gtpu(flags={rng.randrange(2)},msgtype={rng.randrange(2)}),flags({flags})"
    )
    return tunnelled(text, Ether(src="50:54:00:00:00:05", dst="50:54:00:00:00:07") / inner)


def random_actions(rng):
    fields = ("tun_id", "tun_dst", "tun_src", "tun_gbp_id", "tun_erspan_idx", "tun_flags")
    made = [output(rng.choice([1, 2, 3, 4, IN_PORT])) for _ in range(3)]
    made += [set_field(rng.choice(fields), 1) for _ in range(2)]
    made.append(set_field("tun_gbp_id", *rng.choice([(1, 1), (0, 1), (4, 6)])))
    made.append(move("tun_id", "reg0", 8))
    rng.shuffle(made)
    return made


def mixed(key, other, mask):
    return bytes(a & m | b & ~m & 0xFF for a, b, m in zip(key, other, mask, strict=True))


@pytest.mark.parametrize("seed", range(25))
def test_packets_that_differ_in_wildcarded_bits_are_treated_the_same(seed):
    rng = random.Random(seed)
    world = World(0)
    add_tunnel(world, 1, config())
    for number in (2, 3):
        add_tunnel(world, number, random_config(rng))
    world.add_port(4)
    for priority in (1, 2, 3):
        matching = match(**rng.choice([
            {"tun_id": rng.randrange(3)}, {"tun_gbp_id": 1}, {"tun_erspan_ver": (1, 1)},
            {"tun_flags": 1}, {"tun_gtpu_flags": 1}, {"tun_src": 0x01010101},
        ]))  # fmt: skip
        world.rule(random_actions(rng), matching, priority)
    world.rule(random_actions(rng), priority=0)
    for _ in range(60):
        key, other = random_key(rng), random_key(rng)
        result = translate(world.bridge, key)
        again = translate(world.bridge, mixed(key, other, result.mask))
        assert format_actions(again.actions) == format_actions(result.actions)


@pytest.mark.parametrize("seed", range(15))
def test_also_where_they_are_sent_round(seed):
    """What the first round looked at or wrote, and what the second one does."""
    rng = random.Random(seed)
    world, recirc = World(0), RecircTable()
    add_tunnel(world, 1, config())
    for number in (2, 3):
        add_tunnel(world, number, random_config(rng))
    world.add_port(4)
    world.rule([*random_actions(rng), act("DebugRecirc"), *random_actions(rng), resubmit(1)])
    for value in range(3):
        world.rule(random_actions(rng), match(tun_gbp_id=value), table=1)
    at, size = flow.MEMBERS["recirc_id"]
    for _ in range(40):
        key, other = random_key(rng), random_key(rng)
        first = translate(world.bridge, key, recirc=recirc)
        text = format_actions(first.actions)
        alike = mixed(key, other, first.mask)
        assert format_actions(translate(world.bridge, alike, recirc=recirc).actions) == text
        if text == "drop":  # for a mark of congestion
            continue
        number = int(text.rpartition("recirc(")[2].partition(")")[0], 16).to_bytes(size, "big")
        key = key[:at] + number + key[at + size :]
        second = translate(world.bridge, key, recirc=recirc)
        both = [a | b for a, b in zip(first.mask, second.mask, strict=True)]
        alike = mixed(key, other, both)
        again = translate(world.bridge, alike, recirc=recirc)
        assert format_actions(again.actions) == format_actions(second.actions)
