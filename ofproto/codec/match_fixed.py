"""A Match as struct ofp_match of OpenFlow 1.0 and of 1.1: fixed members, and bits for wildcards."""

from struct import Struct

from datapath.base.protocols import (
    ETH_ARP,
    ETH_IP,
    ETH_IPV6,
    ETH_RARP,
    MPLS_TYPES,
    PROTO_ICMP,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
)
from ofproto.codec.numbers import port_from_32, port_to_32

from . import notes
from .errors import OFError
from .fields import BY_NAME
from .match import OFP_VLAN_NONE, VLAN_CFI, VLAN_PCP, VLAN_VID, Match

_VLAN_TCI = BY_NAME["vlan_tci"]

# OpenFlow 1.0

_OFP10 = Struct("!IH6s6sHBxHBBxxIIHH")
OFP10_MATCH_LEN = _OFP10.size
(
    _W_IN_PORT,
    _W_DL_VLAN,
    _W_DL_SRC,
    _W_DL_DST,
    _W_DL_TYPE,
    _W_NW_PROTO,
    _W_TP_SRC,
    _W_TP_DST,
) = (1 << i for i in range(8))
_W_NW_SRC_SHIFT, _W_NW_DST_SHIFT = 8, 14
_W_PCP, _W_TOS = 1 << 20, 1 << 21
OFP10_WILDCARDS = _W_ALL = (1 << 22) - 1


def of10_decode(data: bytes, position: int = 0) -> Match:
    """struct ofp_match of OpenFlow 1.0.  As the specification's errata say, fields without their
    prerequisites are ignored."""
    match = of10_decode_loose(data, position)
    match.normalize()
    return match


def of10_decode_loose(data: bytes, position: int = 0) -> Match:
    """struct ofp_match of OpenFlow 1.0, with fields whose prerequisites are not matched."""
    (wild, in_port, dl_src, dl_dst, dl_vlan, pcp, dl_type, tos, proto, src, dst, tp_src, tp_dst) = (
        _OFP10.unpack_from(data, position)
    )
    match = Match()
    put = match.set
    if not wild & _W_IN_PORT:
        put("in_port", in_port)
    if not wild & _W_DL_SRC:
        put("eth_src", int.from_bytes(dl_src, "big"))
    if not wild & _W_DL_DST:
        put("eth_dst", int.from_bytes(dl_dst, "big"))
    if not wild & _W_DL_VLAN:
        put("dl_vlan", dl_vlan)
    if not wild & _W_PCP and (wild & _W_DL_VLAN or dl_vlan != OFP_VLAN_NONE):
        put("dl_vlan_pcp", pcp & 7)
    if not wild & _W_DL_TYPE:
        put("eth_type", dl_type)
        _put_layer_3(put, wild, tos, proto, src, dst)
        if not wild & _W_TP_SRC:
            put("tcp_src", tp_src)
        if not wild & _W_TP_DST:
            put("tcp_dst", tp_dst)
    return match


def _put_layer_3(put, wild, tos, proto, src, dst):
    if not wild & _W_NW_PROTO:
        put("nw_proto", proto)
    if not wild & _W_TOS:
        put("nw_tos", tos)
    for name, address, shift in (
        ("ip_src", src, _W_NW_SRC_SHIFT),
        ("ip_dst", dst, _W_NW_DST_SHIFT),
    ):
        ignored = wild >> shift & 0x3F
        if ignored < 32:
            put(name, address, 0xFFFFFFFF & ~((1 << ignored) - 1))


_W_NOTHING = (
    _W_ALL & ~(0x3F << _W_NW_SRC_SHIFT | 0x3F << _W_NW_DST_SHIFT)
    | 32 << _W_NW_SRC_SHIFT
    | 32 << _W_NW_DST_SHIFT
)
_NOTHING_10 = dict.fromkeys(
    ("in_port", "dl_src", "dl_dst", "dl_vlan", "pcp", "dl_type", "nw_tos", "nw_proto", "nw_src",
     "nw_dst", "tp_src", "tp_dst"), 0)  # fmt: skip
