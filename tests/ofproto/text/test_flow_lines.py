"""Plans of lines: what they make of a line is what the parser makes of it, refusals included."""

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofproto.codec import notes
from ofproto.codec.errors import OFError
from ofproto.text.flow_lines import FlowLine, FlowLines, examples
from ofproto.text.flow_text import (
    ADD,
    DELETE,
    DELETE_STRICT,
    MODIFY,
    MODIFY_STRICT,
    TextError,
    parse_flow,
)
from ofproto.text.tokens import shown, tokens_of
from tests.ofproto.flow_strategies import KEYS_13, flow_texts

FORMS = [(1, False, False), (1, True, True), (2, False, False), (4, False, False),
         (5, False, False), (6, False, False)]  # fmt: skip
DECIMAL, HEX, IPV4, MAC, IPV6 = range(1, 6)
BITS = {DECIMAL: 64, HEX: 64, IPV4: 32, MAC: 48, IPV6: 128}


def messages_of(flow):
    """In each form, or what is wrong with it."""
    made = []
    for version, nxm, table_id in FORMS:
        try:
            made.append(flow.encode(version, 7, nxm=nxm, table_id_in_command=table_id))
        except (ValueError, OFError) as error:
            made.append(repr(error))
    return made


def said(read, text, command):
    """The messages of a line, or what is said against it; and what is noted."""
    with notes.collected() as told:
        try:
            flow = read(text, command)
        except TextError as error:
            return str(error), told
    return messages_of(flow), told


def check(lines, text, command=ADD):
    def full(text, command):
        return parse_flow(text, command)

    assert said(lines.read, text, command) == said(full, text, command), text


def others(draw, text):
    """The same line with other values, of any size."""
    data = text.encode()
    parts, at = [], 0
    for begin, end, form, value in tokens_of(data)[1]:
        bits = draw(st.sampled_from([4, 8, 9, 12, 13, 16, 17, 32, 33, BITS[form]]))
        most = (1 << min(bits, BITS[form])) - 1
        number = draw(st.one_of(st.just(value), st.integers(0, most), st.just(most)))
        parts += [
            data[at:begin],
            shown(form, min(number, 10**19 - 1) if form == DECIMAL else number),
        ]
        at = end
    return b"".join([*parts, data[at:]]).decode()


COMMANDS = [ADD, MODIFY, MODIFY_STRICT, DELETE, DELETE_STRICT]
MORE_ACTIONS = [
    "group:5", "conjunction(7,1/2)", "meter:3,output:2", "ct(commit,zone=5,table=9)",
    "learn(table=3,idle_timeout=5,priority=9,cookie=0x7,NXM_OF_VLAN_TCI[0..11],output:NXM_OF_IN_PORT[])",
    "set_field:4100->vlan_vid,output:1", "push_vlan:0x8100,set_field:4097->vlan_vid,2",
    "mod_vlan_vid:77,resubmit(3,4)", "set_queue:4,enqueue:3:4", "set_field:10.1.2.3->ip_src,5",
    "set_field:2001:db8::5->ipv6_dst,local", "bundle(eth_src,0,hrw,ofport,members:4,8)",
    "controller(max_len=77,id=3),goto_table:9", "write_actions(output:3),goto_table:7",
    "mod_nw_tos:4,mod_nw_ttl:5,mod_tp_src:6",
    "set_field:0x1/0xff->reg3,move:reg1[0..3]->reg2[4..7]",
]  # fmt: skip


@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_a_plan_says_what_the_parser_says(data):
    text = data.draw(flow_texts([*KEYS_13, st.just("importance=7"), st.just("cookie=0x5/0xff")]))
    if data.draw(st.booleans()):
        text = f"{text.partition('actions=')[0]}actions={data.draw(st.sampled_from(MORE_ACTIONS))}"
    command = data.draw(st.sampled_from(COMMANDS))
    if command in (DELETE, DELETE_STRICT):
        text = text.partition("actions=")[0]
    lines = FlowLines(first=0)
    for _ in range(12):
        check(lines, text, command)
        check(lines, others(data.draw, text), command)


