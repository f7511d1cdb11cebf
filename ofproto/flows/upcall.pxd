# The packets that come up from the datapath.

from libc.stdint cimport int64_t, uint8_t, uint64_t

from datapath.ipc.upcall_rings cimport UpcallRings, upcall
from datapath.key.flow cimport flow_key
from ofproto.flows.flows cimport Flows
from ofproto.flows.ukeys cimport Ukey
from ofproto.flows.waiting cimport Waiting


cdef class UpcallHandler:
    cdef readonly Flows flows
    cdef bint verbose                   # what comes up is told in the log
    cdef Waiting waiting                # packets of ports that send more than is served at once
    cdef Waiting early                  # packets of ports that nobody asked for yet
    # There are bridges to come: what comes by their ports is not to be lost.
    cdef public bint expecting
    cpdef int run(self, int64_t now, int limit=*) except -1
    # The units of work that it took.
    cdef int answer_some(self, UpcallRings rings, int64_t now, int limit) except -1
    cdef int guarded(self, upcall *u, int64_t now) except -1
    cdef int handle(self, upcall *u, int64_t now) except -1
    cdef int answer(self, upcall *u, int64_t now) except -1
    cdef int tell_failure(self, const flow_key *key) except -1
    cdef int drop_port(self, upcall *u, int64_t now) except -1
    cdef int execute(self, upcall *u) except -1
    cdef int execute_rest(self, upcall *u, int64_t now) except -1
    cdef int count(self, const upcall *u, int64_t now) except -1
    cdef uint64_t send_down(self, upcall *u, const uint8_t *ufid) noexcept
    cdef int install(self, upcall *u, int64_t now) except -1
    cdef int tell(self, Ukey ukey, bint is_new) except -1
    cdef int packet_in(self, const upcall *u) except -1
    cdef int sampled(self, const upcall *u) except -1
    cdef int to_controller(self, const upcall *u, bytes packet) except -1
