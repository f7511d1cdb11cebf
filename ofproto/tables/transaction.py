"""A transaction: many changes to a bridge's flows and groups that are there at once, or not at all.

While `ahead()` holds, FlowTables and GroupTable read and change the version of the tables that the
transaction makes (view.View); between such steps everybody else, translation first of all,
has the version of before.  switch() makes the new version everybody's.  What a change costs
besides - telling of it, freeing what went, or undoing it - is done by rest(), step by step.

There is one transaction at a time.  Nobody else may send the tables FLOW_MODs and GROUP_MODs
meanwhile, and no flow expires.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from ofproto.rules.classifier import Rule
from pyvs import containment

AT_ONCE = 16  # changes that are one step of rest()


class Change(NamedTuple):
    """`rule` came, in the place of `old` where there was one (as a modified copy of it, with
    `is_modified`); or with `is_removal` it went, for this OFPRR_* reason (None: nobody is to be
    told).  `requester`: (peer, xid) of the message that did it, or None."""

    rule: Rule
    old: Rule | None
    requester: Any = None
    is_removal: bool = False
    reason: int | None = None
    is_modified: bool = False


class Transaction:
    """On FlowTables `tables`, which know of it until it is over."""

    def __init__(self, tables: Any):
        self.tables = tables
        self.changes: list[Change] = []
        self.is_switched = False
        self._heirs: list[tuple[Rule, Rule]] = []
        self._groups: dict[int, Any] | None = None
        tables.pending = self

    @contextlib.contextmanager
    def ahead(self) -> Iterator[None]:
        """For a step that makes changes, by the methods of FlowTables and GroupTable."""
        xbridge = self.tables.xbridge
        committed = xbridge.groups
        if self._groups is not None:
            xbridge.groups = self._groups
        xbridge.view.enter()
        self.tables.transaction = self
        try:
            yield
        finally:
            self.tables.transaction = None
            xbridge.view.leave()
            xbridge.groups = committed

    def own_groups(self) -> None:
        """Groups are about to change: within ahead()."""
        if self._groups is None:
            xbridge = self.tables.xbridge
            self._groups = xbridge.groups = dict(xbridge.groups)

    @property
    def has_groups(self) -> bool:
        """Whether groups may have changed."""
        return self._groups is not None

    def note(self, change: Change, keeps_counters: bool = False) -> None:
        """The tables have changed."""
        self.changes.append(change)
        if change.old is not None and keeps_counters:
            self._heirs.append((change.rule, change.old))

    def switch(self) -> None:
        """Make it what everybody sees."""
        tables, xbridge = self.tables, self.tables.xbridge
        self.is_switched = True
        self.changes.reverse()  # rest() takes them from the end
        for rule, old in self._heirs:
            rule.inherit(old)
        if self._groups is not None:
            xbridge.groups = self._groups
        xbridge.view.switch()
        for _number, table in tables.tables():
            table.switched()
        xbridge.touch("flow_table")

    def rest(self) -> Iterator[None]:
        """Steps for the changes: after switch(), to tell of them and to free what went; without
        switch(), to undo them.  Whoever else goes on with the rest, each change has its turn."""
        step = self.tables.settle if self.is_switched else self.tables.revert
        while self.changes:
            for _ in range(AT_ONCE):
                if self.changes:
                    containment.call("transaction", "", step, self.changes.pop())
            yield
        self._heirs.clear()
        if self.tables.pending is self:
            self.tables.pending = None
            self.tables.learned.bury()
