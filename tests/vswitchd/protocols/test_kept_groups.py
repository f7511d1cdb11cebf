"""Multicast groups over the death of vswitchd: what comes back ages as it would have."""

import json
import random
from types import SimpleNamespace

from ofproto.protocols.membership import Message
from ofproto.xlate.bridges.mcast_snooping import McastSnooping
from pyvs.kept import Recalled
from vswitchd import kept_groups
from vswitchd.kept_groups import KeptGroups


class Bundle:
    mcast_flood = mcast_flood_reports = False

    def __init__(self, name):
        self.name = name


def part(bundles):
    xbridge = SimpleNamespace(snooping=McastSnooping(), bundles=bundles, touch=lambda: None)
    return KeptGroups(SimpleNamespace(xbridge=xbridge)), xbridge.snooping


def hear(snooping, rng, bundles, now):
    group = bytes([239, 0, 0, rng.randrange(20)])
    message = Message(from_router=True) if rng.random() < 0.1 else Message(False, ((group, True),))
    snooping.hear(message, rng.randrange(2), rng.choice(bundles), now)


def test_they_age_as_if_nobody_had_died():
    rng = random.Random(4)
    bundles = [Bundle(f"p{i}") for i in range(4)]
    before, heard = part(bundles)
    for now in range(0, 200_000, 1000):
        hear(heard, rng, bundles, now)
    kept = json.loads(json.dumps(before.kept(200_000)))
    after, found = part(bundles)
    after.recall(Recalled(kept, 300_000))
    after.apply(200_000)
    for now in range(200_000, 520_000, 1000):
        for each in (heard, found):
            each.run(now)
        assert set(found.rows(now)) == set(heard.rows(now))
    assert not list(found.rows(520_000))


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(kept_groups, "MOST", 50)
    bundles = [Bundle(f"p{i}") for i in range(4)]
    keeps, snooping = part(bundles)
    for n in range(100):
        snooping.hear(Message(False, ((bytes([239, 0, 0, n]), True),)), 0, bundles[n % 4], n)
    rows = snooping.rows
    looked_at = []
    monkeypatch.setattr(
        snooping, "rows", lambda now: (looked_at.append(row) or row for row in rows(now))
    )
    assert len(keeps.kept(1000)["rows"]) == len(looked_at) == 50
