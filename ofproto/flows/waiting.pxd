# Upcalls that wait, by the port that they came in by.

from libc.stdint cimport uint32_t, uint64_t

from datapath.ipc.upcall_rings cimport upcall

cdef enum:
    N_LINES = 1024          # ports; more of them share

ctypedef struct waiting_upcall:
    waiting_upcall *next
    upcall u                # packet and userdata stand behind the struct

ctypedef struct line:       # of the upcalls of a port
    waiting_upcall *first
    waiting_upcall *last
    uint32_t length
    uint64_t n_bytes
    line *next              # in the circle of lines that are not empty


cdef class Waiting:
    cdef line lines[N_LINES]
    cdef line *turn         # the line before the one whose turn it is, or NULL
    cdef readonly uint32_t length
    cdef readonly uint64_t n_bytes
    # Copies an upcall; False where its line is full, or there is no memory for it.
    cdef bint put(self, const upcall *u) noexcept
    cdef bint has_room(self, const upcall *u) noexcept
    cdef void append(self, waiting_upcall *last) noexcept
    # Takes over all of `others`, in no time: each packet before those of its port that are ours.
    cdef void put_before(self, Waiting others) noexcept
    # The next one, from each line in turn, or NULL; to be freed.
    cdef waiting_upcall *take(self) noexcept
    cdef void join(self, line *at) noexcept
    cdef void clear(self) noexcept
