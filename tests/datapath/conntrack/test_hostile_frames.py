"""Frames that lie, cut and changed anywhere, through the tracker with helpers and translation: it
says something of each, and its table stays whole."""

from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.all import ICMP, IP, TCP, UDP, Ether, IPv6
from scapy.layers.inet6 import ICMPv6DestUnreach
from scapy.packet import Raw

from datapath.actions.text import ct_text
from datapath.conntrack.connections import Connections
from tests.datapath.sample_frames import frames

TRK = 0x20  # of ct_state
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
TEXTS = [
    b"PORT 10,0,0,1,19,137\r\n", b"EPRT |1|10.0.0.1|5001|\r\n", b"227 go (10,0,0,2,23,112).\r\n",
    b"229 go (|||6000|)\r\n", b"\0\1file\0octet\0", b"",
]  # fmt: skip
INNER = IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1000, dport=21) / Raw(b"12345678")
INNER6 = IPv6(src="fd00::1", dst="fd00::2") / TCP(sport=1000, dport=21)
FRAMES = [
    *frames().values(),
    *(
        bytes(ETHER / IP(src=src, dst=dst) / l4 / Raw(text))
        for text in TEXTS
        for src, dst, ports in (
            ("10.0.0.1", "10.0.0.2", {"sport": 1000, "dport": 21}),
            ("10.0.0.2", "10.0.0.1", {"sport": 21, "dport": 1000}),
        )
        for l4 in (TCP(flags="PA", seq=1, ack=1, **ports), UDP(**ports))
    ),
    bytes(ETHER / IP(src="10.0.0.9", dst="10.0.0.1") / ICMP(type=3) / INNER),
    bytes(ETHER / IPv6(src="fd00::9", dst="fd00::1") / ICMPv6DestUnreach() / bytes(INNER6)),
]
ACTIONS = [
    ct_text.parse_ct(text)
    for text in (
        "",
        "nat",
        "commit,helper=ftp,nat(src=192.0.2.100)",
        "commit,helper=ftp,nat(dst=192.0.2.7)",
        "commit,helper=tftp,nat(src=fd00::99-fd00:0:0:1::)",
        "force_commit,helper=ftp",
    )
]


@st.composite
def steps(draw):
    found = []
    for _ in range(draw(st.integers(1, 12))):
        frame = bytearray(draw(st.sampled_from(FRAMES)))
        for at, value in draw(
            st.lists(st.tuples(st.integers(12, 120), st.integers(0, 255)), max_size=3)
        ):
            if at < len(frame):
                frame[at] = value
        if draw(st.integers(0, 5)) == 0:
            frame = frame[: draw(st.integers(14, len(frame)))]
        found.append((bytes(frame), draw(st.sampled_from(ACTIONS))))
    return found


@given(steps())
@settings(max_examples=300, deadline=None)
def test_frames_that_lie(given_steps):
    table, told = Connections(), None
    # Checksums count as verified: what lies is to get past them.
    vnet = {
        "flags": 2, "gso_type": 0, "hdr_len": 0, "gso_size": 0, "csum_start": 0, "csum_offset": 0,
    }  # fmt: skip
    for number, (frame, action) in enumerate(given_steps):
        out, told, lost = table.track(frame, action, 1000 + number, told, vnet, number)
        assert lost in (None, "ct_nat_exhausted")
        assert lost or told["state"] & TRK
        assert abs(len(out) - len(frame)) <= 64
    rows, end = table.dump(0, 1000, None, 1000)
    assert end is None and len(rows) == len(table)
    assert table.sweep(1000, 1 << 50) == len(rows) and len(table) == 0
