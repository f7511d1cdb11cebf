"""NetFlow's exporter: counters that outgrow a record, and its bounds."""

import struct

import pytest

from ofproto.exports import netflow
from ofproto.exports.netflow import KEY, MAX_FLOWS, MOST, Exporter, Settings
from pyvs import coverage

HEAD, RECORD = struct.Struct("!HHIIIIBBH"), struct.Struct("!4s4s4sHHIIIIHHBBBBHHBBH")


def key(n=0):
    return KEY.pack(n.to_bytes(4, "big"), b"\1\2\3\4", 5, 6, 17, 0, 1)


def records(datagrams):
    return [each for data in datagrams for each in RECORD.iter_unpack(data[HEAD.size :])]


@pytest.mark.parametrize(
    ("packets", "octets"), [(5, 500), (1 << 33, 1 << 40), (1 << 26, (1 << 33) + 1), (MOST, MOST)]
)
def test_what_outgrows_a_record_is_in_several(packets, octets):
    exporter = Exporter(Settings(), 1000)
    exporter.count(key(), 2, packets, octets, 1500)
    found = records(exporter.close(2000))
    assert (sum(r[5] for r in found), sum(r[6] for r in found)) == (packets, octets)
    assert len(found) == max(-(-packets // MOST), -(-octets // MOST))
    assert {(r[7], r[8]) for r in found} == {(500, 500)}


def test_flows_and_records_have_bounds():
    before, lost = netflow.no_room.count, netflow.lost.count
    exporter = Exporter(Settings(active_timeout=10), 0)
    for n in range(MAX_FLOWS + 50):
        exporter.count(key(n), 2, 1, 60, 0)
    assert len(exporter) == MAX_FLOWS and netflow.no_room.count - before == 50
    exporter.run(10_000)  # a piece of the work at a time
    first = exporter.take(10_000)
    assert len(records(first)) == 1000 and exporter.next_run() == 0
    assert [HEAD.unpack_from(each)[5] for each in first] == list(range(0, 1000, 30))
    exporter.close(10_000)
    assert len(exporter) == 0 and netflow.lost.count == lost
    assert coverage.counter("netflow_no_room") is netflow.no_room


def test_a_flow_without_packets_has_no_record_and_goes():
    exporter = Exporter(Settings(active_timeout=10), 0)
    exporter.count(key(), 2, 1, 60, 0)
    exporter.run(9_999)
    assert exporter.take(9_999) == [] and exporter.next_run() == 10_000
    exporter.run(10_000)
    assert len(exporter.take(10_000)) == 1 and len(exporter) == 1
    exporter.run(20_000)
    assert exporter.take(20_000) == [] and len(exporter) == 0 and exporter.next_run() is None


def test_idle_flows_go_in_one_pass():
    """Each look at the first one began with the places of all that were gone: 60 ms of a turn."""
    looks = 0

    class Flows(dict):
        def items(self):
            nonlocal looks
            looks += 1
            return super().items()

    exporter = Exporter(Settings(active_timeout=1), 0)
    exporter._flows = Flows()
    for n in range(3000):
        exporter.count(key(n), 1, 0, 0, 0)
    sizes = []
    for _ in range(3):
        exporter.run(5000)
        sizes.append(len(exporter))
    assert (sizes, looks) == ([2000, 1000, 0], 3)
