"""IGMP and MLD as a switch reads them: against scapy's messages, and frames that lie."""

import random

import pytest
from scapy.all import (
    IP,
    Dot1Q,
    Ether,
    ICMPv6MLDMultAddrRec,
    ICMPv6MLQuery,
    ICMPv6MLReport,
    ICMPv6MLReport2,
    IPv6,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)
from scapy.layers.igmp import IGMPv2_MR, IGMPv3_MR, IGMPv3_MR_Group

from ofproto.protocols.membership import MAX_RECORDS, NOTHING, Message, parse
from tests.ofproto import group_messages as g
from tests.ofproto.group_messages import packed


def changes(*wanted):
    return Message(False, tuple((packed(group), joined) for group, joined in wanted))


def of_scapy():
    alert = IPv6ExtHdrHopByHop(options=[RouterAlert()])
    v6 = Ether() / IPv6(src="fe80::9", dst="ff02::16", hlim=1) / alert
    records = [
        IGMPv3_MR_Group(rtype=4, maddr="232.1.1.1"),
        IGMPv3_MR_Group(rtype=3, maddr="232.1.1.2"),
        IGMPv3_MR_Group(rtype=1, maddr="232.1.1.3", srcaddrs=["10.0.0.1", "10.0.0.2"]),
        IGMPv3_MR_Group(rtype=6, maddr="232.1.1.4", srcaddrs=["10.0.0.1"]),
    ]
    v3 = IGMPv3_MR(records=records)
    yield (
        Ether() / IP(dst="224.0.0.22", ttl=1) / v3,
        changes(
            *(("232.1.1.1", True), ("232.1.1.2", False), ("232.1.1.3", True), ("232.1.1.4", True))
        ),
    )
    join = IGMPv2_MR(gaddr="224.1.1.1")
    yield Ether() / Dot1Q(vlan=5) / IP(dst="224.1.1.1") / join, changes(("224.1.1.1", True))
    yield v6 / ICMPv6MLReport(mladdr="ff0e::1"), changes(("ff0e::1", True))
    yield v6 / ICMPv6MLQuery(), Message(True)
    mld = ICMPv6MLReport2(
        records=[
            ICMPv6MLDMultAddrRec(rtype=4, dst="ff0e::2"),
            ICMPv6MLDMultAddrRec(rtype=5, dst="ff0e::3", sources=["fe80::1", "fe80::2"]),
            ICMPv6MLDMultAddrRec(rtype=1, dst="ff0e::4"),
        ]
    )
    yield v6 / mld, changes(("ff0e::2", True), ("ff0e::3", True), ("ff0e::4", False))


@pytest.mark.parametrize(("frame", "message"), [*of_scapy()])
def test_scapys_messages(frame, message):
    assert parse(bytes(frame)) == message


OURS = {
    "v1 report": (g.igmp(g.V1_REPORT, "224.1.1.1"), changes(("224.1.1.1", True))),
    "leave": (g.igmp(g.LEAVE, "224.1.1.1"), changes(("224.1.1.1", False))),
    "query": (g.igmp(g.QUERY), Message(True)),
    "query of a switch": (g.igmp(g.QUERY, source="0.0.0.0"), Message(False)),
    "no group": (g.igmp(g.REPORT, "10.1.1.1", to="224.0.0.9"), NOTHING),
    "DVMRP": (g.igmp(0x13, "224.0.0.4"), NOTHING),
    "done": (g.mld(g.MLD_DONE, "ff0e::1"), changes(("ff0e::1", False))),
    "query of nobody": (g.mld(g.MLD_QUERY, source="::"), Message(False)),
    "no extensions": (g.mld(g.MLD_REPORT, "ff0e::1", extensions=b""), changes(("ff0e::1", True))),
    "a type that nobody knows, and auxiliary data": (
        g.igmpv3(
            (9, "232.1.1.1", ("1.2.3.4",), 0), (4, "232.1.1.2", (), 2), (4, "232.1.1.3", (), 0)
        ),
        changes(("232.1.1.2", True), ("232.1.1.3", True)),
    ),
}


@pytest.mark.parametrize("name", OURS)
def test_messages(name):
    frame, message = OURS[name]
    assert parse(frame) == message
    assert parse(frame[14:], is_frame=False) == message


@pytest.mark.parametrize("name", OURS)
def test_each_octet_of_the_message_counts(name):
    """What is not as it was sent says nothing: all of it is under the checksum."""
    frame, _ = OURS[name]
    start = 14 + (24 if frame[12] == 8 else 48 if frame[20] == 0 else 40)
    end = 14 + (
        int.from_bytes(frame[16:18], "big")
        if frame[12] == 8
        else 40 + int.from_bytes(frame[18:20], "big")
    )
    for at in range(start, end):
        bent = bytearray(frame)
        bent[at] ^= 0x10
        assert parse(bytes(bent)) is None, at
        assert parse(frame[:at]) is None, at


def test_what_lies_about_its_length():
    """Counts of records and sources that are not there; the checksum is right."""
    rng = random.Random(12)
    many = tuple((4, f"232.1.{i >> 8}.{i & 255}", (), 0) for i in range(MAX_RECORDS + 9))
    assert len(parse(g.igmpv3(*many)).changes) == MAX_RECORDS
    for sealed, before in ((g.igmpv3(*many[:9]), 38), (g.mldv2(*[(4, "ff0e::1", (), 0)] * 9), 62)):
        whole = sealed[before:]
        for _ in range(3000):
            octets = bytearray(whole)
            for _ in range(rng.choice((1, 2, 5))):
                at = rng.randrange(4, len(octets))
                octets[at] = rng.choice((0, 1, 2, 0x7F, 0xFF))
            del octets[rng.randrange(8, len(octets) + 1) :]
            sent = g._sealed(bytes(octets[:2]) + b"\0\0" + bytes(octets[4:]))
            message = parse(g.ipv4(sent, "224.0.0.22"))
            assert message is not None
            assert len(message.changes) <= len(octets) // 8


def test_anything_at_all():
    rng = random.Random(3)
    frames = [frame for frame, _ in OURS.values()]
    for _ in range(20_000):
        frame = bytearray(rng.choice(frames))
        for _ in range(rng.choice((1, 3))):
            frame[rng.randrange(12, min(70, len(frame)))] = rng.choice((0, 44, 60, 255))
        del frame[rng.randrange(len(frame) + 1) :]
        parse(bytes(frame), rng.random() < 0.8)
