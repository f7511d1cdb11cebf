"""A port whose ingress is sent on to an IFB, from where it takes its frames then."""

import time
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


def diversions_of(monkeypatch, answers, news):
    """Each run() has the next of `news`, and look() the next of `answers`; (settled, told) of all
    calls."""
    calls = []
    answers, news = iter(answers), iter(news)
    monkeypatch.setattr(diverted, "look", lambda _port, *how: calls.append(how) or next(answers))
    made = diverted.Diversions(lambda: [SimpleNamespace(ifindex=7)])
    monkeypatch.setattr(made, "_news", lambda: (next(news, set()), False))
    return made, calls


def test_what_fails_is_tried_again(monkeypatch):
    """A port that did not come back would hear nothing until its filters change once more."""
    monkeypatch.setattr(diverted, "AGAIN", 1e-9)
    made, calls = diversions_of(monkeypatch, [1e-9, 1e-9, 0], [{7}])
    try:
        for _ in range(5):
            time.sleep(1e-6)
            made.run()
    finally:
        made.close()
    assert calls == [(False, False), (True, True), (True, True)]


def test_it_goes_over_when_all_is_made_and_is_kept_from_it_by_no_news(monkeypatch):
    made, calls = diversions_of(
        monkeypatch, iter(lambda: diverted.SETTLED, 0), iter(lambda: {7}, 0)
    )
    try:
        wait_until(lambda: made.run() or (True, False) in calls, what="the second look")
    finally:
        made.close()
    assert calls[0] == (False, False)
