"""What the collector of cycles is spared of, and what it finds all the same."""

import gc
import weakref

import pytest

from ofproto.ofproto import Ofproto
from pyvs import collector
from tests.ofproto.bridge_world import World


@pytest.fixture
def spared(monkeypatch):
    before = gc.get_threshold()
    monkeypatch.setattr(collector, "FEW", 100_000_000)  # pytest has many
    collector.spare()
    yield
    gc.callbacks.remove(collector._watch)
    gc.set_threshold(*before)
    gc.unfreeze()


def test_a_bridge_that_was_frozen_goes(spared, monkeypatch):
    """Its parts know each other in circles: each would leave 20 kB for good."""
    world = World()
    other = Ofproto("br1", world.backer, 7)
    bridge = weakref.ref(other)
    world.turn()
    gc.freeze()
    other.destroy()
    del other
    world.turn()
    with collector.paused():
        collector.look_at_all()  # not in the midst of large work
    assert bridge() is not None
    collector.look_at_all()
    assert bridge() is None
    world.close()


def test_a_bridge_goes_without_the_collector(spared):
    world = World()
    other = Ofproto("br1", world.backer, 7)
    parts = [other, other.tables, other.tables.learned, other.tables.configs, other.groups]
    left = [weakref.ref(each) for each in (*parts, other.log, other.connmgr)]
    world.turn()
    gc.disable()
    try:
        other.destroy()
        world.turn()
        other.forget()
        del other, parts
        assert [each() for each in left] == [None] * len(left)
    finally:
        gc.enable()
        world.close()


def test_many_objects_are_not_looked_at(spared, monkeypatch):
    monkeypatch.setattr(collector, "FEW", 10)
    monkeypatch.setattr(gc, "collect", lambda *_generation: pytest.fail("a look at all"))
    collector.look_at_all()
    assert gc.get_freeze_count() > 10
