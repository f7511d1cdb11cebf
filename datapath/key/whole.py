"""Whether the text of a datapath flow is whole: what one part of it says calls for others.

Open vSwitch's userspace datapath refuses a flow without its port, without the addresses and the
Ethertype of what is an Ethernet frame, or without the header that an Ethertype or a protocol says
comes next; and one with a header that does not come next.
"""

from datapath.key import flow, key_text
from datapath.key.notations import SIZES, number

# ETH_TYPE_MIN of IEEE 802.3: what is below is a length
LEAST_ETH_TYPE = 0x600
VLAN_TYPES = (0x8100, 0x88A8)
HEADERS = {
    0x0800: "ipv4", 0x86DD: "ipv6", 0x0806: "arp", 0x8035: "arp", 0x8847: "mpls", 0x8848: "mpls",
    0x894F: "nsh",
}  # fmt: skip
# Those of L3 and L4 that one may have or leave out.
OPTIONAL = {"tcp_flags", "ipv6_exthdr", "nd_ext", "pbb", "igmp"}
NEXT = {*key_text.L3, *key_text.L4} - OPTIONAL
BOTTOM = 0x100  # of a label
NEIGHBOURS = (135, 136)  # types of ICMPv6, RFC 4861


def is_whole(text: str, key: bytes, mask: bytes) -> bool:
    """`key` and `mask` are what parse_given() made of the text."""
    levels = levels_of(text)
    outer, inner = levels[0], levels[-1]
    if not outer:
        return True  # it is of nothing, which is the same
    port = "in_port" in outer and _is_exact("in_port", mask)
    tunnel = "tunnel" not in outer or "ttl=" in outer["tunnel"]
    if not (port and tunnel and _has_tags(levels, key)):
        return False
    if "packet_type" in outer:
        is_frame = number(key, "packet_type") == 0
        if is_frame and "eth" not in outer:
            return False
        if not is_frame and "eth_type" not in outer:
            return True
    return _has_ethertype(levels, key) and _has_headers(inner, key, mask)


def levels_of(text: str) -> list[dict[str, str]]:
    """Name -> body of what stands at the top, then of what stands in each encap()."""
    found = []
    inside: str | None = text
    while inside is not None:
        found.append(dict(map(key_text.name_and_body, key_text.split(inside))))
        inside = found[-1].get("encap")
    return found


def _is_exact(member: str, mask: bytes) -> bool:
    return number(mask, member) == (1 << 8 * SIZES[member]) - 1


def _has_tags(levels: list[dict[str, str]], key: bytes) -> bool:
    """Each tag with its Ethertype and what it is around, and no Ethertype of a tag alone."""
    for level, items in enumerate(levels[:2]):
        tagged = "vlan" in items
        if not tagged:
            alone = level == 0 and "eth_type" in items and number(key, "eth_type") in VLAN_TYPES
            return not alone
        is_tag = number(key, f"vlan{level}_tpid") in VLAN_TYPES
        has_bit = number(key, f"vlan{level}_tci") & key_text.CFI
        if not (is_tag and has_bit and "encap" in items):
            return False
    return True


def _has_ethertype(levels: list[dict[str, str]], key: bytes) -> bool:
    return "eth_type" in levels[-1] and number(key, "eth_type") >= LEAST_ETH_TYPE


def _has_headers(given: dict[str, str], key: bytes, mask: bytes) -> bool:
    wanted = _wanted(key)
    if given.keys() & NEXT != wanted:
        return False
    if "mpls" in wanted:
        labels = [number(key, f"mpls_lse{n}") for n in range(3)]
        if not (labels[2] or any(label & BOTTOM for label in labels)):
            return False
    # Who matches on a header matches on what says that it comes next.
    return all(
        _is_exact(says, mask)
        for says, headers in (("eth_type", key_text.L3), ("nw_proto", key_text.L4))
        for name in wanted & headers.keys()
        if any(number(mask, field.member) for field in headers[name])
    )


def _wanted(key: bytes) -> set[str]:
    header = HEADERS.get(number(key, "eth_type"))
    if header is None:
        return set()
    wanted = {header}
    if header in ("ipv4", "ipv6") and not number(key, "nw_frag") & flow.FRAG_LATER:
        protocol = int(header[-1]), number(key, "nw_proto")
        wanted.update(key_text.L4_OF_PROTO.get(protocol, ())[:1])
    if "icmpv6" in wanted and number(key, "tp_src") in NEIGHBOURS and not number(key, "tp_dst"):
        wanted.add("nd")
    return wanted - OPTIONAL
