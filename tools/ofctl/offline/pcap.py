"""ofp-parse-pcap: the OpenFlow messages of TCP connections that a pcap file has; parse-pcap: the
fields of all its packets.

Segments of a direction are put in order by their sequence numbers; what a capture lost is skipped:
a stream goes on with the first segment behind the gap once it is full of later ones.  IPv4 over
Ethernet only, as in ovs-ofctl.  Sources: pcap-savefile(5), RFC 9293.
"""

import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from ipaddress import IPv4Address
from struct import Struct
from typing import BinaryIO

from datapath.base.protocols import VLAN_TPIDS
from datapath.key import flow
from ofproto.codec.messages import HEADER_SIZE
from ofproto.codec.numbers import OFPP_NONE
from ofproto.text.message_text import Style, format_raw
from ofproto.xlate.trace import format_flow
from pyvs import digits
from pyvs.record import field, record
from pyvs_tools.command import Fatal

PORTS = (6653, 6633)  # of OpenFlow, and what it was before IANA gave it one
_FILE, _LINKTYPE_ETHERNET = 24, 1
# First word as little endian -> (byte order, units of a second's fraction)
_MAGIC = {
    0xA1B2C3D4: ("<", 1e6), 0xD4C3B2A1: (">", 1e6),
    0xA1B23C4D: ("<", 1e9), 0x4D3CB2A1: (">", 1e9),
}  # fmt: skip
_LARGEST = 1 << 18  # bytes of a packet, as libpcap has it
_WAITING = 64  # segments of a direction that wait for one before them
_SYN = 2
_HALF = 1 << 31


def packets(file: BinaryIO, name: str) -> Iterator[tuple[float, bytes]]:
    """(seconds since 1970, frame) of each packet of a pcap file.  Raises Fatal."""
    head = file.read(_FILE)
    order = _MAGIC.get(int.from_bytes(head[:4], "little"))
    if len(head) < _FILE or order is None:
        raise Fatal(f"{name}: not a pcap file")
    byte_order, units = order
    record = Struct(byte_order + "IIII")
    if Struct(byte_order + "I").unpack_from(head, 20)[0] & 0xFFFF != _LINKTYPE_ETHERNET:
        raise Fatal(f"{name}: packets are not of Ethernet")
    while head := file.read(record.size):
        if len(head) < record.size:
            raise Fatal(f"{name}: truncated packet header")
        seconds, fraction, size, _whole = record.unpack(head)
        if size > _LARGEST:
            raise Fatal(f"{name}: packet of {size} bytes")
        data = file.read(size)
        if len(data) < size:
            raise Fatal(f"{name}: truncated packet")
        yield seconds + fraction / units, data


@record
class Segment:
    """`key`: addresses and ports, from where and to where."""

    key: tuple[bytes, int, bytes, int]
    sequence: int
    flags: int
    data: bytes


def segment(frame: bytes) -> Segment | None:
    """The TCP segment of a frame; None where it has none that is whole."""
    at = 12
    while int.from_bytes(frame[at : at + 2], "big") in VLAN_TPIDS:
        at += 4
    ip, kind = at + 2, frame[at : at + 2]
    header = (frame[ip] & 15) * 4 if len(frame) > ip else 0
    if kind != b"\x08\0" or header < 20 or frame[ip + 9 : ip + 10] != b"\x06":
        return None
    if int.from_bytes(frame[ip + 6 : ip + 8], "big") & 0x3FFF:  # a fragment
        return None
    tcp, end = ip + header, ip + int.from_bytes(frame[ip + 2 : ip + 4], "big")
    if end > len(frame) or tcp + 20 > end:
        return None
    start = tcp + (frame[tcp + 12] >> 4) * 4
    ports = [int.from_bytes(frame[tcp + i : tcp + i + 2], "big") for i in (0, 2)]
    return Segment(
        (frame[ip + 12 : ip + 16], ports[0], frame[ip + 16 : ip + 20], ports[1]),
        int.from_bytes(frame[tcp + 4 : tcp + 8], "big"),
        frame[tcp + 13],
        frame[start:end],
    )


