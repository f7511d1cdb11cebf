"""LACP between instances in memory, on a clock of the test's own."""

import random

import pytest
from scapy.contrib.lacp import LACP, SlowProtocol

from ofproto.protocols import lacp
from ofproto.protocols.lacp import Aggregate, MemberSettings, Settings

STEP = 100


def system(n):
    return bytes([2, 0, 0, 0, 0, n])


class Net:
    """Aggregates, and the links between their members: (aggregate, member) -> the other end."""

    def __init__(self):
        self.now = 1000
        self.sides = {}
        self.links = {}
        self.frames = 0

    def side(self, name, n_members=2, **settings):
        made = self.sides[name] = Aggregate(Settings(system(len(self.sides) + 1), **settings))
        for port in range(1, n_members + 1):
            made.set_member(port, MemberSettings(f"{name}{port}", port), self.now)
        return made

    def join(self, one, other):
        self.links[one], self.links[other] = other, one

    def cut(self, one):
        del self.links[self.links.pop(one)]

    def run(self, ms):
        """In steps; what is sent arrives at once."""
        end = self.now + ms
        while self.now < end:
            self.now += STEP
            for _ in range(20):
                sent = [
                    (name, port, payload)
                    for name, side in self.sides.items()
                    for port, payload in side.run(self.now)
                ]
                if not sent:
                    break
                for name, port, payload in sent:
                    self.arrive(name, port, payload)
            else:
                raise AssertionError("they do not come to rest")

    def arrive(self, name, port, payload):
        self.frames += 1
        to = self.links.get((name, port))
        if to is not None:
            self.sides[to[0]].receive(to[1], payload, self.now)

    def states(self, name):
        side = self.sides[name]
        return [(m.status, m.attached, side.may_enable(port)) for port, m in side.members.items()]


UP, WAITING = (lacp.CURRENT, True, True), (lacp.EXPIRED, True, False)
NOBODY = (lacp.DEFAULTED, False, False)


@pytest.fixture
def pair():
    net = Net()
    net.side("a", active=True, fast=True)
    net.side("b", active=True, fast=True)
    for port in (1, 2):
        net.join(("a", port), ("b", port))
    return net


def test_the_frame_is_the_standards():
    actor = lacp.Info(1, system(1), 2, 3, 4, lacp.ACTIVITY | lacp.SYNC)
    partner = lacp.Info(5, system(2), 6, 7, 8, lacp.TIMEOUT)
    payload = lacp.compose(actor, partner)
    seen = SlowProtocol(payload)[LACP]
    assert (seen.actor_system_priority, seen.actor_system) == (1, "02:00:00:00:00:01")
    assert (seen.actor_key, seen.actor_port_priority, seen.actor_port_number) == (2, 3, 4)
    assert (seen.actor_state, seen.partner_state) == (lacp.ACTIVITY | lacp.SYNC, lacp.TIMEOUT)
    assert (seen.partner_key, seen.partner_port_number) == (6, 8)
    assert (seen.collector_type, seen.collector_length, seen.terminator_type) == (3, 16, 0)
    assert lacp.parse(payload) == (actor, partner)
    assert lacp.parse(bytes(SlowProtocol() / LACP(actor_key=9)))[0].key == 9


def test_two_sides_agree_and_lose_each_other(pair):
    assert pair.states("a") == [WAITING] * 2
    pair.run(STEP)
    assert pair.states("a") == pair.states("b") == [UP] * 2
    told = pair.frames
    pair.run(10_000)
    assert pair.frames - told <= 4 * 11  # one a second on each
    # A link that is cut and stays up.
    pair.cut(("a", 1))
    pair.sides["a"].changed = False
    pair.run(1500)
    assert not pair.sides["a"].changed
    pair.run(1600)
    assert pair.sides["a"].changed
    assert pair.states("a") == pair.states("b") == [WAITING, UP]
    pair.run(3100)
    assert pair.states("a") == pair.states("b") == [NOBODY, UP]
    assert pair.sides["a"].is_negotiated
    counts = pair.sides["a"].members[1].counts
    assert (counts.expired, counts.defaulted) == (1, 1)
    pair.join(("a", 1), ("b", 1))
    pair.run(31_000)  # without a partner, it is slow to speak
    assert pair.states("a") == pair.states("b") == [UP] * 2


def test_a_passive_side_speaks_when_it_is_spoken_to():
    net = Net()
    net.side("a")
    net.side("b")
    for port in (1, 2):
        net.join(("a", port), ("b", port))
    net.run(4000)
    net.run(60_000)
    assert net.frames == 0 and net.states("a") == [NOBODY] * 2
    net.sides["b"].configure(net.sides["b"].settings._replace(active=True))
    net.run(31_000)
    assert net.states("a") == net.states("b") == [UP] * 2


def test_fallback_is_for_who_has_no_partner():
    net = Net()
    a = net.side("a", active=True, fallback=True)
    net.run(STEP)
    assert net.states("a") == [WAITING] * 2 and a.is_negotiated
    net.run(4000)
    assert net.states("a") == [(lacp.DEFAULTED, True, True)] * 2 and not a.is_negotiated
    net.side("b", active=True)
    net.join(("a", 1), ("b", 1))
    net.run(31_000)
    assert net.states("a") == [UP, NOBODY] and a.is_negotiated


