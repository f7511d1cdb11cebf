"""Tunnel headers as translation prepares them, and what of them is filled in for each packet.

Sources: RFC 768, 791, 8200, 2784 and 2890 (GRE), 7348 (VXLAN), 8926 (Geneve), 8754 (segment
routing), draft-foschiano-erspan, 3GPP TS 29.281 (GTP-U).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from datapath.actions.encap cimport ENCAP_DONE, ENCAP_MISFIT, ENCAP_NO_ROOM, encap_result
from datapath.actions.offload cimport complete_checksum, csum_add, csum_finish
from datapath.actions.tunnel_push cimport *
from datapath.base.clock cimport clock_ns
from datapath.base.packet cimport *
from datapath.base.protocols cimport *

cdef extern from *:
    """
    #include <stdint.h>
    static inline uint32_t pyvs_count32(uint32_t *at) {
        return __atomic_add_fetch(at, 1, __ATOMIC_RELAXED);
    }
    """
    uint32_t count_one "pyvs_count32"(uint32_t *at) noexcept nogil

cdef enum:
    L3 = 14                     # tags of the underlay are pushed later, by actions of their own
    IPV4 = 20                   # without options
    IPV4_LEAST_MTU = 68
    MORE_FRAGMENTS = 0x2000
    IPV6 = 40
    UDP = 8
    UDP_CSUM = 6                # offsets in the UDP header
    UDP_LENGTH = 4
    GTPU_LENGTH = 2
    GTPU = 8
    GTPU_LONG = 12              # with any of the three flags, and the sequence number behind GTPU
    GTPU_OPTIONAL = 0x07
    GTPU_SEQUENCE = 0x02
    GRE_CSUM = 0x8000
    GRE_KEY = 0x2000
    GRE_SEQUENCE = 0x1000
    GRE_FLAGS = GRE_CSUM | GRE_KEY | GRE_SEQUENCE
    ERSPAN_V2 = 0x22eb
    TICK_NS = 100000            # of ERSPAN's time stamp at granularity 0

# Source ports of UDP: the first one, and how many.
cdef uint32_t first_port = 32768, n_ports = 61000 - 32768 + 1

# Sequence numbers, each for the headers with the same hash: what one receiver sees rises.  All
# workers count here.
cdef uint32_t sequences[TUNNEL_SEQUENCES]
cdef uint32_t identification


def set_udp_ports(uint32_t first, uint32_t last):
    """The range that outer UDP source ports are from."""
    global first_port, n_ports
    if not 1 <= first <= last <= 65535:
        raise ValueError(f"{first} {last}: no range of ports")
    first_port, n_ports = first, last - first + 1


def udp_ports():
    """(first, last)."""
    return first_port, first_port + n_ports - 1


# ---- Checking ----

cdef bint _has_kind(uint16_t kind, uint8_t proto) noexcept nogil:
    """Whether a tunnel of this kind has this protocol behind IP."""
    if kind == TUNNEL_VXLAN or kind == TUNNEL_GENEVE or kind == TUNNEL_GTPU:
        return proto == PROTO_UDP
    if kind == TUNNEL_SRV6:
        return proto == PROTO_ROUTING or proto == PROTO_IPIP or proto == PROTO_IPV6
    return (proto == PROTO_GRE and (kind == TUNNEL_GRE or kind == TUNNEL_IP6GRE
                                    or kind == TUNNEL_ERSPAN or kind == TUNNEL_IP6ERSPAN))


cdef uint32_t _gre_size(uint16_t flags) noexcept nogil:
    return <uint32_t> (4 + 4 * ((flags & GRE_CSUM != 0) + (flags & GRE_KEY != 0)
                                + (flags & GRE_SEQUENCE != 0)))


cdef bint _options_fit(const uint8_t *at, uint32_t left) noexcept nogil:
    """Geneve's, to the last byte."""
    cdef uint32_t size
    while left >= 4:
        size = 4 + (at[3] & 0x1f) * 4
        if size > left:
            return False
        at += size
        left -= size
    return left == 0


cdef const char *_check_udp(const uint8_t *at, uint32_t left, uint16_t kind) noexcept nogil:
    """`at`: behind UDP."""
    cdef uint32_t size = 8
    if left < size:
        return "tnl_push: no room for the tunnel's header"
    if kind == TUNNEL_GENEVE:
        size += (at[0] & 0x3f) * 4
    elif kind == TUNNEL_GTPU and at[0] & GTPU_OPTIONAL:
        size = GTPU_LONG
    if left != size:
        return "tnl_push: not the size of such a tunnel's header"
    if kind == TUNNEL_GENEVE and not _options_fit(at + 8, left - 8):
        return "tnl_push: wrong length of an option"
    return NULL


