from libc.stdint cimport int64_t, uint32_t, uint64_t

from datapath.ipc.flow_records cimport FlowRecords, flow_record
from ofproto.flows.flows cimport Flows
from ofproto.flows.ukeys cimport Ukey


cdef class Revalidator:
    cdef readonly Flows flows
    cdef bint _ready
    cdef public int64_t interval        # ms between two rounds of statistics
    cdef public int64_t max_idle        # ms
    cdef public bint paused             # run() does nothing: for tests
    cdef public int step                # units of work per run() and kind, about a flow checked each
    cdef readonly dict counts
    cdef int64_t now                    # of this run()
    cdef bint verbose                   # changes of flows are told in the log
    cdef object work                    # generator of the round under way, or None
    cdef int64_t started                # ms, the round
    cdef int64_t counted                # ms, when the last whole dump of what was used began
    cdef int64_t next_round
    cdef int64_t next_whole
    cdef int64_t next_sweep
    cdef uint64_t round                 # number of the present or last round,
    cdef uint32_t n_seen                # and how many flows it has been shown
    cdef uint64_t dumped                # the last round whose dump is over
    cdef uint64_t wanted                # the round that somebody waits for
    cdef readonly uint64_t collected    # the last round whose counters are all credited
    cdef bint strange                   # the last round met flows that nobody here knows
    cdef bint unknown                   # there are such, for the next whole round to adopt
    cdef bint keyed                     # the present one is shown keys, for adopting what it meets
    cdef list queue                     # Ukeys to check, from the last one on
    cdef uint64_t mac_changes           # of all bridges' tables, so far
    cdef list moved                     # (Ukey, XBridge, key, moved) to look at, from the last one on
    cdef list doomed                    # Ukeys to delete before run() returns
    cdef bint blocked                   # the datapath takes no more changes just now
    cdef uint64_t checked               # generation that the queue is for
    cdef readonly uint64_t passed       # generation for which all flows were checked
    cdef uint64_t hurried               # the same of those that changed rules can have to do with
    cdef int64_t next_pass              # ms; till then those of hurry() are enough
    cdef int64_t pass_in(self, int64_t now) noexcept
    cdef list touched(self, list changes)
    cdef int check(self, Ukey ukey) except -1
    cdef bint retranslate(self, Ukey ukey) except -1
    cdef bint put(self, Ukey ukey, bytes actions) except -1
    cdef int delete(self, Ukey ukey) except -1
    cdef int delete_doomed(self) except -1
    cdef int credit_gone(self, FlowRecords gone) except -1
    cdef int credit(self, Ukey ukey, const flow_record *info) except -1
    cdef int credit_previous(self, Ukey ukey, const flow_record *info) except -1
    # The flows of a piece of a dump; those that nobody here knows go to the list, where they are to be
    # adopted.  The units of work.
    cdef int see_piece(self, FlowRecords piece, list orphans) except -1
    cdef int see(self, Ukey ukey, FlowRecords piece, const flow_record *info) except -1
    # Lets go of a flow that the datapath lost, or that is idle; the units of work.
    cdef int miss(self, Ukey ukey) except -1
    cdef int expire(self, Ukey ukey) except -1
    cdef int64_t idle_time(self) noexcept
    cdef bint teach(self, info) except -1
    cdef int adopt(self, info) except -1
    cdef int run_macs(self, int budget) except -1
    cdef int run_some(self, int64_t now, int budget) except -1
    cdef int run_round(self, int budget) except -1
    cdef int begin_next(self) except -1
    cdef int round_over(self) except -1
    cdef int adapt_limit(self, int64_t duration) except -1
    cdef int run_checks(self, int budget) except -1
