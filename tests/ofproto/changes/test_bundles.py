"""Bundles against a bridge on a real datapath, by raw messages of 1.3's extension; what a real
Open vSwitch answers is in the tables."""

import gc
import random
import struct

import pytest

from ofproto.changes import bundles, long_mods, table_work
from ofproto.codec import messages as m
from ofproto.codec.messages import bundle as wire
from ofproto.codec.numbers import OFPP_NONE, OFPPC_NO_FWD
from ofproto.text import group_text
from pyvs import clock
from tests.ofproto.bridge_world import dump, flow, frame

OF13, OF14 = 4, 5
OPEN, CLOSE, COMMIT, DISCARD = 0, 2, 4, 6
BOTH = wire.BUNDLE_ATOMIC | wire.BUNDLE_ORDERED


@pytest.fixture(params=[OF13, OF14], ids=["1.3", "1.4"])
def client(world, request):
    world.bridge.set_protocols({OF13, OF14})
    found = world.client(request.param)
    found.do(m.FlowMod(m.DELETE))
    return found


def control(kind, flags=BOTH, number=1):
    return m.BundleControl(number, kind, flags)


def add(client, message, flags=BOTH, number=1, xid=7):
    """BUNDLE_ADD as bytes, whose xid stays."""
    client.write(m.BundleAdd(number, flags, message.encode(client.version, xid))
                 .encode(client.version, xid))  # fmt: skip


def names(client):
    """The names of the errors that have come."""
    return [each.name for each in client.barrier() if isinstance(each, m.Error)]


def commit(client, *messages):
    """Open, add, commit; the errors that came of it."""
    client.send(control(OPEN))
    for message in messages:
        add(client, message)
    client.send(control(COMMIT))
    return names(client)


# What is sent, and the errors that Open vSwitch 3.1 answers; "f" adds a flow.
CONVERSATIONS = [
    ([control(OPEN), control(COMMIT)], []),
    ([control(OPEN), control(OPEN), control(COMMIT)], ["OFPBFC_BAD_ID", "OFPBFC_BAD_ID"]),
    ([control(CLOSE)], ["OFPBFC_BAD_ID"]),
    ([control(OPEN), control(CLOSE), control(COMMIT)], []),
    ([control(OPEN), control(CLOSE), control(CLOSE), control(COMMIT)],
     ["OFPBFC_BUNDLE_CLOSED", "OFPBFC_BAD_ID"]),
    ([control(OPEN), control(CLOSE, 1), control(COMMIT)], ["OFPBFC_BAD_FLAGS", "OFPBFC_BAD_ID"]),
    ([control(OPEN), control(COMMIT, 1), control(COMMIT)], ["OFPBFC_BAD_FLAGS", "OFPBFC_BAD_ID"]),
    ([control(OPEN, 0), control(COMMIT, 0)], []),
    ([control(DISCARD)], ["OFPBFC_BAD_ID"]),
    ([control(OPEN), "f", control(DISCARD), control(COMMIT)], ["OFPBFC_BAD_ID"]),
    (["f", control(COMMIT)], []),
    ([control(OPEN), control(CLOSE), "f", control(COMMIT)],
     ["OFPBFC_BUNDLE_CLOSED", "OFPBFC_BAD_ID"]),
    ([control(OPEN, 1), "f", control(COMMIT, 1)], ["OFPBFC_BAD_FLAGS", "OFPBFC_BAD_ID"]),
    ([control(1)], ["OFPBFC_BAD_TYPE"]),
]  # fmt: skip


def test_conversations(client):
    for messages, errors in CONVERSATIONS:
        for each in messages:
            if each == "f":
                add(client, flow("priority=1 actions=drop"))
            else:
                client.send(each)
        assert names(client) == errors, messages
    assert dump(client) == ["priority=1 actions=drop"]


def raw_add(inner, xid=7):
    return m.BundleAdd(1, BOTH, inner).encode(OF13, xid)


