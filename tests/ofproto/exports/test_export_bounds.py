"""Exporters that run for long, or have much to do at once; what rows say that no schema bounds."""

import socket
import struct
import time
from types import SimpleNamespace
from uuid import uuid4

import pytest

from datapath.base.protocols import ETH_IP, PROTO_UDP
from ofproto.exports import ipfix, netflow, sflow, sflow_counters
from pyvs import clock
from vswitchd.database.config import IpfixRow, NetflowRow, SflowRow
from vswitchd.monitoring.collectors import MAX_COLLECTORS, Collectors
from vswitchd.monitoring.exports import SLICE, Exports, SflowStream, Stream, _agent_address
from vswitchd.monitoring.netflow import BridgeNetflow

PORT = ipfix.Port(1, "p1")


def sample(number, weight=1, size=1500):
    packet = ipfix.Packet(
        number.to_bytes(6, "big"), bytes(6), ETH_IP, size, l3_size=size - 14, proto=PROTO_UDP,
        src=bytes(4), dst=bytes(4),
    )  # fmt: skip
    return ipfix.Sample(packet, 7, 9, PORT, None, False, weight)


def test_flows_that_end_together_end_in_slices():
    exporter = ipfix.Exporter(ipfix.Settings(10))
    for number in range(1000):
        exporter.sample(sample(number), 0)
    late = 11_000_000
    turns = []
    while exporter.next_run() is not None and exporter.next_run() <= late:
        before = exporter.current_flows
        exporter.run(late)
        turns.append(before - exporter.current_flows)
    assert turns == [256, 256, 256, 232]
    for number in range(1000):
        exporter.sample(sample(number), 0)
    assert [exporter.close(late) for _ in range(4)] == [False, False, False, True]
    assert len(exporter.take()) > 2000


def test_a_cache_has_a_bound(monkeypatch):
    monkeypatch.setattr(ipfix, "MOST_FLOWS", 10)
    exporter = ipfix.Exporter(ipfix.Settings(10, 2**32 - 1))
    for number in range(20):
        exporter.sample(sample(number), 0)
    assert exporter.current_flows == 10


def test_counts_go_round():
    """The sum of squares has 64 bits, which few samples fill that stand for many large packets."""
    exporter = ipfix.Exporter(ipfix.Settings())
    for _ in range(2):
        exporter.sample(sample(1, 2**32 - 1, 65549), 1_000_000)
    octets = 65535**2 * (2**32 - 1) * 2 % 2**64
    assert struct.pack("!Q", octets) in exporter.take()[-1]


def test_numbers_of_samples_go_round():
    agent = sflow.Agent(sflow.Settings("127.0.0.1", 2**32 - 1, 1), 0)
    agent._sequence = agent._flows.sequence = agent._counters[1] = 2**32 - 1
    interface = sflow_counters.Interface(1, 0, True, True, True, {})
    for now in (0, 2000):
        agent.sample(sflow.FlowSample(bytes(60), 1, 2, 0, 0, 0, 0), now)
        list(agent.poll(None, [interface], now))
        agent.run(now)
    (datagram,) = agent.take()
    assert datagram[16:20] == bytes(4) and datagram[36:40] == bytes(4)


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ((-5, -5, -5), (400, 30, 128)),
        ((2**32, 2**40, 2**40), (400, 30, 128)),
        ((0, 0, 0), (400, 0, 128)),
        ((1, 2**32 - 1, 65535), (1, 2**32 - 1, sflow.HEADER)),
        ((None, 30, None), (400, 30, 128)),
    ],
)
def test_columns_of_sflow(row, wanted):
    sampling, polling, header = row
    made = SflowStream(SflowRow(None, (), None, header, sampling, polling), "127.0.0.1", 0)
    settings = made.agent.settings
    assert (settings.sampling, settings.polling, settings.header) == wanted
    made.agent.sample(sflow.FlowSample(bytes(9000), 1, 2, 0, 0, 0, 0), 0)
    made.agent.run(5000)
    assert len(made.agent.take()[0]) <= sflow.DATAGRAM


