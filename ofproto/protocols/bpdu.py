"""Bridge protocol data units: IEEE 802.1D-2004 clause 9, as frames of Ethernet with LLC.

Identifiers are numbers: of a bridge 64 bits (priority, then address), of a port 16.  Times are in
units of 1/256 s, as on the wire.  A bridge of 802.1D-1998 sends CONFIG and TCN, a rapid one RST.
"""

import struct
from typing import NamedTuple

ADDRESS = bytes.fromhex("0180c2000000")
SECOND = 256

CONFIG, RST, TCN = 0x00, 0x02, 0x80

TC, PROPOSAL, LEARNING, FORWARDING, AGREEMENT, TC_ACK = 0x01, 0x02, 0x10, 0x20, 0x40, 0x80
ROLE_SHIFT, ROLE_MASK = 2, 3
ROLE_ALTERNATE, ROLE_ROOT, ROLE_DESIGNATED = 1, 2, 3  # Backup is Alternate here

MOST_COST, MOST_AGE = 0xFFFF_FFFF, 0xFFFF // SECOND  # what fits

_LLC = bytes.fromhex("424203")
_HEADER = struct.Struct("!HBB")  # protocol, version, type
_BODY = struct.Struct("!BQIQHHHHH")
_MIN_FRAME = 60
_MAX_BPDU = 1500  # a length field; above that it is an Ethertype


class Bpdu(NamedTuple):
    """TCN has no more than its kind."""

    kind: int
    flags: int = 0
    root: int = 0
    cost: int = 0
    bridge: int = 0
    port: int = 0
    age: int = 0
    max_age: int = 0
    hello_time: int = 0
    forward_delay: int = 0

    @property
    def role(self) -> int:
        """Of the port that sent it; who sends CONFIG is designated."""
        if self.kind == CONFIG:
            return ROLE_DESIGNATED
        return self.flags >> ROLE_SHIFT & ROLE_MASK


def encode(bpdu: Bpdu, source: bytes) -> bytes:
    """The frame, from the address `source`."""
    version = 2 if bpdu.kind == RST else 0
    data = _LLC + _HEADER.pack(0, version, bpdu.kind)
    if bpdu.kind != TCN:
        data += _BODY.pack(*bpdu[1:])
    if bpdu.kind == RST:
        data += b"\0"  # version 1 length
    frame = ADDRESS + source + len(data).to_bytes(2, "big") + data
    return frame.ljust(_MIN_FRAME, b"\0")


def decode(frame: bytes) -> Bpdu:
    """Raises ValueError for what 9.3.4 calls invalid.  What later versions append is ignored."""
    length = int.from_bytes(frame[12:14], "big")
    data = frame[14 : 14 + min(length, _MAX_BPDU)]
    if length > _MAX_BPDU or len(data) < length or data[:3] != _LLC:
        raise ValueError("no BPDU")
    data = data[3:]
    if len(data) < _HEADER.size:
        raise ValueError("truncated BPDU")
    protocol, version, kind = _HEADER.unpack_from(data)
    if protocol:
        raise ValueError(f"protocol {protocol:#x} is not spanning tree")
    if kind == TCN:
        return Bpdu(TCN)
    if kind not in (CONFIG, RST) or (kind == RST and version < 2):
        raise ValueError(f"BPDU of unknown type {kind:#x} version {version}")
    if len(data) < _HEADER.size + _BODY.size + (kind == RST):
        raise ValueError("truncated BPDU")
    bpdu = Bpdu(kind, *_BODY.unpack_from(data, _HEADER.size))
    if kind == CONFIG and bpdu.age >= bpdu.max_age:
        raise ValueError("BPDU is too old")
    return bpdu


def bridge_id(priority: int, address: bytes) -> int:
    """A bridge's identifier."""
    return priority << 48 | int.from_bytes(address, "big")


def address_of(bridge: int) -> int:
    """The address in a bridge's identifier."""
    return bridge & 0xFFFF_FFFF_FFFF
