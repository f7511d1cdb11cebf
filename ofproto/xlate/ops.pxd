# What each compiled op does to the packet, by its code.

from libc.stdint cimport uint16_t, uint32_t

from ofproto.rules.program cimport Program, op, op_code
from ofproto.xlate.state.context cimport XlateContext

cdef enum:              # what an op tells of those behind it
    NO_MORE = 1         # the rest of this list is not to be run
    AGAIN = 2           # the packet is to be sent round, and the op run then

# One op, if the packet meets its prerequisite; returns one of these, or 0.
cdef int run_op(XlateContext x, Program program, const op *o) except -1
# Those that lead into tables, groups and other lists are above this module, which say by set_op()
# what they are.
ctypedef int (*op_function)(XlateContext x, Program program, const op *o) except -1
cdef int set_op(op_code code, op_function function) except -1

# The priority of a port's queue, for what goes out from here on.
cdef int set_queue(XlateContext x, uint16_t port, uint32_t queue) except -1
