"""Packet-ins: which connections get one, at which rate."""

from collections import OrderedDict, deque
from collections.abc import Callable

NO_BUFFER = 0xFFFFFFFF


class RateLimiter:
    """A token bucket, and a queue per input port served in turn.

    `rate` packets per second, `burst` packets, at most `queue_size` packets waiting; when they are
    more, the longest port's queue loses one.  Times in milliseconds.
    """

    def __init__(self, rate: int, burst: int, queue_size: int = 100):
        self.reconfigure(rate, burst, queue_size)
        self.n_bypassed = self.n_queued = self.n_dropped = 0
        self._tokens = self.burst * 1000
        self._last: int | None = None
        self._queues: OrderedDict[int, deque[bytes]] = OrderedDict()
        self._waiting = 0

    def reconfigure(self, rate: int, burst: int, queue_size: int) -> None:
        """Other limits for what comes; what waits stays."""
        self.rate = max(1, rate)
        self.burst = max(1, burst)
        self.queue_size = max(1, queue_size)

    @property
    def waiting(self) -> int:
        """How many there are in the queues."""
        return self._waiting

    def _refill(self, now: int) -> None:
        if self._last is not None:
            self._tokens = min(
                self.burst * 1000, self._tokens + max(0, now - self._last) * self.rate
            )
        self._last = now

    def _take(self) -> bool:
        if self._tokens < 1000:
            return False
        self._tokens -= 1000
        return True

    def put(self, now: int, port: int, message: bytes, send: Callable[[bytes], object]) -> None:
        """Send `message` now, or keep it for run()."""
        self._refill(now)
        if not self._waiting and self._take():
            self.n_bypassed += 1
            send(message)
            return
        self.n_queued += 1
        if self._waiting >= self.queue_size:
            longest = max(self._queues.values(), key=len)
            longest.popleft()
            self._waiting -= 1
            self.n_dropped += 1
        self._queues.setdefault(port, deque()).append(message)
        self._waiting += 1

    def run(self, now: int, send: Callable[[bytes], object]) -> None:
        """Send what the rate allows by now."""
        self._refill(now)
        while self._waiting and self._take():
            port, queue = next(iter(self._queues.items()))
            if queue:
                send(queue.popleft())
                self._waiting -= 1
            else:
                self._tokens += 1000
            if queue:
                self._queues.move_to_end(port)
            else:
                del self._queues[port]

    def wait(self, poller, now: int) -> None:
        """Wake up when the next one may go."""
        if self._waiting:
            missing = max(0, 1000 - self._tokens)
            poller.timer_wait(-(-missing // self.rate))


MISS, ACTION = KINDS = ("miss", "action")


class Scheduler:
    """The limits of one controller's connection: what misses of tables and what actions send up
    is limited, and waits, apart (`by_kind`)."""

    def __init__(self, rate: int, burst: int, queue_size: int):
        self.by_kind = {kind: RateLimiter(rate, burst, queue_size) for kind in KINDS}

    def reconfigure(self, rate: int, burst: int, queue_size: int) -> None:
        """Other limits for what comes; what waits stays."""
        for limiter in self.by_kind.values():
            limiter.reconfigure(rate, burst, queue_size)

    def run(self, now: int, send: Callable[[bytes], object]) -> None:
        """Send what the rates allow by now."""
        for limiter in self.by_kind.values():
            limiter.run(now, send)

    def wait(self, poller, now: int) -> None:
        """Wake up when the next one may go."""
        for limiter in self.by_kind.values():
            limiter.wait(poller, now)

    def status(self) -> dict[str, str]:
        """For the status column of ovs-vswitchd.conf.db(5), table Controller."""
        return {
            f"packet-in-{kind}-{what}": str(count)
            for kind, limiter in self.by_kind.items()
            for what, count in (
                ("backlog", limiter.waiting),
                ("bypassed", limiter.n_bypassed),
                ("queued", limiter.n_queued),
                ("dropped", limiter.n_dropped),
            )
        }