_BITS_10 = {"in_port": _W_IN_PORT, "dl_src": _W_DL_SRC, "dl_dst": _W_DL_DST, "dl_type": _W_DL_TYPE,
            "nw_proto": _W_NW_PROTO, "nw_tos": _W_TOS, "tp_src": _W_TP_SRC,
            "tp_dst": _W_TP_DST}  # fmt: skip


def of10_encode(match: Match) -> bytes:
    """struct ofp_match of OpenFlow 1.0; what it cannot say is left out (see `fits_of10`)."""
    wild, say = _W_NOTHING, dict(_NOTHING_10)
    for field, value, mask in (*match.fields(), *match.loose_fields()):
        name = field.of10
        if field is _VLAN_TCI:
            wild = _vlan_to_10(say, wild, value, mask)
        elif name in ("nw_src", "nw_dst"):
            shift = _W_NW_SRC_SHIFT if name == "nw_src" else _W_NW_DST_SHIFT
            prefix = _cidr(mask)
            if prefix is not None:
                wild = wild & ~(0x3F << shift) | (32 - prefix) << shift
                say[name] = value
        elif name is not None and mask == field.mask:
            wild &= ~_BITS_10[name]
            say[name] = value
    return _OFP10.pack(
        wild, say["in_port"], say["dl_src"].to_bytes(6, "big"), say["dl_dst"].to_bytes(6, "big"),
        say["dl_vlan"], say["pcp"], say["dl_type"], say["nw_tos"], say["nw_proto"],
        say["nw_src"], say["nw_dst"], say["tp_src"], say["tp_dst"])  # fmt: skip


def _vlan_to_10(say, wild, value, mask):
    """What cannot be said exactly is said as Open vSwitch does: any bit of VID or PCP is all."""
    if mask & VLAN_CFI and not value & VLAN_CFI:
        say["dl_vlan"] = OFP_VLAN_NONE
        return wild & ~(_W_DL_VLAN | _W_PCP)
    if mask & VLAN_VID:
        say["dl_vlan"] = value & VLAN_VID
        wild &= ~_W_DL_VLAN
    if mask & VLAN_PCP:
        say["pcp"] = value >> 13
        wild &= ~_W_PCP
    return wild


def _cidr(mask: int) -> int | None:
    """The prefix length of a 32-bit mask, or None."""
    inverse = ~mask & 0xFFFFFFFF
    return None if inverse & (inverse + 1) else 32 - inverse.bit_length()


def fits_of10(match: Match) -> bool:
    """Whether OpenFlow 1.0 can say this match exactly."""
    match = _with_plain_tag(match)
    return of10_decode(of10_encode(match)) == match


def _with_plain_tag(match: Match) -> Match:
    """The match with "no tag" for a tag of which every bit counts, the present bit being 0.

    No packet has such a tag; Open vSwitch takes `vlan_tci=11` to mean an untagged one.
    """
    for field, value, mask in match.fields():
        if field is _VLAN_TCI and mask | VLAN_PCP == 0xFFFF and value and not value & VLAN_CFI:
            match = match.copy()
            match.set("dl_vlan", OFP_VLAN_NONE)
    return match


# OpenFlow 1.1

_OFP11 = Struct("!HHII6s6s6s6sHBxHBBIIIIHHIB3xQQ")
OFP11_MATCH_LEN = _OFP11.size
(
    _W11_IN_PORT,
    _W11_DL_VLAN,
    _W11_PCP,
    _W11_DL_TYPE,
    _W11_TOS,
    _W11_NW_PROTO,
    _W11_TP_SRC,
    _W11_TP_DST,
    _W11_MPLS_LABEL,
    _W11_MPLS_TC,
) = (1 << i for i in range(10))
_W11_ALL = (1 << 10) - 1
_VID_ANY = 0xFFFE  # any tag
_U32, _U48, _U64 = (1 << 32) - 1, (1 << 48) - 1, (1 << 64) - 1
_L4 = {
    PROTO_TCP: ("tcp_src", "tcp_dst"),
    PROTO_UDP: ("udp_src", "udp_dst"),
    PROTO_SCTP: ("sctp_src", "sctp_dst"),
    PROTO_ICMP: ("icmp_type", "icmp_code"),
}


