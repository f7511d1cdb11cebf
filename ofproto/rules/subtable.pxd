# Rules of one mask, and the search over the subtables of a table.

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from ofproto.rules.conjunctive cimport soft_set
from ofproto.rules.node cimport rule_node
from ofproto.rules.prefix cimport prefix_answer, prefix_trie
from ofproto.rules.shape cimport N_STAGES, Shape

cdef enum:
    # Tries of the tunnel's id, IPv4 and IPv6 source and destination; of IPv4 source, destination,
    # IPv6 source, destination; of source port, destination port.
    TUNNEL_TRIES_END = 5
    L3_TRIES_END = 9
    N_TRIES = 11

# The members that have tries: byte offset and bits.
cdef size_t TRIE_AT[N_TRIES]
cdef uint32_t TRIE_BITS[N_TRIES]

ctypedef struct stage_count:        # how many keys of a subtable have this hash up to a stage
    uint32_t hash
    uint32_t count                  # 0: free or deleted
    uint8_t used

ctypedef struct stage_set:
    stage_count *slots
    uint32_t mask
    uint32_t fill                   # slots that are used
    uint32_t live                   # hashes that count, of those below, too
    stage_count *old                # slots of which the first `moved` have nothing any more, or NULL
    uint32_t old_mask
    uint32_t moved

ctypedef struct subtable:
    uint32_t n
    const uint8_t *index            # the Shape's arrays
    const uint64_t *mask
    uint8_t stage_end[N_STAGES]
    stage_set stages[N_STAGES - 1]
    rule_node **buckets
    uint32_t bucket_mask            # of the least power of 2 that is no less than
    uint32_t n_buckets
    uint32_t n_keys
    int32_t max_priority
    uint8_t prefix[N_TRIES]         # bits of each member that the mask has as a prefix, or 0

# What one lookup has asked the tries so far.
ctypedef struct prefix_state:
    const prefix_trie *tries
    uint32_t used                   # a bit for each trie that may be asked
    prefix_answer answers[N_TRIES]
    bint asked[N_TRIES]


# Owner of a subtable's memory, and what its highest priority is.
cdef class SubtableObject:
    cdef subtable t
    cdef Shape shape
    cdef uint32_t n_rules
    cdef dict priorities                # priority -> number of rules


# The link that holds the list of rules with node's key, or the end of its bucket.
cdef rule_node **subtable_place(subtable *t, const rule_node *node) noexcept nogil
# Counts a new key in, or one that is gone out of, the stage sets.
cdef int subtable_stages(subtable *t, const rule_node *node, bint add) except -1
cdef int subtable_grow(subtable *t) except -1

# The rule of highest priority; ors the bits that decided it into `wc` (may be NULL).
# Alternatives of conjunctive matches above it go to `soft`; NULL: they are passed over.
cdef rule_node *search(subtable **order, uint32_t n, const prefix_trie *tries, uint32_t used,
                       const uint64_t *key, uint64_t *wc, soft_set *soft,
                       uint64_t version) noexcept nogil
