# Header fields written into a packet, checksums kept right.

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from datapath.key.flow cimport flow_key
from datapath.base.packet cimport packet

# Sets a key member under a mask, in the packet and in the key; `key` was extracted from the
# packet as it is.  Nothing happens where the packet lacks that header.  value and mask: the
# member's bytes, unaligned.
cdef void rewrite(packet *p, flow_key *key, uint16_t member, const uint8_t *value,
                  const uint8_t *mask) noexcept nogil
# Whether ACT_SET may name the member.
cdef bint is_writable(uint16_t member) noexcept nogil
# Copies the TTL between the outermost MPLS label and what is behind it, a label or an IP header;
# nothing without these.  `inwards`: from the outermost.
cdef void copy_ttl(packet *p, bint inwards) noexcept nogil
# Whether the packet may have to be extracted anew after the member was set.
cdef bint changes_parsing(const flow_key *key, uint16_t member) noexcept nogil
