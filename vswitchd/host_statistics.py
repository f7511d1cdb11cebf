"""What the host tells of itself: ovs-vswitchd.conf.db(5), "Statistics" of the Open_vSwitch table.

Read in a thread: a file system of another machine may keep whoever asks for it waiting.
"""

import contextlib
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

from pyvs import containment, rundir

MOST_FILE_SYSTEMS, MOST_PROCESSES = 64, 64  # that are told
_TICKS = os.sysconf("SC_CLK_TCK")  # a second
_OCTAL = re.compile(rb"\\([0-3][0-7]{2})")  # of a blank in /proc/mounts, and the like
_PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024
# Fields of /proc/PID/stat behind the name: proc(5), which counts from 1 and has two before.
_PARENT, _USER, _SYSTEM, _THREADS, _START, _SIZE, _RESIDENT = (
    number - 3 for number in (4, 14, 15, 20, 22, 23, 24)
)


def collect() -> dict[str, str]:
    """All of it; what cannot be known is left out."""
    found = {
        "cpu": str(os.cpu_count() or 1),
        "load_average": ",".join(f"{each:.2f}" for each in os.getloadavg()),
        "memory": ",".join(map(str, _memory())),
        "file_systems": " ".join(_file_systems()),
    }
    found.update(_processes())
    return {name: text for name, text in found.items() if text}


def _memory() -> tuple[int, ...]:
    """In KB: RAM, of it used, of that caches; swap space, of it used."""
    told = {}
    with open("/proc/meminfo") as file:
        for line in file:
            name, _, rest = line.partition(":")
            told[name] = int(rest.split()[0])
    used = told["MemTotal"] - told["MemFree"]
    swap = told["SwapTotal"]
    return told["MemTotal"], used, told["Buffers"] + told["Cached"], swap, swap - told["SwapFree"]


def _file_systems() -> Iterator[str]:
    """`mount point,KB,KB used` of those that are local and may be written to."""
    with open("/proc/mounts", "rb") as file:
        mounts = [line.split() for line in file]
    local = [
        each
        for each in mounts
        if each[0].startswith(b"/") and b"ro" not in each[3].split(b",") and b"," not in each[1]
    ]
    for _device, point, *_more in local[:MOST_FILE_SYSTEMS]:
        # A name that is no UTF-8 cannot be in the database.
        with contextlib.suppress(OSError, UnicodeDecodeError):
            name = point.decode()
            told = os.statvfs(_OCTAL.sub(lambda found: bytes((int(found[1], 8),)), point))
            kb = told.f_frsize / 1024
            used = int((told.f_blocks - told.f_bfree) * kb)
            yield f"{name},{int(told.f_blocks * kb)},{used}"


def _processes() -> dict[str, str]:
    """process_NAME of each that has a pid file in the run directory: KB of address space and of
    RAM, ms of processor time, crashes, ms since it was first started, ms since it was last started,
    threads."""
    found = {}
    files = sorted(Path(rundir.rundir()).glob("*.pid"))
    for path in [each for each in files if each.stem.isprintable()][:MOST_PROCESSES]:
        with contextlib.suppress(OSError, ValueError, IndexError):
            found[f"process_{path.stem}"] = _process(int(path.read_text()[:20]))
    return found


def _process(pid: int) -> str:
    fields = _stat(pid)
    parent = int(fields[_PARENT])
    # Its monitor was started with the same words.
    monitored = parent > 1 and _words(parent) == _words(pid)
    running = _running_ms(fields)
    values = (
        int(fields[_SIZE]) // 1024,
        int(fields[_RESIDENT]) * _PAGE_KB,
        (int(fields[_USER]) + int(fields[_SYSTEM])) * 1000 // _TICKS,
        0,
        _running_ms(_stat(parent)) if monitored else running,
        running,
        int(fields[_THREADS]),
    )
    return ",".join(map(str, values))


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _words(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _running_ms(fields: list[str]) -> int:
    with open("/proc/uptime") as file:
        now = float(file.read().split()[0])
    return max(0, int((now - int(fields[_START]) / _TICKS) * 1000))


class HostStatistics:
    """What was read last; while it is wanted, it is read anew each time that it is asked for."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}
        self._wanted = False
        self._thread: threading.Thread | None = None

    def get(self, wanted: bool) -> dict[str, str]:
        """The value of the column `statistics`; of the first time there is nothing yet."""
        self._wanted = wanted
        if not wanted:
            self.told = {}
        elif self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._read, name="statistics", daemon=True)
            containment.call("host statistics", "", self._thread.start)
        return self.told

    def _read(self) -> None:
        told = containment.call("host statistics", "", collect, default={})
        self.told = told if self._wanted else {}
