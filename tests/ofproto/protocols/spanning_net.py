"""A network of spanning tree bridges in memory, with a clock of its own.

Bridges' ports are on LANs, by name; a frame takes 1 to `delay` ms to each other port of its LAN.
"""

import heapq
import itertools


class Net:
    """`bridges` are Stp or Rstp objects by name; `lans` maps (bridge, port) to a LAN's name."""

    def __init__(self, rng, delay=1):
        self.rng = rng
        self.delay = delay
        self.now = 0
        self.bridges = {}
        self.lans = {}
        self.dead = set()  # LANs that carry nothing
        self.loops = []  # when there was one
        self._queue = []
        self._order = itertools.count()
        self._last = {}  # frames of one port to another keep their order
        self._states = None

    def attach(self, bridge, port, lan):
        self.lans[bridge, port] = lan

    def members(self, lan):
        return [end for end, name in self.lans.items() if name == lan]

    # --- time

    def run(self, ms):
        """Let `ms` pass."""
        end = self.now + ms
        while True:
            at = min(self._next_frame(), *(self._next_timer(b) for b in self.bridges.values()))
            if at > end:
                break
            self.now = max(self.now, at)
            self._deliver()
            for name, bridge in self.bridges.items():
                if self._next_timer(bridge) <= self.now:
                    bridge.run(self.now)
                    self.collect(name)
        self.now = end

    def _next_frame(self):
        return self._queue[0][0] if self._queue else float("inf")

    @staticmethod
    def _next_timer(bridge):
        at = bridge.next_wakeup()
        return float("inf") if at is None else at

    def _deliver(self):
        while self._queue and self._queue[0][0] <= self.now:
            _, _, lan, (name, port), frame = heapq.heappop(self._queue)
            if lan not in self.dead and self.lans.get((name, port)) == lan:
                self.bridges[name].receive(port, frame, self.now)
                self.collect(name)

    def collect(self, name):
        """Send what a bridge has to send."""
        bridge = self.bridges[name]
        for port, frame in bridge.take_frames():
            lan = self.lans.get((name, port))
            for end in self.members(lan) if lan is not None and lan not in self.dead else ():
                if end != (name, port):
                    at = self.now + self.rng.randint(1, self.delay)
                    at = self._last[name, port, end] = max(at, self._last.get((name, port, end), 0))
                    heapq.heappush(self._queue, (at, next(self._order), lan, end, frame))
        bridge.take_flushes()
        self.check_loops()

    # --- the active topology

    def check_loops(self):
        """Note it when frames could go round now."""
        states = frozenset(self.forwarding())
        if states != self._states:
            self._states = states
            if has_cycle(states):
                self.loops.append(self.now)

    def forwarding(self):
        """(bridge, LAN, port) of the ports that forward."""
        for (name, port), lan in self.lans.items():
            if lan not in self.dead and is_forwarding(self.bridges[name].ports[port]):
                yield name, lan, port

    def reach(self):
        """Bridge -> the group of bridges that its frames get to."""
        group = Groups()
        for name, lan, _ in self.forwarding():
            group.join(("bridge", name), ("lan", lan))
        return {name: group.find(("bridge", name)) for name in self.bridges}

    def connected(self):
        """The same for what is plugged together."""
        group = Groups()
        for (name, _), lan in self.lans.items():
            if lan not in self.dead:
                group.join(("bridge", name), ("lan", lan))
        return {name: group.find(("bridge", name)) for name in self.bridges}


def is_forwarding(port):
    """Of either protocol."""
    return getattr(port, "forwarding", None) or getattr(port, "state", None) == 3


def has_cycle(edges):
    group = Groups()
    return not all(group.join(("bridge", name), ("lan", lan)) for name, lan, _ in edges)


def same_partition(a, b):
    """Whether two maps put the same names together."""
    return len(set(a.values())) == len(set(b.values())) == len({(a[n], b[n]) for n in a})


class Groups:
    """Union-find."""

    def __init__(self):
        self.parent = {}

    def find(self, item):
        while self.parent.setdefault(item, item) != item:
            self.parent[item] = self.parent[self.parent[item]]
            item = self.parent[item]
        return item

    def join(self, a, b):
        """False when they were together already."""
        a, b = self.find(a), self.find(b)
        self.parent[a] = b
        return a != b
