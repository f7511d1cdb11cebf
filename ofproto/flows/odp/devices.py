"""The devices that the datapath made for the host, kept for the process after this one.

A TAP is there as long as anybody has its descriptor.  vswitchd has one, too: when a datapath
process dies, the device stays, with its addresses and routes and wherever it was moved, and the
next process gets it with its port.
"""

import errno
import os
from typing import Any

import ovs.vlog

from datapath.ipc.dpif import DpifError

vlog = ovs.vlog.Vlog("dpif_netdev")

# Types whose devices the datapath makes.
MADE = ("internal", "tap")


BUSY_MS, MOST_BUSY_MS = 50, 32000  # between two tries, of one port


class BusyPorts:
    """Ports, by number, that could not be added again because their devices are somebody's yet:
    the kernel takes its time with the sockets of a datapath process that was killed.

    A try keeps us for some milliseconds: one port is tried at a time, and the more seldom the more
    often it was in vain.
    """

    def __init__(self) -> None:
        self._ports: dict[int, tuple[int, int]] = {}  # number: when to try, the pause before
        self._next = 0  # when to try any

    def __bool__(self) -> bool:
        return bool(self._ports)

    def add(self, number: int, now: int) -> bool:
        """Try it again, soon; whether it is a new one."""
        if number in self._ports:
            return False
        self._ports[number] = now + BUSY_MS, BUSY_MS
        return True

    def drop(self, number: int) -> None:
        """It is there, or is nobody's any more."""
        self._ports.pop(number, None)

    def due(self, now: int) -> int | None:
        """The one to try now; tried() has to follow."""
        when, number = self._first()
        return number if number is not None and max(when, self._next) <= now else None

    def tried(self, number: int, now: int) -> None:
        """If drop() was not said, it is busy yet."""
        self._next = now + BUSY_MS
        if number in self._ports:
            pause = min(2 * self._ports[number][1], MOST_BUSY_MS)
            self._ports[number] = now + pause, pause

    def _first(self) -> tuple[int, int | None]:
        return min(((when, number) for number, (when, _) in self._ports.items()), default=(0, None))

    def next_run(self) -> int | None:
        when, number = self._first()
        return None if number is None else max(when, self._next)

    def clear(self) -> None:
        """Another datapath process is asked for all ports."""
        self._ports.clear()


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
        """Add a port again, with its device where that was kept.  Raises DpifError, OSError; EBUSY
        at once, since who asks comes again (BusyPorts)."""
        device = self._fds.get(name)
        if device is not None:
            try:
                dpif.port_add(name, type_, number, options, device)
                return
            except DpifError as error:
                if error.errno in (errno.EBUSY, errno.EEXIST):  # the device is not what is wrong
                    raise
                vlog.info(f"{name}: its device is let go ({error.strerror})")
        self.let_go(name)
        dpif.port_add(name, type_, number, options, patient=False)
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
