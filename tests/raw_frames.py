"""Frames on a device as they are on the wire, for tests where the kernel has no VLAN devices.

    python -m tests.raw_frames DEVICE send HEX...      each frame once
    python -m tests.raw_frames DEVICE receive SECONDS  prints each frame that comes in, in hex

The kernel takes the outer VLAN tag out of a received frame; it is put back from the auxiliary
data (packet(7), PACKET_AUXDATA).
"""

import socket
import struct
import sys
import time

ETH_P_ALL, SOL_PACKET, PACKET_AUXDATA = 3, 263, 8
AUXDATA = struct.Struct("=IIIHHHH")  # status, len, snaplen, mac, net, vlan_tci, vlan_tpid
VLAN_VALID = 0x10


def receive(device: str, seconds: float) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as sock:
        sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        sock.bind((device, ETH_P_ALL))
        print("ready", flush=True)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                frame, ancillary, _flags, address = sock.recvmsg(65536, 256)
            except TimeoutError:
                return
            if address[2] != socket.PACKET_OUTGOING:
                print(with_tag(frame, ancillary).hex(), flush=True)


def with_tag(frame: bytes, ancillary: list) -> bytes:
    for _level, _type, data in ancillary:
        status, *_, tci, tpid = AUXDATA.unpack_from(data)
        if status & VLAN_VALID:
            return frame[:12] + struct.pack("!HH", tpid or 0x8100, tci) + frame[12:]
    return frame


def send(device: str, frames: list[str]) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((device, 0))
        for frame in frames:
            sock.send(bytes.fromhex(frame))


if __name__ == "__main__":
    if sys.argv[2] == "send":
        send(sys.argv[1], sys.argv[3:])
    else:
        receive(sys.argv[1], float(sys.argv[3]))
