# What a controller action says, and the datapath's action for it.

from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t

from ofproto.rules.program cimport Program, op
from ofproto.xlate.state.context cimport XlateContext

# One packet-in to be, with what is known where its action ran.
cdef class Telling:
    cdef uint16_t max_len
    cdef uint16_t controller_id
    cdef uint8_t reason
    cdef uint8_t table_id
    cdef uint64_t cookie
    cdef uint32_t meter
    cdef bytes userdata


cdef Telling new_telling(XlateContext x, uint16_t max_len, int reason, uint16_t controller_id)
# That of OP_CONTROLLER.
cdef Telling telling_of(XlateContext x, Program program, const op *o)
# The datapath sends the packet, as it is by now, up with these data.
cdef int send_up(XlateContext x, Telling t, uint32_t state, bint pause) except -1
