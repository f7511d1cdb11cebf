"""Shared-memory rings between the datapath process and vswitchd; ring.pxd has the layout."""

import os

from libc.errno cimport EINVAL, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap
from posix.stat cimport fstat, struct_stat
from posix.unistd cimport close

from datapath.base.atomic cimport exchange32, fence, load32, load64, store32, store64

cdef extern from "<fcntl.h>" nogil:
    int fcntl(int fd, int cmd, ...)
    int F_ADD_SEALS
    int F_SEAL_SHRINK
    int F_SEAL_GROW
    int F_SEAL_SEAL


cdef inline uint32_t _record_size(uint32_t length) noexcept nogil:
    return 8 + ((length + 7) & ~<uint32_t> 7)


cdef int ring_map(ring *r, int fd) noexcept nogil:
    cdef struct_stat st
    cdef uint64_t size
    cdef void *memory
    memset(r, 0, sizeof(ring))
    if fstat(fd, &st) < 0:
        return -1
    size = <uint64_t> st.st_size - RING_HEADER
    if st.st_size < RING_HEADER + 4096 or size & (size - 1) or size > <uint64_t> 1 << 30:
        (&errno)[0] = EINVAL
        return -1
    memory = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
    if memory == MAP_FAILED:
        return -1
    r.memory = <uint8_t *> memory
    r.data = r.memory + RING_HEADER
    r.size = <uint32_t> size
    r.head = load64(r.memory + RING_HEAD)
    r.tail = load64(r.memory + RING_TAIL)
    if r.head - r.tail > r.size or (r.head | r.tail) & 7:
        r.broken = True
    return 0


cdef void ring_unmap(ring *r) noexcept nogil:
    if r.memory != NULL:
        munmap(r.memory, <size_t> r.size + RING_HEADER)
    memset(r, 0, sizeof(ring))


# --- writer

cdef uint32_t ring_free(ring *r) noexcept nogil:
    cdef uint64_t tail
    if r.broken or r.memory == NULL:
        return 0
    tail = load64(r.memory + RING_TAIL)
    if tail - r.tail > r.head - r.tail or tail & 7:    # behind its last place, or before ours
        r.broken = True
        return 0
    r.tail = tail
    return r.size - <uint32_t> (r.head - tail)


cdef uint8_t *ring_reserve(ring *r, uint32_t length) noexcept nogil:
    cdef uint32_t at, to_end, free, skip = 0
    cdef uint32_t need = _record_size(length)
    if length > r.size // 2:
        return NULL
    free = ring_free(r)
    if free == 0:
        return NULL
    at = <uint32_t> r.head & (r.size - 1)
    to_end = r.size - at
    if need > to_end:
        skip = to_end
    if free < need + skip:
        return NULL
    if skip:
        store32(r.data + at, RING_WRAP)
        at = 0
    (<uint32_t *> (r.data + at))[0] = length
    (<uint32_t *> (r.data + at))[1] = 0
    r.next = r.head + skip + need
    return r.data + at + 8


cdef void ring_commit(ring *r) noexcept nogil:
    r.head = r.next
    store64(r.memory + RING_HEAD, r.head)


cdef bint ring_must_wake(ring *r) noexcept nogil:
    if r.memory == NULL:
        return False
    fence()      # the head must be visible before the reader's state is read
    return load32(r.memory + RING_SLEEPING) and exchange32(r.memory + RING_SLEEPING, 0)


# --- reader

cdef const uint8_t *_broken(ring *r) noexcept nogil:
    r.broken = True
    return NULL


cdef const uint8_t *ring_peek(ring *r, uint32_t *length) noexcept nogil:
    cdef uint64_t waiting
    cdef uint32_t at, size, given
    if r.memory == NULL or r.broken:
        return NULL
    if r.head == r.tail:
        r.head = load64(r.memory + RING_HEAD)
        if r.head == r.tail:
            return NULL
        if r.head - r.tail > r.size or r.head & 7:
            return _broken(r)
    waiting = r.head - r.tail
    at = <uint32_t> r.tail & (r.size - 1)
    given = load32(r.data + at)
    r.next = r.tail
    if given == RING_WRAP:
        if waiting <= r.size - at:
            return _broken(r)
        waiting -= r.size - at
        r.next += r.size - at
        at = 0
        given = load32(r.data)
    if given > r.size // 2:
        return _broken(r)
    size = _record_size(given)
    if size > waiting or size > r.size - at:
        return _broken(r)
    r.next += size
    length[0] = given
    return r.data + at + 8


