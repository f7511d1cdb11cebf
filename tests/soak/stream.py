"""One end of a stream whose pauses are measured; run inside a container.

    python -m tests.soak.stream send udp|tcp ADDRESS PORT
    python -m tests.soak.stream receive udp|tcp PORT PAUSES

A message each millisecond: of 100 bytes over UDP, of 32 KiB over TCP.  It tells for how long its
sender has not had the processor, which is no fault of the way.  The receiver writes a line for
each pause of 10 ms or more into the file PAUSES: begin and end (seconds since the epoch) and its
length, less what the sender slept in it.  Of UDP the kernel's time of arrival counts.
"""

import contextlib
import os
import socket
import struct
import sys
import time

INTERVAL = 0.001
SHORTEST = 0.01
SIZES = {"udp": 100, "tcp": 32 << 10}
HEAD = struct.Struct("!d")  # seconds in which the sender has slept too long, all together
TIMESPEC = struct.Struct("=qq")
SO_TIMESTAMPNS = 35
KINDS = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}


def come_first() -> None:
    """Before others who want the processor: it is the way that is measured, not they."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def send(kind: str, address: str, port: int) -> None:
    filling, overslept = bytes(SIZES[kind] - HEAD.size), 0.0
    with socket.socket(socket.AF_INET, KINDS[kind]) as sock:
        sock.connect((address, port))
        before = time.monotonic()
        while True:
            time.sleep(INTERVAL)
            overslept += time.monotonic() - before - INTERVAL
            with contextlib.suppress(ConnectionRefusedError):  # of UDP, from long ago
                sock.sendall(HEAD.pack(overslept) + filling)
            before = time.monotonic()


def datagrams(port: int):
    """Iterator of (when it came, the message's head)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.bind(("0.0.0.0", port))
        while True:
            data, [(_, _, stamp)], _, _ = sock.recvmsg(SIZES["udp"], 64)
            seconds, nanoseconds = TIMESPEC.unpack(stamp)
            yield seconds + nanoseconds / 1e9, data[: HEAD.size]


def blocks(port: int):
    with socket.create_server(("0.0.0.0", port)) as server:
        connection, _ = server.accept()
    with connection:
        while len(data := connection.recv(SIZES["tcp"], socket.MSG_WAITALL)) == SIZES["tcp"]:
            yield time.time(), data[: HEAD.size]


def receive(kind: str, port: int, path: str) -> None:
    last = known = None
    with open(path, "w", buffering=1) as pauses:
        for now, head in (datagrams if kind == "udp" else blocks)(port):
            [overslept] = HEAD.unpack(head)
            if last is not None and (length := now - last - (overslept - known)) >= SHORTEST:
                pauses.write(f"{last} {now} {length}\n")
            last, known = now, overslept


def main() -> None:
    what, kind, *words = sys.argv[1:]
    come_first()
    if what == "send":
        send(kind, words[0], int(words[1]))
    else:
        receive(kind, int(words[0]), words[1])


if __name__ == "__main__":
    main()
