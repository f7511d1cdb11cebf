"""A bridge that could not be made, and is to be made once more."""

import gc

import pytest

from ofproto.ofproto import Ofproto
from tests.ofproto.bridge_world import DATAPATH_ID, World, flow


@pytest.fixture
def world():
    made = World()
    yield made
    made.close()


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def rules():
    return [each for each in gc.get_objects() if type(each).__name__ == "Rule"]


def test_its_journal_stays_and_nothing_else(world, no_collector):
    """However often it is made: vswitchd's collector comes too seldom for a million flows each."""
    others = rules()  # of tests before, too
    client = world.client()
    for number in range(300):
        client.send(flow(f"priority={number + 1},actions=drop"))
    client.barrier()
    n_flows = len(world.bridge.tables)
    assert n_flows >= 300 and len(rules()) - len(others) >= 300
    client.close()
    world.clients.clear()
    for _ in range(3):
        world.bridge.destroy(keep_journal=True)
        assert not world.backer.flows.bridges and not world.backer.bridges
        world.until(lambda: len(rules()) - len(others) < 300, "rules that go")
        world.bridge = Ofproto("br0", world.backer, DATAPATH_ID)
        assert len(world.bridge.tables) == n_flows
