# The signature cache between exact-match cache and megaflow table: for a key's hash the megaflow that
# it had, of which the megaflow itself says whether the key is still its.  Eight bytes for a key: a
# million of them in the memory of 40,000 exact ones.  It belongs to one thread.

from libc.stdint cimport uint32_t, uint64_t

from datapath.key.flow cimport flow_key
from datapath.lookup.megaflow cimport megaflow

cdef enum:
    SMC_WAYS = 8                # a cache line
    SMC_ENTRIES = 1 << 20

cdef struct smc:
    uint64_t *entries           # pointer to a flow, and above it 16 bits of the hash; 0: empty
    uint64_t hits
    void *memory

cdef int smc_init(smc *s) noexcept nogil        # 0, or -1 without memory
cdef void smc_destroy(smc *s) noexcept nogil    # may be used where smc_init was not
cdef void smc_prefetch(const smc *s, uint64_t hash) noexcept nogil
cdef megaflow *smc_lookup(smc *s, uint64_t hash, const flow_key *key) noexcept nogil
cdef void smc_insert(smc *s, uint64_t hash, megaflow *f) noexcept nogil
