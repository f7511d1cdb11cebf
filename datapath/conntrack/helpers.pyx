"""Helpers; see helpers.pxd."""

from datapath.conntrack.helpers cimport *


cdef bint expected(tracker *t, const ct_tuple *tuple, uint64_t now, bint nat, bint take,
                   conn *parent) noexcept nogil:
    return False


cdef void helper_packet(tracker *t, packet *p, flow_key *key, conn *c, int way, bint nat,
                        uint64_t now) noexcept nogil:
    pass
