# Conjunctive matches: what the alternatives (conjunction(ID, K/N)) that a packet matches amount to.

from libc.stdint cimport int32_t, uint32_t, uint64_t

from ofproto.rules.node cimport rule_node

cdef enum:
    FEW_SOFT = 16
    MAX_SOFT_STEPS = 65536      # looked at for one lookup: less than a millisecond

ctypedef struct soft_set:       # a subtable's best match, where that is an alternative
    rule_node **nodes
    uint32_t n
    uint32_t capacity
    uint32_t steps              # spent
    uint64_t version            # of the tables that is seen
    rule_node *few[FEW_SOFT]

cdef void soft_init(soft_set *s) noexcept nogil
cdef void soft_free(soft_set *s) noexcept nogil
# False: no memory.
cdef bint soft_add(soft_set *s, rule_node *node) noexcept nogil
# Forgets what is not above `floor`; the highest priority of the others, or -1 when there is none or
# the work was too much.
cdef int32_t soft_top(soft_set *s, int32_t floor) noexcept nogil
# Whether those of priority `top` have an alternative of each dimension of some conjunction, whose
# ID then goes to `found`.
cdef bint soft_complete(soft_set *s, int32_t top, uint32_t *found) noexcept nogil
# In the place of each of priority `top`, the next lower one with the same match.  Where that is a
# rule of its own, it goes to `hard`, if it is above that one.
cdef void soft_descend(soft_set *s, int32_t top, rule_node **hard) noexcept nogil
