# A rule's place in its subtable, as lookups see it.

from libc.stdint cimport int32_t, uint32_t, uint64_t

from ofproto.rules.program cimport conjunction

ctypedef struct rule_node:
    rule_node *next                 # next key in the bucket
    rule_node *lower                # same key, lower priority
    uint32_t hash
    int32_t priority
    uint32_t n_conjs                # 0: a rule of its own
    const conjunction *conjs        # the program's
    void *rule                      # Rule, borrowed: the classifier's dict holds the reference
    uint64_t *values                # shape.n words
