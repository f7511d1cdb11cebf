"""vswitchd's table of flows is what a dict is, also while it grows."""

import random

import pytest

from tests.native.ukeys import Table


def name(number):
    return number.to_bytes(16, "little")


def agree(table, twin):
    assert table.names() == list(twin)


@pytest.mark.parametrize("removed", [0.1, 0.5, 0.9])
def test_beside_a_dict(removed):
    rng = random.Random(repr(removed))
    table, twin, met_moving = Table(), {}, 0
    for step in range(60_000):
        wanted = name(rng.randrange(30_000))
        if rng.random() < removed:
            assert table.remove(wanted) == (twin.pop(wanted, None) is not None)
        elif wanted in twin:
            with pytest.raises(KeyError):
                table.add(wanted)
        else:
            table.add(wanted)
            twin[wanted] = True
        met_moving += table.is_moving
        other = name(rng.randrange(30_000))
        assert (table.find(other) is not None) == (other in twin)
        if step % 10_000 == 0:
            agree(table, twin)
    agree(table, twin)
    assert met_moving > 100
    assert table.take_all() == list(twin)
    assert table.names() == []
    table.add(name(1))
    assert table.names() == [name(1)]


def test_all_are_found_at_each_step_of_growth():
    """And removed, from either side; taken out while it grows none is left."""
    table = Table()
    for number in range(5_000):
        table.add(name(number))
        if table.is_moving:
            assert all(table.find(name(each)) for each in range(0, number, 97))
    for number in range(5_000, 9_000):
        table.add(name(number))
        if table.is_moving:
            break
    assert all(table.remove(name(each)) for each in range(0, 5_000, 7))
    assert not any(table.find(name(each)) for each in range(0, 5_000, 7))
    assert len(table.take_all()) == number + 1 - len(range(0, 5_000, 7))
    assert not table.is_moving
    assert table.find(name(1)) is None
