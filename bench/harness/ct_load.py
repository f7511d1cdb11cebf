"""Load for the benchmarks of connection tracking (run inside a container).

    python -m bench.harness.ct_load answer IFACE SRC_MAC DST_MAC FLOWS     answers to generator.py
    python -m bench.harness.ct_load steady IFACE SRC_MAC DST_MAC RATE SECONDS  its first flow
    python -m bench.harness.ct_load many IFACE SRC_MAC DST_MAC COUNT       UDP of so many sources
    python -m bench.harness.ct_load flood IFACE SRC_MAC DST_MAC SECONDS    SYNs of random sources
    python -m bench.harness.ct_load serve PORT                               accepts and closes
    python -m bench.harness.ct_load connect ADDRESS PORT SECONDS             connects and closes
    python -m bench.harness.ct_load probe ADDRESS SECONDS                    round trips, 1 ms apart

Each prints a number, probe the longest and the 99th hundredth in ms; UDP is sent to port 9.
"""

import random
import socket
import struct
import sys
import time

from bench.harness.generator import BATCH, Batch, frame, ones_complement

SOURCES = 60000  # ports of an address that `many` uses
UDP, TCP = 17, 6


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


class Sender:
    """A batch of frames whose bytes may change between sends."""

    def __init__(self, interface: str, frames: list[bytes]) -> None:
        self._batch = Batch(frames)
        self.buffers = self._batch.buffers
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.bind((interface, 0))

    def send(self) -> int:
        return self._batch.send(self._socket, 0, len(self.buffers))


def ip(src: bytes, dst: bytes, proto: int, size: int) -> bytes:
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + size, 0, 0, 64, proto, 0, src, dst)
    return header[:10] + struct.pack("!H", ones_complement(header)) + header[12:]


def udp_frame(src_mac, dst_mac, src, dst, sport, dport):
    l3 = ip(bytes(src), bytes(dst), UDP, 26)
    return (
        dst_mac + src_mac + b"\x08\x00" + l3 + struct.pack("!HHHH", sport, dport, 26, 0) + bytes(18)
    )


def answer(interface, src_mac, dst_mac, flows):
    frames = [
        udp_frame(mac(src_mac), mac(dst_mac), (10, 0, 0, 2), (10, 0, 0, 1), 9, 1024 + flow)
        for flow in range(int(flows))
    ]
    sent = 0
    for at in range(0, len(frames), BATCH):
        sent += Sender(interface, frames[at : at + BATCH]).send()
        time.sleep(0.002)
    print(sent)


def steady(interface, src_mac, dst_mac, rate, seconds):
    sender = Sender(interface, [frame(mac(src_mac), mac(dst_mac), 0)] * 8)
    total, begin = 0, time.monotonic()
    while (now := time.monotonic() - begin) < float(seconds):
        if total < now * int(rate):
            total += sender.send()
        else:
            time.sleep(0.0005)
    print(total)


def many(interface, src_mac, dst_mac, count):
    total, net = 0, 0
    while total < int(count):
        net += 1
        one = udp_frame(mac(src_mac), mac(dst_mac), (10, 1, 0, net), (10, 0, 0, 2), 0, 9)
        sender = Sender(interface, [one] * BATCH)
        for port in range(1, min(SOURCES, int(count) - total + BATCH), BATCH):
            for index, buffer in enumerate(sender.buffers):
                struct.pack_into("!H", buffer, 34, port + index)
            total += sender.send()
            time.sleep(0.0005)  # what comes faster than connections are made is lost
    print(total)


def flood(interface, src_mac, dst_mac, seconds):
    def syn():
        src, dst = bytes((11, *random.randbytes(3))), bytes((10, 0, 0, 1))
        tcp = struct.pack("!HHIIBBHHH", random.randrange(1, 65536), 80, 1, 0, 0x50, 2, 999, 0, 0)
        whole = ones_complement(src + dst + struct.pack("!HH", TCP, len(tcp)) + tcp)
        l3 = ip(src, dst, TCP, len(tcp))
        return (
            mac(dst_mac) + mac(src_mac) + b"\x08\x00" + l3 + tcp[:16] + struct.pack("!HH", whole, 0)
        )

    senders = [Sender(interface, [syn() for _ in range(BATCH)]) for _ in range(400)]
    total, end = 0, time.monotonic() + float(seconds)
    while time.monotonic() < end:
        for sender in senders:
            total += sender.send()
    print(total)


def serve(port):
    with socket.create_server(("", int(port)), backlog=1024) as listener:
        print("ready", flush=True)
        while True:
            listener.accept()[0].close()


def connect(address, port, seconds):
    done, end = 0, time.monotonic() + float(seconds)
    while time.monotonic() < end:
        with socket.socket() as one:
            one.settimeout(5)
            # No TIME_WAIT, of which there are as many as ports.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.connect((address, int(port)))
            one.recv(1)
        done += 1
    print(done)


def probe(address, seconds):
    """ICMP, of one connection."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.settimeout(1)
        body = struct.pack("!BBHHH", 8, 0, 0, 77, 1)
        body = body[:2] + struct.pack("!H", ones_complement(body)) + body[4:]
        times, end = [], time.monotonic() + float(seconds)
        while time.monotonic() < end:
            begin = time.monotonic()
            raw.sendto(body, (address, 0))
            while raw.recv(2048)[20:22] != b"\0\0":
                pass
            times.append(time.monotonic() - begin)
            time.sleep(0.001)
    times.sort()
    print(f"{times[-1] * 1000:.3f} {times[len(times) * 99 // 100] * 1000:.3f}")


COMMANDS = {f.__name__: f for f in (answer, steady, many, flood, serve, connect, probe)}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
