"""What one packet may cost: rules that would keep translation busy for long are cut short, under a
name."""

import pytest
from scapy.all import IP, UDP, Ether

from ofproto.codec.messages import Bucket
from ofproto.xlate.translate import translate
from tests.native.recorder import Recorder
from tests.ofproto.xlate_world import (
    CONTROLLER,
    FLOOD,
    World,
    act,
    key_of,
    output,
    resubmit,
    set_field,
)

FRAME = bytes(Ether(src="00:00:00:00:00:0a", dst="00:00:00:00:00:0b") / IP() / UDP())
ALL = 0


def run(world):
    return translate(world.bridge, key_of(FRAME, 1))


def long_lists(world):
    actions = [set_field("ip_dst", number) for number in range(500)]
    world.rule([*actions, *[resubmit(1)] * 4000])
    world.rule(actions, table=1)


def floods(world):
    world.rule([resubmit(1)] * 4000)
    world.rule([output(FLOOD)] * 200, table=1)
    for number in range(10, 200):
        world.add_port(number)


def groups_in_groups(world):
    for number in range(8):
        inner = [output(2)] if number == 7 else [act("Group", group=number + 1)]
        world.group(number, ALL, [Bucket(actions=inner) for _ in range(8)])
    world.rule([act("Group", group=0)])


def packets_in(world):
    actions = [set_field("reg0", 1), output(CONTROLLER)]
    world.rule([resubmit(1)] * 4000)
    world.rule(actions * 20, table=1)


def deep_stacks(world):
    from ofproto.codec.fields import BY_NAME

    push = act("StackPush", field=BY_NAME["reg0"], start=0, n_bits=32)
    world.rule([*[push] * 4000, *[act("Clone", actions=[push])] * 4000])


TOO_MUCH = {
    long_lists: "Too much work",
    floods: "Too many actions",
    groups_in_groups: "Too much work",
    packets_in: "Too much work",
    deep_stacks: "Too much work",
}


@pytest.mark.parametrize("rules", TOO_MUCH)
def test_too_much_work(rules):
    world = World(4)
    rules(world)
    result = run(world)
    assert result.error == TOO_MUCH[rules] and result.actions == b""


@pytest.mark.parametrize("rules", TOO_MUCH)
def test_a_trace_has_an_end(rules):
    """Its steps are text, and cost more than what was done; how it failed is told anyway."""
    world = World(4)
    rules(world)
    steps = translate(world.bridge, key_of(FRAME, 1), trace=True, most_steps=1000).trace
    assert len(steps) <= 1002
    assert [kind for _, kind, _ in steps].count("error") == 1
    assert len(translate(world.bridge, key_of(FRAME, 1), trace=True).trace) <= 16386


def test_4096_tables_in_one_another():
    """As deep as calls get: forward through all tables, back and forward again."""
    world = World(4)
    for table in range(253):
        world.rule([resubmit(table + 1)], table=table)
    world.rule([resubmit(0)], table=253)
    assert run(world).error == "Too many resubmits"


def nested_clones(depth):
    plan = [set_field("ip_dst", 99), output(2)]
    for number in range(depth):
        plan = [set_field("ip_dst", number), act("Clone", actions=plan), output(3)]
    return plan


def test_clones_as_deep_as_the_datapath_goes():
    """What is deeper is lost under a name here, not packet by packet there."""
    for depth, error in ((9, None), (60, None), (70, "Recursion too deep")):
        world = World(4)
        world.rule(nested_clones(depth))
        result = run(world)
        assert result.error == error
        if error is None:
            Recorder().run(FRAME, result.actions, in_port=11)
