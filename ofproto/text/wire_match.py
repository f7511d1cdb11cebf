"""The match of a flow mod as it stands on the wire: what `ofp-print` shows from verbosity 3 on."""

from struct import Struct

from datapath.base.protocols import ETH_ARP, ETH_IP, ETH_IPV6, ETH_RARP, PROTO_ICMP
from ofproto.codec import fields
from ofproto.codec.match_text import format_eth, format_port
from ofproto.codec.match_wire import OF11
from ofproto.codec.messages.base import NX, find

from .nxm_text import format_tlvs

_OFP10 = Struct("!IH6s6sHBxHBBxxIIHH")
_NX_LENGTH_AT, _NX_AT = 40, 48  # of the match's length, and of the match, in NXT_FLOW_MOD
_HEADER_SIZE = 8
_WORDS = {
    pair: word for word, pair in fields.PROTOCOLS.items() if pair[0] != ETH_IPV6
}  # 1.0 knows IPv6 by its number only
_ARP_TYPES = (ETH_ARP, ETH_RARP)
# Bits of the wildcards, for fields that have one each
_BITS = {"in_port": 0, "dl_vlan": 1, "dl_src": 2, "dl_dst": 3, "dl_type": 4, "nw_proto": 5,
         "tp_src": 6, "tp_dst": 7, "dl_vlan_pcp": 20, "nw_tos": 21}  # fmt: skip
_ADDRESS_BITS = {"nw_src": 8, "nw_dst": 14}


def wire_match(raw: bytes) -> str | None:
    """The text of a flow mod's match; None for forms that are shown as at lower verbosity."""
    if raw[0] >= OF11:
        return None
    if find(raw)[0].place == NX:
        length = int.from_bytes(raw[_NX_LENGTH_AT : _NX_LENGTH_AT + 2], "big")
        return format_tlvs(raw[_NX_AT : _NX_AT + length])
    return _format_10(raw[_HEADER_SIZE : _HEADER_SIZE + _OFP10.size])


def _address(number, ignored):
    if ignored >= 32:
        return "*"
    text = ".".join(map(str, (number & ~((1 << ignored) - 1)).to_bytes(4, "big")))
    return text if not ignored else f"{text}/{32 - ignored}"


def _format_10(data):
    """struct ofp_match of OpenFlow 1.0, with a star for each wildcard."""
    (wild, in_port, dl_src, dl_dst, dl_vlan, pcp, dl_type, tos, proto, src, dst, tp_src, tp_dst) = (
        _OFP10.unpack(data)
    )
    dl_type = None if wild >> _BITS["dl_type"] & 1 else dl_type
    number = None if wild >> _BITS["nw_proto"] & 1 else proto
    whole = _WORDS.get((dl_type, number)) if number is not None else None
    word = whole or _WORDS.get((dl_type, None))
    icmp = dl_type == ETH_IP and number == PROTO_ICMP
    terms = [
        ("in_port", "in_port", format_port(in_port)),
        ("dl_vlan", "dl_vlan", dl_vlan),
        ("dl_vlan_pcp", "dl_vlan_pcp", pcp),
        ("dl_src", "dl_src", format_eth(int.from_bytes(dl_src, "big"))),
        ("dl_dst", "dl_dst", format_eth(int.from_bytes(dl_dst, "big"))),
        *([] if word else [("dl_type", "dl_type", f"0x{dl_type or 0:04x}")]),
        ("nw_src", "nw_src", _address(src, wild >> _ADDRESS_BITS["nw_src"] & 0x3F)),
        ("nw_dst", "nw_dst", _address(dst, wild >> _ADDRESS_BITS["nw_dst"] & 0x3F)),
        *([] if whole else [
            ("nw_proto", "arp_op" if dl_type in _ARP_TYPES else "nw_proto", proto)]),
        ("nw_tos", "nw_tos", tos),
        ("tp_src", "icmp_type" if icmp else "tp_src", tp_src),
        ("tp_dst", "icmp_code" if icmp else "tp_dst", tp_dst),
    ]  # fmt: skip
    shown = [
        f"{name}={'*' if bit in _BITS and wild >> _BITS[bit] & 1 else value}"
        for bit, name, value in terms
    ]
    return ",".join([word, *shown] if word else shown)
