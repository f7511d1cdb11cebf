"""BFD between instances in memory, on a clock of the test's own."""

import random

import pytest
from scapy.all import IP, UDP, Ether
from scapy.contrib.bfd import BFD

from ofproto.protocols import bfd, bfd_packet
from ofproto.protocols.bfd import Session, Settings

STEP = 10


class Link:
    """Two sessions; frames in `blocked` directions (0: from a) do not arrive."""

    def __init__(self, a, b, step=STEP):
        self.now, self.step = 5000, step
        self.ends = [Session(a, self.now), Session(b, self.now)]
        self.blocked = set()
        self.received = [0, 0]  # packets, data too
        self.sent = [0, 0]

    def run(self, ms):
        end = self.now + ms
        while self.now < end:
            self.now += self.step
            self.settle()

    def settle(self):
        for _ in range(20):
            quiet = True
            for i, session in enumerate(self.ends):
                payload = session.run(self.now, self.received[i]) if session else None
                if payload is None:
                    continue
                quiet = False
                self.sent[i] += 1
                if i not in self.blocked:
                    self.received[1 - i] += 1
                    if self.ends[1 - i] is not None:
                        self.ends[1 - i].receive(payload, self.now)
            if quiet:
                return
        raise AssertionError("they do not come to rest")

    def states(self):
        return [
            (bfd.STATES[each.state], bfd.DIAGNOSTICS[each.diagnostic], each.is_forwarding(self.now))
            for each in self.ends
        ]


FINE = ("up", "No Diagnostic", True)


@pytest.fixture(autouse=True)
def same_jitter():
    random.seed(4)


def test_the_packet_is_the_rfcs():
    packet = bfd.Control(3, bfd.UP, bfd.POLL, 3, 0x11223344, 0x55667788, 300_000, 1_000_000)
    payload = bfd.compose(packet)
    seen = BFD(payload)
    assert (seen.version, seen.diag, seen.sta, seen.flags) == (1, 3, 3, "P")
    assert (seen.detect_mult, seen.len, seen.my_discriminator) == (3, 24, 0x11223344)
    assert (seen.your_discriminator, seen.min_tx_interval) == (0x55667788, 300_000)
    assert (seen.min_rx_interval, seen.echo_rx_interval) == (1_000_000, 0)
    assert bfd.parse(payload) == packet
    frame = bfd_packet.compose(bfd_packet.Addresses(bytes(6)), 50000, payload)
    made = Ether(dst="00:23:20:00:00:01", src="00:00:00:00:00:00") / IP(
        src="169.254.1.1", dst="169.254.1.0", ttl=255, tos=0xC0, id=0
    ) / UDP(sport=50000, dport=3784, chksum=0) / payload  # fmt: skip
    assert frame == bytes(made)
    assert bfd_packet.parse(frame[14:]) == payload
    for wrong in ({"ttl": 254}, {"frag": 1}, {"proto": 6}, {"len": 30}, {"ihl": 15}):
        head = IP(**{"src": "1.1.1.1", "dst": "1.1.1.1", "ttl": 255, **wrong})
        with pytest.raises(ValueError):
            bfd_packet.parse(bytes(head / UDP(dport=3784) / payload)[:70])


@pytest.mark.parametrize("min_tx, min_rx", [(100, 100), (300, 500), (1000, 1000), (2000, 50)])
def test_they_come_up_and_stay(min_tx, min_rx):
    link = Link(Settings(min_tx, min_rx), Settings(min_rx, min_tx))
    link.run(4000)
    assert link.states() == [FINE, FINE]
    a, b = link.ends
    link.run(20_000)
    assert link.states() == [FINE, FINE] and a.flaps == b.flaps == 1
    assert not a.flags and not b.flags
    assert (a.min_tx, a.min_rx) == (min_tx, min_rx)
    assert a.tx_interval == max(min_tx, b.min_rx) and a.rx_interval == max(min_rx, b.min_tx)
    before = link.sent[0]
    link.run(10_000)
    assert 10_000 // a.tx_interval <= link.sent[0] - before <= 10_000 * 1.4 // a.tx_interval + 1


def test_silence_is_noticed_on_both_sides_and_over():
    link = Link(Settings(100, 100), Settings(100, 100))
    link.run(4000)
    link.blocked.add(0)
    link.run(400)
    expired, signaled = link.states()[1], link.states()[0]
    assert expired == ("down", "Control Detection Time Expired", False)
    assert signaled[1] == "Neighbor Signaled Session Down" and not signaled[2]
    link.blocked.clear()
    link.run(4000)
    assert [state[0] for state in link.states()] == ["up", "up"]
    assert [each.flaps for each in link.ends] == [3, 3]
    link.blocked = {0, 1}
    link.run(310)
    assert [state[1] for state in link.states()] == ["Control Detection Time Expired"] * 2
    assert link.ends[0].remote.discriminator == 0


