"""Changes of very many flows, done in slices of the loop (table_work.py): FLOW_MODs, and what goes
with a group, a meter or a flow that taught others; and an ADD that is compared with very many.

Selection and check come first, so that what is refused has changed nothing; then the flows are
changed piece by piece, and packets may meet some that are and some that are not yet, as in Open
vSwitch while it works through a table.

The journal has such a message from its beginning on.  A flow that a packet has taught, or taught
anew, since then, and that the message reaches afterwards, has a record of its own: replayed, the
lesson comes after the message.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from ofproto.changes.table_work import TableWork
from ofproto.codec.errors import OFError
from ofproto.codec.numbers import OFPRR_DELETE
from ofproto.rules.classifier import Rule
from ofproto.tables.flow_table import (
    ADD,
    CHECK_OVERLAP,
    DELETE,
    MODIFY,
    check_mod,
    drain,
    flow_filter,
)
from ofproto.tables.removal import remove_plain
from pyvs import clock, coverage

MANY = 1000  # flows, with fewer of which a change is made at once
STEP = 100  # flows in one step
MANY_COMPARED = 10_000  # flows, with fewer of which an ADD is compared at once

SLICED = coverage.counter("ofproto_long_flow_mod")


class LongMods:
    """Those of a bridge."""

    def __init__(self, tables: Any, log: Any, work: TableWork):
        self._tables = tables
        self._log = log
        self._work = work
        self._n_under_way = 0
        self._taught: set[Any] = set()  # rules, since the first of those under way began

    # --- lessons meanwhile

    def note_taught(self, rule: Any) -> None:
        """A packet has taught a rule, or taught it anew, and the journal has that."""
        if self._n_under_way:
            self._taught.add(rule)

    def was_taught(self, rule: Any) -> bool:
        """Whether the journal has to be told when the rule goes."""
        return rule in self._taught

    # --- what is done

    def takes(self, mod: Any) -> bool:
        """Whether a FLOW_MOD may be so much work that it is done here."""
        if len(self._tables) <= MANY:
            return False
        if mod.command == ADD:
            return self._compares_many(mod)
        if mod.command not in (MODIFY, DELETE):
            return False
        check_mod(mod)
        return self._tables.n_candidates(mod.match, mod.table_id) > MANY

    def _compares_many(self, mod: Any) -> bool:
        if not mod.flags & CHECK_OVERLAP:
            return False
        check_mod(mod)
        overlap = self._tables.overlap(mod)
        table = self._tables.xbridge.table(mod.table_id or 0)
        return overlap is not None and overlap.n_candidates(table) > MANY_COMPARED

    def start(
        self, peer: Any, mod: Any, version: int, now: int, refuse: Callable[[OFError], None]
    ) -> None:
        """Execute a FLOW_MOD of a peer.  Raises OFError for what is refused at once."""
        if mod.command == ADD:
            overlap = self._tables.overlap(mod)
            self._begin(self._add_alone(mod, overlap, version, now), peer, refuse)
            return
        if self._tables.remove_whole(mod):
            return
        pieces = self._tables.select_in_pieces(mod.match, mod.table_id)
        cleared = self._tables.n_cleared
        self._begin(self._flow_mod(pieces, mod, version, now, cleared), peer, refuse)

    def remove(
        self,
        rules: list[Any],
        reason: int,
        belongs: Callable[[Any], bool],
        then: Callable[[], None],
    ) -> bool:
        """Remove rules as long as they belong() to what is deleted, and do `then` at the end; for
        the connection whose message is handled.  Returns False where they are few."""
        if len(rules) <= MANY:
            return False
        requester = self._tables.requester
        self._begin(self._remove(rules, reason, belongs, then), requester and requester[0])
        return True

    def _begin(
        self, steps: Iterator[None], peer: Any, refuse: Callable[[OFError], None] | None = None
    ) -> None:
        SLICED.count += 1
        self._n_under_way += 1
        self._work.start("FLOW_MOD", self._steps(steps, self._tables.requester), peer, refuse)

    def bundled(
        self, mod: Any, version: int, now: int, requester: tuple[Any, int]
    ) -> Iterator[None]:
        """The steps of a FLOW_MOD that takes() took, within a transaction that undoes all of it
        when they end with an OFError."""
        SLICED.count += 1
        self._n_under_way += 1
        change = self._add_bundled if mod.command == ADD else self._change_bundled
        yield from self._steps(change(mod, version, now), requester)

    def _steps(self, steps: Iterator[None], requester: Any) -> Iterator[None]:
        """Each step on behalf of who asked for it: flow monitors are told."""
        try:
            while True:
                self._tables.requester = requester
                try:
                    next(steps)
                except StopIteration:
                    return
                finally:
                    self._tables.requester = None
                yield
        finally:
            self._n_under_way -= 1
            if not self._n_under_way:
                self._taught.clear()

    def _change_bundled(self, mod: Any, version: int, now: int) -> Iterator[None]:
        found: list[Any] = []
        yield from self._select(mod, found)
        if mod.command == MODIFY and not found:
            self._tables.modify([], mod, version, now)
        for some in drain(found, STEP):
            if mod.command == MODIFY:
                there = [rule for rule in some if self._is_there(rule)]
                if there:
                    self._tables.modify(there, mod, version, now)
            else:
                for rule in some:
                    self._tables.remove(rule, OFPRR_DELETE)
            yield
        self._tables.learned.bury()

    def _add_bundled(self, mod: Any, version: int, now: int) -> Iterator[None]:
        yield from self._compare(mod, self._tables.overlap(mod))
        self._tables.add_alone(mod, version, now)

    def _is_there(self, rule: Any) -> bool:
        return rule in self._tables.xbridge.table(rule.table_id)

    def _flow_mod(
        self, pieces: Iterator[list[Any]], mod: Any, version: int, now: int, cleared: int
    ) -> Iterator[None]:
        found: list[Any] = []
        yield from self._select(mod, found, pieces)
        if mod.command == MODIFY and cleared == self._tables.n_cleared:
            yield from self._modify(found, mod, version, now)
        if mod.command == MODIFY:  # of flows that others deleted meanwhile, all of them
            return
        for some in drain(found, STEP):
            rest = some if self._taught else remove_plain(self._tables, some)
            for rule in rest:
                self._tables.remove(rule, OFPRR_DELETE)
            yield

    def _select(
        self, mod: Any, found: list[Any], pieces: Iterator[list[Any]] | None = None
    ) -> Iterator[None]:
        """The rules that a FLOW_MOD means, into `found`."""
        passes = flow_filter(mod, with_outputs=mod.command == DELETE)
        for some in pieces or self._tables.select_in_pieces(mod.match, mod.table_id):
            found += some if passes is None else filter(passes, some)
            yield

    @contextlib.contextmanager
    def _refused_in_replay(self, mod: Any, now: int) -> Iterator[None]:
        """A replay might let in what is refused here: it knows no limits of tables, nor what was
        taught meanwhile.  A flow that is there (taught, too) has a record of its own."""
        try:
            yield
        except OFError:
            table_id = mod.table_id or 0
            if self._tables.xbridge.table(table_id).find_exactly(mod.match, mod.priority) is None:
                self._log.deleted(Rule(mod.match, mod.priority, table_id=table_id), now)
            raise

    def _add_alone(self, mod: Any, overlap: Any, version: int, now: int) -> Iterator[None]:
        with self._refused_in_replay(mod, now):
            yield from self._compare(mod, overlap)
            self._tables.add_alone(mod, version, now)

    def _compare(self, mod: Any, overlap: Any) -> Iterator[None]:
        """Raises OFError when a flow overlaps with an ADD's."""
        for some in drain(self._tables.xbridge.table(mod.table_id or 0).rules(), MANY):
            if overlap.among(some) is not None:
                raise OFError("OFPFMFC_OVERLAP")
            yield
        if self._tables.overlap(mod) and overlap.among(self._taught_in(mod.table_id or 0)):
            raise OFError("OFPFMFC_OVERLAP")

    def _taught_in(self, table_id: int) -> list[Any]:
        return [rule for rule in self._taught if rule.table_id == table_id]

    def _add(self, mod: Any, version: int, now: int) -> None:
        """1.0 and 1.1 add what is not there to be modified."""
        with self._refused_in_replay(mod, now):
            self._tables.modify([], mod, version, now)

    def _modify(self, found: list[Any], mod: Any, version: int, now: int) -> Iterator[None]:
        if not found:
            self._add(mod, version, now)
        for some in _pieces(found):
            self._tables.check(some, mod, version)
            yield
        for some in drain(found, STEP):
            there = [rule for rule in some if self._is_there(rule)]
            now = clock.msec()  # packets that came before, and are counted later, teach no more
            if there:
                self._tables.modify(there, mod, version, now)
            for rule in self._taught.intersection(there):
                self._log.added(rule, now)
            yield
        self._tables.learned.bury()

    def _remove(
        self, rules: list[Any], reason: int, belongs: Callable[[Any], bool],
        then: Callable[[], None],
    ) -> Iterator[None]:  # fmt: skip
        for some in drain(rules, STEP):
            for rule in some:
                if belongs(rule):
                    self._tables.remove(rule, reason)
            yield
        then()


def _pieces(rules: list[Any]) -> Iterator[list[Any]]:
    for at in range(0, len(rules), STEP):
        yield rules[at : at + STEP]
