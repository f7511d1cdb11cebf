"""Flow keys as text, in the form that `ovs-dpctl dump-flows` prints.

    recirc_id(0),in_port(2),eth(src=..,dst=..),eth_type(0x0800),ipv4(src=10.0.0.1,frag=no)

One table of groups says which member stands where; formatting and parsing both read it.  A member
that no group of the packet's protocols shows, but that the mask covers, is written by its own name,
`ct_nw_src(0x0a000001/0xff000000)`, so that nothing is hidden.
"""

from collections.abc import Iterator

from datapath.base.protocols import (
    ETH_ARP,
    ETH_IP,
    ETH_IPV6,
    ETH_NSH,
    ETH_PBB,
    ETH_QINQ,
    ETH_QINQ_OLD,
    ETH_RARP,
    ETH_VLAN,
    MPLS_TYPES,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_IGMP,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
)

from . import flow, outer_text
from .notations import (
    SIZES,
    Field,
    format_value,
    name_and_body,
    number,
    parse_value,
    split,
)

VLAN_TPIDS = (ETH_VLAN, ETH_QINQ, ETH_QINQ_OLD)
CFI = 0x1000
# Members with fewer bits than their bytes have.
USED_BITS = {
    "tcp_flags": 0x0FFF,
    "ipv6_label": 0xFFFFF,
    "ipv6_exthdr": 0x1FF,
    "nw_frag": 3,
    "pbb_isid": 0x8FFFFFF,
    "tun_flags": 0xF,
    "tun_erspan_ver": 0xF,
    "tun_erspan_idx": 0xFFFFF,
    "tun_erspan_dir": 1,
    "tun_erspan_hwid": 0x3F,
}


# ---- The groups ----


def _one(member: str, kind: str, bits: int = 0) -> list[Field]:
    return [Field("", member, kind, bits)]


def _mpls(level: int, suffix: str) -> list[Field]:
    lse = f"mpls_lse{level}"
    return [
        Field(f"label{suffix}", lse, "dec", 20, 12),
        Field(f"tc{suffix}", lse, "dec", 3, 9),
        Field(f"ttl{suffix}", lse, "dec", 8, 0),
        Field(f"bos{suffix}", lse, "dec", 1, 8),
    ]


def _vlan(level: int) -> list[Field]:
    tci = f"vlan{level}_tci"
    return [
        Field("vid", tci, "dec", 12, 0),
        Field("pcp", tci, "dec", 3, 13),
        Field("cfi", tci, "dec", 1, 12),
    ]


def _ports(name: str) -> tuple[str, list[Field]]:
    return name, [Field("src", "tp_src", "dec"), Field("dst", "tp_dst", "dec")]


def _icmp(name: str) -> tuple[str, list[Field]]:
    return name, [Field("type", "tp_src", "dec"), Field("code", "tp_dst", "dec")]


