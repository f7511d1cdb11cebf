# Whole headers put in front of a packet's, and taken off.

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from datapath.base.packet cimport packet

cdef enum encap_result:
    ENCAP_DONE
    ENCAP_NO_ROOM               # the buffer has none
    ENCAP_MISFIT                # the packet is not what the action is for

# `p` as flow_extract left it: its offsets are right.  They are stale afterwards.

# Inserts an MPLS label (network order) in front of the others, behind Ethernet and tags.
cdef encap_result packet_push_mpls(packet *p, uint32_t lse, uint16_t ethertype) noexcept nogil
# Takes off the outer label, and says what follows; nothing without one.
cdef void packet_pop_mpls(packet *p, uint16_t ethertype) noexcept nogil
# A label in front of all that the packet has, its Ethernet header included.
cdef encap_result packet_add_mpls(packet *p, uint32_t lse, uint16_t ethertype) noexcept nogil
# Puts an I-TAG (IEEE 802.1ah; `tci` in network order) in front of all tags, the frame's addresses
# being the customer's, too.
cdef encap_result packet_push_pbb(packet *p, uint32_t tci) noexcept nogil
# Takes off the I-TAG, whose customer addresses become the frame's; VLAN tags in front of it stay.
# Nothing without one.
cdef void packet_pop_pbb(packet *p) noexcept nogil
# Whether there is an MPLS label, whole.
cdef bint has_label(const packet *p) noexcept nogil
# Whether there is an I-TAG, whole, and with an Ethertype behind it.
cdef bint has_i_tag(const packet *p) noexcept nogil
# An Ethernet header for a packet that has none; `addresses`: source, destination.
cdef encap_result packet_push_eth(packet *p, const uint8_t *addresses) noexcept nogil
# Takes off an Ethernet header without tags.
cdef encap_result packet_pop_eth(packet *p) noexcept nogil
# A network service header (RFC 8300) of `size` bytes, which nsh_size() accepts.
cdef encap_result packet_push_nsh(packet *p, const uint8_t *header, uint32_t size) noexcept nogil
cdef encap_result packet_pop_nsh(packet *p) noexcept nogil
