"""Mutations of "mutate" operations (RFC 7047 section 5.1)."""

import math
from collections.abc import Callable
from typing import Any

from ovsdb.data.datum import INT_MAX, INT_MIN, Datum, subtract, union
from ovsdb.data.errors import OvsdbError, constraint_violation, fail, syntax_error
from ovsdb.data.schema import UNLIMITED, BaseType, Column, ColumnType, Symbols, TableSchema


def _quotient(x: Any, y: Any) -> Any:
    if y == 0:
        raise OvsdbError("domain error", "Division by zero.")
    if type(x) is float:
        return x / y
    # Like C: towards zero.
    return abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)


def _remainder(x: int, y: int) -> int:
    return x - y * _quotient(x, y)


ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+=": lambda x, y: x + y,
    "-=": lambda x, y: x - y,
    "*=": lambda x, y: x * y,
    "/=": _quotient,
    "%=": _remainder,
}
MUTATORS = (*ARITHMETIC, "insert", "delete")


def _out_of_range(result: Any) -> bool:
    if type(result) is float:
        return not math.isfinite(result)
    return not INT_MIN <= result <= INT_MAX


class Mutation:
    """One [column, mutator, value]; `apply(old)` gives the new, checked value."""

    __slots__ = ("arg", "column", "mutator")

    def __init__(self, column: Column, mutator: str, arg: Any):
        self.column = column
        self.mutator = mutator
        self.arg = arg

    def apply(self, old: Datum) -> Datum:
        """The new value."""
        if self.mutator == "insert":
            return self._insert(old)
        if self.mutator == "delete":
            return self._delete(old)
        return self._arithmetic(old)

    def _arithmetic(self, old: Datum) -> Datum:
        function = ARITHMETIC[self.mutator]
        try:
            results = [function(atom, self.arg) for atom in old]
        except OverflowError:
            results = [math.inf]
        if any(_out_of_range(result) for result in results):
            raise OvsdbError(
                "range error", f'Result of "{self.mutator}" operation is out of range.'
            )
        new = tuple(sorted(set(results)))
        if len(new) != len(results):
            raise constraint_violation(f'Result of "{self.mutator}" operation contains duplicates.')
        self.column.type.check(new)
        return new

    def _insert(self, old: Datum) -> Datum:
        new = union(old, self.arg)
        if len(new) > self.column.type.max:
            self.column.type.check_size(new)
        return new

    def _delete(self, old: Datum) -> Datum:
        new = subtract(old, self.arg)
        if len(new) < self.column.type.min:
            self.column.type.check_size(new)
        return new


def parse_mutation(table: TableSchema, json: Any, symbols: Symbols) -> Mutation:
    """The mutation of a row of `table` that `json` is."""
    if type(json) is not list or len(json) != 3 or type(json[0]) is not str:
        fail("Parse error in mutation.", json)
    column = table.column(json[0], json)
    if not column.mutable:
        raise constraint_violation(
            f"Cannot mutate immutable column {column.name} in table {table.name}.", json
        )
    mutator = json[1]
    if type(mutator) is not str:
        fail("Parse error in mutation.", json)
    if mutator not in MUTATORS:
        raise OvsdbError("unknown mutator", f"No mutator named {mutator}.")
    if mutator in ARITHMETIC:
        arg = _parse_number(column, mutator, json)
    else:
        arg = _parse_elements(column, mutator, json, symbols)
    return Mutation(column, mutator, arg)


def _mismatch(column: Column, mutator: str, json: Any) -> OvsdbError:
    return syntax_error(
        f'Type mismatch: "{mutator}" operator may not be applied to column {column.name}'
        f" of type {column.type.describe()}.",
        json,
    )


def _parse_number(column: Column, mutator: str, json: list) -> Any:
    kind = column.type.key.kind
    kinds = ("integer",) if mutator == "%=" else ("integer", "real")
    if column.type.is_map or kind not in kinds:
        raise _mismatch(column, mutator, json)
    # The operand need not keep the column's constraints; the result must.
    return _NUMBERS[kind].parse(json[2])[0]


def _parse_elements(column: Column, mutator: str, json: list, symbols: Symbols) -> Datum:
    type_ = column.type
    if not type_.is_map and type_.is_scalar:
        raise _mismatch(column, mutator, json)
    if mutator == "insert":
        return type_.resized(0, type_.max).parse(json[2], symbols)
    try:
        return type_.resized(0, UNLIMITED).parse(json[2], symbols)
    except OvsdbError:
        if not type_.is_map:
            raise
    # What is no map may be a set of keys.
    return ColumnType(type_.key, None, 0, UNLIMITED).parse(json[2], symbols)


_NUMBERS = {kind: ColumnType(BaseType(kind), None, 1, 1) for kind in ("integer", "real")}
