"""Packets made of flows: how much data they carry, and that they have the flow's fields."""

import pytest

from datapath.key import flow, key_text
from datapath.key.compose import compose

IP4 = (
    "eth(src=50:54:00:00:00:01,dst=50:54:00:00:00:02),eth_type(0x0800),"
    "ipv4(src=10.0.0.1,dst=10.0.0.2,proto={},tos=0,ttl=64,frag=no),{}"
)


@pytest.mark.parametrize(
    ("proto", "rest", "size"),
    [
        (6, "tcp(src=8,dst=9),tcp_flags(syn)", 54),
        (6, "tcp(src=8,dst=9),tcp_flags(rst|ack)", 54),
        (6, "tcp(src=8,dst=9),tcp_flags(ack)", 118),
        (17, "udp(src=8,dst=9)", 106),
        (132, "sctp(src=8,dst=9)", 46),
        (1, "icmp(type=8,code=0)", 106),
        (1, "icmp(type=3,code=1)", 42),
    ],
)
def test_sizes(proto, rest, size):
    key, mask = key_text.parse_key(IP4.format(proto, rest))
    for asked in (None, 1000):
        frame = compose(key, asked)
        assert len(frame) == (asked or size)
        found = flow.extract(frame)
        assert bytes(a & m for a, m in zip(found, mask, strict=True)) == bytes(key)


def test_labels_of_one_name():
    """mpls() says all of each label, masked or not; what is printed is read back."""
    text = (
        "in_port(1),eth_type(0x8847),"
        "mpls(label=20/0x0,tc=0/0,ttl=32/0x0,bos=0/1,label=7/0xfffff,tc=0/7,ttl=9/0xff,bos=1/1)"
    )
    key, mask = key_text.parse_key(text)
    again = key_text.format_key(key, mask)
    assert again.replace("label=0/0x0", "label=20/0x0").replace("ttl=0/0x0", "ttl=32/0x0") == text
    assert key_text.parse_key(again) == (key, mask)
    whole = "eth_type(0x8847),mpls(label=3,tc=1,ttl=9,bos=1)"
    assert key_text.format_key(*key_text.parse_key(whole)) == whole
