"""Workers that came or went while the datapath process seemed not to answer: their upcalls are
answered, and the rings of those that ended are let go, once."""

import os
import signal
import threading

import pytest

from datapath.ipc import connection
from tests.ofproto.bridge_world import World, flow, frame

PATIENCE = 0.01  # seconds


@pytest.fixture
def world():
    made = World()
    yield made
    made.close()


def late(world, request):
    """The answer to the request comes when vswitchd has gone on without it."""
    dpif = world.backer.dpif
    pid = dpif.version()["pid"]
    dpif.patience = PATIENCE
    os.kill(pid, signal.SIGSTOP)
    try:
        world.backer.attempt(lambda: request(dpif))
        assert world.backer.dpif is None
    finally:
        os.kill(pid, signal.SIGCONT)
    world.until(lambda: world.backer.dpif is not None, "the datapath process")
    world.backer.dpif.patience = None


def worker(world, core):
    """Its number, None: there is none."""
    workers = world.backer.dpif.stats()["workers"]
    return {each["core"]: each["id"] for each in workers}.get(core)


def open_rings():
    """Mappings and descriptors of this process."""
    with open("/proc/self/maps") as maps:
        return sum("pyvs" in line for line in maps), len(os.listdir("/proc/self/fd"))


def test_their_rings_are_known_nevertheless(world):
    client = world.client()
    client.do(flow("actions=output:2"))
    port = world.bridge.ports[1].odp_port
    rings = []
    for number in range(3):
        late(world, lambda dpif: dpif.workers_add([0], False))
        added = worker(world, 0)
        assert world.backer.dpif.knows(added)
        world.backer.dpif.queues_move([(port, 0, added)])
        packet = frame(src=10 + number)
        world.backer.dpif.flow_flush()
        world.send(1, packet)
        world.expect({2: [packet]})
        late(world, lambda dpif: dpif.workers_del([added]))  # noqa: B023
        assert worker(world, 0) is None and not world.backer.dpif.knows(added)
        rings.append(open_rings())
    assert rings[0] == rings[-1]


@pytest.mark.parametrize(
    "ask",
    [
        lambda world, dpif: dpif.workers_add([0], False),
        lambda world, dpif: dpif.workers_del([1]),
        lambda world, dpif: world.backer.flows.flush(),
        lambda world, dpif: world.backer.release(),
    ],
    ids=["add", "del", "flush", "release"],
)
def test_the_loop_waits_for_none_of_them(world, monkeypatch, ask):
    """Had it more patience for one, the process would go on first."""
    monkeypatch.setattr(connection, "SLOWER", 10_000)
    client = world.client()
    client.do(flow("actions=output:2"))
    pid = world.backer.dpif.version()["pid"]
    release = threading.Timer(60, os.kill, (pid, signal.SIGCONT))
    release.start()
    try:
        late(world, lambda dpif: ask(world, dpif))
    finally:
        release.cancel()
    packet = frame(src=10)
    world.send(1, packet)
    world.expect({2: [packet]})
