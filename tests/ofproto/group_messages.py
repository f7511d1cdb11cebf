"""Frames of IGMP and MLD, with checksums that are right."""

import struct
from ipaddress import ip_address

from datapath.base.protocols import PROTO_ICMPV6
from ofproto.protocols.membership import checksum

QUERY, V1_REPORT, REPORT, LEAVE = 0x11, 0x12, 0x16, 0x17
MLD_QUERY, MLD_REPORT, MLD_DONE = 130, 131, 132
ROUTER_ALERT = bytes.fromhex("94040000")
HOP_BY_HOP = bytes.fromhex("3a00050200000100")


def packed(address):
    return ip_address(address).packed


def _sealed(octets, before=b""):
    return octets[:2] + checksum(before + octets).to_bytes(2, "big") + octets[4:]


def _ethernet(destination, ethertype, body, vlan):
    start = b"\x01\x00\x5e" if len(destination) == 4 else b"\x33\x33"
    low = destination[-3:] if len(destination) == 4 else destination[-4:]
    if len(destination) == 4:
        low = bytes((low[0] & 0x7F,)) + low[1:]
    tag = b"" if vlan is None else struct.pack("!HH", 0x8100, vlan)
    return (start + low + bytes((2, 0, 0, 0, 0, 1)) + tag + ethertype + body).ljust(60, b"\0")


def ipv4(octets, destination, source="10.0.0.1", vlan=None):
    """A frame of IGMP, with the router alert option."""
    ends = packed(source) + packed(destination)
    head = struct.pack("!BBHHHBBH", 0x46, 0xC0, 24 + len(octets), 0, 0, 1, 2, 0)
    return _ethernet(packed(destination), b"\x08\x00", head + ends + ROUTER_ALERT + octets, vlan)


def ipv6(octets, destination, source="fe80::1", vlan=None, extensions=HOP_BY_HOP):
    ends = packed(source) + packed(destination)
    first = 0 if extensions else PROTO_ICMPV6
    head = struct.pack("!IHBB", 6 << 28, len(extensions) + len(octets), first, 1)
    return _ethernet(packed(destination), b"\x86\xdd", head + ends + extensions + octets, vlan)


def igmp(kind, group="0.0.0.0", to=None, **more):
    """IGMPv1 and v2."""
    to = to or ("224.0.0.1" if kind == QUERY else "224.0.0.2" if kind == LEAVE else group)
    return ipv4(_sealed(bytes((kind, 0, 0, 0)) + packed(group)), to, **more)


def _records(records):
    return b"".join(
        struct.pack("!BBH", kind, words, len(sources))
        + b"".join(map(packed, (group, *sources)))
        + bytes(4 * words)
        for kind, group, sources, words in records
    )


def igmpv3(*records, to="224.0.0.22", **more):
    """Records: (type, group, sources, words of auxiliary data)."""
    head = struct.pack("!BBHHH", 0x22, 0, 0, 0, len(records))
    return ipv4(_sealed(head + _records(records)), to, **more)


def mld(kind, group="::", to=None, source="fe80::1", **more):
    to = to or ("ff02::1" if kind == MLD_QUERY else group)
    octets = bytes((kind, 0, 0, 0, 0, 0, 0, 0)) + packed(group)
    return ipv6(_sealed(octets, _pseudo(source, to, octets)), to, source, **more)


def mldv2(*records, to="ff02::16", source="fe80::1", **more):
    octets = struct.pack("!BBHHH", 143, 0, 0, 0, len(records)) + _records(records)
    return ipv6(_sealed(octets, _pseudo(source, to, octets)), to, source, **more)


def _pseudo(source, destination, octets):
    return packed(source) + packed(destination) + struct.pack("!II", len(octets), PROTO_ICMPV6)
