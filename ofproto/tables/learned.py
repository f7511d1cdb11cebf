"""Flows that learn actions make, and what else packets do to flows (ovs-actions(7)).

Translation calls learn() for packets, through XBridge.learner.  Flows by cookie are indexed from
the first action on that wants it (limit, delete_learned).
"""

import weakref
from collections.abc import Callable
from typing import Any

from ofproto.codec.actions.learn import SEND_FLOW_REM as LEARN_SEND_FLOW_REM
from ofproto.codec.numbers import N_VISIBLE_TABLES, OF10, OFPRR_DELETE, OFPRR_EVICTION
from ofproto.rules.classifier import Rule
from ofproto.rules.scan import by_cookie
from pyvs import coverage

SEND_FLOW_REM = 1  # OFPFF_SEND_FLOW_REM

# Rules in a table above which no packet adds one: what comes from outside fills no memory.
MAX_LEARNED = 200_000
FULL = coverage.counter("learn_table_full")
LIMITED = coverage.counter("learn_limit")
DEFERRED = coverage.counter("learn_during_bundle")


class LearnedFlows:
    """Of one bridge's FlowTables, which tells it of every rule that comes or goes."""

    def __init__(self, tables: Any):
        self._tables = weakref.proxy(tables)  # whose part this is
        # Told of each rule that was learned or learned anew.
        self.changed: Callable[[Rule], None] = lambda rule: None
        self._by_cookie: dict[tuple[int, int], set[Rule]] | None = None
        self._teachers: dict[tuple[int, int], int] = {}  # delete_learned: how many there are
        self._dead: list[tuple[int, int]] = []
        self._burying = False

    # --- packets

    def learn(self, learned: Any, used: int) -> Rule | None:
        """See xbridge.Learner."""
        action = learned.spec.action
        if action.table >= N_VISIBLE_TABLES:
            return None
        rule = self._find(learned)
        if rule is None:
            if not self._has_room(action):
                return None
            return self._add(learned, used)
        if not _same(rule, learned):
            if used < rule.modified:
                return rule  # packets counted late; others have taught something else since
            self._tables.change(
                rule, learned.instructions, learned.program, OF10, action.cookie, used
            )
            self.changed(rule)
        elif rule.program is not learned.program:
            rule.set_program(learned.program)  # the same: found faster the next time
        rule.modified = max(rule.modified, used)
        return rule

    def would_learn(self, learned: Any) -> bool:
        """See xbridge.Learner."""
        action = learned.spec.action
        if action.table >= N_VISIBLE_TABLES:
            return False
        return self._find(learned) is not None or self._has_room(action)

    def _find(self, learned: Any) -> Rule | None:
        action = learned.spec.action
        return self._tables.xbridge.table(action.table).find_exactly(learned.match, action.priority)

    def _has_room(self, action: Any) -> bool:
        if self._tables.pending is not None:  # which may have the same flow; the next packet may
            DEFERRED.count += 1
            return False
        if len(self._tables.xbridge.table(action.table)) >= MAX_LEARNED:
            FULL.count += 1
            return False
        if action.limit and len(self._with(action.table, action.cookie)) >= action.limit:
            LIMITED.count += 1
            return False
        if not self._tables.configs.has_room(action.table):
            FULL.count += 1
            return False
        return True

    def _add(self, learned: Any, used: int) -> Rule:
        action = learned.spec.action
        victim = self._tables.configs.make_room(action.table)
        if victim is not None:
            self._tables.remove(victim, OFPRR_EVICTION)
        rule = Rule(
            learned.match,
            action.priority,
            table_id=action.table,
            cookie=action.cookie,
            actions=learned.instructions,
            program=learned.program,
            idle_timeout=action.idle_timeout,
            hard_timeout=action.hard_timeout,
            flags=SEND_FLOW_REM if action.flags & LEARN_SEND_FLOW_REM else 0,
            now=used,
        )
        rule.data = OF10
        self._tables.insert(rule)
        self.changed(rule)
        return rule

    def finished(self, rule: Rule, idle: int, hard: int) -> None:
        """See xbridge.Learner."""
        changed = False
        if idle and not 0 < rule.idle_timeout <= idle:
            rule.idle_timeout, changed = idle, True
        if hard and not 0 < rule.hard_timeout <= hard:
            rule.hard_timeout, changed = hard, True
        if changed:
            self._tables.watch_again(rule)

    # --- rules that come and go

    @property
    def has_index(self) -> bool:
        """Whether rules have to be counted here that teach nothing: somebody does."""
        return self._by_cookie is not None

    def rule_added(self, rule: Rule) -> None:
        """It is in its table, or has other actions or another cookie."""
        program = rule.program
        for key in (program and program.learned) or ():
            self._teachers[key] = self._teachers.get(key, 0) + 1
        if self._by_cookie is not None:
            self._by_cookie.setdefault((rule.table_id, rule.cookie), set()).add(rule)
        elif program and program.learned:
            self._index()

    def rule_gone(self, rule: Rule) -> None:
        """The opposite; bury() has to be called afterwards."""
        for key in (rule.program and rule.program.learned) or ():
            self._teachers[key] -= 1
            if not self._teachers[key]:
                del self._teachers[key]
                self._dead.append(key)
        if self._by_cookie is not None:
            key = (rule.table_id, rule.cookie)
            alike = self._by_cookie.get(key)
            if alike is not None:
                alike.discard(rule)
                if not alike:
                    del self._by_cookie[key]

    def bury(self) -> None:
        """Delete what was learned from flows that are gone, which may have taught, too."""
        if self._burying or not self._dead:
            return
        self._burying = True
        try:
            while self._dead:
                self._bury(self._dead.pop())
        finally:
            self._burying = False

    def _bury(self, key: tuple[int, int]) -> None:
        if key in self._teachers:
            return
        rules = list(self._with(*key) - self._tables.hidden)
        self._tables.remove_all(rules, OFPRR_DELETE, lambda rule: rule in self._with(*key))

    def clear(self) -> Any:
        """All rules are gone; returns a heap of what was known of them."""
        index, self._by_cookie = self._by_cookie or {}, None
        self._teachers.clear()
        self._dead.clear()
        return index

    def _with(self, table: int, cookie: int) -> set[Rule]:
        if self._by_cookie is None:
            self._index()
        assert self._by_cookie is not None
        return self._by_cookie.get((table, cookie), set())

    def _index(self) -> None:
        self._by_cookie = by_cookie(self._tables.rules())


def _same(rule: Rule, learned: Any) -> bool:
    if rule.cookie != learned.spec.action.cookie:
        return False
    if rule.program is learned.program:
        return True
    return rule.program is not None and rule.program.signature() == learned.program.signature()
