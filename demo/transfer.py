"""A TCP transfer that is checked to the last byte, and whose rate is seen while it runs.

    python -m demo.transfer receive PORT           prints BYTES SHA256 when the sender is done
    python -m demo.transfer send HOST PORT SECONDS prints a rate each half second, then the same

The data is a counter, so that a lost, doubled or reordered piece changes the digest.
"""

import hashlib
import socket
import sys
import time

BLOCK = 256 * 1024


def receive(port: int) -> None:
    """Take one connection, and read it to its end."""
    digest, total = hashlib.blake2b(), 0
    with socket.create_server(("0.0.0.0", port)) as server:
        connection, _ = server.accept()
        buffer = bytearray(BLOCK)
        with connection:
            while count := connection.recv_into(buffer):
                digest.update(memoryview(buffer)[:count])
                total += count
    print(total, digest.hexdigest()[:32], flush=True)


def send(host: str, port: int, seconds: float) -> None:
    """Send for some seconds as fast as the other side takes it."""
    digest, total, shown, block = hashlib.blake2b(), 0, 0, bytearray(BLOCK)
    with socket.create_connection((host, port), timeout=30) as connection:
        start = mark = time.monotonic()
        while (now := time.monotonic()) < start + seconds:
            block[:8] = total.to_bytes(8, "big")
            connection.sendall(block)
            digest.update(block)
            total += len(block)
            if now - mark >= 0.5:
                rate = (total - shown) * 8 / (now - mark) / 1e9
                print(f"{now - start:4.1f} s  {rate:5.2f} Gbit/s", flush=True)
                mark, shown = now, total
    print(total, digest.hexdigest()[:32], flush=True)


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
