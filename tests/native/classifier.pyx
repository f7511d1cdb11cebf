"""An exact-match cache and a megaflow table, as a worker has them."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from datapath.base.packet cimport packet, packet_init
from datapath.key.flow cimport (
    KEY_DP_SIZE, KEY_SIZE, flow_extract, flow_key, flow_ufid, key_map,
)
from datapath.lookup.emc cimport (
    emc, emc_classify, emc_destroy, emc_init, emc_key, emc_prepare, emc_tune,
)
from datapath.lookup.megaflow cimport *


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
        if self.table.by_ufid.slots != NULL:
            megaflow_table_destroy(&self.table)
        emc_destroy(&self.cache)

    def tune(self, inverse, bint signatures):
        """As other_config:emc-insert-inv-prob and smc-enable."""
        if emc_tune(&self.cache, inverse, signatures) < 0:
            raise MemoryError

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
            "smc_hits": self.cache.signatures.hits, "inserted": self.cache.inserted,
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
    cdef uint64_t maps[BURST]
    cdef uint64_t start = 0, hits = 0
    cdef uint64_t i, count
    cdef megaflow *f
    memset(keys, 0, sizeof(keys))
    while start < n:
        count = min(n - start, <uint64_t> BURST)
        for i in range(count):
            maps[i] = flow_extract(&packets[start + i], &keys[i])
        if cached:
            for i in range(count):
                emc_prepare(e, &prepared[i], &keys[i], maps[i])
        for i in range(count):
            if cached:
                f = emc_classify(e, t, &prepared[i], &keys[i])
            else:
                f = megaflow_lookup(t, &keys[i])
            hits += f != NULL
        start += count
    return hits
