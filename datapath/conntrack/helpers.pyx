"""Helpers: whom a control connection's packets are given to; see helpers.pxd."""

from libc.stdint cimport uint16_t

from datapath.actions.odp cimport ALG_FTP, ALG_TFTP
from datapath.base.packet cimport get16, packet
from datapath.base.protocols cimport PROTO_TCP, PROTO_UDP
from datapath.conntrack.expectations cimport expect
from datapath.conntrack.ftp cimport ftp_packet
from datapath.conntrack.helpers cimport *
from datapath.conntrack.keys cimport l4_size
from datapath.conntrack.sequence cimport unskew_ack
from datapath.conntrack.table cimport *

cdef enum:
    TFTP_READ = 1
    TFTP_WRITE = 2


cdef void helper_before(packet *p, const conn *c, int way) noexcept nogil:
    if c.way[0].proto == PROTO_TCP and c.skew[1 - way]:
        unskew_ack(p, c, way)


cdef void _tftp(tracker *t, packet *p, conn *c, int way, uint64_t now) noexcept nogil:
    """A request: the server answers from a port of its own."""
    cdef uint16_t code
    if way != 0 or l4_size(p) < 12:
        return
    code = get16(p.data + p.l4 + 8)
    if code == TFTP_READ or code == TFTP_WRITE:
        expect(t, c, 0, c.way[0].src_port, c.way[1].dst_port, now)


cdef void helper_packet(tracker *t, packet *p, flow_key *key, conn *c, int way, bint nat,
                        uint64_t now) noexcept nogil:
    if c.alg == ALG_FTP and c.way[0].proto == PROTO_TCP:
        ftp_packet(t, p, c, way, nat, now)
    elif c.alg == ALG_TFTP and c.way[0].proto == PROTO_UDP:
        _tftp(t, p, c, way, now)
