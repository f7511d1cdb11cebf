"""Errors as OVSDB reports them: a fixed name, details for a person, the offending JSON."""

import heapq
from decimal import Decimal
from itertools import islice
from typing import Any, NoReturn

from pyvs.streams.json_text import dumps

MOST_SYNTAX = 4096  # characters of "syntax"
ABSENT: Any = object()  # of an error without "syntax"; None is JSON's null


class OvsdbError(Exception):
    """An <error> of RFC 7047 section 3.1; `tag` is its "error" member."""

    def __init__(self, tag: str, details: str = "", syntax: Any = ABSENT, **extra: Any):
        super().__init__(f"{tag}: {details}" if details else tag)
        self.tag = tag
        self.details = details
        self.syntax = None if syntax is ABSENT else compact(syntax)
        self.extra = extra

    def told(self) -> str:
        """For a log: `syntax "{}": unknown table: No table named x.`"""
        return f'syntax "{self.syntax}": {self}' if self.syntax is not None else str(self)

    def to_json(self) -> dict:
        """The JSON error object."""
        json: dict[str, Any] = {"error": self.tag}
        if self.details:
            json["details"] = self.details
        if self.syntax is not None:
            json["syntax"] = self.syntax
        json.update(self.extra)
        return json


def compact(json: Any) -> str:
    """`json` as a short text for the "syntax" member."""
    text = dumps(_plain(json, [MOST_SYNTAX + 1]), sort_keys=True).decode()
    return text if len(text) <= MOST_SYNTAX else text[: MOST_SYNTAX - 3] + "..."


def _plain(json: Any, left: list[int]) -> Any:
    """As much of it as `left` says: values, each of which is a character at least.  What a client
    sends may be megabytes.

    Numbers are as ovsdb-server reads them: a whole one is an integer, one of more than 64 bits a
    real, of which 15 digits are told."""
    left[0] -= 1
    if type(json) is list:
        return [_plain(each, left) for each in islice(json, max(left[0], 0)) if left[0] > 0]
    if type(json) is dict:
        names = sorted(json) if len(json) < left[0] else heapq.nsmallest(max(left[0], 0), json)
        return {name[:MOST_SYNTAX]: _plain(json[name], left) for name in names if left[0] > 0}
    if type(json) is str:
        return json[:MOST_SYNTAX]
    return _number(json)


def _number(json: Any) -> Any:
    if type(json) is float and json.is_integer() and abs(json) < 1 << 63:
        return int(json)
    if type(json) is float or (type(json) is int and not -(1 << 63) <= json < 1 << 63):
        return float(f"{Decimal(json):.15g}")
    return json


def syntax_error(details: str, json: Any = ABSENT) -> OvsdbError:
    """The request does not follow the protocol's syntax or the column's type."""
    return OvsdbError("syntax error", details, json)


def constraint_violation(details: str, json: Any = ABSENT) -> OvsdbError:
    """A constraint of the schema forbids the value or the transaction."""
    return OvsdbError("constraint violation", details, json)


def fail(details: str, json: Any = ABSENT) -> NoReturn:
    """Raise a syntax error."""
    raise syntax_error(details, json)


class Members:
    """Takes the members of a JSON object one by one, and complains of what is left over."""

    __slots__ = ("count", "json", "number", "taken", "what")

    def __init__(self, json: Any, what: str):
        if type(json) is not dict:
            fail(f"Parsing {what} failed: Object expected.")
        self.json = json
        self.what = what
        self.number = self.count = 0
        self.taken: list[str] = []

    def get(self, name: str, kinds: tuple[type, ...], default: Any = None) -> Any:
        """The member's value, or `default` when it is missing; of exactly one of `kinds`."""
        value = self.json.get(name, self)
        if value is self:
            return default
        self.taken.append(name)
        if type(value) not in kinds:
            self.fail(f"Type mismatch for member '{name}'.")
        return value

    def need(self, name: str, kinds: tuple[type, ...]) -> Any:
        """As get(), for a member that must be there."""
        value = self.json.get(name, self)
        if value is self:
            self.fail(f"Required '{name}' member is missing.")
        self.taken.append(name)
        if type(value) not in kinds:
            self.fail(f"Type mismatch for member '{name}'.")
        return value

    def fail(self, details: str) -> NoReturn:
        """Raise a syntax error about the object."""
        what = f"{self.what} {self.number} of {self.count}" if self.count else self.what
        fail(f"Parsing {what} failed: {details}", self.json)

    def finish(self) -> None:
        """Fail when there are members that nobody took."""
        if len(self.taken) != len(self.json):
            extra = [name for name in self.json if name not in self.taken]
            self.fail(f"Member '{extra[0]}' is present but not allowed here.")


def members_of(json: Any, what: str, number: int, count: int) -> Members:
    """As Members(json, what), for one of `count` of a kind: every operation comes through here."""
    if type(json) is not dict:
        fail(f"Parsing {what} {number} of {count} failed: Object expected.")
    self = Members.__new__(Members)
    self.json = json
    self.what = what
    self.number = number
    self.count = count
    self.taken = []
    return self
