"""dpif-netdev/pmd-*: what is shown, parsed as scripts parse it."""

import re
from types import SimpleNamespace

import pytest

from pyvs.process.daemon import CommandError
from vswitchd.appctl import pmd
from vswitchd.pmds.pmds import Pmds

NAMES = ("packets", "recirculations", "emc_hits", "megaflow_hits", "misses", "lost", "masks_probed")


def switch_of(workers, ports):
    """`workers`: (core, counters) by number; `ports`: name -> numbers of who polls each queue."""
    told = [
        {
            "id": number,
            "core": core,
            "busy": 0,
            "cycles": 0,
            "smc_hits": 0,
            "sent": 9,
            "sent_batches": 6,
            **dict(zip(NAMES, counted, strict=True)),
        }
        for number, (core, counted) in enumerate(workers)
    ]
    dpif = SimpleNamespace(
        stats=lambda: {"workers": told},
        _request=lambda _op: ({"datapaths": []}, b""),
        port_dump=lambda: [
            SimpleNamespace(name=name, port_no=number, queues=[(owner, 0, 0) for owner in owners],
                            type="dummy" if name == "d1" else "system")
            for number, (name, owners) in enumerate(ports.items(), 1)
        ],
    )  # fmt: skip
    pmds = Pmds({4: 0, 6: 1}, pinned=False)
    pmds.workers = {core: number for number, (core, _) in enumerate(workers) if core is not None}
    return SimpleNamespace(backer=SimpleNamespace(dpif=dpif), pmds=pmds, told=told)


def test_queues_are_those_of_each_worker():
    nothing = (0,) * 7
    switch = switch_of([(None, nothing), (6, nothing), (4, nothing)],
                       {"p2": [1, 2], "br0": [0], "p1": [1], "d1": [0]})  # fmt: skip
    shown = pmd.show_queues(switch, ["-secs", "12"])
    assert shown.startswith("Displaying last 15 seconds pmd usage %\n")
    found = re.findall(
        r"numa_id (\d+) core_id (\d+):|port: (\S+) +queue-id: +(\d+) \(enabled\) +pmd usage: NOT",
        shown,
    )
    assert found == [("0", "4", "", ""), ("", "", "p2", "1"), ("1", "6", "", ""),
                     ("", "", "p1", "0"), ("", "", "p2", "0"), ("", "", "br0", "0")]  # fmt: skip
    assert shown.index("main thread:") < shown.index("br0")
    assert pmd.show_queues(switch, ["-pmd", "6"]).count("core_id") == 1
    assert pmd.show_queues(switch, ["other"]) == pmd.show_queues(switch, [])
    for seconds in ("-1", "0", "61"):
        assert "last 60 seconds" in pmd.show_queues(switch, ["-secs", seconds])
    for words in (["-secs", "y"], ["-pmd", "x"], ["-what", "1"]):
        with pytest.raises(CommandError):
            pmd.show_queues(switch, words)


def test_usage_is_that_of_the_time_that_was_asked_for():
    switch = switch_of([(None, (0,) * 7), (4, (0,) * 7)], {"p1": [1]})
    history = switch.pmds.history
    for n in range(14):
        history.add(
            {("total", 4): 1000 * n, ("busy", 4): 300 * n, (1, 0): 200 * n + 500 * (n == 13)}
        )
    shown = pmd.show_queues(switch, ["-secs", "5"])
    assert "pmd usage: 70 %" in shown
    shown = pmd.show_queues(switch, [])
    assert "pmd usage: 24 %" in shown and "overhead:  6 %" in shown


def test_statistics_since_they_were_cleared():
    switch = switch_of([(None, (10, 5, 4, 6, 4, 1, 12))], {})
    before = pmd.show_statistics(switch, [])
    assert before.startswith("main thread:\n")
    assert "packets received: 10\n" in before and "per packet: 1.50\n" in before
    assert "output batch: 1.50\n" in before
    assert "megaflow hit: 2.00\n" in before and "success upcall: 3\n" in before
    pmd.clear_statistics(switch, [])
    try:
        assert "packets received: 0\n" in pmd.show_statistics(switch, [])
        switch.told[0]["packets"] = 13
        assert "packets received: 3\n" in pmd.show_statistics(switch, [])
    finally:
        pmd.Cleared.before = {}
