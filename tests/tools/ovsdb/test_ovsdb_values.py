"""Values of OVSDB as text: what is printed can be read back; anything else is refused."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyvs_tools.ovsdb import types
from pyvs_tools.ovsdb.table import FORMATS, Style, Table

ATOMS = {
    "integer": st.integers(-(2**63), 2**63 - 1),
    "real": st.floats(-1e308, 1e308).map(lambda x: float(f"{x:.15g}")),
    "boolean": st.booleans(),
    "string": st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")),
    "uuid": st.uuids().map(str),
}


@st.composite
def typed_datums(draw):
    """(ColumnType, datum)"""
    key = draw(st.sampled_from(sorted(ATOMS)))
    if draw(st.booleans()):
        value = draw(st.sampled_from(sorted(ATOMS)))
        spec = {"key": key, "value": value, "min": 0, "max": "unlimited"}
        return types.ColumnType(spec), draw(st.dictionaries(ATOMS[key], ATOMS[value], max_size=5))
    most = draw(st.sampled_from([1, "unlimited"]))
    size = 1 if most == 1 else 5
    datum = sorted(draw(st.lists(ATOMS[key], max_size=size, unique=True)))
    return types.ColumnType({"key": key, "min": 0, "max": most}), datum


@given(typed_datums())
def test_text_round_trip(typed):
    kind, datum = typed
    assert types.parse(kind, types.to_text(kind, datum)) == datum


@given(typed_datums())
def test_wire_round_trip(typed):
    kind, datum = typed
    wire = json.loads(json.dumps(types.to_wire(kind, datum)))
    assert types.from_wire(kind, wire) == datum


@given(st.sampled_from(sorted(ATOMS)), st.booleans(), st.text('"\\=,[]{}:@ab1-. true', max_size=20))
def test_any_text(key, is_map, text):
    """Parsing ends with a datum that fits the type, or with BadValue."""
    spec = {"key": key, "min": 0, "max": 3, **({"value": "string"} if is_map else {})}
    kind = types.ColumnType(spec)
    try:
        datum = types.parse(kind, text, types.Symbols())
    except types.BadValue as error:
        assert str(error)
        return
    assert isinstance(datum, dict if is_map else list) and len(datum) <= 3
    assert types.parse(kind, types.to_text(kind, datum)) == datum


@given(typed_datums(), st.sampled_from(FORMATS), st.sampled_from(["string", "bare", "json"]))
def test_tables_of_any_value(typed, form, cells):
    style = Style(form)
    style.cells = cells
    table = Table(["name", "value"], caption="c")
    table.add(["x", typed])
    table.add([None, typed])
    text = table.format(style)
    assert text.endswith("\n")
    if form == "json":
        kind, datum = typed
        assert json.loads(text)["data"][0] == ["x", types.to_wire(kind, datum)]


SET = types.ColumnType({"key": "string", "min": 0, "max": "unlimited"})
MAP = types.ColumnType({"key": "string", "value": "string", "min": 0, "max": "unlimited"})


@pytest.mark.parametrize(
    ("kind", "text", "datum"),
    [
        (SET, "a,b", ["a", "b"]),
        (SET, "[b a]", ["a", "b"]),
        (SET, '"a b",c', ["a b", "c"]),
        (SET, "[]", []),
        (SET, '""', [""]),
        (SET, '"\\u0041\\n"', ["A\n"]),
        (MAP, "a=b,c=d", {"a": "b", "c": "d"}),
        (MAP, "{a=b, c=d}", {"a": "b", "c": "d"}),
        (MAP, '"a=b"="c,d"', {"a=b": "c,d"}),
        (MAP, "{}", {}),
    ],
)
def test_examples(kind, text, datum):
    assert types.parse(kind, text) == datum


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (SET, ""),
        (SET, "a\\"),
        (SET, '"a'),
        (SET, "[a"),
        (SET, "a]"),
        (SET, "a=b"),
        (SET, "a,a"),
        (MAP, "a"),
        (MAP, "a="),
        (MAP, "a=b=c"),
        (MAP, "a=b,a=c"),
        (SET, '"\\u0000"'),
    ],
)
def test_refused(kind, text):
    with pytest.raises(types.BadValue):
        types.parse(kind, text)


@pytest.mark.parametrize("text", ["nan", "inf", "1_0", "", "1e400", "0x10"])
def test_not_a_real(text):
    with pytest.raises(types.BadValue):
        types.parse_atom(types.BaseType("real"), text)
    assert not math.isnan(types.parse_atom(types.BaseType("real"), "1.5"))


def test_reals_in_json():
    """A real without a fraction is printed without a point."""
    kind = types.ColumnType({"key": "real", "min": 0, "max": 3})
    assert types.to_json_text(kind, [0.0, 1.5, 2e18]) == '["set",[0,1.5,2e+18]]'
