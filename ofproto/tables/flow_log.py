"""A bridge's journal as its tables need it: records written, all of it restored, and shortened."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import ovs.vlog

from ofproto.codec import messages
from ofproto.codec.messages import METER_ADD
from ofproto.codec.numbers import OF10, OF11, OF13
from ofproto.rules.classifier import Rule
from pyvs import collector, containment

from .flow_table import ADD, CHECK_OVERLAP, DELETE_STRICT, RESET_COUNTS, FlowTables
from .group import GroupTable, as_mod
from .journal import (
    BUNDLE_END,
    BUNDLE_PART,
    CLEAR,
    FLOW_MOD,
    FLOW_MOD_TABLE_ID,
    GROUP_MOD,
    METER_MOD,
    STATE,
    TAUGHT,
    TLV_TABLE_MOD,
    Journal,
)
from .mod_plan import ModPlans
from .replay import Replay
from .tlv_table import TlvTable

vlog = ovs.vlog.Vlog("flow_log")

# How long packets and messages wait at most for a part of a shorter journal.
SLICE_SECONDS = 0.002
BATCH = 32  # rules between looks at the clock
# After a failure to write: how long until all is written anew, and how long at most after the next.
RETRY_MS, LONGEST_RETRY_MS = 10_000, 300_000


class FlowLog:
    """Of one bridge.  A FLOW_MOD, GROUP_MOD or METER_MOD is written when it was executed; one that
    takes many turns of the loop when it begins."""

    def __init__(
        self,
        path: str | None,
        tables: FlowTables,
        groups: GroupTable | None = None,
        tlv_table: TlvTable | None = None,
        plans: ModPlans | None = None,
    ):
        self.tables = tables
        self.tlv_table = TlvTable() if tlv_table is None else tlv_table
        self.groups = GroupTable(tables) if groups is None else groups
        self.state: bytes | None = None
        self.lacks_state = False  # it was damaged: the flows are there without it
        self._plans = plans
        self._journal = Journal(path)
        # While the journal is written anew: the rules of its start that are not in it yet.
        self._pending: set[Rule] = set()
        self._held = False
        self._retry_at: int | None = None  # after a failure
        self._pause = RETRY_MS

    def restore(self, now: int) -> bytes | None:
        """Replay; returns the state that was noted last, None for an empty journal."""
        for _ in self.restoring(lambda: now):
            pass
        return self.state

    def restoring(self, msec: Callable[[], int]) -> Iterator[None]:
        """restore(), as many steps of little work, which may take seconds; `msec()` gives the time.
        Nothing is to be written before the last."""
        replay = Replay(self.tables, self.groups, self.tlv_table, self._plans)
        with collector.paused():
            for record in self._journal.replay():
                yield from replay.steps(*record, self._journal.path)
        for number, rule in enumerate(self.tables.rules()):
            if number % BATCH == 0:
                yield
                now = msec()
            rule.used = now  # nobody knows better, and no idle timeout is to end now
        self.state = replay.state
        self.lacks_state = self.state is None and replay.is_damaged and len(self.tables) > 0
        if self.state is not None or self.lacks_state:
            vlog.info(f"{self._journal.path}: {len(self.tables)} flows restored")

    # --- writing

    def flow_mod(self, raw: bytes, table_id: bool, now: int) -> None:
        """A whole FLOW_MOD message; `table_id`: of a peer with NXT_FLOW_MOD_TABLE_ID on."""
        self._journal.append(FLOW_MOD_TABLE_ID if table_id else FLOW_MOD, raw, now)

    def flush(self) -> None:
        """See to it that what was noted outlives the process."""
        self._journal.flush()

    def group_mod(self, raw: bytes, now: int) -> None:
        """A whole GROUP_MOD message."""
        self._journal.append(GROUP_MOD, raw, now)

    def meter_mod(self, raw: bytes, now: int) -> None:
        """A whole METER_MOD message; the flows that it deletes need no records."""
        self._journal.append(METER_MOD, raw, now)

    def tlv_table_mod(self, raw: bytes, now: int) -> None:
        """A whole TLV_TABLE_MOD message."""
        self._journal.append(TLV_TABLE_MOD, raw, now)

    # --- a bundle: all of it, or none

    def hold(self) -> None:
        """Changes in many steps begin; until release() no shortening of the journal does."""
        self._held = True

    def release(self) -> None:
        self._held = False

    def bundled(self, number: bytes, raws: list[bytes], now: int) -> None:
        """Some whole messages of the bundle of that number (8 bytes)."""
        self._journal.append(BUNDLE_PART, number + b"".join(raws), now, len(raws))

    def bundle_done(self, number: bytes, now: int) -> None:
        """What came of a bundle counts from here on."""
        self._journal.append(BUNDLE_END, number, now)

    def added(self, rule: Rule, now: int) -> None:
        """A rule that no FLOW_MOD made."""
        self._journal.append(_kind(rule), _as_mod(rule, ADD), now)

    def deleted(self, rule: Rule, now: int) -> None:
        """A rule that no FLOW_MOD removed."""
        self._journal.append(FLOW_MOD_TABLE_ID, _as_mod(rule, DELETE_STRICT), now)

    def cleared(self, state: bytes, now: int) -> None:
        """All rules and groups went; `state`, a byte, is given back by restore()."""
        self._journal.cancel_rewrite()
        self._settle()
        self._journal.append(CLEAR, b"", now)
        self.note(state, now)

    def note(self, state: bytes, now: int) -> None:
        """Another state, with the rules as they are."""
        self.state = state
        self._journal.append(STATE, state, now)

    # --- shortening

    def run(self, now: int) -> None:
        """Shorten the journal when it has grown, a little at each call; so it comes back, too, when
        what kept it from being written (a disk that is full) may have passed."""
        journal = self._journal
        journal.flush()
        if journal.rewriting:
            self._guarded(self._go_on)
        elif self._pending:
            self._settle()  # the journal has ended
        elif self._held:
            pass
        elif journal.broken:
            self._begin_anew(now)
        elif journal.has_grown and journal.wants_compaction(self._n_needed()):
            self._guarded(self._start, now)

    def _begin_anew(self, now: int) -> None:
        """Later each time that it fails, for it may be much to write."""
        if self._retry_at is None:
            self._retry_at = now + self._pause
        elif now >= self._retry_at:
            self._retry_at = None
            self._pause = min(2 * self._pause, LONGEST_RETRY_MS)
            if self._journal.begin_anew():
                self._guarded(self._start, now)

    def _guarded(self, step: Any, *args: Any) -> None:
        """What cannot be written leaves the old journal, which is longer, not less true."""
        try:
            step(*args)
        except Exception:
            containment.caught("journal", self._journal.path or "")
            self._journal.cancel_rewrite()
            self._journal.put_off()
            self._settle()

    def _n_needed(self) -> int:
        return len(self.tables) + len(self.groups) + len(self.tables.meters) + 1

    def wait(self, poller: Any) -> None:
        """Do not sleep while there is more to write."""
        if self._journal.rewriting:
            poller.immediate_wake()

    def _start(self, now: int) -> None:
        """Write groups and meters, which are few; the rules of now take their turns."""
        journal = self._journal
        journal.start_rewrite()
        if self.state is not None:
            journal.rewrite(STATE, self.state, now)
        maps = self.tlv_table.as_mod()
        if maps is not None:
            journal.rewrite(TLV_TABLE_MOD, maps.encode(OF13), now)
        for group in self.groups.groups.values():
            journal.rewrite(GROUP_MOD, as_mod(group), group.created)
        for meter in self.tables.meters.by_id.values():
            mod = messages.MeterMod(METER_ADD, meter.flags, meter.meter_id, meter.bands)
            journal.rewrite(METER_MOD, mod.encode(OF13), meter.created)
        self._pending = self.tables.all_rules()
        self.tables.changing = self._write_before_change

    def _go_on(self) -> None:
        end = time.monotonic() + SLICE_SECONDS
        while self._pending:
            for _ in range(min(len(self._pending), BATCH)):
                self._write(self._pending.pop())
            if time.monotonic() >= end:
                return
        self._journal.finish_rewrite()
        if not self._journal.broken:
            self._pause = RETRY_MS
        self._settle()

    def _write(self, rule: Rule) -> None:
        self._journal.rewrite(_kind(rule), _as_mod(rule, ADD), rule.created)

    def _write_before_change(self, rules: list[Rule]) -> None:
        """The change is in the records that come later.  (Removed rules stay what they are.)"""
        for rule in rules:
            if rule in self._pending:
                self._pending.discard(rule)
                self._write(rule)

    def _settle(self) -> None:
        self._pending = set()
        self.tables.changing = None

    def close(self, delete: bool = False) -> None:
        """Stop; `delete`: the bridge is gone for good."""
        self._journal.close(delete)


def _kind(rule: Rule) -> bytes:
    """Of the record that adds a rule; one that a MODIFY added goes as one that was taught."""
    was_taught = rule.data in (OF10, OF11) and not rule.flags & RESET_COUNTS
    return TAUGHT if was_taught else FLOW_MOD_TABLE_ID


def _as_mod(rule: Rule, command: int) -> bytes:
    """A FLOW_MOD of this command for a rule, in the version that its instructions came with."""
    instructions: Any = []
    if command == ADD:
        instructions = rule.actions if rule.raw is None else rule.raw.data
    mod = messages.FlowMod(
        command=command,
        match=rule.match,
        priority=rule.priority,
        cookie=rule.cookie,
        table_id=rule.table_id,
        idle_timeout=rule.idle_timeout,
        hard_timeout=rule.hard_timeout,
        flags=rule.flags & ~CHECK_OVERLAP,  # what was let in may overlap with later ones
        importance=rule.importance,
        instructions=instructions,
    )
    version = rule.data or OF13
    if version == OF10:
        return mod.encode(OF10, nxm=True, table_id_in_command=True)
    return mod.encode(version)
