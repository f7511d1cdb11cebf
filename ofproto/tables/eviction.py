"""Which flow of a full table has to make room for a new one.

As ovs-vswitchd.conf.db(5) has it (Flow_Table: overflow_policy, groups): only flows with a timeout
may go.  They are in groups by the values that their matches have in some fields; of the largest
group that flow goes which is least important, and of these the one that would expire first.

A flow's place in its group is known as of when it was last looked at; it can only have been used
since, and so moved back.  Who comes up first with a place that is no longer its own is put where
it belongs, and the next one looked at.
"""

import heapq
from collections.abc import Callable
from typing import Any

# Entries of flows that are gone are thrown out of a group when they are more than the others.
LEAST_ENTRIES = 64


class _Group:
    """Flows that compete: `rules` are there, `heap` has (place, number, rule) of each."""

    __slots__ = ("heap", "key", "rules")

    def __init__(self, key: Any):
        self.key = key
        self.rules: set[Any] = set()
        self.heap: list[tuple[tuple[int, int], int, Any]] = []


class Eviction:
    """Of one table.  `key(rule)` gives what rules of a group have in common; `deadline(rule)` when
    its first timeout ends (ms), None where it has none."""

    def __init__(self, key: Callable[[Any], Any], deadline: Callable[[Any], int | None]):
        self._key = key
        self._deadline = deadline
        self._groups: dict[Any, _Group] = {}
        self._by_size: dict[int, dict[Any, _Group]] = {}  # groups, the longest of their size first
        self._largest = 0
        self._number = 0

    def add(self, rule: Any) -> None:
        """A rule is in the table, or has changed there."""
        if self._deadline(rule) is None:
            return
        key = self._key(rule)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(key)
        if rule not in group.rules:
            self._resize(group, lambda: group.rules.add(rule))
        self._push(group, rule)

    def remove(self, rule: Any) -> None:
        """A rule is out of the table; no error when it was none that may go."""
        group = self._groups.get(self._key(rule))
        if group is None or rule not in group.rules:
            return
        self._resize(group, lambda: group.rules.discard(rule))
        if not group.rules:
            del self._groups[group.key]
        elif len(group.heap) > max(LEAST_ENTRIES, 2 * len(group.rules)):
            group.heap = []
            for each in group.rules:
                self._push(group, each)

    def choose(self) -> Any:
        """The rule that has to go first; None where none may."""
        if not self._largest:
            return None
        group = next(iter(self._by_size[self._largest].values()))
        while True:
            place, _number, rule = group.heap[0]
            if rule not in group.rules:
                heapq.heappop(group.heap)
                continue
            now = self._place(rule)
            if now == place:
                return rule
            heapq.heapreplace(group.heap, (now, self._count(), rule))

    def _place(self, rule: Any) -> tuple[int, int]:
        """Importance, then seconds until it expires."""
        return rule.importance, (self._deadline(rule) or 0) // 1000

    def _count(self) -> int:
        self._number += 1
        return self._number

    def _push(self, group: _Group, rule: Any) -> None:
        heapq.heappush(group.heap, (self._place(rule), self._count(), rule))

    def _resize(self, group: _Group, change: Callable[[], None]) -> None:
        """Let `change` change the group's size by one, and keep it among those of its size."""
        before = len(group.rules)
        change()
        after = len(group.rules)
        if before:
            same = self._by_size[before]
            del same[group.key]
            if not same:
                del self._by_size[before]
        if after:
            self._by_size.setdefault(after, {})[group.key] = group
        if after > self._largest or self._largest not in self._by_size:
            self._largest = after