_IP_REST = [
    Field("proto", "nw_proto", "dec"),
    Field("tos", "nw_tos", "hex"),
    Field("ttl", "nw_ttl", "dec"),
    Field("frag", "nw_frag", "frag", 2),
]
_CT_PORTS = [
    Field("proto", "ct_nw_proto", "dec"),
    Field("tp_src", "ct_tp_src", "dec"),
    Field("tp_dst", "ct_tp_dst", "dec"),
]
METADATA: dict[str, list[Field]] = {
    "skb_priority": _one("skb_priority", "hex"),
    "tunnel": [],  # outer_text
    "skb_mark": _one("pkt_mark", "hex"),
    "ct_state": _one("ct_state", "ct_state"),
    "ct_zone": _one("ct_zone", "hex"),
    "ct_mark": _one("ct_mark", "hex"),
    "ct_label": _one("ct_label", "hex"),
    "ct_tuple4": [Field("src", "ct_nw_src", "ip4"), Field("dst", "ct_nw_dst", "ip4"), *_CT_PORTS],
    "ct_tuple6": [
        Field("src", "ct_ipv6_src", "ip6"),
        Field("dst", "ct_ipv6_dst", "ip6"),
        *_CT_PORTS,
    ],
    "recirc_id": _one("recirc_id", "hex"),
    "dp_hash": _one("dp_hash", "hex"),
    "in_port": _one("in_port", "dec"),
    "packet_type": [
        Field("ns", "packet_type", "dec", 16, 16),
        Field("id", "packet_type", "hex", 16, 0),
    ],
    "eth": [Field("src", "eth_src", "mac"), Field("dst", "eth_dst", "mac")],
}
ETH_TYPE = Field("", "eth_type", "hex4")
L3: dict[str, list[Field]] = {
    "ipv4": [Field("src", "nw_src", "ip4"), Field("dst", "nw_dst", "ip4"), *_IP_REST],
    "ipv6": [
        Field("src", "ipv6_src", "ip6"),
        Field("dst", "ipv6_dst", "ip6"),
        Field("label", "ipv6_label", "hex", 20),
        Field("proto", "nw_proto", "dec"),
        Field("tclass", "nw_tos", "hex"),
        Field("hlimit", "nw_ttl", "dec"),
        Field("frag", "nw_frag", "frag", 2),
    ],
    "arp": [
        Field("sip", "nw_src", "ip4"),
        Field("tip", "nw_dst", "ip4"),
        Field("op", "nw_proto", "dec"),
        Field("sha", "arp_sha", "mac"),
        Field("tha", "arp_tha", "mac"),
    ],
    "mpls": _mpls(0, ""),
    "mpls2": _mpls(0, "0") + _mpls(1, "1"),
    "ipv6_exthdr": _one("ipv6_exthdr", "ipv6_exthdr", 9),
    "pbb": [Field("isid", "pbb_isid", "dec", 24), Field("uca", "pbb_isid", "dec", 1, 27)],
    "nsh": [
        Field("flags", "nsh_flags", "dec"),
        Field("ttl", "nsh_ttl", "dec"),
        Field("mdtype", "nsh_mdtype", "dec"),
        Field("np", "nsh_np", "dec"),
        Field("spi", "nsh_path_hdr", "hexid", 24, 8),
        Field("si", "nsh_path_hdr", "dec", 8),
        *(Field(f"c{n + 1}", f"nsh_context{n}", "hexid") for n in range(4)),
    ],
    "mpls3": _mpls(0, "0") + _mpls(1, "1") + _mpls(2, "2"),
}
L4: dict[str, list[Field]] = {
    **dict([_ports("tcp"), _ports("udp"), _ports("sctp"), _icmp("icmp"), _icmp("icmpv6")]),
    "igmp": [
        Field("type", "tp_src", "dec"),
        Field("code", "tp_dst", "dec"),
        Field("group", "igmp_group_ip4", "ip4"),
    ],
    "tcp_flags": _one("tcp_flags", "tcp_flags", 12),
    "nd": [
        Field("target", "nd_target", "ip6"),
        Field("sll", "arp_sha", "mac"),
        Field("tll", "arp_tha", "mac"),
    ],
    "nd_ext": [
        Field("nd_reserved", "nd_reserved", "hex"),
        Field("nd_options_type", "nd_options_type", "dec"),
    ],
}
L4_OF_PROTO = {
    (4, PROTO_TCP): ("tcp", "tcp_flags"),
    (6, PROTO_TCP): ("tcp", "tcp_flags"),
    (4, PROTO_UDP): ("udp",),
    (6, PROTO_UDP): ("udp",),
    (4, PROTO_SCTP): ("sctp",),
    (6, PROTO_SCTP): ("sctp",),
    (4, PROTO_ICMP): ("icmp",),
    (4, PROTO_IGMP): ("igmp",),
    (6, PROTO_ICMPV6): ("icmpv6", "nd", "nd_ext"),
}
MPLS_BY_DEPTH = ("mpls", "mpls2", "mpls3")


