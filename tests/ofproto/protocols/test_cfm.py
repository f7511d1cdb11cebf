"""CFM between maintenance points in memory, on a clock of the test's own."""

import random

import pytest

from ofproto.protocols import cfm
from ofproto.protocols.cfm import MaintenancePoint, Settings

# As Open vSwitch 3.1 sends it: MPID 5; and extended, 70000, every 300 ms, operationally down.
STANDARD = "0001044600000001000504036f767302036f7673" + "00" * 38 + "00" * 17
EXTENDED = "0001004600000001763604036f767302036f7673" + "00" * 38
EXTENDED += "012c000000000001117001000000000000"


class Segment:
    """Points that hear each other; `received` packets of each, data too."""

    def __init__(self, *settings, step=100):
        self.now, self.step = 5000, step
        self.points = [MaintenancePoint(each, self.now) for each in settings]
        self.received = [0] * len(settings)
        self.silent = set()

    def run(self, ms, data=()):
        end = self.now + ms
        while self.now < end:
            self.now += self.step
            for i in data:
                self.received[i] += 1
            for i, point in enumerate(self.points):
                payload = point.run(self.now, self.received[i])
                if payload is None or i in self.silent:
                    continue
                for j, other in enumerate(self.points):
                    if j != i:
                        self.received[j] += 1
                        other.receive(payload, self.now)

    def faults(self):
        return [point.shown_faults for point in self.points]


def test_the_message_is_open_vswitchs():
    point = MaintenancePoint(Settings(5), 0)
    assert point.run(0, 0).hex() == STANDARD
    seen = cfm.parse(bytes.fromhex(EXTENDED))
    assert (seen.long_mpid, seen.interval, seen.is_down) == (70000, 300, True)
    point = MaintenancePoint(Settings(70000, 300, extended=True, is_up=False), 0)
    made = point.run(0, 0)
    assert made[:8] + made[10:] == bytes.fromhex(EXTENDED)[:8] + bytes.fromhex(EXTENDED)[10:]
    for interval, code in ((100, 3), (1000, 4), (10_000, 5)):
        made = cfm.parse(MaintenancePoint(Settings(7, interval, extended=True), 0).run(0, 0))
        assert (made.flags & cfm.INTERVAL_CODE, made.interval) == (code, 0)
    for interval, sent in ((1, 3), (99, 10), (600, 100), (5000, 1000), (700_000, 600_000)):
        assert MaintenancePoint(Settings(5, interval), 0).interval == sent


def test_they_hear_each_other_and_notice_silence():
    segment = Segment(Settings(1, 300, extended=True), Settings(2, 300, extended=True))
    a, b = segment.points
    segment.silent.add(1)
    segment.run(900)
    assert segment.faults() == [[], []]  # nothing was checked yet
    segment.run(300)
    assert segment.faults() == [["recv"], []] and a.flaps == 1
    segment.run(1200)  # its peer hears that it hears nothing
    assert segment.faults() == [["recv"], ["rdi"]]
    segment.silent.clear()
    segment.run(3000)
    assert segment.faults() == [[], []] and (a.flaps, b.flaps) == (2, 2)
    assert (a.told, b.told) == ((2,), (1,))
    segment.run(14_000)
    assert (a.health, b.health) == (100, 100)
    b.configure(b.settings._replace(is_up=False), segment.now)
    segment.run(2000)
    assert not a.remote_is_up and b.remote_is_up and not a.is_faulty
    a.set_override(True)
    assert segment.faults()[0] == ["override"]
    a.set_override(None)
    assert segment.faults()[0] == []


@pytest.mark.parametrize(
    "other, fault",
    [
        (Settings(1, 300, extended=True), "loopback"),
        (Settings(2, 400, extended=True), "interval"),
        (Settings(2, 100, extended=True), "interval"),
    ],
)
def test_what_should_not_be_is_a_fault(other, fault):
    segment = Segment(Settings(1, 300, extended=True), other)
    segment.run(3000)
    assert fault in segment.faults()[0]


@pytest.mark.parametrize("interval", [100, 150, 1000])
def test_extended_mode_knows_both_ways_to_tell_an_interval(interval):
    """A code where there is one for it, as Open vSwitch does; in ms alone, as pyvs 0.1.0 did."""
    segment = Segment(*(Settings(n, interval, extended=True) for n in (1, 2)), step=50)
    segment.run(8000)
    assert segment.faults() == [[], []]
    point = segment.points[0]
    seen = cfm.parse(segment.points[1].run(segment.now + interval, 0))
    in_ms = seen._replace(flags=seen.flags & ~cfm.INTERVAL_CODE, interval=interval)
    point.receive(cfm.compose(in_ms), segment.now)
    segment.run(interval * 4)
    assert point.shown_faults == []


def test_more_points_than_it_can_keep_and_others_names():
    point = MaintenancePoint(Settings(1, 1000), 0)
    head = cfm.parse(bytes.fromhex(STANDARD))
    for mpid in range(2, 1000):
        point.receive(cfm.compose(head._replace(mpid=mpid)), 10)
    assert len(point.remotes) == cfm.MAX_REMOTE
    point.receive(cfm.compose(head._replace(maid=bytes(48))), 10)
    point.run(3500, 0)
    assert point.shown_faults == ["maid", "overflow"]


def test_data_stands_for_messages_in_demand_mode():
    settings = Settings(1, 300, extended=True, demand=True)
    segment = Segment(settings, settings._replace(mpid=2))
    segment.run(20_000)
    assert segment.faults() == [[], []]
    segment.silent.add(1)
    segment.run(20_000, data=[0])
    assert segment.faults()[0] == [] and segment.points[0].health == 0
    segment.run(20_000, data=[0])
    assert segment.faults()[0] == ["recv"]  # for so long, one has to come
    segment.silent.clear()
    segment.run(20_000)
    assert segment.faults() == [[], []] and segment.points[0].health == 100


def test_nothing_that_lies_ends_it():
    segment = Segment(Settings(1, 300, extended=True), Settings(2, 300, extended=True))
    segment.run(3000)
    made = random.Random(5)
    good = bytes.fromhex(EXTENDED)
    for _ in range(3000):
        payload = bytearray(good)
        for _ in range(made.choice((1, 2, 30))):
            payload[made.randrange(len(payload))] = made.randrange(256)
        cut = made.choice((75, 75, 80, made.randrange(76)))
        segment.points[0].receive(bytes(payload[:cut]), segment.now)
    assert len(segment.points[0].remotes) <= cfm.MAX_REMOTE
    segment.run(3000)
    assert segment.faults() == [[], []]
