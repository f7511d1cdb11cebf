# The tuple of a packet, and what else the tracker wants to know of its headers.

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from datapath.base.packet cimport packet
from datapath.base.protocols cimport ETH_IP, ETH_IPV6
from datapath.conntrack.table cimport ct_tuple
from datapath.key.flow cimport flow_key

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t keys_htons "htons" (uint16_t)

cdef enum extraction:
    KEY_BAD                     # nothing that can be tracked
    KEY_GOOD
    KEY_RELATED                 # an ICMP error: the tuple is that of the packet it is about, reversed
    KEY_BAD_SUM                 # a wrong checksum

# p: flow_extract(p, key) was called.  `inner`, with KEY_RELATED: offset from p.data of the IP
# header in the error.
cdef extraction tuple_extract(const packet *p, const flow_key *key, uint16_t zone, ct_tuple *t,
                              uint32_t *inner) noexcept nogil
cdef void tuple_reverse(const ct_tuple *t, ct_tuple *reversed) noexcept nogil
# The family and the addresses of a key; False: it has none.  What else is in *t stays.
cdef inline bint tuple_take_addresses(ct_tuple *t, const flow_key *key) noexcept nogil:
    if key.eth_type == keys_htons(ETH_IP):
        t.family = 4
        memcpy(t.src, &key.nw_src, 4)
        memcpy(t.dst, &key.nw_dst, 4)
    elif key.eth_type == keys_htons(ETH_IPV6):
        t.family = 6
        memcpy(t.src, key.ipv6_src, 16)
        memcpy(t.dst, key.ipv6_dst, 16)
    else:
        return False
    return True
cdef inline bint has_ports(const ct_tuple *t) noexcept nogil:
    return t.proto == 6 or t.proto == 17 or t.proto == 132
# Bytes of headers and payload from the L4 header, by the IP header; L2 padding is not counted.
cdef inline uint32_t l4_size(const packet *p) noexcept nogil:
    return <uint32_t> p.l3 + p.l3_size - p.l4
