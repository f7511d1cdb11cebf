"""Whole headers put in front of a packet's, and taken off: Ethernet, MPLS, I-TAGs, NSH.

A packet without an Ethernet header is one of another packet type; the header that its type names
comes first.
"""

from libc.string cimport memcpy

from datapath.actions.encap cimport *
from datapath.base.packet cimport *
from datapath.base.protocols cimport *

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t)
    uint16_t ntohs(uint16_t)
    uint32_t htonl(uint32_t)
    uint32_t ntohl(uint32_t)

cdef enum:
    ETH_HEADER = 14
    LABEL = 4                   # bytes
    I_TAG = 16                  # bytes: TCI, C-DA, C-SA

cdef uint32_t NSH_INNER[5]      # packet type by "next protocol", host order; ~0: unknown
NSH_INNER[:] = [<uint32_t> ~0, PT_ETHERTYPE | ETH_IP, PT_ETHERTYPE | ETH_IPV6, 0,
                PT_ETHERTYPE | ETH_NSH]


cdef inline uint32_t _of_ethertype(uint16_t ethertype) noexcept nogil:
    """The packet type of what begins with this header; ethertype and result in network order."""
    return 0 if ethertype == htons(ETH_TEB) else htonl(PT_ETHERTYPE | ntohs(ethertype))


cdef uint32_t _l2_end(const packet *p) noexcept nogil:
    """The first byte behind the last Ethertype, 0 for 802.3 frames and cut ones."""
    cdef uint32_t at = 12
    cdef uint16_t kind
    if p.l2_5 != NO_OFFSET:
        return p.l2_5
    if p.l3 != NO_OFFSET:
        return p.l3
    while at + 2 <= p.size:
        kind = get16(p.data + at)
        at += 2
        if not is_vlan_tpid(kind):
            return at if kind >= ETH_FIRST else 0
        at += 2
    return 0


# ---- MPLS ----

cdef encap_result packet_push_mpls(packet *p, uint32_t lse, uint16_t ethertype) noexcept nogil:
    cdef uint32_t at
    if p.packet_type:
        return packet_add_mpls(p, lse, ethertype)
    at = _l2_end(p)
    if at == 0:
        return ENCAP_MISFIT
    if not packet_open(p, at, LABEL):
        return ENCAP_NO_ROOM
    memcpy(p.data + at - 2, &ethertype, 2)
    memcpy(p.data + at, &lse, LABEL)
    p.l2_5 = <uint16_t> at
    return ENCAP_DONE


cdef encap_result packet_add_mpls(packet *p, uint32_t lse, uint16_t ethertype) noexcept nogil:
    if not packet_open(p, 0, LABEL):
        return ENCAP_NO_ROOM
    memcpy(p.data, &lse, LABEL)
    p.packet_type = htonl(PT_ETHERTYPE | ntohs(ethertype))
    p.l2_5 = 0
    return ENCAP_DONE


cdef inline uint16_t _kind_before(const packet *p, uint32_t at) noexcept nogil:
    """The Ethertype that says what is at `at`, host order."""
    return <uint16_t> (ntohl(p.packet_type) & 0xffff) if at < 2 else get16(p.data + at - 2)


cdef bint has_label(const packet *p) noexcept nogil:
    cdef uint32_t at = p.l2_5
    return (p.l2_5 != NO_OFFSET and at + LABEL <= p.size
            and is_mpls_type(_kind_before(p, at)))


cdef void packet_pop_mpls(packet *p, uint16_t ethertype) noexcept nogil:
    cdef uint32_t at = p.l2_5
    if not has_label(p):
        return
    packet_close(p, at, LABEL)
    if at == 0:
        p.packet_type = _of_ethertype(ethertype)
    else:
        memcpy(p.data + at - 2, &ethertype, 2)
    p.l2_5 = <uint16_t> at if is_mpls_type(ntohs(ethertype)) else NO_OFFSET


# ---- PBB ----

cdef encap_result packet_push_pbb(packet *p, uint32_t tci) noexcept nogil:
    if p.size < ETH_HEADER or p.packet_type:
        return ENCAP_MISFIT
    if not packet_open(p, 12, 2 + I_TAG):
        return ENCAP_NO_ROOM
    put16(p.data + 12, ETH_PBB)
    memcpy(p.data + 14, &tci, 4)
    memcpy(p.data + 18, p.data, 12)
    p.l2_5 = 14
    return ENCAP_DONE


cdef bint has_i_tag(const packet *p) noexcept nogil:
    return (p.l2_5 != NO_OFFSET and p.l2_5 >= 2 and p.l2_5 + I_TAG + 2 <= <int> p.size
            and get16(p.data + p.l2_5 - 2) == ETH_PBB)


cdef void packet_pop_pbb(packet *p) noexcept nogil:
    cdef uint32_t at = p.l2_5
    if not has_i_tag(p):
        return
    memcpy(p.data, p.data + at + 4, 12)
    packet_close(p, at - 2, 2 + I_TAG)
    p.l2_5 = NO_OFFSET          # who wants to know what was inside extracts anew


# ---- Ethernet and NSH ----

cdef encap_result packet_push_eth(packet *p, const uint8_t *addresses) noexcept nogil:
    cdef uint32_t kind = ntohl(p.packet_type)
    if kind >> 16 != PT_ETHERTYPE >> 16:
        return ENCAP_MISFIT
    if not packet_open(p, 0, ETH_HEADER):
        return ENCAP_NO_ROOM
    memcpy(p.data, addresses + 6, 6)
    memcpy(p.data + 6, addresses, 6)
    put16(p.data + 12, <uint16_t> (kind & 0xffff))
    p.packet_type = 0
    return ENCAP_DONE


cdef encap_result packet_pop_eth(packet *p) noexcept nogil:
    cdef uint32_t at = _l2_end(p)
    if p.packet_type or at == 0 or is_vlan_tpid(get16(p.data + 12)):
        return ENCAP_MISFIT
    p.packet_type = htonl(PT_ETHERTYPE | get16(p.data + at - 2))
    packet_close(p, 0, at)
    return ENCAP_DONE


cdef encap_result packet_push_nsh(packet *p, const uint8_t *header, uint32_t size) noexcept nogil:
    if not packet_open(p, 0, size):
        return ENCAP_NO_ROOM
    memcpy(p.data, header, size)
    p.packet_type = htonl(PT_ETHERTYPE | ETH_NSH)
    p.l2_5 = 0
    return ENCAP_DONE


cdef encap_result packet_pop_nsh(packet *p) noexcept nogil:
    cdef uint32_t size, inner
    if p.packet_type != htonl(PT_ETHERTYPE | ETH_NSH):
        return ENCAP_MISFIT
    size = nsh_size(p.data, p.size)
    inner = NSH_INNER[p.data[3]] if size and p.data[3] <= NSH_P_NSH else <uint32_t> ~0
    if inner == <uint32_t> ~0:
        return ENCAP_MISFIT
    packet_close(p, 0, size)
    p.packet_type = htonl(inner)
    p.l2_5 = NO_OFFSET
    return ENCAP_DONE
