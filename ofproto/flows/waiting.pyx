"""Upcalls that wait, by the port that they came in by.

The ring has all ports' packets in the order in which they came.  Where one port sends more than is
handled, its packets would be nearly all of them, and the others' be lost at the ring's end.  So
what is left in the ring after a turn is put here in a line for each port, and the lines are served
in turn: who sends too much loses of its own.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from datapath.ipc.upcall_rings cimport upcall

cdef enum:
    # As much as a ring has for one port: a burst of new connections fits in.
    MAX_LINE = 4096             # upcalls
    MAX_LINE_BYTES = 8 << 20
    MAX_BYTES = 64 << 20        # of all ports

cdef extern from "arpa/inet.h" nogil:
    uint32_t ntohl(uint32_t)


cdef inline size_t memory_of(const upcall *u) noexcept:
    return sizeof(waiting_upcall) + u.packet_size + u.userdata_size


cdef class Waiting:
    def __cinit__(self):
        memset(self.lines, 0, sizeof(self.lines))

    def __dealloc__(self):
        self.clear()

    cdef bint has_room(self, const upcall *u) noexcept:
        cdef line *at = &self.lines[ntohl(u.key.in_port) % N_LINES]
        cdef size_t size = memory_of(u)
        return (at.length < MAX_LINE and at.n_bytes + size <= MAX_LINE_BYTES
                and self.n_bytes + size <= MAX_BYTES)

    cdef bint put(self, const upcall *u) noexcept:
        cdef waiting_upcall *copy
        if not self.has_room(u):
            return False
        copy = <waiting_upcall *> malloc(memory_of(u))
        if copy is NULL:
            return False
        copy.u = u[0]
        copy.u.packet = <uint8_t *> (copy + 1)
        copy.u.userdata = copy.u.packet + u.packet_size
        memcpy(<uint8_t *> copy.u.packet, u.packet, u.packet_size)
        memcpy(<uint8_t *> copy.u.userdata, u.userdata, u.userdata_size)
        self.append(copy)
        return True

    cdef void append(self, waiting_upcall *last) noexcept:
        """At the end of its port's line; it is ours from now on."""
        cdef line *at = &self.lines[ntohl(last.u.key.in_port) % N_LINES]
        cdef size_t size = memory_of(&last.u)
        last.next = NULL
        if at.first is NULL:
            at.first = last
            self.join(at)
        else:
            at.last.next = last
        at.last = last
        at.length += 1
        self.length += 1
        at.n_bytes += size
        self.n_bytes += size

    cdef void put_before(self, Waiting others) noexcept:
        """All of `others`, which have no more then, stand before ours of the same ports."""
        cdef line *at
        cdef line *other
        cdef int i
        for i in range(N_LINES):
            at, other = &self.lines[i], &others.lines[i]
            if other.first is NULL:
                continue
            if at.first is NULL:
                at.last = other.last
                self.join(at)
            else:
                other.last.next = at.first
            at.first = other.first
            at.length += other.length
            at.n_bytes += other.n_bytes
        self.length += others.length
        self.n_bytes += others.n_bytes
        memset(others.lines, 0, sizeof(others.lines))
        others.turn = NULL
        others.length = others.n_bytes = 0

    cdef void join(self, line *at) noexcept:
        """Behind all that wait now."""
        if self.turn is NULL:
            at.next = at
        else:
            at.next = self.turn.next
            self.turn.next = at
        self.turn = at

    cdef waiting_upcall *take(self) noexcept:
        cdef line *at
        cdef waiting_upcall *first
        if self.turn is NULL:
            return NULL
        at = self.turn.next
        first = at.first
        at.first = first.next
        at.length -= 1
        if at.first is not NULL:
            self.turn = at
        elif at is self.turn:
            self.turn = NULL
        else:
            self.turn.next = at.next
        self.length -= 1
        at.n_bytes -= memory_of(&first.u)
        self.n_bytes -= memory_of(&first.u)
        return first

    cdef void clear(self) noexcept:
        cdef waiting_upcall *first = self.take()
        while first is not NULL:
            free(first)
            first = self.take()
