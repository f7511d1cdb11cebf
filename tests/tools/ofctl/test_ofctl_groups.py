"""The group commands of pyvs-ofctl, and their text, beside ovs-ofctl and Open vSwitch."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofproto.codec import messages as m
from ofproto.codec.actions.base import parse_actions
from ofproto.codec.match_text import TextError
from ofproto.text.group_text import COMMANDS, parse_group
from ofproto.text.message_text import Style, format_message
from tests.tools.ofctl_peers import OpenVSwitch, needs_ovs, ours, steady, theirs

OF13 = "-OOpenFlow13"

# --- text

ACTIONS = st.sampled_from(
    ["output:1", "LOCAL", "drop", "dec_ttl,output:2", "set_field:5->ip_dscp,group:7", "normal"]
).map(parse_actions)
PORTS = st.integers(1, 0xFEFF) | st.just(0xFFFF)
WATCHED = st.none() | st.integers(0, 0xFFFFFF00)


def buckets(kind):
    least = kind in (m.GROUP_INDIRECT,)
    most = 1 if kind == m.GROUP_INDIRECT else 3
    weights = st.integers(0, 0xFFFF) if kind == m.GROUP_SELECT else st.just(0)
    made = st.builds(m.Bucket, weights, PORTS, WATCHED, ACTIONS)
    if kind == m.GROUP_FAST_FAILOVER:
        made = made.filter(lambda b: b.watch_port != 0xFFFF or b.watch_group is not None)
    return st.lists(made, min_size=least, max_size=most)


@st.composite
def group_mods(draw):
    kind = draw(st.sampled_from([0, 1, 2, 3]))
    number = draw(st.integers(0, 0xFFFFFF00))
    return m.GroupMod(m.GROUP_ADD, kind, number, draw(buckets(kind)))


@settings(max_examples=150, deadline=None)
@given(group_mods())
def test_what_is_printed_can_be_read(mod):
    raw = mod.encode(4, 1)
    text = format_message(m.decode(raw), raw, Style()).splitlines()[1]
    assert parse_group(text.removeprefix(" ADD "), m.GROUP_ADD) == mod


WORDS = st.sampled_from(
    ["group_id", "type", "bucket", "weight", "watch_port", "watch_group", "actions", "select", "ff",
     "all", "output", "1", "99999999999", "=", ":", ",", " ", "(", ")", "->", "drop", "\N{SNOWMAN}"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.lists(WORDS | st.text(max_size=3), max_size=20).map("".join), st.sampled_from(list(COMMANDS))
)
def test_any_text_is_read_or_refused(text, command):
    try:
        mod = parse_group(text, COMMANDS[command])
    except TextError as error:
        assert str(error)
    else:
        assert isinstance(mod, m.GroupMod)


# --- beside ovs-ofctl, against Open vSwitch


@pytest.fixture(scope="module")
def switch():
    made = OpenVSwitch()
    yield made
    made.stop()


GROUPS = [
    "group_id=1,type=all,bucket=output:1,bucket=set_field:5->ip_dscp,output:2",
    "group_id=2,type=select,bucket=weight:3,watch_port:p1,output:p2,bucket=weight:1,actions=normal,"
    "bucket=weight:0,drop",
    "group_id=3 type=indirect bucket=group:2",
    "group_id=0x4,type=fast_failover,bucket=watch_port:2,watch_group:1,actions=output:1,output:2",
    "group_id=5,type=ff,bucket=output:1,watch_port=1,bucket=bucket_id:7,watch_group:2,drop",
    "group_id=4294967040,type=all",
]


def reset(switch, groups=()):
    assert theirs(OF13, "del-groups", switch.br0)[0] == 0
    for group in groups:
        assert theirs(OF13, "add-group", switch.br0, group)[0] == 0


def state(switch, version=OF13):
    return sorted(theirs(version, "dump-groups", switch.br0)[1].splitlines()[1:])


COMMANDS_AND_TEXT = [
    *[("add-group", text) for text in GROUPS],
    ("add-group", "group_id=7,type=select,selection_method=dp_hash,bucket=output:1"),
    ("mod-group", "group_id=1,type=select,bucket=output:2"),
    ("mod-group", "group_id=9,type=all,bucket=output:2"),
    ("--may-create", "mod-group", "group_id=1,type=all,bucket=output:2"),
    ("--may-create", "mod-group", "group_id=9,type=all,bucket=output:2"),
    ("del-groups",),
    ("del-groups", ""),
    ("del-groups", "group_id=1"),
    ("del-groups", "group_id=all"),
    ("del-groups", "group_id=99"),
    ("add-group", "group_id=1,type=all,bucket=output:1"),
    ("add-group", "group_id=8,type=indirect,bucket=output:1,bucket=output:2"),
    ("add-group", "group_id=8,type=indirect"),
    ("add-group", "group_id=8,type=all,bucket=weight:2,output:1"),
    ("add-group", "group_id=8,type=all,bucket=watch_port:1,output:1"),
    ("add-group", "group_id=8,type=ff,bucket=output:1"),
    ("add-group", "group_id=8,type=ff,bucket=watch_port:LOCAL,output:1"),
    ("add-group", "group_id=8,type=ff,bucket=watch_port:nosuch,output:1"),
    ("add-group", "group_id=8,type=ff,bucket=watch_group:x,output:1"),
    ("add-group", "group_id=8,type=select,bucket=weight:65536,output:1"),
    ("add-group", "group_id=8,type=select,bucket=weight:3"),
    ("add-group", "group_id=8,type=select,bucket=drop,output:1"),
    ("add-group", "group_id=8,type=select,bucket=goto_table:1"),
    ("add-group", "group_id=8,type=select,bucket=nosuch:1"),
    ("add-group", "group_id=8,type=nosuch"),
    ("add-group", "group_id=8"),
    ("add-group", "type=all"),
    ("add-group", "group_id=4294967041,type=all"),
    ("add-group", "group_id=x,type=all"),
    ("add-group", "group_id=,type=all"),
    ("add-group", "group_id=8,type=all,nosuch=1"),
    ("add-group", "group_id=all,type=all"),
    ("del-groups", "group_id=1,type=all"),
    ("del-groups", "bucket=output:1"),
    ("del-groups", "nosuch=1"),
]
# In 1.0, by Nicira's extension, buckets have numbers.
WITH_NUMBERS = [
    ("insert-buckets", "group_id=1,command_bucket_id=first,bucket=bucket_id:5,output:3"),
    ("insert-buckets", "group_id=1,command_bucket_id=last,bucket=bucket_id:5,output:3"),
    ("insert-buckets", "group_id=1,command_bucket_id=0,bucket=bucket_id:5,drop,bucket=bucket_id:6,"
                       "watch_port:2,dec_ttl,output:2"),
    ("insert-buckets", "group_id=1,command_bucket_id=7,bucket=bucket_id:5,output:3"),
    ("insert-buckets", "group_id=1,command_bucket_id=last,bucket=bucket_id:1,output:3"),
    ("insert-buckets", "group_id=9,command_bucket_id=last,bucket=bucket_id:1,output:3"),
    ("insert-buckets", "group_id=1,command_bucket_id=all,bucket=bucket_id:1,output:3"),
    ("insert-buckets", "group_id=1,command_bucket_id=x,bucket=bucket_id:1,output:3"),
    ("insert-buckets", "group_id=1,bucket=bucket_id:1,output:3"),
    ("insert-buckets", "command_bucket_id=last,bucket=bucket_id:1,output:3"),
    ("insert-buckets", "group_id=1,type=all,command_bucket_id=last,bucket=output:3"),
    ("remove-buckets", "group_id=1,command_bucket_id=first"),
    ("remove-buckets", "group_id=1,command_bucket_id=last"),
    ("remove-buckets", "group_id=1,command_bucket_id=1"),
    ("remove-buckets", "group_id=1,command_bucket_id=7"),
    ("remove-buckets", "group_id=1,command_bucket_id=all"),
    ("remove-buckets", "group_id=1"),
    ("remove-buckets", "group_id=9,command_bucket_id=last"),
    ("remove-buckets", "group_id=1,command_bucket_id=last,bucket=output:3"),
    ("add-group", "group_id=7,type=all,bucket=bucket_id:4294967041,output:1"),
    ("add-group", "group_id=7,type=all,command_bucket_id=3,bucket=output:1"),
    ("add-group", "group_id=7,type=select,bucket=bucket_id:3,weight:4,output:1,bucket=output:2"),
    ("mod-group", "group_id=1,type=select,bucket=bucket_id:3,drop,bucket=watch_port:1,output:2"),
    ("add-group", "group_id=7,type=select,selection_method=hash,selection_method_param=7,"
                  "fields(ip_dst=255.255.0.0,tcp_src=0xff,vlan_tci),bucket=output:1"),
    ("add-group", "group_id=7,type=select,selection_method=hash,fields=eth_src,bucket=output:1"),
    ("add-group", "group_id=7,type=select,selection_method=hash,fields(udp_src,udp_src),bucket="),
    ("add-group", "group_id=7,type=select,selection_method=dp_hash,fields=eth_src,bucket=drop"),
    ("add-group", "group_id=7,type=select,selection_method_param=7,bucket=output:1"),
    ("add-group", "group_id=7,type=select,selection_method=hashhashhashhash,bucket=output:1"),
    *[("add-group", text) for text in GROUPS],
]  # fmt: skip


def said(text):
    """The error without the program's name.  Of the message that was refused theirs shows bytes
    where it could not read it itself, ours what it says."""
    line = steady(text).partition("\n")[0]
    return line.partition(": ")[2] if line[:4] in ("ovs-", "pyvs") else line


@needs_ovs
@pytest.mark.peer
@pytest.mark.parametrize("words", COMMANDS_AND_TEXT, ids=" ".join)
def test_same_effect_and_errors(switch, words):
    at = 1 + words[0].startswith("--")
    there = [] if words[-1] in GROUPS else [GROUPS[0], GROUPS[2]]
    results = []
    for run in (ours, theirs):
        reset(switch, there)
        status, out, err = run(OF13, *words[:at], switch.br0, *words[at:])
        results.append((status, out, said(err), state(switch)))
    assert results[0] == results[1]


@needs_ovs
@pytest.mark.peer
def test_a_method_that_the_version_lacks_is_left_out(switch):
    """Which is told, if not by Open vSwitch."""
    shown = []
    text = "group_id=7,type=select,selection_method=hash,fields(ip_src),bucket=output:1"
    for run in (ours, theirs):
        reset(switch)
        status, out, err = run(OF13, "add-group", switch.br0, text)
        assert (status, out) == (0, "")
        assert ("selection_method=hash is left out" in err) == (run is ours)
        shown.append(state(switch))
    assert shown[0] == shown[1] == [" group_id=7,type=select,bucket=actions=output:1"]


@needs_ovs
@pytest.mark.peer
@pytest.mark.parametrize("words", WITH_NUMBERS, ids=" ".join)
def test_same_in_10(switch, words):
    there = [] if words[-1] in GROUPS else GROUPS[:1]
    results = []
    for run in (ours, theirs):
        reset(switch, there)
        status, out, err = run("-OOpenFlow10", words[0], switch.br0, words[1])
        results.append((status, out, said(err), state(switch, "-OOpenFlow10")))
        dumps = [ours("-OOpenFlow10", "dump-groups", switch.br0, each) for each in ("", "1")]
        assert sorted(dumps[0][1].splitlines()[1:]) == results[-1][3]
        assert len(dumps[1][1].splitlines()) <= 2
    assert results[0] == results[1]


FILE = """
# groups
group_id=1,type=all,bucket=output:1
add group_id=2,type=select,bucket=group:1   # another
delete group_id=1
add_or_mod group_id=3,type=all
modify group_id=2,type=select,bucket=output:2
"""


@needs_ovs
@pytest.mark.peer
def test_files(switch, tmp_path):
    path = tmp_path / "groups"
    path.write_text(FILE)
    states = []
    for run in (ours, theirs):
        for name in (str(path), "-"):
            reset(switch)
            text = FILE if name == "-" else ""
            assert run(OF13, "add-groups", switch.br0, name, text=text)[0] == 0
            states.append(state(switch))
        reset(switch)
        assert run(OF13, "add-group", switch.br0, "-", text=FILE)[0] == 0
        states.append(state(switch))
    assert len(states[0]) == 2 and all(each == states[0] for each in states)


@needs_ovs
@pytest.mark.peer
def test_bad_lines(switch):
    for text, said_ in (
        ("add group_id=1,type=all\nbla group_id=4\n", "-:2: unknown keyword bla"),
        (
            "insert_bucket group_id=1,command_bucket_id=last,bucket=drop\n",
            "insert-bucket needs OpenFlow 1.5 or later ('-O OpenFlow15')",
        ),
        (
            "remove_bucket group_id=1,command_bucket_id=last\n",
            "usable flow formats (OpenFlow10,NXM,OXM-OpenFlow15) is among",
        ),
    ):
        status, _out, err = ours(OF13, "add-groups", switch.br0, "-", text=text)
        assert status == 1 and said_ in err
    status, _out, err = ours("add-groups", switch.br0, "/nonexistent")
    assert status == 1 and "open failed" in err


@needs_ovs
@pytest.mark.peer
def test_dumps(switch):
    reset(switch, GROUPS)
    flow = "in_port=1,actions=group:1,group:2"
    assert theirs(OF13, "add-flow", switch.br0, flow)[0] == 0
    for words in (
        ("dump-groups", switch.br0),
        ("--names", "dump-groups", switch.br0),
        ("dump-group-stats", switch.br0),
        ("dump-group-stats", switch.br0, "group_id=2"),
        ("dump-group-stats", switch.br0, "group_id=77"),
        ("dump-group-features", switch.br0),
        ("--no-stats", "dump-flows", switch.br0, "out_group=2"),
        ("--no-stats", "dump-flows", switch.br0, "out_group=3"),
        ("dump-aggregate", switch.br0, "out_group=1"),
    ):
        mine, other = ours(OF13, *words), theirs(OF13, *words)
        assert (mine[0], steady(mine[1])) == (other[0], steady(other[1])), words
        if "-flows" not in words[1] and "dump-aggregate" not in words:
            mine, other = ours("-OOpenFlow10", *words), theirs("-OOpenFlow10", *words)
            assert (mine[0], steady(mine[1])) == (other[0], steady(other[1])), words
        # Without a version, that is it; of flows ours takes one that has what is asked for.
        assert steady(ours(*words)[1]) == steady(mine[1])


@needs_ovs
@pytest.mark.peer
def test_versions(switch):
    reset(switch)
    group = "group_id=1,type=all,bucket=output:1"
    assert ours("add-group", switch.br0, group) == (0, "", "")
    assert ours("add-flow", switch.br0, "in_port=2,actions=group:1") == (0, "", "")
    status, _out, err = ours("--read-only", "del-groups", switch.br0)
    assert status == 1 and "read only" in err
    words = "remove-buckets", switch.br0, "group_id=1,command_bucket_id=last"
    assert ours(*words) == (0, "", "")
    status, _out, err = ours(OF13, *words)
    assert status == 1 and "among the allowed flow formats (OXM-OpenFlow13)" in err
    assert ours("mod-group", switch.br0, group) == (0, "", "")
    value = ours("-fjson", "dump-groups", switch.br0)[1]
    assert '"group_id":1' in value and '"output:1"' in value
