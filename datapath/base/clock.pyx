"""The clock of one datapath process; see clock.pxd."""

from libc.stdint cimport uint64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

# Written by the control thread while workers read: each is one aligned word.
cdef uint64_t stopped_at = 0    # ns; 0: it runs
cdef uint64_t ahead = 0         # ns that it was put forward


cdef uint64_t kernel_ns() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <uint64_t> t.tv_sec * 1000000000 + <uint64_t> t.tv_nsec


cdef uint64_t clock_ns() noexcept nogil:
    return (stopped_at if stopped_at else kernel_ns()) + ahead


def set_clock(stopped, forward):
    """`stopped`: ns at which it stands, None where it runs; `forward`: ns that it is ahead."""
    global stopped_at, ahead
    stopped_at, ahead = stopped or 0, forward


def now_ms():
    """Milliseconds of this clock."""
    return clock_ns() // 1000000
