"""What there is one of is chosen by Open vSwitch's names, and what is no name is refused."""

from types import SimpleNamespace

import pytest

from pyvs.process.daemon import CommandError
from vswitchd.appctl.datapath import implementations


@pytest.fixture
def switch(monkeypatch):
    monkeypatch.setattr(implementations.Parsers, "others", {})
    return SimpleNamespace(pmds=SimpleNamespace(workers=[0, 3]))


def test_the_parser_of_one_worker_and_of_all(switch):
    said = implementations.set_parser(switch, ["-pmd", "3", "study", "10"])
    assert said == (
        "Miniflow extract implementation set to study, on pmd thread 3, studying 10 packets.\n"
    )
    shown = implementations.show_parsers(switch, [])
    assert "  scalar (available: True pmds: 0)\n" in shown
    assert "  study (available: True pmds: 3)\n" in shown
    implementations.set_parser(switch, ["autovalidator"])
    assert "autovalidator (available: True pmds: 0,3)" in implementations.show_parsers(switch, [])


@pytest.mark.parametrize(
    "args",
    [
        ["bogus"],
        ["scalar", "5"],
        ["study", "0"],
        ["study", "x"],
        ["-pmd"],
        ["-pmd", "3"],
        ["-pmd", "x", "study"],
        ["-pmd", "9", "scalar"],
    ],
)
def test_what_is_refused(switch, args):
    with pytest.raises(CommandError, match="Error: "):
        implementations.set_parser(switch, args)
    assert not implementations.Parsers.others
