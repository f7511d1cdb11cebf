"""Meters: the token bucket beside a naive one, the METER action, and meters of a whole process."""

import threading
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether

from datapath.actions import meter
from datapath.actions.offload import segments
from datapath.actions.text import odp_text
from datapath.ipc.dpif import DpifError
from tests.datapath.dp_process import frame
from tests.datapath.sample_frames import frames
from tests.native.action_buffer import Writer
from tests.native.recorder import Recorder

KBPS, PKTPS, BURST, STATS = 1, 2, 4, 8
SECOND = 10**9
MAC = "02:00:00:00:00:01"


class Twin:
    """What OpenFlow 1.3.5 5.7.1 says of a meter, in fractions of a packet or kilobit."""

    def __init__(self, flags, bands, now):
        self.per_packet = bool(flags & PKTPS)
        self.bands = [(rate, burst or rate, *level) for rate, burst, *level in bands]
        self.buckets = [Fraction(burst) for _, burst, *_ in self.bands]
        self.now = now
        self.came = [0, 0]
        self.dropped = [[0, 0] for _ in bands]

    def passes(self, size, now):
        return self.verdict(size, now) == 0

    def verdict(self, size, now):
        """0: it passes, 1: it is dropped, 256 + n: it passes, n levels likelier to be dropped."""
        if now > self.now:
            for i, (rate, burst, *_) in enumerate(self.bands):
                more = Fraction(rate * (now - self.now), SECOND)
                self.buckets[i] = min(Fraction(burst), self.buckets[i] + more)
            self.now = now
        cost = Fraction(1) if self.per_packet else Fraction(size * 8, 1000)
        exceeded = [i for i, bucket in enumerate(self.buckets) if bucket < cost]
        for i in range(len(self.buckets)):
            if i not in exceeded:
                self.buckets[i] -= cost
        self.came = [self.came[0] + 1, self.came[1] + size]
        if exceeded:
            rates = [self.bands[i][0] for i in exceeded]
            hit = self.dropped[exceeded[rates.index(max(rates))]]
            hit[0] += 1
            hit[1] += size
            _, _, *level = self.bands[exceeded[rates.index(max(rates))]]
            return 256 + level[0] if level else 1
        return 0


NUMBERS = st.one_of(st.integers(0, 20), st.integers(0, 10**6), st.integers(0, 2**32 - 1))
BANDS = st.lists(
    st.tuples(NUMBERS, NUMBERS) | st.tuples(NUMBERS, NUMBERS, st.integers(1, 255)),
    max_size=meter.FEATURES["max_bands"],
)
PACKETS = st.lists(
    st.tuples(
        st.one_of(st.integers(14, 1600), st.integers(14, 65535)),
        # Mostly forwards; a worker may have read its clock before another's packet.
        st.one_of(st.integers(0, 10**6), st.integers(-(10**6), 10 * SECOND), st.integers(0, 2**62)),
    ),
    max_size=60,
)


@given(
    flags=st.sampled_from((KBPS, PKTPS, KBPS | BURST | STATS, PKTPS | STATS)),
    bands=BANDS,
    packets=PACKETS,
)
def test_like_the_naive_twin(flags, bands, packets):
    now = start = 5 * SECOND
    meters, twin = meter.Meters(), Twin(flags, bands, start)
    meters.set(7, flags, bands, "", start)
    for size, passed in packets:
        now = min(max(0, now + passed), 2**63)
        assert meters.weigh(7, 1, size, now) == twin.verdict(size, now)
    got = meters.get(7)
    assert [got["packets"], got["bytes"], got["dropped"]] == [*twin.came, twin.dropped]
    assert [tuple(band) for band in got["bands"]] == twin.bands