@record
class Stream:
    """One direction of a connection; `next` is the sequence number that is to come, None before
    the first segment."""

    next: int | None = None
    data: bytearray = field(default_factory=bytearray)
    waiting: dict[int, bytes] = field(default_factory=dict)

    def add(self, found: Segment) -> None:
        """Take a segment, and those that waited for it."""
        if found.flags & _SYN:
            self.next = found.sequence + 1 & 0xFFFFFFFF
            self.data.clear()
            self.waiting.clear()
            return
        if not found.data:
            return
        if self.next is None:
            self.next = found.sequence
        self.waiting.setdefault(found.sequence, found.data)
        self._take()
        if len(self.waiting) > _WAITING:  # the one before them was not captured
            self.data.clear()
            self.next = min(self.waiting, key=self._distance)
            self._take()

    def _distance(self, sequence: int) -> int:
        """How far a sequence number is ahead; below 0: behind."""
        assert self.next is not None
        ahead = sequence - self.next & 0xFFFFFFFF
        return ahead - (1 << 32) if ahead >= _HALF else ahead

    def _take(self) -> None:
        for sequence in sorted(self.waiting, key=self._distance):
            ahead = self._distance(sequence)
            if ahead > 0:
                return
            new = self.waiting.pop(sequence)[-ahead:]  # without what was there before
            self.data += new
            self.next = self.next + len(new) & 0xFFFFFFFF

    def messages(self) -> Iterator[bytes]:
        """The whole messages that have come; behind a length that none has, bytes are lost."""
        while len(self.data) >= HEADER_SIZE:
            size = int.from_bytes(self.data[2:4], "big")
            if size < HEADER_SIZE:
                self.data.clear()
            if len(self.data) < size or not self.data:
                return
            yield bytes(self.data[:size])
            del self.data[:size]


def _ports(words):
    found = [digits.number(word, 0xFFFF) for word in words]
    if None in found:
        raise Fatal(f"{words[found.index(None)]}: not a TCP port")
    return found or PORTS


def _where(address, port):
    return f"{IPv4Address(address)}.{port}"


def ofp_parse_pcap(settings, path, *words):
    """ofp-parse-pcap FILE [PORT...]"""
    ports, style = _ports(words), Style(more=settings.more + 1)
    streams: dict[tuple, Stream] = {}
    before = ""
    try:
        with sys.stdin.buffer if path == "-" else open(path, "rb") as file:
            for when, frame in packets(file, path):
                found = segment(frame)
                if found is None or not {found.key[1], found.key[3]} & set(ports):
                    continue
                stream = streams.setdefault(found.key, Stream())
                stream.add(found)
                source, destination = _where(*found.key[:2]), _where(*found.key[2:])
                for raw in stream.messages():
                    stamp = _stamp(when) if "timestamp" in settings else ""
                    sys.stdout.write(f"{before}{stamp}{source} > {destination}:\n")
                    sys.stdout.write(format_raw(raw, style))
                    before = "\n"
    except OSError as error:
        raise Fatal(f"{path}: open failed ({error.strerror})") from None


def parse_pcap(_settings, *paths):
    """parse-pcap FILE..."""
    for path in paths:
        try:
            with sys.stdin.buffer if path == "-" else open(path, "rb") as file:
                for _when, frame in packets(file, path):
                    sys.stdout.write(format_flow(flow.extract(frame, OFPP_NONE)) + "\n")
        except OSError as error:
            raise Fatal(f"{path}: open failed ({error.strerror})") from None


def _stamp(when):
    shown = datetime.fromtimestamp(when, timezone.utc)
    return f"{shown:%H:%M:%S}.{shown.microsecond // 1000:03} "
