"""What the journal has of refused messages and of long ones: a bridge that is started again has the
flows that there were.  And what long messages are but FLOW_MODs, slice by slice."""

import pytest

from ofproto import handlers
from ofproto.changes import long_mods, table_work
from ofproto.codec import messages as m
from ofproto.codec.actions import Output
from ofproto.codec.match_text import parse_match
from ofproto.rules.classifier import Rule
from ofproto.rules.compile import compile_actions
from ofproto.tables import journal
from ofproto.tables.flow_log import FlowLog
from ofproto.tables.flow_table import FlowTables
from ofproto.tables.table_config import TableSettings
from ofproto.xlate.bridges.xbridge import XBridge
from tests.ofproto.bridge_world import dump, flow, frame
from tests.ofproto.changes.test_bundles import OPEN, add, control, names
from tests.ofproto.test_containment import contained

COMMIT = 4
OF10, OF13 = 1, 4
TEACHER = (
    "in_port={port} actions=learn(table=1,{more}NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],"
    "output:NXM_OF_IN_PORT[]),output:3"
)
N_TAUGHT = 20


def teach(world, port, numbers):
    """Packets that learn actions see; those that were taught before come by another port."""
    for number in numbers:
        world.send(port, frame(src=number))
    world.expect({3: [frame(src=number) for number in numbers]})


def comes_back(world):
    """Whether the journal has the flows, groups and meters that there are, and no others."""
    path = world.process.directory / "copy.flows"
    path.write_bytes((world.process.directory / "br0.flows").read_bytes())
    again = FlowTables(XBridge("br0"))
    log = FlowLog(str(path), again)
    log.restore(0)
    log.close()
    tables = world.bridge.tables
    assert contents(again) == contents(tables)
    assert again.xbridge.groups.keys() == tables.xbridge.groups.keys()
    assert again.meters.by_id.keys() == tables.meters.by_id.keys()
    return True


def contents(tables):
    return sorted(
        (rule.table_id, rule.priority, str(rule.match), rule.cookie, rule.flags, str(rule.actions))
        for rule in tables.rules()
    )


def test_what_a_full_table_refused_does_not_come_back(world):
    client, old = world.client(), world.client(OF10)
    client.do(flow("", m.DELETE))
    world.bridge.set_tables({0: TableSettings(limit=3), 1: TableSettings(limit=2)})
    client.do(*(flow(TEACHER.format(port=port, more="")) for port in (1, 2)))
    client.do(flow("priority=1 actions=drop"))
    assert client.refused(flow("priority=2 actions=drop")) == "OFPFMFC_TABLE_FULL"
    assert old.refused(flow("dl_type=0x9999 actions=drop", m.MODIFY)) == "OFPFMFC_TABLE_FULL"
    client.send(control(OPEN))
    add(client, flow("priority=4 actions=drop"))
    client.send(control(COMMIT))
    assert "OFPBFC_MSG_FAILED" in names(client)
    teach(world, 1, range(5))  # two of them have room
    expected = dump(client)
    assert len(expected) == 5
    client.send(flow("priority=1 actions=output:1", buffer_id=7))
    assert [each.name for each in client.barrier()] == ["OFPBRC_BUFFER_UNKNOWN"]
    assert dump(client) == expected
    assert comes_back(world)


def test_what_was_evicted_does_not_come_back(world):
    client = world.client()
    client.do(flow("", m.DELETE))
    world.bridge.set_tables({0: TableSettings(limit=2, evict=True)})
    client.do(*(flow(f"priority={n},hard_timeout=99 actions=drop") for n in range(5)))
    assert len(dump(client)) == 2 and comes_back(world)


def test_what_is_taught_in_a_full_table_evicts(world):
    client = world.client()
    client.do(flow("", m.DELETE))
    world.bridge.set_tables({1: TableSettings(limit=2, evict=True)})
    client.do(flow(TEACHER.format(port=1, more="hard_timeout=600,")))
    teach(world, 1, range(5))
    expected = dump(client)
    assert len(expected) == 3 and any("00:04" in each for each in expected)
    assert comes_back(world)


# --- many flows

# All that was taught, flow by flow; "table=1" alone means the whole table.
TAUGHT = "table=1,dl_dst=00:00:00:00:00:00/01:00:00:00:00:00"


