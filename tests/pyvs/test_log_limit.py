"""The rate of log messages that others cause, under a clock that the test moves."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyvs import clock
from pyvs.log_limit import LimitedLog, set_limited


class Log:
    name = "module"

    def __init__(self, enabled=True):
        self.lines = []
        self.enabled = enabled

    def warn(self, message):
        self.lines.append(message)

    def warn_is_enabled(self):
        return self.enabled


@pytest.fixture
def now(monkeypatch):
    """The time in ms, as the only item of a list."""
    at = [1_000_000]
    monkeypatch.setattr(clock, "msec", lambda: at[0])
    return at


def test_a_burst_then_silence_then_the_count(now):
    log = Log()
    limited = LimitedLog(log, 6, 3)
    for number in range(5):
        limited.warn(f"message {number}")
        now[0] += 1000
    assert log.lines == ["message 0", "message 1", "message 2"]
    now[0] += 6500
    limited.warn("later")
    assert log.lines[3:] == [
        "Dropped 2 log messages in last 8 seconds (most recently, 7 seconds ago)"
        " due to excessive rate",
        "later",
    ]


def test_one_kind_takes_no_room_from_another(now):
    log = Log()
    first, second = LimitedLog(log, 1, 1), LimitedLog(log, 1, 1)
    for _ in range(3):
        first.warn("a")
    second.warn("b")
    assert log.lines == ["a", "b"]


def test_what_is_not_logged_anyway_counts_nothing(now):
    log = Log(enabled=False)
    limited = LimitedLog(log, 1, 1)
    for _ in range(3):
        limited.warn("a")
    log.enabled = True
    limited.warn("b")
    assert log.lines == ["b"]


@given(st.lists(st.integers(0, 30_000), max_size=60), st.integers(1, 20), st.integers(1, 5))
def test_never_more_than_the_rate_and_nothing_uncounted(gaps, per_minute, burst):
    log, at = Log(), [0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "msec", lambda: at[0])
        limited = LimitedLog(log, per_minute, burst)
        for gap in gaps:
            at[0] += gap
            limited.warn("x")
        at[0] += 60_000
        limited.warn("x")
    shown = log.lines.count("x")
    dropped = sum(int(line.split()[1]) for line in log.lines if line != "x")
    assert shown + dropped == len(gaps) + 1
    assert shown <= burst + math.floor(at[0] * per_minute / 60_000)


def test_modules_without_limits(now):
    log = Log()
    limited = LimitedLog(log, 1, 1)
    set_limited({"module"}, False)
    try:
        for _ in range(3):
            limited.warn("a")
        assert log.lines == ["a"] * 3
    finally:
        set_limited({"module"}, True)
    for _ in range(3):
        limited.warn("b")
    assert log.lines == ["a", "a", "a", "b"]
