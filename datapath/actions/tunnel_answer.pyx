"""Answers to packets that are too big for a tunnel's way: "fragmentation needed", "packet too big".

As Linux answers for a tunnel's device that is a switch's port: in the name of the packet's receiver,
coming out of the tunnel.  Sources: RFC 792 and 1191, RFC 4443 and 8201; what is not answered, RFC
1122, section 3.2.2, and RFC 4443, section 2.4.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from datapath.actions.encap cimport ENCAP_DONE
from datapath.actions.offload cimport csum_add, csum_finish, largest_segment
from datapath.actions.tunnel_answer cimport *
from datapath.actions.tunnel_pop cimport tunnel_decapsulate
from datapath.actions.tunnel_push cimport (
    TUNNEL_HEADER, check_tunnel_push, tunnel_encapsulate, tunnel_push,
)
from datapath.base.packet cimport *
from datapath.base.protocols cimport *
from datapath.key.flow cimport flow_extract, flow_key

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t)
    uint32_t htonl(uint32_t)

cdef enum:
    L2 = 14
    MAX_L2 = 64                 # with tags
    IPV4 = 20
    IPV6 = 40
    ICMP = 8                    # of either version, with the MTU
    DF = 0x4000
    LATER = 0x1fff              # a fragment that is not the first
    LARGEST_V4 = 576            # of an answer: RFC 1812, section 4.3.2.3
    LARGEST_V6 = 1280
    LEAST_V4 = 68               # an MTU that a link must have
    LEAST_V6 = 1280
    TTL = 64
    LARGEST_PAYLOAD = 16 + 512  # of tnl_push: tunnel_push and TUNNEL_HEADER
    UNREACHABLE = 3             # ICMP, with the code
    FRAGMENTATION_NEEDED = 4
    TOO_BIG = 2                 # ICMPv6
    FIRST_QUERY_V6 = 128        # below are errors
    REDIRECT_V6 = 137


cdef uint32_t tunnel_outer_size(const packet *p, const uint8_t *payload, uint32_t length) noexcept nogil:
    cdef tunnel_push head
    if length < sizeof(head):
        return 0
    memcpy(&head, payload, sizeof(head))
    return largest_segment(p) + head.size - L2


# ---- Whether there is one ----

cdef inline bint _is_error_v4(uint8_t type) noexcept nogil:
    return type in (3, 4, 5, 11, 12)


cdef bint _may_answer_v4(const packet *p) noexcept nogil:
    cdef const uint8_t *ip = p.data + p.l3
    cdef uint32_t size = (ip[0] & 15) * 4
    if not get16(ip + 6) & DF or get16(ip + 6) & LATER:
        return False
    if ip[12] == 0 or ip[12] == 127 or ip[12] >= 224 or ip[16] >= 224:
        return False
    return ip[9] != PROTO_ICMP or p.l3 + size < p.size and not _is_error_v4(ip[size])


cdef inline bint _is_zero(const uint8_t *ipv6) noexcept nogil:
    return not (get32(ipv6) | get32(ipv6 + 4) | get32(ipv6 + 8) | get32(ipv6 + 12))


cdef bint _may_answer_v6(const packet *p, const flow_key *key) noexcept nogil:
    cdef const uint8_t *ip = p.data + p.l3
    if ip[8] == 0xff or ip[24] == 0xff or _is_zero(ip + 8):
        return False
    if key.nw_proto != PROTO_ICMPV6:
        return True
    if p.l4 == NO_OFFSET or p.l4 >= p.size:
        return False
    return p.data[p.l4] >= FIRST_QUERY_V6 and p.data[p.l4] != REDIRECT_V6


cdef bint _may_answer(const packet *p, const flow_key *key, bint *v6) noexcept nogil:
    """Labels lead one way only."""
    if p.l3 == NO_OFFSET or p.l2_5 != NO_OFFSET or p.l3 > MAX_L2:
        return False
    if p.packet_type == 0 and (p.l3 < L2 or (p.data[0] | p.data[6]) & 1):
        return False
    v6[0] = key.eth_type == htons(ETH_IPV6)
    if v6[0]:
        return p.l3 + IPV6 <= p.size and _may_answer_v6(p, key)
    return key.eth_type == htons(ETH_IP) and p.l3 + IPV4 <= p.size and _may_answer_v4(p)


# ---- What it is ----

cdef void _write_v4(uint8_t *at, const uint8_t *ip, uint32_t quoted, uint32_t mtu) noexcept nogil:
    memset(at, 0, IPV4 + ICMP)
    at[0] = 0x45
    put16(at + 2, <uint16_t> (IPV4 + ICMP + quoted))
    put16(at + 6, DF)
    at[8] = TTL
    at[9] = PROTO_ICMP
    memcpy(at + 12, ip + 16, 4)
    memcpy(at + 16, ip + 12, 4)
    put16(at + 10, csum_finish(csum_add(0, at, IPV4)))
    memcpy(at + IPV4 + ICMP, ip, quoted)
    at += IPV4
    at[0] = UNREACHABLE
    at[1] = FRAGMENTATION_NEEDED
    put16(at + 6, <uint16_t> mtu)
    put16(at + 2, csum_finish(csum_add(0, at, ICMP + quoted)))


cdef void _write_v6(uint8_t *at, const uint8_t *ip, uint32_t quoted, uint32_t mtu) noexcept nogil:
    memset(at, 0, IPV6 + ICMP)
    at[0] = 0x60
    put16(at + 4, <uint16_t> (ICMP + quoted))
    at[6] = PROTO_ICMPV6
    at[7] = TTL
    memcpy(at + 8, ip + 24, 16)
    memcpy(at + 24, ip + 8, 16)
    memcpy(at + IPV6 + ICMP, ip, quoted)
    at[IPV6] = TOO_BIG
    put32(at + IPV6 + 4, mtu)
    put16(at + IPV6 + 2, csum_finish(csum_add(
        csum_add(<uint64_t> PROTO_ICMPV6 + ICMP + quoted, at + 8, 32), at + IPV6, ICMP + quoted)))


cdef void _write(const packet *p, bint v6, uint32_t mtu, packet *answer) noexcept nogil:
    """`mtu`: of the packet, from IP on."""
    cdef const uint8_t *ip = p.data + p.l3
    cdef uint32_t header = (IPV6 if v6 else IPV4) + ICMP
    cdef uint32_t quoted = min(p.size - p.l3, (LARGEST_V6 if v6 else LARGEST_V4) - header)
    packet_init(answer, answer.base, answer.capacity, PACKET_HEADROOM + TUNNEL_HEADER,
                p.l3 + header + quoted)
    answer.packet_type = p.packet_type
    memcpy(answer.data, p.data, p.l3)
    if p.packet_type == 0:
        memcpy(answer.data, p.data + 6, 6)
        memcpy(answer.data + 6, p.data, 6)
    if v6:
        _write_v6(answer.data + p.l3, ip, quoted, max(mtu, <uint32_t> LEAST_V6))
    else:
        _write_v4(answer.data + p.l3, ip, quoted, max(mtu, <uint32_t> LEAST_V4))


cdef void _turn(uint8_t *header) noexcept nogil:
    """The outer header of the way back."""
    cdef uint8_t kept[16]
    cdef uint32_t at = L2 + (8 if get16(header + 12) == ETH_IPV6 else 12)
    cdef uint32_t size = 16 if get16(header + 12) == ETH_IPV6 else 4
    memcpy(kept, header, 6)
    memcpy(header, header + 6, 6)
    memcpy(header + 6, kept, 6)
    memcpy(kept, header + at, size)
    memcpy(header + at, header + at + size, size)
    memcpy(header + at + size, kept, size)


cdef bint tunnel_answer(const packet *p, const flow_key *key, const uint8_t *payload, uint32_t length,
                        uint32_t mtu, packet *answer, flow_key *answer_key) noexcept nogil:
    cdef uint8_t back[LARGEST_PAYLOAD]
    cdef tunnel_push head
    cdef uint32_t taken
    cdef bint v6
    if length > LARGEST_PAYLOAD or check_tunnel_push(payload, length) != NULL:
        return False
    if not _may_answer(p, key, &v6):
        return False
    memcpy(&head, payload, sizeof(head))
    taken = head.size - L2 + p.l3
    if mtu <= taken:
        return False
    _write(p, v6, mtu - taken, answer)
    memcpy(back, payload, length)
    _turn(back + sizeof(head))
    if tunnel_encapsulate(answer, back, length, 0) != ENCAP_DONE:
        return False
    flow_extract(answer, answer_key)
    if not tunnel_decapsulate(answer, answer_key, head.kind):
        return False
    answer.in_port = htonl(head.tnl_port)
    return True
