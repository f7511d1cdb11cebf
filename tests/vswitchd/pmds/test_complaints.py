"""Options of workers that make no sense are told, once for each time they are set."""

from vswitchd.pmds import pmds
from vswitchd.pmds.cpus import Cores


def test_a_mask_that_is_none(monkeypatch):
    told = []
    monkeypatch.setattr(pmds.vlog, "warn", told.append)
    made = pmds.Pmds(Cores(), False)
    made.configure({})
    for options in ({"pmd-cpu-mask": "zz"}, {"pmd-cpu-mask": "zz"}, {}, {"pmd-cpu-mask": "zz"}):
        made.configure(options)
    assert told == ["pmd-cpu-mask: zz is no hexadecimal mask"] * 2
