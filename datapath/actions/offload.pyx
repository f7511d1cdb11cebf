"""Checksums and segmentation in software, as the kernel's virtio-net header asks for them.

Sources: RFC 1071 (sums), RFC 9260 appendix A (CRC32c), virtio 1.2 section 5.1.6 (the header).
"""

from libc.string cimport memcpy, memset

from datapath.actions.offload cimport *
from datapath.base.packet cimport *
from datapath.base.protocols cimport *

cdef extern from "<arpa/inet.h>" nogil:
    uint32_t ntohl(uint32_t)

cdef extern from *:
    ctypedef unsigned long long uint128 "unsigned __int128"

cdef enum:
    SCTP_CSUM_OFFSET = 8        # no other protocol has its checksum there
    UDP_CSUM_OFFSET = 6
    TCP_CSUM_OFFSET = 16
    TCP_FIN_PSH = 0x09
    TCP_CWR = 0x80
    MAX_TAGS = 16
    NO_L3 = 0x7fffffff
    MAX_SEGMENTS = 2048         # of 65535 bytes and the smallest MSS of Linux, 48: 1366

cdef uint32_t _crc_table[256]


cdef void _make_crc_table() noexcept nogil:
    cdef uint32_t i, bit, crc
    for i in range(256):
        crc = i
        for bit in range(8):
            crc = (crc >> 1) ^ (<uint32_t> 0x82f63b78U if crc & 1 else 0)
        _crc_table[i] = crc

_make_crc_table()


cdef uint32_t crc32c(const uint8_t *at, uint32_t n) noexcept nogil:
    cdef uint32_t crc = 0xffffffffU
    cdef uint32_t i
    for i in range(n):
        crc = _crc_table[(crc ^ at[i]) & 0xff] ^ (crc >> 8)
    return ~crc


cdef inline uint32_t _fold(uint64_t sum) noexcept nogil:
    sum = (sum >> 32) + (sum & 0xffffffffU)
    sum = (sum >> 32) + (sum & 0xffffffffU)
    sum = (sum >> 16) + (sum & 0xffff)
    return <uint32_t> ((sum >> 16) + (sum & 0xffff))


cdef uint64_t csum_add(uint64_t sum, const uint8_t *at, uint32_t n) noexcept nogil:
    # Added in the machine's order, eight bytes at a time, and turned at the end: one's complement
    # addition does not care.  Nor does it where in a number the carries stand, as 2**64 is 1 to it.
    cdef uint128 native = 0
    cdef uint64_t word
    cdef uint16_t folded
    while n >= 16:
        memcpy(&word, at, 8)
        native += word
        memcpy(&word, at + 8, 8)
        native += word
        at += 16
        n -= 16
    while n:
        word = 0
        memcpy(&word, at, min(n, <uint32_t> 8))
        native += word
        at += 8
        n -= min(n, <uint32_t> 8)
    word = <uint64_t> native
    folded = <uint16_t> _fold((word >> 32) + (word & 0xffffffffU) + <uint64_t> (native >> 64))
    return sum + get16(<uint8_t *> &folded)


cdef uint16_t csum_finish(uint64_t sum) noexcept nogil:
    return <uint16_t> (~_fold(sum) & 0xffff)


cdef inline uint32_t _checksum_end(const packet *p) noexcept nogil:
    """Where the checksummed bytes end: before L2 padding, where that is known."""
    cdef uint32_t end
    if p.l3 == NO_OFFSET or p.l3_size == 0 or p.vnet.csum_start <= p.l3:
        return p.size
    end = <uint32_t> p.l3 + p.l3_size
    return end if p.vnet.csum_start < end < p.size else p.size


cdef bint complete_checksum(packet *p) noexcept nogil:
    cdef uint32_t start = p.vnet.csum_start
    cdef uint32_t field = start + p.vnet.csum_offset
    cdef uint32_t end, crc
    cdef uint16_t sum
    if not p.vnet.flags & VNET_NEEDS_CSUM:
        return True
    end = _checksum_end(p)
    if p.vnet.csum_offset == SCTP_CSUM_OFFSET:
        if field + 4 > end:
            return False
        memset(p.data + field, 0, 4)
        crc = crc32c(p.data + start, end - start)
        p.data[field] = crc & 0xff
        p.data[field + 1] = (crc >> 8) & 0xff
        p.data[field + 2] = (crc >> 16) & 0xff
        p.data[field + 3] = crc >> 24
    else:
        if field + 2 > end:
            return False
        sum = csum_finish(csum_add(0, p.data + start, end - start))
        if sum == 0 and p.vnet.csum_offset == UDP_CSUM_OFFSET:
            sum = 0xffff        # 0 would mean "no checksum"
        put16(p.data + field, sum)
    p.vnet.flags &= ~VNET_NEEDS_CSUM & 0xff
    p.vnet.csum_start = p.vnet.csum_offset = 0
    return True


# ---- Segmentation ----

