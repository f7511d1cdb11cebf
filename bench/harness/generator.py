"""Sends UDP frames of 60 bytes in many flows, as fast as one core can (run inside a container).

    python -m bench.harness.generator IFACE SRC_MAC DST_MAC FLOWS SECONDS

sendmmsg(2) over AF_PACKET with a frame for each flow; prints the number of frames sent.
"""

import ctypes
import socket
import struct
import sys
import time

BATCH = 64
MSG_WAITFORONE = 0x10000


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class Msghdr(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.POINTER(Iovec)),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class Mmsghdr(ctypes.Structure):
    _fields_ = [("header", Msghdr), ("sent", ctypes.c_uint)]


class Batch:
    """Messages of sendmmsg(2) and recvmmsg(2), each of one buffer of ours."""

    _libc = ctypes.CDLL(None, use_errno=True)

    def __init__(self, frames: list[bytes]) -> None:
        self.buffers = [ctypes.create_string_buffer(data, len(data)) for data in frames]
        self._vectors = (Iovec * len(frames))()
        self._messages = (Mmsghdr * len(frames))()
        for index, buffer in enumerate(self.buffers):
            self._vectors[index] = Iovec(ctypes.addressof(buffer), len(buffer))
            self._messages[index].header.iov = ctypes.pointer(self._vectors[index])
            self._messages[index].header.iovlen = 1

    def send(self, sock: socket.socket, start: int, count: int) -> int:
        """How many of them were sent."""
        first = ctypes.byref(self._messages, start * ctypes.sizeof(Mmsghdr))
        return max(self._libc.sendmmsg(sock.fileno(), first, count, 0), 0)

    def receive(self, sock: socket.socket) -> int:
        """How many came: those that are there, or the first one; 0 after the socket's timeout."""
        length = len(self.buffers)
        got = self._libc.recvmmsg(sock.fileno(), self._messages, length, MSG_WAITFORONE, None)
        return max(got, 0)


def ones_complement(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(src: bytes, dst: bytes, flow: int) -> bytes:
    """Ethernet, IPv4 10.0.0.1 > 10.0.0.2, UDP with a source port for the flow, 18 bytes."""
    ip = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 46, 0, 0, 64, 17, 0, bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
    )
    ip = ip[:10] + struct.pack("!H", ones_complement(ip)) + ip[12:]
    return dst + src + b"\x08\x00" + ip + struct.pack("!HHHH", 1024 + flow, 9, 26, 0) + bytes(18)


def main() -> None:
    interface, src, dst, flows, seconds = sys.argv[1:6]
    macs = [bytes.fromhex(mac.replace(":", "")) for mac in (src, dst)]
    frames = [frame(*macs, flow) for flow in range(int(flows))]
    frames += frames[: -len(frames) % BATCH]
    batch = Batch(frames)
    total = 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
        raw.bind((interface, 0))
        end = time.monotonic() + float(seconds)
        while time.monotonic() < end:
            for start in range(0, len(frames), BATCH):
                total += batch.send(raw, start, BATCH)
    print(total)


if __name__ == "__main__":
    main()
