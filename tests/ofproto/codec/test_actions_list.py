"""All actions and instructions: text and back, wire and back, translation."""

import pytest

from ofproto.codec import actions, instructions, messages
from ofproto.codec.actions import base as action_base
from ofproto.codec.actions.base import CheckContext
from ofproto.codec.errors import OFError
from ofproto.codec.instructions import (
    check_instructions,
    decode_instructions,
    encode_instructions,
    format_instructions,
    parse_instructions,
)
from ofproto.codec.match_text import parse_match
from ofproto.rules.compile import EMIT, compile_actions
from ofproto.text.flow_text import parse_flow
from ofproto.xlate.trace import trace_flow
from tests.ofproto.action_samples import CODED, CODED_13, FLOWS, NOT_EXECUTED, OURS
from tests.ofproto.xlate_world import World

EXECUTED = FLOWS + OURS
CASES = EXECUTED + CODED + CODED_13
CLASSES = {
    *(row[0] for row in action_base.WIRE.values()),
    *(row[0] for row in action_base.NX.values()),
    *(row[0] for row in action_base.TEXT.values()),
}
INSTRUCTIONS = {
    instructions.GotoTable,
    instructions.WriteMetadata,
    instructions.WriteActions,
    instructions.ApplyActions,
    instructions.ClearActions,
    instructions.Meter,
}
# What OpenFlow 1.0 has no form for, and `drop` and push_vlan, which leave no trace there.
NOT_10 = ("copy_ttl", "meter:", "write_actions", "clear_actions", "push_vlan", "drop", "_pbb",
          "encap", "decap")  # fmt: skip
# What is said in another way by the version
IN_13 = {
    "strip_vlan": "pop_vlan",
    "enqueue:1:2": "set_queue:2,output:1,pop_queue",
    "mod_nw_tos:252": "set_field:63->ip_dscp",
    "set_mpls_label(10)": "set_field:10->mpls_label",
    "set_tunnel:0x5": "set_field:0x5->tun_id",
    "mod_vlan_vid:5,mod_vlan_pcp:3": (
        "push_vlan:0x8100,set_field:4101->vlan_vid,set_field:3->vlan_pcp"
    ),
    "push_vlan:0x8100,mod_vlan_vid:7,pop_vlan,pop_vlan,mod_vlan_vid:9": (
        "push_vlan:0x8100,set_field:4103->vlan_vid,pop_vlan,pop_vlan,"
        "push_vlan:0x8100,set_field:4105->vlan_vid"
    ),
    "load:0x1ffffffffffffffff->NXM_NX_XXREG0[]": (
        "load:0xffffffffffffffff->NXM_NX_XXREG0[0..63],load:0x1->NXM_NX_XXREG0[64..127]"
    ),
}
IN_10 = {
    "set_field:4101->vlan_vid": "mod_vlan_vid:5",
    "set_field:0xf005->vlan_tci": "mod_vlan_vid:5,mod_vlan_pcp:7",
    "set_field:0->vlan_tci": "strip_vlan",
    "set_field:2->ip_dscp": "mod_nw_tos:8",
    "set_field:80->udp_src": "mod_tp_src:80",
    "mod_nw_ttl:5": "load:0x5->NXM_NX_IP_TTL[]",
    "set_tunnel:0x100000000": "set_tunnel64:0x100000000",
    "goto_table:5": "resubmit(,5)",
}


def nested(found):
    for each in found:
        yield each
        yield from nested(getattr(each, "actions", ()))


def flow(match, text):
    return parse_match(match), parse_instructions(text)


def test_each_class_has_a_sample():
    seen = {type(each) for match, text in CASES for each in nested(flow(match, text)[1])}
    assert seen | {actions.DeleteField} == CLASSES | INSTRUCTIONS


def test_the_list_has_each_class():
    named = {value for value in vars(actions).values() if isinstance(value, type)}
    assert named >= CLASSES - INSTRUCTIONS


@pytest.mark.parametrize(("match", "text"), CASES)
def test_text(match, text):
    assert format_instructions(parse_instructions(text)) == text


@pytest.mark.parametrize(("match", "text"), CASES)
@pytest.mark.parametrize("version", [1, 4, 6])
def test_wire(match, text, version):
    match, found = flow(match, text)
    if version == 1 and any(word in text for word in NOT_10):
        return
    raw = encode_instructions(found, version, match)
    assert len(raw) % 8 == 0
    decoded = decode_instructions(raw, version)
    said = (IN_10 if version == 1 else IN_13).get(text)
    if said and version < 6:
        assert format_instructions(decoded) == said
    again = encode_instructions(decoded, version, match)
    assert len(again) == len(raw)
    assert decode_instructions(again, version) == decoded
    assert [type(each) for each in nested(decoded)] or text == "drop"