def of11_decode(data: bytes, position: int = 0) -> Match:
    """struct ofp_match of OpenFlow 1.1, whose type and length are right.  Raises OFError."""
    (_kind, _length, in_port, wild, src, src_wild, dst, dst_wild, vlan, pcp, dl_type, tos, proto,
     nw_src, nw_src_wild, nw_dst, nw_dst_wild, tp_src, tp_dst, label, tc, metadata,
     metadata_wild) = _OFP11.unpack_from(data, position)  # fmt: skip
    match = Match()
    if not wild & _W11_IN_PORT:
        port = port_from_32(in_port)
        if port is None:
            raise notes.bad_port("OFPBMC_BAD_VALUE", in_port)
        match.set("in_port", port)
    for name, value, ignored in (("eth_src", src, src_wild), ("eth_dst", dst, dst_wild)):
        _put_masked(match, name, int.from_bytes(value, "big"), int.from_bytes(ignored, "big"), _U48)
    _put_tag_11(match, wild, vlan, pcp)
    if not wild & _W11_DL_TYPE:
        match.set("eth_type", dl_type)
        addresses = (nw_src, nw_src_wild, nw_dst, nw_dst_wild)
        _put_layer_3_11(match, wild, dl_type, tos, proto, addresses)
        if dl_type == ETH_IP and not wild & _W11_NW_PROTO:
            _put_layer_4_11(match, wild, proto, tp_src, tp_dst)
        if dl_type in MPLS_TYPES:
            if not wild & _W11_MPLS_LABEL:
                match.set("mpls_label", label & 0xFFFFF)
            if not wild & _W11_MPLS_TC:
                match.set("mpls_tc", tc & 7)
    _put_masked(match, "metadata", metadata, metadata_wild, _U64)
    return match


def _put_masked(match, name, value, ignored, ones):
    mask = ~ignored & ones
    if mask:
        match.set(name, value & mask, mask)


def _put_tag_11(match, wild, vlan, pcp):
    if not wild & _W11_DL_VLAN:
        if vlan == OFP_VLAN_NONE:
            match.set("dl_vlan", OFP_VLAN_NONE)
            return
        if vlan == _VID_ANY:
            match.set("vlan_vid", VLAN_CFI, VLAN_CFI)
        elif vlan > VLAN_VID:
            raise OFError("OFPBMC_BAD_VALUE", f"dl_vlan {vlan}")
        else:
            match.set("dl_vlan", vlan)
        if not wild & _W11_PCP:
            if pcp > 7:
                raise OFError("OFPBMC_BAD_VALUE", f"dl_vlan_pcp {pcp}")
            match.set("dl_vlan_pcp", pcp)


def _put_layer_3_11(match, wild, dl_type, tos, proto, addresses):
    if dl_type not in (ETH_IP, ETH_ARP, ETH_RARP):
        return
    ip = dl_type == ETH_IP
    if ip and not wild & _W11_TOS:
        if tos & 3:
            raise OFError("OFPBMC_BAD_VALUE", f"nw_tos {tos}")
        match.set("nw_tos", tos)
    if not wild & _W11_NW_PROTO:
        match.set("nw_proto" if ip else "arp_op", proto)
    src, src_wild, dst, dst_wild = addresses
    _put_masked(match, "ip_src" if ip else "arp_spa", src, src_wild, _U32)
    _put_masked(match, "ip_dst" if ip else "arp_tpa", dst, dst_wild, _U32)


