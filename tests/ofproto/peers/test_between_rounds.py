"""Peers that ask one thing after the other are served without the bridge's whole rounds."""

import threading

import pytest

from ofproto.codec import messages as m
from ofproto.codec.actions import Output
from ofproto.codec.numbers import OF10, OF13
from ofproto.peers import turns
from pyvs.poller import Poller
from tests.ofproto.bridge_world import World, flow


@pytest.fixture
def world():
    found = World()
    yield found
    found.close()


def wait(world):
    """What the daemon does between rounds."""
    poller = Poller()
    world.backer.wait(poller)
    world.bridge.wait(poller)
    poller.timer_wait(200)
    poller.block()


def test_one_thing_after_the_other(world):
    """Each is answered, and what was answered is in the journal."""
    client = world.client(OF13)
    client.barrier()
    client.sock.setblocking(True)
    client.sock.settimeout(10)
    mods = [flow(f"in_port={n} actions=output:2").encode(OF13, n) for n in range(1, 30)]
    answers, logged = [], []

    def ask():
        for number, mod in enumerate(mods, 1):
            client.sock.sendall(mod + m.BarrierRequest().encode(OF13, number))
            answers.append(client.sock.recv(1000))
            logged.append((world.process.directory / "br0.flows").read_bytes().count(mod))

    thread = threading.Thread(target=ask)
    connection = world.bridge.connmgr.peers()[-1].connection
    served = 0
    thread.start()
    while thread.is_alive():
        before = connection.n_sent
        wait(world)
        served += connection.n_sent - before
        if connection.n_sent == before:  # a slice was over: others had the processor
            world.turn()
    thread.join()
    assert served > len(mods) // 2
    assert answers == [m.BarrierReply().encode(OF13, n) for n in range(1, 30)]
    assert logged == [1] * 29
    assert {rule.match.get("in_port")[0] for rule in world.bridge.tables.rules()} >= set(
        range(1, 30)
    )


def test_nobody_is_served_before_those_who_wait_for_their_turn(world, monkeypatch):
    busy, quick = world.client(OF13), world.client(OF13)
    monkeypatch.setattr(turns, "BUDGET", 0)  # a round in which nobody is served in full
    busy.sock.sendall(m.BarrierRequest().encode(OF13))
    quick.sock.sendall(m.BarrierRequest().encode(OF13))
    world.turn()
    assert world.bridge.connmgr._turns.busy
    peer = world.bridge.connmgr.peers()[-1]
    before = peer.connection.n_sent
    monkeypatch.undo()
    assert world.bridge._serve(peer) == 0 and peer.connection.n_sent == before
    assert busy.wait_for(m.BarrierReply) and quick.wait_for(m.BarrierReply)


def test_misses_are_told_once_the_barrier_is_answered(world):
    """SET_CONFIG of a service of 1.0 asks for them; no whole round is needed for that."""
    client = world.client(OF10)
    client.barrier()
    peer = world.bridge.connmgr.peers()[-1]
    assert not world.bridge.xbridge.miss_to_controller
    client.sock.sendall(m.SetConfig(0, 128).encode(OF10) + m.BarrierRequest().encode(OF10))
    world.bridge._serve(peer)
    assert world.bridge.xbridge.miss_to_controller


def test_packets_and_answers(world):
    """A packet comes up, the controller has it sent out again."""
    controller = world.controller(OF13)
    controller.do(flow("priority=0 actions=CONTROLLER:65535"))
    for _ in range(5):
        world.turn()
    sock = controller.sock
    sock.setblocking(True)
    sock.settimeout(20)
    flows = world.backer.flows
    served, got = 0, []
    packets = [
        bytes([2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, n]) + b"\x88\xb5" + bytes(50) for n in range(20)
    ]

    odp_port = world.bridge.ports[1].odp_port
    outside = world.process.client()  # the bridge's own is of the other thread

    def answer():
        for packet in packets:
            outside.port_inject(odp_port, packet)
            message = m.decode(sock.recv(1000))
            out = m.PacketOut(message.packet, 1, [Output(3)]).encode(OF13)
            sock.sendall(out + m.BarrierRequest().encode(OF13))
            sock.recv(1000)
            got.append(message.packet == packet)

    thread = threading.Thread(target=answer)
    thread.start()
    while thread.is_alive():
        before = flows.counts["packet_ins"]
        wait(world)
        served += flows.counts["packet_ins"] - before
        if (
            flows.counts["packet_ins"] == before
        ):  # the packet was there before anybody waited for it
            world.turn()
    thread.join()
    assert got == [True] * 20
    assert served
    sent = []

    def all_there():
        sent.extend(world.received(3))
        return len(sent) >= 20

    world.until(all_there, "what the controller sends")
    assert [packet[11] for packet in sent] == list(range(20))


def test_what_others_are_told_ends_it(world):
    """A flow that goes is told to a controller at once, though its socket had nothing to say."""
    controller, client = world.controller(OF13), world.client(OF13)
    client.do(flow("in_port=1 actions=output:2", flags=m.SEND_FLOW_REM))
    for _ in range(5):
        world.turn()
    client.sock.send(m.FlowMod(m.DELETE).encode(OF13))
    wait(world)
    assert controller.wait_for(m.FlowRemoved).reason == 2
