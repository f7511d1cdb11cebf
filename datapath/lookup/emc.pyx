"""The exact-match cache; see emc.pxd."""

from libc.string cimport memcpy, memset

from datapath.lookup.emc cimport *
from datapath.key.flow cimport KEY_DP_WORDS, flow_key
from datapath.base.large cimport large_alloc, large_free
from datapath.base.hashing cimport hash_finish, hash_salt, hash_salted, hash_word
from datapath.lookup.megaflow cimport *
from datapath.lookup.smc cimport *

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void *) noexcept nogil
    int ctzll "__builtin_ctzll"(uint64_t) noexcept nogil

cdef enum:
    WAYS = 2
    SETS = EMC_ENTRIES // WAYS
    ALWAYS = 0xffffffff


cdef int emc_init(emc *e) noexcept nogil:
    memset(e, 0, sizeof(emc))
    # Entries are whole cache lines, and start on one.
    e.entries = <emc_entry *> large_alloc(EMC_ENTRIES * sizeof(emc_entry))
    if e.entries == NULL:
        return -1
    e.chance = <uint32_t> ALWAYS
    e.dice = 2463534242
    return 0


cdef int emc_tune(emc *e, uint32_t inverse, bint signatures) noexcept nogil:
    e.chance = <uint32_t> ALWAYS // inverse if inverse else 0
    if not e.chance:
        emc_clear(e)            # what it had would stay
    if signatures and e.signatures.entries == NULL:
        return smc_init(&e.signatures)
    if not signatures:
        smc_destroy(&e.signatures)
    return 0


cdef void emc_destroy(emc *e) noexcept nogil:
    large_free(e.entries, EMC_ENTRIES * sizeof(emc_entry))
    smc_destroy(&e.signatures)
    memset(e, 0, sizeof(emc))


cdef void emc_clear(emc *e) noexcept nogil:
    memset(e.entries, 0, EMC_ENTRIES * sizeof(emc_entry))


cdef inline emc_entry *_set(const emc *e, uint64_t hash) noexcept nogil:
    return &e.entries[(hash % SETS) * WAYS]


cdef inline uint64_t _behind(const uint64_t *words) noexcept nogil:
    """What the last bit of the map stands for: word 63 and all behind it."""
    cdef uint64_t any = 0
    cdef int i
    for i in range(63, KEY_DP_WORDS):
        any |= words[i]
    return any


cdef inline emc_shape *_shape(emc *e, uint64_t given) noexcept nogil:
    return &e.shapes[given * <uint64_t> 0x9E3779B97F4A7C15ULL >> 64 - SHAPE_BITS]


cdef void _learn_shape(emc_shape *s, uint64_t given, uint64_t found) noexcept nogil:
    """`found`: the words of `given` that are not zero in the key at hand."""
    cdef uint64_t rest = given
    cdef int i
    s.given = given
    s.map = found
    s.n = s.n_zero = 0
    while rest:
        i = ctzll(rest)
        rest &= rest - 1
        if found >> i & 1:
            s.index[s.n] = <uint8_t> i
            s.salt[s.n] = hash_salt(i)
            s.n += 1
        else:
            s.zero[s.n_zero] = <uint8_t> i
            s.n_zero += 1


cdef inline bint _prepare_alike(const emc_shape *s, emc_key *k, const uint64_t *words) noexcept nogil:
    """False, and k means nothing, where the key has not the shape."""
    cdef uint64_t word, sum = 0, other = 0
    cdef uint32_t i
    for i in range(s.n):
        word = words[s.index[i]]
        other |= word == 0
        k.words[i] = word
        sum += hash_salted(word, s.salt[i])
    for i in range(s.n_zero):
        other |= words[s.zero[i]]
    k.n = s.n
    k.map = s.map
    k.hash = hash_finish(sum)
    return other == 0


cdef bint _prepare_any(emc_key *k, const uint64_t *words, uint64_t map) noexcept nogil:
    """False: the key is too long, or of a tunnel with options."""
    cdef uint64_t word, sum = 0, found = 0
    cdef uint32_t n = 0
    cdef int i
    k.n = 0
    while map:
        i = ctzll(map)
        map &= map - 1
        word = _behind(words) if i == 63 else words[i]
        if word == 0:
            continue
        if n == EMC_WORDS or i == 63:
            return False
        k.words[n] = word
        found |= <uint64_t> 1 << i
        sum += hash_word(word, i)
        n += 1
    k.n = n
    k.map = found
    k.hash = hash_finish(sum)
    return True


cdef void emc_prepare(emc *e, emc_key *k, const flow_key *key, uint64_t map) noexcept nogil:
    cdef const uint64_t *words = <const uint64_t *> key
    cdef emc_shape *s = _shape(e, map)
    if s.given != map or not _prepare_alike(s, k, words):
        if not _prepare_any(k, words, map):
            return              # the table alone serves it
        if not map >> 63:
            _learn_shape(s, map, k.map)
    prefetch(_set(e, k.hash))
    prefetch(_set(e, k.hash) + 1)
    if e.signatures.entries != NULL:
        smc_prefetch(&e.signatures, k.hash)


cdef inline bint _same(const emc_entry *at, const emc_key *k) noexcept nogil:
    cdef uint64_t differ = 0
    cdef uint32_t i
    if at.hash != k.hash or at.map != k.map:
        return False
    for i in range(k.n):
        differ |= at.words[i] ^ k.words[i]
    return differ == 0 and at.flow.generation == at.generation


cdef megaflow *emc_lookup(emc *e, const emc_key *k) noexcept nogil:
    cdef emc_entry *at
    cdef int way
    if k.n:
        at = _set(e, k.hash)
        for way in range(WAYS):
            if _same(&at[way], k):
                e.hits += 1
                return at[way].flow
    e.misses += 1
    return NULL


cdef void emc_insert(emc *e, const emc_key *k, megaflow *f) noexcept nogil:
    cdef emc_entry *at
    cdef int way
    if k.n == 0:
        return
    at = _set(e, k.hash)
    for way in range(WAYS):
        if at[way].map == 0 or at[way].flow.generation != at[way].generation:
            break
    else:
        way = (e.inserted >> 3) & 1     # neither way is favoured
    e.inserted += 1
    at += way
    at.hash = k.hash
    at.map = k.map
    at.flow = f
    at.generation = f.generation
    memcpy(at.words, k.words, k.n * sizeof(uint64_t))


cdef inline bint _lucky(emc *e) noexcept nogil:
    if e.closed:
        return False
    if e.chance == <uint32_t> ALWAYS:
        return True
    e.dice ^= e.dice << 13      # xorshift (Marsaglia 2003)
    e.dice ^= e.dice >> 17
    e.dice ^= e.dice << 5
    return e.dice < e.chance


cdef inline megaflow *_look_further(emc *e, megaflow_table *t, const emc_key *k,
                                    const flow_key *key) noexcept nogil:
    cdef megaflow *f
    if e.signatures.entries == NULL or k.n == 0:
        return megaflow_lookup(t, key)
    f = smc_lookup(&e.signatures, k.hash, key)
    if f == NULL:
        f = megaflow_lookup(t, key)
        if f != NULL:
            smc_insert(&e.signatures, k.hash, f)
    return f


cdef megaflow *emc_classify(emc *e, megaflow_table *t, const emc_key *k,
                            const flow_key *key) noexcept nogil:
    cdef megaflow *f = emc_lookup(e, k)
    if f == NULL:
        f = _look_further(e, t, k, key)
        if f != NULL and _lucky(e):
            emc_insert(e, k, f)
    return f
