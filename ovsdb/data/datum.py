"""Values of columns: canonical form, differences.  See the package's docstring.

Values are tuples (sets, scalars) or dicts (maps), and are never changed in place.
"""

import re
from collections.abc import Iterable
from typing import Any

Datum = tuple | dict

ZERO_UUID = "00000000-0000-0000-0000-000000000000"
is_id = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z").match

INT_MIN, INT_MAX = -(2**63), 2**63 - 1


def make_set(atoms: Iterable) -> tuple:
    """The set of distinct `atoms`."""
    return tuple(sorted(set(atoms)))


def make_map(pairs: dict) -> dict:
    """The map with `pairs`; the keys get their order."""
    return dict(sorted(pairs.items())) if len(pairs) > 1 else pairs


def union(old: Datum, add: Datum) -> Datum:
    """`old` with the elements of `add`; keys that `old` has keep their values."""
    if type(old) is dict:
        return make_map({**add, **old})  # type: ignore[dict-item]
    if not old:
        return add
    merged = set(old)
    merged.update(add)
    return old if len(merged) == len(old) else tuple(sorted(merged))


def subtract(old: Datum, remove: Datum) -> Datum:
    """`old` without `remove`: pairs (from a map, when `remove` is one), keys or elements."""
    if type(old) is dict:
        if type(remove) is dict:
            return {k: v for k, v in old.items() if not (k in remove and remove[k] == v)}
        gone = set(remove)
        return {k: v for k, v in old.items() if k not in gone}
    gone = set(remove)
    return tuple([atom for atom in old if atom not in gone])


def diff(old: Datum, new: Datum) -> Datum:
    """What apply_diff() needs to make `new` of `old` (ovsdb-server(7) section 4.1.14).

    For columns with room for more than one element only: the others give the new value.
    """
    if type(old) is dict:
        return make_map(
            {k: v for k, v in new.items() if k not in old or old[k] != v}  # type: ignore
            | {k: v for k, v in old.items() if k not in new}
        )
    return tuple(sorted(set(old) ^ set(new)))


def apply_diff(old: Datum, change: Datum) -> Datum:
    """The new value, from the old one and their diff()."""
    if type(old) is dict:
        new = dict(old)
        for key, value in change.items():  # type: ignore[union-attr]
            if key in new and new[key] == value:
                del new[key]
            else:
                new[key] = value
        return make_map(new)
    return tuple(sorted(set(old) ^ set(change)))


def as_key(datum: Datum) -> Any:
    """A hashable form of a value, equal for equal values of one column."""
    return tuple(datum.items()) if type(datum) is dict else datum
