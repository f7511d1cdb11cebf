"""A port whose ingress is sent on to an IFB, from where it takes its frames then."""

from types import SimpleNamespace

import pytest

from datapath import diverted
from tests.daemons import wait_until
from tests.datapath.netdev.test_veth import B, join, pair  # noqa: F401

# As CNI's bandwidth plug-in has it.
SENT_ON = "parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev shaped"


@pytest.mark.parametrize("late", [False, True], ids=["up", "up later"])
def test_by_a_device(pair, late):  # noqa: F811
    """Also by one that is up only when all is made."""
    net, a, _b = pair
    join(net, 1, 2)
    net.host.run("ip", "link", "add", "shaped", "type", "ifb")
    try:
        up = ("ip", "link", "set", "shaped", "up")
        if not late:
            net.host.run(*up)
        net.host.run("tc", "qdisc", "add", "dev", "pa", "ingress")
        net.host.run("tc", "filter", "add", "dev", "pa", *SENT_ON.split())
        wait_until(lambda: "frames come by device" in net.log(), what="the port's move")
        net.host.run(*up)
        assert a.ping(B) == 3
        before = net.port("pa").stats["rx_packets"]
        assert a.ping(B, count=10) == 10
        assert 10 <= net.port("pa").stats["rx_packets"] - before <= 14  # each once, and ARP
    finally:
        net.host.run("ip", "link", "del", "shaped")
    net.check()


def test_what_fails_is_tried_again(monkeypatch):
    """A port that did not come back would hear nothing until its filters change once more."""
    tries = []
    answers = iter([False, False, True])
    port = SimpleNamespace(ifindex=7)
    monkeypatch.setattr(diverted, "look", lambda port, again: tries.append(again) or next(answers))
    monkeypatch.setattr(diverted, "AGAIN_MS", 0)
    diversions = diverted.Diversions(lambda: [port])
    try:
        monkeypatch.setattr(diversions, "_news", lambda: ({7}, False))
        diversions.run()
        monkeypatch.setattr(diversions, "_news", lambda: (set(), False))
        for _ in range(4):
            diversions.run()
    finally:
        diversions.close()
    assert tries == [False, True, True]
