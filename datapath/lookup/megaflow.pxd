# The megaflow table: tuple space search.  Flows with the same mask share a subtable, a hash
# table of the masked nonzero words.  A table belongs to one thread; nothing here locks.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from datapath.key.flow cimport KEY_DP_WORDS, flow_key

cdef enum:
    INLINE_WORDS = 12           # words of a megaflow kept in the struct itself
    SLAB_FLOWS = 256
    MAX_FLOWS = 1 << 20         # of a table,
    MAX_SUBTABLES = 4096        # all of which a miss searches,
    MAX_ACTION_BYTES = 256 << 20    # and all actions together

cdef struct megaflow:
    uint64_t n_packets
    uint64_t n_bytes
    uint64_t used               # ns, CLOCK_MONOTONIC, of the last packet; 0: never
    uint8_t *actions            # owned by the table
    uint32_t actions_len
    uint16_t tcp_flags          # network order, OR of all packets
    bint live                   # false: the slot is free
    uint64_t generation         # moves on whenever the slot is freed; the EMC checks it
    uint8_t ufid[16]
    # private
    uint64_t *slab_used         # the same as `used`, of any flow of its slab
    uint64_t hash
    subtable *sub
    uint64_t *words             # the masked key, sub.n_words of them
    uint64_t inline_words[INLINE_WORDS]
    megaflow *next_free
    # of n_packets and n_bytes, those before the actions were last given; last, as they are rarely read
    uint64_t earlier_packets
    uint64_t earlier_bytes
    uint32_t kernel_slot        # of the kernel cache, its number + 1; 0: the flow is not there,
    bint kernel_never           # and cannot be

# Flows that were made one after the other, mostly: who looks for those that were used lately need
# not look at each.
cdef struct slab:
    uint64_t used
    megaflow flows[SLAB_FLOWS]

cdef struct slot:
    uint64_t hash
    megaflow *flow              # NULL: free

# Open addressing, at most half full.  What grew takes over a few of its former slots with each
# insertion: all at once, those of a large table stop the worker for tens of milliseconds.
cdef struct slot_table:
    slot *slots
    uint32_t mask               # slots - 1; a power of two
    slot *former                # half as many, NULL: none; those before `moved` are empty
    uint32_t moved

cdef struct subtable:
    uint32_t n_words            # how many words of the mask are not zero
    uint32_t n_flows
    slot_table flows
    uint64_t hits               # since the ranking was last halved
    uint64_t matches            # since the subtable was made
    uint8_t index[KEY_DP_WORDS]             # which words,
    uint64_t mask[KEY_DP_WORDS]             # their masks,
    uint64_t salt[KEY_DP_WORDS]             # and hash_salt of each, packed

cdef struct megaflow_table:
    subtable **subs             # best first
    uint32_t n_subs
    uint32_t room_subs
    uint32_t n_flows
    uint64_t action_bytes       # of all flows
    slab **slabs
    uint32_t n_slabs
    megaflow *free              # the first of those that are in no use,
    megaflow *free_last         # and the last, where there is a first
    slot_table by_ufid
    uint64_t lookups            # megaflow_lookup calls,
    uint64_t found              # those that found a flow,
    uint64_t probed             # and subtables searched in all

# 0, or -1 without memory.
cdef int megaflow_table_init(megaflow_table *t) noexcept nogil
cdef void megaflow_table_destroy(megaflow_table *t) noexcept nogil
# Adds a flow, or gives the flow of that ufid (same key, same mask) new actions and keeps its
# counters, noting what they were; *error: 0, EEXIST (the ufid has another key, or the key and mask another ufid), ENOMEM,
# ENOSPC (a bound of the table).
# key need not be masked.  Copies all it is given.
cdef megaflow *megaflow_insert(megaflow_table *t, const uint8_t *ufid, const flow_key *key,
                               const flow_key *mask, const uint8_t *actions, uint32_t length,
                               int *error) noexcept nogil
cdef megaflow *megaflow_find(megaflow_table *t, const uint8_t *ufid) noexcept nogil
cdef void megaflow_remove(megaflow_table *t, megaflow *f) noexcept nogil
cdef void megaflow_flush(megaflow_table *t) noexcept nogil
cdef megaflow *megaflow_lookup(megaflow_table *t, const flow_key *key) noexcept nogil
# Whether a flow, which may have been removed since it was found, is there and has this key.
cdef bint megaflow_matches(const megaflow *f, const flow_key *key) noexcept nogil
# Start with *cursor = 0; NULL at the end.  Flows may come and go between calls: one that stays
# is seen exactly once.
cdef megaflow *megaflow_next(const megaflow_table *t, uint32_t *cursor) noexcept nogil
# The cursor, moved on over flows of which it is clear at once that none was used at `since` or later.
cdef uint32_t megaflow_skip(const megaflow_table *t, uint32_t cursor, uint64_t since) noexcept nogil
# The whole masked key and the mask, KEY_DP_SIZE bytes each (the pipeline parts are zeroed).
cdef void megaflow_expand(const megaflow *f, flow_key *key, flow_key *mask) noexcept nogil

# Counts a packet for the flow.
cdef inline void megaflow_count(megaflow *f, uint32_t bytes, uint16_t tcp_flags) noexcept nogil:
    f.n_packets += 1
    f.n_bytes += bytes
    f.tcp_flags |= tcp_flags


cdef inline void megaflow_use(megaflow *f, uint64_t now) noexcept nogil:
    if now > f.used:
        f.used = now
    if now > f.slab_used[0]:
        f.slab_used[0] = now
