"""What a bridge's journal says of its flows, groups and meters: records written, and all of it
restored."""

from collections.abc import Iterator
from typing import Any

import ovs.vlog

from ofproto import messages
from ofproto.action_base import OF10, OF13
from ofproto.classifier import Rule
from ofproto.errors import OFError
from ofproto.flow_table import ADD, DELETE_STRICT, FlowTables
from ofproto.group import GroupTable, as_mod
from ofproto.journal import (
    CLEAR,
    FLOW_MOD,
    FLOW_MOD_TABLE_ID,
    GROUP_MOD,
    METER_MOD,
    STATE,
    Journal,
)
from ofproto.messages import METER_ADD
from ofproto.meter import meter_mod

vlog = ovs.vlog.Vlog("flow_log")


class FlowLog:
    """Of one bridge.  A FLOW_MOD or GROUP_MOD is written before it is executed: one that fails
    fails again when it is replayed."""

    def __init__(self, path: str | None, tables: FlowTables, groups: GroupTable | None = None):
        self.tables = tables
        self.groups = GroupTable(tables) if groups is None else groups
        self.state: bytes | None = None
        self._journal = Journal(path)

    def restore(self, now: int) -> bytes | None:
        """Replay; returns the state that was noted last, None for an empty journal."""
        for kind, when, payload in self._journal.replay():
            if kind in _REPLAY:
                _REPLAY[kind](self, payload, when)
        for rule in self.tables.rules():
            rule.used = now  # nobody knows better, and no idle timeout is to end now
        if self.state is not None:
            vlog.info(f"{self._journal.path}: {len(self.tables)} flows restored")
        return self.state

    def _replay_mod(self, payload: bytes, when: int, table_id: bool = False) -> None:
        try:
            mod = messages.decode(payload, flow_mod_table_id=table_id)
            self.tables.flow_mod(mod, mod.version, when)
        except OFError as error:
            vlog.dbg(f"replaying: {error}")

    def _replay_table_id(self, payload: bytes, when: int) -> None:
        self._replay_mod(payload, when, True)

    def _replay_group_mod(self, payload: bytes, when: int) -> None:
        try:
            mod = messages.decode(payload)
            self.groups.group_mod(mod, mod.version, when)
        except OFError as error:
            vlog.dbg(f"replaying: {error}")

    def _replay_meter_mod(self, payload: bytes, when: int) -> None:
        try:
            meter_mod(self.tables, messages.decode(payload), when)
        except OFError as error:
            vlog.dbg(f"replaying: {error}")

    def _replay_clear(self, _payload: bytes, when: int) -> None:
        self.tables.clear(when)

    def _replay_state(self, payload: bytes, _when: int) -> None:
        self.state = payload

    # --- writing

    def flow_mod(self, raw: bytes, table_id: bool, now: int) -> None:
        """A whole FLOW_MOD message; `table_id`: of a peer with NXT_FLOW_MOD_TABLE_ID on."""
        self._journal.append(FLOW_MOD_TABLE_ID if table_id else FLOW_MOD, raw, now)

    def group_mod(self, raw: bytes, now: int) -> None:
        """A whole GROUP_MOD message."""
        self._journal.append(GROUP_MOD, raw, now)

    def meter_mod(self, raw: bytes, now: int) -> None:
        """A whole METER_MOD message; the flows that it deletes need no records."""
        self._journal.append(METER_MOD, raw, now)

    def added(self, rule: Rule, now: int) -> None:
        """A rule that no FLOW_MOD made."""
        self._journal.append(FLOW_MOD_TABLE_ID, _as_mod(rule, ADD), now)

    def deleted(self, rule: Rule, now: int) -> None:
        """A rule that no FLOW_MOD removed."""
        self._journal.append(FLOW_MOD_TABLE_ID, _as_mod(rule, DELETE_STRICT), now)

    def cleared(self, state: bytes, now: int) -> None:
        """All rules and groups went; `state`, a byte, is given back by restore()."""
        self._journal.append(CLEAR, b"", now)
        self.note(state, now)

    def note(self, state: bytes, now: int) -> None:
        """Another state, with the rules as they are."""
        self.state = state
        self._journal.append(STATE, state, now)

    def run(self, now: int) -> None:
        """Shorten the journal when it has grown."""
        if self._journal.has_grown and self._journal.wants_compaction(self._n_needed()):
            self._journal.rewrite(self._present(now))

    def _n_needed(self) -> int:
        return len(self.tables) + len(self.groups) + len(self.tables.meters) + 1

    def _present(self, now: int) -> Iterator[tuple[bytes, int, bytes]]:
        if self.state is not None:
            yield STATE, now, self.state
        for group in self.groups.groups.values():
            yield GROUP_MOD, group.created, as_mod(group)
        for meter in self.tables.meters.by_id.values():
            mod = messages.MeterMod(METER_ADD, meter.flags, meter.meter_id, meter.bands)
            yield METER_MOD, meter.created, mod.encode(OF13)
        for rule in self.tables.rules():
            yield FLOW_MOD_TABLE_ID, rule.created, _as_mod(rule, ADD)

    def close(self, delete: bool = False) -> None:
        """Stop; `delete`: the bridge is gone for good."""
        self._journal.close(delete)


def _as_mod(rule: Rule, command: int) -> bytes:
    """A FLOW_MOD of this command for a rule, in the version that its instructions came with."""
    mod = messages.FlowMod(
        command=command,
        match=rule.match,
        priority=rule.priority,
        cookie=rule.cookie,
        table_id=rule.table_id,
        idle_timeout=rule.idle_timeout,
        hard_timeout=rule.hard_timeout,
        flags=rule.flags,
        importance=rule.importance,
        instructions=rule.actions if command == ADD else [],
    )
    version = rule.data or OF13
    if version == OF10:
        return mod.encode(OF10, nxm=True, table_id_in_command=True)
    return mod.encode(version)


_REPLAY: dict[bytes, Any] = {
    FLOW_MOD: FlowLog._replay_mod,
    FLOW_MOD_TABLE_ID: FlowLog._replay_table_id,
    GROUP_MOD: FlowLog._replay_group_mod,
    METER_MOD: FlowLog._replay_meter_mod,
    CLEAR: FlowLog._replay_clear,
    STATE: FlowLog._replay_state,
}
