"""dpif-netdev/pmd-*: what is shown, parsed as scripts parse it."""

import re
from types import SimpleNamespace

import pytest

from pyvs.process.daemon import CommandError
from vswitchd.appctl import pmd

NAMES = ("packets", "recirculations", "emc_hits", "megaflow_hits", "misses", "lost", "masks_probed")


def switch_of(workers, ports):
    dpif = SimpleNamespace(
        stats=lambda: {"workers": [dict(zip(NAMES, each, strict=True)) for each in workers]},
        port_dump=lambda: [
            SimpleNamespace(name=name, worker=worker, type="dummy" if name == "d1" else "system")
            for name, worker in ports
        ],
    )
    return SimpleNamespace(backer=SimpleNamespace(dpif=dpif))


def test_queues_are_those_of_each_worker():
    switch = switch_of([(0,) * 7, (0,) * 7], [("p2", 1), ("br0", 0), ("p1", 1), ("d1", 0)])
    shown = pmd.show_queues(switch, ["-secs", "12"])
    assert shown.startswith("Displaying last 15 seconds pmd usage %\n")
    found = re.findall(
        r"core_id (\d+):|port: (\S+) +queue-id: +(\d+) \(enabled\) +pmd usage: NOT AVAIL", shown
    )
    assert found == [("0", "", ""), ("", "br0", "0"), ("1", "", ""), ("", "p1", "0"),
                     ("", "p2", "0")]  # fmt: skip
    assert pmd.show_queues(switch, ["-pmd", "1"]).count("core_id") == 1
    for seconds in ("-1", "0", "61"):
        assert "last 60 seconds" in pmd.show_queues(switch, ["-secs", seconds])
    for words in (["-secs", "y"], ["-pmd", "x"], ["-what", "1"], ["other"]):
        with pytest.raises(CommandError):
            pmd.show_queues(switch, words)


def test_statistics_since_they_were_cleared():
    workers = [(10, 5, 4, 6, 4, 1, 12)]
    switch = switch_of(workers, [])
    before = pmd.show_statistics(switch, [])
    assert "packets received: 10\n" in before and "per packet: 1.50\n" in before
    assert "megaflow hit: 2.00\n" in before and "success upcall: 3\n" in before
    pmd.clear_statistics(switch, [])
    try:
        assert "packets received: 0\n" in pmd.show_statistics(switch, [])
        workers[0] = (13, 5, 4, 6, 4, 1, 12)
        assert "packets received: 3\n" in pmd.show_statistics(switch, [])
    finally:
        pmd.Cleared.before = ()