cdef const char *_check_gre(const uint8_t *at, uint32_t left, uint16_t kind) noexcept nogil:
    cdef uint32_t size
    if left < 4 or get16(at) & ~<uint32_t> GRE_FLAGS:
        return "tnl_push: unknown flags of GRE"
    size = _gre_size(get16(at))
    if kind == TUNNEL_ERSPAN or kind == TUNNEL_IP6ERSPAN:
        if get16(at) != GRE_SEQUENCE:
            return "tnl_push: not the flags of ERSPAN"
        size += 12 if get16(at + 2) == ERSPAN_V2 else 8
        if left == size and at[8] >> 4 != (2 if get16(at + 2) == ERSPAN_V2 else 1):
            return "tnl_push: not the version of ERSPAN"
    if left != size:
        return "tnl_push: not the size of such a tunnel's header"
    return NULL


cdef const char *_check_segments(const uint8_t *at, uint32_t left, uint8_t proto) noexcept nogil:
    if proto != PROTO_ROUTING and left:
        return "tnl_push: something stands behind IPv6"
    if proto != PROTO_ROUTING:
        return NULL
    if left < 8 or left != 8 + 16 * (<uint32_t> at[4] + 1) or <uint32_t> (at[1] + 1) * 8 != left:
        return "tnl_push: wrong length of the routing header"
    return NULL


cdef const char *_check_l4(const uint8_t *l4, uint32_t left, uint16_t kind, uint8_t proto) noexcept nogil:
    """The header ends where the tunnel's does: whoever shows it or fills it in goes by that."""
    if proto == PROTO_UDP:
        if left < UDP:
            return "tnl_push: no room for UDP"
        return _check_udp(l4 + UDP, left - UDP, kind)
    if proto == PROTO_GRE:
        return _check_gre(l4, left, kind)
    return _check_segments(l4, left, proto)


cdef const char *_find_layers(const uint8_t *payload, uint32_t length, tunnel_push *head,
                              tunnel_layout *l) noexcept nogil:
    """NULL when all of them are there."""
    cdef const uint8_t *at = payload + sizeof(tunnel_push)
    cdef uint16_t ethertype
    if length < sizeof(tunnel_push):
        return "tnl_push: too short"
    memcpy(head, payload, sizeof(tunnel_push))
    if length != sizeof(tunnel_push) + head.size or not L3 + IPV4 <= head.size <= TUNNEL_HEADER:
        return "tnl_push: wrong size of the header"
    ethertype = get16(at + 12)
    l.v6 = ethertype == ETH_IPV6
    if l.v6:
        l.l4 = L3 + IPV6
        if head.size < l.l4 or at[L3] >> 4 != 6:
            return "tnl_push: no IPv6 header"
        l.proto = at[L3 + 6]
    else:
        l.l4 = L3 + IPV4
        if ethertype != ETH_IP or at[L3] != 0x45:
            return "tnl_push: no IPv4 header"
        l.proto = at[L3 + 9]
    if not _has_kind(head.kind, l.proto):
        return "tnl_push: not the protocol of such a tunnel"
    return _check_l4(at + l.l4, head.size - l.l4, head.kind, l.proto)


cdef const char *check_tunnel_push(const uint8_t *payload, uint32_t length) noexcept nogil:
    cdef tunnel_push head
    cdef tunnel_layout l
    return _find_layers(payload, length, &head, &l)


# ---- Filling in ----

cdef inline uint32_t _next_sequence(const uint8_t *l4, uint32_t size, const uint8_t *ip) noexcept nogil:
    """The first one of a header is 1."""
    cdef uint32_t hash = 0, i
    for i in range(12, 20):
        hash = hash * 31 + ip[i]
    for i in range(size):
        hash = hash * 31 + l4[i]
    return count_one(&sequences[(hash ^ hash >> 11 ^ hash >> 22) % TUNNEL_SEQUENCES])


cdef void _fill_ip(uint8_t *ip, bint v6, uint32_t size) noexcept nogil:
    """`size`: bytes from the IP header on."""
    if v6:
        put16(ip + 4, <uint16_t> (size - IPV6))
        return
    put16(ip + 2, <uint16_t> size)
    if not ip[6] & 0x40:        # may be fragmented: RFC 6864 wants it to be told from others
        put16(ip + 4, <uint16_t> (count_one(&identification) & 0xffff))
    put16(ip + 10, 0)
    put16(ip + 10, csum_finish(csum_add(0, ip, IPV4)))


cdef void _fill_udp(uint8_t *frame, const tunnel_layout *l, uint32_t size, uint32_t hash) noexcept nogil:
    """`size`: bytes from the UDP header on."""
    cdef uint8_t *udp = frame + l.l4
    cdef uint64_t sum
    cdef uint16_t folded
    put16(udp, <uint16_t> (first_port + (<uint64_t> hash * n_ports >> 32)))
    put16(udp + UDP_LENGTH, <uint16_t> size)
    if get16(udp + UDP_CSUM) == 0:
        return
    put16(udp + UDP_CSUM, 0)
    sum = <uint64_t> PROTO_UDP + size
    sum = csum_add(sum, frame + L3 + 8, 32) if l.v6 else csum_add(sum, frame + L3 + 12, 8)
    folded = csum_finish(csum_add(sum, udp, size))
    put16(udp + UDP_CSUM, folded if folded else 0xffff)


