"""The one table of match fields: names, OXM/NXM headers, widths, prerequisites, text forms, slots.

Everything that knows fields reads FIELDS: the match codecs, the text parsers and formatters, the
actions that set or move fields, translation (through `Field.slot`), and the help of the tools.
Sources: OpenFlow 1.5.1 section 7.2.3 and ovs-fields(7).

A field's value is an unsigned integer of `n_bits` bits, sent big-endian in `n_bytes` bytes.
Port numbers are the 16-bit ones of OpenFlow 1.0 everywhere but in 32-bit headers on the wire
(see `port_from_32`, `port_to_32`).
"""

import re
from functools import lru_cache

from datapath.base.protocols import (
    ETH_ARP,
    ETH_IP,
    ETH_IPV6,
    ETH_MPLS,
    ETH_MPLS_MCAST,
    ETH_NSH,
    ETH_PBB,
    ETH_RARP,
    MPLS_TYPES,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
)
from datapath.base.protocols import ND_ADVERT as _ADVERT
from datapath.base.protocols import ND_SOLICIT as _SOLICIT

# OXM classes; a class of 0xffff goes on with a 32-bit experimenter.
NXM_OF, NXM_NX, ERICOXM, OXM_OF, PKT_REG = 0x0000, 0x0001, 0x1000, 0x8000, 0x8001
EXPERIMENTER_CLASS = 0xFFFF
NXOXM_ET, NXOXM_NSH, ONFOXM_ET = 0x00002320, 0x005AD650, 0x4F4E4600

ETH_IP_ANY = (ETH_IP, ETH_IPV6)

CS_INVALID, CS_TRACKED, CS_OF_CONNECTION = 0x10, 0x20, 0xCF
# ct_state and the other flag fields: the text names of the bits, from bit 0.
CT_STATE_BITS = ("new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat")
TCP_FLAG_BITS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]",
                 "[800]")  # fmt: skip
TUN_FLAG_BITS = ("oam",)
TUN_OUTER_FLAG_BITS = ("df", "csum", "key")
IPV6_EXTHDR_BITS = ("nonext", "esp", "auth", "dest", "frag", "router", "hop", "unrep", "unseq")
FRAG_LATER = 2  # bit of nw_frag: not the first fragment
# nw_frag and its mask, by name
FRAG_NAMES = {
    "no": (0, 3),
    "yes": (1, 1),
    "first": (1, 3),
    "later": (3, 3),
    "not_later": (0, 2),
}


# Prerequisites: what must already be matched exactly.  `eth` lists Ethertypes, `proto` the IP
# protocol, `icmp` the ICMPv6 types; "ethernet", "vlan", "ct" and "in_port" name those not of that
# form.
class Prerequisite:
    """`eth`: tuple of Ethertypes or None; `proto`: IP protocol; `types`: ICMPv6 types;
    `special`: "ethernet" (no other packet type is matched), "vlan" (a tag is present), "ct"
    (ct_state says that there is a connection) or "in_port" (it is matched)."""

    __slots__ = ("eth", "proto", "special", "types")

    def __init__(self, eth=None, proto=None, types=None, special=None):
        self.eth = eth
        self.proto = proto
        self.types = types
        self.special = special


NONE = None
ETHERNET = Prerequisite(special="ethernet")
VLAN = Prerequisite(special="vlan")
CT = Prerequisite(special="ct")
IN_PORT = Prerequisite(special="in_port")
ARP = Prerequisite((ETH_ARP, ETH_RARP))
IPV4 = Prerequisite((ETH_IP,))
IPV6 = Prerequisite((ETH_IPV6,))
IP_ANY = Prerequisite(ETH_IP_ANY)
MPLS = Prerequisite(MPLS_TYPES)
PBB = Prerequisite((ETH_PBB,))
NSH = Prerequisite((ETH_NSH,))
TCP = Prerequisite(ETH_IP_ANY, PROTO_TCP)
UDP = Prerequisite(ETH_IP_ANY, PROTO_UDP)
SCTP = Prerequisite(ETH_IP_ANY, PROTO_SCTP)
ICMPV4 = Prerequisite((ETH_IP,), PROTO_ICMP)
ICMPV6 = Prerequisite((ETH_IPV6,), PROTO_ICMPV6)
ND = Prerequisite((ETH_IPV6,), PROTO_ICMPV6, (_SOLICIT, _ADVERT))
ND_SOLICIT = Prerequisite((ETH_IPV6,), PROTO_ICMPV6, (_SOLICIT,))
ND_ADVERT = Prerequisite((ETH_IPV6,), PROTO_ICMPV6, (_ADVERT,))


