"""The TABLE_FEATURES of our tables: what a flow may match and do there.

All tables can do the same; only where goto_table may lead differs (OpenFlow 1.3.5 7.3.5.5).
"""

from functools import cache

from ofproto.codec.actions.base import WIRE
from ofproto.codec.fields import CT, FIELDS, NSH
from ofproto.codec.instructions import (
    ApplyActions,
    ClearActions,
    GotoTable,
    Meter,
    WriteActions,
    WriteMetadata,
)
from ofproto.codec.messages import TableFeatures
from ofproto.codec.numbers import N_VISIBLE_TABLES
from ofproto.rules.compile import EMIT

from .flow_table import MAX_RULES

ALL_ONES = (1 << 64) - 1


@cache
def action_types(version: int) -> list[int]:
    """The types of standard actions that translation can run."""
    return sorted(
        number
        for (since, number), (cls, _size, _decode) in WIRE.items()
        if since == version and cls.__name__ in EMIT
    )


@cache
def _fields(version: int) -> tuple[list, list]:
    """(Field, maskable) of what can be matched, and of what can be set."""
    known = [
        field
        for field in FIELDS
        if field.oxm(version, False) is not None and field.prerequisite not in (CT, NSH)
    ]
    matched = [(field, field.maskable) for field in known]
    settable = [(field, False) for field in known if field.writable]
    return matched, settable


def features(table_id: int, version: int) -> TableFeatures:
    """The features of one table in an OpenFlow version of 1.3 or later."""
    instructions = [WriteMetadata, WriteActions, ApplyActions, ClearActions, Meter]
    later = list(range(table_id + 1, N_VISIBLE_TABLES))
    if later:
        instructions.insert(0, GotoTable)
    matched, settable = _fields(version)
    actions = action_types(version)
    properties: dict[str, list] = {
        "instructions": [each.TYPE for each in instructions],
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
        metadata_match=ALL_ONES,
        metadata_write=ALL_ONES,
        max_entries=MAX_RULES,
        properties=properties,
    )
