"""What a bridge does without controllers, by time alone."""

import pytest

from ofproto.codec import messages as m
from ofproto.codec.match import Match
from ofproto.fail_mode import FAIL_OPEN_PRIORITY, FailMode
from ofproto.peers.controller import ControllerConfig
from ofproto.tables.flow_log import FlowLog
from ofproto.tables.flow_table import FlowTables
from ofproto.xlate.bridges.xbridge import XBridge
from pyvs import clock
from tests.ofproto.bridge_world import World, dump, frame

PROBE = 5000
PATIENCE = 3 * PROBE


class Bridge:
    def __init__(self, path=None):
        self.tables = FlowTables(XBridge("br0"))
        self.log = FlowLog(path, self.tables)
        self.mode = FailMode("br0", self.tables, self.log)

    def priorities(self):
        return sorted(rule.priority for rule in self.tables.rules())

    def run(self, connected, now):
        self.mode.run(connected, PROBE, now)
        self.log.run(now)


@pytest.fixture
def bridge():
    made = Bridge()
    made.mode.flush(0)
    return made


def test_default_flow(bridge):
    assert bridge.priorities() == [0]
    bridge.mode.mode = "secure"
    bridge.mode.flush(0)
    assert bridge.priorities() == []
    bridge.mode.mode = "standalone"
    bridge.mode.has_controllers = True
    bridge.mode.flush(0)
    assert bridge.priorities() == []


def test_fail_open_and_recovery(bridge):
    bridge.mode.has_controllers = True
    bridge.mode.flush(0)
    bridge.run(False, 0)
    assert bridge.mode.next_change(PROBE) == PATIENCE
    bridge.run(False, PATIENCE - 1)
    assert not bridge.mode.is_open
    bridge.run(False, PATIENCE)
    assert bridge.mode.is_open and bridge.priorities() == [FAIL_OPEN_PRIORITY]
    bridge.run(False, PATIENCE + 1)
    assert bridge.priorities() == [FAIL_OPEN_PRIORITY]
    bridge.run(True, PATIENCE + 2)
    assert not bridge.mode.is_open and bridge.priorities() == []
    bridge.run(False, 3 * PATIENCE)
    bridge.run(False, 3 * PATIENCE + 1)
    assert not bridge.mode.is_open  # it is away since just now


def test_what_fail_open_adds_is_hidden_and_stays(bridge):
    """del-flows, mod-flows and a journal written anew leave it alone; its owner removes it."""
    bridge.mode.has_controllers = True
    bridge.mode.flush(0)
    bridge.run(False, 0)
    bridge.run(False, PATIENCE)
    (rule,) = bridge.tables.rules()
    actions = rule.actions
    assert rule.hidden and not bridge.tables.select(Match()) and not bridge.tables.all_rules()
    assert bridge.tables.n_rules(0) == 0  # as OFPST_TABLE has it
    for command in (m.DELETE, m.DELETE_STRICT, m.MODIFY, m.MODIFY_STRICT):
        bridge.tables.flow_mod(m.FlowMod(command, priority=0xFFFF, table_id=0), 4, 1)
        assert list(bridge.tables.rules()) == [rule] and rule.actions is actions
    bridge.log._start(1)
    while bridge.log._journal.rewriting:
        bridge.log._go_on()
    bridge.run(True, PATIENCE + 1)
    assert bridge.priorities() == [] and not bridge.tables.hidden


def test_secure_never_opens(bridge):
    bridge.mode.mode = "secure"
    bridge.mode.has_controllers = True
    bridge.mode.flush(0)
    for now in (0, PATIENCE, 10 * PATIENCE):
        bridge.run(False, now)
    assert bridge.priorities() == [] and bridge.mode.next_change(PROBE) is None


def test_a_restart_goes_on_in_fail_open(tmp_path):
    path = str(tmp_path / "br0.flows")
    first = Bridge(path)
    first.log.restore(0)
    first.mode.has_controllers = True
    first.mode.flush(0)
    first.run(False, 0)
    first.run(False, PATIENCE)
    second = Bridge(path)
    second.mode.restored(second.log.restore(PATIENCE + 1), PATIENCE + 1)
    assert second.mode.is_open and second.mode.has_controllers
    assert second.priorities() == [FAIL_OPEN_PRIORITY]
    # The same where the state was damaged in the journal; the configuration says the rest.
    unknown = Bridge(None)
    unknown.mode.restored_without_state()
    assert not unknown.mode.follow("has_controllers", True, 0)
    assert not unknown.mode.follow("mode", "standalone", 0)
    assert unknown.mode.follow("has_controllers", False, 0)
    second.run(True, PATIENCE + 2)
    third = Bridge(path)
    third.mode.restored(third.log.restore(PATIENCE + 3), PATIENCE + 3)
    assert not third.mode.is_open and third.priorities() == []


def test_traffic_goes_on_after_del_flows_in_fail_open():
    """The user's case: the controller does not answer, and somebody types del-flows."""
    world = World()
    try:
        world.bridge.set_controllers([ControllerConfig("unix:/nonexistent/c.sock")])
        world.bridge.fail_mode.since = clock.msec() - 1_000_000
        world.turn()
        client = world.client()
        assert dump(client) == []
        client.do(m.FlowMod(m.DELETE))
        world.send(1, frame())
        world.expect({2: [frame()], 3: [frame()]})
        assert dump(client) == [] and "".join(world.bridge.dump_flows()) == ""
        lines = "".join(world.bridge.dump_flows(hidden=True)).splitlines()
        (line,) = [each for each in lines if "table_id=254" not in each]
        assert "priority=15790320,actions=NORMAL" in line
    finally:
        world.close()
