"""PACKET_OUTs that go the short way: the same packets and refusals as by the whole way."""

import pytest

from ofproto.codec import messages as m
from ofproto.codec.actions import Group, Output
from ofproto.codec.numbers import OFPP_CONTROLLER
from ofproto.flows.packet_outs import PacketOuts
from tests.ofproto.bridge_world import World

SHORT_WAY = (1, 2, 4, 5)  # wire versions


def packet_of(number):
    return bytes([2, 0, 0, 0, 0, number]) + bytes(5) + b"\x07\x88\xb5" + bytes(50)


@pytest.fixture
def world():
    made = World()
    yield made
    made.close()


@pytest.mark.parametrize("version", [*SHORT_WAY, 6])
def test_a_second_one_does_what_the_first_did(world, version):
    client = world.client(version)
    for number in range(3):
        packet = packet_of(number)
        client.send(m.PacketOut(packet, 1, [Output(2), Output(3)]))
        world.expect({2: [packet], 3: [packet]})
    known = m.PacketOut(packet_of(9), 1, [Output(2), Output(3)]).encode(version, 7)
    assert (world.bridge.packet_outs.find(known) is not None) == (version in SHORT_WAY)
    for port in (OFPP_CONTROLLER, 3):  # the packet's own port is not among the outputs
        client.send(m.PacketOut(packet_of(4), port, [Output(2), Output(3)]))
        world.expect({2: [packet_of(4)], **({} if port == 3 else {3: [packet_of(4)]})})


@pytest.mark.parametrize("version", SHORT_WAY)
def test_refusals_are_the_same(world, version):
    client = world.client(version)
    good = [Output(2)]
    wrong = {
        "OFPBRC_BUFFER_UNKNOWN": m.PacketOut(b"", 1, good, buffer_id=5),
        "OFPBRC_BAD_LEN": m.PacketOut(bytes(13), 1, good),
        "OFPBRC_BAD_PORT": m.PacketOut(packet_of(1), 0, good),
    }
    for _ in range(2):
        for name, message in wrong.items():
            assert client.refused(message) == name
        client.send(m.PacketOut(packet_of(1), 1, good))
        world.expect({2: [packet_of(1)]})


def test_what_the_switch_has_a_say_in_goes_the_whole_way(world):
    client = world.client(4)
    message = m.PacketOut(packet_of(1), 1, [Group(7)])
    bucket = m.Bucket(actions=[Output(2)])
    for _ in range(2):
        client.do(m.GroupMod(m.GROUP_ADD, m.GROUP_ALL, 7, [bucket]))
        client.send(message)
        world.expect({2: [packet_of(1)]})
        client.do(m.GroupMod(m.GROUP_DELETE, m.GROUP_ALL, 7, []))
        assert client.refused(message) == "OFPBAC_BAD_OUT_GROUP"


def test_bytes_that_contradict_themselves_are_none():
    found = PacketOuts()
    raw = m.PacketOut(packet_of(1), 1, [Output(2)]).encode(4, 7)
    for size in range(len(raw)):
        assert found.find(raw[:size]) is None
    assert found.find(raw[:16] + b"\xff\xff" + raw[18:]) is None
