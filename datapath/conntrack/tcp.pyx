"""TCP's states and windows; see tcp.pxd.

For each end the tracker knows what it has sent (seqlo), what the other lets it send (seqhi), and the
largest window that it has offered.  A segment belongs to the connection when its last byte lies
within what its sender may send, its first not more than a window behind, and its acknowledgment
not far from what the other end has sent.
"""

from libc.stdint cimport int32_t, uint16_t

from datapath.base.packet cimport get16, get32
from datapath.conntrack.table cimport *
from datapath.conntrack.tcp cimport *

cdef enum:
    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    ACK = 0x10
    URG = 0x20

    WSCALE_SHIFT = 0x0f         # tcp_peer.wscale
    WSCALE_UNKNOWN = 0x40       # the connection was there before us
    WSCALE_GIVEN = 0x80         # the SYN had the option
    MAX_SHIFT = 14              # RFC 7323 section 2.3
    ACK_SLACK = 0xffff + 1500   # how far an acknowledgment may be off
    OPT_END = 0
    OPT_NOP = 1
    OPT_WSCALE = 3

# A segment, as the two ends see it.
cdef struct segment:
    uint8_t flags
    uint32_t seq
    uint32_t first              # sequence number where it begins, for the window
    uint32_t end                # and behind its last byte; SYN and FIN count as one
    uint32_t ack
    uint32_t window
    uint8_t shift               # of the sender's windows
    uint8_t back                # of the receiver's
    bint new_end                # the first of its sender


cdef inline bint _at_least(uint32_t a, uint32_t b) noexcept nogil:
    return <int32_t> (a - b) >= 0


cdef inline bint _bad_flags(uint8_t flags) noexcept nogil:
    """Combinations that no stack sends."""
    if flags & SYN:
        if flags & (RST | FIN):
            return True
    elif not flags & (ACK | RST):
        return True
    return not flags & ACK and flags & (FIN | PSH | URG)


cdef uint8_t _window_scale(const uint8_t *tcp) noexcept nogil:
    """The option of a SYN, with WSCALE_GIVEN; 0 without."""
    cdef uint32_t end = (tcp[12] >> 4) * 4, at = 20
    while at < end and tcp[at] != OPT_END:
        if tcp[at] == OPT_NOP:
            at += 1
            continue
        if at + 2 > end or tcp[at + 1] < 2:
            return 0
        if tcp[at] == OPT_WSCALE and tcp[at + 1] == 3 and at + 3 <= end:
            return <uint8_t> (min(tcp[at + 2], <uint8_t> MAX_SHIFT) | WSCALE_GIVEN)
        at += tcp[at + 1]
    return 0


cdef inline uint32_t _unscaled(uint32_t window, uint8_t shift) noexcept nogil:
    """A SYN's window, which is not scaled, in units of those that will be."""
    return (window + (1 << shift) - 1) >> shift


cdef bint tcp_valid_new(const uint8_t *tcp) noexcept nogil:
    """A SYN, or a segment of a connection from before; an answer to a SYN starts nothing."""
    return not _bad_flags(tcp[13]) and tcp[13] & (SYN | ACK) != (SYN | ACK)


cdef void tcp_new(tracker *t, conn *c, const uint8_t *tcp, uint32_t size, uint64_t now) noexcept nogil:
    cdef tcp_peer *src = &c.peer[0]
    cdef tcp_peer *dst = &c.peer[1]
    cdef uint8_t flags = tcp[13]
    cdef uint32_t window = max(get16(tcp + 14), <uint16_t> 1)
    src.seqlo = get32(tcp + 4)
    src.seqhi = (src.seqlo + size - (tcp[12] >> 4) * 4 + 1 + ((flags & SYN) != 0)
                 + ((flags & FIN) != 0))
    if flags & SYN:
        src.wscale = _window_scale(tcp)
        window = _unscaled(window, src.wscale & WSCALE_SHIFT)
    else:
        src.wscale = dst.wscale = WSCALE_UNKNOWN
    src.max_win = <uint16_t> window
    dst.seqhi = dst.max_win = 1
    src.state = TCPS_SYN_SENT
    dst.state = TCPS_CLOSED
    set_timeout(t, c, TM_TCP_SYN_SENT, now)


cdef void _read(const uint8_t *tcp, uint32_t size, segment *s) noexcept nogil:
    s.flags = tcp[13]
    s.seq = s.first = get32(tcp + 4)
    s.ack = get32(tcp + 8)
    s.window = get16(tcp + 14)
    s.end = (s.seq + size - (tcp[12] >> 4) * 4 + ((s.flags & SYN) != 0) + ((s.flags & FIN) != 0))
    s.shift = s.back = 0
    s.new_end = False


cdef void _scales(const tcp_peer *src, const tcp_peer *dst, segment *s) noexcept nogil:
    if s.flags & SYN:
        return
    if src.wscale & WSCALE_GIVEN and dst.wscale & WSCALE_GIVEN:
        s.shift = src.wscale & WSCALE_SHIFT
        s.back = dst.wscale & WSCALE_SHIFT
    elif src.wscale & WSCALE_UNKNOWN and dst.wscale & WSCALE_UNKNOWN:
        s.shift = s.back = MAX_SHIFT


