"""What is said once, however many different things there are to say."""

import sys

from pyvs import clock, once


def test_is_bounded(monkeypatch):
    monkeypatch.setattr(once, "MOST", 3)
    now = [5]
    monkeypatch.setattr(clock, "msec", lambda: now[0])
    known = once.Once()
    assert [known.is_new(text) for text in "ababc"] == [True, True, False, False, True]
    assert not known.is_new("d") and not known.is_new("a")  # full; no flood of what is old either
    now[0] += once.HOUR
    assert not known.is_new("a")
    assert known.is_new("d") and known.is_new("a") and not known.is_new("d")


def test_holds_no_texts():
    """10,000 of 10 kB each would be 100 MB."""
    known = once.Once()
    for number in range(10_000):
        known.is_new("x" * 10_000 + str(number))
    assert sum(map(sys.getsizeof, (known._seen, *known._seen))) < 1_000_000
