# A ring of records in shared memory, one writer and one reader, in two processes that need not
# trust each other: each side keeps its own position in private memory, believes nothing that it
# reads from the shared part without checking it, and declares the ring broken where it lies.
#
# The memory is a memfd, sealed against resizing: RING_HEADER bytes, then `size` bytes of records.
# A record is u32 length, u32 0, `length` bytes, padded to 8; it never wraps: a length of WRAP
# says that the next record is at the start.
#
# A reader that is about to sleep says so; only then does the writer spend a system call on
# waking it (by a doorbell).

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    RING_HEADER = 4096
    RING_WRAP = 0xffffffff
    # offsets in the header, a cache line each
    RING_HEAD = 0               # u64, written by the writer: bytes ever written
    RING_TAIL = 128             # u64, written by the reader: bytes ever taken
    RING_SLEEPING = 256         # u32: 1 when the reader wants to be woken

cdef struct ring:
    uint8_t *memory             # NULL: no ring
    uint8_t *data
    uint32_t size               # a power of two
    uint64_t head               # the writer's own position, or the reader's last sight of it
    uint64_t tail               # the reader's own position, or the writer's last sight of it
    uint64_t next               # where the position goes at commit or release
    bint broken                 # the peer wrote nonsense: nothing passes any more

# Maps the memory of `fd`; 0, or -1 with errno (EINVAL: no ring of ours).  The fd may be closed.
cdef int ring_map(ring *r, int fd) noexcept nogil
cdef void ring_unmap(ring *r) noexcept nogil

# Writer.  Room for a record of `length` bytes, 8-byte aligned, NULL when it does not fit now.
# Nothing is visible to the reader before ring_commit; another reserve forgets the first.
cdef uint8_t *ring_reserve(ring *r, uint32_t length) noexcept nogil
cdef void ring_commit(ring *r) noexcept nogil
# Whether the reader sleeps and wants its doorbell rung; true only once for each sleep.
cdef bint ring_must_wake(ring *r) noexcept nogil
# Bytes that are free by now; 0 in a broken ring.
cdef uint32_t ring_free(ring *r) noexcept nogil

# Reader.  The oldest record, or NULL: empty (or broken).  The bytes stay the writer's to spoil:
# copy what is checked.  Valid until ring_release, which takes the record out.
cdef const uint8_t *ring_peek(ring *r, uint32_t *length) noexcept nogil
cdef void ring_release(ring *r) noexcept nogil
# Says that the reader will sleep.  False: there is something to read, do not.
cdef bint ring_sleep(ring *r) noexcept nogil
cdef void ring_awake(ring *r) noexcept nogil
