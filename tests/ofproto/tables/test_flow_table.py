"""FLOW_MODs on the tables, beside a naive twin that keeps a list."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofproto.codec.actions import Output
from ofproto.codec.errors import OFError
from ofproto.codec.instructions import ApplyActions, GotoTable, WriteActions
from ofproto.codec.messages import FlowMod
from ofproto.codec.numbers import OFPP_NONE, OFPRR_DELETE, OFPRR_HARD_TIMEOUT, OFPRR_IDLE_TIMEOUT
from ofproto.tables.flow_table import (
    ADD,
    CHECK_OVERLAP,
    DELETE,
    DELETE_STRICT,
    MODIFY,
    MODIFY_STRICT,
    RESET_COUNTS,
    FlowTables,
)
from ofproto.xlate.bridges.xbridge import XBridge
from tests.ofproto.xlate_world import match

OF10, OF13 = 1, 4


def mod(command, fields=None, priority=0x8000, ports=(), **more):
    values = {
        "command": command,
        "match": match(**(fields or {})),
        "priority": priority,
        "cookie": 0,
        "cookie_mask": 0,
        "new_cookie": None,
        "table_id": 0,
        "idle_timeout": 0,
        "hard_timeout": 0,
        "out_port": OFPP_NONE,
        "out_group": None,
        "flags": 0,
        "importance": 0,
        "instructions": [ApplyActions([Output(port) for port in ports])] if ports else [],
    }
    return FlowMod(**values | more)


class Tables(FlowTables):
    def __init__(self):
        self.gone = []
        super().__init__(XBridge("br0"), lambda rule, reason: self.gone.append((rule, reason)))

    def do(self, *args, version=OF13, now=0, **more):
        self.flow_mod(mod(*args, **more), version, now)

    def ports(self):
        """(table, priority, ports that the flow outputs to) of all flows."""
        return sorted(
            (rule.table_id, rule.priority, tuple(a.port for i in rule.actions for a in i.actions))
            for rule in self.rules()
        )


@pytest.fixture
def tables():
    return Tables()


def test_add_replaces_an_equal_one(tables):
    tables.do(ADD, {"in_port": 1}, ports=[2], now=5)
    (rule,) = tables.rules()
    rule.n_packets, rule.used = 7, 6
    tables.do(ADD, {"in_port": 1}, ports=[3], now=9)
    (rule,) = tables.rules()
    assert (rule.n_packets, rule.created, rule.used) == (7, 9, 6)
    assert tables.ports() == [(0, 0x8000, (3,))]
    assert [reason for _, reason in tables.gone] == [None]
    for version, flags in ((OF13, RESET_COUNTS), (OF10, 0)):
        rule.n_packets = 7
        tables.do(ADD, {"in_port": 1}, ports=[3], now=10, flags=flags, version=version)
        (rule,) = tables.rules()
        assert (rule.n_packets, rule.created, rule.used) == (0, 10, 6)


def test_overlap(tables):
    tables.do(ADD, {"in_port": 1}, ports=[2])
    with pytest.raises(OFError, match="OVERLAP"):
        tables.do(ADD, {"eth_type": 0x800}, flags=CHECK_OVERLAP)
    tables.do(ADD, {"in_port": 2}, flags=CHECK_OVERLAP)
    tables.do(ADD, {"eth_type": 0x800}, 5, flags=CHECK_OVERLAP)
    assert len(tables) == 3


def test_modify_keeps_what_it_should(tables):
    tables.do(ADD, {"in_port": 1}, ports=[2], cookie=7, idle_timeout=9)
    (rule,) = tables.rules()
    rule.n_packets = 5
    tables.do(MODIFY, ports=[3], cookie=1, idle_timeout=1, now=4)
    assert (rule.n_packets, rule.cookie, rule.idle_timeout, rule.modified) == (5, 7, 9, 4)
    tables.do(MODIFY_STRICT, {"in_port": 1}, ports=[4], flags=RESET_COUNTS)
    assert rule.n_packets == 0 and tables.ports() == [(0, 0x8000, (4,))]


def test_modify_of_nothing_adds_only_in_old_versions(tables):
    for command in (MODIFY, MODIFY_STRICT):
        tables.do(command, {"in_port": 1}, ports=[2])
        assert not len(tables)
    tables.do(MODIFY, {"in_port": 1}, ports=[2], version=OF10, new_cookie=3)
    (rule,) = tables.rules()
    assert rule.cookie == 3
    tables.do(MODIFY_STRICT, {"in_port": 1}, ports=[2], version=OF10, new_cookie=4)
    assert rule.cookie == 4


def test_delete_by_port_and_cookie(tables):
    tables.do(ADD, {"in_port": 1}, ports=[2], cookie=0x11)
    tables.do(ADD, {"in_port": 2}, cookie=0x21, instructions=[WriteActions([Output(2)])])
    tables.do(ADD, {"in_port": 3}, ports=[4], cookie=0x12)
    tables.do(DELETE, out_port=5)
    assert len(tables) == 3
    tables.do(DELETE, cookie=0x10, cookie_mask=0xF0, out_port=2)
    assert len(tables) == 2
    tables.do(DELETE, out_port=2)
    assert [rule.cookie for rule in tables.rules()] == [0x12]
    tables.do(DELETE_STRICT, {"in_port": 3}, 5)
    assert len(tables) == 1
    tables.do(DELETE_STRICT, {"in_port": 3}, table_id=None)
    assert not len(tables)
    assert {reason for _, reason in tables.gone} == {OFPRR_DELETE}


def test_errors(tables):
    with pytest.raises(OFError, match="OFPBRC_EPERM"):
        tables.do(ADD, table_id=254)
    with pytest.raises(OFError, match="OFPBIC_BAD_TABLE_ID"):
        tables.do(ADD, table_id=3, instructions=[GotoTable(3)])
    with pytest.raises(OFError, match="OFPBAC_BAD_OUT_PORT"):
        tables.do(ADD, ports=[OFPP_NONE])
    assert not len(tables)


def test_timeouts(tables):
    tables.do(ADD, {"in_port": 1}, hard_timeout=2, now=1000)
    tables.do(ADD, {"in_port": 2}, idle_timeout=1, now=1000)
    tables.do(ADD, {"in_port": 3}, idle_timeout=1, now=1000)
    tables.do(ADD, {"in_port": 4}, now=1000)
    used = next(rule for rule in tables.rules() if rule.match == match(in_port=3))
    used.used = 2500
    tables.expire(1999)
    assert not tables.gone
    tables.expire(2999)
    assert [reason for _, reason in tables.gone] == [OFPRR_IDLE_TIMEOUT]
    tables.expire(3000)
    assert [reason for _, reason in tables.gone] == [OFPRR_IDLE_TIMEOUT, OFPRR_HARD_TIMEOUT]
    assert 3500 < tables.next_expiry() <= 4100
    tables.expire(tables.next_expiry())
    assert len(tables) == 1 and tables.next_expiry() is None


def test_timers_of_removed_flows_are_let_go(tables):
    for number in range(5000):
        tables.do(ADD, {"in_port": 1}, hard_timeout=60000, now=number)
    assert len(tables) == 1 and len(tables._expiry) <= 1024
    while (when := tables.next_expiry()) and when <= 4999 + 60000 * 1000:
        tables.expire(4999 + 60000 * 1000)  # some at a time
    assert not len(tables)


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "in_port": st.integers(1, 2),
        "eth_dst": st.integers(1, 2),
        "eth_src": st.sampled_from([(1, 1), (0, 1), (3, 3)]),
    },
)
MODS = st.builds(
    mod,
    st.sampled_from([ADD, ADD, MODIFY, MODIFY_STRICT, DELETE, DELETE_STRICT]),
    FIELDS,
    st.integers(1, 2),
    st.lists(st.integers(1, 3), max_size=2),
    cookie=st.integers(0, 3),
    cookie_mask=st.sampled_from([0, 0, 1, 3]),
    new_cookie=st.sampled_from([None, 5]),
    table_id=st.sampled_from([0, 0, 1, None]),
    out_port=st.sampled_from([OFPP_NONE, OFPP_NONE, 1, 2]),
)


class Twin:
    """The same by the words of the specification: a list of dictionaries."""

    def __init__(self):
        self.flows = []

    def do(self, m):
        key = (m.match.key_bytes, m.match.mask_bytes, m.priority)
        if m.command == ADD:
            return self.add(m, key, m.cookie)
        strict = m.command in (MODIFY_STRICT, DELETE_STRICT)
        found = [f for f in self.flows if self.selected(f, m, key, strict)]
        if m.command in (DELETE, DELETE_STRICT):
            self.flows = [f for f in self.flows if f not in found]
            return None
        if not found and not m.cookie_mask and m.new_cookie is not None:  # 1.0 and Nicira
            return self.add(m, key, m.new_cookie)
        for flow in found:
            flow["actions"] = m.instructions
            if m.new_cookie is not None:
                flow["cookie"] = m.new_cookie
        return None

    def add(self, m, key, cookie):
        table = m.table_id or 0
        self.flows = [f for f in self.flows if (f["table"], f["key"]) != (table, key)]
        self.flows.append({"table": table, "key": key, "cookie": cookie, "actions": m.instructions})

    def selected(self, flow, m, key, strict):
        if m.table_id is not None and flow["table"] != m.table_id:
            return False
        if (flow["cookie"] ^ m.cookie) & m.cookie_mask:
            return False
        wanted = m.out_port
        if m.command in (MODIFY, MODIFY_STRICT):
            wanted = OFPP_NONE  # a filter of deletions only
        ports = [a.port for i in flow["actions"] for a in i.actions]
        if wanted != OFPP_NONE and wanted not in ports:
            return False
        if strict:
            return flow["key"] == key
        have_key, have_mask, _ = flow["key"]
        return all(
            hm & m_ == m_ and (hk ^ k) & m_ == 0
            for hk, hm, k, m_ in zip(have_key, have_mask, key[0], key[1], strict=True)
        )

    def state(self):
        return sorted((f["table"], *f["key"], f["cookie"], repr(f["actions"])) for f in self.flows)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(MODS, st.sampled_from([OF10, OF13])), max_size=12))
def test_against_the_twin(mods):
    tables, twin = Tables(), Twin()
    for each, version in mods:
        tables.flow_mod(each, version, 0)
        twin.do(each)
        assert (
            sorted(
                (r.table_id, r.key, r.mask, r.priority, r.cookie, repr(r.actions))
                for r in tables.rules()
            )
            == twin.state()
        )
