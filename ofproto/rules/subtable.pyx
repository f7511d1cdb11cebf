"""Subtables of the tuple space search: the rules of one mask, by the masked words of the key.

A lookup goes through the words in four stages (metadata, L2, L3, L4); where no rule has the words
up to a stage, it stops there, and only the bits up to that stage enter the megaflow's mask: a
packet that differs in the other bits misses this subtable, too.  Before L3, tries of the rules'
address prefixes may say, with a few bits of the address, that no rule of the subtable can match;
before L4, tries of ports do, and before all of it, where the table's owner asks for them, tries of
the tunnel's header.
"""

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

from datapath.base.hashing cimport hash_word
from datapath.key.flow cimport KEY_WORDS, NO_KEY, key_at
from ofproto.rules.conjunctive cimport MAX_SOFT_STEPS, soft_add, soft_set
from ofproto.rules.node cimport first_seen, rule_node
from ofproto.rules.prefix cimport (
    prefix_answer, prefix_length, prefix_lookup, prefix_mask, prefix_trie,
)
from ofproto.rules.shape cimport L3_STAGE, L4_STAGE, N_STAGES, TUNNEL_STAGE, Shape, fold

TRIE_AT[:] = [key_at(&NO_KEY.tun_id), key_at(&NO_KEY.tun_src), key_at(&NO_KEY.tun_dst),
              key_at(&NO_KEY.tun_ipv6_src[0]), key_at(&NO_KEY.tun_ipv6_dst[0]),
              key_at(&NO_KEY.nw_src), key_at(&NO_KEY.nw_dst),
              key_at(&NO_KEY.ipv6_src[0]), key_at(&NO_KEY.ipv6_dst[0]),
              key_at(&NO_KEY.tp_src), key_at(&NO_KEY.tp_dst)]
TRIE_BITS[:] = [64, 32, 32, 128, 128, 32, 32, 128, 128, 16, 16]
cdef uint32_t TUNNEL_TRIES = (1 << TUNNEL_TRIES_END) - 1
cdef enum:
    STAGE_MOVES = 8         # old slots for each addition: see stage_grow()


# --- stage sets: how many keys of a subtable share a hash of their first words

# They grow without a pause: what is in the old slots goes over to the new ones a little at each
# addition, and until then a hash counts in both.

cdef stage_count *stage_slot(stage_count *slots, uint32_t mask, uint32_t hash) noexcept nogil:
    """Where `hash` is or would go."""
    cdef uint32_t at = hash & mask
    while slots[at].used and slots[at].hash != hash:
        at = (at + 1) & mask
    return &slots[at]


cdef bint stage_has(const stage_set *s, uint32_t hash) noexcept nogil:
    if s.slots is NULL:
        return False
    if stage_slot(s.slots, s.mask, hash).count:
        return True
    return s.old is not NULL and stage_slot(s.old, s.old_mask, hash).count > 0


cdef void stage_count_in(stage_set *s, uint32_t hash, uint32_t n) noexcept nogil:
    cdef stage_count *slot = stage_slot(s.slots, s.mask, hash)
    if not slot.used:
        slot.used = 1
        slot.hash = hash
        s.fill += 1
    s.live += slot.count == 0
    slot.count += n


cdef void stage_move(stage_set *s, uint32_t n) noexcept nogil:
    """Of the old slots `n` more."""
    cdef stage_count *slot
    while s.old is not NULL and n:
        slot = &s.old[s.moved]
        if slot.count:
            stage_count_in(s, slot.hash, slot.count)
            slot.count = 0
            s.live -= 1
        n -= 1
        s.moved += 1
        if s.moved > s.old_mask:
            free(s.old)
            s.old = NULL


cdef int stage_grow(stage_set *s) except -1:
    """New slots, four times as many as are in use: but no less than half of those before, so that
    these have gone over when they, too, are full."""
    cdef uint32_t size = 8
    cdef stage_count *fresh
    stage_move(s, s.old_mask + 1)       # nothing is left, see above
    while size < 4 * s.live or (s.slots is not NULL and size <= s.mask >> 1):
        size *= 2
    fresh = <stage_count *> calloc(size, sizeof(stage_count))
    if fresh is NULL:
        raise MemoryError
    s.old, s.old_mask, s.moved = s.slots, s.mask, 0
    s.slots, s.mask, s.fill = fresh, size - 1, 0
    return 0


