"""A short run of each campaign, always the same; `make fuzz MINUTES=60` goes on."""

import os

import pytest

from tests.hostile.campaign import run
from tests.hostile.campaigns import CAMPAIGNS

CONVERSATIONS = int(os.environ.get("HOSTILE_CONVERSATIONS", "250"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", CAMPAIGNS)
def test_a_hostile_peer(name):
    run(CAMPAIGNS[name](), seed="ci", count=CONVERSATIONS)
