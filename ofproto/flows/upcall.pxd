# The packets that come up from the datapath.

from libc.stdint cimport int64_t, uint32_t

from datapath.ipc.dpif cimport Dpif, upcall
from datapath.key.flow cimport flow_key
from ofproto.flows.flows cimport Flows, Ukey


cdef class UpcallHandler(Flows):
    cdef Dpif rings                     # the dpif, typed
    cdef bint change(self, Ukey ukey, bytes actions) except -1
    cdef int handle(self, upcall *u, int64_t now) except -1
    cdef int answer(self, upcall *u, int64_t now) except -1
    cdef int drop_port(self, upcall *u, int64_t now) except -1
    cdef int execute(self, upcall *u) except -1
    cdef int install(self, upcall *u, int64_t now) except -1
    cdef int packet_in(self, const upcall *u) except -1
