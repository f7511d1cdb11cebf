"""TCP segments that came out of a tunnel one behind the other leave as one frame again.

A frame of 64 KiB is cut before a tunnel takes it (tunnel_push.pyx), and its segments come out at the
other end as they were cut.  A device that takes such a frame takes it at the price of one segment,
and so does the stack behind it.  Joined is what differs in nothing but what segmentation makes
different, so that who cuts the frame again gets the segments that there were; what has a wrong
checksum stays alone.  The kernel's generic receive offload goes by the same rules.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from datapath.actions.offload cimport csum_add, csum_finish
from datapath.base.packet cimport (
    GSO_NONE, GSO_TCPV4, GSO_TCPV6, VNET_NEEDS_CSUM, get16, get32, packet, put16, vnet_hdr,
)
from datapath.base.protocols cimport ETH_IP, ETH_IPV6, PROTO_TCP
from datapath.netdev.netdev cimport VNET_SIZE, netdev
from datapath.worker.join cimport *
from datapath.worker.state cimport ARENA, joined, worker

cdef enum:
    L3 = 14                     # frames with tags are not joined
    IPV4 = 20                   # nor those with options of IP
    IPV6 = 40
    TCP = 20
    TCP_FLAGS = 13              # offsets in the headers
    TCP_CSUM = 16
    PSH = 0x08
    ACK = 0x10
    DONT_FRAGMENT = 0x4000
    LARGEST = 65535             # bytes of an IP packet


cdef inline uint64_t _pseudo(const uint8_t *ip, bint v6, uint32_t size) noexcept nogil:
    cdef uint64_t sum = <uint64_t> PROTO_TCP + size
    return csum_add(sum, ip + 8, 32) if v6 else csum_add(sum, ip + 12, 8)


cdef inline bint _is_whole_v4(const uint8_t *ip, uint32_t size) noexcept nogil:
    return (ip[0] == 0x45 and ip[9] == PROTO_TCP and get16(ip + 2) == size
            and not get16(ip + 6) & ~<uint32_t> DONT_FRAGMENT
            and csum_finish(csum_add(0, ip, IPV4)) == 0)


cdef inline bint _is_whole_v6(const uint8_t *ip, uint32_t size) noexcept nogil:
    return ip[0] >> 4 == 6 and ip[6] == PROTO_TCP and get16(ip + 4) + <uint32_t> IPV6 == size


cdef inline bint _is_within_mtu(netdev *dev, uint32_t size) noexcept nogil:
    """Asked anew before it is not.  The kernel refuses a frame that is too large, by itself only."""
    if dev.read_mtu != NULL and size > dev.mtu:
        dev.mtu = dev.read_mtu(dev)
        return size <= dev.mtu
    return True


cdef bint read_segment(netdev *dev, const packet *p, tcp_segment *s) noexcept nogil:
    cdef const uint8_t *ip = p.data + L3
    cdef const uint8_t *tcp
    cdef uint32_t size = p.size - L3
    if (p.packet_type or p.vnet.gso_type != GSO_NONE or p.vnet.flags & VNET_NEEDS_CSUM
            or p.size < L3 + IPV6 + TCP and (p.size < L3 + IPV4 + TCP or get16(p.data + 12) != ETH_IP)):
        return False
    s.v6 = get16(p.data + 12) == ETH_IPV6
    if s.v6:
        if not _is_whole_v6(ip, size):
            return False
    elif get16(p.data + 12) != ETH_IP or not _is_whole_v4(ip, size):
        return False
    s.l4 = L3 + (IPV6 if s.v6 else IPV4)
    tcp = p.data + s.l4
    s.payload = s.l4 + (tcp[12] >> 4) * 4
    if s.payload < s.l4 + TCP or s.payload >= p.size or tcp[12] & 0x0f:
        return False
    if tcp[TCP_FLAGS] & ~PSH & 0xff != ACK or not _is_within_mtu(dev, size):
        return False
    size = p.size - s.l4
    return csum_finish(csum_add(_pseudo(ip, s.v6, size), tcp, size)) == 0


# ---- Whether a segment goes on where the joined frame ends ----

cdef inline bint _same_ip(const joined *j, const uint8_t *a, const uint8_t *b) noexcept nogil:
    """But for length, identification and checksum.  An identification means nothing in what may not
    be fragmented (RFC 6864 section 4.1); else it counts on, as it does where a frame is cut."""
    if j.v6:
        return memcmp(a, b, 4) == 0 and memcmp(a + 6, b + 6, IPV6 - 6) == 0
    return (memcmp(a, b, 2) == 0 and memcmp(a + 6, b + 6, 4) == 0 and memcmp(a + 12, b + 12, 8) == 0
            and (get16(a + 6) & DONT_FRAGMENT
                 or <uint16_t> (get16(a + 4) + j.n) == get16(b + 4)))


cdef inline bint _same_tcp(const joined *j, const uint8_t *a, const uint8_t *b) noexcept nogil:
    """But for flags, and checksum; the sequence number is the next one."""
    cdef uint32_t header = j.payload - j.l4
    return (memcmp(a, b, 4) == 0 and get32(a + 4) + j.size - j.payload == get32(b + 4)
            and memcmp(a + 8, b + 8, 5) == 0 and memcmp(a + 14, b + 14, 2) == 0
            and memcmp(a + 18, b + 18, header - 18) == 0)


cdef bint join_segment(worker *w, netdev *dev, const packet *p, const tcp_segment *s) noexcept nogil:
    cdef joined *j = &w.joined
    cdef uint32_t chunk = p.size - s.payload
    if (j.dev != dev or j.full or j.frame != dev.worker_ports[w.id].tx_last
            or j.behind != w.arena_used):
        return False
    if (j.v6 != s.v6 or j.payload != s.payload or chunk > j.chunk
            or j.size + chunk > L3 + LARGEST
            or j.data + j.size + chunk > w.arena + ARENA):
        return False
    if (memcmp(j.data, p.data, L3) or not _same_ip(j, j.data + L3, p.data + L3)
            or not _same_tcp(j, j.data + j.l4, p.data + j.l4)):
        return False
    memcpy(j.data + j.size, p.data + s.payload, chunk)
    j.size += chunk
    j.n += 1
    j.full = chunk < j.chunk or p.data[s.l4 + TCP_FLAGS] & PSH != 0
    j.data[j.l4 + TCP_FLAGS] |= p.data[s.l4 + TCP_FLAGS] & PSH
    w.frames[j.frame].vector.iov_len = j.size + VNET_SIZE
    w.arena_used = j.behind = <uint32_t> (j.data + j.size - w.arena + 15) & ~<uint32_t> 15
    return True


cdef void begin_joining(worker *w, netdev *dev, const tcp_segment *s) noexcept nogil:
    cdef joined *j = &w.joined
    finish_joining(w)
    j.dev = dev
    j.frame = dev.worker_ports[w.id].tx_last
    j.data = <uint8_t *> w.frames[j.frame].vector.iov_base + VNET_SIZE
    j.size = <uint32_t> w.frames[j.frame].vector.iov_len - VNET_SIZE
    j.behind = w.arena_used
    j.v6 = s.v6
    j.l4 = s.l4
    j.payload = s.payload
    j.chunk = j.size - s.payload
    j.n = 1
    j.full = j.data[s.l4 + TCP_FLAGS] & PSH != 0


cdef void finish_joining(worker *w) noexcept nogil:
    cdef joined *j = &w.joined
    cdef uint8_t *ip = j.data + L3
    cdef vnet_hdr vnet
    if j.dev != NULL and j.n > 1:
        vnet.flags = VNET_NEEDS_CSUM
        vnet.gso_type = GSO_TCPV6 if j.v6 else GSO_TCPV4
        vnet.hdr_len = <uint16_t> j.payload
        vnet.gso_size = <uint16_t> j.chunk
        vnet.csum_start = <uint16_t> j.l4
        vnet.csum_offset = TCP_CSUM
        memcpy(j.data - VNET_SIZE, &vnet, VNET_SIZE)
        if j.v6:
            put16(ip + 4, <uint16_t> (j.size - L3 - IPV6))
        else:
            put16(ip + 2, <uint16_t> (j.size - L3))
            put16(ip + 10, 0)
            put16(ip + 10, csum_finish(csum_add(0, ip, IPV4)))
        # What the kernel wants to find there: the pseudo header's sum, not its complement.
        put16(j.data + j.l4 + TCP_CSUM,
              <uint16_t> (~csum_finish(_pseudo(ip, j.v6, j.size - j.l4)) & 0xffff))
    j.dev = NULL
