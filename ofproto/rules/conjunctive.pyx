"""Conjunctive matches (ovs-fields(7), "Conjunctive match fields").

A rule whose actions are conjunction(ID, K/N) is an alternative of dimension K of conjunction ID.
Where a packet matches an alternative of each of the N dimensions, all of one priority, it is looked
up again with `conj_id` ID.  What may be many (subtables, alternatives of a rule, priorities) is
counted in `steps`, and what is more than MAX_SOFT_STEPS is not looked at.
"""

from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from datapath.base.hashing cimport hash_finish
from ofproto.rules.node cimport first_seen
from ofproto.rules.program cimport conjunction

cdef enum:
    FEW_SLOTS = 64

ctypedef struct dimensions:     # of one conjunction
    uint32_t id
    uint32_t used
    uint64_t found


cdef void soft_init(soft_set *s) noexcept nogil:
    s.nodes = s.few
    s.n = s.steps = 0
    s.capacity = FEW_SOFT


cdef void soft_free(soft_set *s) noexcept nogil:
    if s.nodes != s.few:
        free(s.nodes)
    soft_init(s)


cdef bint soft_add(soft_set *s, rule_node *node) noexcept nogil:
    cdef rule_node **more
    if s.n == s.capacity:
        more = <rule_node **> malloc(4 * s.capacity * sizeof(rule_node *))
        if more is NULL:
            return False
        memcpy(more, s.nodes, s.n * sizeof(rule_node *))
        if s.nodes != s.few:
            free(s.nodes)
        s.nodes = more
        s.capacity *= 4
    s.nodes[s.n] = node
    s.n += 1
    return True


cdef int32_t soft_top(soft_set *s, int32_t floor) noexcept nogil:
    cdef uint32_t i = 0
    cdef int32_t top = -1
    s.steps += s.n
    if s.steps > MAX_SOFT_STEPS:
        return -1
    while i < s.n:
        if s.nodes[i] is NULL or s.nodes[i].priority <= floor:
            s.n -= 1
            s.nodes[i] = s.nodes[s.n]
            continue
        top = max(top, s.nodes[i].priority)
        i += 1
    return top


cdef bint soft_complete(soft_set *s, int32_t top, uint32_t *found) noexcept nogil:
    cdef dimensions few[FEW_SLOTS]
    cdef dimensions *slots = few
    cdef uint32_t i, total = 0, size = FEW_SLOTS
    cdef bint done = False
    for i in range(s.n):
        if s.nodes[i].priority == top:
            total += min(s.nodes[i].n_conjs, <uint32_t> MAX_SOFT_STEPS)
            if s.steps + total > MAX_SOFT_STEPS:
                s.steps = MAX_SOFT_STEPS + 1
                return False
    s.steps += total
    while size < 2 * total:
        size *= 2
    if size > FEW_SLOTS:
        slots = <dimensions *> calloc(size, sizeof(dimensions))
        if slots is NULL:
            s.steps = MAX_SOFT_STEPS + 1
            return False
    else:
        memset(few, 0, sizeof(few))
    for i in range(s.n):
        if s.nodes[i].priority == top and mark(slots, size - 1, s.nodes[i], found):
            done = True
            break
    if slots != few:
        free(slots)
    return done


cdef bint mark(dimensions *slots, uint32_t mask, const rule_node *node,
               uint32_t *found) noexcept nogil:
    """Enters a rule's alternatives; whether one was the last that its conjunction lacked."""
    cdef const conjunction *each
    cdef dimensions *slot
    cdef uint32_t i
    for i in range(node.n_conjs):
        each = &node.conjs[i]
        slot = slot_of_id(slots, mask, each.id)
        slot.found |= <uint64_t> 1 << each.clause
        if slot.found == ~<uint64_t> 0 >> (64 - each.n_clauses):
            found[0] = each.id
            return True
    return False


cdef dimensions *slot_of_id(dimensions *slots, uint32_t mask, uint32_t id) noexcept nogil:
    cdef uint32_t at = <uint32_t> hash_finish(id) & mask
    while slots[at].used and slots[at].id != id:
        at = (at + 1) & mask
    slots[at].used = 1
    slots[at].id = id
    return &slots[at]


cdef void soft_descend(soft_set *s, int32_t top, rule_node **hard) noexcept nogil:
    cdef uint32_t i
    cdef rule_node *node
    for i in range(s.n):
        node = s.nodes[i]
        if node.priority != top:
            continue
        node = first_seen(node.lower, s.version)
        if node is not NULL and not node.n_conjs:
            if hard[0] is NULL or node.priority > hard[0].priority:
                hard[0] = node
            node = NULL         # nothing below it counts
        s.nodes[i] = node       # NULL: soft_top() forgets it
