"""A flood of upcalls, and others that want the processors or do not."""

import pytest

from ofproto.flows import courtesy
from ofproto.flows.courtesy import REST_MS, TURN, TURN_OF_MANY, Courtesy


@pytest.fixture
def told(monkeypatch):
    """(ran, waited) ns, and the clock in seconds, as a Courtesy sees them."""
    told = {"times": (0, 0), "now": 100.0}
    monkeypatch.setattr(Courtesy, "_times", lambda _self: told["times"])
    monkeypatch.setattr(courtesy.time, "monotonic", lambda: told["now"])
    return told


def test_a_processor_that_nobody_wants_is_used(told):
    one = Courtesy()
    for turn in range(1, 5):
        told["times"] = (turn * 4_000_000, turn * 100_000)
        assert one.rest() == 0 and one.turn == TURN


def test_others_have_theirs_until_they_want_it_no_more(told):
    one = Courtesy()
    told["times"] = (1_000_000, 9_000_000)  # before the flood: that says nothing
    assert one.rest() == 0 and one.turn == TURN
    told["times"] = (4_000_000, 13_000_000)
    assert one.rest() == REST_MS and one.turn == TURN_OF_MANY
    told["now"] += courtesy.LOOK_AGAIN / 2  # who rested has not waited: that says nothing yet
    told["times"] = (5_000_000, 13_000_000)
    assert one.rest() == REST_MS and one.turn == TURN_OF_MANY
    told["now"] += courtesy.LOOK_AGAIN
    told["times"] = (6_000_000, 13_000_000)
    assert one.rest() == 0 and one.turn == TURN
    told["times"] = (6_500_000, 14_000_000)
    assert one.rest() == REST_MS
    one.over()
    assert one.turn == TURN


def test_the_scheduler_says_it(monkeypatch):
    ran, _waited = Courtesy()._times()
    assert ran > 0
    monkeypatch.setattr(courtesy.os, "open", lambda *_: (_ for _ in ()).throw(FileNotFoundError()))
    silent = Courtesy()
    assert silent._times() == (0, 0) and silent.rest() == 0