@pytest.fixture
def many(world, monkeypatch):
    """A client of a bridge with N_TAUGHT flows in table 1, which are many."""
    client = world.client()
    client.do(flow("", m.DELETE))
    client.do(*(flow(TEACHER.format(port=port, more="")) for port in (1, 2)))
    teach(world, 1, range(N_TAUGHT))
    assert len(dump(client, "table=1")) == N_TAUGHT
    monkeypatch.setattr(long_mods, "MANY", 5)
    monkeypatch.setattr(long_mods, "STEP", 1)
    return client


def begun(world, client, monkeypatch, message):
    """Send it; does its next steps when it is called, and the rest at the end."""
    monkeypatch.setattr(table_work, "SLICE_SECONDS", -1)
    client.send(message)
    work = world.bridge.table_work
    world.until(lambda: work.busy, "work")

    def step(count):
        for _ in range(count):
            next(work._queue[0].steps)

    return step


@pytest.mark.parametrize("command", [m.DELETE, m.MODIFY])
def test_lessons_during_a_long_message(world, many, monkeypatch, command):
    """Taught anew before the message reaches them, they are what it says; afterwards, what the
    packet says; and the same after a restart."""
    other = world.client()
    text = TAUGHT + (" actions=drop" if command == m.MODIFY else "")
    step = begun(world, many, monkeypatch, flow(text, command))
    teach(world, 2, range(5))  # before its first step
    step(2 * N_TAUGHT // 3 + (N_TAUGHT if command == m.MODIFY else 0))
    teach(world, 2, range(5, 15))
    teach(world, 1, range(100, 110))
    other.send(flow("table=2 actions=drop"))
    world.turn()
    assert len(world.bridge.xbridge.table(2)) == 0  # waits
    monkeypatch.undo()
    assert not [each for each in many.barrier() if isinstance(each, m.Error)]
    other.barrier()
    expected = dump(many)
    taught_anew = sum("actions=output:2" in each for each in expected)
    reached_later = (
        sum("drop" in each for each in expected)
        if command == m.MODIFY
        else (N_TAUGHT + 10 - sum("table=1" in each for each in expected))
    )
    assert 0 < taught_anew < 15 and reached_later >= 5
    assert comes_back(world)
    assert not world.bridge.long_mods._taught


def drop_group(client):
    client.do(m.GroupMod(m.GROUP_ADD, m.GROUP_ALL, 9, [m.Bucket(actions=[Output(2)])]))
    return "group:9", m.GroupMod(m.GROUP_DELETE, group_id=9)


def drop_meter(client):
    bands = [m.Band(m.BAND_DROP, 9)]
    client.do(m.MeterMod(m.METER_ADD, 1, 9, bands))
    return "meter:9,output:2", m.MeterMod(m.METER_DELETE, meter_id=9)


@pytest.mark.parametrize("made", [drop_group, drop_meter])
def test_a_group_or_meter_that_many_flows_have(world, many, monkeypatch, made):
    """They go in slices; who asked for it gets its next answer afterwards, and others may not
    change the tables meanwhile."""
    other = world.client()
    actions, message = made(many)
    adds = [
        flow(f"table=3,reg0={number} actions={actions}", flags=m.SEND_FLOW_REM)
        for number in range(30)
    ]
    many.do(*adds)
    step = begun(world, many, monkeypatch, message)
    step(10)
    assert len(world.bridge.xbridge.table(3)) == 20
    other.send(flow("table=3 actions=drop"))
    for _ in range(3):
        world.turn()
    assert len(world.bridge.xbridge.table(3)) == 20
    monkeypatch.undo()
    many.barrier()
    other.barrier()
    assert dump(many, "table=3") == ["table=3, actions=drop"]
    assert comes_back(world)
    assert not world.bridge.groups.groups and not len(world.bridge.tables.meters)


def test_many_flows_go_with_their_teacher(world, many, monkeypatch):
    many.do(flow("table=1", m.DELETE))
    many.do(flow(TEACHER.format(port=1, more="cookie=7,delete_learned,")))
    teach(world, 1, range(200, 200 + N_TAUGHT))
    step = begun(world, many, monkeypatch, flow("in_port=1", m.DELETE_STRICT))
    step(5)
    teach(world, 2, range(210, 213))  # by another, who gives them another cookie
    monkeypatch.undo()
    many.barrier()
    world.until(lambda: not world.bridge.table_work.busy, "the end")
    expected = dump(many)
    assert comes_back(world)
    assert 3 <= len(expected) <= 4


def test_a_barrier_waits_for_what_a_planned_message_began(world, many, monkeypatch):
    """The second DELETE_STRICT of a shape goes by a plan; what its teacher taught is many."""
    text = TEACHER.format(port=1, more="cookie=7,delete_learned,")
    many.do(flow("table=1", m.DELETE), flow(text))
    many.do(*(flow(f"in_port={port}", m.DELETE_STRICT) for port in (2, 3, 4)))
    teach(world, 1, range(200, 200 + N_TAUGHT))
    assert len(dump(many, "table=1")) == N_TAUGHT
    planned = []
    plan = handlers._planned
    monkeypatch.setattr(handlers, "_planned", lambda *a: planned.append(plan(*a)) or planned[-1])
    begun(world, many, monkeypatch, flow("in_port=1", m.DELETE_STRICT))
    assert planned == [True]
    assert [peer.connection._held for peer in world.bridge.connmgr.peers()] == [1]
    monkeypatch.undo()
    many.barrier()
    assert not list(world.bridge.tables.rules()) and comes_back(world)


def test_a_long_modify_adds_nothing_after_all_went(world, many, monkeypatch):
    old = world.client(OF10)
    begun(world, old, monkeypatch, flow("dl_dst=00:00:00:00:99:99 actions=drop", m.MODIFY))
    world.bridge.flush_flows()
    monkeypatch.undo()
    old.barrier()
    assert dump(many) == ["priority=0 actions=NORMAL"] and comes_back(world)


def test_hidden_rules_of_a_snapshot_stay_hidden(world, many):
    tables = world.bridge.tables
    hidden = Rule(parse_match(""), 1 << 20, program=compile_actions((), ()))
    tables.insert(hidden)
    pieces = tables.select_in_pieces(parse_match(""), None)
    tables.remove(hidden, None)
    assert hidden not in [rule for some in pieces for rule in some]


def test_a_fault_in_the_middle(world, many, monkeypatch):
    contained(world)
    other, victim = world.client(), world.client()
    begun(world, victim, monkeypatch, flow(TAUGHT, m.DELETE))
    monkeypatch.setattr(long_mods, "remove_plain", lambda *_: 1 / 0)
    other.send(flow("table=2 actions=drop"))
    monkeypatch.setattr(table_work, "SLICE_SECONDS", 1)
    victim.closed()
    other.barrier()
    assert "ZeroDivisionError" in "".join(contained(world))
    assert not world.bridge.log._held and dump(other, "table=2")


def test_the_journal_is_not_shortened_in_the_middle(world, many, monkeypatch):
    """What the shorter one began with would be there, and the message that deletes it not."""
    log = world.bridge.log
    step = begun(world, many, monkeypatch, flow(TAUGHT, m.DELETE))
    step(5)
    for name in ("COMPACT_SIZE", "COMPACT_GROWTH"):
        monkeypatch.setattr(journal, name, 0)
    size = log._journal.size
    for _ in range(3):
        world.turn()
    assert not log._journal.rewriting and log._journal.size == size
    monkeypatch.setattr(table_work, "SLICE_SECONDS", 1)
    many.barrier()
    world.until(lambda: log._journal.size < size, "a shorter journal")
    assert len(dump(many)) == 2 and comes_back(world)


@pytest.mark.parametrize("text", ["", "table=1", TAUGHT])
def test_removals_are_told_to_whom_they_concern(world, many, text):
    """Flows that go at once and those that go one by one, whoever asked for a message."""
    many.do(m.SetConfig(0, 128))  # a service that hears of flows
    drop_group(many)
    text_of = "table=1,priority=7,dl_dst=00:00:00:00:07:0{} actions=group:9"
    many.do(*(flow(text_of.format(n), flags=n % 2 * m.SEND_FLOW_REM) for n in range(6)))
    many.do(flow("table=2 actions=drop"))
    assert len(world.bridge.tables.users_of(9)) == 6
    many.send(flow(text, m.DELETE))
    told = [each for each in many.barrier() if isinstance(each, m.FlowRemoved)]
    assert len(told) == 3 and {each.reason for each in told} == {m.OFPRR_DELETE}
    assert len(dump(many)) == (3 if text else 0)
    assert not world.bridge.tables.users_of(9) and comes_back(world)


def test_whole_tables_go_at_once(world, many):
    begun_before = long_mods.SLICED.count
    many.do(flow("table=2,hard_timeout=600 actions=drop"))
    many.do(flow("table=1", m.DELETE))
    assert len(dump(many)) == 3 and comes_back(world)
    many.do(*(flow(f"table=3,in_port={n} actions=drop") for n in range(1, 9)))
    many.do(flow("", m.DELETE))
    assert not dump(many) and comes_back(world)
    assert long_mods.SLICED.count == begun_before
    world.until(lambda: not world.bridge.backer.disposal._heaps, "nothing left")
    many.do(flow("table=1 actions=drop"))
    assert len(dump(many)) == 1 and comes_back(world)


def test_a_long_modify_of_teachers(world, many, monkeypatch):
    """What they taught goes with the last of them."""
    text = TEACHER.format(port=1, more="cookie=7,delete_learned,")
    many.do(flow("", m.DELETE))
    many.do(*(flow(f"priority={number},{text}") for number in range(10)))
    teach(world, 1, range(300, 303))
    assert len(dump(many)) == 13
    many.do(flow("in_port=1 actions=output:2", m.MODIFY))
    assert len(dump(many)) == 10 and comes_back(world)


def test_a_long_modify_adds_nothing_to_a_full_table(world, many):
    """It looks at many flows, and means none: 1.0 has it add one."""
    world.bridge.set_tables({0: TableSettings(limit=2)})
    old, absent = world.client(OF10), "dl_dst=00:00:00:00:99:99"
    begun_before = long_mods.SLICED.count
    assert old.refused(flow(f"{absent} actions=drop", m.MODIFY)) == "OFPFMFC_TABLE_FULL"
    assert long_mods.SLICED.count == begun_before + 1 and comes_back(world)
    world.bridge.set_tables({0: TableSettings(limit=3)})
    old.do(flow(f"{absent} actions=drop", m.MODIFY))
    assert len(dump(many, absent)) == 1 and comes_back(world)


def test_all_flows_deleted_at_once(world, many):
    """By the switch itself, in the middle of a long message; what they were is freed by and by."""
    many.do(flow("table=2 actions=drop"))
    drop_group(many)
    world.bridge.flush_flows()
    assert dump(many) == ["priority=0 actions=NORMAL"] and comes_back(world)
    assert not world.bridge.groups.groups and not world.bridge.tables.users_of(9)
    world.until(lambda: not world.bridge.backer.disposal._heaps, "nothing left")
    many.do(flow("table=2 actions=output:2"))
    assert len(dump(many)) == 2 and comes_back(world)


def test_an_add_that_is_compared_with_many(world, many, monkeypatch):
    """A match wider than those that there are; what is taught meanwhile is compared, too."""
    monkeypatch.setattr(long_mods, "MANY_COMPARED", 5)
    wide = "table=1,dl_dst=00:00:00:00:00:00/00:00:00:00:f0:00"
    free = "table=1,dl_dst=00:00:00:00:10:00/00:00:00:00:f0:00"
    begun_before = long_mods.SLICED.count
    assert many.refused(flow(f"{wide} actions=drop", flags=m.CHECK_OVERLAP)) == "OFPFMFC_OVERLAP"
    assert len(dump(many, "table=1")) == N_TAUGHT and comes_back(world)
    many.do(flow(f"{free} actions=drop", flags=m.CHECK_OVERLAP))
    many.do(flow(f"{free} actions=output:1", flags=m.CHECK_OVERLAP))  # the same flow again
    assert len(dump(many, "table=1")) == N_TAUGHT + 1 and comes_back(world)
    assert long_mods.SLICED.count == begun_before + 2
    many.do(flow(f"{free}", m.DELETE))
    begun(world, many, monkeypatch, flow(f"{free} actions=drop", flags=m.CHECK_OVERLAP))
    teach(world, 1, [0x1000])
    monkeypatch.undo()
    errors = [each for each in many.barrier() if isinstance(each, m.Error)]
    assert [error.name for error in errors] == ["OFPFMFC_OVERLAP"]
    assert len(dump(many, "table=1")) == N_TAUGHT + 1 and comes_back(world)


def test_a_flow_that_was_taught_outlives_a_refusal(world, many, monkeypatch):
    """A packet teaches the very flow that an ADD would have been."""
    monkeypatch.setattr(long_mods, "MANY_COMPARED", 1)
    many.do(flow("table=1,dl_dst=02:00:00:00:00:00/ff:ff:ff:ff:00:00 actions=drop"))
    match = "table=1,dl_dst=02:00:00:00:07:07"
    begun(world, many, monkeypatch, flow(f"{match} actions=drop", flags=m.CHECK_OVERLAP))
    teach(world, 1, [0x707])
    monkeypatch.undo()
    errors = [each for each in many.barrier() if isinstance(each, m.Error)]
    assert [error.name for error in errors] == ["OFPFMFC_OVERLAP"]
    assert len(dump(many, match)) == 1 and comes_back(world)
