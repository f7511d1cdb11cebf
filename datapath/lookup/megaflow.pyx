"""The megaflow table: one hash table per distinct mask, the most used ones searched first.

Memory: flows live in slabs that stay until the table goes, so a pointer to a flow may be kept
together with its generation, and checked later (the exact-match cache does).
"""

from libc.errno cimport EEXIST, ENOMEM, ENOSPC
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from datapath.key.flow cimport KEY_DP_WORDS, KEY_SIZE, flow_key
from datapath.base.hashing cimport hash_finish, hash_salt, hash_salted, hash_word
from datapath.lookup.megaflow cimport *

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void *) noexcept nogil

cdef enum:
    FIRST_SLOTS = 16
    TAKEN_OVER = 8              # former slots with each insertion; 3 suffice before the next growth
    ALL = 0xffffffff
    RANK_INTERVAL = 4096        # lookups between two rankings of the subtables


# ---- Open addressing: linear probing, removal by shifting back ----

cdef inline void _slot_put(slot *slots, uint32_t mask, uint64_t hash, megaflow *f) noexcept nogil:
    cdef uint32_t i = <uint32_t> hash & mask
    while slots[i].flow != NULL:
        i = (i + 1) & mask
    slots[i].hash = hash
    slots[i].flow = f


cdef void _slot_drop(slot *slots, uint32_t mask, uint64_t hash, const megaflow *f) noexcept nogil:
    cdef uint32_t hole = <uint32_t> hash & mask
    cdef uint32_t i, home
    while slots[hole].flow != f:
        hole = (hole + 1) & mask
    i = hole
    while True:
        i = (i + 1) & mask
        if slots[i].flow == NULL:
            break
        # An entry may move into the hole unless its home lies between the hole and itself.
        home = <uint32_t> slots[i].hash & mask
        if ((i - home) & mask) >= ((i - hole) & mask):
            slots[hole] = slots[i]
            hole = i
    slots[hole].flow = NULL


cdef inline bint _table_init(slot_table *t) noexcept nogil:
    t.slots = <slot *> calloc(FIRST_SLOTS, sizeof(slot))
    t.mask = FIRST_SLOTS - 1
    t.former = NULL
    return t.slots != NULL


cdef void _table_free(slot_table *t) noexcept nogil:
    free(t.slots)
    free(t.former)
    t.slots = t.former = NULL


cdef void _take_over(slot_table *t, uint32_t n) noexcept nogil:
    """Some of the former slots; the last one's turn frees them."""
    cdef uint32_t mask = t.mask >> 1
    cdef slot *at
    while n and t.moved <= mask:
        at = &t.former[t.moved]
        if at.flow == NULL:
            t.moved += 1
        else:
            # Removal may shift another one here, which is then the next to go.
            _slot_put(t.slots, t.mask, at.hash, at.flow)
            _slot_drop(t.former, mask, at.hash, at.flow)
        n -= 1
    if t.moved > mask:
        free(t.former)
        t.former = NULL


cdef bint _table_room(slot_table *t, uint32_t n_flows) noexcept nogil:
    """Room for one more than n_flows.  False, and all is as it was, without memory."""
    cdef slot *slots
    if t.former != NULL:
        _take_over(t, TAKEN_OVER)
    if 2 * (n_flows + 1) <= t.mask + 1:
        return True
    if t.former != NULL:
        _take_over(t, ALL)
    slots = <slot *> calloc(<size_t> t.mask * 2 + 2, sizeof(slot))
    if slots == NULL:
        return False
    t.former = t.slots
    t.moved = 0
    t.slots = slots
    t.mask = t.mask * 2 + 1
    return True


cdef inline bint _slot_has(const slot *slots, uint32_t mask, uint64_t hash,
                           const megaflow *f) noexcept nogil:
    cdef uint32_t i = <uint32_t> hash & mask
    while slots[i].flow != NULL:
        if slots[i].flow == f:
            return True
        i = (i + 1) & mask
    return False


cdef void _table_drop(slot_table *t, uint64_t hash, const megaflow *f) noexcept nogil:
    if t.former != NULL and _slot_has(t.former, t.mask >> 1, hash, f):
        _slot_drop(t.former, t.mask >> 1, hash, f)
    else:
        _slot_drop(t.slots, t.mask, hash, f)


# ---- Subtables ----

cdef subtable *_subtable_find(const megaflow_table *t, const flow_key *mask) noexcept nogil:
    cdef const uint64_t *words = <const uint64_t *> mask
    cdef uint32_t n = 0, s, w
    cdef subtable *sub
    cdef int i
    for i in range(KEY_DP_WORDS):
        n += words[i] != 0
    for s in range(t.n_subs):
        sub = t.subs[s]
        if sub.n_words != n:
            continue
        for w in range(n):
            if words[sub.index[w]] != sub.mask[w]:
                break
        else:
            return sub
    return NULL