def protocol_groups(key: bytes, mask: bytes | None = None) -> Iterator[tuple[str, list[Field]]]:
    """The groups of L3 and L4 that a packet with this key has, as (name, fields)."""
    eth_type = number(key, "eth_type")
    if eth_type in (ETH_ARP, ETH_RARP):
        yield "arp", L3["arp"]
    elif eth_type in MPLS_TYPES:
        deeper = [
            n for n in (1, 2) if number(mask or key, f"mpls_lse{n}") or number(key, f"mpls_lse{n}")
        ]
        depth = max(deeper, default=0)
        yield "mpls", L3[MPLS_BY_DEPTH[depth]]
    elif eth_type == ETH_PBB:
        yield "pbb", L3["pbb"]
    elif eth_type == ETH_NSH:
        yield "nsh", L3["nsh"]
    elif eth_type in (ETH_IP, ETH_IPV6):
        version = 4 if eth_type == ETH_IP else 6
        yield f"ipv{version}", L3[f"ipv{version}"]
        if version == 6:
            yield "ipv6_exthdr", L3["ipv6_exthdr"]
        for name in L4_OF_PROTO.get((version, number(key, "nw_proto")), ()):
            yield name, L4[name]


# ---- Formatting ----

# Groups that only flows which match on them have in their long form.
WITHOUT_WILDCARDS = ("tunnel", "vlan", "nd_ext", "ipv6_exthdr", "ct_tuple4", "ct_tuple6")


class _Writer:
    """Collects groups of one key and knows which members have been shown.

    `more`: fields that anything matches are shown, too.
    """

    def __init__(self, key: bytes, mask: bytes, more: bool = False):
        self.more = more
        self.key = key
        self.mask = mask
        self.shown: set[str] = outer_text.shown(key, mask)

    def mpls(self, fields: list[Field]) -> list[str]:
        """All of each label, as Open vSwitch has it: labels of one name, one behind the other, and
        all with their masks unless everything is matched."""
        masks = [number(self.mask, f.member) >> f.shift & f.ones for f in fields]
        self.shown |= {f.member for f in fields}
        whole = all(mask == f.ones for f, mask in zip(fields, masks, strict=True))
        if not any(masks):
            return []
        parts = []
        for field, mask in zip(fields, masks, strict=True):
            label = field.label.rstrip("012")
            value = number(self.key, field.member) >> field.shift & field.ones
            hexadecimal = label in ("label", "ttl")
            shown = "" if whole else f"/{mask:#x}" if hexadecimal else f"/{mask:x}"
            parts.append(f"{label}={value}{shown}")
        return [f"mpls({','.join(parts)})"]

    def group(self, name: str, fields: list[Field]) -> list[str]:
        parts = []
        for field in fields:
            self.shown.add(field.member)
            mask = number(self.mask, field.member) >> field.shift & field.ones
            # What of a fragment it is, is one word: as Open vSwitch, none where anything matches.
            is_shown = self.more and name not in WITHOUT_WILDCARDS and field.kind != "frag"
            if mask or is_shown:
                value = number(self.key, field.member) >> field.shift & field.ones
                text = self.value(field, value, mask)
                parts.append(f"{field.label}={text}" if field.label else text)
        return [f"{name}({','.join(parts)})"] if parts else []

    def value(self, field: Field, value: int, mask: int) -> str:
        """With all fields a connection's state is a number, as Open vSwitch has it."""
        if not self.more or field.kind != "ct_state":
            return format_value(field, value, mask)
        shown = f"{value:#x}" if value else "0"
        return shown if mask == field.ones else f"{shown}/{mask:#x}" if mask else f"{shown}/0"

    def vlan(self, level: int) -> list[str]:
        tpid, tci = f"vlan{level}_tpid", f"vlan{level}_tci"
        self.shown |= {tpid, tci}
        found = []
        if number(self.mask, tpid):
            found += self.group("eth_type", [Field("", tpid, "hex4")])
        return [*found, f"vlan({_vlan_text(number(self.key, tci), number(self.mask, tci))})"]

    def rest(self) -> list[str]:
        found = []
        for name, size in SIZES.items():
            mask = number(self.mask, name) & USED_BITS.get(name, -1)
            if mask and name not in self.shown and flow.MEMBERS[name][0] < flow.KEY_DP_SIZE:
                digits = 2 * size
                value = number(self.key, name) & mask
                found.append(f"{name}(0x{value:0{digits}x}/0x{mask:0{digits}x})")
        return found


