"""Flows as text: what ovs-ofctl says to the same text, and what it refuses."""

import shutil
import subprocess

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ofproto.codec import notes
from ofproto.codec.actions import Output
from ofproto.codec.actions.nx import Resubmit
from ofproto.codec.errors import OFError
from ofproto.codec.instructions import ApplyActions, GotoTable, format_instructions
from ofproto.codec.match_text import Names, parse_match
from ofproto.codec.messages import (
    ADD,
    DELETE,
    DELETE_STRICT,
    MODIFY,
    MODIFY_STRICT,
    AggregateRequest,
    FlowStats,
)
from ofproto.text import flow_text, message_text
from ofproto.text.flow_text import (
    TextError,
    encode_flow,
    parse_flow,
    parse_flow_request,
    split_command,
)
from pyvs.record import replace
from tests.ofproto.flow_strategies import KEYS_10, KEYS_13, flow_texts

needs_ofctl = pytest.mark.skipif(not shutil.which("ovs-ofctl"), reason="no ovs-ofctl")
U64 = (1 << 64) - 1


def ofctl(*arguments, text=""):
    done = subprocess.run(
        ["ovs-ofctl", "-vconsole:off", *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_all_keys():
    flow = parse_flow(
        "table=3,cookie=5,ip,nw_src=1.2.3.4,priority=7,idle_timeout=3,hard_timeout=0x10,"
        "importance=9,send_flow_rem check_overlap,reset_counts,no_packet_counts,no_byte_counts,"
        "actions=output:2"
    )
    assert flow.command == ADD
    assert flow.match == parse_match("ip,nw_src=1.2.3.4")
    assert (flow.table_id, flow.cookie, flow.cookie_mask, flow.priority) == (3, 5, 0, 7)
    assert (flow.idle_timeout, flow.hard_timeout, flow.importance, flow.flags) == (3, 16, 9, 31)
    assert flow.instructions == [ApplyActions([Output(2)])]


def test_defaults():
    flow = parse_flow("actions=drop")
    assert (flow.table_id, flow.cookie, flow.priority, flow.flags) == (None, 0, 0x8000, 0)
    assert (flow.out_port, flow.out_group, flow.instructions) == (0xFFFF, None, [])


@pytest.mark.parametrize(
    "text, cookie, mask, new",
    [
        ("actions=1", 0, 0, 0),
        ("cookie=3,actions=1", 0, 0, 3),
        ("cookie=3/-1,actions=1", 3, U64, None),
        ("cookie=0x13/0xf,cookie=7,actions=1", 3, 15, 7),
    ],
)
def test_cookies_of_modifications(text, cookie, mask, new):
    flow = parse_flow(text, MODIFY)
    assert (flow.cookie, flow.cookie_mask, flow.new_cookie) == (cookie, mask, new)


def test_deletion():
    flow = parse_flow("table=255,tcp,out_port=LOCAL,out_group=5,cookie=1/1", DELETE)
    assert (flow.table_id, flow.out_port, flow.out_group) == (None, 0xFFFE, 5)
    assert (flow.cookie, flow.cookie_mask) == (1, 1)
    assert parse_flow("priority=9,tcp", DELETE_STRICT).priority == 9


def test_requests():
    request = parse_flow_request("table=4,udp,out_port=7,cookie=6/2")
    assert (request.table_id, request.out_port) == (4, 7)
    assert (request.cookie, request.cookie_mask) == (2, 2)
    assert request.match == parse_match("udp")
    assert type(parse_flow_request("", request=AggregateRequest)) is AggregateRequest


def test_names():
    ports, tables = {"eth0": 5, "a b": 6}, {"acl": 9}
    text = 'table=acl,ip,in_port=eth0,actions="a b",output:eth0,resubmit(,"b c"),ct(table=acl)'
    flow = parse_flow(text, names=Names(ports, tables | {"b c": 11}))
    assert (flow.table_id, flow.match.get("in_port")[0]) == (9, 5)
    assert flow.instructions[0].actions[:3] == [Output(6), Output(5), Resubmit(None, 11)]
    shown = Names({5: "eth0", 6: "a b"}, {9: "acl", 11: "b c"})
    assert format_instructions(flow.instructions, shown) == (
        'output:"a b",output:eth0,resubmit(,"b c"),ct(table=acl)'
    )
    assert parse_flow("actions=goto_table(acl)", names=Names({}, tables)).instructions == [
        GotoTable(9)
    ]
    learn = "learn(table=acl,NXM_OF_VLAN_TCI[0..11])"
    (apply,) = parse_flow(f"actions={learn}", names=Names({}, tables)).instructions
    assert apply.format(Names({}, {9: "acl"})) == learn
    for text in ("table=acl,actions=drop", "actions=resubmit(,acl)", "actions=goto_table:acl"):
        with pytest.raises(TextError, match="unknown table"):
            parse_flow(text, names=ports)


def test_the_end_closes_what_is_open():
    for whole in ("resubmit(1,2)", "ct(commit,nat(dst=10.0.0.1))", "output:1,clone(output:2)"):
        instructions = parse_flow(f"ip,actions={whole}").instructions
        assert parse_flow("ip,actions=" + whole.rstrip(")")).instructions == instructions
    with pytest.raises(TextError):
        parse_flow("ip,actions=ct(commit,nat(dst=10.0.0.1),2")


@pytest.mark.parametrize("ct_state", ["", ",ct_state=+trk", ",ct_state=-new+trk"])
def test_a_match_on_a_connection_wants_one(ct_state):
    """Dropped, like other fields without what they need, it would leave a flow of all packets."""
    for field in ("ct_nw_src=10.0.0.1", "ct_tp_dst=80", "ct_nw_proto=6", "ct_nw_dst=10.0.0.0/8"):
        with pytest.raises(TextError, match="BAD_PREREQ"):
            parse_flow(f"ip{ct_state},{field},actions=drop")
        for order in (f"{field},ct_state=+trk+est", f"ct_state=-inv+trk,{field}"):
            match = parse_flow(f"ip,{order},actions=drop").match
            assert match.get(field.partition("=")[0])[1]


def test_what_open_vswitch_does_not_know_is_not_dropped():
    for field, needed in (
        ("in_phy_port=1", "in_port=1"),
        ("pbb_isid=5", "dl_type=0x88e7"),
        ("pbb_uca=1", "dl_type=0x88e7"),
        ("ipv6_exthdr=+hop", "ipv6"),
    ):
        for other in ("", "tcp,"):
            with pytest.raises(TextError, match="BAD_PREREQ"):
                parse_flow(f"{other}{field},actions=drop")
        match = parse_flow(f"{field},{needed},actions=drop").match
        assert match.get(field.partition("=")[0])[1]


@pytest.mark.parametrize(
    "field, highest",
    [
        ("ipv6,ipv6_label", 0xFFFFF),
        ("tun_erspan_ver", 15),
        ("tun_erspan_idx", 0xFFFFF),
        ("tun_erspan_dir", 1),
        ("tun_erspan_hwid", 63),
    ],
)
def test_bits_beyond_a_field_are_not_cut_off(field, highest):
    assert parse_match(f"{field}={highest}").get(field.rpartition(",")[2]) == (highest, highest)
    with pytest.raises(TextError, match="too large"):
        parse_match(f"{field}={highest + 1}")
    with pytest.raises(TextError, match="too large"):
        parse_flow(f"{field}={highest + 1:#x}/{highest + 1:#x},actions=drop")
    assert parse_match(f"{field}=1/{2 * highest + 1:#x}") == parse_match(f"{field}=1")


def test_subfields_add_up():
    assert parse_flow("reg0[3..5]=2,reg0[0]=1,actions=").match == parse_match("reg0=0x11/0x39")


def test_output_of_dump_flows_is_read():
    flow = parse_flow(
        " cookie=0x1, duration=5.1s, table=2, n_packets=3, n_bytes=4, idle_age=5, hard_age=6, "
        "send_flow_rem priority=7,arp actions=NORMAL"
    )
    assert (flow.cookie, flow.table_id, flow.priority, flow.flags) == (1, 2, 7, 1)


def test_dropped_fields_are_told():
    told = []
    notes.listen(lambda module, level, text, kind: told.append(text))
    try:
        flow = parse_flow("nw_src=1.2.3.4,tcp_dst=80,in_port=3,actions=1")
    finally:
        notes.listen(None)
    assert flow.match == parse_match("in_port=3")
    assert told[1:] == [" pre: in_port=3,nw_src=1.2.3.4,tp_dst=80", "post: in_port=3"]


@pytest.mark.parametrize(
    "line, command, rest",
    [
        ("add tcp", ADD, " tcp"),
        ("modify,tcp", MODIFY, ",tcp"),
        (" modify_strict tcp", MODIFY_STRICT, " tcp"),
        ("delete", DELETE, ""),
        ("delete_strict a", DELETE_STRICT, " a"),
        ("del a", DELETE, " a"),
        ("delete_s a", DELETE_STRICT, " a"),
        ("m,a", MODIFY, ",a"),
        ("adds a", ADD, "adds a"),
        ("tcp,actions=add", ADD, "tcp,actions=add"),
        ("", ADD, ""),
    ],
)
def test_command_of_a_line(line, command, rest):
    assert split_command(line) == (command, rest)


# (command, text): ovs-ofctl's options and arguments that say the same come from _refusal().
REFUSED = [
    (ADD, "out_port=1"), (ADD, "actions"), (ADD, "table=256,actions=1"), (ADD, "foo=1 actions=2"),
    (ADD, "priority=65536,actions=1"), (ADD, "cookie=1/-1,actions=2"), (ADD, "priority actions=2"),
    (ADD, "cookie=x actions=1"), (ADD, "in_port=p1,actions=drop"), (ADD, "out_port=3 actions=1"),
    (ADD, "reg0[3..5]=8 actions=1"), (ADD, "reg0[3..5]=8x actions=1"), (ADD, "actions=drop,1"),
    (ADD, "actions=set_field:5->tcp_src"), (ADD, "table=5 actions=goto_table:3"),
    (ADD, "actions=ANY"), (ADD, "actions=foo"), (ADD, "foo,actions=1"), (ADD, "table=x,actions=1"),
    (ADD, "tcp_dst=70000,tcp,actions=1"), (ADD, "nw_src=1.2.3,ip,actions=1"),
    (DELETE, "priority=1"), (DELETE, "cookie=5"), (DELETE, "out_port=zz"), (DELETE, "out_group=zz"),
    (DELETE, "actions=1"), (DELETE, "idle_timeout=3"), (DELETE_STRICT, "hard_timeout=5"),
]  # fmt: skip


@pytest.mark.parametrize("command, text", REFUSED)
@needs_ofctl
def test_refused_with_the_same_words(command, text):
    with pytest.raises(TextError) as caught:
        parse_flow(text, command)
    word = {ADD: "add", DELETE: "delete", DELETE_STRICT: "delete_strict"}[command]
    # A file's line says its command only in add-flows, which needs a switch; the text is read
    # before it connects, but for the ports' names.
    if command == ADD:
        status, _out, said = ofctl("parse-flow", text)
    else:
        status, _out, said = ofctl(
            "--no-names", "add-flows", "unix:/nonexistent", "-", text=f"{word} {text}"
        )
    assert status == 1
    assert str(caught.value) in said


def printed(text, version, nxm):
    """The flow mod of a text, through the wire of a version, as a message's text."""
    flow = parse_flow(text, version=version)
    raw = encode_flow(flow, version, 1, nxm=nxm, table_id=flow.table_id is not None)
    return message_text.format_raw(raw, message_text.Style())


@pytest.mark.parametrize("version, options, keys", [
    (1, ("-O", "OpenFlow10", "-F", "NXM"), KEYS_10),
    (4, ("-O", "OpenFlow13"), KEYS_13),
])  # fmt: skip
@needs_ofctl
def test_same_as_ovs_ofctl(version, options, keys):
    """Shrinking would call ovs-ofctl thousands of times; the text alone says enough."""

    @given(flow_texts(keys))
    @settings(max_examples=100, deadline=None, phases=[Phase.explicit, Phase.generate])
    def check(text):
        status, theirs, said = ofctl(*options, "parse-flow", text)
        try:
            ours = printed(text, version, version == 1)
        except (TextError, OFError, ValueError) as error:
            assert status == 1, (text, theirs, error)
            return
        assert status == 0, (text, said, ours)
        assert ours == theirs[theirs.index("chosen") :].partition("\n")[2], text

    check()


@given(flow_texts(KEYS_13))
@settings(max_examples=100, deadline=None)
def test_printed_flows_are_read_again(text):
    try:
        flow = parse_flow(text)
    except TextError:
        return
    stats = FlowStats(
        flow.match, flow.priority, flow.table_id or 0, flow.cookie, 5, 6000000, flow.idle_timeout,
        flow.hard_timeout, 3, 4, flow.flags, flow.importance, 7, 8, flow.instructions,
    )  # fmt: skip
    again = parse_flow(flow_text.format_flow(stats))
    assert again == replace(flow, table_id=flow.table_id or 0)
    assert parse_flow(flow_text.format_flow(stats, stats=False)).match == flow.match


@given(
    st.sampled_from([ADD, MODIFY, DELETE, DELETE_STRICT]),
    st.one_of(
        st.text(max_size=40),
        st.text(alphabet='acdeiknoprtsuwx_=:,()[]{}/->0123456789. "\\', max_size=60),
        st.tuples(flow_texts(KEYS_13), st.integers(0, 80), st.characters()).map(
            lambda row: row[0][: row[1]] + row[2] + row[0][row[1] + 1 :]
        ),
    ),
)
@settings(max_examples=400, deadline=None)
def test_broken_text_is_refused_in_words(command, text):
    try:
        flow = parse_flow(text, command)
    except TextError as error:
        assert str(error)
    else:
        assert flow.command == command


FLOW = FlowStats(
    parse_match("tcp,tcp_dst=80"), 5, 1, 0xA, 7, 8000000, 9, 10, 2, 7, 3, 4, 14, 15,
    [ApplyActions([Output(2)])],
)  # fmt: skip
HEAD = "cookie=0xa, duration=7.008s, table=1, n_packets=14, n_bytes=15, idle_timeout=9, "
REST = "hard_timeout=10, send_flow_rem check_overlap importance=4, "
MATCH = "priority=5,tcp,tp_dst=80 actions=output:2"


@pytest.mark.parametrize(
    "changes, options, text",
    [
        ({}, {}, f"{HEAD}{REST}idle_age=2, {MATCH}"),
        ({"hard_age": 3}, {}, f"{HEAD}{REST}idle_age=2, hard_age=3, {MATCH}"),
        ({"idle_age": None, "hard_age": None}, {}, f"{HEAD}{REST}{MATCH}"),
        (
            {"duration_nsec": 8},
            {},
            f"{HEAD}{REST}idle_age=2, {MATCH}".replace("7.008s", "7.000000008s"),
        ),
        (
            {},
            {"stats": False},
            f"cookie=0xa, table=1, idle_timeout=9, {REST}{MATCH}",
        ),
        (
            {"cookie": 0, "table_id": 0, "flags": 0, "importance": 0},
            {"stats": False, "names": {2: "p 2"}},
            'idle_timeout=9, hard_timeout=10, priority=5,tcp,tp_dst=80 actions=output:"p 2"',
        ),
        (
            {"n_packets": None, "n_bytes": None, "match": parse_match(""), "priority": 0x8000},
            {"names": Names({}, {1: "acl"})},
            f"{HEAD}{REST}idle_age=2, actions=output:2".replace("table=1", "table=acl")
            .replace("n_packets=14", "n_packets=?")
            .replace("n_bytes=15", "n_bytes=?"),
        ),
    ],
)
def test_lines_of_dump_flows(changes, options, text):
    assert flow_text.format_flow(replace(FLOW, **changes), **options) == text
