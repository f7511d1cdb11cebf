from libc.stdint cimport int64_t, uint64_t

from ofproto.flows.flows cimport Flows, Ukey
from ofproto.xlate.xbridge cimport XBridge


cdef class Revalidator:
    cdef readonly Flows flows
    cdef bint _ready
    cdef public int64_t interval        # ms between two rounds of statistics
    cdef public int64_t max_idle        # ms
    cdef public int step                # units of work per run() and kind, about a flow checked each
    cdef readonly dict counts
    cdef int64_t now                    # of this run()
    cdef object work                    # generator of the round under way, or None
    cdef int64_t started                # ms, the round
    cdef int64_t next_round
    cdef uint64_t round                 # number of the present or last round
    cdef bint strange                   # the last round met flows that nobody here knows
    cdef list queue                     # Ukeys to check, from the last one on
    cdef list moved                     # (Ukey, XBridge, key, moved) to look at, from the last one on
    cdef list doomed                    # Ukeys to delete before run() returns
    cdef bint blocked                   # the datapath takes no more changes just now
    cdef uint64_t checked               # generation that the queue is for
    cdef int check(self, Ukey ukey) except -1
    cdef bint put(self, Ukey ukey, bytes actions) except -1
    cdef int delete(self, Ukey ukey) except -1
    cdef int delete_doomed(self) except -1
    cdef int credit(self, Ukey ukey, info) except -1
    cdef int see(self, info) except -1
    cdef bint forget_lost(self, Ukey ukey) except -1
    cdef bint teach(self, info) except -1
    cdef int adopt(self, info) except -1
    cdef int run_macs(self, int budget) except -1
    cdef int run_round(self, int budget) except -1
    cdef int round_over(self) except -1
    cdef int run_checks(self, int budget) except -1
