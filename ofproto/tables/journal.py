"""A bridge's flows and groups on disk, so that they outlive vswitchd.

The file is a log of FLOW_MODs and GROUP_MODs as they came, and of what else changed the tables;
replaying it makes the tables what they were.  It protects against the end of the process, not of
the machine: nothing is synced, and a log of another boot is ignored, as a switch starts empty
then.  Records are written together by flush(), which its owner calls before it tells anybody that
something was done.

Format: the line `pyvs-flows 1 BOOT_ID`, then records of HEADER (size and CRC-32 of what follows
the header, CLOCK_MONOTONIC in milliseconds), a byte that tells the kind, and the payload:

    F  an OpenFlow FLOW_MOD, with its version in its header
    T  the same, of a peer that puts the table's number into 1.0's command (NXT_FLOW_MOD_TABLE_ID)
    L  the same of a flow that a packet taught: without the OFPFF_RESET_COUNTS of 1.0's FLOW_MODs
    G  an OpenFlow GROUP_MOD
    M  an OpenFlow METER_MOD
    O  Nicira's TLV_TABLE_MOD
    P  a number of NUMBER_SIZE bytes, and whole messages of the bundle that has it
    E  that number: the bundle is done; without this its parts mean nothing
    C  nothing: all flows, groups and meters were deleted
    S  a byte that the owner keeps here

What the records mean to the tables is in flow_log.

Where a record is damaged, reading goes on with the next one that is whole.
"""

import contextlib
import errno
import mmap
import os
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import ovs.vlog

from pyvs import coverage

vlog = ovs.vlog.Vlog("journal")
DAMAGES = coverage.counter("journal_damaged")

Bytes = bytes | mmap.mmap

HEADER = struct.Struct("!IIQ")
FLOW_MOD, FLOW_MOD_TABLE_ID, GROUP_MOD, METER_MOD = b"F", b"T", b"G", b"M"
TAUGHT, CLEAR, STATE = b"L", b"C", b"S"
BUNDLE_PART, BUNDLE_END = b"P", b"E"
TLV_TABLE_MOD = b"O"
WAIT = b"-"  # given out between pieces of a large file
DAMAGED = b""  # given out where records were skipped, or are still looked for
NUMBER_SIZE = 8
MAX_RECORD = 1 << 18
MOST_UNWRITTEN = 1 << 18  # bytes of records that flush() is not waited for
COMPACT_SIZE = 1 << 20  # bytes below which nothing is compacted
COPY_SIZE = 1 << 20
SEARCH_SIZE = 1 << 18  # bytes that are searched, or summed up, at once: about a millisecond
CANDIDATE = 1 << 10  # bytes summed up in the time in which a place where one may begin is seen
MOST_SEARCHED = 1 << 30  # of all that, a second or two; the rest of the journal is lost
_KINDS = re.compile(b"[FTLGMOPECS]")
COMPACT_GROWTH = 4  # times the size after the last compaction


def _boot_id() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return "unknown"


def _first_line() -> bytes:
    return f"pyvs-flows 1 {_boot_id()}\n".encode()


