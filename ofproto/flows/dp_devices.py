"""The devices that the datapath made for the host, kept for the process after this one.

A TAP is there as long as anybody has its descriptor.  vswitchd has one, too: when a datapath
process dies, the device stays, with its addresses and routes and wherever it was moved, and the
next process gets it with its port.
"""

import os
from typing import Any

import ovs.vlog

from datapath.ipc.dpif import DpifError

vlog = ovs.vlog.Vlog("dpif_netdev")

# Types whose devices the datapath makes.
MADE = ("internal", "tap")


BUSY_MS = 1000  # between two tries


class BusyPorts:
    """Ports, by number, that could not be added again because their devices are somebody's yet:
    the kernel takes its time with the sockets of a datapath process that was killed."""

    def __init__(self) -> None:
        self._numbers: set[int] = set()
        self._next = 0

    def add(self, number: int, now: int) -> bool:
        """Try it again, a second from now; whether it is a new one."""
        is_new = number not in self._numbers
        if not self._numbers:
            self._next = now + BUSY_MS
        self._numbers.add(number)
        return is_new

    def drop(self, number: int) -> None:
        """It is there, or is nobody's any more."""
        self._numbers.discard(number)

    def due(self, now: int) -> list[int]:
        """Those to try now; whoever tries says what became of each."""
        if not self._numbers or now < self._next:
            return []
        self._next = now + BUSY_MS
        return sorted(self._numbers)

    def next_run(self) -> int | None:
        return self._next if self._numbers else None

    def clear(self) -> None:
        """Another datapath process is asked for all ports."""
        self._numbers.clear()


class KeptDevices:
    """Descriptors by the names of ports."""

    def __init__(self) -> None:
        self._fds: dict[str, int] = {}

    def keep(self, dpif: Any, name: str, type_: str, number: int) -> None:
        """Keep the device of a port that the datapath has.  Raises OSError when the connection to
        it breaks."""
        if type_ not in MADE:
            return
        self.let_go(name)
        try:
            self._fds[name] = dpif.port_device(number)
        except DpifError as error:  # a veth pair, which stays anyway, or no descriptor was free
            vlog.dbg(f"{name}: its device is not kept ({error.strerror})")

    def put_back(self, dpif: Any, name: str, type_: str, number: int, options: Any) -> None:
        """Add a port again, with its device where that was kept.  Raises DpifError, OSError."""
        device = self._fds.get(name)
        if device is not None:
            try:
                dpif.port_add(name, type_, number, options, device)
                return
            except DpifError as error:
                vlog.info(f"{name}: its device is let go ({error.strerror})")
        self.let_go(name)
        dpif.port_add(name, type_, number, options)
        self.keep(dpif, name, type_, number)

    def let_go(self, name: str) -> None:
        """The device goes once the datapath has not got it any more.  Idempotent."""
        fd = self._fds.pop(name, None)
        if fd is not None:
            os.close(fd)

    def close(self) -> None:
        """Let go of all of them.  Idempotent."""
        for name in list(self._fds):
            self.let_go(name)
