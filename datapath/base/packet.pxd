# A packet in memory: a window (data, size) on a buffer that somebody else owns, with the offload
# state the kernel gave with it, the places of its headers, and the metadata that its key starts
# with.  The packet never owns or frees `base`.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove

cdef enum:
    PACKET_HEADROOM = 128       # room that who makes a packet leaves before `data`; 64 at least
    NO_OFFSET = 0xffff          # l2_5, l3, l4: that header is not there or was not parsed

    VNET_NEEDS_CSUM = 1         # vnet.flags: the sum at csum_start + csum_offset covers only
                                # the pseudo header; whoever sends must complete it
    VNET_DATA_VALID = 2         # the checksum was verified

    GSO_NONE = 0                # vnet.gso_type
    GSO_TCPV4 = 1
    GSO_UDP = 3                 # UDP fragmentation offload (IP fragments), no longer made by Linux
    GSO_TCPV6 = 4
    GSO_UDP_L4 = 5
    GSO_ECN = 0x80              # flag besides the type: CWR only in the first segment

# struct virtio_net_hdr, host byte order; csum_start is relative to packet.data
cdef struct vnet_hdr:
    uint8_t flags
    uint8_t gso_type
    uint16_t hdr_len
    uint16_t gso_size
    uint16_t csum_start
    uint16_t csum_offset

# What the connection tracker said of the packet; network byte order, as in the key.  Without
# `state` the rest means nothing, and may hold anything.
cdef struct ct_metadata:
    uint32_t state
    uint32_t mark
    uint16_t zone
    uint8_t nw_proto            # of the connection's original direction, as is what follows it
    uint8_t v6                  # addresses are ipv6_src and _dst instead of nw_src and _dst
    uint8_t label[16]
    uint32_t nw_src
    uint32_t nw_dst
    uint16_t tp_src
    uint16_t tp_dst
    uint8_t ipv6_src[16]
    uint8_t ipv6_dst[16]

cdef struct packet:
    uint8_t *base               # start of the buffer
    uint8_t *data               # first byte of the Ethernet header, or of what packet_type says
    uint32_t size               # bytes from data
    uint32_t capacity           # bytes from base
    vnet_hdr vnet
    uint16_t l2_5               # offsets from data, set by flow_extract: MPLS label, I-TAG or NSH,
    uint16_t l3                 # IPv4, IPv6 or ARP header,
    uint16_t l4                 # TCP, UDP, SCTP, ICMP, IGMP header
    uint32_t l3_size            # bytes from l3 by the IP header's own length; without L2 padding
    # metadata, network byte order as in the key; flow_extract copies it there
    uint32_t recirc_id
    uint32_t in_port
    uint32_t skb_priority
    uint32_t pkt_mark
    uint32_t dp_hash
    ct_metadata ct
    uint32_t packet_type        # 0: Ethernet; PT_ETHERTYPE and others: without that header


# A packet whose `size` bytes lie (or will be put) at base + headroom.  All the rest is zeroed.
cdef inline void packet_init(packet *p, uint8_t *base, uint32_t capacity, uint32_t headroom,
                             uint32_t size) noexcept nogil:
    p.base = base
    p.data = base + headroom
    p.size = size
    p.capacity = capacity
    p.vnet.flags = p.vnet.gso_type = 0
    p.vnet.hdr_len = p.vnet.gso_size = p.vnet.csum_start = p.vnet.csum_offset = 0
    p.l2_5 = p.l3 = p.l4 = NO_OFFSET
    p.l3_size = 0
    p.ct.state = 0
    p.recirc_id = p.in_port = p.skb_priority = p.pkt_mark = p.dp_hash = p.packet_type = 0

cdef inline uint32_t packet_headroom(const packet *p) noexcept nogil:
    return <uint32_t> (p.data - p.base)

cdef inline uint32_t packet_tailroom(const packet *p) noexcept nogil:
    return p.capacity - <uint32_t> (p.data - p.base) - p.size

# Opens n uninitialised bytes at offset `at`; header offsets and csum_start from `at` on move.
# False, and nothing changed, where the buffer has no room.
cdef bint packet_open(packet *p, uint32_t at, uint32_t n) noexcept nogil
# Takes out n bytes at offset `at` (at + n <= size).
cdef void packet_close(packet *p, uint32_t at, uint32_t n) noexcept nogil
# Copies all but base and capacity of `src`, its bytes behind `headroom`, into the buffer of
# `dst`, whose base and capacity are set.  False where it does not fit.
cdef bint packet_copy(packet *dst, const packet *src, uint32_t headroom) noexcept nogil
# A VLAN tag (network order) in front of the others; for tags that come beside the frame, too.
cdef bint packet_push_vlan(packet *p, uint16_t tpid, uint16_t tci) noexcept nogil
# Takes off the outer tag; nothing happens to a frame without one.
cdef void packet_pop_vlan(packet *p) noexcept nogil


# Unaligned big-endian loads and stores.  The caller has checked that the bytes are there.
cdef inline uint16_t get16(const uint8_t *at) noexcept nogil:
    return <uint16_t> ((<uint16_t> at[0] << 8) | at[1])

cdef inline uint32_t get32(const uint8_t *at) noexcept nogil:
    return ((<uint32_t> at[0] << 24) | (<uint32_t> at[1] << 16) | (<uint32_t> at[2] << 8)
            | <uint32_t> at[3])

cdef inline void put16(uint8_t *at, uint16_t value) noexcept nogil:
    at[0] = <uint8_t> (value >> 8)
    at[1] = <uint8_t> (value & 0xff)

cdef inline void put32(uint8_t *at, uint32_t value) noexcept nogil:
    at[0] = <uint8_t> (value >> 24)
    at[1] = <uint8_t> ((value >> 16) & 0xff)
    at[2] = <uint8_t> ((value >> 8) & 0xff)
    at[3] = <uint8_t> (value & 0xff)
