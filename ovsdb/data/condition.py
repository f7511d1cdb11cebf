"""Conditions of "where" clauses (RFC 7047 section 5.1, with ovsdb-server(7)'s extensions)."""

import operator
from collections.abc import Callable
from typing import Any

from ovsdb.data.datum import Datum
from ovsdb.data.errors import OvsdbError, fail, syntax_error
from ovsdb.data.schema import UNLIMITED, Column, ColumnType, Symbols, TableSchema

Row = dict[str, Datum]


def _includes(value: Datum, arg: Datum) -> bool:
    if type(arg) is dict:
        return all(key in value and value[key] == arg[key] for key in arg)  # type: ignore
    return all(atom in value for atom in arg)


def _excludes(value: Datum, arg: Datum) -> bool:
    if type(arg) is dict:
        return not any(key in value and value[key] == arg[key] for key in arg)  # type: ignore
    return not any(atom in value for atom in arg)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Datum, Datum], bool]:
    # An empty optional value is neither smaller nor greater.
    return lambda value, arg: bool(value) and compare(value[0], arg[0])


def _scalar_type(column: Column, function: str, json: Any) -> ColumnType:
    type_ = column.type
    if type_.is_map or type_.max != 1 or type_.key.kind not in ("integer", "real"):
        raise syntax_error(
            f'Type mismatch: "{function}" operator may not be applied to column'
            f" {column.name} of type {type_.describe()}.",
            json,
        )
    return type_.resized(1, 1)


def _same_type(column: Column, _function: str, _json: Any) -> ColumnType:
    return column.type


def _fewer_type(column: Column, _function: str, _json: Any) -> ColumnType:
    type_ = column.type
    return type_ if type_.is_scalar else type_.resized(0, type_.max)


def _any_size_type(column: Column, _function: str, _json: Any) -> ColumnType:
    type_ = column.type
    return type_ if type_.is_scalar else type_.resized(0, UNLIMITED)


# function -> (test of value and argument, type of the argument)
FUNCTIONS: dict[str, tuple[Callable[[Any, Any], bool], Callable[..., ColumnType]]] = {
    "<": (_ordered(operator.lt), _scalar_type),
    "<=": (_ordered(operator.le), _scalar_type),
    ">": (_ordered(operator.gt), _scalar_type),
    ">=": (_ordered(operator.ge), _scalar_type),
    "==": (operator.eq, _same_type),
    "!=": (operator.ne, _same_type),
    "includes": (_includes, _fewer_type),
    "excludes": (_excludes, _any_size_type),
}


class Clause:
    """One [column, function, argument]; `column` None stands for a Boolean constant."""

    __slots__ = ("arg", "column", "function", "test")

    def __init__(self, column: str | None, function: str, arg: Any):
        self.column = column
        self.function = function
        self.arg = arg
        self.test = None if function == "==" else FUNCTIONS[function][0]

    def matches(self, row: Row) -> bool:
        """Whether the row fulfils the clause."""
        if self.column is None:
            return self.arg
        if self.function == "==":  # most often
            return row[self.column] == self.arg
        return self.test(row[self.column], self.arg)


def _equality(column: str, arg: Datum) -> Clause:
    """As Clause(column, "==", arg): what most of them are."""
    clause = Clause.__new__(Clause)
    clause.column = column
    clause.function = "=="
    clause.arg = arg
    clause.test = None
    return clause


def _parse_clause(table: TableSchema, json: Any, symbols: Symbols | None) -> Clause:
    """The clause about a row of `table` that `json` is."""
    if type(json) is bool:
        return Clause(None, "==", json)
    if type(json) is not list or len(json) != 3:
        fail("Parse error in condition.", json)
    name, function, arg = json
    if type(name) is not str or type(function) is not str:
        fail("Parse error in condition.", json)
    column = table.column(name, json)
    if function == "==":  # whose argument is of the column's own type
        return _equality(column.name, column.type.parse(arg, symbols))
    if function not in FUNCTIONS:
        raise OvsdbError("unknown function", f"No function named {function}.")
    type_ = FUNCTIONS[function][1](column, function, json)
    return Clause(column.name, function, type_.parse(arg, symbols))


def parse_condition(table: TableSchema, json: list, symbols: Symbols | None) -> "Condition":
    """The condition on rows of `table` that an array of clauses is."""
    condition = Condition.__new__(Condition)
    condition.clauses = [_parse_clause(table, clause, symbols) for clause in json]
    return condition


class Condition:
    """Clauses that select rows: all of them must hold (or any one, for monitors)."""

    __slots__ = ("clauses",)

    def __init__(self, clauses: list[Clause]):
        self.clauses = clauses

    def all(self, row: Row) -> bool:
        """Whether every clause holds; with no clauses, true."""
        for clause in self.clauses:  # noqa: SIM110 - for every candidate of every condition
            if not clause.matches(row):
                return False
        return True

    def any(self, row: Row) -> bool:
        """Whether some clause holds; with no clauses, true."""
        for clause in self.clauses:
            if clause.matches(row):
                return True
        return not self.clauses

    @property
    def is_true(self) -> bool:
        """Whether any() holds for every row."""
        return not self.clauses or any(
            clause.column is None and clause.arg for clause in self.clauses
        )

    def equalities(self) -> dict[str, Datum]:
        """The values that columns must have: what an index can be asked for."""
        return {
            clause.column: clause.arg
            for clause in self.clauses
            if clause.function == "==" and clause.column is not None
        }