FREQUENT = [
    "priority={n},ip,nw_src=10.0.{b}.{c},actions=set_field:{n}->reg1,output:{c}",
    "table={c}, in_port={c},dl_vlan={v},dl_dst=aa:bb:cc:00:{c:02x}:01 actions=strip_vlan,output:3",
    "cookie=0x{n:x},tcp6,ipv6_dst=2001:db8::{n:x},tp_dst={n} actions=group:{n}",
    "add ip,nw_dst=10.{b}.{c}.0/24,actions=ct(commit,zone={n},table={c})",
    "conj_id={n},ip,actions=mod_vlan_vid:{v},resubmit({c},{c})",
    "tun_id=0x{n:x},arp,arp_tpa=10.0.{b}.{c},actions=meter:{m},load:0x{n:x}->NXM_NX_REG3[],NORMAL",
    "ip,reg0=0x{n:x}/0xffff,nw_src=10.{b}.0.0/255.255.0.0,actions=learn(table={c},hard_timeout={n},"
    "NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])",
]


def of_kind(pattern, i):
    text = pattern.format(n=i, b=i & 255, c=i % 250, v=i % 4095, m=i % 99 + 1)
    return text.removeprefix("add ")


@pytest.mark.parametrize("pattern", FREQUENT)
def test_lines_of_a_kind_have_plans(pattern):
    lines = FlowLines(first=0)
    read = [lines.read(of_kind(pattern, i)) for i in range(1, 60)]
    planned = [flow for flow in read if isinstance(flow, FlowLine)]
    assert len(planned) > 55
    assert len(examples(read)) == len(read) - len(planned) + 1
    for i, flow in zip(count(1), read, strict=False):
        assert messages_of(flow) == messages_of(parse_flow(of_kind(pattern, i))), i


WRONG = [
    ("priority=5,in_port=1,actions=output:2", "priority=65536,in_port=1,actions=output:2"),
    ("priority=5,in_port=1,actions=output:2", "priority=5,in_port=1,actions=output:65280"),
    ("table=5,in_port=1,actions=output:2", "table=255,in_port=1,actions=output:2"),
    ("ip,nw_src=1.2.3.4,actions=group:5", "ip,nw_src=1.2.3.4,actions=group:4294967295"),
    ("dl_vlan=5,actions=mod_vlan_vid:5", "dl_vlan=4096,actions=mod_vlan_vid:5"),
    ("dl_vlan=5,actions=mod_vlan_vid:5", "dl_vlan=4095,actions=mod_vlan_vid:4096"),
    ("ip,nw_src=1.2.3.4,actions=meter:5", "ip,nw_src=1.2.3.4,actions=meter:0"),
    ("table=1,in_port=1,actions=goto_table:7", "table=7,in_port=1,actions=goto_table:7"),
    ("ip,nw_src=10.0.0.0/8,actions=drop", "ip,nw_src=10.1.2.3/8,actions=drop"),
    ("ip,nw_proto=6,tp_dst=80,actions=drop", "ip,nw_proto=1,tp_dst=80,actions=drop"),
]  # fmt: skip


@pytest.mark.parametrize("known, other", WRONG)
def test_values_that_mean_something_else_go_the_full_way(known, other):
    lines = FlowLines(first=0)
    for _ in range(3):
        lines.read(known)
    check(lines, other)
    check(lines, known)
    check(lines, other)


def test_tokens():
    text = (
        b"priority=5,nw_src=10.0.0.1/8 dl_dst=aa:bb:cc:dd:ee:ff,ipv6_src=fe80::1,"
        b"actions=load:0x7->reg0,08"
    )
    skeleton, tokens = tokens_of(text)
    assert skeleton == (
        b"priority=\x01,nw_src=\x03/8 dl_dst=\x04,ipv6_src=\x05,actions=load:\x02->reg0,08"
    )
    assert [text[begin:end] for begin, end, *_ in tokens] == [
        b"5", b"10.0.0.1", b"aa:bb:cc:dd:ee:ff", b"fe80::1", b"0x7",
    ]  # fmt: skip
    assert tokens_of(b"\x03") is None
    assert tokens_of(b"," + b"1," * 40) is None
    for _begin, _end, form, value in tokens:
        assert tokens_of(b"=" + shown(form, value))[1][0][2:] == (form, value)


def test_bytes_that_are_no_text_are_refused_by_the_parser():
    """As standard input has them: surrogates."""
    check(FlowLines(first=0), "in_port=\udcff,actions=drop")
    check(FlowLines(first=0), "ip,nw_src=1.2.3.4\udcff,actions=drop")