cdef struct layout:
    uint32_t l3
    uint32_t l4
    uint32_t payload            # first byte behind the L4 header
    uint32_t end
    uint32_t size               # payload bytes of a segment
    bint v6
    bint udp
    bint checksummed            # false: a UDP datagram without checksum


cdef inline uint16_t _behind_nsh(uint8_t next_protocol) noexcept nogil:
    """An Ethertype; 0 where it is unknown."""
    if next_protocol == NSH_P_ETHERNET:
        return ETH_TEB
    if next_protocol == NSH_P_NSH:
        return ETH_NSH
    if next_protocol == NSH_P_IPV4:
        return ETH_IP
    return ETH_IPV6 if next_protocol == NSH_P_IPV6 else 0


cdef uint32_t _find_l3(const packet *p) noexcept nogil:
    """Offset of the IP header behind tags, NSH and MPLS labels, NO_L3 where there is none: at 0 it
    begins a packet without Ethernet header."""
    cdef uint32_t at = 0, size
    cdef int i
    cdef uint16_t kind = <uint16_t> (ntohl(p.packet_type) & 0xffff) or ETH_TEB
    for i in range(MAX_TAGS):
        if kind == ETH_IP or kind == ETH_IPV6:
            return at
        if is_mpls_type(kind):
            break
        if kind == ETH_NSH:
            size = nsh_size(p.data + at, p.size - at)
            if size == 0:
                return NO_L3
            kind = _behind_nsh(p.data[at + 3])
            at += size
            continue
        if kind == ETH_TEB:     # a frame, with its addresses
            at += 12
        elif kind == ETH_PBB:   # priority and I-SID, customer addresses
            at += 16
        elif is_vlan_tpid(kind):
            at += 2
        else:
            return NO_L3
        if at + 2 > p.size:
            return NO_L3
        kind = get16(p.data + at)
        at += 2
    for i in range(MAX_TAGS):
        if at + 4 > p.size:
            return NO_L3
        at += 4
        if p.data[at - 2] & 1:
            return at
    return NO_L3


cdef bint _find_ip(const packet *p, layout *l, uint8_t *proto) noexcept nogil:
    cdef const uint8_t *ip
    cdef uint32_t total
    l.l3 = _find_l3(p)
    if l.l3 == NO_L3 or l.l3 + 20 > p.size:
        return False
    ip = p.data + l.l3
    l.v6 = ip[0] >> 4 == 6
    if l.v6:
        if l.l3 + 40 > p.size:
            return False
        total = get16(ip + 4) + 40
        proto[0] = ip[6]
        l.l4 = l.l3 + 40
    elif ip[0] >> 4 == 4:
        total = get16(ip + 2)
        proto[0] = ip[9]
        l.l4 = l.l3 + (ip[0] & 15) * 4
        if l.l4 < l.l3 + 20 or get16(ip + 6) & 0x3fff:
            return False        # a fragment cannot be segmented
    else:
        return False
    # With extension headers, only the kernel's word tells where L4 starts.
    if l.v6 and p.vnet.flags & VNET_NEEDS_CSUM and p.vnet.csum_start > l.l4:
        l.l4 = p.vnet.csum_start
        proto[0] = PROTO_UDP if l.udp else PROTO_TCP
    l.end = l.l3 + total
    if l.end > p.size or total <= 40:
        l.end = p.size          # lengths of big frames may be 0
    return True


cdef bint _find_layout(const packet *p, layout *l) noexcept nogil:
    cdef uint8_t kind = p.vnet.gso_type & ~GSO_ECN & 0xff
    cdef uint8_t proto = 0
    cdef uint32_t header = 8
    l.size = p.vnet.gso_size
    l.udp = kind == GSO_UDP_L4
    if not l.udp and kind != GSO_TCPV4 and kind != GSO_TCPV6:
        return False
    if l.size == 0 or not _find_ip(p, l, &proto) or proto != (PROTO_UDP if l.udp else PROTO_TCP):
        return False
    if not l.udp and l.v6 != (kind == GSO_TCPV6):
        return False
    if l.l4 + (8 if l.udp else 20) > l.end:
        return False
    if not l.udp:
        header = (p.data[l.l4 + 12] >> 4) * 4
        if header < 20 or l.l4 + header > l.end:
            return False
    l.payload = l.l4 + header
    if (l.end - l.payload) // l.size >= MAX_SEGMENTS:
        return False
    l.checksummed = (not l.udp or p.vnet.flags & VNET_NEEDS_CSUM
                     or get16(p.data + l.l4 + UDP_CSUM_OFFSET) != 0)
    return True


cdef void _finish_ip(uint8_t *ip, const layout *l, uint32_t size, uint32_t index) noexcept nogil:
    """Length, identification and header checksum of segment number `index`."""
    if l.v6:
        put16(ip + 4, <uint16_t> (size - 40))
        return
    put16(ip + 2, <uint16_t> size)
    put16(ip + 4, <uint16_t> (get16(ip + 4) + index))
    put16(ip + 10, 0)
    put16(ip + 10, csum_finish(csum_add(0, ip, l.l4 - l.l3)))


