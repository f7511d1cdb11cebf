"""FTP's control connection (RFC 959, RFC 2428).

An announcement stands at the beginning of a segment, as clients and servers send it.  Who announces
an address that is not its own is not believed: that would open ports of others (RFC 2577).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdio cimport snprintf
from libc.string cimport memcmp, memcpy

from datapath.base.packet cimport get16, packet
from datapath.conntrack.expectations cimport expect
from datapath.conntrack.ftp cimport *
from datapath.conntrack.keys cimport l4_size
from datapath.conntrack.sequence cimport replace_payload, skew_seq
from datapath.conntrack.table cimport *

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t)
    const char *inet_ntop(int, const void *, char *, unsigned int)
    int inet_pton(int, const char *, void *)
    int AF_INET, AF_INET6

cdef extern from "<strings.h>" nogil:
    int strncasecmp(const char *, const char *, size_t)

cdef enum:
    LONGEST = 128               # bytes of an announcement
    PORTS_TRIED = 64

# What a segment announces; offsets in its text.
cdef struct announcement:
    bint extended
    bint with_address
    uint8_t address[16]
    uint16_t port               # host order
    uint32_t begin              # of the part that says so
    uint32_t end


cdef int _digits(const char *text, uint32_t *at, uint32_t most) noexcept nogil:
    """A decimal number up to `most`, -1 where there is none."""
    cdef uint32_t value = 0, begin = at[0]
    while 48 <= text[at[0]] <= 57 and at[0] - begin < 6:
        value = value * 10 + <uint32_t> (text[at[0]] - 48)
        at[0] += 1
    return <int> value if at[0] > begin and value <= most else -1


cdef bint _six_numbers(const char *text, uint32_t at, announcement *a) noexcept nogil:
    """h1,h2,h3,h4,p1,p2"""
    cdef int numbers[6]
    cdef int i
    a.begin = at
    for i in range(6):
        numbers[i] = _digits(text, &at, 255)
        if numbers[i] < 0 or (i < 5 and text[at] != 44):
            return False
        at += i < 5
    a.end = at
    for i in range(4):
        a.address[i] = <uint8_t> numbers[i]
    a.port = <uint16_t> (numbers[4] << 8 | numbers[5])
    a.with_address = True
    return True


cdef bint _extended(const char *text, uint32_t at, uint8_t family, bint with_address,
                    announcement *a) noexcept nogil:
    """|1|132.235.1.2|6275| or |2|1080::8:800:200C:417A|5282|, or |||6446|; any delimiter."""
    cdef char between = text[at]
    cdef char address[64]
    cdef uint32_t n = 0
    cdef int port
    a.begin = at
    a.extended = True
    a.with_address = with_address
    if between < 33 or between > 126:
        return False
    at += 1
    if with_address:
        if text[at] != (49 if family == 4 else 50) or text[at + 1] != between:
            return False
        at += 2
        while text[at] and text[at] != between and n < 63:
            address[n] = text[at]
            n += 1
            at += 1
        address[n] = 0
        if text[at] != between or inet_pton(AF_INET if family == 4 else AF_INET6, address,
                                            a.address) != 1:
            return False
    elif text[at] != between or text[at + 1] != between:
        return False
    else:
        at += 1
    at += 1
    port = _digits(text, &at, 65535)
    a.end = at + 1
    if port <= 0 or text[at] != between:
        return False
    a.port = <uint16_t> port
    return True


cdef bint _read(const char *text, int way, uint8_t family, announcement *a) noexcept nogil:
    cdef uint32_t at = 4
    a.extended = a.with_address = False
    for i in range(16):
        a.address[i] = 0
    if way == 0:
        if strncasecmp(text, b"PORT ", 5) == 0 and family == 4:
            return _six_numbers(text, 5, a)
        if strncasecmp(text, b"EPRT ", 5) == 0:
            return _extended(text, 5, family, True, a)
        return False
    if memcmp(text, b"227 ", 4) == 0 and family == 4:
        while text[at] and not 48 <= text[at] <= 57:
            at += 1
        return _six_numbers(text, at, a)
    if memcmp(text, b"229 ", 4) == 0:
        while text[at] and text[at] != 40:
            at += 1
        return text[at] == 40 and _extended(text, at + 1, family, False, a)
    return False


cdef uint32_t _write(char *text, const announcement *a, const uint8_t *address, uint8_t family,
                     uint16_t port) noexcept nogil:
    cdef char shown[64]
    if not a.extended:
        return <uint32_t> snprintf(text, LONGEST, b"%u,%u,%u,%u,%u,%u", address[0], address[1],
                                   address[2], address[3], port >> 8, port & 255)
    if not a.with_address:
        return <uint32_t> snprintf(text, LONGEST, b"|||%u|", port)
    inet_ntop(AF_INET if family == 4 else AF_INET6, address, shown, sizeof(shown))
    return <uint32_t> snprintf(text, LONGEST, b"|%d|%s|%u|", 1 if family == 4 else 2, shown, port)


cdef uint16_t _expect(tracker *t, const conn *c, int way, uint16_t port, bint nat,
                      uint64_t now) noexcept nogil:
    """The port by which it is known on the other side; 0: it cannot be expected."""
    cdef uint32_t i
    cdef uint16_t outside = port
    for i in range(PORTS_TRIED if nat else 1):
        if outside and expect(t, c, way, htons(port), htons(outside), now):
            return outside
        outside = <uint16_t> (outside + 1)
    return 0


cdef void ftp_packet(tracker *t, packet *p, conn *c, int way, bint nat, uint64_t now) noexcept nogil:
    cdef char text[LONGEST + 1]
    cdef char changed[LONGEST]
    cdef uint32_t header = (p.data[p.l4 + 12] >> 4) * 4
    cdef uint32_t n, at
    cdef uint16_t outside
    cdef announcement a
    cdef const uint8_t *own = c.way[way].src
    cdef const uint8_t *known = c.way[1 - way].dst      # by which the other end knows it
    cdef bint shown = memcmp(own, known, 16) != 0
    at = p.l4 + header
    n = min(l4_size(p) - header, <uint32_t> LONGEST)
    memcpy(text, p.data + at, n)
    text[n] = 0
    if n >= 8 and _read(text, way, c.way[0].family, &a) and a.port:
        if not a.with_address or memcmp(a.address, own, 16) == 0:
            outside = _expect(t, c, way, a.port, nat and c.flags & (CONN_SNAT | CONN_DNAT), now)
            if outside and nat and (outside != a.port or (a.with_address and shown)):
                n = _write(changed, &a, known, c.way[0].family, outside)
                replace_payload(p, c, way, at + a.begin, a.end - a.begin,
                                <const uint8_t *> changed, n)
    if c.skew[way] or c.skew_before[way]:
        skew_seq(p, c, way)
