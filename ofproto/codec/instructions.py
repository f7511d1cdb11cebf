"""Instructions: what a flow does.  Encode, decode, parse, print and check, as in actions.base.

OpenFlow 1.0 has actions only: a list of them is one ApplyActions here.
Sources: OpenFlow 1.3.5 7.2.4; ovs-actions(7) for the text.
"""

import re
from functools import lru_cache
from struct import Struct

from .actions.base import (
    NX,
    WIRE,
    CheckContext,
    check_no_meter,
    decode_actions,
    encode_actions,
    format_actions,
    long_number,
    nicira,
    parse_action,
    parse_actions,
    standard,
    unsupported,
)
from .actions.extended import Conjunction
from .actions.nx import Note, Resubmit
from .actions.set import SetField
from .errors import OFError, Refusal
from .fields import BY_NAME, may_have_options
from .match_text import TextError, format_table, parse_table, split_terms
from .notes import noted
from .numbers import OF10, OF13, OF15

_HEAD = Struct("!HH")
_METADATA = Struct("!4xQQ")
_U64 = (1 << 64) - 1
OFPM_MAX = 0xFFFF0000  # above it are meters of other things than flows


class Instruction:
    """Values with equality by value; TYPE is the number on the wire, RANK the order of printing."""

    FIELDS: tuple[str, ...] = ()
    TYPE = 0
    RANK = 0

    def __init__(self, *values):
        for name, value in zip(self.FIELDS, values, strict=True):
            setattr(self, name, value)

    def __eq__(self, other):
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self):
        return hash((type(self), *(str(value) for value in self.__dict__.values())))

    def __repr__(self):
        values = ", ".join(repr(getattr(self, name)) for name in self.FIELDS)
        return f"{type(self).__name__}({values})"

    def encode(self, version: int, match=None, lossy: bool = False) -> bytes:
        """The instruction's bytes; arguments as those of encode_actions()."""
        raise NotImplementedError

    def format(self, names=None) -> str:
        raise NotImplementedError

    def check(self, context: CheckContext) -> None:
        """Raises OFError OFPBIC_* or OFPBAC_*."""


class GotoTable(Instruction):
    """On to a later table."""

    FIELDS, TYPE, RANK = ("table",), 1, 6

    def encode(self, version, match=None, lossy=False):
        return _HEAD.pack(1, 8) + bytes((self.table, 0, 0, 0))

    def decode(body, _version):
        return GotoTable(body[0])

    def format(self, names=None):
        return f"goto_table:{format_table(self.table, names)}"

    def check(self, context):
        if self.table <= context.table or self.table >= context.n_tables:
            raise OFError("OFPBIC_BAD_TABLE_ID", f"goto_table:{self.table}")


class WriteMetadata(Instruction):
    """Sets bits of the metadata field."""

    FIELDS, TYPE, RANK = ("value", "mask"), 2, 5

    def encode(self, version, match=None, lossy=False):
        return _HEAD.pack(2, 24) + _METADATA.pack(self.value, self.mask)

    def decode(body, _version):
        return WriteMetadata(*_METADATA.unpack(body))

    def format(self, names=None):
        mask = "" if self.mask == _U64 else f"/{self.mask:#x}" if self.mask else "/0"
        value = f"{self.value:#x}" if self.value else "0"
        return f"write_metadata:{value}{mask}"


class _Actions(Instruction):
    FIELDS = ("actions",)

    def __init__(self, actions):
        self.actions = list(actions)

    def encode(self, version, match=None, lossy=False):
        data = encode_actions(self.actions, version, match, lossy)
        return _HEAD.pack(self.TYPE, 8 + len(data)) + bytes(4) + data


class WriteActions(_Actions):
    """Puts actions into the action set."""

    TYPE, RANK = 3, 4

    def encode(self, version, match=None, lossy=False):
        """Without actions it does nothing, and is left out, as Open vSwitch does."""
        return super().encode(version, match, lossy) if self.actions else b""

    def decode(body, version):
        return WriteActions(decode_actions(body[4:], version))

    def format(self, names=None):
        return f"write_actions({format_actions(self.actions, names)})"

    def check(self, context):
        for action in self.actions:
            action.check(context)


class ApplyActions(_Actions):
    """Runs actions at once."""

    TYPE, RANK = 4, 2

    def decode(body, version):
        return ApplyActions(decode_actions(body[4:], version, top=True))

    def format(self, names=None):
        return format_actions(self.actions, names) if self.actions else ""

    def check(self, context):
        for action in self.actions:
            action.check(context)


class ClearActions(Instruction):
    """Empties the action set."""

    TYPE, RANK = 5, 3

    def encode(self, version, match=None, lossy=False):
        return _HEAD.pack(5, 8) + bytes(4)

    def decode(_body, _version):
        return ClearActions()

    def format(self, names=None):
        return "clear_actions"