def _vlan_text(tci: int, mask: int) -> str:
    """As Open vSwitch has it: what is not 0 is shown though anything matches, a CFI that the tag
    has to have goes without saying."""
    parts = []
    for field in _vlan(0):
        value, known = (n >> field.shift & field.ones for n in (tci, mask))
        if field.label == "cfi":
            shown = not (value and known)
        else:
            shown = bool(value or known)
        if shown:
            text = f"{field.label}={value}"
            parts.append(text if known == field.ones else f"{text}/{known:#x}")
    return ",".join(parts) or "vid=0/0x0"


def _has_tag(key: bytes, mask: bytes, level: int) -> bool:
    """Whether the flow wants a tag there (to want none, an Ethertype without one says it all)."""
    tpid, tci = f"vlan{level}_tpid", f"vlan{level}_tci"
    wanted = number(mask, tci) & number(key, tci) | number(mask, tpid) & number(key, tpid)
    return bool(wanted)


def _implied_mask(key: bytes) -> bytes:
    """For a key alone: what it means, and of the metadata what is not zero."""
    mask = bytearray(flow.wildcards_for(key))
    keep = ("recirc_id", "in_port", "eth_src", "eth_dst", "eth_type")
    for name, (offset, size) in flow.MEMBERS.items():
        rare = offset <= flow.MEMBERS["eth_type"][0] or name == "ipv6_exthdr"
        if rare and name not in keep and not number(key, name):
            mask[offset : offset + size] = bytes(size)
    return bytes(mask)


def format_key(key: bytes, mask: bytes | None = None, more: bool = False) -> str:
    """The text of a key of KEY_DP_SIZE or KEY_SIZE bytes; without mask, of all that it means.

    `more`: with the fields that are wildcarded.
    """
    key = bytes(key).ljust(flow.KEY_SIZE, b"\0")
    mask = _implied_mask(key) if mask is None else bytes(mask).ljust(flow.KEY_SIZE, b"\0")
    writer = _Writer(key, mask, more)
    parts: list[str] = []
    foreign = "ct_tuple4" if number(key, "eth_type") == ETH_IPV6 else "ct_tuple6"
    for name, fields in METADATA.items():
        if name == "tunnel":
            parts += outer_text.format_tunnel(key, mask, more)
        elif name != foreign:
            parts += writer.group(name, fields)
    tags = 0
    inner: list[str] = []
    while tags < 2 and _has_tag(key, mask, tags):
        tags += 1
    outer = [writer.vlan(level) for level in range(tags)]
    writer.shown |= {"vlan0_tpid", "vlan0_tci", "vlan1_tpid", "vlan1_tci"}
    inner += writer.group("eth_type", [ETH_TYPE])
    for name, fields in protocol_groups(key, mask):
        inner += writer.mpls(fields) if name == "mpls" else writer.group(name, fields)
    for tag in reversed(outer):
        inner = [*tag, f"encap({','.join(inner)})"] if inner else tag
    return ",".join(parts + inner + writer.rest())


# ---- Parsing ----


def _numbered(body: str) -> str:
    """The body of an mpls group whose labels have the same names, with these numbered."""
    parts = split(body)
    if sum(part.startswith("label=") for part in parts) < 2:
        return body
    seen: dict[str, int] = {}
    numbered = []
    for part in parts:
        label, equals, text = part.partition("=")
        level = seen[label] = seen.get(label, -1) + 1
        numbered.append(f"{label}{level}{equals}{text}")
    return ",".join(numbered)


def fields_of(name: str, body: str) -> list[Field]:
    """The fields of the group NAME, for L2 to L4 and metadata; ValueError."""
    if name == "mpls" and any(f"{field.label}=" in body for field in L3["mpls3"]):
        return L3["mpls3"]
    for groups in (METADATA, L3, L4):
        if name in groups:
            return groups[name]
    if name in SIZES and flow.MEMBERS[name][0] < flow.KEY_DP_SIZE:
        return _one(name, "hexid")
    raise ValueError(f"{name}: unknown field")


