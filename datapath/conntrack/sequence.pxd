# Sequence numbers of a TCP connection in whose payload bytes were put in or left out.

from libc.stdint cimport int32_t, uint8_t, uint32_t

from datapath.base.packet cimport packet
from datapath.conntrack.table cimport conn

# p goes in direction `way`: its acknowledgments (SACK's, too) as their receiver counts.
cdef void unskew_ack(packet *p, const conn *c, int way) noexcept nogil
# Its sequence number as its receiver has to see it.
cdef void skew_seq(packet *p, const conn *c, int way) noexcept nogil
# Replaces `old` bytes of the payload, at `at` of the frame, by `n` others, and notes what that means
# for all bytes behind them.  False: no room; nothing is changed.
cdef bint replace_payload(packet *p, conn *c, int way, uint32_t at, uint32_t old,
                          const uint8_t *text, uint32_t n) noexcept nogil
