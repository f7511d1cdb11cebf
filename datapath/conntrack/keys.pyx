"""The tuple of a packet, from its headers or from the headers inside an ICMP error."""

from libc.string cimport memcpy, memset

from datapath.actions.offload cimport csum_add, csum_finish
from datapath.base.packet cimport *
from datapath.base.protocols cimport *
from datapath.conntrack.keys cimport *
from datapath.key.flow cimport FRAG_ANY, flow_key

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t)

cdef enum:
    ICMP_ECHO_REPLY = 0
    ICMP_ECHO = 8
    ICMP_TIMESTAMP = 13
    ICMP_TIMESTAMP_REPLY = 14
    ICMP_INFO = 15
    ICMP_INFO_REPLY = 16
    ICMP6_ECHO = 128
    ICMP6_ECHO_REPLY = 129


cdef inline int _answer(uint8_t family, uint8_t type) noexcept nogil:
    """The type of ICMP that answers this one, or -1 where that is no question or answer."""
    if family == 4:
        if type == ICMP_ECHO or type == ICMP_ECHO_REPLY:
            return ICMP_ECHO - type
        if ICMP_TIMESTAMP <= type <= ICMP_INFO_REPLY:
            return type + 1 if type % 2 else type - 1
    elif type == ICMP6_ECHO or type == ICMP6_ECHO_REPLY:
        return type ^ 1
    return -1


cdef inline bint _is_error(uint8_t family, uint8_t type) noexcept nogil:
    """Of ICMP: unreachable, source quench, redirect, time exceeded, parameter problem; of ICMPv6:
    unreachable, too big, time exceeded, parameter problem."""
    if family == 4:
        return type == 3 or type == 4 or type == 5 or type == 11 or type == 12
    return 1 <= type <= 4


cdef void tuple_reverse(const ct_tuple *t, ct_tuple *reversed) noexcept nogil:
    cdef int type
    memcpy(reversed.src, t.dst, 16)
    memcpy(reversed.dst, t.src, 16)
    reversed.zone = t.zone
    reversed.proto = t.proto
    reversed.family = t.family
    if (t.proto == PROTO_ICMP and t.family == 4) or (t.proto == PROTO_ICMPV6 and t.family == 6):
        type = _answer(t.family, (<const uint8_t *> &t.dst_port)[0])
        reversed.src_port = t.src_port
        reversed.dst_port = htons(<uint16_t> (type << 8)) if type >= 0 else t.dst_port
        return
    reversed.src_port = t.dst_port
    reversed.dst_port = t.src_port


# ---- L4 ----

cdef bint _l4(const uint8_t *at, uint32_t left, ct_tuple *t) noexcept nogil:
    """Ports, or what stands for them; `at` has `left` bytes.  False for an ICMP error, too."""
    if t.proto == PROTO_TCP or t.proto == PROTO_UDP or t.proto == PROTO_SCTP:
        if left < 8:
            return False
        memcpy(&t.src_port, at, 2)
        memcpy(&t.dst_port, at + 2, 2)
        return t.src_port != 0 and t.dst_port != 0
    if (t.proto == PROTO_ICMP and t.family == 4) or (t.proto == PROTO_ICMPV6 and t.family == 6):
        if left < 8 or _answer(t.family, at[0]) < 0:
            return False
        memcpy(&t.src_port, at + 4, 2)
        memcpy(&t.dst_port, at, 2)
        return True
    return True


cdef uint64_t _pseudo(const packet *p, const ct_tuple *t, uint32_t size) noexcept nogil:
    cdef const uint8_t *ip = p.data + p.l3
    if t.family == 4:
        return csum_add(t.proto + <uint64_t> size, ip + 12, 8)
    return csum_add(t.proto + <uint64_t> size, ip + 8, 32)


cdef bint _sum_is_right(const packet *p, const ct_tuple *t) noexcept nogil:
    """Of L4; left to the hardware, or verified by it, is right."""
    cdef const uint8_t *l4 = p.data + p.l4
    cdef uint32_t size = l4_size(p)
    if p.vnet.flags & (VNET_NEEDS_CSUM | VNET_DATA_VALID) or p.vnet.gso_type != GSO_NONE:
        return True
    if t.proto == PROTO_TCP or (t.proto == PROTO_ICMPV6 and t.family == 6):
        return csum_finish(csum_add(_pseudo(p, t, size), l4, size)) == 0
    if t.proto == PROTO_UDP:
        if get16(l4 + 6) == 0:
            return t.family == 4
        return csum_finish(csum_add(_pseudo(p, t, size), l4, size)) == 0
    if t.proto == PROTO_ICMP and t.family == 4:
        return csum_finish(csum_add(0, l4, size)) == 0
    return True


