"""Sequence numbers that are shifted, and checksums that follow; see sequence.pxd."""

from libc.stdint cimport uint16_t, uint64_t
from libc.string cimport memcpy

from datapath.actions.offload cimport csum_add, csum_finish
from datapath.base.packet cimport *
from datapath.base.protocols cimport PROTO_TCP
from datapath.conntrack.keys cimport l4_size
from datapath.conntrack.sequence cimport *
from datapath.conntrack.table cimport conn

cdef enum:
    OPT_END = 0
    OPT_NOP = 1
    OPT_SACK = 5


cdef void _sum_tcp(packet *p, uint8_t family) noexcept nogil:
    """The TCP checksum anew, or the part of it that is ours where the hardware does the rest."""
    cdef uint8_t *ip = p.data + p.l3
    cdef uint8_t *tcp = p.data + p.l4
    cdef uint32_t size = l4_size(p)
    cdef uint64_t sum = csum_add(PROTO_TCP + <uint64_t> size, ip + (12 if family == 4 else 8),
                                 8 if family == 4 else 32)
    if p.vnet.flags & VNET_NEEDS_CSUM and p.vnet.csum_start == p.l4:
        put16(tcp + 16, <uint16_t> ~csum_finish(sum))
        return
    put16(tcp + 16, 0)
    put16(tcp + 16, csum_finish(csum_add(sum, tcp, size)))


cdef void _unskew_sack(uint8_t *tcp, uint32_t skew) noexcept nogil:
    cdef uint32_t end = (tcp[12] >> 4) * 4, at = 20, edge, next
    while at < end and tcp[at] != OPT_END:
        if tcp[at] == OPT_NOP:
            at += 1
            continue
        if at + 2 > end or tcp[at + 1] < 2 or at + tcp[at + 1] > end:
            return
        next = at + tcp[at + 1]
        if tcp[at] == OPT_SACK:
            for edge in range(at + 2, next - 3, 4):
                put32(tcp + edge, get32(tcp + edge) - skew)
        at = next


cdef inline int32_t _skew_at(const conn *c, int way, uint32_t seq) noexcept nogil:
    if <int32_t> (seq - c.skew_seq[way]) > 0:
        return c.skew[way]
    return c.skew_before[way]


cdef void unskew_ack(packet *p, const conn *c, int way) noexcept nogil:
    cdef uint8_t *tcp = p.data + p.l4
    cdef uint32_t ack = get32(tcp + 8)
    cdef uint32_t skew = <uint32_t> _skew_at(c, 1 - way, ack - <uint32_t> c.skew[1 - way])
    put32(tcp + 8, ack - skew)
    _unskew_sack(tcp, skew)
    _sum_tcp(p, c.way[0].family)


cdef void skew_seq(packet *p, const conn *c, int way) noexcept nogil:
    cdef uint8_t *tcp = p.data + p.l4
    cdef uint32_t seq = get32(tcp + 4)
    cdef int32_t skew = _skew_at(c, way, seq)
    if skew:
        put32(tcp + 4, seq + <uint32_t> skew)
        _sum_tcp(p, c.way[0].family)


cdef bint replace_payload(packet *p, conn *c, int way, uint32_t at, uint32_t old,
                          const uint8_t *text, uint32_t n) noexcept nogil:
    cdef uint8_t *ip
    cdef uint32_t seq = get32(p.data + p.l4 + 4)
    cdef int32_t change = <int32_t> n - <int32_t> old
    if p.l3_size + change > 65535:
        return False
    if change > 0 and not packet_open(p, at + old, <uint32_t> change):
        return False
    if change < 0:
        packet_close(p, at + n, <uint32_t> -change)
    memcpy(p.data + at, text, n)
    p.l3_size += change
    ip = p.data + p.l3
    if c.way[0].family == 4:
        put16(ip + 2, <uint16_t> p.l3_size)
        put16(ip + 10, 0)
        put16(ip + 10, csum_finish(csum_add(0, ip, (ip[0] & 15) * 4)))
    else:
        put16(ip + 4, <uint16_t> (p.l3_size - 40))
    _sum_tcp(p, c.way[0].family)
    # Said again, it is shifted already.
    if change and <int32_t> (seq - c.skew_seq[way]) > 0 or (change and not c.skew[way]
                                                            and not c.skew_before[way]):
        c.skew_before[way] = c.skew[way]
        c.skew[way] += change
        c.skew_seq[way] = seq
    return True
