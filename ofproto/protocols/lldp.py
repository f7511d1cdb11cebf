"""LLDP (IEEE 802.1AB) of one port, with Auto Attach: what it says of itself, and its neighbours.

Auto Attach (draft-unbehagen-lldp-spb) is two organizational TLVs of 00:04:0d: what kind of element
somebody is, and which I-SID (24 bits) is to be which VLAN, with what has become of that.  What is
passed in and out are the payloads of frames of Ethertype 0x88cc to 01:80:c2:00:00:0e.  Times are in
ms.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

ADDRESS = bytes.fromhex("0180c200000e")
TX_INTERVAL = 5000  # as Open vSwitch
TRUNKS_INTERVAL = 1000  # ms, as Open vSwitch looks at them
TTL = 120  # s
MAX_NEIGHBORS = 16  # of a port
MAX_MAPPINGS = (511 - 36) // 5  # of one TLV
MAX_TEXT = 255
MAX_TLVS = 128  # of a frame: who sends more is after our time

END, CHASSIS_ID, PORT_ID, TIME_TO_LIVE, _PORT_TEXT, NAME, DESCRIPTION, CAPABILITIES = range(8)
ORGANIZATIONAL = 127
_MAC, _INTERFACE_NAME = 4, 5  # subtypes of chassis and port
_BRIDGE = struct.pack("!HH", 4, 4)  # capabilities, and those that are on
_ELEMENT, _ASSIGNMENTS = b"\x00\x04\x0d\x0b", b"\x00\x04\x0d\x0c"
_DIGEST = 32  # bytes of a digest that nobody makes
_VIRTUAL_SWITCH = 14  # the element's type: a client
_KNOWN = frozenset((*range(9), ORGANIZATIONAL))

PENDING, ACTIVE, REJECTED = "Pending", "Active", "Rejected"
_STATUS = {1: PENDING, 2: ACTIVE, 3: REJECTED}
UNDEFINED = "Undefined"


class Settings(NamedTuple):
    """`mappings`: (I-SID, VLAN), as the row has them."""

    mac: bytes
    port: str
    name: str
    description: str
    mappings: tuple[tuple[int, int], ...] = ()


class Neighbor(NamedTuple):
    chassis: bytes  # with their subtypes
    port: bytes
    ttl: int
    name: str = ""
    description: str = ""
    element: int | None = None  # of Auto Attach
    system_id: bytes = b""
    assignments: tuple[tuple[int, int, int], ...] = ()  # I-SID, VLAN, status
    unrecognized: int = 0  # TLVs


def _tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!H", kind << 9 | len(value)) + value


def _assignment(isid: int, vlan: int) -> bytes:
    return struct.pack("!H", vlan & 0xFFF) + isid.to_bytes(3, "big")


def compose(settings: Settings) -> bytes:
    """What a port says."""
    element = struct.pack("!I", _VIRTUAL_SWITCH << 26) + settings.mac + bytes(4)
    found = [
        _tlv(CHASSIS_ID, bytes((_MAC,)) + settings.mac),
        _tlv(PORT_ID, bytes((_INTERFACE_NAME,)) + settings.port.encode()[:MAX_TEXT]),
        _tlv(TIME_TO_LIVE, struct.pack("!H", TTL)),
        _tlv(NAME, settings.name.encode()[:MAX_TEXT]),
        _tlv(DESCRIPTION, settings.description.encode()[:MAX_TEXT]),
        _tlv(CAPABILITIES, _BRIDGE),
        _tlv(ORGANIZATIONAL, _ELEMENT + bytes(_DIGEST) + element),
    ]
    if settings.mappings:
        rows = b"".join(_assignment(*each) for each in settings.mappings[:MAX_MAPPINGS])
        found.append(_tlv(ORGANIZATIONAL, _ASSIGNMENTS + bytes(_DIGEST) + rows))
    return b"".join((*found, _tlv(END, b"")))


def _tlvs(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """All up to the end; ValueError where one is cut off, or where they are too many."""
    at = 0
    for _ in range(MAX_TLVS + 1):
        if at + 2 > len(payload):
            break
        head = int.from_bytes(payload[at : at + 2], "big")
        kind, length = head >> 9, head & 0x1FF
        value = payload[at + 2 : at + 2 + length]
        if len(value) < length:
            raise ValueError("a TLV is cut off")
        if kind == END:
            return
        yield kind, value
        at += 2 + length
    raise ValueError("no end, or too many")


def parse(payload: bytes) -> Neighbor:
    """ValueError where 802.1AB, 9.2.7.7 has it discarded: the first three TLVs have an order."""
    tlvs = list(_tlvs(payload))
    if [kind for kind, _ in tlvs[:3]] != [CHASSIS_ID, PORT_ID, TIME_TO_LIVE]:
        raise ValueError("not what LLDP begins with")
    chassis, port, ttl = (value for _, value in tlvs[:3])
    if not 2 <= len(chassis) <= 256 or not 2 <= len(port) <= 256 or len(ttl) < 2:
        raise ValueError("a length out of range")
    more: dict[str, Any] = {}
    for kind, value in tlvs[3:]:
        _say(more, kind, value)
    for name, read in _READ.items():
        if name in more:
            more[name] = read(more[name])
    return Neighbor(chassis, port, int.from_bytes(ttl[:2], "big"), **more)


def _say(more: dict[str, Any], kind: int, value: bytes) -> None:
    """What one TLV more says, as fields of a Neighbor; those of _READ as bytes."""
    if kind == NAME:
        more["name"] = value
    elif kind == DESCRIPTION:
        more["description"] = value
    elif kind == ORGANIZATIONAL and value[:4] == _ELEMENT and len(value) >= 50:
        more["element"] = int.from_bytes(value[36:40], "big") >> 26
        more["system_id"] = value[40:50]
    elif kind == ORGANIZATIONAL and value[:4] == _ASSIGNMENTS and len(value) >= 36:
        more["assignments"] = value[36:]
    elif kind not in _KNOWN:
        more["unrecognized"] = more.get("unrecognized", 0) + 1


def _assigned(rows: bytes) -> Iterator[tuple[int, int, int]]:
    for at in range(0, len(rows) - 4, 5):
        word = int.from_bytes(rows[at : at + 2], "big")
        yield int.from_bytes(rows[at + 2 : at + 5], "big"), word & 0xFFF, word >> 12


def _text(value: bytes) -> str:
    """Without what a terminal would obey."""
    text = value[:MAX_TEXT].decode("utf-8", "replace")
    return "".join(each if each.isprintable() else "?" for each in text)


_READ: dict[str, Callable[[bytes], Any]] = {
    "name": _text,
    "description": _text,
    "assignments": lambda rows: tuple(_assigned(rows)),
}


class Counts:
    """As autoattach/statistics has them."""

    __slots__ = ("ageouts", "deletes", "discarded", "drops", "inserts", "received", "sent",
                 "unrecognized")  # fmt: skip

    def __init__(self) -> None:
        self.sent = self.received = self.discarded = self.unrecognized = 0
        self.ageouts = self.inserts = self.deletes = self.drops = 0


class Agent:
    """Of one port.  `statuses`: what became of each mapping that is asked for; `trunks`: VLANs that
    the port is to carry from now on (True), or no more; who sees to one takes it out.

    They go into the database: what a neighbour says and takes back is told once in TRUNKS_INTERVAL.
    """

    def __init__(self, settings: Settings, now: int):
        self.settings = settings
        self.counts = Counts()
        self.neighbors: dict[tuple[bytes, bytes], tuple[Neighbor, int]] = {}  # with their ends
        self.statuses: dict[tuple[int, int], str] = dict.fromkeys(settings.mappings, PENDING)
        self.trunks: dict[int, bool] = {}
        self._untold: dict[int, bool] = {}  # to be `trunks`
        self._next_told = now
        self.changed = False
        self._next_send = now + TX_INTERVAL

    def configure(self, settings: Settings, now: int) -> None:
        if settings == self.settings:
            return
        self.settings = settings
        before = self._active()
        self.statuses = {each: self.statuses.get(each, PENDING) for each in settings.mappings}
        self._carry(before)
        self._next_send = min(self._next_send, now + 1000)  # changes that come together are one

    def receive(self, payload: bytes, now: int) -> None:
        self.counts.received += 1
        try:
            found = parse(payload)
        except ValueError:
            self.counts.discarded += 1
            return
        self.counts.unrecognized += found.unrecognized
        key = found.chassis, found.port
        if not found.ttl:  # it says goodbye
            self.counts.deletes += self.neighbors.pop(key, None) is not None
            return
        if key not in self.neighbors:
            if len(self.neighbors) >= MAX_NEIGHBORS:
                self.counts.drops += 1
                return
            self.counts.inserts += 1
        self.neighbors[key] = found, now + found.ttl * 1000
        before = self._active()
        for isid, vlan, status in found.assignments:
            if (isid, vlan) in self.statuses:
                self.statuses[isid, vlan] = _STATUS.get(status, UNDEFINED)
        self._carry(before)

    def _active(self) -> set[int]:
        """VLANs of mappings that were granted."""
        return {vlan for (_, vlan), status in self.statuses.items() if status == ACTIVE}

    def _carry(self, before: set[int]) -> None:
        active = self._active()
        self._untold.update((vlan, vlan in active) for vlan in active ^ before)

    def _tell(self, now: int) -> None:
        if not self._untold or now < self._next_told:
            return
        self._next_told = now + TRUNKS_INTERVAL
        self.trunks.update(self._untold)
        self._untold.clear()
        self.changed = True

    def run(self, now: int, _packets: int = 0) -> bytes | None:
        """Timers; what is to be sent now."""
        over = [key for key, (_, end) in self.neighbors.items() if end <= now]
        for key in over:
            del self.neighbors[key]
        self.counts.ageouts += len(over)
        self._tell(now)
        if now < self._next_send:
            return None
        self._next_send = now + TX_INTERVAL
        self.counts.sent += 1
        return compose(self.settings)

    def next_run(self) -> int:
        told = [self._next_told] if self._untold else []
        return min([self._next_send, *told, *(end for _, end in self.neighbors.values())])
