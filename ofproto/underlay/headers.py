"""The outer header of a tunnel as bytes, from what it is to say.

What depends on the packet in it (lengths, checksums, UDP's source port, sequence numbers) is left
for the datapath: see datapath/actions/tunnel_push.pyx, which has the sources, too.
"""

import struct
from typing import NamedTuple

from datapath.base.protocols import (
    ETH_IP,
    ETH_IPV6,
    ETH_NSH,
    ETH_TEB,
    PROTO_GRE,
    PROTO_IPIP,
    PROTO_IPV6,
    PROTO_ROUTING,
    PROTO_UDP,
)
from ofproto.underlay import addresses
from ofproto.underlay.messages import checksum

GRE_CSUM, GRE_KEY, GRE_SEQUENCE = 0x8000, 0x2000, 0x1000
DF = 0x4000
VXLAN_ID, VXLAN_GBP, VXLAN_GPE = 0x08, 0x80, 0x04
# VXLAN-GPE's next protocols, by Ethertype of what follows
GPE_NEXT = {ETH_IP: 1, ETH_IPV6: 2, ETH_TEB: 3, ETH_NSH: 4}
GENEVE_OAM, GENEVE_CRITICAL = 0x80, 0x40
GTPU_DEFAULT, GTPU_PACKET, GTPU_OPTIONAL = 0x30, 255, 0x07
ERSPAN_V1, ERSPAN_V2 = 0x88BE, 0x22EB
MOST_SESSION = 0x3FF  # of ERSPAN
SEGMENTS = 4  # type of routing header
INNER = {ETH_IP: PROTO_IPIP, ETH_IPV6: PROTO_IPV6}  # IP protocols of IP in IP
# Numbers that the datapath and its text have for kinds over IPv4 and IPv6
NUMBERS = {
    "vxlan": (4, 4), "geneve": (5, 5), "gtpu": (110, 110), "gre": (3, 109), "ip6gre": (3, 109),
    "erspan": (107, 108), "ip6erspan": (107, 108), "srv6": (112, 112),
}  # fmt: skip


class Outer(NamedTuple):
    """`inner`: the Ethertype of what is in it, ETH_TEB for a frame.  `key` None: there is none.
    Addresses are those of ofproto.underlay.addresses."""

    kind: str
    next_mac: bytes
    mac: bytes
    source: int
    destination: int
    tos: int = 0
    ttl: int = 64
    df: bool = True
    csum: bool = False
    key: int | None = None
    inner: int = ETH_TEB
    dst_port: int = 0
    sequence: bool = False
    oam: bool = False
    gpe: bool = False
    gbp: tuple[int, int] | None = None  # group, flags
    options: bytes = b""  # Geneve's
    erspan: tuple[int, int, int, int] = (0, 0, 0, 0)  # version, index, direction, hardware
    gtpu: tuple[int, int] = (GTPU_DEFAULT, GTPU_PACKET)  # flags, message type
    segments: tuple[bytes, ...] = ()  # the last one to be visited first

    @property
    def is_ipv4(self) -> bool:
        return addresses.is_ipv4(self.destination)

    @property
    def number(self) -> int:
        return NUMBERS[self.kind][not self.is_ipv4]


def build(outer: Outer) -> bytes:
    """ValueError where a value does not fit, or the tunnel cannot carry what is in it."""
    protocol, body = _BODIES[outer.kind](outer)
    kind = ETH_IP if outer.is_ipv4 else ETH_IPV6
    ip = _ipv4(outer, protocol) if outer.is_ipv4 else _ipv6(outer, protocol)
    return outer.next_mac + outer.mac + kind.to_bytes(2, "big") + ip + body


def _ipv4(outer: Outer, protocol: int) -> bytes:
    head = struct.pack(
        "!BBHHHBBH4s4s",
        *(0x45, outer.tos, 0, 0, DF if outer.df else 0, outer.ttl, protocol, 0),
        addresses.packed(outer.source),
        addresses.packed(outer.destination),
    )
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:]


def _ipv6(outer: Outer, protocol: int) -> bytes:
    return (
        struct.pack("!IHBB", 6 << 28 | outer.tos << 20, 0, protocol, outer.ttl)
        + outer.source.to_bytes(16, "big")
        + outer.destination.to_bytes(16, "big")
    )


