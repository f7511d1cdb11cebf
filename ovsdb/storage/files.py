"""Database files: making, locking, reading, appending, compacting."""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import ovs.vlog

from ovsdb.data.database import Changes, Database, Written
from ovsdb.data.errors import OvsdbError
from ovsdb.data.schema import DatabaseSchema
from ovsdb.storage.log import (
    LogWriter,
    TornRecord,
    encode_record,
    good_record_after,
    io_error,
    read_records,
    sync_directory,
)
from ovsdb.storage.records import Reader, snapshot_json, transaction_json
from ovsdb.transactions.transaction import Transaction
from pyvs import containment
from pyvs.named_files import open_regular
from pyvs.process import instance

vlog = ovs.vlog.Vlog("ovsdb_file")

# The schema of the switch's database.
SWITCH_SCHEMA = str(Path(__file__).parents[1] / "vswitch.ovsschema")

# When a file is compacted by itself: ovsdb-server(1), ovsdb-server/compact.
COMPACT_MIN_SIZE = 10 * 1024 * 1024
COMPACT_GROWTH = 2
COMPACT_MIN_COMMITS = 100
COMPACT_MIN_SECONDS = 10 * 60
COMPACT_MAX_SECONDS = 24 * 60 * 60
COPY_BYTES = 1024 * 1024  # of the log at a time


def load_schema(path: str) -> dict:
    """The JSON of a schema file; OvsdbError when it cannot be read or is not a schema."""
    try:
        with open(path, "rb") as file:
            json = orjson.loads(file.read())
    except OSError as error:
        raise io_error(f"{path}: cannot read the schema", error) from error
    except ValueError as error:
        raise OvsdbError("syntax error", f"{path}: {error}") from error
    DatabaseSchema.from_json(json)
    return json


def create(path: str, schema: dict) -> None:
    """Make a database file with `schema` (JSON) and no rows, durably.

    The file must not exist; a link to nowhere leads to where it is made.  Raises OvsdbError.
    """
    given, path = path, os.path.realpath(path)
    record = encode_record(DatabaseSchema.from_json(schema).to_json())
    with FileLock(path):
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise io_error(f"{given}: create failed", error) from error
        log = LogWriter(fd, path, 0)
        try:
            log.append(record, durable=True)
            sync_directory(path)
        except OSError as error:
            os.unlink(path)
            raise io_error(f"{given}: create failed", error) from error
        except OvsdbError:
            os.unlink(path)
            raise
        finally:
            log.close()


def save(path: str, database: Database, comment: str, mode: int = 0o640) -> None:
    """Make a file with the schema and the rows of a database, durably.

    The file must not exist.  Raises OvsdbError.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except OSError as error:
        raise io_error(f"{path}: create failed", error) from error
    log = LogWriter(fd, path, 0)
    try:
        log.append(encode_record(database.schema.to_json()), durable=False)
        log.append(encode_record(snapshot_json(database, comment)), durable=True)
    finally:
        log.close()


class FileLock:
    """The lock file .NAME.~lock~ beside a database, held by its server or by ovsdb-tool."""

    def __init__(self, path: str):
        directory, name = os.path.split(os.path.realpath(path))
        self.path = os.path.join(directory, f".{name}.~lock~")
        try:
            self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise io_error(f"{self.path}: failed to open lock file", error) from error
        try:
            fcntl.lockf(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self.fd)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise io_error(f"{path}: failed to lock lockfile", error) from None
            raise io_error(f"{self.path}: cannot lock", error) from error

    def __enter__(self) -> "FileLock":
        return self

    def __exit__(self, *_exc: Any) -> None:
        self.release()

    def release(self) -> None:
        """Give up the lock."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def converted(database: Database, schema: DatabaseSchema) -> Database:
    """A new database of `schema`, without a file, with the rows of `database` that it has.

    Tables and columns that `schema` does not have are left out, new columns get their
    defaults.  Raises OvsdbError when the rows do not fit the schema's types or constraints.
    """
    new = Database(schema)
    transaction = Transaction(new)
    for name, table in database.tables.items():
        target = new.tables.get(name)
        if target is None:
            continue
        for uuid, row in table.rows.items():
            values = {
                column.name: column.type.parse(table.encoders[column.name](row[column.name]))
                for column in target.schema.columns.values()
                if column.name in table.schema.columns
            }
            for column in target.schema.columns.values():
                if column.bad_default is not None and column.name not in values:
                    raise column.bad_default
            transaction.insert(target, uuid, values)
    transaction.commit()
    return new


# --- an open file


