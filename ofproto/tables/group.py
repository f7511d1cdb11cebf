"""The group table of a bridge: what a GROUP_MOD does to it, and what of it is told.

Translation reads the same dict of XGroups (`XBridge.groups`).  As in Open vSwitch a bucket may
name a group that is not there, or that leads back: such a packet goes nowhere, or is dropped at
the depth where translation ends.  Flows name groups that exist, and go with them.

Source: OpenFlow 1.3.5 6.5, 7.3.4.2, 7.3.5.9 to 7.3.5.11.
"""

from itertools import count
from typing import Any

from ofproto.codec import messages
from ofproto.codec.actions import check_actions
from ofproto.codec.actions.base import CheckContext
from ofproto.codec.errors import OFError
from ofproto.codec.messages import (
    BUCKET_ALL,
    BUCKET_FIRST,
    BUCKET_LAST,
    GROUP_ADD,
    GROUP_ADD_OR_MODIFY,
    GROUP_ALL,
    GROUP_DELETE,
    GROUP_FAST_FAILOVER,
    GROUP_INDIRECT,
    GROUP_INSERT_BUCKET,
    GROUP_MODIFY,
    GROUP_REMOVE_BUCKET,
    GROUP_SELECT,
    OFPG_ALL,
)
from ofproto.codec.numbers import N_VISIBLE_TABLES, OF13, OF15, OFPP_NONE, OFPRR_GROUP_DELETE
from ofproto.rules.compile import compile_actions, compile_fields
from ofproto.xlate.bridges.xgroup import XBucket, XGroup

from . import group_log
from .flow_table import FlowTables
from .sizes import check_group

OFPG_MAX = BUCKET_MAX = 0xFFFFFF00
ALL_TYPES = 1 << GROUP_ALL | 1 << GROUP_SELECT | 1 << GROUP_INDIRECT | 1 << GROUP_FAST_FAILOVER
# OFPGFC_*: weights and liveness of select, groups in buckets; loops are not looked for.
CAPABILITIES = 1 << 0 | 1 << 1 | 1 << 2


class _Anything:
    """The groups and meters that a bucket may name."""

    def __contains__(self, _number: int) -> bool:
        return True


