"""Flow monitors against a bridge on a real datapath: what each version's connection is told."""

import pytest

from ofproto.changes import monitors, table_work
from ofproto.codec import messages as m
from ofproto.codec.messages import monitor as wire
from tests.ofproto.bridge_world import World, flow
from tests.ofproto.changes.test_bundles import commit

ALL = wire.FM_INITIAL | wire.FM_ADD | wire.FM_REMOVED | wire.FM_MODIFY | wire.FM_INSTRUCTIONS
OWN = wire.FM_NO_ABBREV
EVENTS = {
    wire.EV_INITIAL: "initial", wire.EV_ADDED: "added", wire.EV_REMOVED: "deleted",
    wire.EV_MODIFIED: "modified", wire.EV_ABBREV: "abbrev", wire.EV_PAUSED: "paused",
    wire.EV_RESUMED: "resumed",
}  # fmt: skip


@pytest.fixture
def world():
    made = World()
    made.bridge.set_protocols(set(range(1, 7)))
    yield made
    made.close()


@pytest.fixture(params=[1, 3, 4, 5, 6], ids=["1.0", "1.2", "1.3", "1.4", "1.5"])
def watcher(world, request):
    found = world.client(request.param)
    found.do(m.FlowMod(m.DELETE))
    return found


def watch(client, *watches):
    """(event, cookie) of the flows that there are."""
    reply = client.ask(m.FlowMonitorRequest(list(watches)))
    assert isinstance(reply, m.FlowMonitorReply), reply
    return shown(reply.updates)


def shown(updates):
    return [(EVENTS[each.event], each.cookie or each.xid) for each in updates]


def told(client):
    """The same of what came unasked, with pauses that are messages of their own."""
    found = []
    for each in client.barrier():
        if isinstance(each, m.FlowMonitorReply):
            assert each.xid == 0
            found += shown(each.updates)
        elif isinstance(each, m.FlowMonitorPaused):
            found.append(("paused", 0))
        elif isinstance(each, m.FlowMonitorResumed):
            found.append(("resumed", 0))
        else:
            assert not isinstance(each, m.Error), each
    return found


def initial(client):
    """1.4 tells flows that were there from new ones."""
    return "initial" if client.version > 4 else "added"


def test_changes_are_told(world, watcher):
    other = world.client(4)
    other.do(flow("cookie=1,in_port=1 actions=output:2"), flow("cookie=2,tcp actions=drop"))
    assert sorted(watch(watcher, wire.Monitor(1, ALL | OWN))) == [
        (initial(watcher), 1), (initial(watcher), 2)]  # fmt: skip
    for mod, event in (
        (flow("cookie=3,in_port=3 actions=drop"), ("added", 3)),
        (flow("cookie=4,in_port=3 actions=output:1"), ("added", 4)),
        (flow("in_port=3 actions=output:2", m.MODIFY), ("modified", 4)),
        (flow("in_port=3 actions=output:2", m.MODIFY), None),
        (flow("in_port=3", m.DELETE), ("deleted", 4)),
    ):
        other.do(mod)
        assert told(watcher) == [event] * (event is not None)
    other.do(m.FlowMod(m.DELETE))
    assert sorted(told(watcher)) == [("deleted", 1), ("deleted", 2)]
    assert not commit(other, flow("cookie=5 actions=drop"), flow("actions=output:1", m.MODIFY))
    assert told(watcher) == [("added", 5), ("modified", 5)]
    assert commit(other, flow("cookie=6,tcp actions=drop"), flow("actions=group:9"))
    assert told(watcher) == []


def test_only_what_is_asked_for(world, watcher):
    other = world.client(4)
    tcp = flow("tcp actions=drop").match
    assert watch(watcher, wire.Monitor(1, wire.FM_ADD, match=tcp, table_id=1)) == []
    other.do(
        flow("cookie=1,table=1,tcp,in_port=1 actions=drop"),
        flow("cookie=2,table=1,udp actions=drop"),
        flow("cookie=3,table=0,tcp actions=drop"),
        m.FlowMod(m.DELETE),
    )
    (reply,) = (each for each in watcher.barrier() if isinstance(each, m.FlowMonitorReply))
    assert shown(reply.updates) == [("added", 1)] and not reply.updates[0].instructions
    assert watch(watcher, wire.Monitor(2, ALL, out_port=2)) == []
    other.do(
        flow("cookie=4,in_port=1 actions=output:1"),
        flow("cookie=5,in_port=2 actions=output:2"),
        flow("actions=output:3", m.MODIFY),
    )
    assert told(watcher) == [("added", 5), ("modified", 5)]


def test_own_changes_are_abbreviated(world, watcher):
    watch(watcher, wire.Monitor(1, ALL))
    xid = watcher.send(flow("cookie=1 actions=drop"))
    assert told(watcher) == [("abbrev", xid)]
    world.client(4).do(m.FlowMod(m.DELETE))
    assert told(watcher) == [("deleted", 1)]