class DatabaseFile:
    """The file of an open database.  Made by open_database()."""

    def __init__(self, path: str, lock: FileLock, log: LogWriter):
        self.path = path
        self.lock = lock
        self.log = log
        self.as_diff = True
        self.commits_since_compaction = 0
        self.compacted_size = log.size
        self.compacted_at = time.monotonic()
        self._child: _Compaction | None = None
        self._commits_before = 0  # commits_since_compaction when the child began

    def commit(
        self,
        database: Database,
        changes: Changes,
        comment: str,
        durable: bool,
        written: Written | None = None,
    ) -> int:
        """Append a transaction; the size of its record.  OvsdbError when it cannot be stored."""
        json = transaction_json(database, changes, comment, self.as_diff, written)
        if json is None:
            return 0
        record = encode_record(json)
        self.log.append(record, durable)
        self.commits_since_compaction += 1
        return len(record)

    def wants_compaction(self, now: float) -> bool:
        """Whether it is time to compact, by ovsdb-server's rules; `now` monotonic seconds."""
        if self._child is not None or self.commits_since_compaction < COMPACT_MIN_COMMITS:
            return False
        age = now - self.compacted_at
        if age >= COMPACT_MAX_SECONDS:
            return True
        grown = self.log.size >= max(COMPACT_MIN_SIZE, COMPACT_GROWTH * self.compacted_size)
        return grown and age >= COMPACT_MIN_SECONDS

    def start_compaction(
        self, database: Database, comment: str, done: Callable[[OvsdbError | None], None]
    ) -> None:
        """Have a forked child write the snapshot while this process goes on serving.

        `done(error or None)` is called from run_compaction() when the new file is in place.
        """
        if self._child is not None:
            self._child.done.append(done)
            return
        try:
            self._child = _Compaction(self.path, self.log.size, database, comment, done)
        except OSError as failed:  # no descriptor, process or memory
            self._failed(io_error(f"{self.path}: cannot start a compaction", failed))
            done(io_error(f"{self.path}: cannot start a compaction", failed))
            return
        self._commits_before = self.commits_since_compaction

    def _failed(self, error: OvsdbError) -> None:
        """After a failure the next attempt waits, too."""
        vlog.warn(f"{self.path}: compaction failed: {error}")
        self.compacted_at = time.monotonic()

    @property
    def compacting(self) -> bool:
        """Whether a compaction is under way."""
        return self._child is not None

    def run_compaction(self, now: float, wait: bool = False) -> bool:
        """Put the child's file in place if it is through (or wait until it is).

        Returns whether a compaction ended.
        """
        child = self._child
        if child is None or not child.finished(wait):
            return False
        self._child = None
        error: OvsdbError | None = None
        try:
            self.log = child.install(self.log)
        except OvsdbError as failed:
            error = failed
            self._failed(failed)
        else:
            self.commits_since_compaction -= self._commits_before
            self.compacted_size = child.snapshot_size
        self.compacted_at = now
        for done in child.done:
            containment.call("OVSDB compaction", self.path, done, error)
        return True

    def replace(self, database: Database, comment: str) -> None:
        """Write the file anew, with the schema and rows of `database`, durably."""
        if self._child is not None:
            for done in self._child.done:
                done(OvsdbError("canceled", "the database was converted"))
            self._child.abandon()
            self._child = None
        try:
            child = _Compaction(self.path, self.log.size, database, comment, lambda _error: None)
        except OSError as error:
            raise io_error(f"{self.path}: cannot be written anew", error) from error
        child.finished(wait=True)
        self.log = child.install(self.log)
        self.compacted_size = child.snapshot_size
        self.commits_since_compaction = 0

    def close(self) -> None:
        """Close the file and give up its lock."""
        if self._child is not None:
            self._child.abandon()
            self._child = None
        self.log.close()
        self.lock.release()