class GroupTable:
    """Of the bridge whose flows are `tables`.  Times in monotonic milliseconds.

    `adds_replace`: who adds a group that is there means that one, and puts it back.
    """

    def __init__(self, tables: FlowTables):
        self.tables = tables
        self.adds_replace = False

    @property
    def groups(self) -> dict[int, XGroup]:
        """By number: those of the version that is seen."""
        return self.tables.xbridge.groups

    def __len__(self) -> int:
        return len(self.groups)

    def group_mod(self, mod: Any, version: int, now: int) -> None:
        """Execute a messages.GroupMod.  Raises OFError; then nothing is changed."""
        _check(mod)
        if self.tables.transaction is not None:
            self.tables.transaction.own_groups()
        command = mod.command
        if command == GROUP_ADD_OR_MODIFY or (self.adds_replace and command == GROUP_ADD):
            command = GROUP_MODIFY if mod.group_id in self.groups else GROUP_ADD
        _COMMANDS[command](self, mod, version, now)

    def _add(self, mod: Any, version: int, now: int) -> None:
        if mod.group_id > OFPG_MAX:
            raise OFError("OFPGMFC_INVALID_GROUP", f"group {mod.group_id:#x}")
        if mod.group_id in self.groups:
            raise OFError("OFPGMFC_GROUP_EXISTS", f"group {mod.group_id}")
        buckets = _buckets(mod.type, mod.buckets, version)
        self._put(XGroup(mod.group_id, mod.type, buckets, now, version, *_selection(mod)))

    def _modify(self, mod: Any, version: int, _now: int) -> None:
        old = self.groups.get(mod.group_id)
        if old is None:
            raise OFError("OFPGMFC_UNKNOWN_GROUP", f"group {mod.group_id}")
        # Counters start anew, the group's life does not.
        buckets = _buckets(mod.type, mod.buckets, version)
        self._put(XGroup(mod.group_id, mod.type, buckets, old.created, version, *_selection(mod)))

    def _insert_buckets(self, mod: Any, version: int, _now: int) -> None:
        old, buckets = self._parts(mod)
        at = _place(buckets, mod.command_bucket_id)
        present = {bucket.bucket_id for bucket in buckets}
        for bucket in mod.buckets:
            if bucket.bucket_id in present:
                raise OFError("OFPGMFC_BUCKET_EXISTS", f"bucket {bucket.bucket_id}")
        if old.type != GROUP_SELECT and any(bucket.weight for bucket in mod.buckets):
            raise OFError("OFPGMFC_INVALID_GROUP", "only a select group has weights")
        if mod.command_bucket_id <= BUCKET_MAX:
            at += 1  # behind the one that is named
        self._replace(old, buckets[:at] + mod.buckets + buckets[at:], version)

    def _remove_buckets(self, mod: Any, version: int, _now: int) -> None:
        old, buckets = self._parts(mod)
        if mod.command_bucket_id == BUCKET_ALL:
            buckets = []
        elif mod.command_bucket_id == BUCKET_LAST:
            buckets = buckets[:-1]
        else:
            at = _place(buckets, mod.command_bucket_id)
            buckets = buckets[:at] + buckets[at + 1 :]
        self._replace(old, buckets, version)

    def _parts(self, mod: Any) -> tuple[XGroup, list[Any]]:
        """The group whose buckets change, and these."""
        old = self.groups.get(mod.group_id)
        if old is None:
            raise OFError("OFPGMFC_UNKNOWN_GROUP", f"group {mod.group_id}")
        return old, [bucket.source for bucket in old.buckets]

    def _replace(self, old: XGroup, buckets: list[Any], version: int) -> None:
        made = _buckets(old.type, buckets, version)
        self._put(
            XGroup(old.group_id, old.type, made, old.created, version, old.selection, old.fields)
        )

    def _put(self, group: XGroup) -> None:
        self.groups[group.group_id] = group
        self.tables.touch()
        group_log.tell(group)

    def _delete(self, mod: Any, _version: int, _now: int) -> None:
        named = list(self.groups) if mod.group_id == OFPG_ALL else [mod.group_id]
        doomed = {number: self.groups.pop(number) for number in named if number in self.groups}
        if not doomed:
            return
        self.tables.touch()
        users = [rule for number in doomed for rule in self.tables.users_of(number)]

        def belongs(rule: Any) -> bool:
            groups = (rule.program and rule.program.groups) or ()
            return any(number in doomed for number in groups)

        self.tables.remove_all(
            users, OFPRR_GROUP_DELETE, belongs, lambda: self.tables.dispose(doomed)
        )

    # --- reading

    def select(self, number: int) -> list[XGroup]:
        """One group, or with OFPG_ALL all of them by number; none where it is not there."""
        if number == OFPG_ALL:
            return [self.groups[each] for each in sorted(self.groups)]
        return [self.groups[number]] if number in self.groups else []

    def stats(self, group: XGroup, now: int) -> messages.GroupStats:
        """What GROUP statistics tell; the datapath's counters are to be credited before."""
        age = max(0, now - group.created)
        return messages.GroupStats(
            group.group_id,
            self.tables.n_users_of(group.group_id),
            group.n_packets,
            group.n_bytes,
            age // 1000,
            age % 1000 * 1_000_000,
            [(bucket.n_packets, bucket.n_bytes) for bucket in group.buckets],
        )


def describe(group: XGroup) -> messages.GroupDesc:
    """The group as GROUP_DESC tells it."""
    return messages.GroupDesc(
        group.group_id, group.type, [bucket.source for bucket in group.buckets], *group.selection
    )