@pytest.mark.parametrize(("flags", "size"), [(PKTPS, 60), (KBPS, 125)])
def test_the_rate_is_kept(flags, size):
    """Ten seconds with ten times as many packets as may pass, 100 in a second."""
    meters = meter.Meters()
    meters.set(0, flags, [(100, 10)], "", 0)
    times = range(0, 10 * SECOND, SECOND // 1000)
    passed = sum(meters.passes(0, size, now) for now in times)
    assert passed in range(1000 + 10 - 1, 1000 + 10 + 1)
    assert meters.get(0)["dropped"] == [[len(times) - passed, (len(times) - passed) * size]]


def test_meters_that_are_not_there_let_everything_pass():
    meters = meter.Meters()
    meters.set(1, PKTPS, [(1, 1)], "", 0)
    assert [meters.passes(1, 60, 0) for _ in range(2)] == [True, False]
    meters.delete(1)
    meters.reclaim()
    assert meters.passes(1, 60, 0) and meters.passes(2**32 - 1, 60, 0)
    with pytest.raises(KeyError):
        meters.get(1)
    with pytest.raises(KeyError):
        meters.delete(1)


BAD = [
    (-1, KBPS, []), (1 << 18, KBPS, []), ("1", KBPS, []), (1.0, KBPS, []), (True, KBPS, []),
    (1, 0, []), (1, KBPS | PKTPS, []), (1, 16 | KBPS, []), (1, None, []),
    (1, KBPS, None), (1, KBPS, {}), (1, KBPS, [(1, 2)] * 9), (1, KBPS, [1]), (1, KBPS, [(1,)]),
    (1, KBPS, [], None), (1, KBPS, [], "x" * 256),
    (1, KBPS, [(1, 2, 0)]), (1, KBPS, [(1, 2, 256)]), (1, KBPS, [(1, 2, 3, 4)]),
    (1, KBPS, [(-1, 0)]), (1, KBPS, [(0, 1 << 32)]), (1, KBPS, [("1", 0)]),
]  # fmt: skip


@pytest.mark.parametrize("wrong", BAD, ids=repr)
def test_bad_meters_are_refused(wrong):
    with pytest.raises(ValueError):
        meter.check(*wrong)


# --- the action


def kinds(events):
    return [event[:2] if event[0] in ("output", "drop") else event[0] for event in events]


def run(actions, *, rate=1, times=1):
    recorder = Recorder()
    recorder.meters.set(3, PKTPS, [(rate, rate)], "", 0)
    return [kinds(recorder.run(frame(), odp_text.parse_actions(actions))) for _ in range(times)]


def test_what_follows_is_for_those_that_pass():
    passed, dropped = run("1,meter(3),2", times=2)
    assert passed == [("output", 1), ("output", 2)]
    assert dropped == [("output", 1), ("drop", "meter_exceeded")]


def test_a_nested_meter_drops_what_is_nested():
    """As a controller's meter stands in a flow."""
    nested = "sample(sample=100.0%,actions(meter(3),userspace(pid=0,reason=2))),2"
    assert run(nested, times=2) == [
        ["userspace", ("output", 2)],
        [("drop", "meter_exceeded"), ("output", 2)],
    ]
    last = "2,sample(sample=100.0%,actions(meter(3),push_vlan(vid=5,pcp=0),1))"
    assert run(last, times=2) == [
        [("output", 2), ("output", 1)],
        [("output", 2), ("drop", "meter_exceeded")],
    ]


def tos_of(data):
    """The traffic class of an IPv4 or IPv6 frame with or without a VLAN tag."""
    at = 18 if data[12:14] == b"\x81\x00" else 14
    if data[at] >> 4 == 4:
        return data[at + 1]
    return (data[at] << 8 | data[at + 1]) >> 4 & 0xFF


@given(st.integers(0, 255), st.integers(1, 255), st.sampled_from((IP, IPv6)), st.booleans())
def test_too_many_are_likelier_to_be_dropped(tos, level, ip, tagged):
    """AF1x to AF4x get a higher drop precedence, up to AFx3 (RFC 2597); others stay as they are,
    ECN and checksums do in any case."""
    where = {"tos": tos} if ip is IP else {"tc": tos}
    head = Ether(src=MAC, dst=MAC)
    sent = bytes((head / Dot1Q(vlan=5) if tagged else head) / ip(**where) / TCP() / b"x")
    recorder = Recorder()
    recorder.meters.set(3, PKTPS, [(1, 1, level)], "", 0)
    first, second = (recorder.run(sent, odp_text.parse_actions("meter(3),2")) for _ in range(2))
    assert [event[2] for event in first] == [sent]
    [(_, _, got, _)] = second
    af = {(8 * c + 2 * p) << 2: (8 * c + 2 * min(3, p + level)) << 2
          for c in (1, 2, 3, 4) for p in (1, 2, 3)}  # fmt: skip
    assert tos_of(got) == af.get(tos & 0xFC, tos & 0xFC) | tos & 3
    again = Ether(got)
    if ip is IP:
        del again[IP].chksum
    del again[TCP].chksum
    assert bytes(again) == got


def test_what_has_no_dscp_passes_a_marking_meter():
    recorder = Recorder()
    recorder.meters.set(3, PKTPS, [(1, 1, 1)], "", 0)
    arp = bytes(Ether(src=MAC, dst=MAC) / ARP())
    for _ in range(2):
        [event] = recorder.run(arp, odp_text.parse_actions("meter(3),2"))
        assert event[2] == arp


# --- frames that are left to be segmented

TCP4 = frames()["tcp4"]
VNET = {
    "flags": 1, "gso_type": 1, "hdr_len": 54, "gso_size": 0, "csum_start": 34, "csum_offset": 16,
}  # fmt: skip


def gso(n_bytes, mss):
    """(frame, virtio-net header) of TCP data as a kernel with TSO gives it."""
    head = bytearray(TCP4[:54])
    head[16:18] = (40 + n_bytes).to_bytes(2, "big")
    head[46] = 0x50  # no options
    return bytes(head) + bytes(i & 0xFF for i in range(n_bytes)), {**VNET, "gso_size": mss}


@given(
    flags=st.sampled_from((KBPS, PKTPS)),
    bands=st.lists(
        st.tuples(st.integers(1, 50), st.integers(0, 30))
        | st.tuples(st.integers(1, 50), st.integers(0, 30), st.integers(1, 3)),
        min_size=1,
        max_size=3,
    ),
    packets=st.lists(
        st.tuples(st.integers(1, 9000), st.integers(500, 1460), st.integers(0, SECOND)),
        max_size=8,
    ),
)
def test_segments_are_packets(flags, bands, packets):
    """A frame passes whole where all of its segments may, else those that may; TOS 0 is none that
    could be marked."""
    recorder, twin = Recorder(), Twin(flags, bands, 0)
    recorder.meters.set(3, flags, bands, "", 0)
    for n_bytes, mss, passed in packets:
        recorder.now += passed
        whole, vnet = gso(n_bytes, mss)
        parts = segments(whole, vnet)
        verdicts = [twin.verdict(len(part), recorder.now) for part, _ in parts]
        may = [verdict != 1 for verdict in verdicts]
        events = recorder.run(whole, odp_text.parse_actions("meter(3),2"), vnet=vnet)
        if not any(verdicts) or (all(may) and len(parts) == 1):
            assert [event[2] for event in events] == [whole] and events[0][3] == vnet
        else:
            wanted = [
                ("output", 2, *part) if good else ("drop", "meter_exceeded")
                for part, good in zip(parts, may, strict=True)
            ]
            assert events == wanted
    got = recorder.meters.get(3)
    assert [got["packets"], got["bytes"], got["dropped"]] == [*twin.came, twin.dropped]


def test_segments_get_what_follows():
    """Changes, clones and recirculation, as for a frame of their own; the whole one goes on where
    the meter is nested."""
    whole, vnet = gso(3000, 1000)
    parts = segments(whole, vnet)
    tag = b"\x81\x00\x00\x05"

    def outputs(actions, burst=2):
        recorder = Recorder()
        recorder.meters.set(3, PKTPS, [(1, burst)], "", 0)
        events = recorder.run(whole, odp_text.parse_actions(actions), vnet=vnet)
        return [event[1:3] if event[0] == "output" else event[0] for event in events]

    tagged = [part[:12] + tag + part[12:] for part, _ in parts]
    assert outputs("meter(3),clone(push_vlan(vid=5,pcp=0),1),2") == [
        *((1, tagged[0]), (2, parts[0][0]), (1, tagged[1]), (2, parts[1][0])),
        "drop",
    ]
    assert outputs("sample(sample=100.0%,actions(meter(3),push_vlan(vid=5,pcp=0),1)),2") == [
        *((1, tagged[0]), (1, tagged[1]), "drop"),
        (2, whole),
    ]
    assert outputs("push_vlan(vid=5,pcp=0),meter(3),1")[:2] == [(1, tagged[0]), (1, tagged[1])]
    assert outputs("meter(3),2", burst=3) == [(2, whole)]
    deep = "meter(3),recirc(0x1)"
    assert outputs(deep) == ["recirculate", "recirculate", "drop"]


def test_segments_are_marked_one_by_one():
    whole, vnet = gso(3000, 1000)
    whole = whole[:15] + bytes([10 << 2]) + whole[16:]
    recorder = Recorder()
    recorder.meters.set(3, PKTPS, [(1, 2, 1)], "", 0)
    events = recorder.run(whole, odp_text.parse_actions("meter(3),2"), vnet=vnet)
    assert [tos_of(event[2]) >> 2 for event in events] == [10, 10, 12]


def test_text():
    actions = odp_text.parse_actions("meter(262143),2")
    assert odp_text.format_actions(actions) == "meter(262143),2"
    buffer = Writer()
    buffer.meter(262143)
    buffer.output(2)
    assert bytes(buffer) == actions
    for bad in ("meter(262144)", "meter(-1)", "meter()", "meter(x)", "meter"):
        with pytest.raises(ValueError):
            odp_text.parse_actions(bad)


# --- a process


@pytest.fixture
def three(shared):
    yield shared
    shared.dpif.flow_flush()
    for info in shared.dpif.meter_dump():
        shared.dpif.meter_del(info.meter)
    for number in (1, 2, 3):
        shared.dpif.port_drain(number)


def error_of(function, *arguments):
    with pytest.raises(DpifError) as caught:
        function(*arguments)
    return caught.value.errno


def test_requests(three):
    dpif = three.dpif
    assert dpif.meter_features() == {"max_meters": 1 << 18, "max_bands": 8, "flags": 15}
    dpif.meter_set(5, KBPS | STATS, [(1000, 0), (10, 20)], "br0:7")
    info = dpif.meter_get(5)
    assert info == (5, "br0:7", KBPS | STATS, [(1000, 1000), (10, 20)], 0, 0, [(0, 0), (0, 0)])
    dpif.meter_set(2, PKTPS, [])
    assert [each.meter for each in dpif.meter_dump()] == [2, 5]
    assert dpif.meter_del(5) == info
    assert error_of(dpif.meter_get, 5) == error_of(dpif.meter_del, 5) == 2
    assert error_of(dpif.meter_set, 1 << 18, KBPS, []) == 22
    assert error_of(dpif.meter_set, 1, KBPS, [(1, 2, 3, 4)]) == 22
    assert (error_of(dpif.meter_get, [1]), error_of(dpif.meter_get, "1")) == (22, 2)


def test_many_meters_come_in_pieces(three):
    for number in range(0, 4002, 2):
        three.dpif.meter_set(number, PKTPS, [(1, 1)])
    assert [each.meter for each in three.dpif.meter_dump()] == list(range(0, 4002, 2))


def test_metered_packets_are_dropped_and_counted(three):
    before = three.drops().get("meter_exceeded", 0)
    three.dpif.meter_set(1, PKTPS, [(1, 5)])
    three.flow("in_port(1)", "meter(1),2")
    for _ in range(200):
        three.dpif.port_inject(1, frame(100))
    passed = len(three.dpif.port_drain(2))
    info = three.dpif.meter_get(1)
    # The clock ran meanwhile, so more than the burst may have passed.
    assert 5 <= passed < 200
    assert (info.packets, info.bytes) == (200, 20000)
    assert info.dropped == [(200 - passed, 100 * (200 - passed))]
    assert three.drops()["meter_exceeded"] - before == 200 - passed
    assert three.port("d1").drops["meter_exceeded"] >= 200 - passed
    [flow] = three.dpif.flow_dump()
    assert flow.packets == 200
    three.dpif.meter_set(1, PKTPS, [(1, 1000)])
    assert three.dpif.meter_get(1).packets == 0
    for _ in range(200):
        three.dpif.port_inject(1, frame(100))
    assert len(three.dpif.port_drain(2)) == 200


def test_workers_share_a_meter_that_is_replaced_under_them(three):
    """With three workers they meet in it; each packet is either passed or counted as dropped."""
    for number in (1, 2):
        three.flow(f"in_port({number})", "meter(9),3")
    three.dpif.meter_set(9, PKTPS, [(1, 100)])
    sent, ended = [], threading.Event()

    def send(port):
        client = three.client()
        for _ in range(300):
            client.port_inject(port, frame())
        sent.append(300)

    def replace():
        client = three.client()
        while not ended.is_set():
            client.meter_set(8, PKTPS, [(1, 1)])
            client.meter_del(8)

    threads = [threading.Thread(target=send, args=(port,)) for port in (1, 2)]
    other = threading.Thread(target=replace)
    for thread in (*threads, other):
        thread.start()
    for thread in threads:
        thread.join()
    ended.set()
    other.join()
    info = three.dpif.meter_get(9)
    passed = len(three.dpif.port_drain(3))
    assert sent == [300, 300] and info.packets == 600
    assert info.dropped == [(600 - passed, 60 * (600 - passed))]
    assert 100 <= passed < 600


def test_a_meter_deleted_while_packets_come(three):
    """Its memory is let go of when no worker looks at it any more."""
    three.flow("in_port(1)", "meter(4),2")
    ended = threading.Event()

    def churn():
        client = three.client()
        while not ended.is_set():
            client.meter_set(4, KBPS, [(1000000, 0)] * 8)
            client.meter_del(4)

    other = threading.Thread(target=churn)
    other.start()
    for _ in range(300):
        three.dpif.port_inject(1, frame())
    ended.set()
    other.join()
    assert len(three.dpif.port_drain(2)) == 300
