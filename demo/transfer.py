"""A TCP transfer that is checked to the last byte, and whose rate is seen while it runs.

    python -m demo.transfer receive PORT           prints how many bytes came as they were sent
    python -m demo.transfer send HOST PORT SECONDS prints a rate each half second, then the same

Each block begins with its number, so that a lost, doubled or reordered piece is noticed; they
are compared whole, as a digest would take more time than the switch.
"""

import signal
import socket
import sys
import time

BLOCK = 256 * 1024
NUMBER = 8  # bytes, big endian
FILLING = bytes(range(256)) * (BLOCK // 256)


def new_block() -> bytearray:
    return bytearray(FILLING)


def set_number(block: bytearray, number: int) -> None:
    block[:NUMBER] = number.to_bytes(NUMBER, "big")


def receive(port: int) -> None:
    """Take one connection, and read it to its end."""
    received, expected, number = bytearray(BLOCK), new_block(), 0
    with socket.create_server(("0.0.0.0", port)) as server:
        connection, _ = server.accept()
        with connection:
            while size := connection.recv_into(received, BLOCK, socket.MSG_WAITALL):
                set_number(expected, number)
                if size < BLOCK or received != expected:
                    sys.exit(f"block {number} is not what was sent")
                number += 1
    print(f"{number * BLOCK} bytes, all of them right", flush=True)


def send(host: str, port: int, seconds: float) -> None:
    """Send for some seconds, or until SIGINT, as fast as the other side takes it."""
    block, number, shown = new_block(), 0, 0
    interrupts: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: interrupts.append(number))
    with socket.create_connection((host, port), timeout=30) as connection:
        start = mark = time.monotonic()
        while (now := time.monotonic()) < start + seconds and not interrupts:
            set_number(block, number)
            connection.sendall(block)
            number += 1
            if now - mark >= 0.5:
                rate = (number - shown) * BLOCK * 8 / (now - mark) / 1e9
                print(f"{now - start:4.1f} s  {rate:5.2f} Gbit/s", flush=True)
                mark, shown = now, number
    print(f"{number * BLOCK} bytes, all of them right", flush=True)


def main() -> None:
    words = sys.argv[1:]
    if len(words) == 2 and words[0] == "receive":
        receive(int(words[1]))
    elif len(words) == 4 and words[0] == "send":
        send(words[1], int(words[2]), float(words[3]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
