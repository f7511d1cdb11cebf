"""One daemon of a name in a run directory, from the decision to start it on.

A pid file tells of a daemon that serves.  While its monitor waits between the death of one and
the birth of the next, and while a program is loaded, there is none: whoever starts a second one
then, or thinks that there is nothing to stop, is wrong.  So a lock stands beside the pid file,
.NAME.pid.~lock~.  It belongs to an open file, not to a process (fcntl(2), open file description
locks): starter, monitor and daemon share it by inheritance, and it is free when the last of them is
gone, however it went.  The file holds the id of the process at their head, which ends the others
when it gets SIGTERM.
"""

import contextlib
import errno
import fcntl
import os
import stat
import struct

# To a program that is started: the descriptor of a lock that was taken for it.
VARIABLE = "PYVS_INSTANCE_LOCK"

_FLOCK = "hhqqi4x"  # struct flock
_NO_OTHER = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # no link, and no wait for a FIFO


class _State:
    own: "Lock | None" = None  # this daemon's


def lock_path(pidfile: str) -> str:
    """The lock of the daemon with this pid file."""
    directory, name = os.path.split(pidfile)
    return os.path.join(directory, f".{name}.~lock~")


class Lock:
    """A lock that was taken: `close()` gives up this process' share of it."""

    def __init__(self, fd: int):
        self.fd = fd

    def tell(self, pid: int) -> None:
        """Whom to end when the daemon is to end."""
        with contextlib.suppress(OSError):
            os.ftruncate(self.fd, 0)
            os.pwrite(self.fd, b"%d\n" % pid, 0)

    def environment(self) -> dict[str, str]:
        """For the program that is to have it; the descriptor must be passed on as well."""
        return {VARIABLE: str(self.fd)}

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


def take(pidfile: str) -> Lock | None:
    """The lock, or None: it is somebody's.  Raises OSError."""
    path = lock_path(pidfile)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | _NO_OTHER, 0o600)
    try:
        _be_a_file(path, fd)
        _belong_to_directory(path, fd)
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _query())
    except OSError as error:
        os.close(fd)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return None
        raise
    return Lock(fd)


def be_the_one(pidfile: str) -> bool:
    """Take the lock for this process and its children, unless whoever started it did; False:
    another daemon has it.  Raises OSError."""
    _State.own = _inherited(pidfile) or take(pidfile)
    lead()
    return _State.own is not None


def lead() -> None:
    """This process is now the head."""
    if _State.own:
        _State.own.tell(os.getpid())


def leave() -> None:
    """For a child that may outlive the daemon."""
    if _State.own:
        _State.own.close()
        _State.own = None


def _inherited(pidfile: str) -> Lock | None:
    """The lock that whoever started this program took for it."""
    given = os.environ.pop(VARIABLE, "")
    if not given.isdigit():
        return None
    try:
        if not os.path.samestat(os.stat(lock_path(pidfile)), os.fstat(int(given))):
            return None
    except OSError:
        return None
    os.set_inheritable(int(given), False)
    return Lock(int(given))


def head(pidfile: str) -> int | None:
    """The process at the head of those that have the lock: 0 while it is not known, None while
    nobody has it.  Raises OSError where that may not be asked."""
    path = lock_path(pidfile)
    try:
        fd = os.open(path, os.O_RDONLY | _NO_OTHER)
    except FileNotFoundError:
        return None
    try:
        kind = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _query()))[0]
        if kind == fcntl.F_UNLCK:
            return None
        text = os.pread(fd, 32, 0).strip()
        pid = int(text) if text.isdigit() else 0
        return pid if pid and _has_open(pid, os.fstat(fd)) else 0
    finally:
        os.close(fd)


def _query() -> bytes:
    return struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


def _has_open(pid: int, file: os.stat_result) -> bool:
    """Whether it is that process, and not one that got its number later."""
    directory = f"/proc/{pid}/fd"
    try:
        names = os.listdir(directory)
    except OSError:
        return False
    for name in names:
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(f"{directory}/{name}"), file):
                return True
    return False


def _be_a_file(path: str, fd: int) -> None:
    """And by no other name: who may write in the directory is not to have another file of ours."""
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        raise OSError(errno.EPERM, "not a file of its own", path)


def _belong_to_directory(path: str, fd: int) -> None:
    """A daemon that becomes another user takes the lock again when it is started anew."""
    if os.geteuid() == 0:
        owner = os.stat(os.path.dirname(path))
        with contextlib.suppress(OSError):
            os.fchown(fd, owner.st_uid, owner.st_gid)
