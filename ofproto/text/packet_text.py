"""Packets as people read them: their fields as a match, and bytes in hexadecimal."""

from datapath.base.protocols import PROTO_ICMP, PROTO_ICMPV6, PROTO_SCTP, PROTO_TCP, PROTO_UDP
from datapath.key import flow
from ofproto.codec.match import Match
from ofproto.codec.match_text import format_eth, format_terms

_ETH_IP, _ETH_IPV6 = b"\x08\x00", b"\x86\xdd"
# (Ethertypes, IP protocol) -> name, offset and size of the checksum, least size of the header
_CHECKSUMS = {
    PROTO_TCP: ("tcp_csum", 16, 2, 20),
    PROTO_UDP: ("udp_csum", 6, 2, 8),
    PROTO_SCTP: ("sctp_csum", 8, 4, 12),
    PROTO_ICMP: ("icmp_csum", 2, 2, 8),
    PROTO_ICMPV6: ("icmp6_csum", 2, 2, 4),
}
_HIDDEN = ("in_port", "recirc_id", "packet_type", "dp_hash", "skb_priority", "pkt_mark",
           "nd_reserved", "nd_options_type",
           *(name for name in flow.MEMBERS if name.startswith("ct_")))  # fmt: skip


def _get(key, name):
    offset, size = flow.MEMBERS[name]
    return key[offset : offset + size]


def _shown(key):
    """The match on what the packet itself has."""
    mask = bytearray(flow.wildcards_for(key))
    mask[flow.KEY_PACKET_SIZE :] = bytes(len(mask) - flow.KEY_PACKET_SIZE)
    none = () if any(_get(key, "ipv6_exthdr")) else ("ipv6_exthdr",)
    for name in (*_HIDDEN, *none):
        offset, size = flow.MEMBERS[name]
        mask[offset : offset + size] = bytes(size)
    return Match(bytes(a & b for a, b in zip(key, mask, strict=True)), bytes(mask))


def inner_tag(key):
    """Text of the second tag, which is there, or known not to be, behind a first one."""
    tci = int.from_bytes(_get(key, "vlan1_tci"), "big")
    if tci & 0x1000:
        return f"dl_vlan1={tci & 0xFFF},dl_vlan_pcp1={tci >> 13}"
    return f"vlan_tci1=0x{tci:04x}"


def neighbour_terms(terms, key):
    """A flow's terms, with both link-layer addresses of a ND message, whichever of them it has."""
    named = [term for term in terms if term.startswith(("nd_sll=", "nd_tll="))]
    if not named:
        return terms
    source, target = (
        format_eth(int.from_bytes(_get(key, n), "big")) for n in ("arp_sha", "arp_tha")
    )
    at = terms.index(named[0])
    return [*terms[:at], f"nd_sll={source}", f"nd_tll={target}", *terms[at + 1 :]]


def _checksum(data, key, l4):
    """` tcp_csum:1a2b` and the like, from the packet's bytes."""
    row = _CHECKSUMS.get(_get(key, "nw_proto")[0])
    if row is None or l4 is None or _get(key, "eth_type") not in (_ETH_IP, _ETH_IPV6):
        return ""
    name, offset, size, least = row
    if len(data) - l4 < least:
        return ""
    return f" {name}:{int.from_bytes(data[l4 + offset : l4 + offset + size], 'big'):x}"


def format_packet(data: bytes) -> str:
    """An Ethernet frame's fields in one line."""
    key, offsets, _size = flow.extract_with_offsets(data)
    terms = format_terms(_shown(key))
    for i, term in enumerate(terms):
        if term.startswith("dl_vlan="):
            terms.insert(i + 1, inner_tag(key))
            break
    terms = neighbour_terms(terms, key)
    return ",".join(terms) + _checksum(data, key, offsets["l4"])