def _udp(outer: Outer, body: bytes) -> tuple[int, bytes]:
    """A checksum that is not 0 asks for one; over IPv6 there has to be one (RFC 8200)."""
    wanted = 0xFFFF if outer.csum or not outer.is_ipv4 else 0
    return PROTO_UDP, struct.pack("!HHHH", 0, outer.dst_port, 0, wanted) + body


def _vni(outer: Outer) -> int:
    """24 bits, and a reserved byte."""
    return ((outer.key or 0) & 0xFFFFFF) << 8


def _vxlan(outer: Outer) -> tuple[int, bytes]:
    flags, more, group = VXLAN_ID, 0, 0
    if outer.gpe:
        if outer.inner not in GPE_NEXT:
            raise ValueError(f"VXLAN-GPE has no protocol {outer.inner:#06x}")
        flags, group = flags | VXLAN_GPE, GPE_NEXT[outer.inner]
    elif outer.gbp is not None and any(outer.gbp):  # as the kernel: no policy, no mark of one
        group, more = outer.gbp
        flags |= VXLAN_GBP
    return _udp(outer, struct.pack("!BBHI", flags, more, group, _vni(outer)))


def _is_critical(options: bytes) -> bool:
    while len(options) >= 4:
        if options[2] & 0x80:
            return True
        options = options[4 + (options[3] & 0x1F) * 4 :]
    return False


def _geneve(outer: Outer) -> tuple[int, bytes]:
    flags = GENEVE_OAM if outer.oam else 0
    if _is_critical(outer.options):
        flags |= GENEVE_CRITICAL
    head = struct.pack("!BBHI", len(outer.options) // 4, flags, ETH_TEB, _vni(outer))
    return _udp(outer, head + outer.options)


def _gtpu(outer: Outer) -> tuple[int, bytes]:
    flags, kind = outer.gtpu
    if kind != GTPU_PACKET:
        return _udp(outer, b"")  # the message has its header
    flags |= 0x02 * outer.sequence
    optional = bytes(4) if flags & GTPU_OPTIONAL else b""
    return _udp(
        outer, struct.pack("!BBHI", flags, kind, 0, (outer.key or 0) & 0xFFFFFFFF) + optional
    )


def _gre(outer: Outer) -> tuple[int, bytes]:
    flags, fields = 0, b""
    if outer.csum:
        flags, fields = flags | GRE_CSUM, fields + bytes(4)
    if outer.key is not None:
        flags, fields = flags | GRE_KEY, fields + (outer.key & 0xFFFFFFFF).to_bytes(4, "big")
    if outer.sequence:
        flags, fields = flags | GRE_SEQUENCE, fields + bytes(4)
    return PROTO_GRE, struct.pack("!HH", flags, outer.inner) + fields


def _erspan(outer: Outer) -> tuple[int, bytes]:
    version, index, direction, hardware = outer.erspan
    session = outer.key or 0
    if session > MOST_SESSION:
        raise ValueError(f"there is no session {session} of ERSPAN")
    if version == 1:
        head = struct.pack("!HHI", GRE_SEQUENCE, ERSPAN_V1, 0)
        return PROTO_GRE, head + struct.pack("!HHI", version << 12, session, index & 0xFFFFF)
    if version != 2:
        raise ValueError(f"there is no version {version} of ERSPAN")
    word = (hardware & 0x3F) << 4 | (direction & 1) << 3
    head = struct.pack("!HHI", GRE_SEQUENCE, ERSPAN_V2, 0)
    return PROTO_GRE, head + struct.pack("!HHIHH", version << 12, session, 0, 0, word)


def _srv6(outer: Outer) -> tuple[int, bytes]:
    if outer.is_ipv4 or outer.inner not in INNER:
        raise ValueError("segment routing carries IP over IPv6")
    inner = INNER[outer.inner]
    if not outer.segments:
        return inner, b""
    last = len(outer.segments) - 1
    head = bytes([inner, 2 * len(outer.segments), SEGMENTS, last, last, 0, 0, 0])
    return PROTO_ROUTING, head + b"".join(outer.segments)


_BODIES = {
    "vxlan": _vxlan, "geneve": _geneve, "gtpu": _gtpu, "gre": _gre, "ip6gre": _gre,
    "erspan": _erspan, "ip6erspan": _erspan, "srv6": _srv6,
}  # fmt: skip
