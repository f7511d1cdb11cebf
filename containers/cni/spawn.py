"""Executes another plug-in.

The module subprocess would do, but for what it imports: a fifth of an ADD's time.
"""

import contextlib
import os
import select
import signal
import time
from typing import NamedTuple

_READ = 1 << 16


class Done(NamedTuple):
    """What came of it."""

    status: int
    stdout: bytes
    stderr: bytes


def run(program: str, stdin: bytes, environment: dict[str, str], patience: float) -> Done:
    """Returns when it has ended; raises OSError, TimeoutError after `patience` seconds."""
    with contextlib.ExitStack() as files:
        inner = [_memory(files, stdin)]
        outer = []
        for _stream in ("stdout", "stderr"):
            reading, writing = os.pipe()
            files.callback(os.close, reading)
            os.set_blocking(reading, False)
            outer.append(reading)
            inner.append(writing)
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(inner)]
        try:
            pid = os.posix_spawn(program, [program], environment, file_actions=actions)
        finally:
            for fd in inner[1:]:
                os.close(fd)
        return _follow(files, pid, outer, time.monotonic() + patience)


def _memory(files: contextlib.ExitStack, content: bytes) -> int:
    """A file with a content, to be read from its beginning."""
    fd = os.memfd_create("stdin")
    files.callback(os.close, fd)
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _follow(files: contextlib.ExitStack, pid: int, outputs: list[int], end: float) -> Done:
    """Reads until the process ends: what it started may keep the pipes for longer."""
    process = os.pidfd_open(pid)
    files.callback(os.close, process)
    poll = select.poll()
    for fd in (process, *outputs):
        poll.register(fd, select.POLLIN)
    said: dict[int, list[bytes]] = {fd: [] for fd in outputs}
    ready: set[int] = set()
    try:
        while process not in ready:
            ready = {fd for fd, _event in poll.poll(max(0, end - time.monotonic()) * 1000)}
            if not ready:
                raise TimeoutError
            for fd in ready & said.keys():
                if not _read(fd, said[fd]):
                    poll.unregister(fd)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    _pid, status = os.waitpid(pid, 0)
    for fd in outputs:
        _read(fd, said[fd])
    return Done(os.waitstatus_to_exitcode(status), *(b"".join(said[fd]) for fd in outputs))


def _read(fd: int, into: list[bytes]) -> bool:
    """Reads what is there; False where nothing more will come."""
    with contextlib.suppress(BlockingIOError):
        while data := os.read(fd, _READ):
            into.append(data)
        return False
    return True