def _put_layer_4_11(match, wild, proto, tp_src, tp_dst):
    names = _L4.get(proto)
    if names is None:
        return  # to be ignored, 1.1 says
    for name, value, bit in zip(names, (tp_src, tp_dst), (_W11_TP_SRC, _W11_TP_DST), strict=True):
        if not wild & bit:
            if proto == 1 and value > 0xFF:
                raise OFError("OFPBMC_BAD_FIELD", f"{name} {value}")
            match.set(name, value)


# What says an exact value, by the name of OpenFlow 1.0's member
_BITS_11 = {"in_port": _W11_IN_PORT, "dl_type": _W11_DL_TYPE, "nw_proto": _W11_NW_PROTO,
            "nw_tos": _W11_TOS, "tp_src": _W11_TP_SRC, "tp_dst": _W11_TP_DST}  # fmt: skip
_LAYERS_34 = ("nw_proto", "nw_tos", "tp_src", "tp_dst")
_BITS_MPLS = {"mpls_label": _W11_MPLS_LABEL, "mpls_tc": _W11_MPLS_TC}
_MASKED_11 = {"eth_src": "dl_src", "eth_dst": "dl_dst", "ip_src": "nw_src", "ip_dst": "nw_dst",
              "arp_spa": "nw_src", "arp_tpa": "nw_dst", "metadata": "metadata"}  # fmt: skip


def of11_encode(match: Match) -> bytes:
    """struct ofp_match of OpenFlow 1.1; what it cannot say is left out."""
    say = dict.fromkeys((*_BITS_11, *_BITS_MPLS, *_MASKED_11.values(), "dl_vlan", "pcp"), 0)
    masks = dict.fromkeys(_MASKED_11.values(), 0)
    wild = _W11_ALL
    ipv6 = match.eth_type == ETH_IPV6
    for field, value, mask in match.fields():
        if ipv6 and field.of10 in _LAYERS_34:
            continue  # 1.1 has them of IPv4 only
        name = _MASKED_11.get(field.name)
        bit = _BITS_MPLS.get(field.name) or _BITS_11.get(field.of10)
        if name is not None:
            say[name], masks[name] = value, mask
        elif field is _VLAN_TCI:
            wild = _tag_to_11(say, wild, value, mask)
        elif bit and mask == field.mask:
            wild &= ~bit
            say[field.name if field.name in _BITS_MPLS else field.of10] = value
    return _pack_11(say, masks, wild)


def _tag_to_11(say, wild, value, mask):
    wild &= ~_W11_DL_VLAN
    if mask & VLAN_CFI and not value & VLAN_CFI:
        say["dl_vlan"] = OFP_VLAN_NONE
        return wild
    say["dl_vlan"] = value & VLAN_VID if mask & VLAN_VID else _VID_ANY
    if mask & VLAN_PCP:
        say["pcp"] = value >> 13
        wild &= ~_W11_PCP
    return wild


def _pack_11(say, masks, wild):
    def mac(number):
        return number.to_bytes(6, "big")

    port = 0 if wild & _W11_IN_PORT else port_to_32(say["in_port"])
    return _OFP11.pack(
        0, OFP11_MATCH_LEN, port, wild, mac(say["dl_src"]), mac(masks["dl_src"] ^ _U48),
        mac(say["dl_dst"]), mac(masks["dl_dst"] ^ _U48), say["dl_vlan"], say["pcp"],
        say["dl_type"], say["nw_tos"], say["nw_proto"], say["nw_src"], masks["nw_src"] ^ _U32,
        say["nw_dst"], masks["nw_dst"] ^ _U32, say["tp_src"], say["tp_dst"], say["mpls_label"],
        say["mpls_tc"], say["metadata"], masks["metadata"] ^ _U64,
    )  # fmt: skip


def fits_of11(match: Match) -> bool:
    """Whether OpenFlow 1.1 can say this match exactly."""
    match = _with_plain_tag(match)
    return of11_decode(of11_encode(match)) == match