def test_what_may_not_be_in_a_bundle(world):
    client = world.client(OF13)
    client.do(m.FlowMod(m.DELETE))
    mod = flow("priority=1 actions=drop").encode(OF13, 7)
    for raw, error in (
        (raw_add(mod, xid=8), "OFPBFC_MSG_BAD_XID"),
        (raw_add(m.BarrierRequest().encode(OF13, 7)), "OFPBFC_MSG_UNSUP"),
        (raw_add(m.MeterMod(0, 1, 1, [m.Band(1, 9, 9, 0)]).encode(OF13, 7)), "OFPBFC_MSG_UNSUP"),
        (raw_add(mod)[:24] + b"\1" + raw_add(mod)[25:], "NXBRC_UNENCODABLE_ERROR"),
        (raw_add(mod)[:26] + b"\xff\xff" + raw_add(mod)[28:], "OFPBFC_MSG_BAD_LEN"),
        (raw_add(mod[:25] + b"\x09" + mod[26:]), "OFPFMFC_BAD_COMMAND"),
        (raw_add(mod[:32] + bytes(4) + mod[36:]), "OFPBRC_BUFFER_UNKNOWN"),
    ):
        client.send(control(OPEN))
        client.write(raw)
        client.send(control(COMMIT))
        assert names(client) == [error]
    assert dump(client) == []


def test_a_failure_leaves_nothing(world, client):
    client.do(flow("priority=5,in_port=1 actions=output:2"))
    client.do(group_text.parse_group("group_id=9,type=all,bucket=output:3", m.GROUP_ADD))
    (rule,) = world.bridge.tables.rules()
    rule.n_packets = 77
    port = world.bridge.ports[2]
    before = port.config
    assert commit(
        client,
        flow("priority=6 actions=output:3"),
        flow("actions=output:1", m.MODIFY),
        m.PortMod(2, port.hw_addr, OFPPC_NO_FWD, OFPPC_NO_FWD),
        group_text.parse_group("group_id=9", m.GROUP_DELETE),
        m.PacketOut(frame(1), 1, flow("actions=output:3").instructions[0].actions),
        flow("actions=group:9"),
    ) == ["OFPBAC_BAD_OUT_GROUP", "OFPBFC_MSG_FAILED"]
    assert dump(client) == ["priority=5,in_port=1 actions=output:2"]
    assert list(world.bridge.tables.rules()) == [rule] and rule.n_packets == 77
    assert 9 in world.bridge.xbridge.groups and port.config == before
    world.send(1, frame(1))
    world.expect({2: [frame(1)]})
    assert commit(client, m.PortMod(77, bytes(6), 0, 0)) == [
        "OFPPMFC_BAD_PORT", "OFPBFC_MSG_FAILED"]  # fmt: skip


def test_flows_groups_ports_and_packets_together(world, client):
    port = world.bridge.ports[2]
    client.do(flow("priority=5,in_port=1 actions=drop"), flow("in_port=3 actions=drop"))
    assert not commit(
        client,
        group_text.parse_group("group_id=9,type=all,bucket=output:3", m.GROUP_ADD),
        flow("in_port=1 actions=group:9", m.MODIFY),
        flow("in_port=3", m.DELETE),
        m.PortMod(2, port.hw_addr, OFPPC_NO_FWD, OFPPC_NO_FWD),
        m.PacketOut(frame(9), 1, flow("actions=table").instructions[0].actions),
    )
    assert dump(client) == ["priority=5,in_port=1 actions=group:9"]
    assert port.config & OFPPC_NO_FWD
    world.expect({3: [frame(9)]})  # by the tables as they are now
    world.send(1, frame(1))
    world.expect({3: [frame(1)]})


def test_others_wait_and_packets_do_not(world, client, monkeypatch):
    """A commit in slices: a packet meets the old tables until it meets the new ones."""
    monkeypatch.setattr(table_work, "SLICE_SECONDS", 0.001)
    other = world.client(OF13)
    client.do(flow("priority=1,in_port=1 actions=output:2"))
    client.send(control(OPEN))
    for number in range(3000):
        add(client, flow(f"priority=9,in_port=1,dl_type=0x88b5,reg0={number} actions=drop"))
    add(client, flow("priority=1,in_port=1 actions=output:3"))
    client.send(control(COMMIT))
    world.until(lambda: world.bridge.table_work.busy, "a commit under way")
    other.send(flow("priority=1,in_port=1 actions=drop"))
    for _ in range(3):
        world.turn()
        assert len(world.bridge.tables) == 1
    assert dump(other) == ["priority=1,in_port=1 actions=drop"] or not other.barrier()
    assert not names(client)
    assert len(world.bridge.tables) == 3001
    assert dump(client, "reg0=0/0,table=0")[0]
    assert dump(client, "in_port=1,reg0=5")[0].startswith("priority=9")


