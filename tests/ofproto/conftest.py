"""What most tests of a bridge begin with."""

import pytest

from tests.ofproto.bridge_world import World


@pytest.fixture
def world():
    made = World()
    yield made
    made.close()
