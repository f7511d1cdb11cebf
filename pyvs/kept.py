"""What a daemon knew when it died, for the one that follows: a small file in the run directory.

It is JSON behind a line that says of which boot it is, when it was written and how it sums up; it
is written beside the old one, which it then replaces.  It outlives the process and not the machine:
nothing is synced.  What is torn, of another boot, or of another version is as if it were not there.
"""

import contextlib
import os
import stat
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import ovs.vlog

vlog = ovs.vlog.Vlog("kept")

MAGIC = "pyvs-kept 1"
LARGEST = 32 << 20  # bytes that are read


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "-"


def _read(path: str) -> bytes:
    """Raises OSError; ValueError for what is no file, and might have us wait."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("no file")
        with open(fd, "rb", closefd=False) as file:
            return file.read(LARGEST)
    finally:
        os.close(fd)


def _open_new(path: str) -> BinaryIO:
    """A file that is nobody else's: what stands there, torn or no file at all, goes."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, 0o600)
    except FileExistsError:
        os.unlink(path)
        fd = os.open(path, flags, 0o600)
    return open(fd, "wb")


class KeptFile:
    """`path` None: nothing is kept."""

    def __init__(self, path: str | None):
        self.path = path
        self._is_there = path is not None and os.path.exists(path)

    def read(self) -> tuple[dict[str, Any], int] | None:
        """What was kept, and how many ms ago; None where there is nothing to go by."""
        if self.path is None or not self._is_there:
            return None
        try:
            head, _, body = _read(self.path).partition(b"\n")
            return self._parse(head.decode(), body)
        except (OSError, ValueError) as error:
            vlog.info(f"{self.path}: ignored ({error})")
            return None

    @staticmethod
    def _parse(head: str, body: bytes) -> tuple[dict[str, Any], int]:
        magic, boot, when, check = head.rsplit(" ", 3)
        if magic != MAGIC or boot != _boot_id():
            raise ValueError("of another boot or version")
        if int(check) != zlib.crc32(body):
            raise ValueError("torn")
        age = time.monotonic_ns() - int(when)
        found = orjson.loads(body)
        if age < 0 or not isinstance(found, dict):
            raise ValueError("not ours")
        return found, age // 1_000_000

    def write(self, values: dict[str, Any]) -> None:
        """Replace what is there; nothing to keep: no file."""
        if self.path is None:
            return
        if not values:
            self.remove()
            return
        body = orjson.dumps(values)
        head = f"{MAGIC} {_boot_id()} {time.monotonic_ns()} {zlib.crc32(body)}\n"
        new = self.path + ".new"
        with _open_new(new) as file:
            file.write(head.encode() + body)
        os.replace(new, self.path)
        self._is_there = True

    def remove(self) -> None:
        if self.path is not None and self._is_there:
            self._is_there = False
            with contextlib.suppress(OSError):
                os.unlink(self.path)


class Recalled:
    """Things by name that something before this process knew, each to be taken once and before
    `until`, in ms of the clock."""

    def __init__(self, values: Mapping[str, Any] | None = None, until: int = 0):
        self._values = dict(values or {})
        self._until = until

    def take(self, name: str, now: int) -> Any:
        """None: there is nothing, or not any more."""
        if now >= self._until:
            self._values.clear()
        return self._values.pop(name, None)
