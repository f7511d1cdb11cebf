"""What the collector of cycles is spared of, and what it finds all the same."""

import gc
import itertools
import weakref

import pytest

from ofproto.codec.numbers import OF13
from ofproto.ofproto import Ofproto
from pyvs import collector
from tests.ofproto.bridge_world import World, flow


@pytest.fixture
def spared(monkeypatch):
    before = gc.get_threshold()
    monkeypatch.setattr(collector, "FEW", 100_000_000)  # pytest has many
    collector.spare()
    yield
    gc.callbacks.remove(collector._watch)
    gc.set_threshold(*before)
    gc.unfreeze()


def test_a_circle_that_was_frozen_goes(spared):
    class Part:
        pass

    part = Part()
    part.itself = part
    left = weakref.ref(part)
    gc.freeze()
    del part
    with collector.paused():
        collector.look_at_all()  # not in the midst of large work
    assert left() is not None
    collector.look_at_all()
    assert left() is None


@pytest.fixture
def world():
    world = World()
    yield world
    world.close()


def test_a_bridge_goes_without_the_collector(spared, world):
    """Its parts know each other, and each would leave 20 kB for good where others are many."""
    other = Ofproto("br1", world.backer, 7)
    parts = [other, other.tables, other.tables.learned, other.tables.configs, other.groups]
    left = [weakref.ref(each) for each in (*parts, other.log, other.connmgr, other.bundles)]
    world.turn()
    gc.disable()
    try:
        other.destroy()
        world.turn()
        del other, parts
        assert [each() for each in left] == [None] * len(left)
    finally:
        gc.enable()


def test_a_bridge_that_went_is_read_to_its_end(world):
    """bridge/dump-flows by somebody who reads slowly."""
    other = Ofproto("br1", world.backer, 7)
    for vlan in range(50):
        other.flow_mod(flow(f"dl_vlan={vlan},actions=drop"), OF13, 0)
    pieces = other.dump_flows(hidden=True)
    shown = list(itertools.islice(pieces, 60))
    assert "dl_vlan" in "".join(shown)
    other.destroy()
    world.turn()
    text = "".join((*shown, *pieces))
    assert all(f"dl_vlan={vlan},actions=drop\n" in text for vlan in range(50))
    assert text.count("table_id=254") == len(other.xbridge.internal_rules)
    other.run()
    assert other.tables.configs.has_room(0)


def test_many_objects_are_not_looked_at(spared, monkeypatch):
    monkeypatch.setattr(collector, "FEW", 10)
    monkeypatch.setattr(gc, "collect", lambda *_generation: pytest.fail("a look at all"))
    collector.look_at_all()
    assert gc.get_freeze_count() > 10