cdef subtable *_subtable_new(megaflow_table *t, const flow_key *mask) noexcept nogil:
    cdef const uint64_t *words = <const uint64_t *> mask
    cdef subtable **subs
    cdef subtable *sub
    cdef int i
    if t.n_subs == t.room_subs:
        subs = <subtable **> realloc(t.subs, (t.room_subs * 2 + 8) * sizeof(subtable *))
        if subs == NULL:
            return NULL
        t.subs = subs
        t.room_subs = t.room_subs * 2 + 8
    sub = <subtable *> calloc(1, sizeof(subtable))
    if sub == NULL:
        return NULL
    if not _table_init(&sub.flows):
        free(sub)
        return NULL
    for i in range(KEY_DP_WORDS):
        if words[i]:
            sub.index[sub.n_words] = <uint8_t> i
            sub.mask[sub.n_words] = words[i]
            sub.salt[sub.n_words] = hash_salt(i)
            sub.n_words += 1
    t.subs[t.n_subs] = sub
    t.n_subs += 1
    return sub


cdef void _subtable_free(megaflow_table *t, subtable *sub) noexcept nogil:
    cdef uint32_t i = 0
    while t.subs[i] != sub:
        i += 1
    t.n_subs -= 1
    while i < t.n_subs:         # keep the ranking
        t.subs[i] = t.subs[i + 1]
        i += 1
    _table_free(&sub.flows)
    free(sub)


cdef void _rank(megaflow_table *t) noexcept nogil:
    """Insertion sort by hits, as the order seldom changes; then halve, so that old hits fade."""
    cdef uint32_t i, j
    cdef subtable *sub
    for i in range(1, t.n_subs):
        sub = t.subs[i]
        j = i
        while j > 0 and t.subs[j - 1].hits < sub.hits:
            t.subs[j] = t.subs[j - 1]
            j -= 1
        t.subs[j] = sub
    for i in range(t.n_subs):
        t.subs[i].hits >>= 1


cdef inline uint64_t _hash(const subtable *sub, const flow_key *key) noexcept nogil:
    cdef const uint64_t *words = <const uint64_t *> key
    cdef uint64_t sum = 0
    cdef uint32_t i
    for i in range(sub.n_words):
        sum += hash_salted(words[sub.index[i]] & sub.mask[i], sub.salt[i])
    return hash_finish(sum)


cdef inline bint _equal(const subtable *sub, const megaflow *f, const flow_key *key) noexcept nogil:
    cdef const uint64_t *words = <const uint64_t *> key
    cdef uint64_t differ = 0
    cdef uint32_t i
    for i in range(sub.n_words):
        differ |= (words[sub.index[i]] & sub.mask[i]) ^ f.words[i]
    return differ == 0


cdef bint megaflow_matches(const megaflow *f, const flow_key *key) noexcept nogil:
    return f.live and _equal(f.sub, f, key)


cdef inline megaflow *_search_slots(const subtable *sub, const slot *slots, uint32_t mask,
                                    const flow_key *key, uint64_t hash) noexcept nogil:
    cdef uint32_t i = <uint32_t> hash & mask
    cdef megaflow *f
    while True:
        f = slots[i].flow
        if f == NULL:
            return NULL
        if slots[i].hash == hash and _equal(sub, f, key):
            return f
        i = (i + 1) & mask


cdef inline megaflow *_search(const subtable *sub, const flow_key *key,
                              uint64_t hash) noexcept nogil:
    cdef megaflow *f = _search_slots(sub, sub.flows.slots, sub.flows.mask, key, hash)
    if f == NULL and sub.flows.former != NULL:
        f = _search_slots(sub, sub.flows.former, sub.flows.mask >> 1, key, hash)
    return f


# ---- Slabs ----

cdef bint _slab_new(megaflow_table *t) noexcept nogil:
    cdef slab **slabs
    cdef slab *made
    cdef int i
    slabs = <slab **> realloc(t.slabs, (t.n_slabs + 1) * sizeof(slab *))
    if slabs == NULL:
        return False
    t.slabs = slabs
    made = <slab *> calloc(1, sizeof(slab))
    if made == NULL:
        return False
    slabs[t.n_slabs] = made
    t.n_slabs += 1
    t.free_last = &made.flows[SLAB_FLOWS - 1]
    for i in range(SLAB_FLOWS - 1, -1, -1):
        made.flows[i].slab_used = &made.used
        made.flows[i].next_free = t.free
        t.free = &made.flows[i]
    return True


