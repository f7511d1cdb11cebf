# Freezing a translation: the packet goes round through the datapath and comes back to go on.

from libc.stdint cimport uint16_t

from ofproto.rules.program cimport Program, op
from ofproto.xlate.state.context cimport XlateContext
from ofproto.xlate.state.recirc cimport FrozenState
from ofproto.xlate.state.to_controller cimport Telling

# The actions end here.  Who runs them adds to x.todo what is left of each list, innermost first.
cdef int freeze(XlateContext x) except -1
# Where actions were frozen: sends the packet round, to go on with x.todo.
cdef int finish_freezing(XlateContext x) except -1
# The same, but the packet goes to the controllers, who send it on.
cdef int pause(XlateContext x, Telling told) except -1
# The same, but translation goes on in both of the cases that the datapath tells apart by the packet's
# length; o[at] is OP_CHECK_LARGER.
cdef int check_larger(XlateContext x, Program program, const op *o) except -1
# The steps of x.todo, and what is at the end of a list.  They are above this module, which is told.
ctypedef int (*continuing)(XlateContext x, list todo) except -1
cdef int set_continuing(continuing run) except -1
# Sends the packet, as it is by now, to the controllers.
cdef int tell(XlateContext x, Telling told) except -1
# Goes on where a packet was frozen; its steps are the caller's to run.
cdef int thaw(XlateContext x, FrozenState state) except -1
# What translation is to go on with, once the packet comes round: interned, or None when that failed.
# `told`: of a packet for the controllers.
cdef FrozenState frozen_state(XlateContext x, list todo, Telling told)
# Whether an action looks at headers that a popped MPLS label or I-TAG hid (eth_type 0: an I-TAG).
cdef bint needs_headers(const op *o, uint16_t eth_type) noexcept nogil
