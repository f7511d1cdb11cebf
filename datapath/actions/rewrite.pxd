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
# Inserts an MPLS label in front of the others (network order); false: no room, or no Ethertype.
cdef bint packet_push_mpls(packet *p, uint32_t lse, uint16_t ethertype) noexcept nogil
# Takes off the outer label and sets the Ethertype; nothing without one.
cdef void packet_pop_mpls(packet *p, uint16_t ethertype) noexcept nogil
# Puts an I-TAG (IEEE 802.1ah; `tci` in network order) in front of all tags, the frame's addresses
# being the customer's, too; false: no room.
cdef bint packet_push_pbb(packet *p, uint32_t tci) noexcept nogil
# Takes off the I-TAG, whose customer addresses become the frame's; VLAN tags in front of it stay.
# Nothing without one.
cdef void packet_pop_pbb(packet *p) noexcept nogil
# Whether the packet may have to be extracted anew after the member was set.
cdef bint changes_parsing(const flow_key *key, uint16_t member) noexcept nogil
