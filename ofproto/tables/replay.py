"""What a journal's records mean to the tables: how they become what they were."""

from collections.abc import Iterator
from typing import Any

import ovs.vlog

from ofproto.codec import messages
from ofproto.codec.errors import OFError
from ofproto.codec.messages.base import find
from ofproto.codec.numbers import OFPRR_DELETE
from pyvs import containment

from .flow_table import DELETE, MODIFY, RESET_COUNTS, FlowTables, check_mod, flow_filter
from .group import GroupTable
from .journal import (
    BUNDLE_END,
    BUNDLE_PART,
    CLEAR,
    DAMAGED,
    FLOW_MOD,
    FLOW_MOD_TABLE_ID,
    GROUP_MOD,
    METER_MOD,
    NUMBER_SIZE,
    STATE,
    TAUGHT,
    TLV_TABLE_MOD,
    WAIT,
)
from .meter import meter_mod
from .mod_plan import ModPlans
from .tlv_table import TlvTable

vlog = ovs.vlog.Vlog("flow_log")

OFPT_FLOW_MOD = 14
BATCH = 100  # flows that are changed in one step
Steps = Iterator[None] | None  # that are left to do
_END = object()


class Replay:
    """Of one bridge's journal, into tables that were empty.  `state` is what was noted last.

    With `plans` most of it is done by them, as when it came.
    """

    def __init__(
        self,
        tables: FlowTables,
        groups: GroupTable,
        tlv_table: TlvTable,
        plans: ModPlans | None = None,
    ):
        self.tables = tables
        self.groups = groups
        self.tlv_table = tlv_table
        self.state: bytes | None = None
        self._plans = plans
        self._bundle: tuple[bytes, list[bytes]] = (b"", [])  # number, messages
        # What was damaged may have been the beginning of the next bundle, which nobody is to get
        # in part; the number of such a one.
        self._may_lack = False
        self._lacks = b""
        self.is_damaged = False
        self._state_is_old = False  # another may have stood where the damage is

    def steps(self, kind: bytes, when: int, payload: bytes, path: Any) -> Iterator[None]:
        """Do what a record of the journal at `path` says, in steps of little work."""
        if self._state_is_old and kind != DAMAGED:
            self._state_is_old, self.state = False, None
        done = _REPLAY.get(kind)
        if done is None:
            return
        # One that caused a fault when it came does so again.
        where = ("journal replay", path or "")
        for each in self._bundled(payload) if kind == BUNDLE_END else ((done, payload),):
            more = containment.call(*where, each[0], self, each[1], when)
            yield
            while more and containment.call(*where, next, more, _END, default=_END) is not _END:
                yield

    def _mod(self, payload: bytes, when: int, table_id: bool = False) -> Steps:
        if self._plans is not None and self._plans.run(payload, table_id, when) is not None:
            return None
        try:
            mod = self._decoded(payload, table_id)
            if mod.command in (MODIFY, DELETE):
                return self._many(mod, when)
            self.tables.flow_mod(mod, mod.version, when)
        except OFError as error:
            vlog.dbg(f"replaying: {error}")
            return None
        if self._plans is not None:
            self._plans.learn(payload, mod, table_id)
        return None

    def _many(self, mod: Any, when: int) -> Iterator[None]:
        """What changes or deletes many flows, maybe; nobody sees it half done."""
        found: list[Any] = []
        passes = flow_filter(mod, with_outputs=mod.command == DELETE)
        try:
            check_mod(mod)
            for some in self.tables.select_in_pieces(mod.match, mod.table_id):
                found += some if passes is None else filter(passes, some)
                yield
            if mod.command == MODIFY and not found:
                self.tables.modify([], mod, mod.version, when)
            for at in range(0, len(found), BATCH):
                self._change(found[at : at + BATCH], mod, when)
                yield
        except OFError as error:
            vlog.dbg(f"replaying: {error}")

    def _change(self, rules: list[Any], mod: Any, when: int) -> None:
        if mod.command == MODIFY:
            self.tables.modify(rules, mod, mod.version, when)
        else:
            for rule in rules:
                self.tables.remove(rule, OFPRR_DELETE)
        self.tables.learned.bury()

    def _decoded(self, payload: bytes, table_id: bool = False) -> Any:
        mod = messages.decode(payload, flow_mod_table_id=table_id)
        self.tlv_table.layout.of_message(mod)
        return mod

    def _mod_with_table(self, payload: bytes, when: int) -> Steps:
        return self._mod(payload, when, True)

    def _taught(self, payload: bytes, when: int) -> None:
        try:
            mod = self._decoded(payload, True)
            self.tables.flow_mod(mod, mod.version, when)
        except OFError as error:
            vlog.dbg(f"replaying: {error}")
            return
        rule = self.tables.xbridge.table(mod.table_id).find_exactly(mod.match, mod.priority)
        if rule is not None:
            rule.flags &= ~RESET_COUNTS

    def _tlv_table_mod(self, payload: bytes, _when: int) -> None:
        try:
            self.tlv_table.modify(messages.decode(payload))
        except OFError as error:
            vlog.dbg(f"replaying: {error}")

    def _group_mod(self, payload: bytes, when: int) -> None:
        try:
            mod = self._decoded(payload)
            self.groups.group_mod(mod, mod.version, when)
        except OFError as error:
            vlog.dbg(f"replaying: {error}")

    def _meter_mod(self, payload: bytes, when: int) -> None:
        try:
            meter_mod(self.tables, messages.decode(payload), when)
        except OFError as error:
            vlog.dbg(f"replaying: {error}")

    def _clear(self, _payload: bytes, when: int) -> None:
        self.tables.clear(when)

    def _note(self, payload: bytes, _when: int) -> None:
        self.state = payload

    def _part(self, payload: bytes, _when: int) -> None:
        number = payload[:NUMBER_SIZE]
        if self._may_lack:
            self._may_lack, self._lacks = False, number
        if number == self._lacks:
            return
        if self._bundle[0] != number:
            self._bundle = (number, [])
        at = NUMBER_SIZE
        while at < len(payload):
            size = int.from_bytes(payload[at + 2 : at + 4], "big")
            self._bundle[1].append(payload[at : at + size])
            at += max(size, 1)

    def _damaged(self, _payload: bytes, _when: int) -> None:
        self._bundle = (b"", [])
        self._may_lack = self.is_damaged = self._state_is_old = True

    def _bundled(self, payload: bytes) -> Iterator[tuple[Any, bytes]]:
        """What the messages, up to a million, of the bundle that has this number do."""
        number, raws = self._bundle
        self._bundle = (b"", [])
        self._may_lack = False
        for raw in raws if number == payload else ():
            yield Replay._part_of_bundle, raw

    def _part_of_bundle(self, raw: bytes, when: int) -> Steps:
        if raw[1] == OFPT_FLOW_MOD:  # most of them
            return self._mod(raw, when)
        form, _at = find(raw)  # Nicira's, too, which are all of one type
        return _IN_BUNDLES[form.cls](self, raw, when)


_IN_BUNDLES = {messages.FlowMod: Replay._mod, messages.GroupMod: Replay._group_mod}
_REPLAY: dict[bytes, Any] = {
    FLOW_MOD: Replay._mod,
    FLOW_MOD_TABLE_ID: Replay._mod_with_table,
    TAUGHT: Replay._taught,
    GROUP_MOD: Replay._group_mod,
    METER_MOD: Replay._meter_mod,
    TLV_TABLE_MOD: Replay._tlv_table_mod,
    CLEAR: Replay._clear,
    STATE: Replay._note,
    DAMAGED: Replay._damaged,
    BUNDLE_PART: Replay._part,
    BUNDLE_END: Replay._bundled,
    WAIT: lambda _replay, _payload, _when: None,
}
