"""Where the text of dpctl's commands goes."""

import json
from types import SimpleNamespace

import orjson
import pytest

from vswitchd.appctl import dpctl
from vswitchd.dpctl.run import JsonArray, Run


class Kept(Run):
    """A Run that keeps what is printed."""

    def __init__(self, options):
        super().__init__(options)
        self.pieces = []

    def print(self, text):
        self.pieces.append(text)


@pytest.mark.parametrize("options", [{}, {"pretty": True}])
@pytest.mark.parametrize("rows", [[], [{"a": 1}], [{"a": {"b": [1, 2]}}, {"c": "x\ny"}, {}]])
def test_an_array_that_goes_out_row_by_row_is_the_whole_array(options, rows):
    kept = Kept(options)
    array = JsonArray(kept)
    for row in rows:
        array.add(row)
    array.end()
    text = "".join(kept.pieces)
    whole = orjson.dumps(rows, option=orjson.OPT_INDENT_2 if options else 0).decode()
    assert text == whole + "\n"
    assert json.loads(text) == rows
    assert len(kept.pieces) == len(rows) + 1


@pytest.mark.parametrize(
    ("name", "word", "told"),
    [
        ("get-flow", "foo", "parsing flow ufid"),
        ("add-flows", "/nonexistent", 'Opening file "/nonexistent" failed'),
        ("del-flows", "/nonexistent", 'Opening file "/nonexistent" failed'),
    ],
)
def test_what_cannot_be_read_is_an_answer_of_the_daemon(name, word, told):
    """ovs-appctl exits with 0 then, as Open vSwitch's does."""
    dpif = SimpleNamespace(_request=lambda op: ({"datapaths": []}, b""))
    switch = SimpleNamespace(backer=SimpleNamespace(dpif=dpif))
    function = next(row[4] for row in dpctl.COMMANDS if row[0] == f"dpctl/{name}")
    text = "".join(function(switch, [word]))
    assert told in text and text.endswith("\n")
