"""What hosts and routers say of multicast groups: IGMP and MLD, as a switch reads them.

IGMPv1 (RFC 1112), v2 (RFC 2236), v3 (RFC 3376), MLDv1 (RFC 2710), v2 (RFC 3810).  Of sources,
which v3 and MLDv2 can name, only it counts whether there are any: RFC 4541 has a switch forward by
groups.
"""

from typing import NamedTuple

from datapath.base.protocols import PROTO_ICMPV6, PROTO_IGMP

MAX_RECORDS = 1024  # of one report; a frame of 1500 bytes has room for 183

_ETH_IPV4, _ETH_IPV6 = b"\x08\x00", b"\x86\xdd"
_TAGS = (b"\x81\x00", b"\x88\xa8", b"\x91\x00")
_SKIPPED = (0, 43, 60)  # IPv6: hop-by-hop options, routing, destination options
_FRAGMENT = 44
_MAX_EXTENSIONS = 8
# Types of messages: about one group, and lists of records.
_QUERIES = {PROTO_IGMP: 0x11, PROTO_ICMPV6: 130}
_JOINS = {PROTO_IGMP: (0x12, 0x16), PROTO_ICMPV6: (131,)}
_LEAVES = {PROTO_IGMP: 0x17, PROTO_ICMPV6: 132}
_LISTS = {PROTO_IGMP: 0x22, PROTO_ICMPV6: 143}
# Types of records (RFC 3376, 4.2.12): those that name sources to be received, and all.
_INCLUDES = (1, 3)
_RECORDS = range(1, 7)


class Message(NamedTuple):
    """`from_router`: a query of a router that has an address.  `changes`: (group, whether it is
    joined) in order, a group being 4 bytes or 16."""

    from_router: bool
    changes: tuple[tuple[bytes, bool], ...] = ()


class _Payload(NamedTuple):
    protocol: int
    source: bytes
    destination: bytes
    octets: bytes


NOTHING = Message(False)


def parse(packet: bytes, is_frame: bool = True) -> Message | None:
    """None where it is no such message, or a checksum is wrong, or something is cut off.

    A packet that is no frame begins with its IP header.
    """
    payload = _payload(packet, is_frame)
    if payload is None or payload.protocol not in _QUERIES or not _is_whole(payload):
        return None
    protocol, octets = payload.protocol, payload.octets
    kind = octets[0]
    if kind == _QUERIES[protocol]:
        return Message(any(payload.source))
    if kind == _LISTS[protocol]:
        return Message(False, tuple(_records(octets, len(payload.source))))
    if kind in _JOINS[protocol] or kind == _LEAVES[protocol]:
        return _about_one(payload, kind != _LEAVES[protocol])
    return NOTHING


def _about_one(payload: _Payload, joined: bool) -> Message | None:
    size = len(payload.source)
    start = 4 if payload.protocol == PROTO_IGMP else 8
    group = payload.octets[start : start + size]
    if len(group) < size:
        return None
    return Message(False, ((group, joined),) if is_group(group) else ())


def is_group(address: bytes) -> bool:
    """Whether it is an address of many."""
    return address[0] >> 4 == 0xE if len(address) == 4 else address[0] == 0xFF


def _records(octets: bytes, size: int):
    """The changes that the records of IGMPv3 or MLDv2 stand for; whatever is behind one that is cut
    off does not count."""
    at = 8
    for _ in range(min(int.from_bytes(octets[6:8], "big"), MAX_RECORDS)):
        end = at + 4 + size
        if end > len(octets):
            return
        kind, n_words = octets[at], octets[at + 1]
        n_sources = int.from_bytes(octets[at + 2 : at + 4], "big")
        group = octets[at + 4 : end]
        if kind in _RECORDS and is_group(group):
            yield group, not (kind in _INCLUDES and not n_sources)
        at = end + n_sources * size + 4 * n_words


def _payload(packet: bytes, is_frame: bool) -> _Payload | None:
    """What an IP packet carries, without the padding of a short frame; None for fragments."""
    at = 0
    if is_frame:
        at = 12
        while packet[at : at + 2] in _TAGS:
            at += 4
        if packet[at : at + 2] not in (_ETH_IPV4, _ETH_IPV6):
            return None
        at += 2
    version = packet[at] >> 4 if at < len(packet) else 0
    if version == 4:
        return _ipv4(packet[at:])
    return _ipv6(packet[at:]) if version == 6 else None


def _ipv4(packet: bytes) -> _Payload | None:
    if len(packet) < 20:
        return None
    header, total = (packet[0] & 15) * 4, int.from_bytes(packet[2:4], "big")
    is_fragment = int.from_bytes(packet[6:8], "big") & 0x3FFF
    if header < 20 or not header <= total <= len(packet) or is_fragment or packet[9] != PROTO_IGMP:
        return None
    return _Payload(packet[9], packet[12:16], packet[16:20], packet[header:total])


def _ipv6(packet: bytes) -> _Payload | None:
    if len(packet) < 40:
        return None
    end = 40 + int.from_bytes(packet[4:6], "big")
    kind, at = packet[6], 40
    for _ in range(_MAX_EXTENSIONS):
        if kind not in (*_SKIPPED, _FRAGMENT):
            break
        if at + 8 > end or end > len(packet):
            return None
        if kind == _FRAGMENT and int.from_bytes(packet[at + 2 : at + 4], "big") & 0xFFF9:
            return None
        size = 8 if kind == _FRAGMENT else 8 * (packet[at + 1] + 1)
        kind, at = packet[at], at + size
    if kind != PROTO_ICMPV6 or not at <= end <= len(packet):
        return None
    return _Payload(kind, packet[8:24], packet[24:40], packet[at:end])


def _is_whole(payload: _Payload) -> bool:
    """Whether the header is there, and the checksum right."""
    octets = payload.octets
    if len(octets) < 8:
        return False
    summed = octets
    if payload.protocol == PROTO_ICMPV6:
        length = len(octets).to_bytes(4, "big")
        summed = (
            payload.source + payload.destination + length + bytes((0, 0, 0, PROTO_ICMPV6)) + octets
        )
    return checksum(summed) == 0


def checksum(octets: bytes) -> int:
    """RFC 1071; 0 for octets whose own checksum in them is right."""
    value = int.from_bytes(octets + bytes(len(octets) % 2), "big")
    return ~(value % 0xFFFF or (0xFFFF if value else 0)) & 0xFFFF
