"""Paths of unix sockets that are longer than an address may be."""

import contextlib
import errno
import os
from collections.abc import Iterator

_SUN_PATH = 108


@contextlib.contextmanager
def short_path(path: str) -> Iterator[str]:
    """A name of a socket's file that fits into an address, by its directory where needed.
    OSError for a path that cannot be."""
    if "\0" in path:
        raise OSError(errno.EINVAL, "a path with a NUL")
    if len(os.fsencode(path)) < _SUN_PATH:
        yield path
        return
    directory, name = os.path.split(path)
    fd = os.open(directory or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        short = f"/proc/self/fd/{fd}/{name}"
        if len(os.fsencode(short)) >= _SUN_PATH:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        yield short
    finally:
        os.close(fd)