@pytest.mark.parametrize(("match", "text"), FLOWS)
def test_same_objects_after_the_wire(match, text):
    """In 1.3, what is not one of OpenFlow 1.0's actions or masked comes back as it was."""
    match, found = flow(match, text)
    raw = encode_instructions(found, 4, match)
    changed = any(
        getattr(each, "legacy", False)
        or (getattr(each, "mask", None) is not None and isinstance(each, actions.SetField))
        or isinstance(each, actions.Enqueue)
        or (getattr(each, "n_bits", 0) > 64 and isinstance(each, actions.RegLoad))
        for each in nested(found)
    )
    if not changed:
        assert decode_instructions(raw, 4) == found


@pytest.mark.parametrize(("match", "text"), CASES)
def test_checks_pass(match, text):
    match, found = flow(match, text)
    for version in (1, 4):
        context = CheckContext(match, version, groups=range(9), meters=range(9))
        check_instructions(found, context)


@pytest.mark.parametrize(
    ("match", "text"),
    [
        (match, text)
        for match, text in EXECUTED
        if not text.startswith(("output", "drop", "push_mpls")) and match
    ],
)
def test_prerequisites_are_required(match, text):
    """Without its match, OpenFlow 1.3 refuses what sets or reads a field of a protocol."""
    free = ("mod_vlan", "push_", "load:0x5->OXM_OF_VLAN")
    if text.startswith(free):
        return
    with pytest.raises(OFError, match="MATCH_INCONSISTENT"):
        check_instructions(parse_instructions(text), CheckContext(parse_match(""), 4))


@pytest.mark.parametrize(("match", "text"), EXECUTED)
def test_translation(match, text):
    _match, found = flow(match, text)
    program = compile_actions([], found)
    assert program.actions or text == "drop"


def test_each_class_is_translated():
    names = {cls.__name__ for cls in CLASSES | INSTRUCTIONS}
    assert names - NOT_EXECUTED <= set(EMIT)


@pytest.mark.parametrize("version", [1, 4])
def test_what_a_version_cannot_say(version):
    """A flow mod tells; a dump leaves it out."""
    text = "output:1,set_field:7->tun_tos" if version == 4 else "copy_ttl_in,output:1"
    if version == 4:
        found = [
            instructions.ApplyActions(
                [actions.Output(1), actions.SetField(action_base.field_by_name("tun_tos"), 7)]
            )
        ]
    else:
        found = [instructions.Meter(4), *parse_instructions(text)]
    with pytest.raises(OFError):
        encode_instructions(found, version)
    raw = encode_instructions(found, version, None, lossy=True)
    assert format_instructions(decode_instructions(raw, version)) == "output:1"


def test_members_in_brackets():
    """As older manuals have them."""
    text = "bundle(eth_src,0,hrw,ofport,members:{})"
    assert parse_instructions(text.format("[4, 8]")) == parse_instructions(text.format("4,8"))