cdef megaflow *_flow_new(megaflow_table *t) noexcept nogil:
    cdef megaflow *f
    if t.free == NULL and not _slab_new(t):
        return NULL
    f = t.free
    t.free = f.next_free
    return f


cdef void _flow_free(megaflow_table *t, megaflow *f) noexcept nogil:
    cdef uint64_t generation = f.generation + 1
    cdef uint64_t *slab_used = f.slab_used
    t.action_bytes -= f.actions_len
    free(f.actions)
    if f.words != f.inline_words:
        free(f.words)
    memset(f, 0, sizeof(megaflow))
    f.generation = generation
    f.slab_used = slab_used
    # Behind the others: flows that come one after the other are listed so, after a flush, too.
    f.next_free = NULL
    if t.free == NULL:
        t.free = f
    else:
        t.free_last.next_free = f
    t.free_last = f


cdef bint _flow_fill(megaflow *f, const subtable *sub, const flow_key *key,
                     const uint8_t *ufid) noexcept nogil:
    cdef const uint64_t *words = <const uint64_t *> key
    cdef uint32_t i
    f.words = f.inline_words
    if sub.n_words > INLINE_WORDS:
        f.words = <uint64_t *> malloc(sub.n_words * sizeof(uint64_t))
        if f.words == NULL:
            return False
    for i in range(sub.n_words):
        f.words[i] = words[sub.index[i]] & sub.mask[i]
    memcpy(f.ufid, ufid, 16)
    f.sub = <subtable *> sub
    f.hash = _hash(sub, key)
    f.live = True
    return True


cdef int _set_actions(megaflow_table *t, megaflow *f, const uint8_t *actions, uint32_t length) noexcept nogil:
    cdef uint8_t *copy
    if t.action_bytes - f.actions_len + length > MAX_ACTION_BYTES:
        return ENOSPC
    copy = <uint8_t *> malloc(length if length else 1)
    if copy == NULL:
        return ENOMEM
    if length:
        memcpy(copy, actions, length)
    t.action_bytes += length
    t.action_bytes -= f.actions_len
    free(f.actions)
    f.actions = copy
    f.actions_len = length
    return 0


# ---- The table ----

cdef inline uint64_t _ufid_hash(const uint8_t *ufid) noexcept nogil:
    cdef uint64_t words[2]
    memcpy(words, ufid, 16)
    return hash_finish(hash_word(words[0], 0) + hash_word(words[1], 1))


cdef int megaflow_table_init(megaflow_table *t) noexcept nogil:
    memset(t, 0, sizeof(megaflow_table))
    return 0 if _table_init(&t.by_ufid) else -1


cdef void megaflow_table_destroy(megaflow_table *t) noexcept nogil:
    cdef uint32_t i
    megaflow_flush(t)
    for i in range(t.n_slabs):
        free(t.slabs[i])
    free(t.slabs)
    free(t.subs)
    _table_free(&t.by_ufid)
    memset(t, 0, sizeof(megaflow_table))


cdef megaflow *_insert_new(megaflow_table *t, subtable *sub, const uint8_t *ufid,
                           const flow_key *key, const uint8_t *actions,
                           uint32_t length, int *error) noexcept nogil:
    cdef megaflow *f
    if not _table_room(&t.by_ufid, t.n_flows) or not _table_room(&sub.flows, sub.n_flows):
        return NULL
    f = _flow_new(t)
    if f == NULL:
        return NULL
    error[0] = ENOMEM
    if _flow_fill(f, sub, key, ufid):
        error[0] = _set_actions(t, f, actions, length)
    if error[0]:
        _flow_free(t, f)
        return NULL
    _slot_put(sub.flows.slots, sub.flows.mask, f.hash, f)
    _slot_put(t.by_ufid.slots, t.by_ufid.mask, _ufid_hash(ufid), f)
    sub.n_flows += 1
    t.n_flows += 1
    return f