cdef void _fill_gtpu(uint8_t *gtpu, uint32_t size, uint32_t header, const uint8_t *ip) noexcept nogil:
    put16(gtpu + GTPU_LENGTH, <uint16_t> (size - GTPU))
    if gtpu[0] & GTPU_SEQUENCE:
        put16(gtpu + GTPU, <uint16_t> (_next_sequence(gtpu, header, ip) & 0xffff))


cdef void _fill_gre(uint8_t *gre, uint32_t size, uint32_t header, const uint8_t *ip) noexcept nogil:
    """`header`: bytes of GRE and what stands behind it, before the packet."""
    cdef uint16_t flags = get16(gre)
    cdef uint32_t fields = _gre_size(flags)
    if get16(gre + 2) == ERSPAN_V2 and header >= fields + 12:
        put32(gre + fields + 4, <uint32_t> (clock_ns() // TICK_NS))
    if flags & GRE_SEQUENCE:
        put32(gre + fields - 4, 0)
        put32(gre + fields - 4, _next_sequence(gre, fields + (4 if header > fields else 0), ip))
    if flags & GRE_CSUM:
        put32(gre + 4, 0)
        put16(gre + 4, csum_finish(csum_add(0, gre, size)))


cdef inline bint _covers(const uint8_t *header, const tunnel_layout *l) noexcept nogil:
    """Whether the outer header has a checksum of all that is in it."""
    if l.proto == PROTO_UDP:
        return get16(header + l.l4 + UDP_CSUM) != 0
    return l.proto == PROTO_GRE and get16(header + l.l4) & GRE_CSUM


cdef encap_result tunnel_encapsulate(packet *p, const uint8_t *payload, uint32_t length,
                                     uint32_t hash) noexcept nogil:
    cdef tunnel_push head
    cdef tunnel_layout l
    cdef const uint8_t *header = payload + sizeof(tunnel_push)
    if _find_layers(payload, length, &head, &l) != NULL:
        return ENCAP_MISFIT
    if p.size + head.size - L3 > 65535 or (_covers(header, &l) and not complete_checksum(p)):
        return ENCAP_MISFIT
    if not packet_open(p, 0, head.size):
        return ENCAP_NO_ROOM
    memcpy(p.data, header, head.size)
    p.packet_type = 0
    if l.proto == PROTO_GRE:
        _fill_gre(p.data + l.l4, p.size - l.l4, head.size - l.l4, p.data + L3)
    elif l.proto == PROTO_UDP:
        if head.kind == TUNNEL_GTPU:
            _fill_gtpu(p.data + l.l4 + UDP, p.size - l.l4 - UDP, head.size - l.l4 - UDP,
                       p.data + L3)
        _fill_udp(p.data, &l, p.size - l.l4, hash)
    _fill_ip(p.data + L3, l.v6, p.size - L3)
    return ENCAP_DONE


# ---- Cutting ----

cdef bint tunnel_may_be_cut(const uint8_t *payload) noexcept nogil:
    cdef const uint8_t *header = payload + sizeof(tunnel_push)
    return get16(header + 12) == ETH_IP and not header[L3 + 6] & 0x40


cdef bint tunnel_cut(const packet *p, packet *piece, uint32_t mtu, segment_fn emit,
                     void *owner) noexcept nogil:
    """RFC 791, section 3.2."""
    cdef uint8_t *base = piece.base
    cdef uint32_t capacity = piece.capacity
    cdef uint32_t most = (mtu - IPV4) & ~<uint32_t> 7, left = p.size - L3 - IPV4, at = 0, size
    cdef uint8_t *ip
    if mtu < IPV4_LEAST_MTU:
        return False
    while left:
        size = min(most, left)
        left -= size
        piece[0] = p[0]
        piece.base = base
        piece.capacity = capacity
        piece.data = base + PACKET_HEADROOM
        piece.size = L3 + IPV4 + size
        memset(&piece.vnet, 0, sizeof(vnet_hdr))
        memcpy(piece.data, p.data, L3 + IPV4)
        memcpy(piece.data + L3 + IPV4, p.data + L3 + IPV4 + at, size)
        ip = piece.data + L3
        put16(ip + 2, <uint16_t> (IPV4 + size))
        put16(ip + 6, <uint16_t> (at >> 3 | (MORE_FRAGMENTS if left else 0)))
        put16(ip + 10, 0)
        put16(ip + 10, csum_finish(csum_add(0, ip, IPV4)))
        at += size
        emit(owner, piece)
    return True
