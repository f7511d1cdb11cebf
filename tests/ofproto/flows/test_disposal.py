"""What nobody uses any more goes in slices, and goes."""

import weakref

import pytest

from ofproto.flows import disposal
from ofproto.flows.disposal import STEP, Disposal


class Thing:
    pass


def things(number):
    made = [Thing() for _ in range(number)]
    return made, [weakref.ref(each) for each in made]


def test_heaps_go_in_slices(monkeypatch):
    number = 3 * STEP + 7
    rules, alive = things(2 * number)
    many = Disposal()
    many.add(
        [dict.fromkeys(rules[:number]), {}],
        {1: dict.fromkeys(rules[number:]), 2: set(), 3: list(rules)},
        set(rules),
        [],
    )
    del rules
    monkeypatch.setattr(disposal, "SLICE_SECONDS", -1)
    many.run()
    before, rounds = len(alive), 0
    assert all(each() is not None for each in alive)
    while many._heaps:
        many._step()
        left = sum(each() is not None for each in alive)
        assert before - left <= STEP
        before, rounds = left, rounds + 1
    assert not before and rounds >= 8


def test_more_comes_meanwhile():
    made, alive = things(5 * STEP)
    some = Disposal()
    some.add(made[: 3 * STEP])
    some._step()
    some.add(made[3 * STEP :])
    del made
    while some._heaps:
        some.run()
    assert not any(each() for each in alive)
    made, alive = things(2)
    some.add(made)  # and again, when it was empty
    del made
    some.run()
    assert not any(each() for each in alive)


def test_what_cannot_be_emptied_keeps_nothing_else():
    made, alive = things(2 * STEP)
    some = Disposal()
    some.add(made, object())
    del made
    with pytest.raises(TypeError):
        some.run()
    some.run()
    assert not any(each() for each in alive)