def test_monitors_come_and_go(world, watcher):
    watch(watcher, wire.Monitor(1, ALL))
    assert watcher.refused(m.FlowMonitorRequest([wire.Monitor(1, ALL)])) == (
        "OFPMOFC_MONITOR_EXISTS"
    )
    if watcher.version < 5:
        cancel = [m.FlowMonitorCancel(1)]
    else:
        cancel = [m.FlowMonitorRequest([wire.Monitor(1, command=wire.MONITOR_DELETE)])]
        again = wire.Monitor(1, ALL, command=wire.MONITOR_MODIFY)
        assert watch(watcher, again) == []
    for each in cancel:
        watcher.send(each)
    watcher.barrier()
    assert watcher.refused(cancel[0]) == "OFPMOFC_UNKNOWN_MONITOR"
    world.client(4).do(flow("actions=drop"))
    assert told(watcher) == [] and world.bridge.tables.watched is None
    watch(watcher, wire.Monitor(2, ALL))
    watcher.close()
    world.until(lambda: world.bridge.tables.watched is None, "a monitor that goes with its peer")


def test_bounds(world, watcher, monkeypatch):
    monkeypatch.setattr(monitors, "MAX_MONITORS", 3)
    many = m.FlowMonitorRequest([wire.Monitor(number, ALL) for number in range(4)])
    assert watcher.refused(many) == "OFPBRC_EPERM"
    assert world.bridge.tables.watched is None


def test_who_does_not_read_is_paused(world, watcher, monkeypatch):
    """Then it hears of deletions of what it knows; of the rest when it has read."""
    monkeypatch.setattr(monitors, "PAUSE_BYTES", 1000)
    other = world.client(4)
    other.do(flow("cookie=1,in_port=1 actions=drop"), flow("cookie=2,in_port=2 actions=drop"))
    watch(watcher, wire.Monitor(1, ALL))
    (peer,) = world.bridge.monitors._watchers
    monkeypatch.setattr(peer, "_send", lambda data: -11)  # its socket is full
    other.do(*(flow(f"cookie=9,reg0={n} actions=drop") for n in range(60)))
    assert world.bridge.monitors._watchers[peer].changed is not None
    other.do(
        flow("cookie=3,in_port=3 actions=drop"),
        flow("in_port=1 actions=output:1", m.MODIFY),
        flow("in_port=2", m.DELETE),
        flow("cookie=4,tcp actions=drop"),
        flow("tcp", m.DELETE),
        flow("cookie=9/-1", m.DELETE),
    )
    monkeypatch.undo()
    world.until(lambda: world.bridge.monitors._watchers[peer].changed is None, "the end")
    found = told(watcher)
    at, end = found.index(("paused", 0)), found.index(("resumed", 0))
    assert set(found[:at]) == {("added", 9)}
    after = found[at + 1 : end]
    assert after[:1] == [("deleted", 2)] and after[-2:] in (
        [("added", 3), ("modified", 1)], [("modified", 1), ("added", 3)])  # fmt: skip
    assert found.count(("added", 9)) == after.count(("deleted", 9)) > 5
    assert ("added", 4) not in found and ("deleted", 4) not in found


def test_a_pause_keeps_each_flow_once(world, watcher, monkeypatch):
    """However often it is replaced; and nobody is told of flows that are gone."""
    monkeypatch.setattr(monitors, "PAUSE_BYTES", 100)
    other = world.client(4)
    other.do(flow("cookie=1,in_port=1 actions=drop"))
    watch(watcher, wire.Monitor(1, ALL))
    (peer,) = world.bridge.monitors._watchers
    monkeypatch.setattr(peer, "_send", lambda data: -11)  # its socket is full
    other.do(*(flow(f"cookie=9,reg0={n} actions=drop") for n in range(20)))
    before = len(world.bridge.monitors._watchers[peer].changed)
    for n in range(100, 150):
        other.do(flow(f"cookie={n},in_port=1 actions=output:{n}"))
    assert len(world.bridge.monitors._watchers[peer].changed) == before + 1
    monkeypatch.undo()
    world.until(lambda: world.bridge.monitors._watchers[peer].changed is None, "the end")
    assert [each for each in told(watcher) if each[1] >= 100] == [("modified", 149)]
    tables = world.bridge.tables
    rules = list(tables.rules())
    other.do(flow("reg0=5", m.DELETE), flow("cookie=3,reg0=6 actions=drop"))
    shown_first = list(monitors._initial(tables, [(wire.Monitor(1, ALL), rules)]))
    assert len(shown_first) == 20 and sum(each.cookie == 3 for each in shown_first) == 1


def test_all_flows_deleted_at_once(world, watcher, monkeypatch):
    """Told in slices, in order with what changes meanwhile; who asks meanwhile hears of what there
    is, and of nothing that went before."""
    watcher.do(*(flow(f"cookie={n},priority={n} actions=drop") for n in range(1, 8)))
    assert len(watch(watcher, wire.Monitor(1, ALL))) == 7
    monkeypatch.setattr(monitors, "STEP", 2)
    monkeypatch.setattr(table_work, "SLICE_SECONDS", -1)
    world.bridge.flush_flows()
    world.bridge.flow_mod(flow("cookie=99,priority=3 actions=drop"), 4, 0)
    late = world.client(watcher.version)
    late.send(m.FlowMonitorRequest([wire.Monitor(1, ALL)]))
    world.turn()
    assert world.bridge.table_work.busy
    monkeypatch.undo()
    world.until(lambda: not world.bridge.table_work.busy, "all told")
    now = [("added", 0), ("added", 99)]
    events = told(watcher)
    assert sorted(events[:7]) == [("deleted", n) for n in range(1, 8)] and events[7:] == now
    (reply,) = late.barrier()
    assert sorted(cookie for _, cookie in shown(reply.updates)) in ([0, 99], [99, reply.xid])
