"""Checksums that a sender left to the hardware, in frames that come without word of it.

On a virtual device the sender's stack fills in the sum of the pseudo header and leaves the rest;
XDP does not tell so.  A frame with just that sum is taken for one of these.  One that has it for
its whole checksum comes out as it was, for completing it gives the same number again.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from datapath.base.packet cimport VNET_NEEDS_CSUM, get16, packet
from datapath.base.protocols cimport (
    ETH_IP, ETH_IPV6, PROTO_TCP, PROTO_UDP, is_vlan_tpid,
)

cdef enum:
    ETHERNET = 14
    TAG = 4
    MOST_TAGS = 2
    IPV4 = 20
    IPV6 = 40
    FRAGMENT = 0x3fff           # more of them, or an offset
    TCP_HEADER = 20             # least bytes
    UDP_HEADER = 8
    TCP_SUM = 16                # where the checksum is in them
    UDP_SUM = 6


cdef inline uint32_t _sum(const uint8_t *at, uint32_t n) noexcept nogil:
    cdef uint32_t total = 0, i
    for i in range(0, n, 2):
        total += get16(at + i)
    return total


cdef inline void _compare(packet *p, uint32_t l4, uint32_t protocol, uint32_t addresses) noexcept nogil:
    """`addresses`: their sum."""
    cdef uint32_t place, least, total
    if protocol == PROTO_TCP:
        place, least = TCP_SUM, TCP_HEADER
    elif protocol == PROTO_UDP:
        place, least = UDP_SUM, UDP_HEADER
    else:
        return
    if p.size < l4 + least:
        return
    total = addresses + protocol + (p.size - l4)
    total = (total & 0xffff) + (total >> 16)
    total = (total & 0xffff) + (total >> 16)
    if get16(p.data + l4 + place) == total:
        p.vnet.flags |= VNET_NEEDS_CSUM
        p.vnet.csum_start = <uint16_t> l4
        p.vnet.csum_offset = <uint16_t> place


cdef void note_partial_sum(packet *p) noexcept nogil:
    cdef uint32_t l3 = ETHERNET, header
    cdef uint16_t kind
    cdef const uint8_t *ip
    if p.size < ETHERNET + IPV4:
        return
    kind = get16(p.data + l3 - 2)
    while is_vlan_tpid(kind) and l3 < ETHERNET + MOST_TAGS * TAG:
        l3 += TAG
        if p.size < l3 + IPV4:
            return
        kind = get16(p.data + l3 - 2)
    ip = p.data + l3
    if kind == ETH_IP:
        header = (ip[0] & 15) * 4
        # Padded frames were not left to hardware, which would sum up the padding, too.
        if header < IPV4 or get16(ip + 2) != p.size - l3 or get16(ip + 6) & FRAGMENT:
            return
        if p.size >= l3 + header:
            _compare(p, l3 + header, ip[9], _sum(ip + 12, 8))
    elif kind == ETH_IPV6 and p.size >= l3 + IPV6 and get16(ip + 4) == p.size - l3 - IPV6:
        _compare(p, l3 + IPV6, ip[6], _sum(ip + 8, 32))
