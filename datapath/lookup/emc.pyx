"""The exact-match cache.  See emc.pxd; `Classifier` is the Python door to cache and table."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from datapath.lookup.emc cimport *
from datapath.key.flow cimport (
    KEY_DP_SIZE, KEY_DP_WORDS, KEY_SIZE, flow_extract, flow_key, flow_ufid, key_map,
)
from datapath.base.hashing cimport hash_finish, hash_word
from datapath.lookup.megaflow cimport *
from datapath.base.packet cimport packet, packet_init

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void *) noexcept nogil
    int ctzll "__builtin_ctzll"(uint64_t) noexcept nogil

cdef enum:
    WAYS = 2
    SETS = EMC_ENTRIES // WAYS


cdef int emc_init(emc *e) noexcept nogil:
    memset(e, 0, sizeof(emc))
    # Entries are two cache lines each, and must start on one.
    e.memory = calloc(1, EMC_ENTRIES * sizeof(emc_entry) + 64)
    if e.memory == NULL:
        return -1
    e.entries = <emc_entry *> ((<uint64_t> e.memory + 63) & ~<uint64_t> 63)
    return 0


cdef void emc_destroy(emc *e) noexcept nogil:
    free(e.memory)
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


cdef void emc_prepare(const emc *e, emc_key *k, const flow_key *key, uint64_t map) noexcept nogil:
    cdef const uint64_t *words = <const uint64_t *> key
    cdef uint64_t word, sum = 0, found = 0
    cdef uint32_t n = 0
    cdef int i
    while map:
        i = ctzll(map)
        map &= map - 1
        word = words[i]
        if i == 63:
            word = _behind(words)
        if word == 0:
            continue
        if n == EMC_WORDS or i == 63:
            # Too long (or a tunnel with options): the table alone serves it.
            k.n = 0
            return
        k.words[n] = word
        found |= <uint64_t> 1 << i
        sum += hash_word(word, i)
        n += 1
    k.n = n
    k.map = found
    k.hash = hash_finish(sum)
    prefetch(_set(e, k.hash))
    prefetch(_set(e, k.hash) + 1)


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


cdef megaflow *emc_classify(emc *e, megaflow_table *t, const emc_key *k,
                            const flow_key *key) noexcept nogil:
    cdef megaflow *f = emc_lookup(e, k)
    if f == NULL:
        f = megaflow_lookup(t, key)
        if f != NULL:
            emc_insert(e, k, f)
    return f


cdef int _load(object data, flow_key *key) except -1:
    cdef const uint8_t[::1] view = data
    if view.shape[0] != KEY_SIZE and view.shape[0] != KEY_DP_SIZE:
        raise ValueError(f"a key has {KEY_SIZE} or {KEY_DP_SIZE} bytes, not {view.shape[0]}")
    memset(key, 0, KEY_SIZE)
    memcpy(key, &view[0], KEY_DP_SIZE)
    return 0


cdef class Classifier:
    """A cache and a megaflow table, as a worker has them; for tests and measurements."""
    cdef emc cache
    cdef megaflow_table table

    def __cinit__(self):
        memset(&self.cache, 0, sizeof(emc))
        memset(&self.table, 0, sizeof(megaflow_table))
        if emc_init(&self.cache) or megaflow_table_init(&self.table):
            raise MemoryError

    def __dealloc__(self):
        if self.table.by_ufid != NULL:
            megaflow_table_destroy(&self.table)
        emc_destroy(&self.cache)

    def insert(self, key, mask, bytes actions=b"", ufid=None):
        cdef flow_key k, m
        cdef uint8_t name[16]
        cdef int error = 0
        cdef bytes given
        _load(key, &k)
        _load(mask, &m)
        if ufid is None:
            flow_ufid(&k, &m, name)
        else:
            given = bytes(ufid)
            if len(given) != 16:
                raise ValueError("a ufid has 16 bytes")
            memcpy(name, <const char *> given, 16)
        if megaflow_insert(&self.table, name, &k, &m, <const uint8_t *> <const char *> actions,
                           <uint32_t> len(actions), &error) == NULL:
            raise OSError(error, "cannot insert flow")
        return PyBytes_FromStringAndSize(<char *> name, 16)

    def remove(self, bytes ufid):
        cdef megaflow *f
        if len(ufid) != 16:
            raise ValueError("a ufid has 16 bytes")
        f = megaflow_find(&self.table, <const uint8_t *> <const char *> ufid)
        if f == NULL:
            raise KeyError(ufid)
        megaflow_remove(&self.table, f)

    def flush(self):
        megaflow_flush(&self.table)

    def lookup(self, key, bint cached=True):
        """The ufid of a flow that the key matches, or None; `cached`: by way of the cache."""
        cdef flow_key k
        cdef emc_key prepared
        cdef megaflow *f
        _load(key, &k)
        if cached:
            emc_prepare(&self.cache, &prepared, &k, key_map(&k))
            f = emc_classify(&self.cache, &self.table, &prepared, &k)
        else:
            f = megaflow_lookup(&self.table, &k)
        return None if f == NULL else PyBytes_FromStringAndSize(<char *> f.ufid, 16)

    def flows(self):
        """Each flow as (ufid, masked key, mask, actions)."""
        cdef uint32_t cursor = 0
        cdef flow_key k, m
        cdef megaflow *f
        found = []
        while True:
            f = megaflow_next(&self.table, &cursor)
            if f == NULL:
                return found
            megaflow_expand(f, &k, &m)
            found.append((
                PyBytes_FromStringAndSize(<char *> f.ufid, 16),
                PyBytes_FromStringAndSize(<char *> &k, KEY_DP_SIZE),
                PyBytes_FromStringAndSize(<char *> &m, KEY_DP_SIZE),
                PyBytes_FromStringAndSize(<char *> f.actions, f.actions_len),
            ))

    def stats(self):
        return {
            "emc_hits": self.cache.hits, "emc_misses": self.cache.misses,
            "lookups": self.table.lookups, "found": self.table.found,
            "probed": self.table.probed, "flows": self.table.n_flows,
            "subtables": self.table.n_subs,
        }

    def classify_frames(self, list frames, uint64_t rounds, bint cached=True):
        """Extracts and looks up all frames `rounds` times, in bursts; returns how many hit.

        Frames must be bytes objects of at least 14 bytes; their in_port is 1."""
        cdef packet *packets
        cdef uint64_t n = len(frames), hits = 0, i
        cdef bytes frame
        packets = <packet *> calloc(n or 1, sizeof(packet))
        if packets == NULL:
            raise MemoryError
        for i in range(n):
            frame = frames[i]
            packet_init(&packets[i], <uint8_t *> <const char *> frame, <uint32_t> len(frame), 0,
                        <uint32_t> len(frame))
            packets[i].in_port = 1 << 24
        with nogil:
            for i in range(rounds):
                hits += _classify_all(&self.cache, &self.table, packets, n, cached)
        free(packets)
        return hits


cdef enum:
    BURST = 32

cdef uint64_t _classify_all(emc *e, megaflow_table *t, packet *packets, uint64_t n,
                            bint cached) noexcept nogil:
    cdef flow_key keys[BURST]
    cdef emc_key prepared[BURST]
    cdef uint64_t start = 0, map, hits = 0
    cdef uint64_t i, count
    cdef megaflow *f
    memset(keys, 0, sizeof(keys))
    while start < n:
        count = min(n - start, <uint64_t> BURST)
        for i in range(count):
            map = flow_extract(&packets[start + i], &keys[i])
            if cached:
                emc_prepare(e, &prepared[i], &keys[i], map)
        for i in range(count):
            if cached:
                f = emc_classify(e, t, &prepared[i], &keys[i])
            else:
                f = megaflow_lookup(t, &keys[i])
            hits += f != NULL
        start += count
    return hits
