"""Datapath actions as bytes and as text."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapath.actions import odp
from datapath.actions.text import ct_text, odp_text
from datapath.actions.text.odp_text import attribute, set_attribute
from datapath.key import flow
from tests.datapath.sample_frames import frames
from tests.native.action_buffer import Writer

WRITABLE = [
    name
    for name, (offset, _) in flow.MEMBERS.items()
    if offset < flow.KEY_DP_SIZE
    and (
        name in ("skb_priority", "pkt_mark", "eth_dst", "eth_src", "nd_reserved", "nd_target")
        or name.startswith(("vlan", "mpls", "nw_src", "nw_dst", "nw_t", "nw_proto", "pbb"))
        or name in ("ipv6_src", "ipv6_dst", "ipv6_label")
        or name.startswith(("tp_", "arp_", "tun_"))
    )
]


def u32(kind, *numbers):
    return attribute(kind, struct.pack(f"={len(numbers)}I", *numbers))


@st.composite
def sets(draw):
    member = draw(st.sampled_from(WRITABLE))
    bits = flow.MEMBERS[member][1] * 8
    mask = draw(st.one_of(st.just((1 << bits) - 1), st.integers(0, (1 << bits) - 1)))
    return set_attribute(member, draw(st.integers(0, (1 << bits) - 1)) & mask, mask)


NUMBER = st.integers(0, 0xFFFFFFFF)
PLAIN = st.one_of(
    sets(),
    NUMBER.map(lambda n: u32(odp.OUTPUT, n)),
    NUMBER.map(lambda n: u32(odp.RECIRC, n)),
    st.integers(1, 0xFFFFFFFF).map(lambda n: u32(odp.DROP, n)),
    st.integers(14, 70000).map(lambda n: u32(odp.TRUNC, n)),
    st.integers(0, (1 << 18) - 1).map(lambda n: u32(odp.METER, n)),
    st.tuples(st.integers(0, 1), NUMBER).map(lambda pair: u32(odp.HASH, *pair)),
    st.binary(min_size=4, max_size=4).map(lambda b: attribute(odp.PUSH_VLAN, b)),
    st.binary(min_size=6, max_size=6).map(lambda b: attribute(odp.PUSH_MPLS, b)),
    st.binary(min_size=2, max_size=2).map(lambda b: attribute(odp.POP_MPLS, b)),
    st.binary(min_size=4, max_size=4).map(lambda b: attribute(odp.PUSH_PBB, b)),
    st.just(attribute(odp.POP_VLAN)),
    st.just(attribute(odp.POP_PBB)),
    st.tuples(st.integers(0, 9), st.binary(max_size=9)).map(
        lambda pair: attribute(odp.USERSPACE, struct.pack("=II", pair[0], 0) + pair[1])
    ),
)
ACTIONS = st.recursive(
    st.lists(PLAIN, max_size=4).map(b"".join),
    lambda inner: st.tuples(
        st.lists(PLAIN, max_size=2).map(b"".join),
        inner.map(lambda run: attribute(odp.CLONE, run)),
        st.tuples(NUMBER, inner).map(
            lambda pair: attribute(odp.SAMPLE, struct.pack("=I", pair[0]) + pair[1])
        ),
    ).map(b"".join),
    max_leaves=3,
)


@given(ACTIONS, st.sampled_from([None, *sorted(frames())]))
def test_text_round_trip(actions, name):
    odp.check_actions(actions)
    key = None if name is None else flow.extract(frames()[name])
    text = odp_text.format_actions(actions, key)
    assert odp_text.parse_actions(text) == actions


TEXTS = [
    "drop",
    "1",
    "1,2,3",
    "push_vlan(vid=5,pcp=0),2",
    "push_vlan(tpid=0x88a8,vid=5,pcp=7),2",
    "pop_vlan,1",
    "set(eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02)),1",
    "set(ipv4(src=10.0.0.1,dst=10.0.0.0/255.255.255.0,tos=0x4/0xfc,ttl=63)),1",
    "set(ipv6(src=fd00::1,label=0x5)),1",
    "set(tcp(src=80/0xff0)),1",
    "set(vlan(vid=3/0xf)),1",
    "set(nd(target=fe80::1,sll=02:00:00:00:00:01)),1",
    "set(skb_mark(0x5)),1",
    "set(tunnel(tun_id=0x7b,src=1.1.1.1,dst=2.2.2.2,ttl=64,flags(key))),5",
    "push_mpls(label=5,tc=1,ttl=64,bos=1,eth_type=0x8847),1",
    "pop_mpls(eth_type=0x800),recirc(0x2)",
    "push_pbb(isid=5,pcp=3),set(pbb(isid=7)),1",
    "push_pbb(isid=16777215,pcp=0,flags=0x1f),pop_pbb,1",
    "hash(l4(0)),recirc(0x1)",
    "hash(sym_l4(7)),recirc(0x1)",
    "lb_output(1),lb_output(4294967295)",
    "sample(sample=50.0%,actions(1,clone(2,3))),4",
    "clone(pop_vlan,1),2",
    "userspace(pid=0,slow_path(action))",
    "userspace(pid=0,reason=4,userdata(00ff))",
    "userspace(pid=77,slow_path(cfm,stp)),2",
    "userspace(pid=4294967295,reason=0)",
    "trunc(100),1",
    "meter(5),1",
    "1,drop(3)",
    "ct,ct_clear",
    "ct(commit),recirc(0x1)",
    "ct(force_commit,zone=65535,mark=0x1/0xffffffff,label=0x1/0xff,helper=ftp,timeout=ovs_tp_1_tcp4)",
    "ct(label=0x10)",
    "ct(commit,helper=tftp,nat(src=10.0.0.1-10.0.0.9:1000-2000,persistent,hash))",
    "ct(commit,nat(dst=10.0.0.1:80,random))",
    "ct(commit,nat(src))",
    "ct(commit,nat(src=fd00::1-fd00::ff))",
    "ct(commit,nat(dst=[fd00::1]-[fd00::2]:80-90))",
    "ct(zone=1,nat)",
]


def ct(**values):
    action = ct_text.CtAction()
    for name, value in values.items():
        setattr(action, name, value)
    return attribute(odp.CT, action.pack())


@pytest.mark.parametrize(("given", "shown"), [
    ("0x5,010,2", "5,8,2"),
    ("userspace(pid=0x7,slow_path(cfm|stp))", "userspace(pid=7,slow_path(cfm,stp))"),
    ("userspace(pid=7,slow_path(0))", "userspace(pid=7,slow_path(action))"),
])  # fmt: skip
def test_other_ways_to_write_it(given, shown):
    assert odp_text.format_actions(odp_text.parse_actions(given)) == shown


@pytest.mark.parametrize("text", (
    "09", "0x", "5x", "1_0", "4294967296", "userspace(pid=4294967296)", "userspace(pid=)",
))  # fmt: skip
def test_what_is_no_number(text):
    with pytest.raises(ValueError):
        odp_text.parse_actions(text)


def test_inner_labels():
    frame = frames()["mpls2"]
    actions = set_attribute("mpls_lse1", 5 << 12, 0xFFFFF000)
    text = odp_text.format_actions(actions, flow.extract(frame))
    assert text == "set(mpls(label1=5))" and odp_text.parse_actions(text) == actions
    actions = set_attribute("mpls_lse0", 5 << 12 | 0x40, 0xFFFFFFFF)  # as in Open vSwitch
    text = odp_text.format_actions(actions, flow.extract(frame))
    assert text == "set(mpls(label=5,tc=0,ttl=64,bos=0))"
    assert odp_text.parse_actions(text) == actions


@pytest.mark.parametrize("text", TEXTS)
def test_text_forms(text):
    assert odp_text.format_actions(odp_text.parse_actions(text)) == text


def test_the_flow_tells_which_protocol_a_set_is_for():
    actions = odp_text.parse_actions("set(udp(dst=53)),set(ipv4(ttl=3)),1")
    for name, want in (
        ("udp4", "set(udp(dst=53)),set(ipv4(ttl=3)),1"),
        ("tcp6", "set(tcp(dst=53)),set(ipv6(hlimit=3)),1"),
    ):
        assert odp_text.format_actions(actions, flow.extract(frames()[name])) == want


@pytest.mark.parametrize(
    "text",
    ["", ",", "1,,2", "set(eth(src=1))", "set(ipv4(frag=no))", "set(eth_type(0x800))",
     "push_vlan(vid=4096)", "-1", "4294967296", "recirc(x)", "clone(1", "clone 1)", "foo",
     "hash(md5(0))", "sample(sample=101%,actions(1))", "sample(1)", "trunc(3)", "userspace(x)",
     "userspace()", "userspace(pid=)", "userspace(pid=x)",
     "userspace(userdata(0))", "set(tcp(src=65536))", "set(tcp(src=1,src=2))", "set(in_port(1))",
     "ct(what)", "ct(zone=65536)", "ct(mark=x)", "ct(helper=sip)", "ct(nat(src=1.1.1.1-fd00::1))",
     "ct(nat(src=1.1.1.1:70000))", "ct(nat(1))", f"ct(timeout={'x' * 32})", "ct(label=-1)"],
)  # fmt: skip
def test_bad_text_is_refused(text):
    if text in ("", ",", "1,,2"):  # lists with empty items: nothing is lost
        odp_text.parse_actions(text)
        return
    with pytest.raises(ValueError, match=r"\w"):
        odp_text.parse_actions(text)


@given(st.text(alphabet="setcloneudprivan0123456789()=,./%x", max_size=50))
def test_text_never_fails_otherwise(text):
    try:
        actions = odp_text.parse_actions(text)
    except ValueError:
        return
    odp_text.format_actions(actions)


@pytest.mark.parametrize(
    ("actions", "why"),
    [
        (b"\1", "cut"),
        (struct.pack("=HH", 1, 200), "length"),
        (struct.pack("=HHH", 3, 2, 0), "length"),
        (struct.pack("=HHHH", 1, 6, 0, 0), "wrong length"),
        (attribute(99), "unknown"),
        (attribute(odp.TUNNEL_PUSH, bytes(4)), "too short"),
        (attribute(odp.CT, bytes(4)), "ct: wrong length"),
        (attribute(odp.CT_CLEAR, bytes(4)), "wrong length"),
        (ct(flags=0x800), "unknown flags"),
        (ct(flags=odp.FLAG_FORCE), "without commit"),
        (ct(flags=odp.FLAG_NAT | odp.FLAG_SRC | odp.FLAG_DST), "both"),
        (ct(flags=odp.FLAG_SRC), "without nat"),
        (ct(flags=odp.FLAG_NAT, addresses=(b"\1" * 4, b"\1" * 4)), "without src or dst"),
        (ct(flags=odp.FLAG_NAT | odp.FLAG_SRC, addresses=(b"\2" * 4, b"\1" * 4)), "ends before"),
        (ct(flags=odp.FLAG_NAT | odp.FLAG_SRC, ports=(2, 1)), "ends before"),
        (ct(helper=3), "helper"),
        (attribute(odp.CT, ct()[4:-1] + b"x"), "no end"),
        (attribute(odp.SET, struct.pack("=HH", 9999, 4) + bytes(8)), "no such member"),
        (attribute(odp.SET, struct.pack("=HH", 0, 4) + bytes(8)), "cannot be set"),
        (attribute(odp.SET, struct.pack("=HH", 15, 5) + bytes(10)), "wrong size"),
        (attribute(odp.POP_MPLS, bytes(2))[:-1], "padding"),
        (u32(odp.HASH, 9, 0), "algorithm"),
        (attribute(odp.USERSPACE, bytes(4)), "userspace"),
    ],
)
def test_check(actions, why):
    with pytest.raises(ValueError, match=why):
        odp.check_actions(actions)


def test_nesting_is_limited():
    actions = b""
    for _ in range(odp.NESTING):
        actions = attribute(odp.CLONE, actions)
    odp.check_actions(actions)
    with pytest.raises(ValueError, match="deep"):
        odp.check_actions(attribute(odp.CLONE, actions))


def test_buffer_builds_what_the_text_says():
    buffer = Writer()
    member = list(flow.MEMBERS).index("nw_ttl")
    buffer.push_vlan(0x88A8, 0x1005)
    buffer.set(member, b"\x3f", b"\xff")
    buffer.pop_vlan()
    sample = buffer.start_nested(odp.SAMPLE, 0xFFFFFFFF)
    buffer.output(1)
    clone = buffer.start_nested(odp.CLONE, 0)
    buffer.output(2)
    buffer.trunc(100)
    buffer.end_nested(clone)
    buffer.end_nested(sample)
    buffer.push_mpls(0x5140, 0x8847)
    buffer.pop_mpls(0x800)
    buffer.push_pbb(0x60000005)
    buffer.pop_pbb()
    buffer.hash(odp.ALG_SYM_L4, 3)
    buffer.userspace(1, b"abc")
    buffer.append(odp_text.parse_actions("7,8"))
    kept = len(buffer)
    buffer.output(99)
    buffer.truncate(kept)
    buffer.drop(3)
    buffer.recirc(0x11)
    text = (
        "push_vlan(tpid=0x88a8,vid=5,pcp=0),set(ipv4(ttl=63)),pop_vlan,"
        "sample(sample=100.0%,actions(1,clone(2,trunc(100)))),"
        "push_mpls(label=5,tc=0,ttl=64,bos=1,eth_type=0x8847),pop_mpls(eth_type=0x800),"
        "push_pbb(isid=5,pcp=3),pop_pbb,hash(sym_l4(3)),userspace(pid=0,slow_path(action),userdata(616263)),7,8,drop(3),"
        "recirc(0x11)"
    )
    assert odp_text.format_actions(bytes(buffer)) == text
    assert odp_text.parse_actions(text) == bytes(buffer)


def test_buffer_has_an_end():
    buffer = Writer()
    for _ in range(odp.ACTIONS_SIZE // 8):
        buffer.output(1)
    odp.check_actions(bytes(buffer))
    while len(buffer) < odp.EXECUTED_SIZE:
        buffer.output(1)
    with pytest.raises(ValueError, match="too long"):
        odp.check_actions(bytes(buffer))
    odp.check_actions(bytes(buffer), True)  # no flow's, but one packet's
    buffer.output(1)
    with pytest.raises(MemoryError):
        bytes(buffer)


def test_a_clone_is_no_longer_than_its_length_can_say():
    for more in (0, 1):
        buffer = Writer()
        at = buffer.start_nested(odp.CLONE, 0)
        for _ in range(odp.ACTIONS_SIZE // 8 + more):
            buffer.output(1)
        buffer.end_nested(at)
        if more:
            with pytest.raises(MemoryError):
                bytes(buffer)
        else:
            odp.check_actions(bytes(buffer), True)
