"""Rings that outlive their reader: who takes them over, and until when."""

import os

import pytest

from datapath.ipc.ring import Ring
from datapath.ipc.up_memory import PATIENCE, UpMemory


class World:
    """A worker writes, readers come and go."""

    def __init__(self):
        self.memory = UpMemory()

    def ring(self, worker=1):
        fd = self.memory.of(worker)
        try:
            return Ring(fd)
        finally:
            os.close(fd)

    def read_anew(self):
        self.memory.part_from_reader()
        try:
            return self.ring()
        finally:
            self.memory.read_anew()


@pytest.fixture
def world():
    world = World()
    yield world
    world.memory.close()


def test_the_next_reader_goes_on_where_the_former_stopped(world):
    former = world.read_anew()
    writer = world.ring()
    for n in range(3):
        writer.push(b"%d" % n)
    assert former.pop() == b"0"
    assert world.memory.park(1000) and world.memory.deadline == 1000 + PATIENCE
    writer.push(b"3")
    successor = world.read_anew()
    assert [successor.pop() for _ in range(4)] == [b"1", b"2", b"3", None]
    assert world.memory.deadline is None and world.memory.n_lost == 0


def test_where_the_former_may_read_still_the_next_one_has_a_ring_of_its_own(world):
    world.read_anew()
    world.ring().push(b"0")
    assert world.read_anew().pop() is None


def test_what_nobody_takes_over_is_counted(world):
    world.read_anew()
    for worker in (1, 2):
        for n in range(worker):
            world.ring(worker).push(b"%d" % n)
    world.memory.park(0)
    world.memory.forget(2)
    world.memory.close()
    assert world.memory.n_lost == 3 and world.memory.deadline is None
    assert world.read_anew().pop() is None


@pytest.mark.parametrize("at", [0, 128])
def test_a_broken_ring_is_given_to_nobody(world, at):
    """Its reader has written over the writer's position, or over its own."""
    world.read_anew()
    world.ring().push(b"0")
    fd = world.memory.of(1)
    os.pwrite(fd, (1 << 40).to_bytes(8, "little"), at)
    os.close(fd)
    assert not world.memory.park(0)
    assert world.memory.deadline is None
    assert world.read_anew().pop() is None


def test_what_ended_two_readers_ends_no_third(world):
    """Each dies of the first packet that it finds; who took some may have died of anything."""
    world.read_anew()
    writer = world.ring()
    for n in range(3):
        writer.push(b"%d" % n)
    assert world.memory.park(0)
    assert world.read_anew().pop() == b"0"
    assert world.memory.park(0)
    world.read_anew()
    assert not world.memory.park(0) and world.memory.n_lost == 2
    world.read_anew()
    world.ring().push(b"3")
    assert world.memory.park(0)
