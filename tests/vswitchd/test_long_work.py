"""Work over all of many flows is done in slices: no turn of vswitchd's loop is all of it."""

import contextlib

import pytest

from ofproto.codec import messages as m
from ofproto.text import flow_text
from tests import daemons
from tests.of_client import Client

pytestmark = pytest.mark.system

MANY = 8000
LONG = "loop_over_100ms_cpu"
OF13 = 4


@pytest.fixture
def full(switch):
    """br0 with many flows, every other one with another cookie, and a client of it."""
    switch.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure")
    with contextlib.closing(Client.unix(switch.directory / "br0.mgmt", OF13)) as client:
        client.hello()
        client.do(*map(a_flow, range(MANY)))
        yield switch, client


def a_flow(number):
    return parsed(
        f"cookie={number & 1},table=0,priority={number % 7},hard_timeout=3600,"
        f"ip,nw_src=10.0.{number >> 8}.{number & 255},actions=output:{number % 3 + 1}",
        m.ADD,
    )


def long_turns(switch):
    return int(switch.appctl("coverage/read-counter", LONG))


@contextlib.contextmanager
def no_long_turn(switch, what):
    before = long_turns(switch)
    yield
    assert long_turns(switch) == before, f"{what} took a turn of 100 ms of processor time"


def parsed(text, command):
    return flow_text.parse_flow(text, command)


def test_nobody_waits_for_all_of_them(full):
    switch, client = full
    with no_long_turn(switch, "bridge/dump-flows"):
        shown = switch.appctl("bridge/dump-flows", "br0").splitlines()
        assert sum("table_id=254" not in line for line in shown) == MANY
    with no_long_turn(switch, "AGGREGATE"):
        answer = client.ask(m.AggregateRequest(out_port=2, cookie=1, cookie_mask=1))
        assert answer.n_flows == sum(n % 3 == 1 and n & 1 for n in range(MANY))
    with no_long_turn(switch, "FLOW statistics that few flows pass"):
        assert client.ask(m.FlowStatsRequest(out_port=99)).flows == []


def test_a_long_trace_is_told_in_pieces(full):
    """12,000 steps; others are served while they are made text."""
    switch, client = full
    resubmits = ",".join(["resubmit(,1)"] * 3000)
    client.do(parsed(f"table=0,priority=99,in_port=1,actions={resubmits}", m.ADD))
    client.do(parsed("table=1,actions=set_field:1->reg0,set_field:2->reg1", m.ADD))
    for words in (["trace", "br0", "in_port=1"], ["trace-packet-out", "br0", "in_port=1", "table"]):
        with no_long_turn(switch, words[0]):
            told = switch.appctl(f"ofproto/{words[0]}", *words[1:])
        assert told.count("priority 32768") == told.count("set_field:0x2->reg1") == 3000
        assert told.endswith("Datapath actions: drop\n"), told[-200:]


def test_modify_and_delete_of_all_are_one_for_others(full):
    """They take many rounds, in which others are served; whoever changes tables comes after."""
    switch, client = full
    with contextlib.closing(Client.unix(switch.directory / "br0.mgmt", OF13)) as other:
        other.hello()
        with no_long_turn(switch, "a FLOW_MOD that modifies all"):
            client.send(parsed("cookie=0/1,actions=output:9", m.MODIFY))
            client.send(parsed("cookie=1/1,actions=output:8", m.MODIFY))
            barrier = client.send(m.BarrierRequest())
            other.ask(m.DescRequest())
            client.reply(barrier)
        assert other.ask(m.AggregateRequest(out_port=9)).n_flows == MANY // 2
        assert other.ask(m.AggregateRequest(out_port=8)).n_flows == MANY // 2
        # A refusal changes nothing, and quotes its message.
        wrong = parsed("tcp,actions=set_field:1->tcp_dst,output:7", m.MODIFY)
        wrong.match = parsed("actions=drop", m.MODIFY).match
        assert client.refused(wrong) == "OFPBAC_MATCH_INCONSISTENT"
        assert other.ask(m.AggregateRequest(out_port=7)).n_flows == 0
        with no_long_turn(switch, "a FLOW_MOD that deletes all"):
            client.send(m.FlowMod(m.DELETE, table_id=None))
            other.do(a_flow(5))  # behind it or before it, but not within it
            client.barrier()
        left = other.ask(m.FlowStatsRequest()).flows
        assert [flow.match for flow in left] in ([], [a_flow(5).match])


def test_a_client_that_leaves_has_its_message_done(full):
    switch, client = full
    client.send(m.FlowMod(m.DELETE, table_id=None, out_port=2))
    begun = "ofproto_long_flow_mod"
    daemons.wait_until(lambda: int(switch.appctl("coverage/read-counter", begun)), what=begun)
    client.close()
    with contextlib.closing(Client.unix(switch.directory / "br0.mgmt", OF13)) as other:
        other.hello()
        wanted = {MANY - MANY // 3 - (MANY % 3 > 1)}
        daemons.wait_until(
            lambda: other.ask(m.AggregateRequest()).n_flows in wanted, what="the deletion"
        )
