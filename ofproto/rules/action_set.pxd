# What write_actions gathered, in the order in which it is run.

from libc.stdint cimport uint32_t

from ofproto.rules.program cimport Program

# The text of an action; strings stand for themselves.
cdef str action_text(action)
cdef uint32_t count_ops(list programs) except? 0xffffffff
cdef bint has_group(list programs) except -1
# One program of the last action of each kind, in the order of the kinds.
cdef Program order_action_set(list programs)
