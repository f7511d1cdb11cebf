"""bpf(2): maps and programs of the kernel, by their file descriptors.

Each function raises OSError with what the kernel says; a program's refusal is a LoadError, which
has the verifier's words.  Layouts of the attributes: <linux/bpf.h>; they are zero-padded, as the
kernel takes what it does not know for zero.  Descriptors are the caller's to close.
"""

import ctypes
import errno
import mmap
import os
import platform
import struct
from typing import NamedTuple

_libc = ctypes.CDLL(None, use_errno=True)
NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}

# Commands
MAP_CREATE, MAP_LOOKUP_ELEM, MAP_UPDATE_ELEM, MAP_DELETE_ELEM = range(4)
MAP_GET_NEXT_KEY, PROG_LOAD, PROG_TEST_RUN, LINK_CREATE = 4, 5, 10, 28
PROG_GET_FD_BY_ID, MAP_GET_FD_BY_ID, OBJ_GET_INFO_BY_FD = 13, 14, 15
# Kinds of maps and programs
HASH, ARRAY, LRU_HASH, XSKMAP = 1, 2, 9, 17
SOCKET_FILTER, SCHED_CLS, XDP = 1, 3, 6
ATTACH_XDP = 37  # where a program of a link is
MMAPABLE = 1 << 10  # flag of an array: memory that user space maps

LOG_SIZE = 1 << 20
_ATTRIBUTE_SIZE = 128
_MAP_CREATE = struct.Struct("=IIIIIII16s")  # type, key, value, entries, flags, inner, node, name
_ELEMENT = struct.Struct("=IxxxxQQQ")  # map, key, value or next key, flags
# type, instructions, their place, licence, log level, log size, log, kernel version, flags, name
_PROG_LOAD = struct.Struct("=IIQQIIQII16s")
_LINK_CREATE = struct.Struct("=IIII")  # program, device, where, flags
# program, result, sizes of data in and out, their places, repeats, ns, sizes of contexts, places
_TEST_RUN = struct.Struct("=IIIIQQIIIIQQ")
_INFO = struct.Struct("=IIQ")  # object, size of what is told, its place
# type, id, tag, lengths of two forms, their places, load time, user, number of maps, their place
_PROG_INFO = struct.Struct("=II8sIIQQQIIQ")
_MAP_INFO = struct.Struct("=IIIIII16s")  # type, id, key, value, entries, flags, name
MOST_MAPS = 64  # of a program, that prog_info() tells of
LICENCE = b"Dual MIT/GPL"  # some helper functions are for GPL-compatible programs only


class LoadError(OSError):
    """The verifier's refusal; `log` has its words."""

    def __init__(self, number: int, log: str):
        said = [line for line in log.splitlines() if line and not line.startswith("processed ")]
        super().__init__(number, ": ".join([os.strerror(number), *said[-1:]]))
        self.log = log


class ProgInfo(NamedTuple):
    """`tag` is the same for programs that differ in their maps only."""

    tag: bytes
    maps: list[int]  # ids


class MapInfo(NamedTuple):
    """What map_create() was told."""

    kind: int
    key_size: int
    value_size: int
    entries: int
    name: str
    flags: int


def _attributes(packed: bytes):
    return ctypes.create_string_buffer(packed.ljust(_ATTRIBUTE_SIZE, b"\0"), _ATTRIBUTE_SIZE)


def _bpf(command: int, packed: bytes) -> int:
    return _call(command, _attributes(packed))


def _call(command: int, buffer) -> int:
    """The buffer of attributes may have results afterwards."""
    number = NUMBERS.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"bpf(2) on {platform.machine()} is not known")
    result = _libc.syscall(number, command, buffer, _ATTRIBUTE_SIZE)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _place(buffer) -> int:
    return ctypes.addressof(buffer)


def map_create(
    kind: int, key_size: int, value_size: int, entries: int, name: str = "", flags: int = 0
) -> int:
    """A new map's descriptor."""
    attributes = _MAP_CREATE.pack(
        kind, key_size, value_size, entries, flags, 0, 0, name.encode()[:15]
    )
    return _bpf(MAP_CREATE, attributes)


def _element(command: int, fd: int, key: bytes | None, value, flags: int = 0) -> None:
    there = None if key is None else ctypes.create_string_buffer(key, len(key))
    places = (_place(there) if there is not None else 0, _place(value) if value is not None else 0)
    _bpf(command, _ELEMENT.pack(fd, *places, flags))


