"""Tunnel headers of packets that came: checked, read into the key, and taken off.

Whatever a packet claims is believed only as far as its bytes go.  Sources: as tunnel_push.pyx.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from datapath.actions.offload cimport csum_add, csum_finish
from datapath.actions.tunnel_pop cimport *
from datapath.actions.tunnel_push cimport PROTO_IPIP, PROTO_IPV6
from datapath.base.packet cimport *
from datapath.base.protocols cimport *
from datapath.key.flow cimport KEY_DP_SIZE, KEY_PACKET_SIZE

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t)
    uint32_t htonl(uint32_t)

cdef extern from "<endian.h>" nogil:
    uint64_t htobe64(uint64_t)

cdef enum:
    LEAST_FRAME = 60            # what Ethernet pads to
    UDP = 8
    UDP_CSUM = 6
    VXLAN = 8
    VXLAN_ID = 0x08             # flags, first byte: RFC 7348,
    VXLAN_GBP = 0x80            # draft-smith-vxlan-group-policy,
    VXLAN_GPE = 0x04            # draft-ietf-nvo3-vxlan-gpe
    GENEVE = 8
    GENEVE_OPTIONS = 252
    GRE_CSUM = 0x8000
    GRE_KEY = 0x2000
    GRE_SEQUENCE = 0x1000
    GRE_FLAGS = GRE_CSUM | GRE_KEY | GRE_SEQUENCE
    ERSPAN_V1 = 0x88be          # GRE's protocol
    ERSPAN_V2 = 0x22eb
    GTPU = 8
    GTPU_LENGTH = 2             # its offset
    GTPU_VERSION = 0xf0         # 1, and "not GTP prime"
    GTPU_EXTENDED = 0x04
    GTPU_OPTIONAL = 0x07        # with any of them there are four more bytes
    GTPU_PACKET = 255           # a message that is a user's packet
    GTPU_EXTENSIONS = 16        # of one packet, at most
    PT_GTPU = 4 << 16 | 2152    # packet type: namespace "UDP or TCP port"
    SRH = 4                     # type of routing header: segments

# A packet's outer header.
cdef struct outer:
    packet *p
    flow_key *key
    const uint8_t *at           # behind IP
    uint32_t left               # bytes that IP says are there
    uint32_t start              # offset of `at`
    bint v6


cdef inline uint16_t _fold(uint64_t sum) noexcept nogil:
    """0 where the sum over bytes and their checksum is right."""
    return csum_finish(sum)


cdef uint64_t _pseudo(const outer *o, uint32_t proto) noexcept nogil:
    cdef const uint8_t *ip = o.p.data + o.p.l3
    cdef uint64_t sum = <uint64_t> proto + o.left
    return csum_add(sum, ip + 8, 32) if o.v6 else csum_add(sum, ip + 12, 8)


cdef inline bint _must_sum(const outer *o) noexcept nogil:
    """Whether a checksum in the outer header was neither verified nor left to be completed, and
    is one of the bytes as they are."""
    cdef const vnet_hdr *v = &o.p.vnet
    return not v.flags & (VNET_NEEDS_CSUM | VNET_DATA_VALID) and v.gso_type == GSO_NONE


cdef inline bint _sums_up(uint64_t sum, const uint8_t *later, uint32_t n) noexcept nogil:
    """Whether this is the sum over bytes with their checksum.  Open vSwitch's userspace datapath sums
    up before it fills in GRE's sequence number and GTP-U's length: n bytes at `later`, at an even
    offset, may be left out."""
    if _fold(sum) == 0:
        return True
    # To take off a number is to add its complement.
    return n and _fold(sum + (~csum_add(0, later, n) & 0xffff)) == 0


# ---- IP ----

cdef bint _open_ip(outer *o) noexcept nogil:
    """Reads the IP header.  Ethernet's padding is cut off; other bytes behind the IP packet stay, as
    in Open vSwitch, where no header of the tunnel has a length."""
    cdef packet *p = o.p
    cdef flow_key *key = o.key
    cdef uint8_t *tunnel = <uint8_t *> key + KEY_PACKET_SIZE
    if p.packet_type or p.l3 == NO_OFFSET or p.l4 == NO_OFFSET or key.nw_frag:
        return False
    o.v6 = key.eth_type == htons(ETH_IPV6)
    if not o.v6 and (key.eth_type != htons(ETH_IP)
                     or _fold(csum_add(0, p.data + p.l3, p.l4 - p.l3))):
        return False
    o.start = p.l4
    o.at = p.data + p.l4
    o.left = p.l3 + p.l3_size - p.l4
    if p.size <= LEAST_FRAME:
        p.size = p.l4 + o.left
    memset(tunnel, 0, KEY_DP_SIZE - KEY_PACKET_SIZE)
    if o.v6:
        memcpy(key.tun_ipv6_src, key.ipv6_src, 16)
        memcpy(key.tun_ipv6_dst, key.ipv6_dst, 16)
    else:
        key.tun_src = key.nw_src
        key.tun_dst = key.nw_dst
    key.tun_tos = key.nw_tos
    key.tun_ttl = key.nw_ttl
    return True


cdef inline void _take(outer *o, uint32_t n) noexcept nogil:
    o.at += n
    o.left -= n


cdef bint _open_udp(outer *o, bint is_gtpu) noexcept nogil:
    cdef uint32_t size
    cdef uint32_t later = 2 if is_gtpu and o.left >= UDP + GTPU else 0
    if o.key.nw_proto != PROTO_UDP or o.left < UDP:
        return False
    size = get16(o.at + 4)
    # A GSO frame's length is the one of what it will be segmented into, or 0.
    if o.p.vnet.gso_type == GSO_NONE:
        if size < UDP or size > o.left:
            return False
        o.left = size
        o.p.size = o.start + size
    if get16(o.at + UDP_CSUM):
        if _must_sum(o) and not _sums_up(csum_add(_pseudo(o, PROTO_UDP), o.at, o.left),
                                         o.at + UDP + GTPU_LENGTH, later):
            return False
        o.key.tun_flags |= htons(TUN_CSUM)
    memcpy(&o.key.tun_tp_src, o.at, 4)      # and tun_tp_dst
    _take(o, UDP)
    return True


cdef inline void _set_key(flow_key *key, uint32_t id) noexcept nogil:
    key.tun_id = htobe64(id)
    key.tun_flags |= htons(TUN_KEY)


cdef inline void _of_type(outer *o, uint32_t packet_type) noexcept nogil:
    """`packet_type` in host order."""
    o.p.packet_type = htonl(packet_type)


cdef inline bint _of_ip(outer *o) noexcept nogil:
    """The packet begins with IP, of the version that it says."""
    cdef uint8_t version = o.at[0] >> 4 if o.left else 0
    _of_type(o, PT_ETHERTYPE | (ETH_IP if version == 4 else ETH_IPV6))
    return version == 4 or version == 6


# ---- Each kind; `at` ends behind its header ----

cdef uint32_t VXLAN_NEXT[5]
VXLAN_NEXT[:] = [<uint32_t> ~0, PT_ETHERTYPE | ETH_IP, PT_ETHERTYPE | ETH_IPV6, 0,
                 PT_ETHERTYPE | ETH_NSH]


cdef bint _pop_vxlan(outer *o) noexcept nogil:
    cdef const uint8_t *at = o.at
    if o.left < VXLAN or not at[0] & VXLAN_ID or at[7]:
        return False
    _set_key(o.key, get32(at + 4) >> 8)
    _take(o, VXLAN)
    if at[0] & VXLAN_GPE:
        if at[0] & ~(VXLAN_ID | VXLAN_GPE) & 0xff or at[1] or at[2]:
            return False
        if not 1 <= at[3] <= 4:
            return False
        _of_type(o, VXLAN_NEXT[at[3]])
        return True
    if at[0] & VXLAN_GBP:
        o.key.tun_gbp_flags = at[1]
        memcpy(&o.key.tun_gbp_id, at + 2, 2)
        return not at[0] & ~(VXLAN_ID | VXLAN_GBP) & 0xff
    return at[0] == VXLAN_ID and not at[1] and not at[2] and not at[3]


cdef bint _options_fit(const uint8_t *at, uint32_t left) noexcept nogil:
    cdef uint32_t size
    while left:
        if left < 4:
            return False
        size = 4 + (at[3] & 0x1f) * 4
        if size > left:
            return False
        at += size
        left -= size
    return True


cdef bint _pop_geneve(outer *o) noexcept nogil:
    cdef const uint8_t *at = o.at
    cdef uint32_t options
    if o.left < GENEVE:
        return False
    options = (at[0] & 0x3f) * 4
    if at[0] >> 6 or o.left - GENEVE < options or options > GENEVE_OPTIONS:
        return False
    if get16(at + 2) != ETH_TEB or not _options_fit(at + GENEVE, options):
        return False
    if at[1] & 0x80:
        o.key.tun_flags |= htons(TUN_OAM)
    _set_key(o.key, get32(at + 4) >> 8)
    o.key.tun_opts_size = <uint8_t> options
    memcpy(o.key.tun_metadata, at + GENEVE, options)
    _take(o, GENEVE + options)
    return True


cdef bint _open_gre(outer *o, uint16_t *protocol) noexcept nogil:
    """GRE's own fields."""
    cdef const uint8_t *at = o.at
    cdef uint32_t flags, size = 4
    if o.key.nw_proto != PROTO_GRE or o.left < 4:
        return False
    flags = get16(at)
    protocol[0] = get16(at + 2)
    if flags & ~<uint32_t> GRE_FLAGS:
        return False
    size += 4 * ((flags & GRE_CSUM != 0) + (flags & GRE_KEY != 0) + (flags & GRE_SEQUENCE != 0))
    if o.left < size:
        return False
    if flags & GRE_CSUM:
        if _must_sum(o) and not _sums_up(csum_add(0, at, o.left), at + size - 4,
                                         4 if flags & GRE_SEQUENCE else 0):
            return False
        o.key.tun_flags |= htons(TUN_CSUM)
        at += 4
    if flags & GRE_KEY:
        _set_key(o.key, get32(at + 4))
    _take(o, size)
    return True


