"""Segmentation and checksums in software, against scapy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import Dot1AD, Dot1AH, Dot1Q
from scapy.layers.sctp import SCTP, SCTPChunkData

from datapath.actions.offload import crc, segments
from tests.datapath.sample_frames import ETH, V4, V6

TCPV4, TCPV6, UDP_L4, ECN = 1, 4, 5, 0x80
L2 = {
    "plain": ETH,
    "vlan": ETH / Dot1Q(vlan=5),
    "qinq": ETH / Dot1AD(vlan=6) / Dot1Q(vlan=7),
    "mpls": ETH / MPLS(label=3, s=0) / MPLS(label=4, s=1),
    "pbb": ETH / Dot1AD(vlan=6) / Dot1AH(isid=5) / ETH / Dot1Q(vlan=5),
    "pbb_mpls": ETH / Dot1AH(isid=5) / ETH / MPLS(label=4, s=1),
    "vlan_mpls": ETH / Dot1Q(vlan=5) / MPLS(label=4, s=1),
}
DATA = bytes(i * 7 & 0xFF for i in range(3001))


def vnet(kind, size, start=0, offset=0, needs=True):
    return {"flags": int(needs), "gso_type": kind, "hdr_len": 0, "gso_size": size,
            "csum_start": start, "csum_offset": offset}  # fmt: skip


def parse(frame, l2):
    return IP(frame[len(l2) :]) if frame[len(l2)] >> 4 == 4 else IPv6(frame[len(l2) :])


def resummed(ip):
    """The packet with lengths and checksums made anew."""
    ip = ip.copy()
    for layer, fields in ((IP, ("len", "chksum")), (IPv6, ("plen",)), (TCP, ("chksum",)),
                          (UDP, ("len", "chksum"))):  # fmt: skip
        if layer in ip:
            for field in fields:
                setattr(ip[layer], field, None)
    return bytes(ip)


@pytest.mark.parametrize("l2", L2)
@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("size", [1000, 1448, 3000, 3001, 9000])
def test_tcp(l2, v6, size):
    front = bytes(L2[l2])
    ip = V6 if v6 else V4
    whole = ip / TCP(sport=1, dport=2, seq=0xFFFFFF00, flags="FPAC", options=[("NOP", 0)] * 12)
    start = len(front) + (40 if v6 else 20)
    frame = bytes(L2[l2] / whole / DATA)
    got = segments(frame, vnet((TCPV6 if v6 else TCPV4) | ECN, size, start, 16))
    count = -(-len(DATA) // size)
    assert len(got) == count
    joined = b""
    for i, (one, after) in enumerate(got):
        assert not any(after.values())
        assert one.startswith(frame[: len(front)])
        packet = parse(one, front)
        assert bytes(packet) == resummed(packet)
        tcp = packet[TCP]
        assert tcp.seq == (0xFFFFFF00 + i * size) % 2**32
        want = "A" + ("FP" if i == count - 1 else "") + ("C" if i == 0 else "")
        assert set(str(tcp.flags)) == set(want)
        if not v6:
            assert packet.id == V4.id + i
        joined += bytes(tcp.payload)
    assert joined == DATA


@pytest.mark.parametrize("l2", L2)
@pytest.mark.parametrize("v6", [False, True])
def test_udp(l2, v6):
    front = bytes(L2[l2])
    frame = bytes(L2[l2] / (V6 if v6 else V4) / UDP(sport=5, dport=6) / DATA)
    got = segments(frame, vnet(UDP_L4, 1200, len(front) + (40 if v6 else 20), 6))
    packets = [parse(one, front) for one, _ in got]
    assert [packet[UDP].len for packet in packets] == [1208, 1208, 609]
    assert all(bytes(packet) == resummed(packet) for packet in packets)
    assert b"".join(bytes(packet[UDP].payload) for packet in packets) == DATA


def test_extension_headers():
    ip = V6 / IPv6ExtHdrDestOpt()
    start = 14 + len(bytes(ip))
    frame = bytes(ETH / ip / TCP(flags="A") / DATA)
    got = segments(frame, vnet(TCPV6, 1400, start, 16))
    assert len(got) == 3
    for one, _ in got:
        packet = parse(one, bytes(ETH))
        assert bytes(packet) == resummed(packet)


def test_no_gso_completes_the_checksum():
    for l4, offset in ((TCP(), 16), (UDP(), 6)):
        whole = bytes(ETH / V4 / l4 / DATA)
        partial = bytearray(whole)
        total = _pseudo(whole, l4)
        partial[34 + offset : 36 + offset] = total.to_bytes(2, "big")
        [(got, after)] = segments(bytes(partial), vnet(0, 0, 34, offset))
        assert got == whole and not any(after.values())


def _pseudo(frame, l4):
    words = frame[26:34] + bytes([0, 6 if isinstance(l4, TCP) else 17])
    words += (len(frame) - 34).to_bytes(2, "big")
    total = sum(int.from_bytes(words[i : i + 2], "big") for i in range(0, len(words), 2))
    return (total & 0xFFFF) + (total >> 16)


def test_sctp():
    whole = bytes(ETH / V4 / SCTP(sport=1, dport=2) / SCTPChunkData(data=b"abc"))
    partial = bytearray(whole)
    partial[42:46] = b"junk"
    [(got, _)] = segments(bytes(partial), vnet(0, 0, 34, 8))
    assert got == whole


def test_crc32c():
    assert crc(b"123456789") == 0xE3069283  # the check value of the CRC catalogue
    assert crc(b"") == 0


@pytest.mark.parametrize(
    "header",
    [
        vnet(0, 0, 5000, 16),
        vnet(0, 0, 3050, 65535),
        vnet(TCPV4, 0, 34, 16),
        vnet(TCPV6, 100, 34, 16),
        vnet(UDP_L4, 100, 34, 6),
        vnet(3, 100, 34, 6),
        vnet(77, 100, 34, 6),
    ],
)
def test_contradictions_are_refused(header):
    with pytest.raises(ValueError, match="contradictory"):
        segments(bytes(ETH / V4 / TCP() / DATA), header)


@given(
    st.binary(max_size=100),
    st.sampled_from([0, 1, 3, 4, 5, 0x81, 0x84]),
    st.integers(0, 65535),
    st.integers(0, 120),
    st.integers(0, 120),
    st.sampled_from(sorted(L2)),
    st.integers(0, 200),
)
def test_random_frames_and_headers(noise, kind, size, start, offset, l2, cut):
    frame = bytes(L2[l2] / V4 / TCP() / noise)[:cut] if cut < 120 else noise
    try:
        got = segments(frame, vnet(kind, size, start, offset))
    except ValueError:
        return
    assert got
