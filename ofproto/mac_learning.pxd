# MAC learning: (VLAN, MAC) -> bundle.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef class MacEntry:
    cdef readonly uint64_t key          # VLAN << 48 | MAC
    cdef readonly object bundle         # XBundle
    cdef readonly int64_t expires       # ms
    cdef readonly int64_t moved         # ms, when it was learned on this bundle
    cdef MacEntry newer, older          # by last use


cdef class MacLearning:
    cdef readonly dict entries
    cdef MacEntry oldest, newest
    cdef readonly int64_t aging         # ms
    cdef readonly uint32_t max_entries
    cdef readonly set flood_vlans
    cdef readonly uint64_t total_learned, total_expired, total_evicted, total_moved
    cdef dict watchers                  # key -> set of objects to tell of a change
    cdef list changed                   # watchers whose entry changed, with the reason
    cdef MacEntry lookup(self, uint64_t key)
    cdef bint learn(self, uint64_t key, object bundle, int64_t now)
    cdef void touch_newest(self, MacEntry e)
    cdef void unlink(self, MacEntry e)
    cdef void drop(self, MacEntry e)
    cdef void notify(self, uint64_t key)
