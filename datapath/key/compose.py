"""Makes a packet that has the fields of a flow key: for commands that inject one.

Layouts: Ethernet, IEEE 802.1Q, RFC 826 (ARP), 791 and 8200 (IP), 9293 (TCP), 768 (UDP), 9260
(SCTP), 792 and 4443 (ICMP), 4861 (neighbour discovery), 3032 (MPLS), 8300 (NSH).
"""

import struct

from datapath.base.protocols import (
    ETH_ARP,
    ETH_FIRST,
    ETH_IP,
    ETH_IPV6,
    ETH_NSH,
    ETH_RARP,
    ETH_VLAN,
    MPLS_TYPES,
    ND_ADVERT,
    ND_SOLICIT,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_IGMP,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
)
from datapath.key import flow

FRAG_ANY, FRAG_LATER = 1, 2
LATER_OFFSET = 100  # where a later fragment begins, in units of 8 bytes
CFI = 0x1000
PAYLOAD = 64  # bytes behind a transport header, when no length is asked for
TCP_FIN, TCP_SYN, TCP_RST = 1, 2, 4
ECHOES = {PROTO_ICMP: (8, 0), PROTO_ICMPV6: (128, 129)}  # protocol -> types, request and reply


class Key:
    """The members of a flow key as integers or bytes."""

    def __init__(self, key: bytes):
        self._key = key

    def bytes(self, name: str) -> bytes:
        offset, size = flow.MEMBERS[name]
        return self._key[offset : offset + size]

    def __getitem__(self, name: str) -> int:
        return int.from_bytes(self.bytes(name), "big")


def checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _pattern(size: int) -> bytes:
    return bytes(n & 0xFF for n in range(size))


def compose(key: bytes, size: int | None = None, payload: bytes | None = None) -> bytes:
    """A frame with the fields of `key`, and what they leave open made sensible.

    `size`: bytes of the whole frame, if it can be made so by a longer or shorter payload; else the
    transport header is followed by PAYLOAD bytes where packets of its kind carry data: not behind
    TCP segments that begin or end a connection, SCTP, and ICMP messages but echoes.  `payload`:
    what follows such a transport header.
    """
    k = Key(key)
    if payload is not None:
        return _frame(k, payload if _carries_data(k) else b"")
    if size is None:
        return _frame(k, _pattern(PAYLOAD if _carries_data(k) else 0))
    with_none = _frame(k, b"")
    missing = max(0, size - len(with_none))
    if len(_frame(k, bytes(PAYLOAD))) == len(with_none):  # there can be no payload
        return with_none + bytes(missing)
    return _frame(k, _pattern(missing))


def _carries_data(k: Key) -> bool:
    proto = k["nw_proto"]
    if proto == PROTO_TCP:
        return not k["tcp_flags"] & (TCP_SYN | TCP_FIN | TCP_RST)
    if proto in ECHOES:
        return k["tp_src"] in ECHOES[proto] and not k["tp_dst"]
    return proto != PROTO_SCTP


def _frame(k: Key, payload: bytes) -> bytes:
    body = _body(k, payload)
    if k["packet_type"]:
        return body
    eth_type = k["eth_type"]
    if eth_type < ETH_FIRST:  # an 802.2 frame
        head = k.bytes("eth_dst") + k.bytes("eth_src")
        return head + _tags(k) + struct.pack("!H", len(body)) + body
    head = k.bytes("eth_dst") + k.bytes("eth_src") + _tags(k)
    return head + struct.pack("!H", eth_type) + body


def _tags(k: Key) -> bytes:
    made = b""
    for level in (0, 1):
        tci = k[f"vlan{level}_tci"]
        if tci & CFI:
            made += struct.pack("!HH", k[f"vlan{level}_tpid"] or ETH_VLAN, tci & ~CFI)
    return made


def _body(k: Key, payload: bytes) -> bytes:
    eth_type = k["eth_type"]
    if eth_type == ETH_IP:
        return _ipv4(k, payload)
    if eth_type == ETH_IPV6:
        return _ipv6(k, payload)
    if eth_type in (ETH_ARP, ETH_RARP):
        return _arp(k)
    if eth_type in MPLS_TYPES:
        return _mpls(k)
    if eth_type == ETH_NSH:
        return _nsh(k)
    return b""


def _arp(k: Key) -> bytes:
    fixed = struct.pack("!HHBBH", 1, ETH_IP, 6, 4, k["nw_proto"])
    return fixed + k.bytes("arp_sha") + k.bytes("nw_src") + k.bytes("arp_tha") + k.bytes("nw_dst")


