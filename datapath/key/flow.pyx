"""Extraction of the flow key from a packet, and what is computed from keys alone.

Bytes of a packet are read through a cursor that knows how many are left.  Each layer is a
function that takes its header or leaves the layer's members 0, as Open vSwitch does: a key says
what the switch is sure of.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memcmp, memcpy, memset

from datapath.key.flow cimport *
from datapath.base.known_hashes cimport murmur_add, murmur_add64, murmur_finish, murmur_pair
from datapath.base.packet cimport NO_OFFSET, ct_metadata, get16, get32, packet, packet_init
from datapath.base.protocols cimport *
from datapath.key.ufid cimport find_words, key_words, name_by_words

cdef extern from "datapath/key/flow_key.h":
    const uint64_t MAP_METADATA, MAP_CT, MAP_CT6, MAP_ETHERNET, MAP_VLAN, MAP_MPLS, MAP_PBB, MAP_IPV4
    const uint64_t MAP_IPV6, MAP_IP, MAP_L4, MAP_IGMP, MAP_ARP, MAP_ND, MAP_TUNNEL
    const uint64_t MAP_PACKET_TYPE, MAP_NSH
    void key_clear_packet(flow_key *) noexcept nogil

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t)
    uint32_t htonl(uint32_t)
    uint32_t ntohl(uint32_t)

cdef enum:
    MAX_MPLS = 3


# ---- The cursor ----

cdef struct cursor:
    const uint8_t *at
    uint32_t left

cdef inline const uint8_t *take(cursor *c, uint32_t n) noexcept nogil:
    """The next n bytes, or NULL (and the cursor stays) where fewer are left."""
    cdef const uint8_t *at = c.at
    if c.left < n:
        return NULL
    c.at += n
    c.left -= n
    return at


# ---- L2 ----

cdef inline uint64_t _vlans(cursor *c, flow_key *key) noexcept nogil:
    """The cursor stands at an Ethertype and does so afterwards."""
    cdef int i
    for i in range(2):
        # A tag needs an Ethertype behind it, else its TPID is the frame's Ethertype.
        if c.left < 6 or not is_vlan_tpid(get16(c.at)):
            return MAP_VLAN if i else 0
        memcpy(&key.vlan[i].tpid, c.at, 2)
        key.vlan[i].tci = (<uint16_t *> (c.at + 2))[0] | htons(VLAN_CFI)
        take(c, 4)
    return MAP_VLAN


cdef inline uint16_t _ethertype(cursor *c) noexcept nogil:
    """Ethernet II, or 802.3 with LLC and SNAP; host order."""
    cdef const uint8_t *at = take(c, 2)
    cdef uint16_t kind = get16(at)
    if kind >= ETH_FIRST:
        return kind
    if c.left < 8 or memcmp(c.at, b"\xaa\xaa\x03\0\0\0", 6) != 0:
        return ETH_NONE
    kind = get16(take(c, 8) + 6)
    return kind if kind >= ETH_FIRST else ETH_NONE


cdef inline uint64_t _mpls(cursor *c, flow_key *key) noexcept nogil:
    cdef const uint8_t *at
    cdef int i
    for i in range(MAX_MPLS):
        at = take(c, 4)
        if at == NULL:
            break
        memcpy(&key.mpls_lse[i], at, 4)
        if at[2] & 1:           # bottom of stack
            break
    return MAP_MPLS


cdef inline uint64_t _pbb(cursor *c, flow_key *key) noexcept nogil:
    """An I-TAG: priority and flags, I-SID, customer addresses; then an Ethertype."""
    cdef const uint8_t *at = take(c, 18)
    if at == NULL:
        return 0
    key.pbb_isid = htonl(get32(at) & PBB_BITS)
    return MAP_PBB


cdef inline uint64_t _nsh(cursor *c, flow_key *key) noexcept nogil:
    """What follows the header is not looked at."""
    cdef const uint8_t *at = c.at
    if nsh_size(at, c.left) == 0:
        return 0
    key.nsh_flags = at[0] >> 4 & 3
    key.nsh_ttl = <uint8_t> ((at[0] & 15) << 2 | at[1] >> 6)
    key.nsh_mdtype = at[2]
    key.nsh_np = at[3]
    memcpy(&key.nsh_path_hdr, at + 4, 4)
    if at[2] == NSH_MD1:
        memcpy(key.nsh_context, at + 8, 16)
    return MAP_NSH


cdef inline uint64_t _arp(cursor *c, flow_key *key) noexcept nogil:
    cdef const uint8_t *at = take(c, 28)
    # Ethernet and IPv4 addresses only: htype 1, ptype 0x0800, lengths 6 and 4.
    if at == NULL or memcmp(at, b"\0\1\x08\0\6\4", 6) != 0:
        return 0
    if at[6] == 0:
        key.nw_proto = at[7]
    memcpy(key.arp_sha, at + 8, 6)
    memcpy(&key.nw_src, at + 14, 4)
    memcpy(key.arp_tha, at + 18, 6)
    memcpy(&key.nw_dst, at + 24, 4)
    return MAP_ARP | MAP_IPV4 | MAP_IP


# ---- L4; the cursor holds what the IP header says is there ----

cdef inline uint64_t _ports(cursor *c, flow_key *key, uint32_t header) noexcept nogil:
    cdef const uint8_t *at = take(c, header)
    if at == NULL:
        return 0
    memcpy(&key.tp_src, at, 4)      # tp_src and tp_dst
    return MAP_L4


cdef inline uint64_t _tcp(cursor *c, flow_key *key) noexcept nogil:
    cdef const uint8_t *at = take(c, 20)
    cdef uint32_t header
    if at == NULL:
        return 0
    header = (at[12] >> 4) * 4
    if header < 20 or header - 20 > c.left:
        return 0                    # no such header can be
    memcpy(&key.tp_src, at, 4)
    key.tcp_flags = (<uint16_t *> (at + 12))[0] & htons(0x0fff)
    return MAP_L4


cdef inline uint64_t _icmp(cursor *c, flow_key *key, const uint8_t **header) noexcept nogil:
    cdef const uint8_t *at = take(c, 8)
    header[0] = at
    if at == NULL:
        return 0
    key.tp_src = htons(at[0])
    key.tp_dst = htons(at[1])
    return MAP_L4


cdef uint64_t _nd(cursor *c, flow_key *key, const uint8_t *icmp) noexcept nogil:
    """Neighbour discovery; two options of the same kind void all of it."""
    cdef const uint8_t *at = take(c, 16)
    cdef const uint8_t *target = at
    cdef uint8_t *place
    cdef uint8_t first = 0
    cdef uint32_t size
    memcpy(&key.nd_reserved, icmp + 4, 4)
    if target == NULL:
        return MAP_IGMP
    while c.left >= 8:
        size = c.at[1] * 8
        at = take(c, size)
        if size == 0 or at == NULL:
            break
        if size != 8 or (at[0] != ND_OPT_SOURCE and at[0] != ND_OPT_TARGET):
            continue
        place = &key.arp_sha[0] if at[0] == ND_OPT_SOURCE else &key.arp_tha[0]
        if memcmp(place, b"\0\0\0\0\0\0", 6) != 0:
            memset(key.arp_sha, 0, 6)
            memset(key.arp_tha, 0, 6)
            return MAP_IGMP
        memcpy(place, at + 2, 6)
        if first == 0:
            first = at[0]
    key.nd_options_type = first
    memcpy(key.nd_target, target, 16)
    return MAP_IGMP | MAP_ARP | MAP_ND


cdef inline uint64_t _l4(cursor *c, flow_key *key, bint v6) noexcept nogil:
    cdef const uint8_t *at
    cdef uint64_t map
    cdef uint8_t proto = key.nw_proto
    if proto == PROTO_TCP:
        return _tcp(c, key)
    if proto == PROTO_UDP:
        return _ports(c, key, 8)
    if proto == PROTO_SCTP:
        return _ports(c, key, 12)
    if v6:
        if proto != PROTO_ICMPV6:
            return 0
        map = _icmp(c, key, &at)
        if map and (at[0] == ND_SOLICIT or at[0] == ND_ADVERT) and at[1] == 0:
            map |= _nd(c, key, at)
        return map
    if proto == PROTO_ICMP:
        return _icmp(c, key, &at)
    if proto == PROTO_IGMP:
        map = _icmp(c, key, &at)
        if map:
            memcpy(&key.igmp_group_ip4, at + 4, 4)
            map |= MAP_IGMP
        return map
    return 0


# ---- L3 ----

cdef inline uint64_t _ipv4(packet *p, cursor *c, flow_key *key) noexcept nogil:
    cdef const uint8_t *ip = c.at
    cdef uint32_t header, total
    cdef uint16_t frag
    cdef uint64_t map = MAP_IPV4 | MAP_IP
    if c.left < 20:
        return 0
    header = (ip[0] & 15) * 4
    total = get16(ip + 2)
    if ip[0] >> 4 != 4 or header < 20 or header > total or total > c.left:
        return 0
    p.l3_size = total
    c.left = total              # what is behind is padding
    take(c, header)
    memcpy(&key.nw_src, ip + 12, 8)     # nw_src and nw_dst
    key.nw_tos = ip[1]
    key.nw_ttl = ip[8]
    key.nw_proto = ip[9]
    p.l4 = <uint16_t> (c.at - p.data)
    frag = get16(ip + 6)
    if frag & 0x3fff:
        key.nw_frag = FRAG_ANY | (FRAG_LATER if frag & 0x1fff else 0)
        if frag & 0x1fff:
            return map
    return map | _l4(c, key, False)


cdef struct extensions:
    uint16_t seen               # EXT_*; EXT_HOP also where it is not the first
    uint8_t place               # of the last one in the order of RFC 2460, section 4.1
    uint8_t n_dest


cdef void _note_extension(extensions *e, uint8_t proto) noexcept nogil:
    cdef uint8_t place = 0
    cdef uint16_t flag = EXT_NONEXT
    if proto == PROTO_HOPOPTS:
        place, flag = 1, EXT_HOP
    elif proto == PROTO_ROUTING:
        place, flag = 3, EXT_ROUTER
    elif proto == PROTO_FRAGMENT:
        place, flag = 4, EXT_FRAG
    elif proto == PROTO_AH:
        place, flag = 5, EXT_AUTH
    elif proto == PROTO_ESP:
        place, flag = 6, EXT_ESP
    elif proto == PROTO_DSTOPTS:
        # They have two places: before a routing header, and behind all others.
        place, flag = 2 if e.place < 2 else 7, EXT_DEST
        e.n_dest += e.n_dest < 3
    elif proto != PROTO_NONEXT:
        return
    if e.seen & flag and (flag != EXT_DEST or e.n_dest > 2):
        e.seen |= EXT_UNREP
    if place and place < e.place:
        e.seen |= EXT_UNSEQ
    e.seen |= flag
    e.place = place


cdef bint _extensions(cursor *c, uint8_t *proto, uint8_t *frag, uint16_t *flags) noexcept nogil:
    """Walks IPv6 extension headers; false where one is cut.

    The walk ends at ESP, whose content nobody can read."""
    cdef const uint8_t *at
    cdef uint32_t size
    cdef extensions found
    cdef bint hop_first = proto[0] == PROTO_HOPOPTS
    memset(&found, 0, sizeof(found))
    while True:
        _note_extension(&found, proto[0])
        flags[0] = found.seen if hop_first else found.seen & ~EXT_HOP
        if proto[0] == PROTO_HOPOPTS or proto[0] == PROTO_ROUTING or proto[0] == PROTO_DSTOPTS:
            if c.left < 8:
                return False
            size = (c.at[1] + 1) * 8
        elif proto[0] == PROTO_AH:
            if c.left < 8:
                return False
            size = (c.at[1] + 2) * 4
        elif proto[0] == PROTO_FRAGMENT:
            size = 8
        else:
            return True
        at = take(c, size)
        if at == NULL:
            return False
        if proto[0] == PROTO_FRAGMENT and get16(at + 2) & 0xfff9:
            frag[0] = FRAG_ANY
            if get16(at + 2) & 0xfff8:
                # What follows is no header: the protocol stays "fragment", as OVS has it.
                frag[0] |= FRAG_LATER
                return True
        proto[0] = at[0]


cdef inline uint64_t _ipv6(packet *p, cursor *c, flow_key *key) noexcept nogil:
    cdef const uint8_t *ip = c.at
    cdef uint32_t size
    cdef uint8_t proto, frag = 0
    cdef uint16_t extensions = 0
    cdef uint64_t map = MAP_IPV6 | MAP_IP
    if c.left < 40:
        return 0
    size = get16(ip + 4)
    if ip[0] >> 4 != 6 or size > c.left - 40:
        return 0
    p.l3_size = size + 40
    c.left = size + 40
    take(c, 40)
    memcpy(key.ipv6_src, ip + 8, 32)    # ipv6_src and ipv6_dst
    proto = ip[6]
    if not _extensions(c, &proto, &frag, &extensions) or c.at - p.data >= NO_OFFSET:
        return map
    p.l4 = <uint16_t> (c.at - p.data)
    key.ipv6_label = htonl(get32(ip) & 0xfffff)
    key.nw_tos = <uint8_t> (get16(ip) >> 4)
    key.nw_ttl = ip[7]
    key.nw_proto = proto
    key.nw_frag = frag
    if extensions:
        key.ipv6_exthdr = htons(extensions)
        map |= MAP_L4
    return map if frag & FRAG_LATER else map | _l4(c, key, True)


# ---- The whole ----

cdef inline uint64_t _tunnel_map(const flow_key *key) noexcept nogil:
    cdef const uint64_t *dst = <const uint64_t *> key.tun_ipv6_dst
    if key.tun_dst | dst[0] | dst[1] | key.tun_id | key.tun_flags:
        return MAP_TUNNEL
    return 0


cdef uint64_t _ct(const ct_metadata *ct, flow_key *key) noexcept nogil:
    key.ct_state = ct.state
    key.ct_mark = ct.mark
    key.ct_zone = ct.zone
    key.ct_nw_proto = ct.nw_proto
    memcpy(key.ct_label, ct.label, 16)
    key.ct_tp_src = ct.tp_src
    key.ct_tp_dst = ct.tp_dst
    if ct.v6:
        memcpy(key.ct_ipv6_src, ct.ipv6_src, 16)
        memcpy(key.ct_ipv6_dst, ct.ipv6_dst, 16)
        return MAP_CT | MAP_CT6
    key.ct_nw_src = ct.nw_src
    key.ct_nw_dst = ct.nw_dst
    return MAP_CT


cdef void key_ct(const flow_key *key, ct_metadata *ct) noexcept nogil:
    cdef const uint64_t *v6 = <const uint64_t *> key.ct_ipv6_src
    ct.state = key.ct_state
    ct.mark = key.ct_mark
    ct.zone = key.ct_zone
    ct.nw_proto = key.ct_nw_proto
    memcpy(ct.label, key.ct_label, 16)
    ct.tp_src = key.ct_tp_src
    ct.tp_dst = key.ct_tp_dst
    ct.nw_src = key.ct_nw_src
    ct.nw_dst = key.ct_nw_dst
    ct.v6 = (v6[0] | v6[1] | v6[2] | v6[3]) != 0
    memcpy(ct.ipv6_src, key.ct_ipv6_src, 16)
    memcpy(ct.ipv6_dst, key.ct_ipv6_dst, 16)


cdef uint64_t flow_extract(packet *p, flow_key *key) noexcept nogil:
    cdef cursor c
    cdef uint16_t ethertype
    cdef uint64_t map = MAP_METADATA | _tunnel_map(key)
    key_clear_packet(key)
    key.recirc_id = p.recirc_id
    key.in_port = p.in_port
    key.skb_priority = p.skb_priority
    key.pkt_mark = p.pkt_mark
    key.dp_hash = p.dp_hash
    if p.ct.state:
        map |= _ct(&p.ct, key)
    p.l2_5 = p.l3 = p.l4 = NO_OFFSET
    p.l3_size = 0
    c.at = p.data
    c.left = p.size
    if p.packet_type:
        key.packet_type = p.packet_type
        map |= MAP_PACKET_TYPE | MAP_ETHERNET
        if ntohl(p.packet_type) >> 16 != PT_ETHERTYPE >> 16:
            return map
        ethertype = <uint16_t> (ntohl(p.packet_type) & 0xffff)
    else:
        if c.left < 14:
            return map
        memcpy(key.eth_dst, c.at, 12)       # eth_dst and eth_src
        take(&c, 12)
        map |= MAP_ETHERNET | _vlans(&c, key)
        ethertype = _ethertype(&c)
    key.eth_type = htons(ethertype)
    if ethertype == ETH_IP:
        p.l3 = <uint16_t> (c.at - p.data)
        map |= _ipv4(p, &c, key)
    elif ethertype == ETH_IPV6:
        p.l3 = <uint16_t> (c.at - p.data)
        map |= _ipv6(p, &c, key)
    elif ethertype == ETH_ARP or ethertype == ETH_RARP:
        p.l3 = <uint16_t> (c.at - p.data)
        map |= _arp(&c, key)
    elif is_mpls_type(ethertype):
        p.l2_5 = <uint16_t> (c.at - p.data)
        map |= _mpls(&c, key)
    elif ethertype == ETH_PBB:
        p.l2_5 = <uint16_t> (c.at - p.data)
        map |= _pbb(&c, key)
    elif ethertype == ETH_NSH:
        p.l2_5 = <uint16_t> (c.at - p.data)
        map |= _nsh(&c, key)
    return map


cdef uint64_t key_map(const flow_key *key) noexcept nogil:
    cdef const uint64_t *words = <const uint64_t *> key
    cdef uint64_t map = 0
    cdef int i
    for i in range(KEY_DP_WORDS):
        if words[i]:
            map |= <uint64_t> 1 << (i if i < 63 else 63)
    return map


cdef void flow_ufid(const flow_key *masked, const flow_key *mask, uint8_t *out) noexcept nogil:
    cdef key_words words
    find_words(<const uint64_t *> mask, &words)
    name_by_words(<const uint64_t *> masked, <const uint64_t *> mask, &words, out)


# ---- Hashes of the L4 flow ----
# These are those of Open vSwitch's userspace datapath: a select group's packet goes to the same bucket.

cdef inline bint _has_ports(const flow_key *key) noexcept nogil:
    return (key.nw_frag & FRAG_LATER == 0
            and (key.nw_proto == PROTO_TCP or key.nw_proto == PROTO_UDP
                 or key.nw_proto == PROTO_SCTP))


cdef enum:
    FINAL_5TUPLE = 42

cdef uint32_t flow_hash_5tuple(const flow_key *key, uint32_t basis) noexcept nogil:
    cdef const uint64_t *v6 = <const uint64_t *> key.ipv6_src
    cdef uint32_t hash = 0
    cdef int i
    if key.eth_type == htons(ETH_IP):
        hash = murmur_add(murmur_add(hash, key.nw_src), key.nw_dst)
    elif key.eth_type == htons(ETH_IPV6):
        for i in range(4):
            hash = murmur_add64(hash, v6[i])
    else:
        return murmur_pair(murmur_finish(hash, FINAL_5TUPLE), basis)
    hash = murmur_add(hash, key.nw_proto)
    if key.nw_proto in (PROTO_TCP, PROTO_UDP, PROTO_SCTP, PROTO_ICMP, PROTO_ICMPV6):
        hash = murmur_add(hash, key.tp_src | <uint32_t> key.tp_dst << 16)
    return murmur_pair(murmur_finish(hash, FINAL_5TUPLE), basis)


cdef uint32_t flow_hash_symmetric_ip(const flow_key *key, uint32_t basis, bint udp) noexcept nogil:
    cdef const uint64_t *src = <const uint64_t *> key.ipv6_src
    cdef const uint64_t *dst = <const uint64_t *> key.ipv6_dst
    cdef uint32_t hash = basis
    cdef int i
    if key.eth_type == htons(ETH_IP):
        hash = murmur_add(hash, key.nw_src ^ key.nw_dst)
    elif key.eth_type == htons(ETH_IPV6):
        for i in range(2):
            hash = murmur_add64(hash, src[i] ^ dst[i])
    else:
        return _hash_symmetric_l2(key, basis)
    hash = murmur_add(hash, key.nw_proto)
    if (not key.nw_frag  # all fragments of a packet go one way, and most have no ports
            and (key.nw_proto == PROTO_TCP or key.nw_proto == PROTO_SCTP
                 or (udp and key.nw_proto == PROTO_UDP))):
        hash = murmur_add(hash, key.tp_src ^ key.tp_dst)
    return murmur_finish(hash, basis)


cdef uint32_t _hash_symmetric_l2(const flow_key *key, uint32_t basis) noexcept nogil:
    cdef uint16_t words[6]
    cdef const uint16_t *src = <const uint16_t *> key.eth_src
    cdef const uint16_t *dst = <const uint16_t *> key.eth_dst
    cdef uint32_t hash = basis
    cdef int i
    words[0] = key.eth_type
    words[1] = (key.vlan[0].tci ^ key.vlan[1].tci) & htons(0x0fff)
    words[5] = 0
    for i in range(3):
        words[2 + i] = src[i] ^ dst[i]
    for i in range(0, 6, 2):
        hash = murmur_add(hash, words[i] | <uint32_t> words[i + 1] << 16)
    return murmur_finish(hash, basis)


# ---- Which members mean something ----

cdef inline void _cover(flow_key *mask, int member) noexcept nogil:
    memset(<uint8_t *> mask + key_members[member].offset, 0xff, key_members[member].size)


cdef void _cover_l4(const flow_key *key, flow_key *mask, bint v6) noexcept nogil:
    cdef uint8_t proto = key.nw_proto
    cdef bint ports = _has_ports(key)
    if key.nw_frag & FRAG_LATER:
        return
    if ports or proto == (PROTO_ICMPV6 if v6 else PROTO_ICMP) or (proto == PROTO_IGMP and not v6):
        _cover(mask, MEMBER_tp_src)
        _cover(mask, MEMBER_tp_dst)
    if proto == PROTO_TCP:
        mask.tcp_flags = htons(0x0fff)
    if proto == PROTO_IGMP and not v6:
        _cover(mask, MEMBER_igmp_group_ip4)
    if (v6 and proto == PROTO_ICMPV6 and key.tp_dst == 0
            and (key.tp_src == htons(ND_SOLICIT) or key.tp_src == htons(ND_ADVERT))):
        _cover(mask, MEMBER_nd_reserved)
        _cover(mask, MEMBER_nd_target)
        _cover(mask, MEMBER_nd_options_type)
        _cover(mask, MEMBER_arp_sha)
        _cover(mask, MEMBER_arp_tha)


cdef void _cover_l3(const flow_key *key, flow_key *mask) noexcept nogil:
    cdef bint v6 = key.eth_type == htons(ETH_IPV6)
    if v6:
        _cover(mask, MEMBER_ipv6_src)
        _cover(mask, MEMBER_ipv6_dst)
        mask.ipv6_label = htonl(0xfffff)
        mask.ipv6_exthdr = htons(0x1ff)
    else:
        _cover(mask, MEMBER_nw_src)
        _cover(mask, MEMBER_nw_dst)
    mask.nw_frag = FRAG_ANY | FRAG_LATER
    _cover(mask, MEMBER_nw_tos)
    _cover(mask, MEMBER_nw_ttl)
    _cover(mask, MEMBER_nw_proto)
    _cover_l4(key, mask, v6)


cdef void flow_wildcards_for(const flow_key *key, flow_key *mask) noexcept nogil:
    cdef uint64_t tunnel = _tunnel_map(key)
    cdef int i
    memset(mask, 0, KEY_SIZE)
    for i in range(MEMBER_recirc_id, MEMBER_eth_type + 1):
        _cover(mask, i)
    # The original tuple of a connection means something only when conntrack has seen it.
    if key.ct_state == 0:
        memset(&mask.ct_nw_src, 0, 12)
        mask.ct_nw_proto = 0
    for i in range(2):
        _cover(mask, MEMBER_vlan0_tpid + 2 * i)
        _cover(mask, MEMBER_vlan0_tci + 2 * i)
        if key.vlan[i].tpid == 0:
            break
    if tunnel:
        for i in range(MEMBER_tun_id, MEMBER_tun_metadata + 1):
            _cover(mask, i)
    if key.eth_type == htons(ETH_IP) or key.eth_type == htons(ETH_IPV6):
        _cover_l3(key, mask)
    elif key.eth_type == htons(ETH_ARP) or key.eth_type == htons(ETH_RARP):
        _cover(mask, MEMBER_nw_src)
        _cover(mask, MEMBER_nw_dst)
        _cover(mask, MEMBER_nw_proto)
        _cover(mask, MEMBER_arp_sha)
        _cover(mask, MEMBER_arp_tha)
    elif key.eth_type == htons(ETH_MPLS) or key.eth_type == htons(ETH_MPLS_MCAST):
        for i in range(MAX_MPLS):
            _cover(mask, MEMBER_mpls_lse0 + i)
            if key.mpls_lse[i] & htonl(0x100):
                break
    elif key.eth_type == htons(ETH_PBB):
        mask.pbb_isid = htonl(PBB_BITS)
    elif key.eth_type == htons(ETH_NSH):
        for i in range(MEMBER_nsh_flags, MEMBER_nsh_context3 + 1):
            _cover(mask, i)


# ---- For Python ----

# C names are not Python names: give the constants to the module's namespace.
globals().update(
    KEY_PACKET_SIZE=<int> KEY_PACKET_SIZE, KEY_DP_SIZE=<int> KEY_DP_SIZE, KEY_SIZE=<int> KEY_SIZE,
    FRAG_ANY=<int> FRAG_ANY, FRAG_LATER=<int> FRAG_LATER,
)
MEMBERS = {
    (<bytes> key_members[i].name).decode(): (key_members[i].offset, key_members[i].size)
    for i in range(N_MEMBERS)
}


cdef int _load(object data, flow_key *key) except -1:
    cdef const uint8_t[::1] view = data
    if view.shape[0] != KEY_SIZE and view.shape[0] != KEY_DP_SIZE:
        raise ValueError(f"a key has {KEY_SIZE} or {KEY_DP_SIZE} bytes, not {view.shape[0]}")
    memset(key, 0, KEY_SIZE)
    memcpy(key, &view[0], view.shape[0])
    return 0


def extract(packet_bytes, uint32_t in_port=0, uint32_t recirc_id=0, uint32_t skb_priority=0,
            uint32_t pkt_mark=0, uint32_t dp_hash=0, uint32_t packet_type=0):
    return extract_with_offsets(packet_bytes, in_port, recirc_id, skb_priority, pkt_mark,
                                dp_hash, packet_type)[0]


def extract_with_offsets(packet_bytes, uint32_t in_port=0, uint32_t recirc_id=0,
                         uint32_t skb_priority=0, uint32_t pkt_mark=0, uint32_t dp_hash=0,
                         uint32_t packet_type=0):
    cdef const uint8_t[:] view = packet_bytes
    cdef packet p
    cdef flow_key key
    cdef uint64_t map, exact
    cdef bytes owned = bytes(view)      # keeps the bytes, and gives an address when empty
    packet_init(&p, <uint8_t *> <const char *> owned, <uint32_t> len(owned), 0,
                <uint32_t> len(owned))
    p.in_port = htonl(in_port)
    p.recirc_id = htonl(recirc_id)
    p.skb_priority = htonl(skb_priority)
    p.pkt_mark = htonl(pkt_mark)
    p.dp_hash = htonl(dp_hash)
    p.packet_type = htonl(packet_type)
    memset(&key, 0, KEY_SIZE)
    map = flow_extract(&p, &key)
    exact = key_map(&key)
    if exact & ~map:
        raise AssertionError(f"flow_extract's map {map:x} lacks {exact & ~map:x}")
    offsets = {"l2_5": p.l2_5, "l3": p.l3, "l4": p.l4}
    return (PyBytes_FromStringAndSize(<char *> &key, KEY_SIZE),
            {name: None if at == NO_OFFSET else at for name, at in offsets.items()}, p.l3_size)


def wildcards_for(key):
    cdef flow_key k, mask
    _load(key, &k)
    flow_wildcards_for(&k, &mask)
    return PyBytes_FromStringAndSize(<char *> &mask, KEY_SIZE)


def ufid(key, mask):
    cdef flow_key k, m
    cdef uint8_t out[16]
    _load(key, &k)
    _load(mask, &m)
    flow_ufid(&k, &m, out)
    return PyBytes_FromStringAndSize(<char *> out, 16)


def hash_l4(key, uint32_t basis=0, bint symmetric=False):
    cdef flow_key k
    _load(key, &k)
    if symmetric:
        return flow_hash_symmetric_ip(&k, basis, False)
    return flow_hash_5tuple(&k, basis)
