"""The signature cache; see smc.pxd.

Flows stay where they are in memory as long as the table does, so an entry's pointer is good; the flow
there may be gone or another, which comparing its key tells.
"""

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from datapath.lookup.megaflow cimport megaflow_matches
from datapath.lookup.smc cimport *

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void *) noexcept nogil

cdef enum:
    BUCKETS = SMC_ENTRIES // SMC_WAYS
    SHIFT = 48                  # user space's addresses are below


cdef int smc_init(smc *s) noexcept nogil:
    memset(s, 0, sizeof(smc))
    s.memory = calloc(1, SMC_ENTRIES * sizeof(uint64_t) + 64)
    if s.memory == NULL:
        return -1
    s.entries = <uint64_t *> ((<uint64_t> s.memory + 63) & ~<uint64_t> 63)
    return 0


cdef void smc_destroy(smc *s) noexcept nogil:
    free(s.memory)
    memset(s, 0, sizeof(smc))


cdef inline uint64_t *_bucket(const smc *s, uint64_t hash) noexcept nogil:
    return &s.entries[(hash % BUCKETS) * SMC_WAYS]


cdef inline megaflow *_flow(uint64_t entry) noexcept nogil:
    return <megaflow *> (entry & ((<uint64_t> 1 << SHIFT) - 1))


cdef void smc_prefetch(const smc *s, uint64_t hash) noexcept nogil:
    prefetch(_bucket(s, hash))


cdef megaflow *smc_lookup(smc *s, uint64_t hash, const flow_key *key) noexcept nogil:
    cdef uint64_t *at = _bucket(s, hash)
    cdef megaflow *f
    cdef int way
    for way in range(SMC_WAYS):
        f = _flow(at[way])
        if f != NULL and at[way] >> SHIFT == hash >> SHIFT and megaflow_matches(f, key):
            s.hits += 1
            return f
    return NULL


cdef void smc_insert(smc *s, uint64_t hash, megaflow *f) noexcept nogil:
    cdef uint64_t *at = _bucket(s, hash)
    cdef int way
    if <uint64_t> f >> SHIFT:
        return
    for way in range(SMC_WAYS):
        if at[way] == 0 or at[way] >> SHIFT == hash >> SHIFT or not _flow(at[way]).live:
            break
    else:
        way = (hash >> 40) % SMC_WAYS
    at[way] = <uint64_t> f | hash >> SHIFT << SHIFT
