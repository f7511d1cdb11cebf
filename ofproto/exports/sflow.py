"""sFlow version 5 (sflow.org/sflow_version_5.txt): samples of packets, and interfaces' counters.

Datagrams go when they are full, or with run(), which is to be called once in a second.  Flow
samples have the sampled header and what the switch did with its tags; counter samples what
sflow_counters has.  Times are in milliseconds.
"""

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ofproto.exports.sflow_counters import (
    UNKNOWN,
    Interface,
    Record,
    Switch,
    of_interface,
    of_switch,
)

VERSION = 5
FLOW_SAMPLE, COUNTER_SAMPLE = 1, 2
RAW_HEADER, EXTENDED_SWITCH = 1, 1001
ETHERNET = 1  # header protocol
FCS = 4  # bytes, of which the datapath knows nothing: "stripped"
DATAGRAM = 1400  # bytes
HEADER = 1024  # bytes
SWITCH = 0x020003E8  # the bridge itself as a source: class 2 in the high byte, index 1000
TICK = 1000  # ms


class Settings(NamedTuple):
    """Of `header`, HEADER at most: a sample is to fit into a datagram."""

    agent: str  # an address
    sampling: int = 400  # one packet of so many
    polling: int = 30  # seconds; 0: no counters
    header: int = 128  # bytes of a packet


class FlowSample(NamedTuple):
    frame: bytes
    input: int  # ifindex, 0: not known
    output: int  # as the format has it, with its two bits
    in_vlan: int
    in_priority: int
    out_vlan: int
    out_priority: int


@dataclass(slots=True)
class _Source:
    sequence: int = 0
    pool: int = 0


class Agent:
    """The datagrams that it has made since the last time are in `take()`."""

    def __init__(self, settings: Settings, now: int):
        self.settings = settings
        self._started = self._ticked = self._polled = now
        self._address = ipaddress.ip_address(settings.agent)
        self._sequence = 0
        self._flows = _Source()
        self._counters: dict[int, int] = {}  # source -> samples so far
        self._samples: list[bytes] = []
        self._size = 0
        self._datagrams: list[bytes] = []

    def take(self) -> list[bytes]:
        made, self._datagrams = self._datagrams, []
        return made

    def sample(self, sample: FlowSample, now: int) -> None:
        source = self._flows
        source.sequence = (source.sequence + 1) & UNKNOWN
        source.pool = (source.pool + self.settings.sampling) & UNKNOWN
        tags = struct.pack(
            "!IIIIII", EXTENDED_SWITCH, 16, sample.in_vlan, sample.in_priority, sample.out_vlan,
            sample.out_priority,
        )  # fmt: skip
        records = tags + self._header(sample.frame)
        body = struct.pack(
            "!IIIIIIII", source.sequence, SWITCH, self.settings.sampling,
            source.pool, 0, sample.input, sample.output, 2,
        )  # fmt: skip
        self._add(FLOW_SAMPLE, body + records, now)

    def _header(self, frame: bytes) -> bytes:
        header = frame[: self.settings.header]
        padded = header + bytes(-len(header) % 4)
        head = struct.pack("!IIII", ETHERNET, len(frame) + FCS, FCS, len(header))
        return struct.pack("!II", RAW_HEADER, len(head) + len(padded)) + head + padded

    def wants_counters(self, now: int) -> bool:
        """Whether it is time for poll()."""
        polling = self.settings.polling * 1000
        return bool(polling) and now >= self._polled + polling

    def poll(
        self, switch: Switch | None, interfaces: Iterable[Interface], now: int
    ) -> Iterator[None]:
        """A counter sample of each, one with each step."""
        self._polled = now
        if switch is not None:
            self._count(SWITCH, of_switch(switch), now)
        for each in interfaces:
            self._count(each.index, of_interface(each), now)
            yield

    def _count(self, source: int, records: list[Record], now: int) -> None:
        number = self._counters[source] = (self._counters.get(source, 0) + 1) & UNKNOWN
        body = struct.pack("!III", number, source, len(records))
        for kind, record in records:
            body += struct.pack("!II", kind, len(record)) + record
        self._add(COUNTER_SAMPLE, body, now)

    def run(self, now: int) -> None:
        if now >= self._ticked + TICK:
            self._ticked = now
            self._flush(now)

    def next_run(self) -> int | None:
        if not self._samples and not self.settings.polling:
            return None
        return self._ticked + TICK

    def _add(self, kind: int, body: bytes, now: int) -> None:
        if self._samples and self._size + 8 + len(body) > DATAGRAM:
            self._flush(now)
        self._samples.append(struct.pack("!II", kind, len(body)) + body)
        self._size += 8 + len(body)

    def _flush(self, now: int) -> None:
        if not self._samples:
            return
        self._sequence = (self._sequence + 1) & UNKNOWN
        kind = 1 if self._address.version == 4 else 2
        head = struct.pack("!II", VERSION, kind) + self._address.packed
        head += struct.pack(
            "!IIII", 0, self._sequence, (now - self._started) & 0xFFFFFFFF, len(self._samples)
        )
        self._datagrams.append(head + b"".join(self._samples))
        self._samples, self._size = [], 0