class _Compaction:
    """A child process that writes a snapshot to PATH.tmp.  What is appended to the old log after
    its first `begin` bytes is copied when the snapshot is there.  OSError."""

    def __init__(
        self,
        path: str,
        begin: int,
        database: Database,
        comment: str,
        done: Callable[[OvsdbError | None], None],
    ):
        self.path = path
        self.temporary = path + ".tmp"
        self.begin = begin
        self.done = [done]
        self.snapshot_size = 0
        self.message = ""
        self.fd, writer = os.pipe()
        try:
            self.pid = os.fork()
        except OSError:
            os.close(self.fd)
            os.close(writer)
            raise
        if self.pid == 0:
            status = 1
            try:
                instance.leave()
                os.close(self.fd)
                message = self._write_snapshot(database, comment)
                os.write(writer, message.encode())
                status = 0
            finally:
                os._exit(status)
        os.close(writer)

    def _write_snapshot(self, database: Database, comment: str) -> str:
        """In the child.  Returns "" or what went wrong."""
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.temporary)
            mode = os.stat(self.path).st_mode & 0o777
            save(self.temporary, database, comment, mode)
        except OSError as error:
            return f"{self.temporary}: {error.strerror}"
        except OvsdbError as error:
            return str(error)
        return ""

    def finished(self, wait: bool) -> bool:
        """Whether the child ended."""
        try:
            pid, status = os.waitpid(self.pid, 0 if wait else os.WNOHANG)
        except ChildProcessError:  # somebody else has waited for it
            pid, status = self.pid, 0
        if pid == 0:
            return False
        message = os.read(self.fd, 4096).decode(errors="replace")
        os.close(self.fd)
        self.message = message or ("" if status == 0 else f"child ended with status {status}")
        return True

    def install(self, old: LogWriter) -> LogWriter:
        """Add the records since the snapshot, and take the place of the old file.

        Raises OvsdbError while the old file is the one in place.
        """
        try:
            if self.message:
                raise OvsdbError("I/O error", self.message)
            fd = os.open(self.temporary, os.O_RDWR | os.O_CLOEXEC)
            log = LogWriter(fd, self.path, os.fstat(fd).st_size)
            self.snapshot_size = log.size
            try:
                self._copy_tail(old, log)
                os.rename(self.temporary, self.path)
            except BaseException:
                log.close()
                raise
        except OSError as error:
            self._remove()
            raise io_error(f"{self.temporary}: cannot replace {self.path}", error) from error
        except OvsdbError:
            self._remove()
            raise
        # From here on the new file is the database, whatever happens: the old one has no name.
        old.close()
        try:
            log.sync_name()
        except OSError as error:
            vlog.warn(f"{self.path}: cannot make its new name durable: {error.strerror}")
        return log

    def _copy_tail(self, old: LogWriter, new: LogWriter) -> None:
        at = self.begin
        while at < old.size:
            data = os.pread(old.fd, min(COPY_BYTES, old.size - at), at)
            if not data:
                raise OSError(errno.EIO, "the log is shorter than what was written")
            at += len(data)
            new.append(data, durable=at >= old.size)

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self.temporary)

    def abandon(self) -> None:
        """Let the server end: nobody waits for the child's file any more."""
        with contextlib.suppress(OSError):
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        os.close(self.fd)
        self._remove()


def open_database(path: str) -> Database:
    """Lock and read a database file; raises OvsdbError.

    An incomplete last record is cut off, with a warning in the log.
    """
    name, path = path, os.path.realpath(path)
    if not os.path.exists(path):
        raise io_error(f"{name}: open failed", OSError(errno.ENOENT, ""))
    lock = FileLock(path)
    try:
        fd = _open(path, os.O_RDWR)
        try:
            database, size, length = _read_database(path, fd)
            if size < length:
                os.ftruncate(fd, size)
                os.fsync(fd)
        except BaseException:
            os.close(fd)
            raise
    except BaseException:
        lock.release()
        raise
    database.file = DatabaseFile(path, lock, LogWriter(fd, path, size))
    return database


def read_database(path: str) -> Database:
    """The database of a file that somebody else may have open; raises OvsdbError.

    Changes nothing in the file, and the database has no file.
    """
    fd = _open(path, os.O_RDONLY)
    try:
        return _read_database(path, fd)[0]
    finally:
        os.close(fd)


def _open(path: str, flags: int) -> int:
    try:
        return open_regular(path, flags)
    except OSError as error:
        raise io_error(f"{path}: open failed", error) from error


def _read_database(path: str, fd: int) -> tuple[Database, int, int]:
    """The database, the length of its good records, and the length of the file."""
    with open(fd, "rb", closefd=False) as file:
        data = file.read()
    database, size = _replay(path, data)
    database.rebuild()
    return database, size, len(data)


def _replay(path: str, data: bytes) -> tuple[Database, int]:
    """The database whose records these are, without indexes, and the length of the good ones."""
    size = len(data)
    database: Database | None = None
    try:
        for offset, json in read_records(data, path):
            try:
                if database is None:
                    database = Database(DatabaseSchema.from_json(json))
                    reader = Reader(database)
                else:
                    reader.apply(json)
            except OvsdbError as error:
                if offset and good_record_after(data, offset, path) is None:
                    vlog.warn(
                        f"{path}: the last transaction, at offset {offset}, is none of this"
                        f" database: {error.told()}: cutting it off"
                    )
                    return _replay(path, data[:offset])  # half of it may be in the rows by now
                raise OvsdbError(
                    error.tag, f"{path}: record at offset {offset}: {error.details}", error.syntax
                ) from error
    except TornRecord as torn:
        size = torn.offset
        vlog.warn(f"{path}: {torn}: cutting off the last {len(data) - size} bytes")
    if database is None:
        raise OvsdbError(
            "ovsdb error",
            f"{path}: empty file, not a database; restore a backup, or begin with an empty"
            f" database: 'mv {path} {path}.damaged'",
        )
    return database, size
