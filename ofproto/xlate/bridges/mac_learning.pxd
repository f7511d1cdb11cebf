# MAC learning: (VLAN, MAC) -> bundle.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef class MacEntry:
    cdef readonly uint64_t key          # VLAN << 48 | MAC
    cdef readonly object bundle         # XBundle
    cdef readonly int64_t expires       # ms
    cdef readonly int64_t moved         # ms, when it was learned on this bundle
    cdef readonly int64_t locked        # ms until which a bond does not take it away
    cdef readonly bint static           # given by a user: it stays where it is
    cdef MacEntry newer, older          # by last use; static ones are not in this list
    cdef MacEntry share_newer, share_older      # the same among its bundle's


cdef class Share:
    cdef readonly object bundle
    cdef readonly int n
    cdef Py_ssize_t at                  # in the heap
    cdef MacEntry oldest, newest


cdef class MacLearning:
    cdef readonly dict entries
    cdef readonly dict statics          # those of them that are static, as they were added
    cdef MacEntry oldest, newest
    cdef readonly int64_t aging         # ms
    cdef readonly uint32_t max_entries
    cdef readonly set flood_vlans
    cdef readonly uint64_t total_learned, total_expired, total_evicted, total_moved
    cdef dict shares                    # bundle -> Share, of those that have entries
    cdef list heap                      # of Share, those with most entries first
    cdef readonly bint too_many         # changes to be noted, since take_changed
    cdef dict watchers                  # key -> whom to tell of a change: one, or a set
    cdef list changed                   # (watcher, key, moved), until take_changed
    cdef MacEntry lookup(self, uint64_t key)
    cdef bint learn(self, uint64_t key, object bundle, int64_t now)
    cdef void touch_newest(self, MacEntry e)
    cdef void unlink(self, MacEntry e)
    cdef drop(self, MacEntry e)
    cdef take_out(self, MacEntry e)
    cdef evict(self)
    cdef bint has_changed(self) noexcept
    cdef uint64_t n_changes(self) noexcept  # rises with each that lookups could see
    cdef resize(self, Share share, int by)
    cdef pull(self, Share share)
    cdef put(self, Share share, Py_ssize_t at)
    cdef swap(self, Share one, Share other)
    cdef rise(self, Share share)
    cdef sink(self, Share share)
    cdef join_share(self, MacEntry e)
    cdef leave_share(self, MacEntry e)
    cdef void use_again(self, Share share, MacEntry e)
    cdef void append_to(self, Share share, MacEntry e)
    cdef void take_from(self, Share share, MacEntry e)
    cdef notify(self, object key, bint moved)
    cdef int lock(self, uint64_t key, int64_t now) except -1
    cdef watch(self, uint64_t key, watcher)
    cdef unwatch(self, uint64_t key, watcher)


cdef inline uint64_t mac_key(uint16_t vlan, const uint8_t *mac) noexcept nogil:
    cdef uint64_t key = vlan
    cdef int i
    for i in range(6):
        key = key << 8 | mac[i]
    return key