def _mpls(k: Key) -> bytes:
    labels = []
    for level in range(3):
        labels.append(k[f"mpls_lse{level}"])
        if labels[-1] & 0x100:  # bottom of stack
            break
    return struct.pack(f"!{len(labels)}I", *labels)


def _nsh(k: Key) -> bytes:
    kind = k["nsh_mdtype"]
    contexts = b"".join(k.bytes(f"nsh_context{n}") for n in range(4)) if kind == 1 else b""
    words = 2 + len(contexts) // 4
    head = (k["nsh_flags"] & 3) << 12 | (k["nsh_ttl"] & 63) << 6 | words
    return struct.pack("!HBB", head, kind, k["nsh_np"]) + k.bytes("nsh_path_hdr") + contexts


def _ipv4(k: Key, payload: bytes) -> bytes:
    frag = k["nw_frag"]
    offset = (0x2000 if frag & FRAG_ANY else 0) | (LATER_OFFSET if frag & FRAG_LATER else 0)
    pseudo = k.bytes("nw_src") + k.bytes("nw_dst")
    l4 = b"" if frag & FRAG_LATER else _transport(k, payload, pseudo, False)
    head = struct.pack(
        "!BBHHHBBH", 0x45, k["nw_tos"], 20 + len(l4), 0, offset, k["nw_ttl"], k["nw_proto"], 0
    )
    head += pseudo
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + l4


def _ipv6(k: Key, payload: bytes) -> bytes:
    frag = k["nw_frag"]
    pseudo = k.bytes("ipv6_src") + k.bytes("ipv6_dst")
    l4 = b"" if frag & FRAG_LATER else _transport(k, payload, pseudo, True)
    proto = k["nw_proto"]
    if frag & FRAG_ANY:
        l4 = (
            struct.pack("!BBHI", proto, 0, (LATER_OFFSET << 3 if frag & FRAG_LATER else 0) | 1, 0)
            + l4
        )
        proto = 44
    word = 6 << 28 | k["nw_tos"] << 20 | k["ipv6_label"] & 0xFFFFF
    return struct.pack("!IHBB", word, len(l4), proto, k["nw_ttl"]) + pseudo + l4


def _transport(k: Key, payload: bytes, pseudo: bytes, is_v6: bool) -> bytes:
    proto = k["nw_proto"]
    ports = k.bytes("tp_src") + k.bytes("tp_dst")
    data = payload
    if proto == PROTO_TCP:
        flags = k["tcp_flags"] & 0xFFF
        made, at = ports + struct.pack("!IIHHHH", 0, 0, 5 << 12 | flags, 0, 0, 0) + data, 16
    elif proto == PROTO_UDP:
        made, at = ports + struct.pack("!HH", 8 + len(data), 0) + data, 6
    elif proto == PROTO_SCTP:
        return ports + bytes(8) + data
    elif proto == PROTO_ICMP and not is_v6:
        made = bytes((k["tp_src"] & 0xFF, k["tp_dst"] & 0xFF)) + bytes(6) + data
        return _with_checksum(made, 2, b"")
    elif proto == PROTO_ICMPV6 and is_v6:
        made, at = _icmpv6(k, data), 2
    elif proto == PROTO_IGMP:
        made = bytes((k["tp_src"] & 0xFF, k["tp_dst"] & 0xFF, 0, 0)) + k.bytes("igmp_group_ip4")
        return _with_checksum(made, 2, b"")
    else:
        return b""
    head = pseudo + struct.pack(
        "!IHBB" if is_v6 else "!BBH", *_pseudo_rest(proto, len(made), is_v6)
    )
    return _with_checksum(made, at, head)


def _pseudo_rest(proto: int, length: int, is_v6: bool) -> tuple[int, ...]:
    return (length, 0, 0, proto) if is_v6 else (0, proto, length)


def _with_checksum(data: bytes, at: int, pseudo: bytes) -> bytes:
    return data[:at] + struct.pack("!H", checksum(pseudo + data)) + data[at + 2 :]


def _icmpv6(k: Key, data: bytes) -> bytes:
    kind = k["tp_src"] & 0xFF
    head = bytes((kind, k["tp_dst"] & 0xFF, 0, 0))
    if kind not in (ND_SOLICIT, ND_ADVERT) or k["tp_dst"]:
        return head + bytes(4) + data
    made = head + k.bytes("nd_reserved") + k.bytes("nd_target")
    for option, member in ((1, "arp_sha"), (2, "arp_tha")):
        if k[member]:
            made += bytes((option, 1)) + k.bytes(member)
    return made
