"""The rate limiter of packet-ins, by time alone."""

from hypothesis import given
from hypothesis import strategies as st

from ofproto.peers.packet_in import RateLimiter


def test_burst_then_rate():
    sent = []
    limiter = RateLimiter(rate=10, burst=3)
    for number in range(6):
        limiter.put(0, 1, number, sent.append)
    assert sent == [0, 1, 2]
    limiter.run(99, sent.append)
    assert sent == [0, 1, 2]
    limiter.run(100, sent.append)
    assert sent == [0, 1, 2, 3]
    limiter.run(300, sent.append)
    assert sent == [0, 1, 2, 3, 4, 5] and limiter.n_dropped == 0


def test_one_that_comes_later_does_not_overtake():
    sent = []
    limiter = RateLimiter(rate=1000, burst=1)
    for number in range(3):
        limiter.put(0, 1, number, sent.append)
    limiter.put(50, 1, 3, sent.append)  # there is a token for it, and others wait
    limiter.run(100, sent.append)
    assert sorted(sent) == sent == [0, *range(1, len(sent))]


def test_ports_have_their_turns_and_the_longest_queue_loses():
    sent = []
    limiter = RateLimiter(rate=1000, burst=1, queue_size=6)
    limiter.put(0, 9, "token", sent.append)
    for number in range(10):
        limiter.put(0, 1, ("flood", number), sent.append)
    limiter.put(0, 2, ("quiet", 0), sent.append)
    assert limiter.n_dropped == 5
    for now in range(1, 20):
        limiter.run(now, sent.append)
    assert sent[1:3] == [("flood", 5), ("quiet", 0)]
    assert [each for each in sent if each[0] == "flood"] == [("flood", n) for n in range(5, 10)]


class Poller:
    def __init__(self):
        self.ms = None

    def timer_wait(self, ms):
        self.ms = ms


def test_it_wakes_up_when_the_next_may_go():
    limiter = RateLimiter(rate=3, burst=1)
    poller, sent = Poller(), []
    limiter.put(0, 1, "a", sent.append)
    limiter.wait(poller, 0)
    assert poller.ms is None
    limiter.put(0, 1, "b", sent.append)
    limiter.wait(poller, 0)
    limiter.run(poller.ms - 1, sent.append)
    assert sent == ["a"]
    limiter.run(poller.ms, sent.append)
    assert sent == ["a", "b"]


@given(
    st.integers(1, 1000),
    st.integers(1, 50),
    st.integers(1, 30),
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 3)), max_size=200),
)
def test_never_more_than_it_allows(rate, burst, size, events):
    limiter, sent, now = RateLimiter(rate, burst, size), [], 0
    for number, (ms, port) in enumerate(events):
        now += ms
        limiter.run(now, sent.append)
        limiter.put(now, port, (port, number), sent.append)
        assert len(sent) <= burst + now * rate / 1000
        assert len(sent) + limiter.n_dropped + limiter._waiting == number + 1
        assert limiter._waiting <= size
    limiter.run(now + 1000 * size + 1000, sent.append)
    for port in (1, 2, 3):
        numbers = [number for p, number in sent if p == port]
        assert numbers == sorted(numbers)
