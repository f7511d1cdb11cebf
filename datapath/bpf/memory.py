"""The kernel cache's maps and programs, as one process has them.

They are as long in the kernel as somebody refers to them: this process, or a program that is
attached to a device.
"""

import os
import struct
from collections.abc import Iterable
from pathlib import Path

from datapath.bpf import entry, programs, syscall

_POSSIBLE = Path("/sys/devices/system/cpu/possible")
MAX_COUNTERS = 256 << 20  # bytes
_WORD = struct.Struct("=I")


def n_processors() -> int:
    """A power of two, more than the greatest number that a processor can have."""
    last = int(_POSSIBLE.read_text().strip().replace("-", ",").rpartition(",")[2])
    return 1 << last.bit_length()


SHARED = ("entries", "generations", "counters", "verdicts", "owned")  # the classifier's maps


class KernelMemory:
    """Maps made and programs loaded.  OSError where the kernel does not let us; see bpf(2).

    `left`: ids of classifiers that a former process left on devices.  Where one of them is what we
    would attach, its maps are taken over with all that is in them (`adopted`).
    """

    def __init__(self, left: Iterable[int] = ()) -> None:
        self._fds: dict[str, int] = {}
        self._mapped: list = []
        self._programs: list[int] = []
        self._map_ids: list[int] = []  # of the program whose maps we took over
        self.n_cpus = n_processors()
        self._kinds = _kinds(self.n_cpus)
        self.classifier = -1
        try:
            if not any(self._adopt(each) for each in left):
                self._make_maps()
                self.classifier = self._load(syscall.SCHED_CLS, programs.classifier)
            self._map()
            self.socket_filter = self._load(syscall.SOCKET_FILTER, programs.socket_filter)
        except (OSError, ValueError):
            self.close()
            raise

    @property
    def adopted(self) -> bool:
        return bool(self._map_ids)

    def shares(self, program: int) -> bool:
        """Whether the program of this id looks up in our maps, which we took over."""
        try:
            return self.adopted and _info_of(program).maps == self._map_ids
        except OSError:
            return False

    def _make_maps(self) -> None:
        for name, kind in self._kinds.items():
            if name not in self._fds:
                self._fds[name] = syscall.map_create(*kind)

    def _adopt(self, program: int) -> bool:
        """Take over the maps of a program that is as ours: of the same kinds, under the same
        instructions."""
        try:
            told = _info_of(program)
            for each in told.maps:
                self._take(syscall.map_by_id(each))
            if set(self._fds) == set(SHARED):
                self._map_ids = told.maps
                self._make_maps()
                self.classifier = self._load(syscall.SCHED_CLS, programs.classifier)
                if syscall.prog_info(self.classifier).tag == told.tag:
                    return True
        except OSError:  # it is gone, or we may not ask
            pass
        self.close()
        return False

    def _take(self, fd: int) -> None:
        info = syscall.map_info(fd)
        for name in SHARED:
            if self._kinds[name] == info and name not in self._fds:
                self._fds[name] = fd
                return
        os.close(fd)

    def _map(self) -> None:
        """The values of the arrays as memory of ours."""
        self.entries = self._fds["entries"]
        self.generations = self._memory("generations")
        self.counters = self._memory("counters")
        self.verdicts = self._memory("verdicts")
        self.owned = self._memory("owned")
        self.doubts = self._memory("doubts")

    def _memory(self, name: str):
        memory = syscall.map_memory(self._fds[name], self._kinds[name].value_size)
        self._mapped.append(memory)
        return memory

    def _load(self, kind: int, program) -> int:
        code = program(self.n_cpus).assemble(self._fds)
        self._programs.append(syscall.prog_load(kind, code, f"pyvs_{program.__name__}"))
        return self._programs[-1]

    def void_all(self) -> None:
        """No entry counts any more, of whichever slot."""
        generations = memoryview(self.generations)[: _WORD.size * entry.SLOTS].cast("I")
        for slot, generation in enumerate(generations.tolist()):
            generations[slot] = generation + 1 & 0xFFFFFFFF
        generations.release()

    @property
    def doubted(self) -> bool:
        """Whether any device is in doubt (see programs)."""
        return self.doubts.find(b"\1", 0) >= 0

    def in_doubt(self, index: int) -> bool:
        """Whether a device is, or another whose number ends alike."""
        return _WORD.unpack_from(self.doubts, index % programs.DEVICES * _WORD.size)[0] != 0

    def own(self, index: int, alone: bool) -> None:
        """Whether the host's stack is to get nothing of what a device receives.  Of two whose
        numbers end alike, one can be so."""
        at = index % programs.DEVICES * _WORD.size
        if alone:
            _WORD.pack_into(self.owned, at, index)
        elif _WORD.unpack_from(self.owned, at)[0] == index:
            _WORD.pack_into(self.owned, at, 0)

    def trust_all(self) -> None:
        """No device is in doubt any more; what the filters had left is forgotten."""
        for at in range(0, len(self.verdicts), programs.VERDICT["size"]):
            _WORD.pack_into(self.verdicts, at + programs.VERDICT["state"], entry.VERDICTS["none"])
        self.doubts[:] = bytes(len(self.doubts))

    def close(self) -> None:
        """Idempotent; nobody may use the memory any more."""
        for memory in self._mapped:
            memory.close()
        for fd in (*self._fds.values(), *self._programs):
            os.close(fd)
        self._fds, self._mapped, self._programs, self._map_ids = {}, [], [], []


def _info_of(program: int) -> syscall.ProgInfo:
    fd = syscall.prog_by_id(program)
    try:
        return syscall.prog_info(fd)
    finally:
        os.close(fd)


def _kinds(n_cpus: int) -> dict[str, syscall.MapInfo]:
    """All maps, by the names that the programs have for them."""
    size = programs.counters_size(n_cpus)
    if size > MAX_COUNTERS:
        raise ValueError(f"{n_cpus} processors are more than the kernel cache is for")
    key, value = programs.KEY["size"], programs.ENTRY["size"]
    return {
        "entries": syscall.MapInfo(syscall.LRU_HASH, key, value, entry.ENTRIES, "pyvs_entries", 0),
        "generations": _array("pyvs_gens", _WORD.size * entry.SLOTS),
        "counters": _array("pyvs_counters", size),
        "verdicts": _array("pyvs_verdicts", n_cpus * programs.VERDICT["size"]),
        "owned": _array("pyvs_owned", _WORD.size * programs.DEVICES),
        "doubts": _array("pyvs_doubts", _WORD.size * programs.DEVICES),
    }


def _array(name: str, size: int) -> syscall.MapInfo:
    """An array of one value, which user space maps."""
    return syscall.MapInfo(syscall.ARRAY, 4, size, 1, name, syscall.MMAPABLE)