cdef void _first_of_end(tcp_peer *src, tcp_peer *dst, const uint8_t *tcp, segment *s) noexcept nogil:
    """What the first segment of an end tells of it."""
    cdef uint32_t reach
    if s.flags & SYN and dst.wscale & WSCALE_GIVEN:
        src.wscale = _window_scale(tcp)
        if src.wscale & WSCALE_GIVEN:
            s.shift = src.wscale & WSCALE_SHIFT
            s.back = dst.wscale & WSCALE_SHIFT
            s.window = _unscaled(s.window, s.shift)
        else:
            # Neither end scales, then.
            dst.max_win = <uint16_t> min(<uint32_t> dst.max_win << (dst.wscale & WSCALE_SHIFT),
                                         <uint32_t> 0xffff)
            dst.wscale = 0
    src.seqlo = s.seq
    src.state = TCPS_SYN_SENT
    reach = s.end + max(<uint32_t> 1, <uint32_t> dst.max_win << s.back)
    if src.seqhi == 1 or _at_least(reach, src.seqhi):
        src.seqhi = reach
        s.new_end = True
    src.max_win = <uint16_t> max(src.max_win, s.window)


cdef void _normalize(const tcp_peer *src, const tcp_peer *dst, segment *s) noexcept nogil:
    """What a segment does not say is what is expected."""
    if not s.flags & ACK or (s.ack == 0 and s.flags & RST):
        s.ack = dst.seqlo
    if s.first == s.end:
        s.first = s.end = src.seqlo


cdef bint _in_window(const tcp_peer *src, const tcp_peer *dst, const segment *s) noexcept nogil:
    cdef int32_t skew = 0 if s.new_end else <int32_t> (dst.seqlo - s.ack)
    if not _at_least(src.seqhi, s.end):
        return False
    if not _at_least(s.first, src.seqlo - (<uint32_t> dst.max_win << s.back)):
        return False
    if skew < -ACK_SLACK or skew > (<int32_t> ACK_SLACK << s.shift):
        return False
    # A reset is believed only just where the next byte is expected (RFC 5961 section 3).
    return not s.flags & RST or s.seq - src.seqlo + 1 <= 2


cdef bint _tolerable(const tcp_peer *src, const tcp_peer *dst, const segment *s) noexcept nogil:
    """Before the other end has answered, and after the end, some more is let pass."""
    return ((dst.state < TCPS_SYN_SENT or dst.state >= TCPS_FIN_WAIT_2
             or src.state >= TCPS_FIN_WAIT_2)
            and _at_least(src.seqhi + ACK_SLACK, s.end)
            and _at_least(s.first, src.seqlo - ACK_SLACK))


cdef void _advance(tcp_peer *src, tcp_peer *dst, const segment *s) noexcept nogil:
    src.max_win = <uint16_t> max(src.max_win, s.window)
    if not _at_least(src.seqlo, s.end):
        src.seqlo = s.end
    if _at_least(s.ack + (s.window << s.shift), dst.seqhi):
        dst.seqhi = s.ack + max(s.window << s.shift, <uint32_t> 1)


cdef void _closing(tcp_peer *src, tcp_peer *dst, const segment *s) noexcept nogil:
    if s.flags & FIN and src.state < TCPS_CLOSING:
        src.state = TCPS_CLOSING
    if s.flags & RST:
        src.state = dst.state = TCPS_TIME_WAIT


cdef void _next_states(tcp_peer *src, tcp_peer *dst, const segment *s) noexcept nogil:
    if s.flags & SYN and src.state < TCPS_SYN_SENT:
        src.state = TCPS_SYN_SENT
    if s.flags & FIN and src.state < TCPS_CLOSING:
        src.state = TCPS_CLOSING
    if s.flags & ACK:
        if dst.state == TCPS_SYN_SENT:
            dst.state = TCPS_ESTABLISHED
        elif dst.state == TCPS_CLOSING:
            dst.state = TCPS_FIN_WAIT_2
    if s.flags & RST:
        src.state = dst.state = TCPS_TIME_WAIT


cdef ct_timeout _timeout(const tcp_peer *src, const tcp_peer *dst) noexcept nogil:
    cdef uint8_t least = min(src.state, dst.state)
    cdef uint8_t most = max(src.state, dst.state)
    if least >= TCPS_FIN_WAIT_2:
        return TM_TCP_CLOSE
    if least >= TCPS_CLOSING:
        return TM_TCP_TIME_WAIT
    if least < TCPS_ESTABLISHED:
        return TM_TCP_SYN_RECV
    return TM_TCP_FIN_WAIT if most >= TCPS_CLOSING else TM_TCP_ESTABLISHED


cdef update tcp_update(tracker *t, conn *c, int way, const uint8_t *tcp, uint32_t size,
                       uint64_t now) noexcept nogil:
    cdef tcp_peer *src = &c.peer[way]
    cdef tcp_peer *dst = &c.peer[1 - way]
    cdef segment s
    _read(tcp, size, &s)
    if _bad_flags(s.flags):
        return UPDATE_INVALID
    if s.flags & (SYN | ACK) == SYN:
        if src.state >= TCPS_FIN_WAIT_2 and dst.state >= TCPS_FIN_WAIT_2:
            src.state = dst.state = TCPS_CLOSED
            return UPDATE_RESTART
        if src.state <= TCPS_SYN_SENT:
            src.state = TCPS_SYN_SENT
            set_timeout(t, c, TM_TCP_SYN_SENT, now)
            return UPDATE_NEW
    _scales(src, dst, &s)
    if src.state < TCPS_SYN_SENT:
        _first_of_end(src, dst, tcp, &s)
    _normalize(src, dst, &s)
    if _in_window(src, dst, &s) or t.head.no_seq_check:
        _advance(src, dst, &s)
        _next_states(src, dst, &s)
        set_timeout(t, c, _timeout(src, dst), now)
    elif _tolerable(src, dst, &s):
        _advance(src, dst, &s)
        _closing(src, dst, &s)
    else:
        ct_count(&t.counters.bad_sequence)
        return UPDATE_INVALID
    return UPDATE_ESTABLISHED