cdef bint _has_its_length(const packet *p) noexcept nogil:
    """Whether a UDP datagram is all there; Open vSwitch lets bytes follow it, which its sum covers."""
    cdef uint32_t size
    if l4_size(p) < 8:
        return False
    size = get16(p.data + p.l4 + 4)
    return 8 <= size <= l4_size(p)


# ---- Inside of an ICMP error ----

cdef const uint8_t *_inner6(const uint8_t *at, uint32_t *left, uint8_t *proto) noexcept nogil:
    """Over the extension headers of a packet of which not all may be there."""
    cdef uint32_t size
    cdef int n
    for n in range(8):
        if (proto[0] != PROTO_HOPOPTS and proto[0] != PROTO_ROUTING and proto[0] != PROTO_DSTOPTS
                and proto[0] != PROTO_FRAGMENT):
            return at
        if left[0] < 8:
            return NULL
        size = 8 if proto[0] == PROTO_FRAGMENT else (at[1] + 1) * 8
        if size > left[0] or (proto[0] == PROTO_FRAGMENT and get16(at + 2) & 0xfff8):
            return NULL
        proto[0] = at[0]
        at += size
        left[0] -= size
    return NULL


cdef bint _inner(const uint8_t *ip, uint32_t left, ct_tuple *t) noexcept nogil:
    """The tuple of the IP packet at `ip`, of which `left` bytes are there."""
    cdef uint32_t header
    cdef const uint8_t *l4
    memset(t.src, 0, 32)
    if t.family == 4:
        if left < 20 or ip[0] >> 4 != 4:
            return False
        header = (ip[0] & 15) * 4
        if header < 20 or header > left or get16(ip + 6) & 0x1fff:
            return False
        memcpy(t.src, ip + 12, 4)
        memcpy(t.dst, ip + 16, 4)
        t.proto = ip[9]
        return _l4(ip + header, left - header, t)
    if left < 40 or ip[0] >> 4 != 6:
        return False
    memcpy(t.src, ip + 8, 16)
    memcpy(t.dst, ip + 24, 16)
    t.proto = ip[6]
    left -= 40
    l4 = _inner6(ip + 40, &left, &t.proto)
    return l4 != NULL and _l4(l4, left, t)


cdef extraction _related(const packet *p, ct_tuple *t, uint32_t *inner) noexcept nogil:
    """An ICMP error belongs to the connection that the packet in it belongs to, and goes the
    other way; only whom that packet came from is to get it (RFC 5508 section 4.2)."""
    cdef ct_tuple found
    cdef uint8_t dst[16]
    memcpy(dst, t.dst, 16)
    found = t[0]
    inner[0] = <uint32_t> p.l4 + 8
    if l4_size(p) < 8 or not _inner(p.data + inner[0], l4_size(p) - 8, &found):
        return KEY_BAD
    for i in range(16):
        if found.src[i] != dst[i]:
            return KEY_BAD
    tuple_reverse(&found, t)
    return KEY_RELATED


cdef extraction tuple_extract(const packet *p, const flow_key *key, uint16_t zone, ct_tuple *t,
                              uint32_t *inner) noexcept nogil:
    cdef const uint8_t *ip
    cdef const uint8_t *l4
    memset(t, 0, sizeof(ct_tuple))
    if p.l3 == NO_OFFSET or p.l4 == NO_OFFSET or key.nw_frag & FRAG_ANY:
        return KEY_BAD
    ip = p.data + p.l3
    l4 = p.data + p.l4
    t.zone = zone
    t.proto = key.nw_proto
    if not tuple_take_addresses(t, key):
        return KEY_BAD
    if (t.family == 4 and not p.vnet.flags
            and csum_finish(csum_add(0, ip, (ip[0] & 15) * 4)) != 0):
        return KEY_BAD_SUM
    if t.proto == PROTO_TCP and (l4_size(p) < 20 or (l4[12] >> 4) * 4 < 20
                                 or <uint32_t> (l4[12] >> 4) * 4 > l4_size(p)):
        return KEY_BAD
    if t.proto == PROTO_SCTP and l4_size(p) < 12:
        return KEY_BAD
    if t.proto == PROTO_UDP and p.vnet.gso_type == GSO_NONE and not _has_its_length(p):
        return KEY_BAD
    if not _l4(l4, l4_size(p), t):
        if (l4_size(p) >= 8 and t.proto == (PROTO_ICMP if t.family == 4 else PROTO_ICMPV6)
                and _is_error(t.family, l4[0])):
            if not _sum_is_right(p, t):
                return KEY_BAD_SUM
            return _related(p, t, inner)
        return KEY_BAD
    return KEY_GOOD if _sum_is_right(p, t) else KEY_BAD_SUM
