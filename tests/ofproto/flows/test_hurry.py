"""Rules come and go in random tables: of the flows that Revalidator.hurry() leaves alone none would
become another one."""

import random
import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datapath.actions.text.odp_text import format_actions
from datapath.key import flow
from ofproto.flows.flows import Flows
from ofproto.flows.revalidator import Revalidator
from ofproto.flows.upcall import UpcallHandler
from ofproto.xlate.bridges.xbridge import NO_ODP_PORT
from ofproto.xlate.translate import translate
from tests.ofproto.flows.test_xlate_flows import MISS, FakeDpif
from tests.ofproto.xlate.test_megaflow_invariant import (
    action,
    instructions,
    matching,
    packet,
    random_world,
)
from tests.ofproto.xlate_world import ODP_BASE, key_of

NOW = 1000
N_PACKETS, N_CHANGES = 12, 8
AT, SIZE = flow.MEMBERS["in_port"]


def effects(actions):
    """In words, without what is written: more bits, as the packets have them, where more
    bits were looked at."""
    return re.sub(r"set\((\w+)\(.*?\)\)", r"set(\1)", format_actions(actions))


def stale(flows, bridge):
    """Flows that do something else than the tables say."""
    found = []
    for ukey in flows.ukeys():
        key = ukey.key
        port = int.from_bytes(key[AT : AT + SIZE], "big") - ODP_BASE
        seen = key[:AT] + port.to_bytes(SIZE, "big") + key[AT + SIZE :]
        now = translate(bridge, seen.ljust(flow.KEY_SIZE, b"\0"), recirc=flows.recirc, now=NOW)
        had, wanted = effects(ukey.actions), effects(now.actions)
        if not now.slow and had != wanted:
            found.append((ukey, had, wanted))
    return found


def change(rng, world, rules):
    """A rule comes, or one goes."""
    if rules and rng.random() < 0.3:
        rule = rules.pop(rng.randrange(len(rules)))
        world.bridge.table(rule.table_id).remove(rule)
    else:
        table = rng.choice([0, 0, 1, 2])
        actions = [action(rng, table) for _ in range(rng.randrange(1, 4))]
        more = (matching(rng), 20 + rng.randrange(99), table, instructions(rng, table))
        rule = world.rule(actions, *more)
        rules.append(rule)
    world.bridge.touch_rule(rule)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_no_flow_is_stale_that_was_not_looked_at(seed):
    rng = random.Random(seed)
    dpif = FakeDpif()
    flows = Flows(dpif)
    world = random_world(rng, flows.generation)
    for port in world.ports.values():
        if port.odp_port != NO_ODP_PORT:
            flows.port_set(port.odp_port, port)
    handler, revalidator = UpcallHandler(flows), Revalidator(flows)
    for _ in range(N_PACKETS):
        frame, port = bytes(packet(rng)), rng.choice([1, 2, 3, 4])
        handler.upcall(MISS, key_of(frame, port + ODP_BASE), frame, NOW)
    for ukey in flows.ukeys():
        dpif.install(ukey)
    revalidator.sync(NOW)
    rules = []
    for _ in range(N_CHANGES):
        before = len(stale(flows, world.bridge))
        change(rng, world, rules)
        revalidator.hurry(NOW)
        assert before or not stale(flows, world.bridge)
        revalidator.sync(NOW)
