"""The TABLE_FEATURES of our tables: what a flow may match and do there.

All tables can do the same; only where goto_table may lead differs (OpenFlow 1.3.5 7.3.5.5).
"""

from collections.abc import Iterable
from functools import cache

from ofproto.codec.actions.base import WIRE
from ofproto.codec.fields import FIELDS
from ofproto.codec.instructions import (
    ApplyActions,
    ClearActions,
    GotoTable,
    Meter,
    WriteActions,
    WriteMetadata,
)
from ofproto.codec.messages import TableFeatures
from ofproto.codec.numbers import N_VISIBLE_TABLES, OF11, OF12, OF15
from ofproto.rules.compile import EMIT

from .table_config import MAX_RULES

ALL_ONES = (1 << 64) - 1


@cache
def action_types(version: int) -> list[int]:
    """The types of standard actions that translation can run."""
    return sorted(
        {
            number
            for (since, number), (cls, _size, _decode) in WIRE.items()
            if since == version and cls.__name__ in EMIT
        }
    )


# What came before SET_FIELD is still taken, but from 1.2 on it has no number any more.
_WITHOUT_NUMBER = {*range(1, 11), 13, 14}


def offered_actions(version: int) -> list[int]:
    """The types that features of tables and groups tell of."""
    gone = _WITHOUT_NUMBER if version >= OF12 else ()
    return [number for number in action_types(version) if number not in gone]


@cache
def _fields(version: int) -> tuple[list, list]:
    """(Field, maskable) of what can be matched, and of what can be set."""
    known = [field for field in FIELDS if field.oxm(version, False) is not None]
    matched = [(field, field.maskable) for field in known]
    settable = [(field, False) for field in known if field.writable]
    return matched, settable


def _instructions(table_id: int, version: int) -> list[int]:
    """Types; goto_table only where there is a table to go to, meter as long as it is none of the
    actions."""
    kinds: list[type] = [WriteMetadata, WriteActions, ApplyActions, ClearActions]
    if version < OF15:
        kinds.append(Meter)
    if table_id < N_VISIBLE_TABLES - 1:
        kinds.insert(0, GotoTable)
    return [each.TYPE for each in kinds]


WILDCARDS_10 = 0x3FFFFF
# OFPFMF_*: all of 1.1's fields, but for OFPFMF_TYPE, which is none
FIELDS_11 = 0xFBFF
_BASIC = 0x8000  # the OXM class of OpenFlow's own fields


def _bits(numbers: Iterable[int]) -> int:
    return sum(1 << number for number in set(numbers))


def _oxm_bits(fields: list, version: int) -> int:
    """The numbers of OpenFlow's own fields among these, as 1.2 has them in 64 bits.  Those of later
    versions are told where they have no other code before, as Open vSwitch does."""
    headers = (field.header(version) for field, _masked in fields)
    return _bits(
        header.number for header in headers if header.oxm_class == _BASIC and header.number < 64
    )


@cache
def in_stats(table_id: int, version: int) -> tuple[int, dict[str, int]]:
    """What statistics of 1.0 to 1.2 tell of a table: `wildcards`, and the rest by name (see
    codec.messages.TableStats), but for what is configured."""
    if version not in (OF11, OF12):
        return WILDCARDS_10, {}
    actions = _bits(action_types(version))
    found = {
        "instructions": _bits(
            kind for kind in _instructions(table_id, version) if kind != Meter.TYPE
        ),
        "write_actions": actions,
        "apply_actions": actions,
        "metadata_match": ALL_ONES,
        "metadata_write": ALL_ONES,
    }
    if version == OF11:
        return FIELDS_11, found | {"match": FIELDS_11}
    matched, settable = _fields(version)
    bits = _oxm_bits(settable, version)
    found |= {"write_setfield": bits, "apply_setfield": bits, "match": _oxm_bits(matched, version)}
    return found["match"], found


def features(
    table_id: int, version: int, name: str = "", max_entries: int = MAX_RULES
) -> TableFeatures:
    """The features of one table in an OpenFlow version of 1.3 or later."""
    later = list(range(table_id + 1, N_VISIBLE_TABLES))
    matched, settable = _fields(version)
    actions = offered_actions(version)
    properties: dict[str, list] = {
        "instructions": _instructions(table_id, version),
        "next_tables": later,
        "write_actions": actions,
        "apply_actions": actions,
        "match": matched,
        "wildcards": [(field, False) for field, _maskable in matched],
        "write_setfield": settable,
        "apply_setfield": settable,
    }
    return TableFeatures(
        table_id=table_id,
        name=name,
        metadata_match=ALL_ONES,
        metadata_write=ALL_ONES,
        max_entries=max_entries,
        properties=properties,
    )
