"""Frames that ask for a neighbour's Ethernet address: ARP (RFC 826) and ND (RFC 4861)."""

import struct

from datapath.base.protocols import ETH_IP, ND_SOLICIT, PROTO_ICMPV6
from ofproto.underlay import addresses

BROADCAST = b"\xff" * 6
ARP = struct.Struct("!HHBBH6s4s6s4s")
SOURCE_LINK_LAYER = 1


def checksum(data: bytes) -> int:
    """RFC 1071."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def arp_request(mac: bytes, source: int, target: int) -> bytes:
    ours, theirs = addresses.packed(source), addresses.packed(target)
    body = ARP.pack(1, ETH_IP, 6, 4, 1, mac, ours, bytes(6), theirs)
    return BROADCAST + mac + b"\x08\x06" + body


def neighbour_solicitation(mac: bytes, source: int, target: int) -> bytes:
    ours, asked = source.to_bytes(16, "big"), target.to_bytes(16, "big")
    to = addresses.solicited_node(target).to_bytes(16, "big")
    body = struct.pack("!BBHI", ND_SOLICIT, 0, 0, 0) + asked
    body += bytes([SOURCE_LINK_LAYER, 1]) + mac
    pseudo = ours + to + struct.pack("!II", len(body), PROTO_ICMPV6)
    body = body[:2] + checksum(pseudo + body).to_bytes(2, "big") + body[4:]
    head = struct.pack("!IHBB", 6 << 28, len(body), PROTO_ICMPV6, 255)
    return b"\x33\x33" + to[12:] + mac + b"\x86\xdd" + head + ours + to + body


def solicitation(mac: bytes, source: int, target: int) -> bytes:
    """The frame that asks for `target`."""
    ask = arp_request if addresses.is_ipv4(target) else neighbour_solicitation
    return ask(mac, source, target)
