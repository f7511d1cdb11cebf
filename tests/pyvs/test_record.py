"""Records are what the standard library's dataclasses with slots are."""

import copy
import dataclasses
import pickle
from typing import ClassVar

import pytest

from pyvs.record import field, fields, record, replace


def classes(decorate, field):
    """A base with values for keywords only, one with all kinds of them, and one with none."""

    @decorate
    class Base:
        SHARED: ClassVar[dict] = {}
        version: int = field(default=0, compare=False, repr=False, kw_only=True)

    @decorate
    class Whole(Base):
        table: int
        name: str | None = None
        parts: list = field(default_factory=list)

        def size(self):
            return len(self.parts)

    @decorate
    class Empty(Base):
        pass

    return Base, Whole, Empty


OURS = classes(record, field)
THEIRS = classes(lambda cls: dataclasses.dataclass(slots=True)(cls), dataclasses.field)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((1,), {}),
        ((1, "a"), {"version": 3}),
        ((1, "a", [1, 2]), {}),
        ((), {"table": 2, "parts": [1]}),
        ((), {}),
        ((1, 2, 3, 4), {}),
        ((1,), {"table": 2}),
        ((1,), {"other": 2}),
    ],
)
def test_made_and_shown(values, named):
    told = []
    for _base, whole, _empty in (OURS, THEIRS):
        try:
            made = [whole(*values, **named) for _ in range(2)]
        except TypeError as error:
            told.append(str(error).replace("classes.<locals>.Whole.", ""))
            continue
        assert made[0] == made[1] == copy.copy(made[0])
        told.append(
            (repr(made[0]), made[0].version, made[0].size(), made[0].parts is made[1].parts)
        )
    assert told[0] == told[1]


def test_equality_and_hash():
    for _base, whole, empty in (OURS, THEIRS):
        assert whole(1, version=2) == whole(1, version=3)
        assert whole(1) != whole(2)
        assert empty() == empty(version=1)
        assert empty() != whole(1)
        assert whole.__hash__ is None
        with pytest.raises(AttributeError):
            whole(1).other = 2
        assert not hasattr(whole(1), "__dict__")
        assert whole.__match_args__ == ("table", "name", "parts")


def test_fields_and_replace():
    whole, theirs = OURS[1](1, "a", version=9), THEIRS[1](1, "a", version=9)
    assert [each.name for each in fields(whole)] == [
        each.name for each in dataclasses.fields(theirs)
    ]
    assert fields(1) == ()
    changed = replace(whole, name="b")
    assert (changed.table, changed.name, changed.version) == (1, "b", 9)
    assert repr(changed) == repr(dataclasses.replace(theirs, name="b"))
    with pytest.raises(TypeError):
        replace(whole, other=1)


def test_no_default_is_shared():
    with pytest.raises(ValueError, match="parts"):

        @record
        class Shared:
            parts: list = []


@record
class Kept:
    """One that pickle finds by its name."""

    a: int
    b: list = field(default_factory=list)


def test_pickled_before_one_is_made():
    kept = Kept(1)
    assert pickle.loads(pickle.dumps(kept)) == kept