def parse_group(fields: list[Field], body: str) -> dict[str, tuple[int, int]]:
    """member -> (value, mask) of what the body of a group says, in the order of the table."""
    given: dict[str, tuple[int, int]] = {}
    by_label = {field.label: field for field in fields}
    for part in split(body):
        label, equals, text = part.partition("=")
        if not equals or "" in by_label:
            label, text = "", part
        if label not in by_label:
            raise ValueError(f"{part}: unknown field")
        field = by_label[label]
        value, mask = parse_value(field, text)
        old_value, old_mask = given.get(field.member, (0, 0))
        if old_mask & (mask << field.shift):
            raise ValueError(f"{part}: given twice")
        given[field.member] = (
            old_value | value << field.shift,
            old_mask | mask << field.shift,
        )
    order = {field.member: i for i, field in enumerate(fields)}
    return dict(sorted(given.items(), key=lambda item: order[item[0]]))


class _Reader:
    def __init__(self, read_tunnel: outer_text.Read) -> None:
        self.read_tunnel = read_tunnel
        self.key = bytearray(flow.KEY_SIZE)
        self.mask = bytearray(flow.KEY_SIZE)

    def put(self, member: str, value: int, mask: int) -> None:
        offset, size = flow.MEMBERS[member]
        if any(self.mask[offset : offset + size]):
            raise ValueError(f"{member}: given twice")
        self.key[offset : offset + size] = value.to_bytes(size, "big")
        self.mask[offset : offset + size] = mask.to_bytes(size, "big")

    def items(self, text: str, level: int) -> None:
        items = [name_and_body(item) for item in split(text)]
        tagged = any(name == "vlan" for name, _ in items)
        if tagged and level > 1:
            raise ValueError("more than two VLAN tags")
        for name, body in items:
            if name == "eth_type":
                self.eth_type(body, level, tagged)
            elif name == "vlan":
                self.vlan(body, level)
            elif name == "tunnel":
                self.tunnel(body)
            elif name == "encap":
                if not tagged:
                    raise ValueError("encap() without vlan()")
                self.items(body, level + 1)
            else:
                if name == "mpls":
                    body = _numbered(body)
                for member, (value, mask) in parse_group(fields_of(name, body), body).items():
                    self.put(member, value, mask)

    def tunnel(self, body: str) -> None:
        start, end = outer_text.START, flow.KEY_DP_SIZE
        if any(self.mask[start:end]):
            raise ValueError("tunnel: given twice")
        self.key[start:end], self.mask[start:end] = self.read_tunnel(body)

    def eth_type(self, body: str, level: int, tagged: bool) -> None:
        value, mask = parse_value(ETH_TYPE, body)
        if tagged:
            self.put(f"vlan{level}_tpid", value, mask)
            return
        self.put("eth_type", value, mask)
        if level < 2:  # an Ethertype that is no tag's: no tag is there
            self.put(f"vlan{level}_tpid", 0, 0xFFFF)
            self.put(f"vlan{level}_tci", 0, 0xFFFF)

    def vlan(self, body: str, level: int) -> None:
        given = parse_group(_vlan(level), body)
        value, mask = given.get(f"vlan{level}_tci", (0, 0))
        if "cfi" not in body:
            value, mask = value | CFI, mask | CFI
        self.put(f"vlan{level}_tci", value, mask)


def parse_key(text: str) -> tuple[bytes, bytes]:
    """A key and mask of KEY_SIZE bytes from format_key's text; what is not named is wildcarded.

    ValueError says what is wrong."""
    key, mask = parse_given(text)
    return outer_text.masked(key, mask), mask


def parse_given(text: str) -> tuple[bytes, bytes]:
    """The same, with the values as they are written where they are wildcarded."""
    return _read_key(text, outer_text.parse_tunnel)


def parse_packet(text: str) -> bytes:
    """The key of a packet that a flow's text describes: wildcarded values count, too."""
    return _read_key(text, outer_text.parse_packet)[0]


def _read_key(text: str, read_tunnel: outer_text.Read) -> tuple[bytes, bytes]:
    reader = _Reader(read_tunnel)
    reader.items(text, 0)
    return bytes(reader.key), bytes(reader.mask)
