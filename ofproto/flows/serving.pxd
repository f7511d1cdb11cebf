from libc.stdint cimport int64_t

from ofproto.flows.revalidator cimport Revalidator
from ofproto.flows.upcall cimport UpcallHandler
from pyvs.poller cimport Server


cdef class UpcallServer(Server):
    cdef object backer
    cdef UpcallHandler handler
    cdef Revalidator revalidator
    # False: the datapath refuses something, or is gone; Backer was told.
    cdef bint answer(self, int64_t now) except -1
    cdef bint is_settled(self) noexcept