cdef void ring_release(ring *r) noexcept nogil:
    r.tail = r.next
    store64(r.memory + RING_TAIL, r.tail)


cdef bint ring_sleep(ring *r) noexcept nogil:
    if r.memory == NULL or r.broken:
        return True
    exchange32(r.memory + RING_SLEEPING, 1)
    fence()
    if load64(r.memory + RING_HEAD) == r.tail:
        return True
    store32(r.memory + RING_SLEEPING, 0)
    return False


cdef void ring_awake(ring *r) noexcept nogil:
    if r.memory != NULL and load32(r.memory + RING_SLEEPING):
        store32(r.memory + RING_SLEEPING, 0)


# --- Python

cdef enum:
    SPOILT = 8                  # bytes that are all ones, of a record that is none any more


cdef inline bint _is_spoilt(const uint8_t *record, uint32_t length) noexcept nogil:
    return length >= SPOILT and (<const uint64_t *> record)[0] == <uint64_t> -1


def create_memory(uint32_t size):
    """A new sealed memfd for a ring of `size` bytes (a power of two, at least 4096)."""
    if size < 4096 or size & (size - 1):
        raise ValueError(f"ring size {size} is not a power of two of at least 4096")
    cdef int fd = os.memfd_create("pyvs-ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, RING_HEADER + size)
    except OSError:
        close(fd)
        raise
    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
    return fd


cdef class Ring:
    """One side of a ring, for tests and tools; a Ring is used as writer or as reader, not both."""

    cdef ring r

    def __cinit__(self, int fd):
        if ring_map(&self.r, fd) < 0:
            raise OSError(errno, os.strerror(errno))

    def __dealloc__(self):
        ring_unmap(&self.r)

    def push(self, bytes record not None):
        """Write a record; False when the ring has no room for it now."""
        cdef uint8_t *at = ring_reserve(&self.r, <uint32_t> len(record))
        if at == NULL:
            return False
        memcpy(at, <const uint8_t *> record, len(record))
        ring_commit(&self.r)
        return True

    def pop(self):
        """Take the oldest record; None when there is none."""
        cdef uint32_t length
        cdef const uint8_t *at = ring_peek(&self.r, &length)
        if at == NULL:
            return None
        record = at[:length]
        ring_release(&self.r)
        return record

    def n_waiting(self):
        """How many records wait, without taking them, but for those that spoil() met; None for a ring
        that is broken."""
        cdef ring r = self.r
        cdef uint32_t length, n = 0
        cdef const uint8_t *record
        while r.tail - self.r.tail < r.size:    # a writer that goes on meanwhile keeps us no longer
            record = ring_peek(&r, &length)
            if record == NULL:
                break
            r.tail = r.next
            n += not _is_spoilt(record, length)
        return None if r.broken else n

    def spoil(self, uint32_t at, bytes value not None):
        """Make nonsense, for who reads them, of the records that wait and have `value` at byte `at`;
        returns how many."""
        cdef ring r = self.r
        cdef uint32_t length, n = 0
        cdef const uint8_t *record
        cdef size_t size = <size_t> len(value)
        while r.tail - self.r.tail < r.size:    # likewise
            record = ring_peek(&r, &length)
            if record == NULL:
                break
            r.tail = r.next
            if _is_spoilt(record, length) or length < at + size:
                continue
            if memcmp(record + at, <const char *> value, size) == 0:
                memset(<uint8_t *> record, 0xff, SPOILT)
                n += 1
        return n

    @property
    def tail(self):
        """How many bytes were ever taken."""
        return self.r.tail

    def sleep(self):
        """As reader: ask to be woken; False when there is something to read."""
        return ring_sleep(&self.r)

    def must_wake(self):
        """As writer: whether the reader is to be woken."""
        return ring_must_wake(&self.r)

    @property
    def broken(self):
        return self.r.broken
