"""Files that others name, in a command or in the database, opened by a daemon's only thread.

A FIFO would hold it up until somebody writes, a device like /dev/zero without end.
"""

import errno
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

LONGEST = 1 << 16  # bytes of a line


def open_regular(path: str, flags: int = os.O_RDONLY) -> int:
    """A descriptor of a regular file, or of what a link leads to; OSError for anything else, a
    name that no file can have included."""
    try:
        fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # a byte of zero, or half of a surrogate pair
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return fd


def read_regular(path: str, most: int) -> bytes:
    """The contents of a regular file of at most so many bytes.  Raises OSError."""
    with reader(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        return file.read(most)


def lines_of(path: str, most: int) -> Iterator[str]:
    """The lines of such a file, without their ends, read as they are asked for.  Raises OSError,
    when the first one is asked for, and in place of a line of more than LONGEST bytes."""
    with reader(path) as file:
        too_large = OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        if os.fstat(file.fileno()).st_size > most:
            raise too_large
        left = most
        while left > 0 and (line := file.readline(min(LONGEST + 1, left))):
            left -= len(line)
            if not line.endswith(b"\n") and (len(line) > LONGEST or file.read(1)):
                raise too_large  # a part of a line may mean something else
            yield line.decode(errors="replace").rstrip("\r\n")


def reader(path: str) -> BinaryIO:
    """A regular file, open to be read.  Raises OSError."""
    return open(open_regular(path), "rb")