class Header:
    """A code point of a field: OXM class (or EXPERIMENTER_CLASS and `experimenter`), number,
    printed name, and the first wire version whose matches send it (0: NXM)."""

    __slots__ = ("experimenter", "n_bytes", "name", "number", "oxm_class", "since")

    def __init__(self, name, oxm_class, number, since, experimenter=0):
        self.name = name
        self.oxm_class = oxm_class
        self.number = number
        self.since = since
        self.experimenter = experimenter
        self.n_bytes = 0

    def encode(self, has_mask: bool) -> bytes:
        """The 4 (8 for experimenters) bytes in front of value and mask."""
        length = (self.n_bytes << has_mask) + (4 if self.experimenter else 0)
        head = (self.oxm_class << 16 | self.number << 9 | has_mask << 8 | length).to_bytes(4, "big")
        return head + self.experimenter.to_bytes(4, "big") if self.experimenter else head


_PART_BITS = {"vlan_vid": 12, "ct_state": 32}


class Field:
    """One match field.  `slot` is (member of the flow key, bit shift within it, bits); a slot
    wider than `n_bits` belongs to the field whole; `mask` has the bits that may be nonzero.
    `text` is the text form: decimal, hex, ethernet, ipv4, ipv6, port, frag, ct_state, tcp_flags,
    tun_flags, ipv6_exthdr, packet_type.  `of10` is the member of OpenFlow 1.0's ofp_match that can
    carry it."""

    __slots__ = (
        "aliases",
        "encode",
        "headers",
        "index",
        "mask",
        "maskable",
        "n_bits",
        "n_bytes",
        "name",
        "of10",
        "prerequisite",
        "slot",
        "text",
        "writable",
    )

    option: int | None = None  # N of tun_metadataN
    masked = False

    @property
    def part_bits(self) -> int:
        """How many bits actions have parts of: of vlan_vid without CFI, and of ct_state all that
        its bytes have, as ovs-fields(7) says."""
        return _PART_BITS.get(self.name, self.n_bits)

    def __init__(self, name, n_bits, text, slot, prerequisite, headers, **more):
        self.name = name
        self.n_bits = n_bits
        self.n_bytes = more.get("n_bytes", (n_bits + 7) // 8)
        self.text = text
        self.slot = slot
        self.prerequisite = prerequisite
        self.headers = headers
        self.aliases = more.get("aliases", ())
        self.maskable = more.get("maskable", True)
        self.writable = more.get("writable", True)
        self.of10 = more.get("of10")
        self.mask = more.get("mask", (1 << n_bits) - 1)
        self.index = -1
        self.encode = {}
        for header in headers:
            header.n_bytes = self.n_bytes

    def __repr__(self):
        return f"<Field {self.name}>"

    def header(self, version: int) -> Header | None:
        """The header that a match or action of this wire version carries; None: it has none."""
        if version < 3:
            versions = sorted(self.headers, key=lambda h: h.since)
            return versions[0] if versions else None
        best = None
        for header in self.headers:
            if header.since <= version and (best is None or header.since > best.since):
                best = header
        return best or (self.headers[0] if self.headers else None)

    def oxm(self, version: int, has_mask: bool) -> bytes | None:
        """The encoded header for `version`, or None when no version can carry the field."""
        key = (version, has_mask)
        if key not in self.encode:
            header = self.header(version)
            self.encode[key] = header.encode(has_mask) if header else None
        return self.encode[key]

    @property
    def nxm_name(self) -> str:
        """The name that subfields print, such as NXM_OF_IP_SRC."""
        return min(self.headers, key=lambda h: h.since).name if self.headers else self.name


class OptionField(Field):
    """tun_metadataN, a tunnel option.  How long it is, a bridge's table says (ovs-fields(7)): those
    of FIELDS stand for any length, others (option_field()) for one, at `offset` of the key's
    tun_metadata.  `masked`: it is matched with a mask, even if that is all ones."""

    __slots__ = ("masked", "offset", "option")

    def __init__(self, option: int, length: int, offset: int | None, masked: bool):
        header = _nx(f"TUN_METADATA{option}", FIRST_OPTION_NUMBER + option)
        shift = 8 * (OPTION_SPACE - length - (offset or 0))
        slot = _member("tun_metadata", 8 * length, shift)
        super().__init__(f"tun_metadata{option}", 8 * length, "hex", slot, NONE, (header,))
        self.n_bytes = header.n_bytes = length
        self.option, self.offset, self.masked = option, offset, masked

    def _values(self):
        return (self.option, self.n_bytes, self.offset, self.masked)

    def __eq__(self, other):
        return isinstance(other, OptionField) and self._values() == other._values()

    def __hash__(self):
        return hash(self._values())


N_OPTIONS, MAX_OPTION, OPTION_SPACE = 64, 124, 256  # their number, bytes of one, of all
FIRST_OPTION_NUMBER = 40  # NXM_NX_TUN_METADATA0
# What an option's header begins with: class 1, its number, a bit for a mask.
_OPTION = re.compile(
    b"\x00\x01[%c-%c]" % (FIRST_OPTION_NUMBER << 1, (FIRST_OPTION_NUMBER + N_OPTIONS) * 2 - 1)
)


def may_have_options(data: bytes) -> bool:
    """False for bytes of actions or instructions in which no option can be; most have none, and to
    look for its header is much less work than to look at what was decoded."""
    return any(not found.start() & 1 for found in _OPTION.finditer(data))


@lru_cache(1024)
def option_field(option: int, length: int, offset: int, masked: bool = False) -> OptionField:
    """tun_metadata`option` of `length` bytes at `offset` of the key's tun_metadata."""
    made = OptionField(option, length, offset, masked)
    made.index = BY_NAME[made.name].index
    return made


def _oxm(name, number, since=3):
    return Header(f"OXM_OF_{name}", OXM_OF, number, since)


def _nx(name, number):
    return Header(f"NXM_NX_{name}", NXM_NX, number, 0)


def _of(name, number):
    return Header(f"NXM_OF_{name}", NXM_OF, number, 0)


def _et(name, number):
    return Header(f"NXOXM_ET_{name}", EXPERIMENTER_CLASS, number, 0, NXOXM_ET)


def _nsh(name, number):
    return Header(f"NXOXM_NSH_{name}", EXPERIMENTER_CLASS, number, 0, NXOXM_NSH)


def _onf(name, number):
    return Header(f"ONFOXM_ET_{name}", EXPERIMENTER_CLASS, number, 4, ONFOXM_ET)


def _eric(name, number):
    return Header(f"ERICOXM_OF_{name}", ERICOXM, number, 0)


def _member(name, bits, shift=0):
    return (name, shift, bits)


_EXACT = {"maskable": False}
_RO = {"writable": False}
_EXACT_RO = {"maskable": False, "writable": False}


def _registers():
    for i in range(16):
        yield Field(f"reg{i}", 32, "hex", _member(f"reg{i}", 32), NONE, (_nx(f"REG{i}", i),))
    for i in range(8):
        header = Header(f"OXM_OF_PKT_REG{i}", PKT_REG, i, 4)
        yield Field(f"xreg{i}", 64, "hex", _member(f"reg{2 * i}", 64), NONE, (header,))
    for i in range(4):
        slot = _member(f"reg{4 * i}", 128)
        yield Field(f"xxreg{i}", 128, "hex", slot, NONE, (_nx(f"XXREG{i}", 111 + i),))


# In the order in which matches are encoded: a field comes after its prerequisites.
FIELDS = (
    Field("dp_hash", 32, "hex", _member("dp_hash", 32), NONE,
          (_nx("DP_HASH", 35), _et("DP_HASH", 0)), **_RO),
    Field("recirc_id", 32, "hex", _member("recirc_id", 32), NONE,
          (_nx("RECIRC_ID", 36),), **_EXACT_RO),
    Field("packet_type", 32, "packet_type", _member("packet_type", 32), NONE,
          (_oxm("PACKET_TYPE", 44, 6),), **_EXACT_RO),
    Field("conj_id", 32, "decimal", _member("conj_id", 32), NONE,
          (_nx("CONJ_ID", 37),), **_EXACT_RO),
    Field("skb_priority", 32, "hex", _member("skb_priority", 32), NONE, (), **_EXACT_RO),
    Field("in_port", 16, "port", _member("in_port", 32), NONE,
          (_of("IN_PORT", 0),), of10="in_port", **_EXACT),
    Field("in_port_oxm", 32, "port", _member("in_port", 32), NONE,
          (_oxm("IN_PORT", 0),), **_EXACT),
    Field("in_phy_port", 32, "port", _member("in_phy_port", 32), IN_PORT,
          (_oxm("IN_PHY_PORT", 1),), **_EXACT_RO),
    Field("actset_output", 32, "port", _member("actset_output", 32), NONE,
          (_onf("ACTSET_OUTPUT", 43), _oxm("ACTSET_OUTPUT", 43, 6)), **_EXACT_RO),
    Field("eth_src", 48, "ethernet", _member("eth_src", 48), ETHERNET,
          (_oxm("ETH_SRC", 4), _of("ETH_SRC", 2)), aliases=("dl_src",), of10="dl_src"),
    Field("eth_dst", 48, "ethernet", _member("eth_dst", 48), ETHERNET,
          (_oxm("ETH_DST", 3), _of("ETH_DST", 1)), aliases=("dl_dst",), of10="dl_dst"),
    Field("eth_type", 16, "hex", _member("eth_type", 16), ETHERNET,
          (_oxm("ETH_TYPE", 5), _of("ETH_TYPE", 3)), aliases=("dl_type",), of10="dl_type",
          **_EXACT_RO),
    Field("vlan_tci", 16, "hex", _member("vlan0_tci", 16), ETHERNET, (_of("VLAN_TCI", 4),)),
    Field("vlan_vid", 13, "decimal", _member("vlan0_tci", 13), ETHERNET,
          (_oxm("VLAN_VID", 6),), n_bytes=2),
    Field("vlan_pcp", 3, "decimal", _member("vlan0_tci", 3, 13), VLAN,
          (_oxm("VLAN_PCP", 7),), **_EXACT),
    # Text and OpenFlow 1.0 only: the VLAN fields without the CFI bit.
    Field("dl_vlan", 12, "decimal", _member("vlan0_tci", 12), ETHERNET, (), of10="dl_vlan",
          n_bytes=2, **_EXACT),
    Field("dl_vlan_pcp", 3, "decimal", _member("vlan0_tci", 3, 13), ETHERNET, (),
          of10="dl_vlan_pcp", **_EXACT),
    Field("mpls_tc", 3, "decimal", _member("mpls_lse0", 3, 9), MPLS, (_oxm("MPLS_TC", 35),),
          **_EXACT),
    Field("mpls_bos", 1, "decimal", _member("mpls_lse0", 1, 8), MPLS, (_oxm("MPLS_BOS", 36, 4),),
          **_EXACT_RO),
    Field("mpls_ttl", 8, "decimal", _member("mpls_lse0", 8), MPLS, (_nx("MPLS_TTL", 30),),
          **_EXACT),
    Field("mpls_label", 20, "decimal", _member("mpls_lse0", 20, 12), MPLS,
          (_oxm("MPLS_LABEL", 34),), n_bytes=4, **_EXACT),
    Field("pbb_isid", 24, "decimal", _member("pbb_isid", 24), PBB, (_oxm("PBB_ISID", 37, 4),)),
    Field("pbb_uca", 1, "decimal", _member("pbb_isid", 1, 27), PBB, (_oxm("PBB_UCA", 41, 5),),
          **_EXACT),
    Field("ip_src", 32, "ipv4", _member("nw_src", 32), IPV4,
          (_oxm("IPV4_SRC", 11), _of("IP_SRC", 7)), aliases=("nw_src",), of10="nw_src"),
    Field("ip_dst", 32, "ipv4", _member("nw_dst", 32), IPV4,
          (_oxm("IPV4_DST", 12), _of("IP_DST", 8)), aliases=("nw_dst",), of10="nw_dst"),
    Field("ipv6_src", 128, "ipv6", _member("ipv6_src", 128), IPV6,
          (_oxm("IPV6_SRC", 26), _nx("IPV6_SRC", 19))),
    Field("ipv6_dst", 128, "ipv6", _member("ipv6_dst", 128), IPV6,
          (_oxm("IPV6_DST", 27), _nx("IPV6_DST", 20))),
    Field("ipv6_label", 20, "hex", _member("ipv6_label", 20), IPV6,
          (_oxm("IPV6_FLABEL", 28), _nx("IPV6_LABEL", 27)), n_bytes=4),
    Field("ipv6_exthdr", 9, "ipv6_exthdr", _member("ipv6_exthdr", 9), IPV6,
          (_oxm("IPV6_EXTHDR", 39, 4),), n_bytes=2, **_RO),
    Field("nw_proto", 8, "decimal", _member("nw_proto", 8), IP_ANY,
          (_oxm("IP_PROTO", 10), _of("IP_PROTO", 6)), aliases=("ip_proto",), of10="nw_proto",
          **_EXACT_RO),
    # NXM's TOS is the whole byte without ECN; OXM's is the upper six bits as a number.
    Field("nw_tos", 8, "decimal", _member("nw_tos", 8), IP_ANY, (_of("IP_TOS", 5),),
          of10="nw_tos", mask=0xFC, **_EXACT),
    Field("ip_dscp", 6, "decimal", _member("nw_tos", 6, 2), IP_ANY, (_oxm("IP_DSCP", 8),),
          **_EXACT),
    Field("nw_ecn", 2, "decimal", _member("nw_tos", 2), IP_ANY,
          (_oxm("IP_ECN", 9), _nx("IP_ECN", 28)), aliases=("ip_ecn",), **_EXACT),
    Field("nw_ttl", 8, "decimal", _member("nw_ttl", 8), IP_ANY, (_nx("IP_TTL", 29),), **_EXACT),
    Field("ip_frag", 2, "frag", _member("nw_frag", 2), IP_ANY, (_nx("IP_FRAG", 26),),
          aliases=("nw_frag",), n_bytes=1, **_RO),
    Field("arp_op", 16, "decimal", _member("nw_proto", 8), ARP,
          (_oxm("ARP_OP", 21), _of("ARP_OP", 15)), of10="nw_proto", **_EXACT),
    Field("arp_spa", 32, "ipv4", _member("nw_src", 32), ARP,
          (_oxm("ARP_SPA", 22), _of("ARP_SPA", 16)), of10="nw_src"),
    Field("arp_tpa", 32, "ipv4", _member("nw_dst", 32), ARP,
          (_oxm("ARP_TPA", 23), _of("ARP_TPA", 17)), of10="nw_dst"),
    Field("arp_sha", 48, "ethernet", _member("arp_sha", 48), ARP,
          (_oxm("ARP_SHA", 24), _nx("ARP_SHA", 17))),
    Field("arp_tha", 48, "ethernet", _member("arp_tha", 48), ARP,
          (_oxm("ARP_THA", 25), _nx("ARP_THA", 18))),
    Field("tcp_src", 16, "decimal", _member("tp_src", 16), TCP,
          (_oxm("TCP_SRC", 13), _of("TCP_SRC", 9)), aliases=("tp_src",), of10="tp_src"),
    Field("tcp_dst", 16, "decimal", _member("tp_dst", 16), TCP,
          (_oxm("TCP_DST", 14), _of("TCP_DST", 10)), aliases=("tp_dst",), of10="tp_dst"),
    Field("tcp_flags", 12, "tcp_flags", _member("tcp_flags", 12), TCP,
          (_onf("TCP_FLAGS", 42), _oxm("TCP_FLAGS", 42, 6), _nx("TCP_FLAGS", 34)), n_bytes=2,
          **_RO),
    Field("udp_src", 16, "decimal", _member("tp_src", 16), UDP,
          (_oxm("UDP_SRC", 15), _of("UDP_SRC", 11)), of10="tp_src"),
    Field("udp_dst", 16, "decimal", _member("tp_dst", 16), UDP,
          (_oxm("UDP_DST", 16), _of("UDP_DST", 12)), of10="tp_dst"),
    Field("sctp_src", 16, "decimal", _member("tp_src", 16), SCTP,
          (_oxm("SCTP_SRC", 17),), of10="tp_src"),
    Field("sctp_dst", 16, "decimal", _member("tp_dst", 16), SCTP,
          (_oxm("SCTP_DST", 18),), of10="tp_dst"),
    Field("icmp_type", 8, "decimal", _member("tp_src", 16), ICMPV4,
          (_oxm("ICMPV4_TYPE", 19), _of("ICMP_TYPE", 13)), of10="tp_src", **_EXACT),
    Field("icmp_code", 8, "decimal", _member("tp_dst", 16), ICMPV4,
          (_oxm("ICMPV4_CODE", 20), _of("ICMP_CODE", 14)), of10="tp_dst", **_EXACT),
    Field("icmpv6_type", 8, "decimal", _member("tp_src", 16), ICMPV6,
          (_oxm("ICMPV6_TYPE", 29), _nx("ICMPV6_TYPE", 21)), of10="tp_src", **_EXACT),
    Field("icmpv6_code", 8, "decimal", _member("tp_dst", 16), ICMPV6,
          (_oxm("ICMPV6_CODE", 30), _nx("ICMPV6_CODE", 22)), of10="tp_dst", **_EXACT),
    Field("nd_target", 128, "ipv6", _member("nd_target", 128), ND,
          (_oxm("IPV6_ND_TARGET", 31), _nx("ND_TARGET", 23))),
    Field("nd_sll", 48, "ethernet", _member("arp_sha", 48), ND_SOLICIT,
          (_oxm("IPV6_ND_SLL", 32), _nx("ND_SLL", 24))),
    Field("nd_tll", 48, "ethernet", _member("arp_tha", 48), ND_ADVERT,
          (_oxm("IPV6_ND_TLL", 33), _nx("ND_TLL", 25))),
    Field("nd_reserved", 32, "decimal", _member("nd_reserved", 32), ND,
          (_eric("ICMPV6_ND_RESERVED", 1),), **_EXACT),
    Field("nd_options_type", 8, "decimal", _member("nd_options_type", 8), ND,
          (_eric("ICMPV6_ND_OPTIONS_TYPE", 2),), **_EXACT),
    Field("nsh_flags", 8, "decimal", _member("nsh_flags", 8), NSH, (_nsh("FLAGS", 1),)),
    Field("nsh_ttl", 8, "decimal", _member("nsh_ttl", 8), NSH, (_nsh("TTL", 10),), **_EXACT),
    Field("nsh_mdtype", 8, "decimal", _member("nsh_mdtype", 8), NSH, (_nsh("MDTYPE", 2),),
          **_EXACT_RO),
    Field("nsh_np", 8, "decimal", _member("nsh_np", 8), NSH, (_nsh("NP", 3),), **_EXACT_RO),
    Field("nsh_spi", 24, "hex", _member("nsh_path_hdr", 24, 8), NSH, (_nsh("SPI", 4),),
          aliases=("nsp",), n_bytes=4, **_EXACT),
    Field("nsh_si", 8, "decimal", _member("nsh_path_hdr", 8), NSH, (_nsh("SI", 5),),
          aliases=("nsi",), **_EXACT),
    *(Field(f"nsh_c{i}", 32, "hex", _member(f"nsh_context{i - 1}", 32), NSH,
            (_nsh(f"C{i}", 5 + i),), aliases=(f"nshc{i}",)) for i in (1, 2, 3, 4)),
    Field("tun_id", 64, "hex", _member("tun_id", 64), NONE,
          (_oxm("TUNNEL_ID", 38, 4), _nx("TUN_ID", 16)), aliases=("tunnel_id",)),
    Field("tun_flags", 1, "tun_flags", _member("tun_flags", 1), NONE, (_nx("TUN_FLAGS", 104),),
          n_bytes=2),
    # Those of the outer header that no match of OpenFlow names.
    Field("tun_outer_flags", 3, "tun_outer_flags", _member("tun_flags", 3, 1), NONE, (), **_RO),
    Field("tun_src", 32, "ipv4", _member("tun_src", 32), NONE, (_nx("TUN_IPV4_SRC", 31),)),
    Field("tun_dst", 32, "ipv4", _member("tun_dst", 32), NONE, (_nx("TUN_IPV4_DST", 32),)),
    Field("tun_ipv6_src", 128, "ipv6", _member("tun_ipv6_src", 128), NONE,
          (_nx("TUN_IPV6_SRC", 109),)),
    Field("tun_ipv6_dst", 128, "ipv6", _member("tun_ipv6_dst", 128), NONE,
          (_nx("TUN_IPV6_DST", 110),)),
    Field("tun_tos", 8, "decimal", _member("tun_tos", 8), NONE, (), maskable=False),
    Field("tun_ttl", 8, "decimal", _member("tun_ttl", 8), NONE, (), maskable=False),
    Field("tun_gbp_id", 16, "decimal", _member("tun_gbp_id", 16), NONE,
          (_nx("TUN_GBP_ID", 38),)),
    Field("tun_gbp_flags", 8, "hex", _member("tun_gbp_flags", 8), NONE,
          (_nx("TUN_GBP_FLAGS", 39),)),
    Field("tun_erspan_ver", 4, "decimal", _member("tun_erspan_ver", 4), NONE,
          (_et("ERSPAN_VER", 12),), n_bytes=1),
    Field("tun_erspan_idx", 20, "hex", _member("tun_erspan_idx", 20), NONE,
          (_et("ERSPAN_IDX", 11),), n_bytes=4),
    Field("tun_erspan_dir", 1, "decimal", _member("tun_erspan_dir", 1), NONE,
          (_et("ERSPAN_DIR", 13),), n_bytes=1),
    Field("tun_erspan_hwid", 6, "hex", _member("tun_erspan_hwid", 6), NONE,
          (_et("ERSPAN_HWID", 14),), n_bytes=1),
    Field("tun_gtpu_flags", 8, "hex", _member("tun_gtpu_flags", 8), NONE,
          (_et("GTPU_FLAGS", 15),), **_RO),
    Field("tun_gtpu_msgtype", 8, "decimal", _member("tun_gtpu_msgtype", 8), NONE,
          (_et("GTPU_MSGTYPE", 16),), **_RO),
    *(OptionField(i, MAX_OPTION, None, False) for i in range(N_OPTIONS)),
    *_registers(),
    Field("pkt_mark", 32, "hex", _member("pkt_mark", 32), NONE, (_nx("PKT_MARK", 33),)),
    Field("ct_state", 8, "ct_state", _member("ct_state", 32), NONE, (_nx("CT_STATE", 105),),
          n_bytes=4, **_RO),
    Field("ct_zone", 16, "hex", _member("ct_zone", 16), NONE, (_nx("CT_ZONE", 106),),
          **_EXACT_RO),
    Field("ct_mark", 32, "hex", _member("ct_mark", 32), NONE, (_nx("CT_MARK", 107),)),
    Field("ct_label", 128, "hex", _member("ct_label", 128), NONE, (_nx("CT_LABEL", 108),)),
    Field("ct_nw_proto", 8, "decimal", _member("ct_nw_proto", 8), CT, (_nx("CT_NW_PROTO", 119),),
          **_EXACT_RO),
    Field("ct_nw_src", 32, "ipv4", _member("ct_nw_src", 32), CT, (_nx("CT_NW_SRC", 120),), **_RO),
    Field("ct_nw_dst", 32, "ipv4", _member("ct_nw_dst", 32), CT, (_nx("CT_NW_DST", 121),), **_RO),
    Field("ct_ipv6_src", 128, "ipv6", _member("ct_ipv6_src", 128), CT, (_nx("CT_IPV6_SRC", 122),),
          **_RO),
    Field("ct_ipv6_dst", 128, "ipv6", _member("ct_ipv6_dst", 128), CT, (_nx("CT_IPV6_DST", 123),),
          **_RO),
    Field("ct_tp_src", 16, "decimal", _member("ct_tp_src", 16), CT, (_nx("CT_TP_SRC", 124),),
          **_RO),
    Field("ct_tp_dst", 16, "decimal", _member("ct_tp_dst", 16), CT, (_nx("CT_TP_DST", 125),),
          **_RO),
    Field("metadata", 64, "hex", _member("metadata", 64), NONE, (_oxm("METADATA", 2),)),
)  # fmt: skip

BY_NAME = {name: field for field in FIELDS for name in (field.name, *field.aliases)}
BY_HEADER_NAME = {header.name: field for field in FIELDS for header in field.headers}
# (class, experimenter, number) -> field
BY_CODE = {(h.oxm_class, h.experimenter, h.number): f for f in FIELDS for h in f.headers}
for _index, _field in enumerate(FIELDS):
    _field.index = _index

# The shorthand words of flow text: Ethertype and IP protocol.  Of words for the same, the last is
# printed.
PROTOCOLS = {
    "ip4": (ETH_IP, None),
    "ipv4": (ETH_IP, None),
    "ip": (ETH_IP, None),
    "icmp": (ETH_IP, PROTO_ICMP),
    "tcp": (ETH_IP, PROTO_TCP),
    "udp": (ETH_IP, PROTO_UDP),
    "sctp": (ETH_IP, PROTO_SCTP),
    "ip6": (ETH_IPV6, None),
    "ipv6": (ETH_IPV6, None),
    "icmp6": (ETH_IPV6, PROTO_ICMPV6),
    "tcp6": (ETH_IPV6, PROTO_TCP),
    "udp6": (ETH_IPV6, PROTO_UDP),
    "sctp6": (ETH_IPV6, PROTO_SCTP),
    "arp": (ETH_ARP, None),
    "rarp": (ETH_RARP, None),
    "mpls": (ETH_MPLS, None),
    "mplsm": (ETH_MPLS_MCAST, None),
}


def selection_order(pair: tuple[Field, int]) -> tuple[bool, int]:
    """The key by which (Field, mask) stand in a select group's `fields`, and are hashed: Open
    vSwitch's order, metadata, then headers from the outermost."""
    each = pair[0]
    return each.prerequisite is not None, each.index


def field(name: str) -> Field | None:
    """A field by its name, alias, or OXM/NXM name."""
    return BY_NAME.get(name) or BY_HEADER_NAME.get(name)
