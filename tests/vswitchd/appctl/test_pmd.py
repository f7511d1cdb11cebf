"""dpif-netdev/pmd-*: what is shown, parsed as scripts parse it."""

import re
from types import SimpleNamespace

import pytest

from datapath.ipc.perf_requests import Measured, PerfRow
from pyvs.process.daemon import CommandError
from vswitchd.appctl.datapath import pmd
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
            "asleep": 0,
            "sleeps": 0,
            "rounds": 0,
            "busy_rounds": 0,
            "smc_hits": 0,
            "sent": 9,
            "sent_batches": 6,
            **dict(zip(NAMES, counted, strict=True)),
        }
        for number, (core, counted) in enumerate(workers)
    ]
    dpif = SimpleNamespace(
        stats=lambda: {"workers": told, "frequency": 1_000_000},
        _request=lambda _op: ({"datapaths": []}, b""),
        perf_clear=lambda workers: None,
        perf_get=lambda worker, iterations, ms: None,
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


def values(shown):
    """{name: number} of pmd-perf-show."""
    return {name: int(n) for name, n in re.findall(r"^ +(?:- )?([^:\n]+?): +(\d+)", shown, re.M)}


def performance(switch, *words):
    return "".join(pmd.show_performance(switch, list(words)))


def test_performance():
    switch = switch_of([(None, (0,) * 7), (0, (30, 10, 20, 16, 4, 1, 32))], {})
    switch.told[1].update(
        cycles=2_000_000, asleep=1_000_000, busy=250_000, rounds=50, busy_rounds=20, sleeps=5
    )
    shown = performance(switch)
    assert re.match(
        r"\nTime: \d\d:\d\d:\d\d\.\d{3}\nMeasurement duration: 2\.000 s\n\n"
        r"pmd thread numa_id 0 core_id 0:\n\n  Iterations: ",
        shown,
    )
    found = values(shown)
    assert (found["Iterations"], found["Used TSC cycles"]) == (50, 1_000_000)
    assert (found["idle iterations"], found["busy iterations"]) == (30, 20)
    assert (found["sleep iterations"], found["Sleep time (us)"]) == (5, 1_000_000)
    assert (found["Rx packets"], found["Datapath passes"], found["Tx packets"]) == (30, 40, 9)
    assert "( 75.0 % of used cycles)" in shown and "(1.50 pkts/batch)" in shown
    assert "Histograms" not in shown and "main thread" not in shown
    row = PerfRow(7, 1, 500, 500, 2, 1, 1, 90)
    bins = [[n + 32 * which for n in range(32)] for which in range(7)]
    walls = [[1000 * which + n for n in range(31)] for which in range(7)]
    asked = []
    measured = Measured(row, [row, row._replace(at=6)], [row._replace(at=9000)], bins, walls)
    switch.backer.dpif.perf_get = lambda *words: asked.append(words) or measured
    shown = performance(switch, "-it", "5000", "-ms", "-3")
    assert asked == [(1, 1000, 0)]
    lines = shown[shown.index("Histograms\n") :].splitlines()
    assert lines[1].split()[::2][0] == "cycles/it" and len(lines[2]) < len(lines[1]) + 23
    assert lines[2].split() == [str(each) for n in range(7) for each in (1000 * n, 32 * n)]
    assert lines[33].split() == [each for n in range(7) for each in (">", str(32 * n + 31))]
    assert lines[34] == "-" * 154
    assert lines[36].split() == ["500", "2.00000", "250", "2.00000", "0.00000", "1.00000", "90"]
    assert lines[38].split()[:3] == ["iter", "cycles", "packets"]
    assert [line.split() for line in lines[39:41]] == [
        [str(at), "500", "2", "250", "2", "0", "1", "90"] for at in (7, 6)
    ]
    assert lines[42].split()[:3] == ["ms", "iterations", "cycles/it"]
    assert lines[43].split() == ["9", "1", "500", "2", "250", "2", "0", "1", "90"]
    assert "Histograms" not in performance(switch, "-nh")
