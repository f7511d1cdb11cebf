"""The daemons of a run directory: which of them run, and who starts them."""

import fcntl
import os
import struct

from pyvs import identity, rundir
from pyvs.process import instance
from pyvs_tools.command import Fatal

OVSDB_SERVER, DATAPATH, VSWITCHD = map(
    identity.program, ("pyvs-ovsdb-server", "pyvs-datapath", "pyvs-vswitchd")
)


def _locker(path):
    """The process that holds the lock of a pid file, or None.  The kernel knows it, so that a
    process that merely got the same id later is not taken for the daemon.  Raises Fatal where
    that may not be known: "is not running" would be a guess."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except PermissionError as error:
        raise Fatal(f"cannot read {path}: {error.strerror}") from None
    except OSError:
        return None
    try:
        query = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack("hhqqi4x", fcntl.fcntl(fd, fcntl.F_GETLK, query))
        return pid if kind != fcntl.F_UNLCK and pid > 0 else None
    finally:
        os.close(fd)


def running(name):
    """The process id of a daemon of this run directory, or None."""
    path = rundir.path(f"{name}.pid")
    locker = _locker(path)
    if locker is None:
        return None
    try:
        with open(path) as file:
            written = int(file.read())
    except (OSError, ValueError):
        return None
    return written if written == locker else None


def head(name):
    """The process that starts a daemon, or is about to start it again; 0 where it does not say,
    None: there is none."""
    path = rundir.path(f"{name}.pid")
    try:
        return instance.head(path)
    except OSError as error:
        raise Fatal(f"cannot read {instance.lock_path(path)}: {error.strerror}") from None
