"""Tables that are compared as rows: the outcome is that of tables of objects."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofproto.codec import messages as m
from ofproto.text.flow_text import parse_flow
from pyvs_tools.command import Fatal
from pyvs_tools.ofctl import diff, wire_tables
from pyvs_tools.ofctl import flows as flows_
from tests.ofproto.flow_strategies import KEYS_13, flow_texts

VERSIONS = [(1, True), (3, False), (4, False), (5, False), (6, False), (1, False)]


class Session:
    """What diff wants of one."""

    def __init__(self, version):
        self.version = version

    def decode(self, raw):
        return m.decode(raw)


def reply(flows, version, nxm):
    rows = [
        m.FlowStats(
            f.match, f.priority, f.table_id or 0, f.cookie, 1, 2, f.idle_timeout, f.hard_timeout,
            None, None, 0, f.importance, 5, 6, f.instructions,
        )
        for f in diff.table_of(flows).values()
        for f in [f.flow]
    ]  # fmt: skip
    return m.FlowStatsReply(rows, nxm=nxm).encode(version, 1)


def lines_of(draw):
    """Flows of which many differ a little."""
    texts = draw(st.lists(flow_texts(KEYS_13), max_size=3))
    few = st.integers(0, 3)
    for _ in range(draw(st.integers(0, 12))):
        a, b, c, d = (draw(few) for _ in range(4))
        texts.append(
            f"table={a},priority={b},ip,nw_src=10.0.0.{a}/31,cookie={c % 2},idle_timeout={c},"
            f"actions=set_field:{d}->reg1,output:{b + 1}"
        )
    return texts


def read(texts):
    return flows_.flows_of([(str(i), text) for i, text in enumerate(texts)], m.ADD)


@given(data=st.data(), form=st.sampled_from(VERSIONS))
@settings(max_examples=80, deadline=None)
def test_the_changes_are_those_of_objects(data, form):
    version, nxm = form
    have, want = lines_of(data.draw), lines_of(data.draw)
    try:
        raws = [reply(flows_.mods_of(read(have)), version, nxm)]
        session = Session(version)
        want = read(want)
        told = diff.as_told(version, flows_.mods_of(want))
        [flow.encode(version, nxm=True) for flow in told]
    except (ValueError, m.OFError, Fatal):  # not every version says every flow
        return
    found = diff._changes_of_rows(session, raws, want, False)
    wanted = diff.changes(diff.table_of(diff._flows_in(session, raws)), diff.table_of(told))
    if found is None:
        return
    encoded = [
        [flow.encode(version, nxm=True, table_id_in_command=True) for flow in mods]
        for mods in (found, wanted)
    ]
    assert encoded[0] == encoded[1]


@pytest.mark.parametrize("version, nxm", VERSIONS[:4])
def test_rows_say_which_are_the_same(version, nxm):
    texts = [f"table={i % 3},in_port={i},actions=output:{i + 1}" for i in range(1, 60)]
    have = wire_tables.of_replies([reply(flows_.mods_of(read(texts)), version, nxm)])
    others = [text.replace("in_port=7,", "in_port=7,cookie=3,") for text in texts[1:]]
    others[30] = others[30] + ",output:9"
    want = wire_tables.of_flows(have.form, read([*others, "arp,actions=NORMAL"]))
    same, different = wire_tables.compare(have, want)
    assert len(same) == 56 and len(different) == 2
    assert len(want.rows) == 59 and len(have.rows) == 59


def test_a_flow_that_is_said_in_two_ways_is_the_same():
    have = wire_tables.of_replies([reply([parse_flow("in_port=1,actions=load:5->reg1")], 5, False)])
    want = wire_tables.of_flows(have.form, read(["in_port=1,actions=load:0x5->NXM_NX_REG1[]"]))
    assert [len(keys) for keys in wire_tables.compare(have, want)] == [1, 0]
    assert wire_tables.of_replies([reply([parse_flow("actions=1")], 6, False)]) is None
    assert wire_tables.of_replies([reply([parse_flow("actions=1")], 1, False)]) is None