cdef void _finish_l4(uint8_t *frame, const layout *l, uint32_t size, uint32_t index,
                     bint last) noexcept nogil:
    """Sequence number, flags or length, and checksum; size: bytes from the L4 header."""
    cdef uint8_t *ip = frame + l.l3
    cdef uint8_t *l4 = frame + l.l4
    cdef uint32_t field = UDP_CSUM_OFFSET if l.udp else TCP_CSUM_OFFSET
    cdef uint64_t sum
    cdef uint16_t folded
    if l.udp:
        put16(l4 + 4, <uint16_t> size)
        if not l.checksummed:
            return
    else:
        put32(l4 + 4, get32(l4 + 4) + index * l.size)
        if not last:
            l4[13] &= ~TCP_FIN_PSH & 0xff
        if index:
            l4[13] &= ~TCP_CWR & 0xff
    put16(l4 + field, 0)
    sum = (PROTO_UDP if l.udp else PROTO_TCP) + <uint64_t> size
    sum = csum_add(sum, ip + 8, 32) if l.v6 else csum_add(sum, ip + 12, 8)
    folded = csum_finish(csum_add(sum, l4, size))
    put16(l4 + field, 0xffff if folded == 0 and l.udp else folded)


cdef uint32_t count_segments(const packet *p, uint32_t *n_bytes) noexcept nogil:
    cdef layout l
    cdef uint32_t n
    n_bytes[0] = p.size
    if p.vnet.gso_type == GSO_NONE or not _find_layout(p, &l) or l.end == l.payload:
        return 1
    n = (l.end - l.payload + l.size - 1) // l.size
    n_bytes[0] = l.end + (n - 1) * l.payload
    return n


cdef uint32_t largest_segment(const packet *p) noexcept nogil:
    cdef layout l
    if p.vnet.gso_type == GSO_NONE or not _find_layout(p, &l):
        return p.size
    return min(l.end, l.payload + l.size)


cdef int segment(packet *p, packet *scratch, segment_fn emit, void *owner) noexcept nogil:
    cdef layout l
    cdef uint32_t at, chunk, index = 0
    cdef uint8_t *base = scratch.base
    cdef uint32_t capacity = scratch.capacity
    if p.vnet.gso_type == GSO_NONE:
        if not complete_checksum(p):
            return -1
        emit(owner, p)
        return 1
    if not _find_layout(p, &l):
        return -1
    if PACKET_HEADROOM + l.payload + l.size > capacity:
        return -1
    at = l.payload
    while True:
        chunk = min(l.size, l.end - at)
        scratch[0] = p[0]
        scratch.base = base
        scratch.capacity = capacity
        scratch.data = base + PACKET_HEADROOM
        scratch.size = l.payload + chunk
        scratch.l3_size = scratch.size - l.l3
        memset(&scratch.vnet, 0, sizeof(vnet_hdr))
        memcpy(scratch.data, p.data, l.payload)
        memcpy(scratch.data + l.payload, p.data + at, chunk)
        at += chunk
        _finish_ip(scratch.data + l.l3, &l, scratch.size - l.l3, index)
        _finish_l4(scratch.data, &l, scratch.size - l.l4, index, at >= l.end)
        emit(owner, scratch)
        index += 1
        if at >= l.end:
            return <int> index


# ---- For Python: tests ----

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdlib cimport free, malloc


cdef void _collect(void *owner, packet *p) noexcept nogil:
    with gil:
        (<list> owner).append((PyBytes_FromStringAndSize(<char *> p.data, p.size), p.vnet))


def segments(frame, vnet):
    """The (frame, vnet dict) that `segment` makes of a frame with this virtio-net header.

    ValueError for a contradictory one."""
    cdef bytes owned = bytes(frame)
    cdef uint32_t size = <uint32_t> len(owned)
    cdef uint8_t *buffers = <uint8_t *> malloc(2 * (size + PACKET_HEADROOM) + 65536 + 1)
    cdef packet p, scratch
    cdef int count
    if buffers == NULL:
        raise MemoryError
    found = []
    try:
        packet_init(&p, buffers, size + PACKET_HEADROOM, PACKET_HEADROOM, size)
        memcpy(p.data, <const char *> owned, size)
        p.vnet = vnet
        packet_init(&scratch, buffers + size + PACKET_HEADROOM,
                    size + PACKET_HEADROOM + 65536, PACKET_HEADROOM, 0)
        count = segment(&p, &scratch, _collect, <void *> found)
    finally:
        free(buffers)
    if count < 0:
        raise ValueError("contradictory offload state")
    if count != len(found):
        raise AssertionError(f"{count} frames counted, {len(found)} made")
    return found


def crc(data):
    cdef bytes owned = bytes(data)
    return crc32c(<const uint8_t *> <const char *> owned, <uint32_t> len(owned))
