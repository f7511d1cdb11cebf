"""The kernel cache's maps and programs, as one process has them.

They are as long in the kernel as somebody refers to them: this process, or a program that is
attached to a device.
"""

import os
import struct
from pathlib import Path

from datapath.bpf import entry, programs, syscall

_POSSIBLE = Path("/sys/devices/system/cpu/possible")
MAX_COUNTERS = 256 << 20  # bytes
_WORD = struct.Struct("=I")


def n_processors() -> int:
    """A power of two, more than the greatest number that a processor can have."""
    last = int(_POSSIBLE.read_text().strip().replace("-", ",").rpartition(",")[2])
    return 1 << last.bit_length()


class KernelMemory:
    """Maps made and programs loaded.  OSError where the kernel does not let us; see bpf(2)."""

    def __init__(self) -> None:
        self._fds: list[int] = []
        self._mapped: list = []
        self.n_cpus = n_processors()
        try:
            self._make_maps()
            self.socket_filter = self._load(syscall.SOCKET_FILTER, programs.socket_filter)
            self.classifier = self._load(syscall.SCHED_CLS, programs.classifier)
        except (OSError, ValueError):
            self.close()
            raise

    def _keep(self, fd: int) -> int:
        self._fds.append(fd)
        return fd

    def _make_maps(self) -> None:
        size = programs.counters_size(self.n_cpus)
        if size > MAX_COUNTERS:
            raise ValueError(f"{self.n_cpus} processors are more than the kernel cache is for")
        kind, key, value = syscall.LRU_HASH, programs.KEY["size"], programs.ENTRY["size"]
        self.entries = self._keep(
            syscall.map_create(kind, key, value, entry.ENTRIES, "pyvs_entries")
        )
        self.generations = self._array("pyvs_gens", 4 * entry.SLOTS)
        self.counters = self._array("pyvs_counters", size)
        self.verdicts = self._array("pyvs_verdicts", self.n_cpus * programs.VERDICT["size"])
        self.doubts = self._array("pyvs_doubts", _WORD.size * programs.DOUBTS)

    def _array(self, name: str, size: int):
        """An array of one value, and that value as memory of ours."""
        fd = self._keep(syscall.map_create(syscall.ARRAY, 4, size, 1, name, syscall.MMAPABLE))
        memory = syscall.map_memory(fd, size)
        self._mapped.append(memory)
        return memory

    def _load(self, kind: int, program) -> int:
        names = ("entries", "generations", "counters", "verdicts", "doubts")
        code = program(self.n_cpus).assemble(dict(zip(names, self._fds, strict=False)))
        return self._keep(syscall.prog_load(kind, code, f"pyvs_{program.__name__}"))

    @property
    def doubted(self) -> bool:
        """Whether any device is in doubt (see programs)."""
        return self.doubts.find(b"\1", 0) >= 0

    def in_doubt(self, index: int) -> bool:
        """Whether a device is, or another whose number ends alike."""
        return _WORD.unpack_from(self.doubts, index % programs.DOUBTS * _WORD.size)[0] != 0

    def trust_all(self) -> None:
        """No device is in doubt any more; what the filters had left is forgotten."""
        for at in range(0, len(self.verdicts), programs.VERDICT["size"]):
            _WORD.pack_into(self.verdicts, at + programs.VERDICT["state"], entry.VERDICTS["none"])
        self.doubts[:] = bytes(len(self.doubts))

    def close(self) -> None:
        """Idempotent; nobody may use the memory any more."""
        for memory in self._mapped:
            memory.close()
        for fd in self._fds:
            os.close(fd)
        self._mapped, self._fds = [], []
