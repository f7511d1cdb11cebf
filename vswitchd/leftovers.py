"""What is left in the run directory of bridges that were deleted while no vswitchd was there.

A bridge's files go with it; nobody took these.  Only what is known to be a vswitchd's goes: files
that begin as ours do, and sockets at which nobody listens.
"""

import contextlib
import os
import socket
import stat
from collections.abc import Collection, Iterator

import ovs.vlog

from pyvs import rundir
from pyvs.streams.short_path import ShortPath

vlog = ovs.vlog.Vlog("bridge")

_BEGINNINGS = {
    ".flows": b"pyvs-flows ",
    ".protocols": b"pyvs-kept ",
    ".protocols.new": b"pyvs-kept ",
}
_SOCKETS = (".mgmt", ".snoop")


def remove(bridges: Collection[str]) -> None:
    """`bridges`: those that there are."""
    for path in _found(bridges):
        with contextlib.suppress(OSError):
            os.unlink(path)
            vlog.info(f"{path}: removed, there is no such bridge any more")


def _found(bridges: Collection[str]) -> Iterator[str]:
    for name in os.listdir(rundir.rundir()):
        for suffix in (*_BEGINNINGS, *_SOCKETS):
            bridge = name.removesuffix(suffix)
            if bridge and bridge != name and bridge not in bridges:
                path = rundir.path(name)
                if _is_dead(path) if suffix in _SOCKETS else _begins(path, _BEGINNINGS[suffix]):
                    yield path


def _begins(path: str, beginning: bytes) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode) and os.read(fd, len(beginning)) == beginning
    except OSError:
        return False
    finally:
        os.close(fd)


def _is_dead(path: str) -> bool:
    """Whether it is a socket that refuses us."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return False
        with socket.socket(socket.AF_UNIX) as probe, ShortPath(path) as short:
            probe.setblocking(False)
            probe.connect(short)
    except ConnectionRefusedError:
        return True
    except OSError:
        pass
    return False
