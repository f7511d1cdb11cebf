"""tunnel(...) in the text of flow keys: there and back, as Open vSwitch has it, and hostile."""

import random

import pytest

from datapath.key import flow, key_text, outer_text
from datapath.key.notations import number

# as dpctl/dump-flows of Open vSwitch 3.1 prints them
PRINTED = [
    "tunnel(tun_id=0x5/0xff,src=1.1.1.1,dst=2.2.2.2,ttl=64,flags(df|key))",
    "tunnel(dst=2.2.2.2,ttl=64,flags(-df+csum))",
    "tunnel(dst=2.2.2.2,ttl=64,vxlan(gbp(id=10,flags=0x8)),flags(-df-csum))",
    "tunnel(dst=2.2.2.2,ttl=64,geneve({class=0xffff,type=0x1,len=4,0xa/0xf}"
    "{class=0,type=0x2,len=0}),flags(-df-csum))",
    "tunnel(dst=2.2.2.2,ttl=64,gtpu(flags=0x30,msgtype=255))",
    "tunnel(ipv6_dst=2::2,tos=0x3/0x3,ttl=3/0xf,flags(+oam-df-csum))",
]
BAD = [
    "geneve({class=0xffff,type=1,len=4,0xa/0xf}{)",
    "geneve({class=0xffff,type=1,len=3,0xa})",
    "geneve({class=0xffff,type=1,len=0,0xa})",
    "geneve({class=0x10000,type=1,len=0})",
    "geneve({class=1,type=1,len=128})",
    "geneve(" + 3 * "{class=1,type=1,len=124}" + ")",
    "foo=2",
    "flags(xx)",
    "dst=1.1.1.1,dst=1.1.1.1",
    "vxlan(gpe(1))",
    "tun_id=0x10000000000000000",
    "dst=1.1.1.1)",
    "geneve(" * 50,
]


@pytest.mark.parametrize("text", PRINTED)
def test_as_open_vswitch_prints_it(text):
    key, mask = key_text.parse_key(text)
    assert key_text.format_key(key, mask) == text


@pytest.mark.parametrize("body", BAD)
def test_what_is_wrong_is_refused(body):
    with pytest.raises(ValueError):
        key_text.parse_key(f"tunnel({body})")


def test_there_and_back():
    rng = random.Random(1)
    start, end = flow.KEY_PACKET_SIZE, flow.KEY_DP_SIZE
    for _ in range(300):
        names = rng.sample(["tun_id", "tun_src", "tun_dst", "tun_ttl", "tun_gbp_id"], 3)
        mask = bytearray(flow.KEY_SIZE)
        for name in names:
            at, size = flow.MEMBERS[name]
            mask[at : at + size] = rng.randbytes(size)
        key = bytes(a & b for a, b in zip(rng.randbytes(flow.KEY_SIZE), mask, strict=True))
        again = key_text.parse_key(key_text.format_key(key, bytes(mask)))
        assert again == (key, bytes(mask))
    for _ in range(300):
        part = bytearray(rng.randbytes(end - start))
        at = flow.MEMBERS["tun_opts_size"][0] - start
        part[at] = 0
        part[flow.MEMBERS["tun_erspan_ver"][0] - start] &= 3
        text = outer_text.format_set(bytes(part[: outer_text.OPTIONS_AT - start]))
        body = text[len("tunnel(") : -1]
        assert outer_text.format_set(outer_text.parse_set(body)) == text


def test_what_open_vswitch_does_not_say_is_0():
    """Of TOS and ports: dumps with all fields say it."""
    key, mask = key_text.parse_key("tunnel(tun_id=0x7,tos=0x0,tp_dst=6081),in_port(1)")
    assert key_text.format_key(key, mask).startswith("tunnel(tun_id=0x7,tp_dst=6081),")
    assert "tun_id=0x7,tos=0,tp_dst=6081)," in key_text.format_key(key, mask, True)


def test_options_that_are_cut_are_not_read_beyond():
    for size in range(40):
        data = bytes([0xFF, 0xFF, 1, 31]) + bytes(size)
        assert list(outer_text.options(data)) == []


def test_a_packet_is_what_its_flows_text_says_wildcarded_or_not():
    text = "tunnel(tun_id=0x7,src=1.1.1.1,dst=1.1.1.2/0.0.0.0,ttl=64),in_port(1),eth_type(0x0800),"
    text += "ipv4(dst=2.2.2.1/255.0.0.0,ttl=255/0)"
    packet = key_text.parse_packet(text)
    key, mask = key_text.parse_key(text)
    assert number(packet, "nw_ttl") == 255 and number(key, "nw_ttl") == 0
    assert number(packet, "nw_dst") == 0x02020201 and number(key, "nw_dst") == 0x02000000
    assert number(packet, "tun_dst") == 0x01010102 and number(key, "tun_dst") == 0
    assert number(packet, "tun_flags") == 8 and number(key, "tun_flags") == 0
    assert bytes(k & ~m & 0xFF for k, m in zip(key, mask, strict=True)) == bytes(len(key))
