# Fragments of IP packets wait here until the packet is whole, so that it can be tracked; then they
# go on as the fragments that they came as.  A table for each worker: no lock.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from datapath.base.packet cimport packet
from datapath.key.flow cimport flow_key

cdef enum:
    FRAG_PACKETS = 128          # packets that may wait for the rest of them,
    FRAG_EACH = 64              # fragments of each,
    FRAG_BYTES = 16 << 20       # bytes of all
    FRAG_DEFAULT_MAX = 1000     # fragments of all (ipf-set-max-nfrags)
    FRAG_MAX_MAX = 5000
    FRAG_MIN_V4 = 1200          # bytes of a fragment that is not the last (ipf-set-min-frag)
    FRAG_MIN_V6 = 1280
    FRAG_LEAST_V4 = 400         # that these may be set to
    FRAG_LEAST_V6 = 400
    FRAG_TIMEOUT = 15000        # ms
    # Of tunnels' outer packets, 16 bits of IPv4's id come round within seconds, and what is
    # missing is lost now and then: RFC 4963.
    FRAG_OUTER_TIMEOUT = 1000

cdef struct fragment:
    packet p                    # its bytes follow
    uint16_t offset             # of its payload in the packet's
    uint16_t size
    uint16_t payload            # offset in the frame
    bint last

# What the fragments of one packet have in common; compared as memory.
cdef struct frag_key:
    uint8_t src[16]
    uint8_t dst[16]
    uint32_t id
    uint16_t zone
    uint8_t proto
    uint8_t family              # 0: the slot is free

cdef struct waiting:
    frag_key key
    uint64_t since              # ms
    uint32_t n
    bint bad                    # they contradict each other: what comes is dropped
    uint8_t share               # the sender's, in the table's `shares`
    fragment *list[FRAG_EACH]   # in order

# What waits of one sender (source address).
cdef struct frag_share:
    uint32_t packets            # 0: nobody's
    uint32_t fragments

# What is told of a packet that waits.
cdef struct frag_row:
    frag_key key                # proto: of IPv6, too
    uint32_t recirc_id          # host order
    uint32_t n
    bint first                  # it is there
    bint last

# Settings of all workers; the control thread writes them.
cdef struct frag_settings:
    bint v4
    bint v6
    uint32_t min_v4
    uint32_t min_v6
    uint32_t most
    uint32_t timeout            # ms
    bint evicts                 # the sender that has most makes room, be it the new packet's own;
                                # else only another, that has more with the new packet counted

cdef struct frag_table:
    const frag_settings *settings
    waiting slots[FRAG_PACKETS]
    frag_share shares[FRAG_PACKETS]
    uint32_t n_fragments
    uint64_t n_bytes
    uint64_t accepted[2]        # of IPv4, of IPv6
    uint64_t completed[2]
    uint64_t expired[2]
    uint64_t too_small[2]
    uint64_t overlapping[2]

ctypedef void (*frag_lost_fn)(void *owner, uint32_t reason) noexcept nogil

# Keeps a copy of a fragment.  -1: more are missing; else the reason of its loss, or, with `done`
# filled, -2: the packet is whole.  p: flow_extract(p, key) was called.  `lost` is called for what
# was waited for in vain.
cdef int frag_take(frag_table *f, const packet *p, const flow_key *key, uint16_t zone, uint64_t now,
                   waiting *done, frag_lost_fn lost, void *owner) noexcept nogil
# What has waited too long is lost, where no fragment comes that would say the time.
cdef void frag_expire(frag_table *f, uint64_t now, frag_lost_fn lost, void *owner) noexcept nogil
# The whole packet's ECN bits by its fragments' (RFC 3168, section 5.3); -1: some are of a transport
# that knows ECN and some are not, so that no congestion is told and the packet is to be lost.
cdef int frag_ecn(const waiting *done) noexcept nogil
# The packet of `done` in the buffer of `whole` (base and capacity are set, for 64 KiB); false where
# it is too large.
cdef bint frag_join(const waiting *done, packet *whole) noexcept nogil
# What a tracker changed in the whole, in the fragments.
cdef void frag_split(waiting *done, const packet *whole) noexcept nogil
cdef void frag_free(waiting *done) noexcept nogil
# What waits, into `rows` with room for FRAG_PACKETS; how many.
cdef uint32_t frag_list(const frag_table *f, frag_row *rows) noexcept nogil
cdef void frag_destroy(frag_table *f) noexcept nogil
