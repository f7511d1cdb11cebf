"""A spanning tree in a loop that turns fast."""

import contextlib
from types import SimpleNamespace

from vswitchd.protocols import spanning


def test_ports_are_not_walked_in_each_turn():
    """Each was walked over twice."""
    ran = []
    tree = spanning.Spanning(SimpleNamespace(ports={}))
    tree.tree = SimpleNamespace(
        run=ran.append, next_wakeup=lambda: 1000, take_flushes=list, take_frames=list,
        together=contextlib.nullcontext, ports={},
    )  # fmt: skip
    for now in range(500, 1500):
        tree.run(now)
        tree.tree.next_wakeup = lambda at=now: at // 1000 * 1000 + 1000
        assert tree.next_run() <= now + 2 * spanning.LOOK_MS or not tree._skipped
    assert 10 <= len(ran) <= 12 and 1000 in ran