cdef bint _pop_gre(outer *o) noexcept nogil:
    cdef uint16_t protocol
    if not _open_gre(o, &protocol):
        return False
    if protocol != ETH_TEB:
        if protocol < ETH_FIRST:
            return False
        _of_type(o, PT_ETHERTYPE | protocol)
    return True


cdef bint _pop_erspan(outer *o) noexcept nogil:
    cdef const uint8_t *at
    cdef uint16_t protocol, word
    if not _open_gre(o, &protocol) or o.left < 8:
        return False
    at = o.at
    # Type I has neither sequence number nor header.
    if not get16(o.p.data + o.start) & GRE_SEQUENCE:
        return False
    _set_key(o.key, get16(at + 2) & 0x3ff)
    o.key.tun_erspan_ver = at[0] >> 4
    if protocol == ERSPAN_V1 and at[0] >> 4 == 1:
        o.key.tun_erspan_idx = htonl(get32(at + 4) & 0xfffff)
        _take(o, 8)
        return True
    if protocol != ERSPAN_V2 or at[0] >> 4 != 2 or o.left < 12:
        return False
    word = get16(at + 10)
    o.key.tun_erspan_dir = <uint8_t> (word >> 3 & 1)
    o.key.tun_erspan_hwid = <uint8_t> (word >> 4 & 0x3f)
    _take(o, 12)
    if word & 1:                # a subheader of 8 bytes
        if o.left < 8:
            return False
        _take(o, 8)
    return True


