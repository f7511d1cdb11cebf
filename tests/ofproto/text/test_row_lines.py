"""Plans of rows: what they print is what the printer prints."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofproto.codec import messages as m
from ofproto.codec.errors import OFError
from ofproto.codec.match_text import Names
from ofproto.codec.messages.base import find
from ofproto.text.flow_text import ADD, format_flow, parse_flow
from ofproto.text.message_text import Style, format_flows, format_message
from ofproto.text.row_lines import RowLines
from tests.ofproto.flow_strategies import KEYS_13, flow_texts
from tests.ofproto.text.test_flow_lines import FREQUENT, MORE_ACTIONS, of_kind, others

FORMS = [(1, False), (1, True), (2, False), (3, False), (4, False), (5, False), (6, False)]
NAMES = Names({5: "eth0", 7: "eth1"}, {3: "acl"})


def reply(version, nxm, flow, numbers):
    """A FlowStatsReply with one flow, or None where the version cannot say it."""
    duration, rest, packets, n_bytes, idle, hard = numbers
    row = m.FlowStats(
        flow.match, flow.priority, flow.table_id or 0, flow.cookie, duration, rest,
        flow.idle_timeout, flow.hard_timeout, idle, hard, flow.flags, flow.importance, packets,
        n_bytes, flow.instructions,
    )  # fmt: skip
    try:
        raw = m.FlowStatsReply([row], nxm=nxm).encode(version, 9)
        m.decode(raw)
    except (ValueError, OFError):
        return None
    return raw


def check(rows, raw, names):
    want = format_message(m.decode(raw), raw, Style(names))
    assert format_flows(raw, rows) == want


u32, u64 = st.integers(0, 0xFFFFFFFF), st.integers(0, (1 << 64) - 1)
numbers = st.tuples(u32, st.sampled_from([0, 5_000_000, 123_456_789]), u64, u64,
                    st.one_of(st.none(), st.integers(0, 70_000)), st.integers(0, 9))  # fmt: skip


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_a_plan_prints_what_the_printer_prints(data):
    text = data.draw(flow_texts([*KEYS_13, st.just("importance=7")]))
    if data.draw(st.booleans()):
        text = f"{text.partition('actions=')[0]}actions={data.draw(st.sampled_from(MORE_ACTIONS))}"
    names = data.draw(st.sampled_from([None, NAMES]))
    rows = {form: RowLines(names, 0) for form in FORMS}
    for _ in range(10):
        try:
            flow = parse_flow(others(data.draw, text), ADD)
        except ValueError:
            continue
        row = data.draw(numbers)
        for form in FORMS:
            raw = reply(*form, flow, row)
            if raw is not None:
                check(rows[form], raw, names)


@pytest.mark.parametrize("pattern", FREQUENT)
@pytest.mark.parametrize("version, nxm", [(1, True), (5, False)])
def test_rows_of_a_kind_have_plans(pattern, version, nxm, monkeypatch):
    """The decoder is asked about the first few only."""
    flows = [parse_flow(of_kind(pattern, i).replace("meter:", "set_queue:")) for i in range(1, 80)]
    raws = [reply(version, nxm, flow, (1, 0, 3, 4, 5, 6)) for flow in flows]
    if "group" in pattern and version == 1:
        pytest.skip("1.0 has no groups")
    form = find(raws[0])[0]
    asked = []
    real = form.body.read_item
    monkeypatch.setattr(
        form.body, "read_item", lambda data, version: (asked.append(data), real(data, version))[1]
    )
    rows = RowLines(first=0)
    made = [line for raw in raws for line in rows.lines(raw, form)]
    rare = [data for data in asked if data in {raw[form.head_size :] for raw in raws}]
    assert len(rare) < 40
    assert made == [format_flow(m.decode(raw).flows[0]) for raw in raws]


def test_a_priority_that_is_not_printed():
    rows = RowLines(first=0)
    for priority in (5, 6, 0x8000, 7, 0x8000, 0x8000, 0):
        flow = parse_flow(f"priority={priority},in_port=3,actions=output:{priority & 15}")
        for _ in range(30):
            check(rows, reply(4, False, flow, (1, 0, 3, 4, 5, 6)), None)


def test_what_is_not_in_order_is_left_to_the_decoder():
    flow = parse_flow("in_port=3,actions=output:4")
    raw = reply(4, False, flow, (1, 0, 3, 4, 5, 6))
    rows = RowLines(first=0)
    assert format_flows(raw, rows)
    for size in (0, 7, 4000):
        broken = raw[:16] + size.to_bytes(2, "big") + raw[18:]
        assert format_flows(broken, rows) is None
    assert format_flows(m.BarrierReply().encode(4, 1), rows) is None