def map_update(fd: int, key: bytes, value: bytes) -> None:
    _element(MAP_UPDATE_ELEM, fd, key, ctypes.create_string_buffer(value, len(value)))


def map_lookup(fd: int, key: bytes, value_size: int) -> bytes | None:
    """The value, or None."""
    value = ctypes.create_string_buffer(value_size)
    try:
        _element(MAP_LOOKUP_ELEM, fd, key, value)
    except FileNotFoundError:
        return None
    return value.raw


def map_delete(fd: int, key: bytes) -> bool:
    """Whether it was there."""
    try:
        _element(MAP_DELETE_ELEM, fd, key, None)
    except FileNotFoundError:
        return False
    return True


def map_keys(fd: int, key_size: int):
    """Iterator of the keys; some may come twice or never while others go."""
    key = None
    while True:
        following = ctypes.create_string_buffer(key_size)
        try:
            _element(MAP_GET_NEXT_KEY, fd, key, following)
        except FileNotFoundError:
            return
        key = following.raw
        yield key


def map_memory(fd: int, size: int) -> mmap.mmap:
    """The value of a MMAPABLE array of one entry."""
    return mmap.mmap(fd, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)


def prog_load(kind: int, code: bytes, name: str = "") -> int:
    """A program's descriptor; LoadError.  Only a refused program is loaded again for its log."""
    instructions = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(LICENCE)

    def load(level: int, log) -> int:
        size, place = (len(log), _place(log)) if log is not None else (0, 0)
        head = (kind, len(code) // 8, _place(instructions), _place(licence))
        return _bpf(PROG_LOAD, _PROG_LOAD.pack(*head, level, size, place, 0, 0, name.encode()[:15]))

    try:
        return load(0, None)
    except OSError as error:
        log = ctypes.create_string_buffer(LOG_SIZE)
        try:
            return load(1, log)
        except OSError:
            raise LoadError(error.errno, log.value.decode(errors="replace")) from None


def prog_by_id(number: int) -> int:
    """A descriptor of a program that is in the kernel; it takes CAP_SYS_ADMIN."""
    return _bpf(PROG_GET_FD_BY_ID, struct.pack("=I", number))


def map_by_id(number: int) -> int:
    """The same of a map."""
    return _bpf(MAP_GET_FD_BY_ID, struct.pack("=I", number))


def prog_info(fd: int) -> ProgInfo:
    ids = (ctypes.c_uint32 * MOST_MAPS)()
    asked = _PROG_INFO.pack(0, 0, b"", 0, 0, 0, 0, 0, 0, MOST_MAPS, _place(ids))
    told = _PROG_INFO.unpack(_info(fd, asked))
    return ProgInfo(told[2], list(ids[: min(told[9], MOST_MAPS)]))


def map_info(fd: int) -> MapInfo:
    kind, _id, key, value, entries, flags, name = _MAP_INFO.unpack(_info(fd, bytes(_MAP_INFO.size)))
    return MapInfo(kind, key, value, entries, name.partition(b"\0")[0].decode(), flags)


def _info(fd: int, asked: bytes) -> bytes:
    told = ctypes.create_string_buffer(asked, len(asked))
    _bpf(OBJ_GET_INFO_BY_FD, _INFO.pack(fd, len(asked), _place(told)))
    return told.raw


def link_create(program: int, ifindex: int, where: int, flags: int) -> int:
    """A descriptor: the program is attached to the device as long as it is open."""
    return _bpf(LINK_CREATE, _LINK_CREATE.pack(program, ifindex, where, flags))


def test_run(fd: int, frame: bytes, context: bytes = b"", repeat: int = 1) -> tuple[int, bytes]:
    """What a program returns for a frame, and the frame afterwards; `context`: a __sk_buff."""
    data = ctypes.create_string_buffer(frame, len(frame))
    out = ctypes.create_string_buffer(len(frame) + 256)
    given = ctypes.create_string_buffer(context, len(context)) if context else None
    attributes = _attributes(
        _TEST_RUN.pack(
            *(fd, 0, len(frame), len(out), _place(data), _place(out), repeat, 0),
            *(len(context), 0, _place(given) if given is not None else 0, 0),
        )
    )
    _call(PROG_TEST_RUN, attributes)
    answer = _TEST_RUN.unpack_from(attributes)
    return answer[1], out.raw[: answer[3]]
