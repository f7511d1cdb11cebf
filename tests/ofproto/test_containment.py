"""A fault in one place ends what was being served, and nothing else: an exception is injected
into each handler, each part of a bridge's round, each connection's pump, and long replies."""

import pytest

from ofproto import async_messages, handlers
from ofproto.codec import messages as m
from ofproto.codec.actions import Output
from ofproto.codec.numbers import OF13
from ofproto.peers.connmgr import ALL_VERSIONS, ASYNCHRONOUS, spoken
from pyvs import clock
from tests.of_client import Closed
from tests.ofproto.bridge_world import World, dump, flow, frame
from tests.ofproto.codec_samples import SAMPLES


class Injected(Exception):
    pass


def fail(*_args, **_more):
    raise Injected


@pytest.fixture
def world():
    made = World()
    yield made
    made.bugs.clear()
    made.close()


def contained(world):
    """The faults since the last call; World counts them as bugs where nobody asks."""
    world.turn = lambda: _turn(world)
    found, world.bugs[:] = list(world.bugs), []
    return found


def _turn(world):
    now = clock.msec()
    world.backer.run(now)
    world.bridge.run(now)


def sample(kind):
    """(version, bytes) of a message of this class."""
    for message, versions, form in SAMPLES:
        if type(message) is kind:
            version = max(set(versions))
            return version, message.encode(version, 1, **form)
    raise AssertionError(f"no sample of {kind.__name__}")


@pytest.mark.parametrize("kind", sorted(handlers.HANDLERS, key=lambda each: each.__name__))
def test_a_fault_in_a_handler_ends_that_connection(world, monkeypatch, kind):
    contained(world)
    other = world.client()
    monkeypatch.setitem(handlers.HANDLERS, kind, fail)
    version, raw = sample(kind)
    if kind is m.BarrierRequest:  # most never come to its handler
        monkeypatch.setitem(handlers._PLANNED, raw[1], fail)
    victim = world.client(version)
    victim.write(raw)
    with pytest.raises(Closed):
        while True:
            victim.read()
    assert "Injected" in "".join(contained(world))
    monkeypatch.undo()
    other.barrier()


@pytest.mark.parametrize("part", ["connections", "flow expiry", "fail mode", "journal"])
def test_a_fault_in_a_part_of_a_bridges_round(world, part):
    contained(world)
    client = world.client()
    parts = world.bridge._parts
    broken = tuple((name, fail if name == part else run) for name, run in parts)
    world.bridge._parts = broken
    world.turn()
    assert "Injected" in "".join(contained(world))
    if part != "connections":
        client.barrier()
    world.bridge._parts = parts
    client.barrier()


@pytest.mark.parametrize("method", ["run", "write", "note_handshake"])
def test_a_fault_in_a_connections_pump(world, method):
    contained(world)
    other, victim = world.client(), world.client()
    peer = world.bridge.connmgr.peers()[-1]
    setattr(peer, method, fail)
    victim.write(m.BarrierRequest().encode(OF13))
    with pytest.raises(Closed):
        while True:
            victim.read()
    assert "Injected" in "".join(contained(world))
    other.barrier()


def test_a_fault_in_next_message_and_in_a_long_reply(world):
    contained(world)
    for method in ("next_message", "advance"):
        other, victim = world.client(), world.client()
        connection = world.bridge.connmgr.peers()[-1].connection
        if method == "next_message":
            connection.snoop = fail  # which it calls
        else:
            connection.send_long(iter(fail, None))
        victim.write(m.BarrierRequest().encode(OF13))
        with pytest.raises(Closed):
            while True:
                victim.read()
        assert "Injected" in "".join(contained(world)), method
        other.barrier()


def test_a_fault_in_a_target(world, monkeypatch):
    """It listens anew, and those connected stay."""
    contained(world)
    client = world.client()
    (service,) = world.bridge.connmgr.management
    monkeypatch.setattr(service._listener, "accept", fail)
    world.turn()
    assert "Injected" in "".join(contained(world))
    client.barrier()
    world.until(lambda: service._listener is not None, "a listener")
    world.client().barrier()


# --- what the switch sends unasked


def test_every_version_that_may_be_allowed_has_all_asynchronous_messages():
    assert spoken() >= {1, OF13}
    for version in spoken():
        for kind in ASYNCHRONOUS:
            assert (version, "") in kind.FORMS, (version, kind)
    for version in ALL_VERSIONS - spoken():
        assert any((version, "") not in kind.FORMS for kind in ASYNCHRONOUS)


