# Checksums that a sender left to the hardware, in frames that come without word of it.

from datapath.base.packet cimport packet

# Marks the packet (VNET_NEEDS_CSUM) where its TCP or UDP checksum has the pseudo header's sum only.
cdef void note_partial_sum(packet *p) noexcept nogil
