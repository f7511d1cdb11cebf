"""Random flow text, for tests of everything that reads or prints flows."""

from hypothesis import strategies as st

ports = st.integers(1, 0xFEFF)
u8, u16, u32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
macs = st.binary(min_size=6, max_size=6).map(lambda b: b.hex(":"))
ipv4s = u32.map(lambda n: ".".join(map(str, n.to_bytes(4, "big"))))
ipv6s = st.sampled_from(["::", "::1", "fe80::1", "2001:db8::8:800:200c:417a", "ff02::1"])


def _term(name, values):
    return values.map(lambda value: f"{name}={value}")


def _masked(values, masks):
    return st.one_of(values, st.tuples(values, masks).map("/".join))


_ANY = [
    _term("in_port", st.one_of(ports, st.just("LOCAL"))),
    _term("dl_src", _masked(macs, st.just("ff:ff:ff:00:00:00"))),
    _term("dl_dst", _masked(macs, st.just("01:00:00:00:00:00"))),
    _term("dl_vlan", st.integers(0, 4095)),
    _term("dl_vlan_pcp", st.integers(0, 7)),
    _term("vlan_tci", st.sampled_from(["0x1123", "0", "0x1000/0x1000", "0x1005/0x1fff"])),
    _term("metadata", _masked(u32.map(hex), st.just("0xffff"))),
    _term("reg0", _masked(u32.map(hex), st.just("0xff00"))),
    _term("reg15", u32.map(str)),
    _term("xreg3", u32.map(str)),
    _term("tun_id", u32.map(str)),
    _term("tun_src", ipv4s),
    _term("pkt_mark", u32.map(str)),
    _term("ct_state", st.sampled_from(["+trk", "+trk-new", "-trk", "+new+trk+est"])),
    _term("ct_zone", u16),
]
# (Open vSwitch does not let later fragments have L4 fields.)
_IP = [
    _term("nw_tos", st.integers(0, 63).map(lambda n: 4 * n)),
    _term("nw_ecn", st.integers(0, 3)),
    _term("nw_ttl", u8),
    _term("ip_frag", st.sampled_from(["yes", "no", "first", "not_later"])),
]
_IPV4 = [_term("nw_src", _masked(ipv4s, st.integers(0, 32).map(str))),
         _term("nw_dst", _masked(ipv4s, ipv4s))]  # fmt: skip
_IPV6 = [_term("ipv6_src", _masked(ipv6s, st.integers(0, 128).map(str))),
         _term("ipv6_dst", ipv6s), _term("ipv6_label", st.integers(0, 0xFFFFF))]  # fmt: skip
_L4 = [_term("tp_src", u16), _term("tp_dst", _masked(u16.map(str), st.just("0xfff0")))]
_ICMP = [_term("icmp_type", u8), _term("icmp_code", u8)]
_ARP = [_term("arp_op", st.integers(0, 255)), _term("arp_spa", ipv4s), _term("arp_tpa", ipv4s),
        _term("arp_sha", macs), _term("arp_tha", macs)]  # fmt: skip
_MPLS = [_term("mpls_label", st.integers(0, 0xFFFFF)), _term("mpls_tc", st.integers(0, 7)),
         _term("mpls_bos", st.integers(0, 1))]  # fmt: skip
PROTOCOLS = {
    "": [], "dl_type=0x1234": [], "arp": _ARP, "rarp": _ARP, "mpls": _MPLS, "mplsm": _MPLS,
    "ip": [*_IP, *_IPV4, _term("nw_proto", u8)], "ipv6": [*_IP, *_IPV6, _term("nw_proto", u8)],
    "tcp": [*_IP, *_IPV4, *_L4, _term("tcp_flags", st.sampled_from(["+syn-ack", "0x12/0x3f"]))],
    "udp": [*_IP, *_IPV4, *_L4], "sctp": [*_IP, *_IPV4, *_L4], "icmp": [*_IP, *_IPV4, *_ICMP],
    "tcp6": [*_IP, *_IPV6, *_L4], "udp6": [*_IP, *_IPV6, *_L4], "sctp6": [*_IP, *_IPV6, *_L4],
    "icmp6": [*_IP, *_IPV6, *_ICMP, st.just("icmp_type=135,icmp_code=0,nd_target=fe80::5")],
}  # fmt: skip


@st.composite
def matches(draw):
    """Terms of a match, prerequisites in front."""
    protocol = draw(st.sampled_from(sorted(PROTOCOLS)))
    pool = _ANY + PROTOCOLS[protocol]
    chosen = draw(st.lists(st.integers(0, len(pool) - 1), max_size=5, unique=True))
    terms = [draw(pool[i]) for i in chosen]
    return [protocol, *terms] if protocol else terms


_PLAIN_ACTIONS = st.one_of(
    _term("output", ports).map(lambda text: text.replace("=", ":")),
    ports.map(str),
    st.sampled_from(
        ["NORMAL", "FLOOD", "ALL", "LOCAL", "IN_PORT", "TABLE", "CONTROLLER", "controller:128",
         "controller(reason=no_match,max_len=20,id=3)", "enqueue:3:7", "set_queue:5", "pop_queue",
         "exit", "resubmit:4", "resubmit(,3)", "resubmit(5,3)", "output:NXM_NX_REG0[0..15]",
         "move:NXM_OF_IN_PORT[]->NXM_NX_REG1[0..15]", "push:NXM_NX_REG0[]", "pop:NXM_NX_REG2[]",
         "note:01.02.03.04.05.06", "set_tunnel:5", "set_tunnel64:0x123456789", "clone(output:3)"]
    ),
    st.sampled_from(["strip_vlan", "mod_vlan_vid:5", "dec_ttl", "mod_tp_dst:80"]),
    macs.map("mod_dl_src:{}".format),
    macs.map("mod_dl_dst:{}".format),
    macs.map("set_field:{}->eth_src".format),
    u32.map("load:{:#x}->NXM_NX_REG3[]".format),
    u16.map("load:{:#x}->NXM_NX_REG4[8..23]".format),
    u32.map("set_field:{:#x}->reg5".format),
    u16.map("set_field:{:#x}/0xffff->metadata".format),
)  # fmt: skip


_ENDS = [[]] * 6 + [["goto_table:253"], ["write_metadata:0x5/0xff"], ["write_metadata:0"]]


@st.composite
def flow_texts(draw, keys=()):
    """A whole flow; `keys` are strategies of terms beside match and actions."""
    terms = draw(matches())
    for key in keys:
        if draw(st.booleans()):
            terms.append(draw(key))
    actions = draw(st.lists(_PLAIN_ACTIONS, max_size=4))
    actions += draw(st.sampled_from(_ENDS))
    separator = draw(st.sampled_from([",", " ", ", "]))
    return separator.join([*terms, "actions=" + (",".join(actions) or "drop")])


KEYS_10 = [
    _term("table", st.integers(0, 253)), _term("priority", u16), _term("cookie", u32.map(hex)),
    _term("idle_timeout", u16), _term("hard_timeout", u16), st.just("send_flow_rem"),
    st.just("check_overlap"),
]  # fmt: skip
KEYS_13 = [
    *KEYS_10,
    st.just("reset_counts"),
    st.just("no_packet_counts"),
    st.just("no_byte_counts"),
]
