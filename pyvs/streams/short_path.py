"""Paths of unix sockets that are longer than an address may be.

Commands that begin by the thousand import this: no `contextlib`, which takes longer than they do.
"""

import errno
import os

_SUN_PATH = 108


class ShortPath:
    """`with ShortPath(path) as short`: a name of a socket's file that fits into an address, by its
    directory where needed.  OSError for a path that cannot be."""

    def __init__(self, path: str):
        self._path = path
        self._directory = -1

    def __enter__(self) -> str:
        if "\0" in self._path:
            raise OSError(errno.EINVAL, "a path with a NUL")
        if len(os.fsencode(self._path)) < _SUN_PATH:
            return self._path
        directory, name = os.path.split(self._path)
        fd = os.open(directory or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        short = f"/proc/self/fd/{fd}/{name}"
        if len(os.fsencode(short)) >= _SUN_PATH:
            os.close(fd)
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        self._directory = fd
        return short

    def __exit__(self, *_exception: object) -> None:
        if self._directory >= 0:
            os.close(self._directory)
