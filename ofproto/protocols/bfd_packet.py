"""BFD's packets: IPv4 and UDP around control packets (RFC 5881), with Ethernet around that."""

import struct
from typing import NamedTuple

from datapath.base.protocols import PROTO_UDP

UDP_PORT, SOURCE_PORT = 3784, 49152
TTL, TOS, DONT_FRAGMENT_OR_MORE = 255, 0xC0, 0x3FFF
_ETH_IP = b"\x08\x00"
_IP = struct.Struct("!BBHHHBBH4s4s")
_UDP = struct.Struct("!HHHH")


class Addresses(NamedTuple):
    """Of what is sent."""

    src_mac: bytes
    dst_mac: bytes = bytes.fromhex("002320000001")
    src_ip: bytes = bytes((169, 254, 1, 1))
    dst_ip: bytes = bytes((169, 254, 1, 0))


def checksum(data: bytes) -> int:
    """Of the Internet (RFC 1071), over an even number of bytes."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def compose(addresses: Addresses, source: int, payload: bytes) -> bytes:
    """A frame; `source` is the UDP port, SOURCE_PORT or above."""
    size = _UDP.size + len(payload)
    ends = addresses.src_ip, addresses.dst_ip
    head = (0x45, TOS, _IP.size + size, 0, 0, TTL, PROTO_UDP)
    ip = _IP.pack(*head, checksum(_IP.pack(*head, 0, *ends)), *ends)
    udp = _UDP.pack(source, UDP_PORT, size, 0)
    return addresses.dst_mac + addresses.src_mac + _ETH_IP + ip + udp + payload


def parse(packet: bytes) -> bytes:
    """The control packet of what is behind the Ethertype; ValueError where there is none, or it may
    come from further away than the next hop (RFC 5881, section 5)."""
    if len(packet) < _IP.size or packet[0] >> 4 != 4:
        raise ValueError("no IPv4")
    first, _, total, _, fragment, ttl, protocol, *_ = _IP.unpack_from(packet)
    head = (first & 15) * 4
    if head < _IP.size or not head + _UDP.size <= total <= len(packet):
        raise ValueError("a wrong length")
    if protocol != PROTO_UDP or ttl != TTL or fragment & DONT_FRAGMENT_OR_MORE:
        raise ValueError("no BFD")
    _, port, size, _ = _UDP.unpack_from(packet, head)
    if port != UDP_PORT or not _UDP.size <= size <= total - head:
        raise ValueError("no BFD")
    return packet[head + _UDP.size : head + size]