cdef int stage_add(stage_set *s, uint32_t hash) except -1:
    if s.slots is NULL or 4 * s.fill >= 3 * (s.mask + 1):
        stage_grow(s)
    stage_move(s, STAGE_MOVES)
    stage_count_in(s, hash, 1)
    return 0


cdef void stage_drop(stage_set *s, uint32_t hash) noexcept nogil:
    cdef stage_count *slot = stage_slot(s.slots, s.mask, hash)
    if not slot.count and s.old is not NULL:
        slot = stage_slot(s.old, s.old_mask, hash)
    if slot.count:
        slot.count -= 1
        s.live -= slot.count == 0


# --- subtables

cdef inline bint stage_is_partial(const subtable *t, int stage) noexcept nogil:
    """There are words up to this stage, more after it, and some in it."""
    return (t.stage_end[stage] < t.n
            and t.stage_end[stage] > (t.stage_end[stage - 1] if stage else 0))


cdef bint same_values(const subtable *t, const uint64_t *a, const uint64_t *b) noexcept nogil:
    cdef uint32_t i
    for i in range(t.n):
        if a[i] != b[i]:
            return False
    return True


cdef inline uint32_t bucket_of(const subtable *t, uint32_t hash) noexcept nogil:
    """There is one bucket more for each key more: those above have not been split yet."""
    cdef uint32_t at = hash & t.bucket_mask
    return at if at < t.n_buckets else at & t.bucket_mask >> 1


cdef rule_node **subtable_place(subtable *t, const rule_node *node) noexcept nogil:
    cdef rule_node **link = &t.buckets[bucket_of(t, node.hash)]
    while link[0] is not NULL:
        if link[0].hash == node.hash and same_values(t, link[0].values, node.values):
            break
        link = &link[0].next
    return link


cdef bint prefixes_exclude(const subtable *t, uint32_t first, uint32_t end, const uint64_t *key,
                           uint64_t *wc, prefix_state *state) noexcept nogil:
    """No rule of the subtable has a prefix of the packet's addresses (or ports), as the tries from
    `first` to `end` say, as far as the table asks them; the bits that show it are set in `wc`."""
    cdef uint32_t i, n
    cdef prefix_answer *answer
    for i in range(first, end):
        n = t.prefix[i]
        if not n or not state.used >> i & 1:
            continue
        answer = &state.answers[i]
        if not state.asked[i]:
            state.asked[i] = True
            prefix_lookup(&state.tries[i], <const uint8_t *> key + TRIE_AT[i], TRIE_BITS[i],
                          answer)
        if not answer.lengths[n >> 6] >> (n & 63) & 1:
            if wc is not NULL:
                prefix_mask(<uint8_t *> wc + TRIE_AT[i], min(n, answer.n_bits))
            return True
    return False


cdef rule_node *subtable_find(const subtable *t, const uint64_t *key, uint64_t *wc,
                              prefix_state *state, uint64_t version) noexcept nogil:
    cdef uint64_t sum = 0
    cdef uint64_t values[KEY_WORDS]
    cdef uint32_t i = 0, j, hash
    cdef int stage
    cdef rule_node *node = NULL
    for stage in range(N_STAGES):
        if (stage == TUNNEL_STAGE and state.used & TUNNEL_TRIES
                and prefixes_exclude(t, 0, TUNNEL_TRIES_END, key, wc, state)):
            break
        if stage == L3_STAGE and prefixes_exclude(t, TUNNEL_TRIES_END, L3_TRIES_END, key, wc,
                                                  state):
            break
        if stage == L4_STAGE and prefixes_exclude(t, L3_TRIES_END, N_TRIES, key, wc, state):
            break
        while i < t.stage_end[stage]:
            values[i] = key[t.index[i]] & t.mask[i]
            sum += hash_word(values[i], i)
            i += 1
        if (stage < N_STAGES - 1 and stage_is_partial(t, stage)
                and not stage_has(&t.stages[stage], fold(sum))):
            break
    else:
        hash = fold(sum)
        node = t.buckets[bucket_of(t, hash)]
        while node is not NULL:
            if node.hash == hash and same_values(t, node.values, values):
                break
            node = node.next
        node = first_seen(node, version)
    if wc is not NULL:
        for j in range(i):
            wc[t.index[j]] |= t.mask[j]
    return node