class Journal:
    """The log at `path`, for its owner only.  Without a path nothing is kept."""

    def __init__(self, path: str | None):
        self.path = path
        self.size = 0
        self.n_records = 0
        self._fd = -1
        self._compacted = 0
        self.broken = False  # nothing is kept, because something could not be written
        self._unwritten: list[bytes] = []
        self._n_unwritten = 0  # bytes of these
        # While the log is written anew: the new one, how many records it has and the old one
        # had at the start, and where in the old one the records are that came since.
        self._scratch: IO[bytes] | None = None
        self._n_rewritten = self._n_before = self._tail = 0

    def replay(self) -> Iterator[tuple[bytes, int, bytes]]:
        """(kind, ms, payload) of each record; cuts off a torn tail, and opens for appending.
        Between them DAMAGED, also for each millisecond or so of looking for the next record, and
        WAIT while a large file is read."""
        if self.path is None:
            return
        data: Bytes = b""
        try:
            for data in _contents(self.path):
                if len(data) > COPY_SIZE:
                    yield WAIT, 0, b""
        except FileNotFoundError:
            pass
        except OSError as error:
            vlog.warn(f"{self.path}: {error.strerror}; flows start empty")
            data = b""
        first = _first_line()
        good = len(first) if data[: len(first)] == first else 0
        skipped = 0
        if good:
            for kind, when, payload, end in _records(data, good):
                if kind == DAMAGED:
                    skipped += end - good
                else:
                    self.n_records += 1
                good = end
                yield kind, when, payload
        if skipped:
            DAMAGES.count += 1
            vlog.warn(f"{self.path}: {skipped} damaged bytes skipped; the flows in them are lost")
        if good < len(data):
            vlog.info(f"{self.path}: {len(data) - good} bytes of another boot, or torn, cut off")
        self._open(good, first)
        for at in range(0, len(data) - COPY_SIZE, COPY_SIZE):  # the rest goes at once
            data.madvise(mmap.MADV_DONTNEED, at, COPY_SIZE)
            yield WAIT, 0, b""

    def _open(self, size: int, first: bytes) -> None:
        """Open for appending behind `size` bytes that are good."""
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.ftruncate(self._fd, size)
            os.lseek(self._fd, size, os.SEEK_SET)
            if not size:
                os.write(self._fd, first)
        except OSError as error:
            self._fail(error)
        self.size = self._compacted = size or len(first)

    def append(self, kind: bytes, payload: bytes, now: int, weight: int = 1) -> None:
        """Add a record, which counts as `weight` of them.  A disk that takes no more ends the
        journal, not the switch."""
        if self._fd < 0:
            return
        record = _record(kind, payload, now)
        self._unwritten.append(record)
        self._n_unwritten += len(record)
        self.size += len(record)
        self.n_records += weight
        if self._n_unwritten >= MOST_UNWRITTEN:
            self.flush()

    def flush(self) -> None:
        """Write what was appended."""
        if not self._unwritten:
            return
        records = b"".join(self._unwritten)
        self._unwritten.clear()
        self._n_unwritten = 0
        try:
            if self._fd >= 0 and os.write(self._fd, records) != len(records):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        """A log that lacks something is worse than none."""
        if not self.broken:
            self.broken = True
            vlog.warn(f"{self.path}: {error.strerror}; flows are not kept over a restart")
        self.close()
        with contextlib.suppress(OSError):
            os.unlink(self.path)

    def begin_anew(self) -> bool:
        """After a failure: whether there is a place for what comes, until start_rewrite() and
        finish_rewrite() have made a whole log again.  It has no name: a restart finds none yet."""
        self.close()
        path = f"{self.path}.new"
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            os.unlink(path)
        except OSError:
            self.close()
            return False
        self.size = self.n_records = 0
        return True

    @property
    def has_grown(self) -> bool:
        """Whether wants_compaction() is worth a question."""
        return self._fd >= 0 and self.size > max(COMPACT_SIZE, self._compacted * COMPACT_GROWTH)

    def wants_compaction(self, n_needed: int) -> bool:
        """Whether most of a log that has grown is of no more use, `n_needed` records being
        enough; if not, it may first grow to twice its size."""
        if not self.has_grown:
            return False
        if self.n_records > COMPACT_GROWTH * n_needed:
            return True
        self.put_off()
        return False

    def put_off(self) -> None:
        """No compaction before it is twice as large."""
        self._compacted = self.size * 2 // COMPACT_GROWTH

    # --- a shorter log in the place of this one

    def start_rewrite(self) -> None:
        """Begin a log of what stands now, given with rewrite(), while append() goes on."""
        self.flush()
        if self._fd < 0:
            return
        try:
            self._scratch = open(f"{self.path}.new", "wb", opener=_private)  # noqa: SIM115
            self._scratch.write(_first_line())
        except OSError as error:
            self._fail(error)
            return
        self._n_rewritten, self._n_before, self._tail = 0, self.n_records, self.size

    @property
    def rewriting(self) -> bool:
        """Between start_rewrite() and finish_rewrite(), unless something failed."""
        return self._scratch is not None

    def rewrite(self, kind: bytes, payload: bytes, when: int) -> None:
        """Add a record to the new log."""
        if self._scratch is None:
            return
        try:
            self._scratch.write(_record(kind, payload, when))
        except OSError as error:
            self._fail(error)
            return
        self._n_rewritten += 1

    def finish_rewrite(self) -> None:
        """Add what was appended since the start, and put the new log in the place of the old."""
        self.flush()
        if self._scratch is None:
            return
        try:
            with self._scratch as file:
                size = file.tell()
                _copy(self._fd, self._tail, self.size, file)
            self._scratch = None
            os.rename(f"{self.path}.new", self.path)
            os.close(self._fd)
            self._fd = -1
            self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except OSError as error:
            self._fail(error)
            return
        if self.broken:
            self.broken = False
            vlog.info(f"{self.path}: flows are kept over a restart again")
        self._compacted = size
        self.size += size - self._tail
        self.n_records += self._n_rewritten - self._n_before

    def cancel_rewrite(self) -> None:
        """The old log stays."""
        if self._scratch is None:
            return
        with contextlib.suppress(OSError):
            self._scratch.close()
        self._scratch = None
        with contextlib.suppress(OSError):
            os.unlink(f"{self.path}.new")

    def close(self, delete: bool = False) -> None:
        """Stop; `delete`: the bridge is gone, and the flows with it."""
        self.flush()
        self.cancel_rewrite()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if delete and self.path is not None:
            with contextlib.suppress(OSError):
                os.unlink(self.path)