BAD_TEXT = [
    ("output:1,drop", '"drop" must not be accompanied'),
    ("goto_table:3,output:1", "apply_actions must appear before goto_table"),
    ("output:1,meter:1", "meter must appear before apply_actions"),
    ("meter:1,meter:2", "duplicate meter instruction"),
    ("clone(goto_table:3)", "goto_table instruction not allowed here"),
    ("write_actions(meter:1)", "doesn't support nested action meter"),
    ("apply_actions(output:1)", "is the default instruction"),
    ("resubmit", 'at least one "in_port" or "table" must be specified'),
    ("resubmit(,256)", "256: resubmit to unknown table"),
    ("resubmit:x", "x: resubmit to unknown port"),
    ("output:99999", "99999: output to unknown port"),
    ("mod_vlan_vid:4096", "4096: not a valid VLAN VID"),
    ("mod_vlan_pcp:8", "8: not a valid VLAN PCP"),
    ("mod_nw_tos:5", "5: not a valid TOS"),
    ("mod_nw_tos:256", 'invalid TOS "256"'),
    ("mod_nw_ecn:4", "4: not a valid ECN"),
    ("mod_nw_src:x", "x: could not convert to IP address"),
    ("mod_dl_src:x", "invalid mac address x"),
    ("mod_tp_dst:70000", 'invalid destination port "70000"'),
    ("set_mpls_label:0x100000", "0x100000: not a valid MPLS label"),
    ("push_vlan:0x800", "0x800: not a valid VLAN ethertype"),
    ("load:5->reg0[3..99]", "ending bit 99 is not valid because field is only 32 bits wide"),
    ("load:5->reg0[5..3]", "starting bit 5 is after ending bit 3"),
    ("load:5->reg0[x]", "syntax error expecting"),
    ("load:500->reg0[0..3]", "value 0x1f4 does not fit into 4 bits"),
    ("load:x->reg0", "cannot parse integer value"),
    ("load:5->foo", "unknown field `foo'"),
    ("load:5", "missing `->'"),
    ("set_field:5->eth_type", "eth_type is read-only"),
    ("set_field:0x2000->vlan_vid", "0x2000 is not a valid value for field vlan_vid"),
    ("set_field:5->foo", "foo is not a valid OXM field name"),
    ("set_field:5->", "missing field name following `->'"),
    ("move:reg0[0..5]->reg1[0..4]", "source field is 6 bits wide but destination is 5 bits wide"),
    ("note:1", "bad hex digit in `note' argument"),
    ("controller(reason=x)", 'unknown reason "x"'),
    ("controller(foo=1)", 'unknown key "foo"'),
    ("set_queue:x", "invalid numeric format x"),
    ("group", "missing required numeric argument"),
    ("goto_table:256", 'unknown table "256"'),
    ("enqueue:1", '"enqueue" syntax is'),
    ("foo:1", "unknown action foo"),
    ("ct(exec(set_field:1->reg0))", "ct action doesn't support nested modification of reg0"),
    ("ct(commit,exec(output:2))", "ct action doesn't support nested action output"),
    ("ct(zone=70000)", "70000: unknown field `70000'"),
    ("learn(reg0[0..3]=55)", "or an immediate value (reg0[0..3]=55: value 0x37 does not fit"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BAD_TEXT)
def test_bad_text(text, message):
    with pytest.raises(action_base.TextError) as error:
        parse_instructions(text)
    assert message in str(error.value)


ADDRESSES = "nw_src=10.0.0.1,nw_dst=10.0.0.2"


@pytest.mark.parametrize(
    ("flow", "text", "changed"),
    [
        # The action of 1.0 is for whatever protocol a packet has, where the flow does not say.
        ("tcp,{},tp_dst=1", "mod_tp_dst:80", "tp_dst=80"),
        ("udp,{},tp_dst=1", "mod_tp_dst:80", "tp_dst=80"),
        ("sctp,{},tp_src=1", "mod_tp_src:80", "tp_src=80"),
        ("icmp,{},icmp_type=8", "mod_tp_src:80", None),
        # TOS and ECN share a byte.
        ("ip,{},nw_tos=4,nw_ecn=3", "mod_nw_tos:252", "nw_tos=252,nw_ecn=3"),
        ("ip,{},nw_tos=4,nw_ecn=1", "mod_nw_ecn:2", "nw_tos=4,nw_ecn=2"),
        ("udp,{},tp_dst=1", "set_field:80->tcp_dst", None),
        ("mpls,mpls_label=5,mpls_tc=1,mpls_bos=1", "set_mpls_label:7", "mpls_label=7"),
    ],
)
def test_what_translation_changes(flow, text, changed):
    world = World(2)
    found = parse_instructions(text)
    world.rule(found[0].actions)
    report = trace_flow(world.bridge, "in_port=1," + flow.format(ADDRESSES))
    final = report.partition("Final flow: ")[2].splitlines()[0]
    assert (changed in final) if changed else final == "unchanged"


PARTS = [
    ("set_field:0x1000/0x1000->vlan_vid,output:1", [1, 2, 3, 4, 5, 6]),
    ("set_field:0x1f00/0x1f00->vlan_vid,output:1", [1, 2, 3, 4, 5, 6]),
    ("load:0xff->NXM_OF_IP_TOS[]", [1, 4, 6]),
    ("load:3->NXM_OF_IP_TOS[0..1]", [1, 4, 6]),
]


@pytest.mark.parametrize("text, versions", PARTS)
def test_bits_that_are_no_part_of_a_field_leave_a_message_that_can_be_read(text, versions):
    for version in versions:
        flow = parse_flow(f"ip,vlan_tci=0x1000/0x1000,actions={text}", 0)
        messages.decode(flow.encode(version, 0, nxm=version == 1), False)