def test_bounds(world, client, monkeypatch):
    monkeypatch.setattr(bundles, "MAX_BUNDLES", 3)
    for number in range(4):
        client.send(control(OPEN, number=number))
    assert names(client) == ["OFPBFC_OUT_OF_BUNDLES"]
    monkeypatch.setattr(bundles, "MAX_TOTAL", 2000)
    for _ in range(30):
        add(client, flow("actions=drop"), number=1)
    assert "OFPBFC_MSG_TOO_MANY" in names(client)
    client.send(control(DISCARD, number=1))
    names(client)
    assert world.bridge.bundles.size <= 2000
    client.close()
    world.until(lambda: not world.bridge.bundles._of, "bundles that go with their connection")
    assert world.bridge.bundles.size == 0


def test_idle_bundles_are_discarded(world, client):
    client.send(control(OPEN))
    client.barrier()
    world.bridge.set_bundle_timeout(0)
    error = client.wait_for(m.Error)
    assert error.name == "OFPBFC_TIMEOUT"
    client.send(control(COMMIT))
    assert names(client) == ["OFPBFC_BAD_ID"]


class NiciraMod:
    """NXT_FLOW_MOD that adds a flow which drops all, with a priority of 6."""

    def encode(self, version, xid):
        body = struct.pack(
            "!IIQHHHHIHHH6x", 0x2320, 13, 9, m.ADD, 0, 0, 6, 0xFFFFFFFF, OFPP_NONE, 0, 0
        )
        return struct.pack("!BBHI", version, 4, 8 + len(body), xid) + body


def test_niciras_flow_mods_are_in_the_journal_as_what_they_are(world, client):
    assert not commit(client, NiciraMod())
    expected = dump(client)
    assert any("cookie=0x9, priority=6" in each for each in expected)
    world.stop()
    world.start()
    assert dump(world.client(client.version)) == expected


def test_the_journal_has_all_of_it_or_none(world, client):
    client.do(flow("priority=1 actions=drop"))
    many = [flow(f"priority=2,reg0={number} actions=drop") for number in range(50)]
    assert not commit(client, *many, flow("priority=1", m.DELETE_STRICT))
    expected = dump(client)
    assert len(expected) == 50
    path = world.process.directory / "br0.flows"
    log = world.bridge.log
    log.bundled(b"8 bytes!", [flow("priority=3 actions=drop").encode(OF13, 1)], 5)
    world.stop()
    world.start()
    assert dump(world.client(OF13)) == expected
    world.stop()
    data = path.read_bytes()
    end = data.rindex(b"E", 0, len(data))  # the record that ends the bundle
    path.write_bytes(data[: end - 16])
    world.start()
    assert dump(world.client(OF13)) == ["priority=1 actions=drop"]


@pytest.mark.parametrize("is_much", [False, True], ids=["at-once", "in-steps"])
def test_random_bundles_are_the_same_messages_one_by_one(world, client, monkeypatch, is_much):
    """Over the wire, with failures; the twin has the messages alone, each of them in one step."""
    rng = random.Random(7)
    texts = ["in_port=1", "in_port=2", "", "dl_vlan=3"]
    groups = set()
    for _ in range(25):
        messages = [_random_mod(rng, texts) for _ in range(rng.randrange(1, 7))]
        before = dump(client)
        with monkeypatch.context() as patch:
            for name in ("MANY", "MANY_COMPARED") if is_much else ():
                patch.setattr(long_mods, name, 1)
            patch.setattr(long_mods, "STEP", 1)
            errors = commit(client, *messages)
        after, groups_after = dump(client), _groups(client)
        if errors:
            assert after == before and groups_after == groups
        client.do(m.FlowMod(m.DELETE), m.GroupMod(m.GROUP_DELETE, group_id=m.OFPG_ALL))
        _restore(client, before)
        for message in messages:
            client.send(message)
        alone = names(client)
        assert bool(alone) == bool(errors)
        if errors:
            assert errors[0] == alone[0]
            client.do(m.FlowMod(m.DELETE))
            _restore(client, before)
        else:
            assert dump(client) == after
            groups = _groups(client)