def _contents(path: str) -> Iterator[mmap.mmap]:
    """A file's bytes, given out for each piece that was read; of an empty one, nothing.  (The file
    itself is not mapped: whoever cut it short would end the process.)"""
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            return
        data = mmap.mmap(-1, size)
        at = 0
        with memoryview(data) as view:
            while at < size and (n := file.readinto(view[at : at + COPY_SIZE])):
                at += n
                yield data
    if at < size:
        data.resize(max(at, 1))


def _copy(fd: int, at: int, end: int, file: IO[bytes]) -> None:
    """Add the bytes of `fd` between two offsets."""
    while at < end:
        data = os.pread(fd, min(end - at, COPY_SIZE), at)
        if not data:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        file.write(data)
        at += len(data)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _record(kind: bytes, payload: bytes, when: int) -> bytes:
    body = kind + payload
    return HEADER.pack(len(body), zlib.crc32(body), when) + body


def _records(data: Bytes, at: int) -> Iterator[tuple[bytes, int, bytes, int]]:
    """(kind, ms, payload, where it ends) of the whole records; DAMAGED as replay() has it."""
    searched = 0
    while at < len(data):
        size = _whole_size(data, at)
        if size:
            when = HEADER.unpack_from(data, at)[2]
            body = data[at + HEADER.size : at + size]
            at += size
            yield body[:1], when, body[1:], at
            continue
        for found, work in _search(data, at + 1):
            at = max(at, found)
            searched += work
            yield DAMAGED, 0, b"", at
            if searched > MOST_SEARCHED:
                return
        if not _whole_size(data, at):
            return


def _whole_size(data: Bytes, at: int) -> int:
    """Of the record that stands there; 0: none does, or not a whole one."""
    size, crc, _ = HEADER.unpack_from(data, at) if at + HEADER.size <= len(data) else (0, 0, 0)
    start = at + HEADER.size
    if not 0 < size <= MAX_RECORD or start + size > len(data):
        return 0
    whole = zlib.crc32(memoryview(data)[start : start + size]) == crc
    return HEADER.size + size if whole else 0


def _search(data: Bytes, at: int) -> Iterator[tuple[int, int]]:
    """(where the next whole record begins, or 0; the work that it took) for each piece of work."""
    work = 0
    while at < len(data):
        kinds = at + HEADER.size
        for kind in _KINDS.finditer(data, kinds, kinds + SEARCH_SIZE):
            begin = kind.start() - HEADER.size
            if _whole_size(data, begin):
                yield begin, work
                return
            size = HEADER.unpack_from(data, begin)[0]
            work += CANDIDATE + (size if size <= MAX_RECORD else 0)
            if work > SEARCH_SIZE:
                yield 0, work
                work = 0
        at += SEARCH_SIZE
        yield 0, work + SEARCH_SIZE
        work = 0