@pytest.mark.parametrize("version", sorted(ALL_VERSIONS))
def test_a_link_flaps_before_a_controller_of_any_version(world, version):
    world.bridge.set_protocols({version})
    if world.bridge.connmgr.versions != {version}:
        pytest.skip("cannot be allowed")
    client = world.controller(version)
    world.bridge.port_update("p1", link_up=False)
    assert client.wait_for(m.PortStatus).port.name == "p1"
    world.bridge.port_update("p1", link_up=True)
    client.wait_for(m.PortStatus)
    client.do(flow("in_port=2 actions=CONTROLLER", flags=m.SEND_FLOW_REM))
    world.send(2, frame(100))
    client.wait_for(m.PacketIn)
    client.do(flow("", m.DELETE))
    client.wait_for(m.FlowRemoved)


@pytest.mark.parametrize("version", [1, OF13])
def test_a_frame_longer_than_a_message(world, version):
    """As much of it as a message takes (a frame that is yet to be segmented)."""
    client = world.controller(version)
    packet = bytes(range(256)) * 256
    peer = next(each for each in world.bridge.connmgr.peers() if each.primary)

    class Event:
        reason, miss, table_id, cookie = 1, None, 0, 0
        in_port, controller_id = 2, 0
        key, userdata, continuation = bytes(1024), b"", None
        options = world.bridge.xbridge.options

    Event.packet = packet
    raw = async_messages.packet_in_for(peer, Event)
    message = m.decode(raw)
    assert packet.startswith(message.packet) and len(message.packet) >= 64000
    assert message.total_len == 0xFFFF
    client.barrier()


def flow_of_masked_sets(number):
    """A FLOW_MOD of 1.3 with so many masked sets (NXAST_REG_LOAD2), each of 32 runs of ones."""
    oxm = bytes.fromhex("80000510") + b"\x55" * 16
    action = bytes.fromhex("ffff0020000023200021") + oxm + bytes(2)
    actions = action * number
    head = flow("priority=7 actions=drop").encode(OF13)
    head += bytes.fromhex("0004") + (8 + len(actions)).to_bytes(2, "big") + bytes(4) + actions
    return head[:2] + len(head).to_bytes(2, "big") + head[4:]


def test_a_flow_that_could_not_be_told_is_refused(world):
    """A masked set is many loads where the mask cannot be said."""
    client = world.client()
    client.send(flow_of_masked_sets(1700))
    assert [each.name for each in client.barrier()] == ["OFPBAC_TOO_MANY"]
    client.send(flow_of_masked_sets(30))
    assert client.barrier() == []
    assert len(dump(client)) == 2 and len(dump(world.client(1), nxm=True)) == 2


def test_a_group_that_could_not_be_told_is_refused(world):
    client, old = world.client(), world.client(1)
    client.do(m.GroupMod(m.GROUP_ADD, m.GROUP_ALL, 1, [m.Bucket(actions=[Output(1)])]))
    for number in range(1, 11):
        many = range(number * 1000, number * 1000 + 1000)
        buckets = [m.Bucket(actions=[Output(1)], bucket_id=each) for each in many]
        mod = m.GroupMod(m.GROUP_INSERT_BUCKET, m.GROUP_ALL, 1, buckets)
        mod.command_bucket_id = m.BUCKET_LAST
        old.send(mod)
        refused = old.barrier()
        if refused:
            break
    assert [each.name for each in refused] == ["OFPGMFC_OUT_OF_BUCKETS"] and number > 1
    for each in (client, old):
        assert len(each.ask(m.GroupDescRequest()).groups) == 1
        assert len(each.ask(m.GroupStatsRequest()).groups) == 1


def test_the_journal_keeps_what_it_cannot_write_anew(world, monkeypatch):
    contained(world)
    client = world.client()
    client.do(flow("in_port=1 actions=2"))
    log = world.bridge.log
    monkeypatch.setattr("ofproto.tables.flow_log._as_mod", fail)
    log._start(1)
    world.turn()
    assert "Injected" in "".join(contained(world))
    assert not log._journal.rewriting and not log._pending
    monkeypatch.undo()
    before = dump(client)
    world.stop()
    world.start()
    assert dump(world.client()) == before