class Meter(Instruction):
    """Through a meter, before anything else."""

    FIELDS, TYPE, RANK = ("meter",), 6, 1

    def encode(self, version, match=None, lossy=False):
        if version < OF13:
            if lossy:
                return b""
            raise unsupported(self, version)
        return _HEAD.pack(6, 8) + self.meter.to_bytes(4, "big")

    def decode(body, _version):
        return Meter(int.from_bytes(body, "big"))

    def format(self, names=None):
        return f"meter:{self.meter}"

    def check(self, context):
        if not 0 < self.meter <= OFPM_MAX or self.meter not in context.meters:
            raise OFError("OFPMMFC_INVALID_METER", f"meter {self.meter}")


# type -> (class, body size or None, decode)
_TYPES = {
    cls.TYPE: (cls, size, cls.decode)
    for cls, size in (
        (GotoTable, 4),
        (WriteMetadata, 20),
        (WriteActions, None),
        (ApplyActions, None),
        (ClearActions, 4),
        (Meter, 4),
    )
}


class Instructions(list):
    """Decoded instructions, not to be changed: equal bytes give the same object, so that flows
    that do the same share it, and `program` (a program.Program, when somebody compiled it)."""

    __slots__ = ("plain", "program")

    def __init__(self, instructions, data=None):
        """`data`: the bytes that they were read from, where they were."""
        super().__init__(instructions)
        self.program = None
        # Known to have no tunnel options
        self.plain = data is not None and not may_have_options(data)


SHARED_SIZE = 256  # bytes; longer ones are not kept


def decode_instructions(data: bytes, version: int) -> Instructions:
    """A run of instructions, in the order they run.  Raises OFError OFPBIC_*, OFPBAC_*.

    OpenFlow 1.0: `data` is a list of actions.
    """
    if len(data) <= SHARED_SIZE:
        return _shared(bytes(data), version)
    return Instructions(_decode(data, version), data)


@lru_cache(4096)
def _shared(data, version):
    return Instructions(_decode(data, version), data)


def _decode(data, version):
    if version == OF10:
        return _split(decode_actions(data, OF10, top=True))
    found, kinds, at, size = [], [], 0, len(data)
    while at < size:
        if size - at < 8:
            raise OFError("OFPBIC_BAD_LEN", "truncated instruction")
        kind, length = _HEAD.unpack_from(data, at)
        if length < 8 or length % 8 or at + length > size:
            text = f"bad instruction format at offset {at}"
            raise noted("OFPBIC_BAD_LEN", "ofp_actions", text)
        if kind == 0xFFFF:
            raise OFError("OFPBIC_BAD_EXPERIMENTER")
        row = _TYPES.get(kind)
        if row is None or (kind == Meter.TYPE and not OF13 <= version < OF15):
            raise OFError("OFPBIC_UNKNOWN_INST", f"instruction {kind}")
        _cls, wanted, decode = row
        if wanted is not None and length - 4 != wanted:
            raise OFError("OFPBIC_BAD_LEN", f"{_cls.__name__} of {length} bytes")
        each = decode(data[at + 4 : at + length], version)
        more = _split(each.actions) if kind == ApplyActions.TYPE else [each]
        found += more
        kinds += {kind, *(one.TYPE for one in more)}
        at += length
    if len(set(kinds)) != len(kinds):
        raise OFError("OFPBIC_DUP_INST")
    return sorted(found, key=lambda each: each.RANK)


_NX_WRITE_METADATA = 22


def _split(actions):
    """The instructions that a flow's actions are: Nicira's write_metadata is one of its own."""
    rest = []
    for at, each in enumerate(actions):
        if isinstance(each, WriteMetadata):  # one, and nothing behind it
            if at < len(actions) - 1:
                raise OFError("OFPBAC_UNSUPPORTED_ORDER", "actions behind write_metadata")
            rest = [actions.pop()]
        elif isinstance(each, Meter) and at:
            raise OFError("OFPBAC_UNSUPPORTED_ORDER", "actions before meter")
    first = [actions.pop(0)] if actions and isinstance(actions[0], Meter) else []
    return [*first, ApplyActions(actions), *rest] if actions else first + rest


def _decode_nx_metadata(body, _version):
    if any(body[:6]):
        raise OFError("NXBRC_MUST_BE_ZERO")
    return WriteMetadata(int.from_bytes(body[6:14], "big"), int.from_bytes(body[14:], "big"))


# From 1.5 on meter is an action, which stands before the others here.
_METER_15 = 29
WIRE[OF15, _METER_15] = (Meter, 4, Meter.decode)
NX[_NX_WRITE_METADATA] = (WriteMetadata, 22, _decode_nx_metadata)


def encode_instructions(instructions, version: int, match=None, lossy: bool = False) -> bytes:
    """The bytes of a flow's instructions.  In OpenFlow 1.0 they are the actions alone, with
    Nicira's form of write_metadata, and goto_table as a resubmit to that table.

    `lossy`: what the version cannot say is left out, as a switch does with a flow that came by
    another version; else OFError tells.
    """
    if version >= OF15 and any(isinstance(each, Meter) for each in instructions):
        return _encode_15(instructions, version, match, lossy)
    if version != OF10:
        return b"".join([each.encode(version, match, lossy) for each in instructions])
    parts = []
    for each in instructions:
        if isinstance(each, ApplyActions):
            parts.append(encode_actions(each.actions, OF10, match, lossy))
        elif isinstance(each, WriteMetadata):
            parts.append(_metadata_10(each, instructions))
        elif isinstance(each, GotoTable):
            parts.append(Resubmit(None, each.table).encode(OF10))
        elif not lossy:
            raise OFError("OFPBIC_UNSUP_INST", f"{type(each).__name__} in OpenFlow 1.0")
    return b"".join(parts)


