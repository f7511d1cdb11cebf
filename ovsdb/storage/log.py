"""OVSDB's log format (ovsdb(5)): records of JSON with their length and SHA-1, appended.

    OVSDB JSON <length> <sha1>\\n
    <json>\\n

Length and hash count the final line feed.  A record that is not whole at the end of a file
is what a crash in the middle of a write leaves, and is cut off; one that is followed by a
good record is damage, and is refused.
"""

import errno
import os
import re
from collections.abc import Iterator
from hashlib import sha1
from typing import Any

import orjson

from ovsdb.data.errors import OvsdbError
from ovsdb.storage.sha1 import record
from pyvs.named_files import reader

HEADER = re.compile(rb"OVSDB ([A-Z]{1,16}) (\d{1,12}) ([0-9a-f]{40})\n")
NEXT_HEADER = re.compile(rb"OVSDB [A-Z]{1,16} (\d{1,12}) [0-9a-f]{40}\n")
MAGIC = b"JSON"


def io_error(details: str, error: OSError) -> OvsdbError:
    """A failed system call as an OVSDB error."""
    text = os.strerror(error.errno) if error.errno else str(error)
    return OvsdbError("I/O error", f"{details} ({text})", **{"io-error": text})


def encode_record(json: Any) -> bytes:
    """The bytes of one record."""
    return record(orjson.dumps(json))


class TornRecord(Exception):
    """What follows `offset` is not a whole record, and no good record follows it."""

    def __init__(self, offset: int, reason: str):
        super().__init__(f"{reason} at offset {offset}")
        self.offset = offset


def _one_record(data: bytes, offset: int, path: str) -> tuple[bytes, int]:
    """The JSON text of the record at `offset` and where the next begins; ValueError."""
    header = HEADER.match(data, offset)
    if header is None:
        raise ValueError("no record header")
    magic, length, digest = header.groups()
    if magic != MAGIC:
        raise OvsdbError(
            "ovsdb error",
            f"{path}: cannot open log file of type {magic.decode()} (at offset {offset}): only"
            f" standalone databases (type {MAGIC.decode()}) are supported",
        )
    end = header.end() + int(length)
    if end > len(data):
        raise ValueError(f"record of {end - offset} bytes is cut off after {len(data) - offset}")
    text = data[header.end() : end]
    if sha1(text).hexdigest().encode() != digest:
        raise ValueError("SHA-1 of the record does not match")
    return text, end


def good_record_after(data: bytes, offset: int, path: str) -> int | None:
    """The offset of a good record somewhere after `offset`.

    What looks like a record, and would be one of the whole rest, can stand there any number of
    times: no more is hashed than a few times the file.
    """
    budget = 4 * len(data)
    for header in NEXT_HEADER.finditer(data, offset + 1):
        budget -= int(header[1])
        try:
            _one_record(data, header.start(), path)
        except (ValueError, OvsdbError):
            if budget < 0:
                break
            continue
        return header.start()
    return None


def _damaged(path: str, what: str, offset: int, good: int | None) -> OvsdbError:
    """Says what was found, and what can be done about it."""
    follows = f", but a good record follows at offset {good}" if good is not None else ""
    if offset:
        advice = (
            "restore a backup, or keep what is before the damage:"
            f" 'cp {path} {path}.damaged && truncate -s {offset} {path}'"
        )
    else:
        advice = f"restore a backup, or begin with an empty database: 'mv {path} {path}.damaged'"
    return OvsdbError(
        "ovsdb error",
        f"{path}: {what} at offset {offset}{follows}: the file is damaged; {advice}",
    )


def read_records(data: bytes, path: str) -> Iterator[tuple[int, Any]]:
    """The (offset, JSON value) of each record of a file.

    Raises TornRecord at an incomplete end, OvsdbError when there is damage before the end.
    """
    offset = 0
    while offset < len(data):
        try:
            text, end = _one_record(data, offset, path)
            json = orjson.loads(text)
        except ValueError as error:  # orjson's is one, too
            good = good_record_after(data, offset, path)
            if good is None and offset > 0:
                raise TornRecord(offset, str(error)) from None
            raise _damaged(path, str(error), offset, good) from None
        yield offset, json
        offset = end


def first_record(path: str) -> tuple[str, Any]:
    """(magic, JSON value) of the first record of a file: JSON is a standalone database's
    schema, CLUSTER a member's header.  Raises OvsdbError."""
    try:
        with reader(path) as file:
            line = file.readline(100)
            header = HEADER.fullmatch(line)
            text = file.read(int(header[2])) if header else b""
    except OSError as error:
        raise io_error(f"{path}: open failed", error) from error
    if header is None or sha1(text).hexdigest().encode() != header[3]:
        raise OvsdbError("ovsdb error", f"{path}: cannot identify file type")
    try:
        json = orjson.loads(text)
    except ValueError as error:
        raise OvsdbError("ovsdb error", f"{path}: {error}") from error
    return header[1].decode(), json if type(json) is dict else {}


def sync_directory(path: str) -> None:
    """Make the name of a new or renamed file durable."""
    fd = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class LogWriter:
    """Appends records to a file; a record is whole in the file, or not there at all.

    `size` is the length of the good records.  The descriptor belongs to this object.
    """

    def __init__(self, fd: int, path: str, size: int):
        self.fd = fd
        self.path = path
        self.size = size
        self._dirty = False  # bytes of a failed write may follow `size`
        # The file was renamed, and its name may be that of the old one after a crash.
        self.name_unsynced = False

    def append(self, record: bytes, durable: bool) -> None:
        """Write a record; returns once the kernel has it, or the disk when `durable`.

        Raises OvsdbError ("I/O error"), and the record does not count, when that fails.
        """
        try:
            if self._dirty:
                os.ftruncate(self.fd, self.size)
                self._dirty = False
            written = os.pwrite(self.fd, record, self.size)
            if written != len(record):
                self._write_rest(memoryview(record)[written:], self.size + written)
            if durable:
                os.fdatasync(self.fd)
                if self.name_unsynced:
                    self.sync_name()
        except OSError as error:
            self._cut()
            raise io_error(f"{self.path}: write failed", error) from error
        except BaseException:
            self._dirty = True
            raise
        self.size += len(record)

    def sync_name(self) -> None:
        """Make the file's name durable.  OSError, and it is tried again with each durable record,
        which cannot be had before."""
        self.name_unsynced = True
        sync_directory(self.path)
        self.name_unsynced = False

    def _write_rest(self, left: memoryview, at: int) -> None:
        while left:
            written = os.pwrite(self.fd, left, at)
            if written == 0:
                raise OSError(errno.ENOSPC, "short write")
            left, at = left[written:], at + written

    def _cut(self) -> None:
        self._dirty = True
        try:
            os.ftruncate(self.fd, self.size)
        except OSError:
            return  # tried again before the next record
        self._dirty = False

    def close(self) -> None:
        """Close the file."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
