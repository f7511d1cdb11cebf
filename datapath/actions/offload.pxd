# Offloads done in software, for ports that cannot take the kernel's offload state.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from datapath.base.packet cimport packet

ctypedef void (*segment_fn)(void *owner, packet *p) noexcept nogil

# With NEEDS_CSUM: writes the whole checksum and clears the flag.  False, nothing written, where
# csum_start and csum_offset lie outside the frame.
cdef bint complete_checksum(packet *p) noexcept nogil

# Gives `emit` the frames that a GSO frame stands for, with whole checksums and no offload state,
# each built in the buffer of `scratch` (base, capacity set by the caller; at least
# PACKET_HEADROOM + the headers + gso_size), so valid only during the call.  flow_extract need not
# have run.  A frame that is no GSO frame is completed and given to `emit` as it is.
# Returns how many frames, or -1 for a contradictory frame (nothing emitted; count
# DROP_BAD_OFFLOAD).
cdef int segment(packet *p, packet *scratch, segment_fn emit, void *owner) noexcept nogil

# How many frames segment() makes of this one, and their bytes in all.  1, and its size, of a frame
# that is none or that contradicts itself.
cdef uint32_t count_segments(const packet *p, uint32_t *n_bytes) noexcept nogil

# Bytes of the largest of them.
cdef uint32_t largest_segment(const packet *p) noexcept nogil

# One's complement sums, RFC 1071.  `sum` accumulates big-endian 16-bit words.
cdef uint64_t csum_add(uint64_t sum, const uint8_t *at, uint32_t n) noexcept nogil
cdef uint16_t csum_finish(uint64_t sum) noexcept nogil     # folded and inverted, host order
cdef uint32_t crc32c(const uint8_t *at, uint32_t n) noexcept nogil    # RFC 4960 appendix B, host order