def _encode_15(instructions, version, match, lossy):
    """Instructions of which one is a meter: as an action before those that are applied."""
    meters, actions, rest = b"", b"", []
    for each in instructions:
        if isinstance(each, Meter):
            meters += standard(_METER_15, each.meter.to_bytes(4, "big"))
        elif isinstance(each, ApplyActions):
            actions = encode_actions(each.actions, version, match, lossy)
        else:
            rest.append(each.encode(version, match, lossy))
    data = meters + actions
    return _HEAD.pack(ApplyActions.TYPE, 8 + len(data)) + bytes(4) + data + b"".join(rest)


def _metadata_10(each, instructions):
    """Nothing may follow Nicira's write_metadata, so before a resubmit it is a load."""
    if any(isinstance(other, GotoTable) for other in instructions):
        return SetField(BY_NAME["metadata"], each.value & each.mask, each.mask).encode(OF10)
    value = each.value.to_bytes(8, "big") + each.mask.to_bytes(8, "big")
    return nicira(_NX_WRITE_METADATA, bytes(6) + value)


# Text

_RANKED = {
    "meter": lambda a, n: Meter(long_number(a, 32)),
    "clear_actions": lambda a, n: ClearActions(),
    "write_actions": lambda a, n: WriteActions(_parse_set(a, n)),
    "write_metadata": lambda a, n: _parse_metadata(a),
    "goto_table": lambda a, n: GotoTable(_parse_table(a, n)),
}
_NAMES = {Meter: "meter", ClearActions: "clear_actions", WriteActions: "write_actions",
          WriteMetadata: "write_metadata", GotoTable: "goto_table",
          None: "apply_actions"}  # fmt: skip


def _parse_set(argument, names):
    check_no_meter("write_actions", argument)
    return parse_actions(argument or "", names)


def _parse_metadata(argument):
    value, slash, mask = (argument or "").partition("/")
    value = long_number(value, 64)
    mask = long_number(mask, 64) if slash else _U64
    return WriteMetadata(value, mask)


def _parse_table(argument, names):
    table = parse_table(argument or "", names)
    if table is None:
        raise TextError(f'unknown table "{argument or ""}"')
    return table


def parse_instructions(text: str, names=None) -> list[Instruction]:
    """What follows `actions=`.  Raises TextError."""
    terms = split_terms(text)
    if any(name == "drop" for name, _argument in terms):
        if any(name != "drop" for name, _argument in terms):
            raise TextError('"drop" must not be accompanied by any other action or instruction')
        return []
    found, actions, last = [], [], None
    for name, argument in terms:
        if name == "apply_actions":
            raise TextError("apply_actions is the default instruction")
        kind = None
        if name in _RANKED:
            found.append(_RANKED[name](argument, names))
            kind = type(found[-1])
        else:
            actions.append(parse_action(name, argument, names))
        if last is not None:
            _check_order(last[0], kind)
        last = (kind,)
    if actions:
        found.append(ApplyActions(actions))
    return sorted(found, key=lambda each: each.RANK)


def _check_order(before, kind):
    """Instructions stand in the order in which they run (None: an action)."""
    ranks = [(each or ApplyActions).RANK for each in (before, kind)]
    if ranks[0] == ranks[1] and kind is not None:
        raise TextError(
            f"duplicate {_NAMES[kind]} instruction not allowed, for OpenFlow 1.1+ compatibility"
        )
    if ranks[0] > ranks[1]:
        raise TextError(
            f"invalid instruction ordering: {_NAMES[kind]} must appear before {_NAMES[before]}, "
            "for OpenFlow 1.1+ compatibility"
        )


def format_instructions(instructions, names=None) -> str:
    """What follows `actions=`."""
    texts = [each.format(names) for each in instructions]
    return ",".join(text for text in texts if text) or "drop"


def check_instructions(instructions, context: CheckContext) -> None:
    """Check a flow's instructions in their order."""
    _check_conjunctions(instructions)
    for each in instructions:
        each.check(context)


def _check_conjunctions(instructions) -> None:
    """What is an alternative of conjunctive matches (ovs-actions(7)) is that alone."""
    flat = []
    for each in instructions:
        flat += each.actions if isinstance(each, ApplyActions) else [each]
    if not any(isinstance(each, Conjunction) for each in flat):
        return
    for each in flat:
        if not isinstance(each, Conjunction | Note):
            name = re.split("[:(,]", each.format(), maxsplit=1)[0]
            raise Refusal(
                "NXBAC_BAD_CONJUNCTION",
                '"conjunction" actions may be used along with "note" but not any other kind of '
                f'action (such as the "{name}" action used here)',
            )
