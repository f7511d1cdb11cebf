"""Protocols without states of their own; see simple.pxd."""

from libc.stdint cimport uint8_t

from datapath.base.protocols cimport PROTO_ICMP, PROTO_ICMPV6
from datapath.conntrack.simple cimport *
from datapath.conntrack.table cimport *
from datapath.conntrack.tcp cimport UPDATE_ESTABLISHED, UPDATE_NEW

cdef enum:                      # conn.l4_state
    FIRST                       # one packet
    MULTIPLE                    # more, all of one direction
    ANSWERED

cdef inline bint _is_icmp(const ct_tuple *t) noexcept nogil:
    return t.proto == (PROTO_ICMP if t.family == 4 else PROTO_ICMPV6)


cdef bint simple_valid_new(const ct_tuple *t) noexcept nogil:
    """Of ICMP, a question: echo, timestamp, information."""
    cdef uint8_t type = (<const uint8_t *> &t.dst_port)[0]
    cdef uint8_t code = (<const uint8_t *> &t.dst_port)[1]
    if not _is_icmp(t):
        return True
    if code:
        return False
    return type == 8 or type == 13 or type == 15 if t.family == 4 else type == 128


cdef ct_timeout _timeout(const conn *c) noexcept nogil:
    if _is_icmp(&c.way[0]):
        return TM_ICMP_REPLY if c.l4_state == ANSWERED else TM_ICMP_FIRST
    if c.l4_state == ANSWERED:
        return TM_UDP_MULTIPLE
    return TM_UDP_SINGLE if c.l4_state == MULTIPLE else TM_UDP_FIRST


cdef void simple_new(tracker *t, conn *c, uint64_t now) noexcept nogil:
    c.l4_state = FIRST
    set_timeout(t, c, _timeout(c), now)


cdef update simple_update(tracker *t, conn *c, int way, uint64_t now) noexcept nogil:
    if way == 1:
        c.l4_state = ANSWERED
    elif c.l4_state == FIRST:
        c.l4_state = MULTIPLE
    set_timeout(t, c, _timeout(c), now)
    return UPDATE_ESTABLISHED if c.l4_state == ANSWERED else UPDATE_NEW
