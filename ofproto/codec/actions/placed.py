"""Actions whose tunnel options (tun_metadataN) were read without knowing a bridge's table, as the
bridge has them: other fields in the place of those of FIELDS, which stand for any length."""

from collections.abc import Callable, Iterator
from copy import copy
from functools import cache
from typing import Any

from ofproto.codec.errors import OFError
from ofproto.codec.fields import Field
from ofproto.codec.instructions import Instruction

from .base import Action
from .learn import Clause
from .set import RegMove, SetField, check_bits

MOST_BITS = 128  # of values on the stack, and of what learn takes
Place = Callable[[Field], Field]
_PLAIN = {int, bool, bytes, str, type(None)}


def options_of(value: Any) -> Iterator[Field]:
    """The options in actions, instructions, or lists of them."""
    left = [value]
    while left:
        each = left.pop()
        if type(each) in _PLAIN:
            continue
        if not isinstance(each, Field):
            left += _parts(each)
        elif each.option is not None:
            yield each


def with_options(value: Any, place: Place) -> Any:
    """The same with place(field) for each option; the same object where there are none.  Raises
    OFError where bits or a value are not within the field, or what `place` raises."""
    if isinstance(value, Field):
        return value if value.option is None else place(value)
    before = _parts(value)
    after = [each if type(each) in _PLAIN else with_options(each, place) for each in before]
    if all(a is b for a, b in zip(before, after, strict=True)):
        return value
    made = _made(value, after)
    for field, start, n_bits in _subfields(made):
        if field.option is not None:
            check_bits(field, start, n_bits)
            if n_bits > MOST_BITS and not isinstance(made, RegMove):
                raise OFError("OFPBAC_BAD_SET_LEN", f"{n_bits} bits at once are not supported")
    if isinstance(made, SetField) and (made.value | (made.mask or 0)) >> made.field.n_bits:
        raise OFError("OFPBAC_BAD_SET_LEN", f"{made.value:#x} for {made.field.name}")
    return made


@cache
def _names_of(kind):
    if issubclass(kind, Action | Instruction):
        return kind.FIELDS
    return tuple(Clause.__slots__) if issubclass(kind, Clause) else ()


def _names(value):
    return _names_of(type(value))


def _parts(value):
    if isinstance(value, list | tuple):
        return value
    return [getattr(value, name) for name in _names_of(type(value))]


def _made(value, parts):
    if isinstance(value, list | tuple):
        return type(value)(parts)
    made = copy(value)
    for name, part in zip(_names(value), parts, strict=True):
        setattr(made, name, part)
    return made


def _subfields(value):
    """(field, first bit, bits) of what an action takes or writes in part."""
    if isinstance(value, tuple):  # ct's zone, bundle's destination
        return [value] if len(value) == 3 and isinstance(value[0], Field) else []
    if isinstance(value, Clause):
        own = [(value.field, value.start, value.n_bits)]
        return own if isinstance(value.source, int) else [*own, (*value.source, value.n_bits)]
    names = _names(value)
    if "src_start" in names:
        return [
            (value.src, value.src_start, value.n_bits),
            (value.dst, value.dst_start, value.n_bits),
        ]
    if "start" in names:
        return [(value.field, value.start, getattr(value, "n_bits", 1))]
    return [(*value.result, 1)] if getattr(value, "result", None) else []
