from libc.stdint cimport int64_t, uint64_t

from ofproto.flows cimport Flows, Ukey


cdef class Revalidator:
    cdef readonly Flows flows
    cdef public bint ready
    cdef public int64_t interval        # ms between two rounds of statistics
    cdef public int64_t max_idle        # ms
    cdef public int step                # flows per run()
    cdef readonly dict counts
    cdef object dump                    # iterator of FlowInfo while a round goes on
    cdef int64_t next_dump
    cdef uint64_t round                 # number of the present or last round
    cdef list queue                     # Ukeys to check, from the last one on
    cdef list orphans                   # FlowInfo without a ukey, until the round ends
    cdef uint64_t checked               # generation that the queue is for
    cdef bint check(self, Ukey ukey, int64_t now) except -1
    cdef bint put(self, Ukey ukey, bytes actions, int64_t now) except -1
    cdef int delete(self, Ukey ukey, int64_t now) except -1
    cdef int credit(self, Ukey ukey, info, int64_t now) except -1
    cdef int see(self, info, int64_t now) except -1
    cdef int run_orphans(self, int64_t now) except -1
    cdef int adopt(self, info, int64_t now) except -1
    cdef int end_round(self, int64_t now) except -1
    cdef int run_macs(self, int64_t now) except -1
    cdef int run_dump(self, int64_t now, int budget) except -1
    cdef int run_checks(self, int64_t now, int budget) except -1
