# A rule's place in its subtable, as lookups see it.

from libc.stdint cimport int32_t, uint32_t, uint64_t

from ofproto.rules.program cimport conjunction

cdef extern from *:
    """
    #define NEVER UINT64_MAX
    """
    const uint64_t NEVER


ctypedef struct rule_node:
    rule_node *next                 # next key in the bucket
    rule_node *lower                # same key, lower priority
    uint32_t hash
    int32_t priority
    uint64_t added                  # the versions (view.View) that see it: from this one on
    uint64_t removed                # to before this one
    uint32_t n_conjs                # 0: a rule of its own
    const conjunction *conjs        # the program's
    void *rule                      # Rule, borrowed: the classifier holds the reference
    uint64_t *values                # shape.n words


cdef inline bint is_seen(const rule_node *node, uint64_t version) noexcept nogil:
    return node.added <= version < node.removed


cdef inline rule_node *first_seen(rule_node *node, uint64_t version) noexcept nogil:
    """The first of a list by `lower` that a version sees, or NULL."""
    while node is not NULL and not is_seen(node, version):
        node = node.lower
    return node
