# The exact-match cache in front of the megaflow table: whole keys, two ways, fixed size.
#
# A key is cached as its nonzero words.  For a burst: extract and emc_prepare every packet (this
# prefetches its entries), then emc_classify each.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from datapath.key.flow cimport flow_key
from datapath.lookup.megaflow cimport megaflow, megaflow_table
from datapath.lookup.smc cimport smc

cdef enum:
    EMC_ENTRIES = 32768         # 8,000 flows seldom meet in a set
    # Keys with more nonzero words are not cached: TCP over IPv6 with a tag, tracked, has 20.
    EMC_WORDS = 20
    SHAPE_BITS = 3
    EMC_SHAPES = 1 << SHAPE_BITS

cdef struct emc_key:
    uint64_t hash
    uint64_t map                # which words of the key are nonzero
    uint32_t n                  # how many; 0: cannot be cached
    uint64_t words[EMC_WORDS]

# Where the nonzero words are of keys that flow_extract() gave one map: packets mostly look alike.
cdef struct emc_shape:
    uint64_t given              # that map; 0: no shape yet
    uint64_t map                # of the words that are nonzero
    uint32_t n
    uint32_t n_zero
    uint8_t index[EMC_WORDS]    # of the nonzero words
    uint8_t zero[64]            # of those that the given map names besides
    uint64_t salt[EMC_WORDS]    # hash_salt of each index

cdef struct emc_entry:          # three cache lines, of which untracked IPv4 needs two
    uint64_t hash
    uint64_t map                # 0: empty
    megaflow *flow
    uint64_t generation         # of the flow when cached
    uint64_t words[EMC_WORDS]

cdef struct emc:
    emc_entry *entries
    uint64_t hits
    uint64_t misses
    uint64_t inserted
    uint32_t chance             # of a flow to be cached; 0xffffffff: always, 0: never
    uint32_t dice
    bint closed                 # to flows of the packets at hand
    emc_shape shapes[EMC_SHAPES]
    smc signatures              # the next level, where it has entries

cdef int emc_init(emc *e) noexcept nogil        # 0, or -1 without memory
cdef void emc_destroy(emc *e) noexcept nogil
cdef void emc_clear(emc *e) noexcept nogil
# `map`: what flow_extract returned for the key (or key_map(key)).
cdef void emc_prepare(emc *e, emc_key *k, const flow_key *key, uint64_t map) noexcept nogil
cdef megaflow *emc_lookup(emc *e, const emc_key *k) noexcept nogil
cdef void emc_insert(emc *e, const emc_key *k, megaflow *f) noexcept nogil
# The chance is 1 / inverse, 0: never.  0, or -1 without memory for the signatures.
cdef int emc_tune(emc *e, uint32_t inverse, bint signatures) noexcept nogil
# The caches, then the table (a find there is cached); NULL: a miss, for an upcall.
cdef megaflow *emc_classify(emc *e, megaflow_table *t, const emc_key *k,
                            const flow_key *key) noexcept nogil
