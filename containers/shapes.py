"""Whether a JSON value has the types that its reader counts on.

A shape is a type (`str`, `int`, `dict`), a list of one shape, or {key: shape}.  Keys that a shape
does not name are for others; null is the same as a key that is not there, unless it is Needed.
"""

from typing import Any, NamedTuple

from .errors import BadRequest

# bool is a kind of int in Python, not in JSON.
NAMES = {str: "a string", int: "a number", bool: "true or false", dict: "an object"}
LIST = "a list"


class Needed(NamedTuple):
    """A shape whose value must be there."""

    shape: Any


class Misfit(BadRequest):
    """What does not fit, and where."""


def check(value: Any, shape: Any, where: str = "") -> None:
    """Raises Misfit for what does not fit first; `where` is the name of the value."""
    if isinstance(shape, Needed):
        if value is None:
            raise Misfit(f"{where}: missing")
        shape = shape.shape
    if value is None:
        return
    if isinstance(shape, list):
        _check_kind(value, list, LIST, where)
        for number, each in enumerate(value):
            check(each, Needed(shape[0]), f"{where}[{number}]")
    elif isinstance(shape, dict):
        _check_kind(value, dict, NAMES[dict], where)
        for key, inner in shape.items():
            check(value.get(key), inner, f"{where}.{key}" if where else key)
    else:
        _check_kind(value, shape, NAMES[shape], where)


def _check_kind(value: Any, kind: type, name: str, where: str) -> None:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise Misfit(f"{where}: not {name}" if where else f"not {name}")
    if kind is str and not _is_plain(value):
        raise Misfit(f"{where}: has characters that no name or address has")


def _is_plain(text: str) -> bool:
    """Neither NUL nor half a character: system calls and the database refuse them."""
    return "\0" not in text and not any("\ud800" <= each <= "\udfff" for each in text)