def as_mod(group: XGroup) -> bytes:
    """A GROUP_MOD that adds the group, in the version that it came with."""
    made = describe(group)
    mod = messages.GroupMod(GROUP_ADD, made.type, made.group_id, made.buckets)
    mod.method, mod.parameter, mod.fields = group.selection
    try:
        return mod.encode(group.version)
    except (ValueError, OFError):
        # Only some of the buckets came with that version.
        return mod.encode(OF15 if mod.method else OF13)


def _place(buckets: list[Any], number: int) -> int:
    """Where a bucket is, or the first or last one is to be."""
    if number == BUCKET_FIRST:
        return 0
    if number > BUCKET_MAX:
        return len(buckets)
    for at, bucket in enumerate(buckets):
        if bucket.bucket_id == number:
            return at
    raise OFError("OFPGMFC_UNKNOWN_BUCKET", f"bucket {number}")


def _buckets(group_type: int, buckets: list[Any], version: int) -> list[XBucket]:
    """The buckets for translation, their actions checked; they have numbers afterwards."""
    check_group(group_type, buckets)
    made = []
    taken = {bucket.bucket_id for bucket in buckets}
    free = (number for number in count() if number not in taken)
    for bucket in buckets:
        if bucket.bucket_id is None:
            bucket.bucket_id = next(free)
        if bucket.program is None:
            bucket.program = _compile(bucket.actions, version)
        made.append(XBucket(bucket, bucket.program, bucket.bucket_id))
    return made


def _compile(actions: list[Any], version: int) -> Any:
    """A bucket's actions, checked, as a Program.  Raises OFError."""
    check_actions(
        actions, CheckContext(None, version, 0, N_VISIBLE_TABLES, _Anything(), _Anything())
    )
    try:
        return compile_actions(actions)
    except ValueError as error:
        raise OFError("OFPBAC_BAD_TYPE", str(error)) from None


def _selection(mod: Any) -> tuple[tuple, Any]:
    """What an XGroup wants of a GROUP_MOD: how to select, and the fields as a Program."""
    how = (mod.method, mod.parameter, tuple(mod.fields))
    if mod.method != "hash" or not mod.fields:
        return how, None
    try:
        return how, compile_fields(mod.fields)
    except ValueError as error:
        raise OFError("OFPBPC_BAD_VALUE", str(error)) from None


def _check(mod: Any) -> None:
    """What a GROUP_MOD of its type must have, whatever it is to do."""
    if mod.method not in ("", "hash", "dp_hash") or (not mod.method and mod.parameter > 1):
        raise OFError("OFPBPC_BAD_VALUE", f"selection_method {mod.method}, {mod.parameter}")
    n_buckets = len(mod.buckets)
    if mod.command == GROUP_INSERT_BUCKET:
        return  # the type is the group's
    if mod.command == GROUP_REMOVE_BUCKET and n_buckets:
        raise OFError("OFPGMFC_BAD_BUCKET", "a bucket to remove is only named")
    if mod.type == GROUP_INDIRECT and mod.command != GROUP_DELETE and n_buckets != 1:
        raise OFError("OFPGMFC_INVALID_GROUP", f"an indirect group of {n_buckets} buckets")
    for bucket in mod.buckets:
        if bucket.weight and mod.type != GROUP_SELECT:
            raise OFError("OFPGMFC_INVALID_GROUP", "only a select group has weights")
        watches = bucket.watch_port != OFPP_NONE or bucket.watch_group is not None
        if watches and mod.type in (GROUP_ALL, GROUP_INDIRECT):
            raise OFError("OFPGMFC_WATCH_UNSUPPORTED")
        if not watches and mod.type == GROUP_FAST_FAILOVER:
            raise OFError("OFPGMFC_INVALID_GROUP", "a fast failover bucket that watches nothing")


_COMMANDS = {
    GROUP_ADD: GroupTable._add,
    GROUP_MODIFY: GroupTable._modify,
    GROUP_DELETE: GroupTable._delete,
    GROUP_INSERT_BUCKET: GroupTable._insert_buckets,
    GROUP_REMOVE_BUCKET: GroupTable._remove_buckets,
}