def test_changes_are_agreed_on_by_a_poll():
    link = Link(Settings(100, 100), Settings(100, 100))
    link.run(4000)
    a, b = link.ends
    a.configure(Settings(700, 400, mult=5), link.now)
    link.run(500)
    assert link.states() == [FINE, FINE] and a.flaps == b.flaps == 1
    assert (a.min_tx, a.min_rx, b.remote.min_tx, b.remote.mult) == (700, 400, 700, 5)
    link.run(10_000)
    assert link.states() == [FINE, FINE]
    a.configure(Settings(100, 100), link.now)
    link.run(2000)
    assert link.states() == [FINE, FINE] and b.remote.min_tx == 100 and not a.flags
    a.configure(Settings(100, 100, path_down=True), link.now)
    link.run(300)
    assert link.states()[1] == ("up", "No Diagnostic", False) and link.states()[0][2]
    b.set_override(True, link.now)
    assert link.states()[1][2]


def test_decay_and_data():
    link = Link(Settings(300, 300, decay_min_rx=3000), Settings(500, 500), step=100)
    link.run(3000)
    a = link.ends[0]
    assert a.rx_interval == 500
    link.run(5000)
    assert (a.rx_interval, a.min_rx) == (3000, 3000)
    for _ in range(50):
        link.received[0] += 2
        link.run(100)
    assert a.rx_interval == 500
    link.run(7000)
    assert a.rx_interval == 3000 and link.states() == [FINE, FINE]
    # Data stands for control packets, for a time.
    a.configure(Settings(300, 300, forwarding_if_rx=True), link.now)
    link.run(2000)
    link.ends[1] = None
    for _ in range(100):
        link.received[0] += 1
        link.run(100)
    assert a.state == bfd.DOWN and a.is_forwarding(link.now)
    for _ in range(250):
        link.received[0] += 1
        link.run(100)
    assert not a.is_forwarding(link.now) and a.flaps == 2
    link.settle()
    assert a.next_run() > link.now


def test_nothing_that_lies_ends_it_or_has_it_speak_much():
    link = Link(Settings(100, 100), Settings(100, 100))
    link.run(4000)
    a, b = link.ends
    made = random.Random(3)
    good = bfd.compose(bfd.Control(0, bfd.UP, 0, 3, b.discriminator, a.discriminator, 1, 1))
    for _ in range(3000):
        payload = bytearray(good)
        for _ in range(made.choice((1, 2, 24))):
            payload[made.randrange(24)] = made.randrange(256)
        a.receive(bytes(payload[: made.choice((24, 24, 30, made.randrange(25)))]), link.now)
        assert a.next_run() > 0
    for wrong in (  # none of which is for this session
        bfd.Control(0, bfd.UP, 0, 3, 7, 99, 1, 1),
        bfd.Control(0, bfd.UP, 0, 0, 7, a.discriminator, 1, 1),
        bfd.Control(0, bfd.UP, 0, 3, 0, a.discriminator, 1, 1),
        bfd.Control(0, bfd.UP, bfd.AUTH, 3, 7, a.discriminator, 1, 1),
        bfd.Control(0, bfd.UP, bfd.MULTIPOINT, 3, 7, a.discriminator, 1, 1),
        bfd.Control(0, bfd.UP, 0, 3, 7, 0, 1, 1),
    ):
        assert not a.receive(bfd.compose(wrong), link.now)
    sent = 0
    poll = bfd.Control(0, bfd.UP, bfd.POLL, 3, 7, a.discriminator, 1_000_000, 1_000_000)
    for _ in range(200):
        a.receive(bfd.compose(poll), link.now)
        sent += a.run(link.now, 0) is not None
    assert sent <= bfd.ANSWERS + 1
    link.run(10_000)
    assert [state[0] for state in link.states()] == ["up", "up"]


def test_longer_intervals_than_anybody_means_are_over_with_the_next_packet():
    link = Link(Settings(100, 100), Settings(100, 100))
    a, b = link.ends
    link.ends[1] = None
    forever = bfd.Control(0, bfd.DOWN, 0, 3, 77, 0, 1_000_000, 0xFFFFFFFF)
    a.receive(bfd.compose(forever), link.now)
    link.run(3000)
    assert a.next_run() > link.now  # at its word
    link.ends[1] = b
    link.run(10_000)
    assert [state[::2] for state in link.states()] == [("up", True)] * 2


def test_the_shortest_intervals_are_no_spin():
    link = Link(Settings(1, 1), Settings(1, 1), step=1)
    link.run(3000)
    assert link.states() == [FINE, FINE]
    a, _ = link.ends
    before = link.sent[0]
    for _ in range(100):
        a.run(link.now, 0)
        assert a.next_run() > link.now
    link.run(100)
    assert 90 <= link.sent[0] - before <= 110


def test_one_packet_for_each_side_does_not_silence_both_for_good():
    link = Link(Settings(100, 100), Settings(100, 100))
    forever = bfd.Control(0, bfd.DOWN, 0, 255, 77, 0, 0xFFFFFFFF, 0xFFFFFFFF)
    for session in link.ends:
        session.receive(bfd.compose(forever), link.now)
    link.run(3 * bfd.PATIENCE)
    assert [state[::2] for state in link.states()] == [("up", True)] * 2