def _random_mod(rng, texts):
    command = rng.choice([m.ADD, m.ADD, m.MODIFY, m.DELETE, m.DELETE_STRICT])
    if command == m.ADD and rng.random() < 0.1:
        return flow("priority=1 actions=group:77")
    actions = f" actions=output:{rng.randrange(1, 4)}" if command < m.DELETE else ""
    priority = rng.randrange(1, 3)
    overlap = m.CHECK_OVERLAP if command == m.ADD and rng.random() < 0.3 else 0
    return flow(rng.choice(texts) + actions, command, priority=priority, flags=overlap)


def test_a_message_of_much_work_is_many_steps(world, client, monkeypatch):
    """None of them changes more than a few flows, or compares with more."""
    for name, value in (("MANY", 5), ("STEP", 2), ("MANY_COMPARED", 5)):
        monkeypatch.setattr(long_mods, name, value)
    client.do(*(flow(f"priority=1,reg0={n} actions=drop") for n in range(30)))
    with monkeypatch.context() as patch:
        patch.setattr(table_work, "SLICE_SECONDS", -1)
        client.send(control(OPEN))
        add(client, flow("actions=output:1", m.MODIFY))
        add(client, flow("priority=1,tcp actions=drop", flags=m.CHECK_OVERLAP, table_id=1))
        add(client, flow("priority=2,tcp actions=drop", flags=m.CHECK_OVERLAP))
        add(client, flow("reg0=0/1", m.DELETE))
        client.send(control(COMMIT))
        world.until(lambda: world.bridge.table_work.busy, "a commit under way")
        steps, tables = world.bridge.table_work._queue[0].steps, world.bridge.tables
        most = n_steps = 0
        while not tables.pending or not tables.pending.is_switched:
            before = len(tables.pending.changes) if tables.pending else 0
            next(steps)
            n_steps += 1
            most = max(most, len(tables.pending.changes) - before)
        assert most == 2 and n_steps > (30 + 15) / 2
    assert not names(client)
    assert len(dump(client)) == 17 and not world.bridge.long_mods._taught


def _groups(client):
    return {each.group_id for each in client.ask(m.GroupDescRequest(m.OFPG_ALL)).groups}


def _restore(client, lines):
    client.do(*(flow(line) for line in lines))


def test_only_the_master_may(world):
    slave = world.controller(OF13)
    slave.ask(m.RoleRequest("slave", 1))
    assert slave.refused(control(OPEN)) == "OFPBRC_IS_SECONDARY"


def test_a_bridge_that_goes_in_the_middle(world, client):
    """It is undone, unless it was seen already; the collector of garbage, which rests meanwhile,
    works again.
    """
    client.do(flow("priority=1 actions=drop"))
    client.send(control(OPEN))
    for number in range(3000):
        add(client, flow(f"reg0={number} actions=drop"))
    client.send(control(COMMIT))
    tables, left = world.bridge.tables, []
    world.until(lambda: tables.pending is not None, "a commit under way")
    assert not gc.isenabled()
    expected = 3001 if tables.pending.is_switched else 1
    clear = tables.clear
    tables.clear = lambda now: (left.append(len(tables)), clear(now))
    world.stop(delete=True)
    assert gc.isenabled() and tables.pending is None and left == [expected] and not len(tables)
    world.start()


def test_what_opens_bundles_is_counted(world, client, monkeypatch):
    monkeypatch.setattr(bundles, "MAX_TOTAL", 10 * bundles.OVERHEAD)
    for number in range(20):
        client.send(control(OPEN, number=number))
    refused = names(client)
    assert 10 < len(refused) < 20 and set(refused) == {"OFPBFC_OUT_OF_BUNDLES"}
    for number in range(20):
        client.send(control(DISCARD, number=number))
    names(client)
    assert world.bridge.bundles.size == 0


def test_bundles_of_who_waits_for_the_tables_are_kept(world, client):
    """Its next message may be there already, unread."""
    other = world.client(OF13)
    client.send(control(OPEN))
    add(client, flow("actions=drop"))
    client.barrier()
    steps = iter(range(1000))
    world.bridge.set_bundle_timeout(0)
    world.bridge.table_work.start("bundle commit", (next(steps) and None for _ in steps))
    world.bridge.bundles.run(clock.msec() + 60_000)
    assert world.bridge.bundles._of
    world.bridge.set_bundle_timeout(60)
    assert not names(other) and not names(client)
