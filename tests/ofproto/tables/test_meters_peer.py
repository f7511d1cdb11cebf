"""Meters beside Open vSwitch: the same METER_MODs are refused for the same reason, the same
packets pass, and the same commands print the same."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datapath.actions.meter import Meters
from ofproto.codec import messages as m
from ofproto.codec.match import Match
from ofproto.text import meter_text
from tests.daemons import wait_until
from tests.of_client import Client
from tests.ofproto.bridge_world import World, flow
from tests.ofproto.ovs_peer import Ovs, peer_marks

pytestmark = peer_marks
KBPS, PKTPS, BURST, STATS = 1, 2, 4, 8
MS = 10**6


@pytest.fixture(scope="module")
def ovs():
    with tempfile.TemporaryDirectory() as directory:
        peer = Ovs(Path(directory))
        try:
            peer.start()
            peer.vsctl(
                *("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy"),
                *("protocols=OpenFlow10,OpenFlow13", "fail-mode=secure"),
                *("--", "add-port", "br0", "p1", "--", "set", "interface", "p1", "type=dummy"),
                *("ofport_request=1", "--", "add-port", "br0", "p2"),
                *("--", "set", "interface", "p2", "type=dummy", "ofport_request=2"),
            )
            yield peer
        finally:
            peer.stop()


def connect(ovs):
    client = Client.unix(ovs.directory / "br0.mgmt")
    client.hello()
    return client


@pytest.fixture
def theirs(ovs):
    client = connect(ovs)
    client.do(m.FlowMod(m.DELETE, Match()), m.MeterMod(m.METER_DELETE, 0, m.OFPM_ALL))
    yield client
    client.close()


@pytest.fixture
def ours():
    world = World()
    yield world.client()
    world.close()


# --- METER_MOD

BANDS = st.builds(
    m.Band,
    st.just(m.BAND_DROP),  # Open vSwitch has no others
    st.sampled_from((0, 1, 5, 5, 1000, 2**32 - 1)),
    st.sampled_from((0, 7, 2**32 - 1)),
    st.just(0),
)
MODS = st.builds(
    m.MeterMod,
    st.sampled_from((m.METER_ADD, m.METER_ADD, m.METER_MODIFY, m.METER_DELETE)),
    st.sampled_from((KBPS, PKTPS, KBPS | BURST, PKTPS | STATS, 0, STATS, KBPS | PKTPS, 16, 17)),
    st.sampled_from((1, 1, 2, 2, 3, 0, 0xFFFF0000, 0xFFFF0001, *range(0xFFFFFFFC, 2**32))),
    st.one_of(st.lists(BANDS, max_size=3), st.lists(BANDS, min_size=7, max_size=10)),
)


def outcome(client, mod):
    """The error that answers a METER_MOD, if any; which meters there are then."""
    client.send(mod)
    errors = [each.name for each in client.barrier() if isinstance(each, m.Error)]
    meters = client.ask(m.MeterConfigRequest()).meters
    for band in (band for meter in meters for band in meter.bands):
        band.burst = band.burst or band.rate  # as Open vSwitch tells it
    return errors, sorted(meters, key=lambda each: each.meter_id)


def test_the_same_is_refused(ours, theirs):
    """Whatever is wrong with a METER_MOD, and with several things wrong at once."""

    @settings(max_examples=300, deadline=None)
    @given(MODS)
    def check(mod):
        assert outcome(ours, mod) == outcome(theirs, mod)

    check()


FLOWS = ["in_port=1,actions=meter:1,2", "in_port=1,actions=meter:9,2", "actions=meter:1",
         "table=3,actions=meter:1,goto_table:4", "actions=meter:4294901760"]  # fmt: skip


def test_flows_and_statistics(ours, theirs):
    answers = []
    for client in (ours, theirs):
        client.do(meter_text.parse_meter("meter=1,kbps,burst,bands=type=drop,rate=7,burst_size=9"))
        found = []
        for text in FLOWS:
            client.send(flow(text))
            found.append([each.name for each in client.barrier() if isinstance(each, m.Error)])
        [stats] = client.ask(m.MeterStatsRequest(1)).meters
        features = client.ask(m.MeterFeaturesRequest())
        features.band_types &= ~(1 << m.BAND_DSCP_REMARK)  # Open vSwitch has none
        found += [features, stats.flow_count, stats.bands]
        client.do(m.MeterMod(m.METER_DELETE, 0, 1))
        flows = client.ask(m.FlowStatsRequest(Match())).flows
        found.append([each for each in flows if each.priority])  # ours begins with NORMAL
        answers.append(found)
    assert answers[0] == answers[1]
    assert answers[0][:2] == [[], ["OFPMMFC_INVALID_METER"]]


def test_flow_removed(ours, theirs):
    """A flow that went with its meter: the same message, but for times.

    By default Open vSwitch does not tell 1.3 of it, but where 1.4's bit was asked for; we do.
    """
    removed = []
    for client, reasons in ((ours, 1 << m.OFPRR_DELETE), (theirs, 1 << m.OFPRR_METER_DELETE)):
        # A tool asks for asynchronous messages by its configuration.
        client.do(m.SetConfig(0, 128), m.SetAsync({"flow_removed": (reasons, 0)}))
        client.do(meter_text.parse_meter("meter=1,kbps,band=type=drop,rate=7"))
        client.do(flow("in_port=1,cookie=5,actions=meter:1,2", flags=m.SEND_FLOW_REM))
        client.send(m.MeterMod(m.METER_DELETE, 0, 1))
        found = client.wait_for(m.FlowRemoved)
        found.duration_sec = found.duration_nsec = 0
        removed.append(found)
    assert removed[0] == removed[1] and removed[0].reason == m.OFPRR_DELETE


# --- which packets pass

STEPS = st.lists(
    st.tuples(st.integers(60, 1500), st.sampled_from((0, 0, 0, 1, 7, 100, 999, 5000))),
    min_size=1,
    max_size=12,
)


@pytest.fixture(scope="module")
def stopped(ovs):
    """Its clock goes on only when it is told to."""
    ovs.appctl("time/stop")
    return ovs


PACKET = (
    "in_port(1),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x0800),"
    "ipv4(src=1.1.1.1,dst=2.2.2.2,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)"
)


def longest_fill(bands):
    """As much time, in ms, as Open vSwitch credits at once: until any bucket is full, rounded down.

    So 1000 / 11 ms do not quite fill a bucket of 1 packet at 11 a second, however long it rested,
    and it drops the next packet.  Ours is filled.
    """
    return max((burst or rate) * 1000 // rate for rate, burst in bands)


def test_the_same_packets_pass(stopped, theirs):
    """By the counters of bands, with time that is warped; both count whole milliseconds here."""

    def counted():
        return theirs.ask(m.MeterStatsRequest(1)).meters[0]

    @settings(max_examples=12, deadline=None)
    @given(
        st.sampled_from((KBPS, PKTPS)),
        st.lists(st.tuples(st.integers(1, 20), st.integers(0, 12)), min_size=1, max_size=3),
        STEPS,
    )
    def check(unit, bands, steps):
        theirs.do(m.MeterMod(m.METER_DELETE, 0, m.OFPM_ALL))
        wanted = [m.Band(m.BAND_DROP, rate, burst) for rate, burst in bands]
        theirs.do(m.MeterMod(m.METER_ADD, unit | BURST | STATS, 1, wanted))
        theirs.do(flow("in_port=1,actions=meter:1,2"))
        stopped.appctl("revalidator/purge")  # no datapath flow of the last example is left
        meters, now = Meters(), 0
        meters.set(1, unit | BURST | STATS, bands, "", now)
        for number, (size, passed) in enumerate(steps, 1):
            if passed:
                stopped.appctl("time/warp", str(passed))
                now += min(passed, longest_fill(bands)) * MS
            stopped.appctl("netdev-dummy/receive", "p1", PACKET, "--len", str(size))
            meters.passes(1, size, now)
            wait_until(lambda n=number: counted().n_packets == n, what="the packet")
        stats = counted()
        mine = meters.get(1)
        assert (stats.n_packets, stats.n_bytes) == (mine["packets"], mine["bytes"])
        assert [list(pair) for pair in stats.bands] == mine["dropped"]

    check()
