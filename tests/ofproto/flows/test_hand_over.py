"""The first upcalls after a datapath process took over from another: answered before all else, but
not for ever, and for no longer than the process is there."""

import time

import pytest

from ofproto.flows import backer as backer_module
from tests.ofproto.bridge_world import World

ROUND = 0.008  # seconds of work


@pytest.fixture
def world(monkeypatch):
    made = World()
    made.turn()
    monkeypatch.setattr(type(made.backer.dpif), "kernel_cache_hand_over", lambda _: True)
    yield made
    made.close()


def rounds(world, monkeypatch, work):
    """How many times there was a look at upcalls."""
    looks = []

    def answer(_now):
        looks.append(work())
        return 1

    monkeypatch.setattr(world.backer, "answer_upcalls", answer)
    world.backer._inherits = True
    world.backer.barrier(lambda: None)
    assert not world.backer._inherits
    monkeypatch.undo()
    return len(looks)


def busy():
    end = time.thread_time() + ROUND
    while time.thread_time() < end:
        pass


def test_a_flood_of_packets_does_not_stall_the_loop(world, monkeypatch):
    assert rounds(world, monkeypatch, busy) <= 1 + backer_module.FIRST_UPCALLS / ROUND


def test_there_are_looks_enough_where_others_have_the_processor(world, monkeypatch):
    assert rounds(world, monkeypatch, lambda: time.sleep(ROUND)) == backer_module.FIRST_ROUNDS


def test_the_process_may_be_lost_meanwhile(world, monkeypatch):
    assert rounds(world, monkeypatch, world.backer._lost) == 1
    world.until(lambda: world.backer.dpif is not None, "the datapath process")
