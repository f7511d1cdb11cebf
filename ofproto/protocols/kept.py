"""What a protocol knows as plain values, which outlive the process, and back again.

A table names the attributes of a thing that are kept and says what each may be.  Times are kept
from the moment of keep(), in ms, and count on from the moment of take(): as if the clock had stood
still while nobody was there.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

LONGEST = 1 << 40  # ms from now that a time may be


class KeptTree(NamedTuple):
    """A spanning tree's bridge: itself, the key of its root port, and its ports by their keys."""

    bridge: list[Any]
    root_port: Hashable | None
    ports: dict[Hashable, list[Any]]


class Field(NamedTuple):
    """`plain(value, now)` is of JSON; `value(plain, now)` raises ValueError where it does not fit
    (TypeError, where it is of another type, is the same to a caller)."""

    plain: Callable[[Any, int], Any]
    value: Callable[[Any, int], Any]


Table = Mapping[str, Field]


def _same(value: Any, _now: int) -> Any:
    return value


def _checked(fits: Callable[[Any], bool]) -> Callable[[Any, int], Any]:
    def value(plain: Any, _now: int) -> Any:
        if not fits(plain):
            raise ValueError(f"{plain!r:.40} does not fit")
        return plain

    return value


def _is_int(plain: Any) -> bool:
    return isinstance(plain, int) and not isinstance(plain, bool)


def number(high: int, low: int = 0) -> Field:
    return Field(_same, _checked(lambda plain: _is_int(plain) and low <= plain <= high))


def one_of(*values: Any) -> Field:
    return Field(_same, _checked(lambda plain: plain in values))


def optional(field: Field) -> Field:
    return Field(
        lambda value, now: None if value is None else field.plain(value, now),
        lambda plain, now: None if plain is None else field.value(plain, now),
    )


def record(kind: Callable[..., Any], *fields: Field) -> Field:
    """A NamedTuple, by its fields in turn."""
    return Field(
        lambda value, now: [f.plain(v, now) for f, v in zip(fields, value, strict=True)],
        lambda plain, now: kind(*(f.value(v, now) for f, v in zip(fields, plain, strict=True))),
    )


def _time(plain: int, now: int) -> int:
    return now + number(LONGEST, -LONGEST).value(plain, now)


FLAG = Field(lambda value, _now: bool(value), _checked(lambda plain: isinstance(plain, bool)))
U8, U16, U32, U64 = (number((1 << bits) - 1) for bits in (8, 16, 32, 64))
TIME = Field(lambda value, now: value - now, _time)
MAC = Field(
    lambda value, _now: value.hex(),
    lambda plain, now: _checked(lambda found: len(found) == 6)(bytes.fromhex(plain), now),
)
MAYBE_TIME = optional(TIME)
MAYBE_FLAG = optional(FLAG)


def keep(thing: Any, table: Table, now: int) -> list[Any]:
    """The attributes of the table, plain and in its order."""
    return [field.plain(getattr(thing, name), now) for name, field in table.items()]


def take(thing: Any, table: Table, plain: Any, now: int) -> None:
    """Give a thing what keep() found: all of it, or nothing and an error."""
    fields = table.items()
    found = [
        (name, field.value(each, now)) for (name, field), each in zip(fields, plain, strict=True)
    ]
    for name, value in found:
        setattr(thing, name, value)
