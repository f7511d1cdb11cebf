"""Frames that tell where they may arrive, and as what: traffic that is verified while rules change.

Each frame carries its number; its source address is its flow, for which there is one rule.  Of each
frame that arrives it is known which actions it may have had: those whose rule was the flow's when
the frame was sent (its FLOW_MOD's barrier was answered before), or a later one; never one that had
been replaced.  It is compared whole with what each would make of it.
"""

import ctypes
import random
import socket
import struct
import threading
import time
from typing import NamedTuple

from tests.datapath.wire import SOL_PACKET, raw_socket

MAGIC = b"pyvs-fire"
TRAILER = struct.Struct("!9sIQ")  # magic, flow, number
ADDRESSES = bytes.fromhex("02aa00000002")
N_FLOWS = 24
ETH_VLAN = b"\x81\x00"


class Action(NamedTuple):
    """What a rule does: in words of ovs-ofctl, and to a frame."""

    to: str  # the container that it leads to, "": dropped
    what: str

    def text(self, ports: dict[str, int]) -> str:
        if not self.to:
            return "drop"
        return f"{_TEXTS[self.what]}output:{ports[self.to]}"

    def of(self, frame: bytes) -> bytes:
        """The frame as it comes out."""
        return _EFFECTS[self.what](frame)


def _tag(frame: bytes, vid: int) -> bytes:
    if frame[12:14] == ETH_VLAN:
        kept = frame[14] & 0xF0
        return frame[:14] + bytes([kept | vid >> 8, vid & 0xFF]) + frame[16:]
    return frame[:12] + ETH_VLAN + struct.pack("!H", vid) + frame[12:]


def _untag(frame: bytes) -> bytes:
    return frame[:12] + frame[16:] if frame[12:14] == ETH_VLAN else frame


_TEXTS = {
    "plain": "",
    "address": "mod_dl_dst:02:bb:00:00:00:07,",
    "tag": "mod_vlan_vid:77,",
    "untag": "strip_vlan,",
}
_EFFECTS = {
    "plain": lambda frame: frame,
    "address": lambda frame: bytes.fromhex("02bb00000007") + frame[6:],
    "tag": lambda frame: _tag(frame, 77),
    "untag": _untag,
}


def flow_address(flow: int) -> bytes:
    return bytes.fromhex("02cc0000") + struct.pack("!H", flow)


def rule_of(flow: int) -> str:
    return f"priority=50,dl_src={flow_address(flow).hex(':')}"


def _ipv4(rng: random.Random, payload: bytes) -> bytes:
    """Whole, or a fragment: a first, a middle, a last one."""
    fragment = rng.choice((0, 0, 0, 0x2000, 0x2010, 0x0020))
    size = 20 + 8 + len(payload)
    head = struct.pack("!BBHHHBBH", 0x45, 0, size, rng.randrange(1 << 16), fragment, 64, 17, 0)
    head += bytes((10, 9, 0, 1, 10, 9, 0, rng.randrange(2, 9)))
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + head[12:]
    return b"\x08\x00" + head + struct.pack("!HHHH", rng.randrange(1, 5000), 9, 8 + len(payload), 0)


def _ipv6(rng: random.Random, payload: bytes) -> bytes:
    head = struct.pack("!IHBB", 0x60000000, 8 + len(payload), 17, 64)
    head += bytes.fromhex("fd00") + bytes(13) + b"\1" + bytes.fromhex("fd00") + bytes(13) + b"\2"
    udp = struct.pack("!HHHH", rng.randrange(1, 5000), 9, 8 + len(payload), 0xFFFF)
    return b"\x86\xdd" + head + udp


def _other(_rng: random.Random, _payload: bytes) -> bytes:
    return b"\x88\xb5"


def make_frame(rng: random.Random, flow: int, number: int) -> bytes:
    fill = rng.randbytes(rng.choice((10, 40, 500, 1400)))
    payload = fill + TRAILER.pack(MAGIC, flow, number)
    head = rng.choice((_ipv4, _ipv4, _ipv6, _other))(rng, payload)
    tag = b""
    if flow % 3 == 0:  # of some flows frames are tagged
        tag = ETH_VLAN + struct.pack("!H", rng.choice((5, 6)) | rng.choice((0, 3)) << 13)
    return ADDRESSES + flow_address(flow) + tag + head + payload


