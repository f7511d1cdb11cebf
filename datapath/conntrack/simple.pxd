# Protocols of which the tracker knows only whether an answer was seen: UDP, ICMP, SCTP, others.

from libc.stdint cimport uint64_t

from datapath.conntrack.table cimport conn, ct_tuple, tracker
from datapath.conntrack.tcp cimport update

cdef bint simple_valid_new(const ct_tuple *t) noexcept nogil
cdef void simple_new(tracker *t, conn *c, uint64_t now) noexcept nogil
cdef update simple_update(tracker *t, conn *c, int way, uint64_t now) noexcept nogil
