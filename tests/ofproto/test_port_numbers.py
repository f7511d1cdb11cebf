"""Which OpenFlow numbers ports get that ask for none."""

import pytest

from ofproto.port import PortNumbers
from pyvs import clock


def test_a_freed_number_rests(monkeypatch):
    now = [5]
    monkeypatch.setattr(clock, "msec", lambda: now[0])
    numbers = PortNumbers(maximum=8)
    assert [numbers.take(number) for number in (1, 2, 3)] == [1, 2, 3]  # none of them chosen
    numbers.free(3)
    numbers.free(2)
    assert numbers.take(None) == 4  # flows may mean the port that was 3
    assert numbers.take(None, reserved=(5,)) == 6
    assert numbers.take(3) == 3  # who asks gets it
    now[0] += PortNumbers.RESTS
    assert numbers.take(None) == 7
    assert numbers.take(None) == 2  # rested, and 5 comes behind it
    for number in (7, 3, 6):
        numbers.free(number)
    assert [numbers.take(None) for _ in range(3)] == [5, 7, 3]  # all but 5 rest: the longest first
    assert numbers.take(None) == 6
    with pytest.raises(ValueError, match="no free"):
        numbers.take(None)


class Asked:
    """Nobody's numbers; how many were asked for."""

    count = 0

    def __contains__(self, number):
        self.count += 1
        return False


def test_where_all_rest_nobody_looks_for_one(monkeypatch):
    """To look at all numbers takes 10 ms, for each port of a host whose ports come and go."""
    now, asked = [5], Asked()
    monkeypatch.setattr(clock, "msec", lambda: now[0])
    numbers = PortNumbers(maximum=1000)
    for number in range(1, 1000):
        assert numbers.take(None) == number
        numbers.free(number)
    given = [numbers.take(None, asked) for _ in range(10)]
    assert given == list(range(1, 11)) and asked.count < 100
    now[0] += PortNumbers.RESTS
    assert numbers.take(None, asked) == 11 and asked.count < 200