class Known:
    """What was sent, and which rules there were: shared by sender, receivers, who changes rules."""

    def __init__(self, actions: dict[int, Action]):
        self.lock = threading.Lock()
        self.sent: dict[int, bytes] = {}  # of the last few seconds
        self.number = 0
        # Of each flow (number from which on no earlier action may be seen, action).
        self.rules = {flow: [(0, action)] for flow, action in actions.items()}
        self.arrived: set[int] = set()
        self.faults: list[str] = []
        self.counts: dict[str, int] = {}

    def may_come(self, flow: int, action: Action) -> None:
        """Its FLOW_MOD is about to be sent."""
        with self.lock:
            self.rules[flow].append((-1, action))

    def has_come(self, flow: int) -> None:
        """Its barrier was answered."""
        with self.lock:
            self.rules[flow][-1] = (self.number, self.rules[flow][-1][1])

    def allowed(self, flow: int, number: int) -> list[Action]:
        rules, at = self.rules[flow], 0
        for index, (since, _action) in enumerate(rules):
            if 0 <= since < number:
                at = index
        return [action for _since, action in rules[at:]]

    def judge(self, where: str, frame: bytes) -> None:
        try:
            magic, flow, number = TRAILER.unpack(frame[-TRAILER.size :])
        except struct.error:
            return
        if magic != MAGIC:
            if flow_address(0)[:4] == frame[6:10]:
                self.faults.append(f"{where}: a frame without end: {frame.hex()}")
            return
        with self.lock:
            original = self.sent.get(number)
            allowed = self.allowed(flow, number)
            again = number in self.arrived
            self.arrived.add(number)
        if again:
            self.faults.append(f"{where}: frame {number} of flow {flow} twice")
        elif original is None:
            self.faults.append(f"{where}: frame {number} was never sent, or long ago")
        elif not any(each.to == where and each.of(original) == frame for each in allowed):
            rules = [(since, *each) for since, each in self.rules[flow][-4:]]
            self.faults.append(
                f"{where}: frame {number} of flow {flow} (now {self.number}), rules {rules}:\n"
                f"{frame.hex()}, sent as\n{original.hex()}"
            )
        self.counts[where] = self.counts.get(where, 0) + 1


class Traffic:
    """From one container to those that the rules say; stop() gives (sent, arrived, faults)."""

    def __init__(self, sender, receivers: dict, known: Known, pause: float = 0.0005):
        self.known, self._pause = known, pause
        self._over = threading.Event()
        self._out = raw_socket(sender)
        self._ins = {name: raw_socket(each) for name, each in receivers.items()}
        self._threads = [threading.Thread(target=self._send)]
        for name, sock in self._ins.items():
            sock.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
            _take_ours_only(sock)
            sock.settimeout(0.2)
            self._threads.append(threading.Thread(target=self._receive, args=(name, sock)))
        for each in self._threads:
            each.start()

    def _send(self) -> None:
        rng = random.Random(1)
        while not self._over.is_set():
            flow = rng.randrange(N_FLOWS)
            with self.known.lock:
                self.known.number += 1
                number = self.known.number
            frame = make_frame(rng, flow, number)
            with self.known.lock:
                self.known.sent[number] = frame
                self.known.sent.pop(number - 100_000, None)
            self._out.send(frame)
            time.sleep(self._pause)

    def _receive(self, name: str, sock) -> None:
        quiet = 0
        while quiet < 3:  # what is under way when the sender ends arrives, too
            try:
                frame, control, _, _ = sock.recvmsg(1 << 17, 128)
            except TimeoutError:
                quiet += self._over.is_set()
                continue
            self.known.judge(name, _with_tag(frame, control))

    def stop(self) -> tuple[int, int, list[str]]:
        self._over.set()
        for each in self._threads:
            each.join()
        for sock in (self._out, *self._ins.values()):
            sock.close()
        return self.known.number, sum(self.known.counts.values()), self.known.faults


def _take_ours_only(sock) -> None:
    """By the first four bytes of the source address."""
    first = int.from_bytes(flow_address(0)[:4], "big")
    code = struct.pack("HBBI" * 4, 32, 0, 0, 6, 21, 0, 1, first, 6, 0, 0, 1 << 18, 6, 0, 0, 0)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", 4, ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, 26, program)  # SO_ATTACH_FILTER


def _with_tag(frame: bytes, control) -> bytes:
    for level, kind, data in control:
        if (level, kind) == (SOL_PACKET, 8):
            status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", data[:20])
            if status & 0x10:  # TP_STATUS_VLAN_VALID
                return frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
    return frame


def random_action(rng: random.Random, containers: tuple[str, ...]) -> Action:
    to = rng.choice((*containers, *containers, ""))
    return Action(to, rng.choice(tuple(_TEXTS)) if to else "plain")