cdef bint _gtpu_extensions(outer *o, uint8_t next_type) noexcept nogil:
    cdef uint32_t size
    cdef int i
    for i in range(GTPU_EXTENSIONS):
        if next_type == 0:
            return True
        if o.left < 4:
            return False
        size = o.at[0] * 4
        if size == 0 or size > o.left:
            return False
        next_type = o.at[size - 1]
        _take(o, size)
    return next_type == 0


cdef bint _pop_gtpu(outer *o) noexcept nogil:
    cdef const uint8_t *at = o.at
    cdef uint32_t size
    if o.left < GTPU or at[0] & GTPU_VERSION != 0x30:
        return False
    size = get16(at + 2)
    if o.p.vnet.gso_type == GSO_NONE:
        if size > o.left - GTPU:
            return False
        o.left = GTPU + size
        o.p.size = <uint32_t> (at - o.p.data) + o.left
    _set_key(o.key, get32(at + 4))
    o.key.tun_gtpu_flags = at[0]
    o.key.tun_gtpu_msgtype = at[1]
    if at[1] != GTPU_PACKET:    # of the protocol itself: whoever speaks it gets all of it
        _of_type(o, PT_GTPU)
        return True
    _take(o, GTPU)
    if at[0] & GTPU_OPTIONAL:
        if o.left < 4:
            return False
        _take(o, 4)
        if at[0] & GTPU_EXTENDED and not _gtpu_extensions(o, at[GTPU + 3]):
            return False
    return _of_ip(o)


cdef bint _pop_srv6(outer *o) noexcept nogil:
    """Extraction walked the extension headers: only one may be there, with no segment left."""
    cdef const uint8_t *ip = o.p.data + o.p.l3
    cdef uint8_t proto = o.key.nw_proto
    if not o.v6 or (proto != PROTO_IPIP and proto != PROTO_IPV6):
        return False
    if ip[6] != proto:
        if ip[6] != PROTO_ROUTING or ip[40] != proto or ip[42] != SRH or ip[43]:
            return False
    return _of_ip(o) and (o.at[0] >> 4 == 4) == (proto == PROTO_IPIP)


# ---- The whole ----

cdef bint _pop_kind(outer *o, uint32_t kind) noexcept nogil:
    if kind == TUNNEL_VXLAN:
        return _open_udp(o, False) and _pop_vxlan(o)
    if kind == TUNNEL_GENEVE:
        return _open_udp(o, False) and _pop_geneve(o)
    if kind == TUNNEL_GTPU:
        return _open_udp(o, True) and _pop_gtpu(o)
    if kind == TUNNEL_GRE or kind == TUNNEL_IP6GRE:
        return _pop_gre(o)
    if kind == TUNNEL_ERSPAN or kind == TUNNEL_IP6ERSPAN:
        return _pop_erspan(o)
    return kind == TUNNEL_SRV6 and _pop_srv6(o)


cdef bint tunnel_decapsulate(packet *p, flow_key *key, uint32_t kind) noexcept nogil:
    cdef outer o
    cdef uint32_t header
    o.p = p
    o.key = key
    if not _open_ip(&o) or not _pop_kind(&o, kind):
        return False
    header = <uint32_t> (o.at - p.data)
    if p.packet_type == 0 and o.left < 14:
        return False
    if p.vnet.flags & VNET_NEEDS_CSUM and p.vnet.csum_start < header:
        # What was left to do is the outer header's checksum: of a sender on this host.
        p.vnet.flags = VNET_DATA_VALID
        p.vnet.csum_start = p.vnet.csum_offset = 0
    packet_close(p, 0, header)
    return True
