# A binary trie of address prefixes.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    MAX_PREFIX = 128        # bits

ctypedef struct prefix_node:
    uint32_t child[2]       # 0: none (the root is nobody's child)
    uint32_t here           # prefixes that end here
    uint32_t below          # prefixes that end here or below

ctypedef struct prefix_trie:
    prefix_node *nodes      # [0] is the root
    uint32_t used           # nodes ever taken
    uint32_t capacity
    uint32_t free           # list of given back nodes by child[0]; 0: none

# What a trie says of an address: the lengths of the prefixes it starts with, and how many of its
# bits are enough to know that there are no others.
ctypedef struct prefix_answer:
    uint64_t lengths[3]     # bit i: a prefix of i bits matches
    uint32_t n_bits

cdef int prefix_add(prefix_trie *t, const uint8_t *address, uint32_t length) except -1
# The prefix must be there.
cdef void prefix_remove(prefix_trie *t, const uint8_t *address, uint32_t length) noexcept nogil
cdef void prefix_free(prefix_trie *t) noexcept nogil
cdef void prefix_lookup(const prefix_trie *t, const uint8_t *address, uint32_t width,
                        prefix_answer *answer) noexcept nogil
# Length of a mask that is a prefix of `width` bits, 0 for all others.
cdef uint32_t prefix_length(const uint8_t *mask, uint32_t width) noexcept nogil
# Sets the first n bits.
cdef void prefix_mask(uint8_t *mask, uint32_t n) noexcept nogil