cdef int subtable_stages(subtable *t, const rule_node *node, bint add) except -1:
    cdef uint64_t sum = 0
    cdef uint32_t i = 0
    cdef int stage
    for stage in range(N_STAGES - 1):
        while i < t.stage_end[stage]:
            sum += hash_word(node.values[i], i)
            i += 1
        if stage_is_partial(t, stage):
            if add:
                stage_add(&t.stages[stage], fold(sum))
            else:
                stage_drop(&t.stages[stage], fold(sum))
    return 0


cdef int subtable_grow(subtable *t) except -1:
    """One bucket more, with the keys of that which it shared a place with: so that no rule's
    coming takes long (linear hashing)."""
    cdef rule_node **room
    cdef rule_node **kept
    cdef rule_node **moved
    cdef rule_node *node
    cdef uint32_t at = t.n_buckets
    if at > t.bucket_mask:
        room = <rule_node **> realloc(t.buckets, 2 * at * sizeof(rule_node *))
        if room is NULL:
            raise MemoryError
        t.buckets = room
        t.bucket_mask = 2 * at - 1
    kept = &t.buckets[at & t.bucket_mask >> 1]
    moved = &t.buckets[at]
    node = kept[0]
    while node is not NULL:
        if node.hash & t.bucket_mask == at:
            moved[0] = node
            moved = &node.next
        else:
            kept[0] = node
            kept = &node.next
        node = node.next
    kept[0] = moved[0] = NULL
    t.n_buckets = at + 1
    return 0


cdef class SubtableObject:
    def __cinit__(self, Shape shape):
        cdef uint32_t i
        self.shape = shape
        self.priorities = {}
        self.t.n = shape.n
        self.t.index = shape.index
        self.t.mask = shape.mask
        memcpy(self.t.stage_end, shape.stage_end, sizeof(shape.stage_end))
        for i in range(N_TRIES):
            self.t.prefix[i] = <uint8_t> prefix_length(
                <const uint8_t *> <const char *> shape.mask_bytes + TRIE_AT[i], TRIE_BITS[i])
        self.t.bucket_mask = 3
        self.t.n_buckets = 4
        self.t.buckets = <rule_node **> calloc(4, sizeof(rule_node *))
        self.t.max_priority = -1
        if self.t.buckets is NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef int stage
        for stage in range(N_STAGES - 1):
            free(self.t.stages[stage].slots)
            free(self.t.stages[stage].old)
        free(self.t.buckets)


# --- the search

cdef rule_node *search(subtable **order, uint32_t n, const prefix_trie *tries, uint32_t used,
                       const uint64_t *key, uint64_t *wc, soft_set *soft,
                       uint64_t version) noexcept nogil:
    cdef rule_node *best = NULL
    cdef rule_node *node
    cdef prefix_state state
    cdef uint32_t i
    state.tries = tries
    state.used = used
    memset(state.asked, 0, sizeof(state.asked))
    for i in range(n):
        if best is not NULL and best.priority >= order[i].max_priority:
            break
        node = subtable_find(order[i], key, wc, &state, version)
        if node is not NULL and node.n_conjs:
            if soft is NULL:
                node = below_alternatives(node, version)
            else:
                if not soft_add(soft, node):
                    soft.steps = MAX_SOFT_STEPS + 1
                continue
        if node is not NULL and (best is NULL or node.priority > best.priority):
            best = node
    return best


cdef rule_node *below_alternatives(rule_node *node, uint64_t version) noexcept nogil:
    """The first rule from `node` down, all of the same match, that is one of its own."""
    while node is not NULL and node.n_conjs:
        node = first_seen(node.lower, version)
    return node