def test_members_of_another_partner_stay_outside():
    net = Net()
    a = net.side("a", 3, active=True, fast=True)
    net.side("b", 1, active=True, fast=True)
    net.side("c", 2, active=True, fast=True)
    net.join(("a", 1), ("b", 1))
    net.join(("a", 2), ("c", 1))
    net.join(("a", 3), ("c", 2))
    net.run(500)
    assert net.states("a") == [UP, (lacp.CURRENT, False, False), (lacp.CURRENT, False, False)]
    assert net.states("c") == [(lacp.CURRENT, True, False)] * 2  # a does not agree
    # The system of the lower priority decides, by its ports' priorities.
    for port in (2, 3):
        a.set_member(port, MemberSettings(f"a{port}", port, 100 + port), net.now)
    net.run(2000)
    assert net.states("a") == [(lacp.CURRENT, False, False), UP, UP]
    assert net.states("b") == [(lacp.CURRENT, True, False)]
    # Other keys are other aggregates.
    a.set_member(3, MemberSettings("a3", 3, 103, key=9), net.now)
    net.run(2000)
    assert [state[1] for state in net.states("c")] == [True, False]


def test_a_loop_is_no_partner():
    net = Net()
    net.side("a", 2, active=True, fast=True)
    net.join(("a", 1), ("a", 2))
    net.run(10_000)
    assert not net.sides["a"].is_negotiated
    assert net.states("a") == [(lacp.CURRENT, False, False)] * 2


def test_a_link_that_is_down_says_nothing(pair):
    pair.run(STEP)
    a = pair.sides["a"]
    a.set_carrier(1, False, pair.now)
    sent = a.members[1].counts.sent
    pair.run(7000)
    assert a.members[1].counts.sent == sent
    a.set_carrier(1, True, pair.now)
    pair.run(STEP)
    assert pair.states("a") == pair.states("b") == [UP] * 2
    assert a.members[1].counts.carrier_changes == 2


def test_nothing_that_lies_ends_it_or_has_it_speak_much(pair):
    pair.run(STEP)
    made = random.Random(7)
    a = pair.sides["a"]
    good = lacp.compose(lacp.Info(1, system(9), 1, 1, 1, 0), lacp.NOBODY)
    for _ in range(2000):
        payload = bytearray(good)
        for _ in range(made.choice((1, 1, 2, 50))):
            payload[made.randrange(len(payload))] = made.randrange(256)
        a.receive(1, bytes(payload[: made.choice((110, 110, 124, made.randrange(111)))]), pair.now)
    for cut in range(20):
        a.receive(2, good[:cut], pair.now)
    assert a.members[2].counts.bad == 20 and a.members[2].counts.received > 20
    sent = a.members[1].counts.sent
    for _ in range(100):  # another claim each time
        info = lacp.Info(1, system(made.randrange(9)), 1, 1, made.randrange(9), 0)
        a.receive(1, lacp.compose(info, lacp.NOBODY), pair.now)
        a.run(pair.now)
    assert a.members[1].counts.sent - sent <= lacp.TX_LIMIT
    assert a.next_run() >= pair.now  # no busy waiting
    pair.run(31_000)
    assert pair.states("a") == pair.states("b") == [UP] * 2


def test_markers_are_answered(pair):
    marker = bytes((2, 1, 1, 16, 0, 7)) + system(5) + (99).to_bytes(4, "big") + bytes(2)
    marker = marker.ljust(110, b"\0")
    answer = pair.sides["a"].receive(1, marker, pair.now)
    assert answer == marker[:2] + b"\2" + marker[3:]
    assert pair.sides["a"].receive(1, answer, pair.now) is None
    answered = [pair.sides["a"].receive(1, marker, pair.now) for _ in range(100)]
    assert 0 < sum(each is not None for each in answered) < lacp.MARKER_LIMIT
    assert pair.sides["a"].members[1].counts.markers == 101


def test_a_partner_counts_until_it_has_been_silent_for_too_long(pair):
    """lacp_current, as Open vSwitch has it: from the beginning, and when it has expired."""
    a = pair.sides["a"]
    assert a.is_current(1)
    pair.run(STEP)
    pair.cut(("a", 1))
    pair.run(3200)
    assert a.members[1].status == lacp.EXPIRED and a.is_current(1)
    pair.run(3200)
    assert a.members[1].status == lacp.DEFAULTED and not a.is_current(1)
    assert a.is_current(2)


def test_a_link_that_comes_up_takes_nothing_from_a_fallen_back_bond():
    """As Open vSwitch: only what is heard, and its absence, attach and detach."""
    net = Net()
    side = net.side("a", active=True, fallback=True)
    net.run(5000)
    assert side.may_enable(1) and side.may_enable(2) and not side.is_negotiated
    for up in (False, True):
        side.set_carrier(1, up, net.now)
        net.run(STEP)
        assert side.members[1].status == lacp.EXPIRED and side.is_current(1)
        assert side.may_enable(2) and not side.may_enable(1) and not side.is_negotiated
    net.run(5000)
    assert side.may_enable(1) and side.may_enable(2)
    assert side.members[1].counts.defaulted == 2


def test_a_passive_side_has_no_partner_from_the_start():
    side = Net().side("a", fallback=True)
    assert not side.is_negotiated and not side.is_current(1) and side.may_enable(1)
    assert side.members[1].counts.defaulted == 0
