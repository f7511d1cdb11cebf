"""A binary trie of prefixes, so that a lookup knows with few bits which ones cannot match.

Without it, a table with one host route would make every megaflow match the whole address: to miss
the route's subtable all its bits are looked at.  A rule for one port would do the same to ports.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset


cdef inline uint32_t bit_at(const uint8_t *address, uint32_t i) noexcept nogil:
    return address[i >> 3] >> (7 - (i & 7)) & 1


cdef uint32_t take_node(prefix_trie *t) except? 0xffffffff:
    """A zeroed node's number."""
    cdef uint32_t at = t.free
    cdef uint32_t room
    cdef prefix_node *grown
    if at:
        t.free = t.nodes[at].child[0]
    else:
        if t.used == t.capacity:
            room = 2 * t.capacity + 64
            grown = <prefix_node *> realloc(t.nodes, room * sizeof(prefix_node))
            if grown is NULL:
                raise MemoryError
            t.nodes = grown
            t.capacity = room
        at = t.used
        t.used += 1
    memset(&t.nodes[at], 0, sizeof(prefix_node))
    return at


cdef int prefix_add(prefix_trie *t, const uint8_t *address, uint32_t length) except -1:
    cdef uint32_t at = 0, i, bit, fresh
    if not t.used:
        take_node(t)
    for i in range(length):
        bit = bit_at(address, i)
        if not t.nodes[at].child[bit]:
            fresh = take_node(t)
            t.nodes[at].child[bit] = fresh
        at = t.nodes[at].child[bit]
        t.nodes[at].below += 1
    t.nodes[at].here += 1
    return 0


cdef void prefix_remove(prefix_trie *t, const uint8_t *address, uint32_t length) noexcept nogil:
    cdef uint32_t at = 0, i, bit, following
    cdef uint32_t *link = NULL
    for i in range(length):
        bit = bit_at(address, i)
        link = &t.nodes[at].child[bit]
        at = link[0]
        t.nodes[at].below -= 1
        if i + 1 == length:
            t.nodes[at].here -= 1
    # Give back the empty end of the path.
    at = 0
    for i in range(length):
        bit = bit_at(address, i)
        following = t.nodes[at].child[bit]
        if not t.nodes[following].below:
            t.nodes[at].child[bit] = 0
            free_path(t, following, address, i + 1, length)
            return
        at = following


cdef void free_path(prefix_trie *t, uint32_t at, const uint8_t *address, uint32_t i,
                    uint32_t length) noexcept nogil:
    """Gives back a node that leads to nothing, with the one child it may have and so on."""
    cdef uint32_t following
    while True:
        following = t.nodes[at].child[bit_at(address, i)] if i < length else 0
        t.nodes[at].child[0] = t.free
        t.free = at
        if not following:
            return
        at = following
        i += 1


cdef void prefix_free(prefix_trie *t) noexcept nogil:
    """Gives back its memory: it is empty then."""
    free(t.nodes)
    memset(t, 0, sizeof(prefix_trie))


cdef void prefix_lookup(const prefix_trie *t, const uint8_t *address, uint32_t width,
                        prefix_answer *answer) noexcept nogil:
    cdef uint32_t at = 0, depth = 0, following
    memset(answer, 0, sizeof(prefix_answer))
    if not t.used:
        return
    while depth < width and (t.nodes[at].child[0] or t.nodes[at].child[1]):
        following = t.nodes[at].child[bit_at(address, depth)]
        depth += 1
        if not following:
            break
        at = following
        if t.nodes[at].here:
            answer.lengths[depth >> 6] |= <uint64_t> 1 << (depth & 63)
    answer.n_bits = depth


cdef uint32_t prefix_length(const uint8_t *mask, uint32_t width) noexcept nogil:
    cdef uint32_t n = 0, i
    while n < width and bit_at(mask, n):
        n += 1
    for i in range(n, width):
        if bit_at(mask, i):
            return 0
    return n


cdef void prefix_mask(uint8_t *mask, uint32_t n) noexcept nogil:
    cdef uint32_t i
    for i in range(n >> 3):
        mask[i] = 0xff
    if n & 7:
        mask[n >> 3] |= <uint8_t> (0xff << (8 - (n & 7)) & 0xff)