cdef megaflow *megaflow_insert(megaflow_table *t, const uint8_t *ufid, const flow_key *key,
                               const flow_key *mask, const uint8_t *actions, uint32_t length,
                               int *error) noexcept nogil:
    cdef subtable *sub = _subtable_find(t, mask)
    cdef megaflow *named = megaflow_find(t, ufid)
    cdef megaflow *same = NULL
    cdef megaflow *f
    if sub != NULL:
        same = _search(sub, key, _hash(sub, key))
    if named != same:
        error[0] = EEXIST
        return NULL
    if same != NULL:
        error[0] = _set_actions(t, same, actions, length)
        if error[0]:
            return NULL
        same.earlier_packets = same.n_packets
        same.earlier_bytes = same.n_bytes
        return same
    if t.n_flows >= MAX_FLOWS or (sub == NULL and t.n_subs >= MAX_SUBTABLES):
        error[0] = ENOSPC
        return NULL
    error[0] = ENOMEM
    if sub == NULL:
        sub = _subtable_new(t, mask)
        if sub == NULL:
            return NULL
    f = _insert_new(t, sub, ufid, key, actions, length, error)
    if f == NULL and sub.n_flows == 0:
        _subtable_free(t, sub)
    return f


cdef inline megaflow *_find_slots(const slot *slots, uint32_t mask, const uint8_t *ufid,
                                  uint64_t hash) noexcept nogil:
    cdef uint32_t i = <uint32_t> hash & mask
    cdef megaflow *f
    while True:
        f = slots[i].flow
        if f == NULL or (slots[i].hash == hash and memcmp(f.ufid, ufid, 16) == 0):
            return f
        i = (i + 1) & mask


cdef megaflow *megaflow_find(megaflow_table *t, const uint8_t *ufid) noexcept nogil:
    cdef uint64_t hash = _ufid_hash(ufid)
    cdef megaflow *f = _find_slots(t.by_ufid.slots, t.by_ufid.mask, ufid, hash)
    if f == NULL and t.by_ufid.former != NULL:
        f = _find_slots(t.by_ufid.former, t.by_ufid.mask >> 1, ufid, hash)
    return f


cdef void megaflow_remove(megaflow_table *t, megaflow *f) noexcept nogil:
    cdef subtable *sub = f.sub
    _table_drop(&sub.flows, f.hash, f)
    _table_drop(&t.by_ufid, _ufid_hash(f.ufid), f)
    _flow_free(t, f)
    t.n_flows -= 1
    sub.n_flows -= 1
    if sub.n_flows == 0:
        _subtable_free(t, sub)


cdef void megaflow_flush(megaflow_table *t) noexcept nogil:
    cdef uint32_t cursor = 0
    cdef megaflow *f
    while True:
        f = megaflow_next(t, &cursor)
        if f == NULL:
            return
        megaflow_remove(t, f)


cdef megaflow *megaflow_lookup(megaflow_table *t, const flow_key *key) noexcept nogil:
    cdef uint64_t hash, following = 0
    cdef uint32_t i
    cdef subtable *sub
    cdef megaflow *f
    t.lookups += 1
    if t.lookups % RANK_INTERVAL == 0:
        _rank(t)
    if t.n_subs == 0:
        return NULL
    hash = _hash(t.subs[0], key)
    for i in range(t.n_subs):
        sub = t.subs[i]
        # The next subtable's slot comes from memory while this one is searched.
        if i + 1 < t.n_subs:
            following = _hash(t.subs[i + 1], key)
            prefetch(&t.subs[i + 1].flows.slots[<uint32_t> following & t.subs[i + 1].flows.mask])
        f = _search(sub, key, hash)
        if f != NULL:
            t.found += 1
            t.probed += i + 1
            sub.hits += 1
            sub.matches += 1
            return f
        hash = following
    t.probed += t.n_subs
    return NULL


cdef megaflow *megaflow_next(const megaflow_table *t, uint32_t *cursor) noexcept nogil:
    cdef megaflow *f
    while cursor[0] < t.n_slabs * SLAB_FLOWS:
        f = &t.slabs[cursor[0] // SLAB_FLOWS].flows[cursor[0] % SLAB_FLOWS]
        cursor[0] += 1
        if f.live:
            return f
    return NULL


cdef uint32_t megaflow_skip(const megaflow_table *t, uint32_t cursor, uint64_t since) noexcept nogil:
    while (cursor % SLAB_FLOWS == 0 and cursor < t.n_slabs * SLAB_FLOWS
           and t.slabs[cursor // SLAB_FLOWS].used < since):
        cursor += SLAB_FLOWS
    return cursor


cdef void megaflow_expand(const megaflow *f, flow_key *key, flow_key *mask) noexcept nogil:
    cdef uint64_t *key_words = <uint64_t *> key
    cdef uint64_t *mask_words = <uint64_t *> mask
    cdef uint32_t i
    memset(key, 0, KEY_SIZE)
    memset(mask, 0, KEY_SIZE)
    for i in range(f.sub.n_words):
        key_words[f.sub.index[i]] = f.words[i]
        mask_words[f.sub.index[i]] = f.sub.mask[i]
