"""python -m demo.ovn.web serve NAME PORT | ask ADDRESS PORT: who answers there, by TCP."""

import os
import socket
import sys


def serve(name, port):
    """Say a name to whoever connects; in the background, once the port is open."""
    with socket.create_server(("", int(port))) as listener:
        if os.fork():
            return 0
        for descriptor in range(3):
            os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
        while True:
            client, _ = listener.accept()
            with client:
                client.sendall(f"{name}\n".encode())


def ask(address, port):
    with socket.create_connection((address, int(port)), timeout=2) as server:
        print(server.makefile().readline().strip())
    return 0


if __name__ == "__main__":
    try:
        sys.exit({"serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:]))
    except OSError as error:
        sys.exit(f"{sys.argv[2]}: {error}")
