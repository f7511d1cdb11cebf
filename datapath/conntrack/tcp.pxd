# TCP's states and windows of a tracked connection, after van Rooij's "Real Stateful TCP Packet
# Filtering in IP Filter" (2000), and RFC 9293.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from datapath.conntrack.table cimport conn, tracker

cdef enum tcp_state:
    TCPS_CLOSED
    TCPS_LISTEN
    TCPS_SYN_SENT
    TCPS_SYN_RECV
    TCPS_ESTABLISHED
    TCPS_CLOSE_WAIT
    TCPS_FIN_WAIT_1
    TCPS_CLOSING
    TCPS_LAST_ACK
    TCPS_FIN_WAIT_2
    TCPS_TIME_WAIT

cdef enum update:               # what a packet is to its connection
    UPDATE_INVALID
    UPDATE_ESTABLISHED
    UPDATE_NEW                  # still new: no answer was seen
    UPDATE_RESTART              # the connection has ended, and this begins another one

# tcp: the header, whole, `size` bytes with the payload.  The connection is locked.
cdef update tcp_update(tracker *t, conn *c, int way, const uint8_t *tcp, uint32_t size,
                       uint64_t now) noexcept nogil
cdef bint tcp_valid_new(const uint8_t *tcp) noexcept nogil
cdef void tcp_new(tracker *t, conn *c, const uint8_t *tcp, uint32_t size, uint64_t now) noexcept nogil
