"""NetFlow version 5 (Cisco's): flows as a bridge's tables have seen them, IPv4 only.

A record is made when a flow ends, when its output changes, and of one that lasts, each
`active_timeout`.  Records are as Open vSwitch's: an ICMP packet's type and code are the destination
port; TOS without ECN; bytes are those of frames; what goes to no single port has one of the outputs
below.  The sequence number of a datagram is that of its first record (Open vSwitch: its last).

Times are in milliseconds of the caller's clock, and `epoch` is what to add for those since 1970.
"""

import struct
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from datapath.base.protocols import PROTO_ICMP
from pyvs import coverage

VERSION = 5
RECORDS = 30  # in a datagram
DEFAULT_TIMEOUT = 600  # s
FLOOD, MULTIPLE, DROP = 0xFFFF, 0xFFFE, 0xFFFD  # outputs
MOST = 0xFFFFFFFF  # that a counter of a record holds
MAX_FLOWS = 65536
MAX_RECORDS = 65536  # that wait to be sent
SOME = 1000  # flows looked at, records sent, in one run
ID_BITS, PORT_MASK = 9, 0x1FF  # of an interface with the engine's number

# What tells flows of a bridge apart, network order: source, destination, their ports, protocol,
# TOS, OpenFlow port that they came in by (ofproto/xlate/outputs/netflow.pyx makes it).
KEY = struct.Struct("!4s4sHHBBH")
_HEAD = struct.Struct("!HHIIIIBBH")
_RECORD = struct.Struct("!4s4s4sHHIIIIHHBBBBHHBBH")

no_room = coverage.counter("netflow_no_room")
lost = coverage.counter("netflow_records_lost")


class Settings(NamedTuple):
    """`active_timeout` in seconds, 0: never.  `add_id`: interfaces have seven bits of engine_id."""

    engine_type: int = 0
    engine_id: int = 0
    active_timeout: int = DEFAULT_TIMEOUT
    add_id: bool = False


@dataclass(slots=True)
class _Flow:
    output: int
    created: int
    exported: int  # when it last was, or began
    used: int
    packets: int = 0
    octets: int = 0
    tcp_flags: int = 0


class Exporter:
    """Of one bridge.  Flows are in the order in which they were last exported."""

    def __init__(self, settings: Settings, now: int, epoch: int = 0):
        self.settings = settings
        self._boot = now
        self.epoch = epoch
        self._flows: dict[bytes, _Flow] = {}
        self._records: list[bytes] = []
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._flows)

    def count(self, key: bytes, output: int, packets: int, octets: int, used: int) -> None:
        """Packets of a flow went to `output`; the last at `used`."""
        flow = self._flows.get(key)
        if flow is None:
            flow = self._begin(key, output, used)
        elif flow.output != output:
            self._export(key, flow)
            flow.created, flow.output, flow.tcp_flags = used, output, 0
        flow.packets += packets
        flow.octets += octets
        flow.used = max(flow.used, used)

    def add_flags(self, key: bytes, flags: int) -> None:
        """TCP flags that packets of a flow had."""
        flow = self._flows.get(key)
        if flow is not None:
            flow.tcp_flags |= flags & 0xFF

    def end(self, key: bytes) -> None:
        flow = self._flows.pop(key, None)
        if flow is not None:
            self._export(key, flow)

    def run(self, now: int) -> None:
        """Export the flows that have lasted; those without packets since the last time go."""
        limit = now - self.settings.active_timeout * 1000
        # One iterator: each new one would begin with the places of all that went before.
        oldest = list(islice(self._flows.items(), SOME if self.settings.active_timeout else 0))
        for key, flow in oldest:
            if flow.exported > limit:
                break
            del self._flows[key]
            if flow.packets:
                self._export(key, flow)
                flow.exported = now
                self._flows[key] = flow

    def next_run(self) -> int | None:
        """When run() or take() has something to do."""
        if self._records:
            return 0
        if not self.settings.active_timeout or not self._flows:
            return None
        return next(iter(self._flows.values())).exported + self.settings.active_timeout * 1000

    def take(self, now: int, limit: int = SOME) -> list[bytes]:
        """Datagrams with the first `limit` records that wait."""
        made, self._records = self._records[:limit], self._records[limit:]
        return [self._datagram(made[at : at + RECORDS], now) for at in range(0, len(made), RECORDS)]

    def close(self, now: int) -> list[bytes]:
        """All that is left, as datagrams."""
        for key in list(self._flows):
            self.end(key)
        return self.take(now, MAX_RECORDS)

    def _begin(self, key: bytes, output: int, used: int) -> _Flow:
        if len(self._flows) >= MAX_FLOWS:
            no_room.count += 1
            self.end(next(iter(self._flows)))
        flow = self._flows[key] = _Flow(output, used, used, used)
        return flow

    def _export(self, key: bytes, flow: _Flow) -> None:
        """As many records as its counters need."""
        packets, octets = flow.packets, flow.octets
        flow.packets = flow.octets = 0
        n = max(-(-packets // MOST), -(-octets // MOST)) if packets else 0
        for i in range(n):
            if len(self._records) >= MAX_RECORDS:
                lost.count += n - i
                break
            shares = [whole * (i + 1) // n - whole * i // n for whole in (packets, octets)]
            self._records.append(self._record(key, flow, *shares))

    def _record(self, key: bytes, flow: _Flow, packets: int, octets: int) -> bytes:
        source, destination, tp_src, tp_dst, proto, tos, in_port = KEY.unpack(key)
        if proto == PROTO_ICMP:
            tp_src, tp_dst = 0, (tp_src & 0xFF) << 8 | tp_dst & 0xFF
        return _RECORD.pack(
            source, destination, bytes(4), self._interface(in_port), self._interface(flow.output),
            packets, octets, self._uptime(flow.created), self._uptime(flow.used),
            tp_src, tp_dst, 0, flow.tcp_flags, proto, tos, 0, 0, 0, 0, 0,
        )  # fmt: skip

    def _interface(self, port: int) -> int:
        if self.settings.add_id:
            return port & PORT_MASK | (self.settings.engine_id << ID_BITS) & 0xFFFF
        return port

    def _uptime(self, when: int) -> int:
        return max(when - self._boot, 0) & MOST

    def _datagram(self, records: list[bytes], now: int) -> bytes:
        seconds, rest = divmod(now + self.epoch, 1000)
        head = _HEAD.pack(
            VERSION, len(records), self._uptime(now), seconds & MOST, rest * 1_000_000,
            self._sequence & MOST, self.settings.engine_type, self.settings.engine_id, 0,
        )  # fmt: skip
        self._sequence += len(records)
        return head + b"".join(records)
