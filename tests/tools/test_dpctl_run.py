"""Where the text of dpctl's commands goes."""

import json
from types import SimpleNamespace

import orjson
import pytest

from pyvs.named_files import LONGEST
from pyvs.process.daemon import CommandError
from vswitchd.appctl.datapath import asking, dpctl
from vswitchd.dpctl import arguments
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


FROM_ITEM = [
    ("in_port(1),eth(src=q)", "src=q: bad", "eth(src=q)"),
    ("in_port(1), bogus", "bogus: unknown", "bogus"),
    ("a(1),b(2(3),c(4)", "c: bad", "b(2(3),c(4)"),
    ("in_port(1),x)y", "y: bad", "x)y"),
    ("in_port(1)", "nowhere: bad", "in_port(1)"),
]  # fmt: skip


@pytest.mark.parametrize("text, error, told", FROM_ITEM)
def test_a_flow_is_told_from_the_item_that_is_wrong(text, error, told):
    assert arguments._from_item(text, error) == told


def test_that_takes_one_look_at_a_long_flow():
    text = "in_port(1)," * 100_000 + "bogus"
    assert arguments._from_item(text, "bogus: unknown") == "bogus"


@pytest.fixture
def add_flows(tmp_path):
    """The steps of dpctl/add-flows of a file of this text."""
    dpif = SimpleNamespace(_request=lambda op: ({"datapaths": []}, b""))
    switch = SimpleNamespace(backer=SimpleNamespace(dpif=dpif))
    function = next(row[4] for row in dpctl.COMMANDS if row[0] == "dpctl/add-flows")

    def run(text):
        path = tmp_path / "flows"
        path.write_text(text)
        return function(switch, [str(path)])

    return run


def test_each_line_without_a_flow_is_a_step(add_flows, monkeypatch):
    """The loop goes on between them: there may be millions."""
    monkeypatch.setattr(asking, "TURN", 0)
    assert len(list(add_flows("# nothing\n\n" * 100))) > 200


def test_what_ends_a_file_of_flows_hides_nothing_of_what_was_wrong_before(add_flows):
    wrong = "Failed parsing line number 2, skipped!\n"
    said = "".join(add_flows(f"\nbogus\n{'x' * (LONGEST + 1)}"))
    assert said.startswith(wrong) and said.endswith("failed (File too large)\n")
    with pytest.raises(CommandError) as error:
        list(add_flows("\n" + "bogus\n" * 1001))
    assert str(error.value).startswith(wrong)
    assert str(error.value).endswith(":1002: more than 1000 errors")