def test_counters_of_many_interfaces_take_several_turns(monkeypatch):
    """Of 100 at a time here; a port may go meanwhile, and the next round begins in its time."""
    port = SimpleNamespace(name="p", is_dummy=False, curr_speed=0, device_up=True, state=0, curr=0)
    ofproto = SimpleNamespace(
        ports=dict.fromkeys(range(1, 351), port), all_port_stats=dict, datapath_id=1,
        port_ifindex=lambda number: number, backer=SimpleNamespace(stats=lambda: None),
    )  # fmt: skip
    exports = Exports(ofproto)
    stream = exports._sflow = SflowStream(SflowRow(None, (), None, 0, 1, 2), "127.0.0.1", 0)
    told = stream.agent._counters
    monkeypatch.setattr(clock, "msec", lambda: 2000)
    monkeypatch.setattr(time, "monotonic", lambda: sum(told.values()) * SLICE / 99.5)
    turns = []
    exports.run(1999)
    while exports.next_run() <= 5000 and len(turns) < 4:
        before = len(told)
        exports.run(2000 + len(turns))
        turns.append(len(told) - before)
        ofproto.ports.pop(1, None)
    assert turns == [100, 100, 100, 49]
    assert not stream.agent.wants_counters(3999) and stream.agent.wants_counters(4000)


def test_agents_that_are_nothing():
    for agent in ("no-such-device", "a\0b", "\ud800"):
        assert _agent_address(SflowRow(None, ("127.0.0.1:9",), agent, None, None, 30)) is None


@pytest.mark.parametrize(
    "target",
    ["127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:-1", "[::1]:99999", "a.name:9", "", ":"],
)
def test_targets_that_are_none(target):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as good:
        good.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{good.getsockname()[1]}"
        made = Collectors([target, address], 4739)
        assert len(made) == 1 and made.send([b"x"]) == (1, 0)
        assert good.recv(9) == b"x"
        made.close()


def test_collectors_have_a_bound():
    made = Collectors([f"127.0.0.1:{n}" for n in range(1, 1000)], 4739)
    assert len(made) == MAX_COLLECTORS
    made.close()


@pytest.fixture
def collector():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(5)
        yield made, (f"127.0.0.1:{made.getsockname()[1]}",)


def test_a_host_whose_clock_is_set_late_exports_the_time_that_it_is(collector, monkeypatch):
    """A board without a clock boots in 1970, and NTP sets it when the switch runs already."""
    receiver, targets = collector
    early, late = 100, 1_800_000_000
    monkeypatch.setattr(time, "time_ns", lambda: early * 10**9)
    stream = Stream(IpfixRow(uuid4(), targets, None, None, None, 10, None, {}))
    switch = SimpleNamespace(name="br0", xbridge=SimpleNamespace(touch=lambda: None))
    flows = BridgeNetflow(switch)
    flows.configure(NetflowRow(uuid4(), targets, None, None, 10, False))
    before = 0
    for at, now in ((early, clock.msec()), (late, clock.msec() + 20_000)):
        monkeypatch.setattr(time, "time_ns", lambda at=at: at * 10**9)
        stream.sample(sample(1), now * 1000)
        stream.run((now + 11_000) * 1000)
        sent = stream.exporter.counters.tx_packets - before
        before += sent
        assert {receiver.recv(4096)[4:8] for _ in range(sent)} == {at.to_bytes(4, "big")}
        switch.xbridge.netflow.count(
            netflow.KEY.pack(*(bytes(4),) * 2, 1, 2, 6, 0, 1), 2, 1, 60, now
        )
        flows.run(now + 11_000)
        version, _, _, seconds = struct.unpack_from("!HHII", receiver.recv(4096))
        assert (version, seconds) == (netflow.VERSION, at)
