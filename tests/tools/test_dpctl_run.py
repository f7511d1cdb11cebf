"""Where the text of dpctl's commands goes."""

import json

import orjson
import pytest

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
