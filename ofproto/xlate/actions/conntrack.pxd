# Connection tracking: the ct action, and what the tables see of a tracked packet.

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from ofproto.rules.program cimport Program, op
from ofproto.xlate.state.context cimport XlateContext

# What was before exec(): the zone, which may come from what exec() writes, and what the mask had of
# ct_mark and ct_label, which says within exec() what is to be written.
ctypedef struct before_exec:
    uint16_t zone               # network order
    uint32_t mark
    uint8_t label[16]

# A ct action is start_exec(), the run of its exec()'s actions, and track().
cdef before_exec start_exec(XlateContext x, const op *o) except *
cdef int track(XlateContext x, Program program, const op *o, const before_exec *outer) except -1
cdef int ct_clear(XlateContext x) except -1
# Whether the packet has an original direction to look it up by; swap_tuple() does, and undoes, it.
cdef bint has_tuple(XlateContext x) noexcept
cdef void swap_tuple(XlateContext x) noexcept
