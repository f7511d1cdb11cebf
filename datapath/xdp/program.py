"""The XDP program of a port: frames of a receive queue go to that queue's AF_XDP socket.

It is attached by a link (bpf(2), BPF_LINK_CREATE), which is as long as its descriptor: nothing is
left on the device when the process ends, however it does.  Frames of a queue without a socket go
where they would go without us.
"""

import os
import struct

from datapath.bpf import syscall
from datapath.bpf.instructions import R1, R2, R3, Code

RX_QUEUE_INDEX = 16  # in struct xdp_md
XDP_PASS = 2
SKB_MODE, DRV_MODE = 2, 4  # XDP_FLAGS_*
COPY, ZEROCOPY = 2, 4  # flags of a socket's bind()

# options:xdp-mode -> how the program is attached, how sockets are bound.  best-effort takes the
# first that the device can do.
MODES = {
    "native-with-zerocopy": (DRV_MODE, ZEROCOPY),
    "native": (DRV_MODE, COPY),
    "generic": (SKB_MODE, COPY),
}
BEST_EFFORT = "best-effort"


def modes_to_try(wanted: str) -> list[str]:
    """ValueError for a mode that there is not."""
    if wanted == BEST_EFFORT:
        return list(MODES)
    if wanted not in MODES:
        raise ValueError(f"xdp-mode: {wanted} is not one of {', '.join([BEST_EFFORT, *MODES])}")
    return [wanted]


def redirect() -> Code:
    """For the map "sockets"."""
    code = Code().load(R2, R1, RX_QUEUE_INDEX, 32).map(R1, "sockets").mov(R3, XDP_PASS)
    return code.call("redirect_map").exit()


class Attachment:
    """The program on a device, until close().  OSError where device or kernel do not let us."""

    def __init__(self, ifindex: int, n_queues: int, mode: str):
        self._fds: list[int] = []
        try:
            self.sockets = self._keep(
                syscall.map_create(syscall.XSKMAP, 4, 4, n_queues, "pyvs_sockets")
            )
            code = redirect().assemble({"sockets": self.sockets})
            program = self._keep(syscall.prog_load(syscall.XDP, code, "pyvs_xdp"))
            self._keep(syscall.link_create(program, ifindex, syscall.ATTACH_XDP, MODES[mode][0]))
        except OSError:
            self.close()
            raise

    def _keep(self, fd: int) -> int:
        self._fds.append(fd)
        return fd

    def give(self, queue: int, socket: int) -> None:
        """From now on the queue's frames go to this socket, which is bound to it."""
        key, value = struct.pack("=I", queue), struct.pack("=I", socket)
        syscall.map_update(self.sockets, key, value)

    def close(self) -> None:
        """Idempotent."""
        for fd in reversed(self._fds):
            os.close(fd)
        self._fds = []
