"""Which member of a balancing bond carries which bucket of its traffic.

ovs-vswitchd.conf.db(5), "Rebalancing Configuration"; bonding.rst of Open vSwitch, "Bond Packet
Output".  A bucket's load is in bytes; older ones count half as much with each rebalancing.
"""

import bisect
from collections.abc import Iterable
from typing import Generic, TypeVar

N_BUCKETS = 256
LEAST_GAP = 100_000  # bytes that the most loaded member has more, for anything to be moved ...
LEAST_SHARE = 1.03  # ... and how many times as much
LEAST_GAIN = 0.1  # by which moving a bucket has to lessen the ratio of both loads

M = TypeVar("M")


class Buckets(Generic[M]):
    """`of`: the member of each bucket, None while none is enabled."""

    def __init__(self) -> None:
        self.of: list[M | None] = [None] * N_BUCKETS
        self.loads = [0] * N_BUCKETS
        self._counted = [0] * N_BUCKETS
        self._carrying: list[M] = []  # who was enabled when it was settled last
        self._by_hand: set[int] = set()  # buckets that somebody gave to who has them

    def adopt(self, of: list[M | None], members: list[M]) -> None:
        """They were distributed like this already, among these members."""
        if len(of) == N_BUCKETS:
            self.of, self._carrying = of, members

    def count(self, totals: list[int]) -> None:
        """`totals`: bytes of each bucket since ever."""
        for i, total in enumerate(totals):
            self.loads[i] += max(0, total - self._counted[i])
        self._counted = totals

    def load(self, member: M) -> int:
        return sum(self.loads[i] for i in self.buckets(member))

    def buckets(self, member: M) -> list[int]:
        return [i for i, carrier in enumerate(self.of) if carrier is member]

    def settle(self, enabled: list[M]) -> None:
        """Have enabled members carry all.  What an enabled member carries stays where it is, but
        that one that is new gets its share of what carried nothing at once."""
        has_new = any(member not in self._carrying for member in enabled)
        self._carrying = list(enabled)
        loose = [i for i, carrier in enumerate(self.of) if carrier not in enabled]
        self._by_hand.difference_update(loose)
        if not enabled:
            self.of = [None] * N_BUCKETS
            return
        counts = {id(member): len(self.buckets(member)) for member in enabled}
        for i in loose:
            self._give(i, min(enabled, key=lambda member: counts[id(member)]), counts)
        if has_new:
            self._even_out(enabled, counts)

    def _even_out(self, enabled: list[M], counts: dict[int, int]) -> None:
        for i, load in enumerate(self.loads):
            least = min(enabled, key=lambda member: counts[id(member)])
            is_free = not load and i not in self._by_hand
            if is_free and counts[id(self.of[i])] > counts[id(least)] + 1:
                counts[id(self.of[i])] -= 1
                self._give(i, least, counts)

    def move(self, bucket: int, member: M) -> None:
        """Somebody wants it there: it stays until the member fails or its load is too much."""
        self.of[bucket] = member
        self._by_hand.add(bucket)

    def _give(self, i: int, member: M, counts: dict[int, int]) -> None:
        self.of[i] = member
        counts[id(member)] += 1

    def rebalance(self, enabled: list[M]) -> list[tuple[int, M, M]]:
        """Move load from those that have most to the one that has least; what was moved: (bucket,
        from, to)."""
        moved: list[tuple[int, M, M]] = []
        shares = [self.buckets(member) for member in enabled]
        loads = [sum(self.loads[i] for i in share) for share in shares]
        while len(enabled) > 1 and len(moved) < N_BUCKETS:
            step = self._step(loads, shares)
            if step is None:
                break
            bucket, giver, taker = step
            shares[giver].remove(bucket)
            bisect.insort(shares[taker], bucket)
            loads[giver] -= self.loads[bucket]
            loads[taker] += self.loads[bucket]
            self.of[bucket] = enabled[taker]
            self._by_hand.discard(bucket)
            moved.append((bucket, enabled[giver], enabled[taker]))
        self.loads = [load // 2 for load in self.loads]
        return moved

    def _step(self, loads: list[int], shares: list[list[int]]) -> tuple[int, int, int] | None:
        """The bucket to be moved, from which member to which, by their places in both lists."""
        *others, to = sorted(range(len(loads)), key=lambda at: (loads[at], at), reverse=True)
        least = loads[to]
        for at in others:
            most = loads[at]
            if most - least < LEAST_GAP or most < least * LEAST_SHARE:
                break
            bucket = self._best(shares[at], most, least)
            if bucket is not None:
                return bucket, at, to
        return None

    def _best(self, buckets: Iterable[int], most: int, least: int) -> int | None:
        """The bucket that brings both loads closest to each other, if that is worth it."""
        used = [i for i in buckets if self.loads[i]]
        if len(used) < 2:
            return None
        best = min(used, key=lambda i: abs(most - least - 2 * self.loads[i]))
        after = _ratio(most - self.loads[best], least + self.loads[best])
        return best if _ratio(most, least) - after >= LEAST_GAIN else None


def _ratio(one: int, other: int) -> float:
    return max(one, other) / max(1, min(one, other))
