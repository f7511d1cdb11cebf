"""Header fields written into a packet.

Checksums change by the difference (RFC 1624, equation 3), so a wrong one stays wrong.  Where the
kernel left a partial checksum (NEEDS_CSUM), only the pseudo header counts in it.
"""

from libc.string cimport memcmp, memcpy

from datapath.key.flow cimport *
from datapath.actions.encap cimport has_i_tag, has_label
from datapath.actions.offload cimport crc32c
from datapath.base.packet cimport *
from datapath.base.protocols cimport *
from datapath.actions.rewrite cimport *

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t)

cdef enum:
    MEMBER_MAX = 16             # bytes of the longest member that a packet has


# ---- Checksums ----

cdef inline uint16_t _adjusted(uint16_t sum, const uint8_t *old, const uint8_t *new,
                               uint32_t n) noexcept nogil:
    """The plain sum after n (even) bytes changed."""
    cdef uint64_t total = sum
    cdef uint32_t i
    for i in range(0, n, 2):
        total += <uint16_t> ~get16(old + i)
        total += get16(new + i)
    while total >> 16:
        total = (total >> 16) + (total & 0xffff)
    return <uint16_t> total


cdef inline void _fix_sum(uint8_t *at, const uint8_t *old, const uint8_t *new,
                          uint32_t n) noexcept nogil:
    put16(at, <uint16_t> ~_adjusted(<uint16_t> ~get16(at), old, new, n))


cdef inline uint32_t _l4_left(const packet *p, const flow_key *key) noexcept nogil:
    """Bytes from the L4 header, 0 where there is none (or another fragment has it)."""
    if p.l4 == NO_OFFSET or key.nw_frag & FRAG_LATER:
        return 0
    return p.l3 + p.l3_size - p.l4


cdef uint8_t *_l4_sum(packet *p, const flow_key *key) noexcept nogil:
    """The L4 checksum that covers the pseudo header, or NULL."""
    cdef uint32_t left = _l4_left(p, key)
    if key.nw_proto == PROTO_TCP and left >= 20:
        return p.data + p.l4 + 16
    if key.nw_proto == PROTO_UDP and left >= 8:
        return p.data + p.l4 + 6
    if key.nw_proto == PROTO_ICMPV6 and left >= 8 and key.eth_type == htons(ETH_IPV6):
        return p.data + p.l4 + 2
    return NULL


cdef void _fix_l4(packet *p, const flow_key *key, const uint8_t *old, const uint8_t *new,
                  uint32_t n, bint pseudo) noexcept nogil:
    """n bytes of the pseudo header, or of what the L4 checksum covers itself, changed."""
    cdef uint8_t *at = _l4_sum(p, key)
    if at == NULL:
        return
    if p.vnet.flags & VNET_NEEDS_CSUM and p.vnet.csum_start == p.l4:
        if pseudo:
            put16(at, _adjusted(get16(at), old, new, n))
        return
    if key.nw_proto != PROTO_UDP:
        _fix_sum(at, old, new, n)
    elif get16(at) != 0:
        _fix_sum(at, old, new, n)
        if get16(at) == 0:
            put16(at, 0xffff)   # 0 would mean "no checksum"


cdef inline void _replace(uint8_t *at, const uint8_t *new, uint32_t n, uint8_t *sum) noexcept nogil:
    """Writes n (even) bytes; the 16-bit checksum at `sum` covers them."""
    _fix_sum(sum, at, new, n)
    memcpy(at, new, n)


# ---- L2, MPLS, PBB and NSH ----

cdef void _set_vlan(packet *p, int level, bint tpid, const uint8_t *new) noexcept nogil:
    cdef uint8_t *at = p.data + 12 + 4 * level
    if tpid:
        memcpy(at, new, 2)
    else:
        # In the key this bit says that a tag is there; in the frame it is DEI, and stays.
        at[2] = (at[2] & 0x10) | (new[0] & 0xef)
        at[3] = new[1]


cdef inline bint _is_mpls(uint16_t eth_type) noexcept nogil:
    return eth_type == htons(ETH_MPLS) or eth_type == htons(ETH_MPLS_MCAST)


cdef void _copy_byte(uint8_t *outer, uint8_t *inner, bint inwards) noexcept nogil:
    if inwards:
        inner[0] = outer[0]
    else:
        outer[0] = inner[0]


cdef void copy_ttl(packet *p, bint inwards) noexcept nogil:
    cdef uint32_t inner = <uint32_t> p.l2_5 + 4
    cdef uint8_t word[2]
    cdef uint8_t *label
    cdef uint8_t *behind
    if not has_label(p) or inner + 4 > p.size:
        return
    label = p.data + p.l2_5
    behind = p.data + inner
    if not label[2] & 1:
        _copy_byte(label + 3, behind + 3, inwards)
    elif behind[0] >> 4 == 4 and inner + 20 <= p.size:
        if inwards:
            word[0] = label[3]
            word[1] = behind[9]
            _replace(behind + 8, word, 2, behind + 10)
        else:
            label[3] = behind[8]
    elif behind[0] >> 4 == 6 and inner + 40 <= p.size:
        _copy_byte(label + 3, behind + 7, inwards)


cdef bint _has_label(const packet *p, const flow_key *key, int level) noexcept nogil:
    cdef int i
    if not _is_mpls(key.eth_type) or p.l2_5 + 4 * (level + 1) > <int> p.size:
        return False
    for i in range(level):
        if (<const uint8_t *> &key.mpls_lse[i])[2] & 1:
            return False        # the stack ends before
    return True


cdef bint _set_nsh(packet *p, const flow_key *key, uint16_t member,
                   const uint8_t *new) noexcept nogil:
    cdef uint8_t *nsh = p.data + p.l2_5
    if (key.eth_type != htons(ETH_NSH) or p.l2_5 == NO_OFFSET
            or nsh_size(nsh, p.size - p.l2_5) == 0):
        return False
    if member == MEMBER_nsh_flags:
        nsh[0] = (nsh[0] & 0xcf) | <uint8_t> (new[0] << 4)
    elif member == MEMBER_nsh_ttl:
        nsh[0] = (nsh[0] & 0xf0) | new[0] >> 2
        nsh[1] = (nsh[1] & 0x3f) | <uint8_t> (new[0] << 6)
    elif member == MEMBER_nsh_path_hdr:
        memcpy(nsh + 4, new, 4)
    elif nsh[2] == NSH_MD1:
        memcpy(nsh + 8 + 4 * (member - MEMBER_nsh_context0), new, 4)
    else:
        return False
    return True


# ---- L3 ----

cdef bint _set_ipv4(packet *p, const flow_key *key, uint16_t member,
                    const uint8_t *new) noexcept nogil:
    cdef uint8_t *ip = p.data + p.l3
    cdef uint8_t *at
    cdef uint8_t word[2]
    if member == MEMBER_nw_src or member == MEMBER_nw_dst:
        at = ip + (12 if member == MEMBER_nw_src else 16)
        _fix_l4(p, key, at, new, 4, True)
        _replace(at, new, 4, ip + 10)
    elif member == MEMBER_nw_tos:
        word[0] = ip[0]
        word[1] = new[0]
        _replace(ip, word, 2, ip + 10)
    elif member == MEMBER_nw_ttl:
        word[0] = new[0]
        word[1] = ip[9]
        _replace(ip + 8, word, 2, ip + 10)
    else:
        return False
    return True


cdef bint _routed(const packet *p) noexcept nogil:
    """A routing header with segments left: the checksum has the last address, not this one."""
    cdef const uint8_t *ip = p.data + p.l3
    cdef uint8_t proto = ip[6]
    cdef uint32_t at = p.l3 + 40
    # The extension headers up to l4 are whole: extraction has walked them.
    while at + 8 <= p.l4:
        if proto == PROTO_ROUTING:
            return p.data[at + 3] > 0
        elif proto == PROTO_HOPOPTS or proto == PROTO_DSTOPTS:
            proto = p.data[at]
            at += (p.data[at + 1] + 1) * 8
        elif proto == PROTO_AH:
            proto = p.data[at]
            at += (p.data[at + 1] + 2) * 4
        elif proto == PROTO_FRAGMENT:
            proto = p.data[at]
            at += 8
        else:
            return False
    return False


cdef bint _set_ipv6(packet *p, const flow_key *key, uint16_t member,
                    const uint8_t *new) noexcept nogil:
    cdef uint8_t *ip = p.data + p.l3
    cdef uint8_t *at
    if member == MEMBER_ipv6_src or member == MEMBER_ipv6_dst:
        at = ip + (8 if member == MEMBER_ipv6_src else 24)
        if member == MEMBER_ipv6_src or not _routed(p):
            _fix_l4(p, key, at, new, 16, True)
        memcpy(at, new, 16)
    elif member == MEMBER_nw_tos:
        put16(ip, <uint16_t> ((get16(ip) & 0xf00f) | (<uint16_t> new[0] << 4)))
    elif member == MEMBER_nw_ttl:
        ip[7] = new[0]
    elif member == MEMBER_ipv6_label:
        put32(ip, (get32(ip) & <uint32_t> 0xfff00000U) | get32(new))
    else:
        return False
    return True


cdef bint _set_arp(packet *p, uint16_t member, const uint8_t *new) noexcept nogil:
    cdef uint8_t *arp = p.data + p.l3
    if p.size - p.l3 < 28 or memcmp(arp, b"\0\1\x08\0\6\4", 6) != 0:
        return False
    if member == MEMBER_nw_proto:
        arp[6] = 0
        arp[7] = new[0]
    elif member == MEMBER_arp_sha:
        memcpy(arp + 8, new, 6)
    elif member == MEMBER_nw_src:
        memcpy(arp + 14, new, 4)
    elif member == MEMBER_arp_tha:
        memcpy(arp + 18, new, 6)
    elif member == MEMBER_nw_dst:
        memcpy(arp + 24, new, 4)
    else:
        return False
    return True


# ---- L4 ----

cdef void _set_sctp_port(packet *p, const flow_key *key, uint8_t *at,
                         const uint8_t *new) noexcept nogil:
    """CRC32c covers the whole packet: it changes by the difference of old and new."""
    cdef uint8_t *sctp = p.data + p.l4
    cdef uint32_t left = _l4_left(p, key)
    cdef uint32_t change
    cdef uint8_t given[4]
    if p.vnet.flags & VNET_NEEDS_CSUM and p.vnet.csum_start == p.l4:
        memcpy(at, new, 2)
        return
    memcpy(given, sctp + 8, 4)
    put32(sctp + 8, 0)
    change = crc32c(sctp, left)
    memcpy(at, new, 2)
    change ^= crc32c(sctp, left)
    sctp[8] = given[0] ^ (change & 0xff)
    sctp[9] = given[1] ^ ((change >> 8) & 0xff)
    sctp[10] = given[2] ^ ((change >> 16) & 0xff)
    sctp[11] = given[3] ^ (change >> 24)


cdef void _set_icmp(packet *p, const flow_key *key, uint16_t member, bint v6,
                    const uint8_t *new) noexcept nogil:
    cdef uint8_t *icmp = p.data + p.l4
    cdef uint8_t word[2]
    memcpy(word, icmp, 2)
    word[0 if member == MEMBER_tp_src else 1] = new[1]      # in the low byte of tp_src, tp_dst
    if v6:
        _fix_l4(p, key, icmp, word, 2, False)
    else:
        _fix_sum(icmp + 2, icmp, word, 2)
    memcpy(icmp, word, 2)


cdef bint _set_tp(packet *p, const flow_key *key, uint16_t member,
                  const uint8_t *new) noexcept nogil:
    cdef uint32_t left = _l4_left(p, key)
    cdef uint8_t *at = p.data + p.l4 + (0 if member == MEMBER_tp_src else 2)
    cdef bint v6 = key.eth_type == htons(ETH_IPV6)
    if ((key.nw_proto == PROTO_TCP and left >= 20) or (key.nw_proto == PROTO_UDP and left >= 8)):
        _fix_l4(p, key, at, new, 2, False)
        memcpy(at, new, 2)
    elif key.nw_proto == PROTO_SCTP and left >= 12:
        if key.nw_frag:
            return False        # the CRC of a whole that is not here: leave both
        _set_sctp_port(p, key, at, new)
    elif key.nw_proto == (PROTO_ICMPV6 if v6 else PROTO_ICMP) and left >= 8:
        if new[0]:
            return False        # types and codes have 8 bits
        _set_icmp(p, key, member, v6, new)
    else:
        return False
    return True


cdef void _set_l4_bytes(packet *p, const flow_key *key, uint8_t *at, const uint8_t *new,
                        uint32_t n) noexcept nogil:
    _fix_l4(p, key, at, new, n, False)
    memcpy(at, new, n)


cdef bint _set_nd_option(packet *p, const flow_key *key, uint8_t kind,
                         const uint8_t *new) noexcept nogil:
    cdef uint32_t left = _l4_left(p, key) - 24
    cdef uint8_t *at = p.data + p.l4 + 24
    cdef uint32_t size
    while left >= 8:
        size = at[1] * 8
        if size == 0 or size > left:
            return False
        if at[0] == kind and size == 8:
            _set_l4_bytes(p, key, at + 2, new, 6)
            return True
        at += size
        left -= size
    return False


cdef bint _set_nd(packet *p, const flow_key *key, uint16_t member,
                  const uint8_t *new) noexcept nogil:
    if (key.nw_proto != PROTO_ICMPV6 or key.tp_dst != 0 or _l4_left(p, key) < 24
            or (key.tp_src != htons(ND_SOLICIT) and key.tp_src != htons(ND_ADVERT))):
        return False
    if member == MEMBER_nd_target:
        _set_l4_bytes(p, key, p.data + p.l4 + 8, new, 16)
    elif member == MEMBER_nd_reserved:
        _set_l4_bytes(p, key, p.data + p.l4 + 4, new, 4)
    elif member == MEMBER_arp_sha:
        return _set_nd_option(p, key, ND_OPT_SOURCE, new)
    elif member == MEMBER_arp_tha:
        return _set_nd_option(p, key, ND_OPT_TARGET, new)
    return True


# ---- Which member is where ----

cdef bint is_writable(uint16_t member) noexcept nogil:
    if member >= N_MEMBERS:
        return False
    return (member == MEMBER_skb_priority or member == MEMBER_pkt_mark
            or member == MEMBER_eth_dst or member == MEMBER_eth_src
            or MEMBER_vlan0_tpid <= member <= MEMBER_ipv6_label
            or MEMBER_nw_tos <= member <= MEMBER_tp_dst
            or member == MEMBER_nd_reserved or member == MEMBER_arp_sha
            or member == MEMBER_arp_tha or member == MEMBER_nd_target
            or member == MEMBER_nsh_flags or member == MEMBER_nsh_ttl
            or MEMBER_nsh_path_hdr <= member <= MEMBER_nsh_context3
            or MEMBER_tun_id <= member <= MEMBER_tun_metadata)


cdef bint _set_l3(packet *p, const flow_key *key, uint16_t member,
                  const uint8_t *new) noexcept nogil:
    if key.eth_type == htons(ETH_IP) and p.l3_size:
        return _set_ipv4(p, key, member, new)
    if key.eth_type == htons(ETH_IPV6) and p.l4 != NO_OFFSET:
        if member == MEMBER_arp_sha or member == MEMBER_arp_tha:
            return _set_nd(p, key, member, new)
        return _set_ipv6(p, key, member, new)
    if key.eth_type == htons(ETH_ARP) or key.eth_type == htons(ETH_RARP):
        return _set_arp(p, member, new)
    return False


cdef bint _set_in_packet(packet *p, flow_key *key, uint16_t member,
                         const uint8_t *new) noexcept nogil:
    cdef int level
    if member == MEMBER_eth_dst or member == MEMBER_eth_src:
        if p.size < 14 or p.packet_type:
            return False
        memcpy(p.data + (0 if member == MEMBER_eth_dst else 6), new, 6)
    elif MEMBER_vlan0_tpid <= member <= MEMBER_vlan1_tci:
        level = (member - MEMBER_vlan0_tpid) // 2
        if key.vlan[level].tpid == 0:
            return False
        _set_vlan(p, level, (member - MEMBER_vlan0_tpid) % 2 == 0, new)
    elif MEMBER_mpls_lse0 <= member <= MEMBER_mpls_lse2:
        level = member - MEMBER_mpls_lse0
        if not _has_label(p, key, level):
            return False
        memcpy(p.data + p.l2_5 + 4 * level, new, 4)
    elif member == MEMBER_pbb_isid:
        if not has_i_tag(p):
            return False
        memcpy(p.data + p.l2_5 + 1, new + 1, 3)
        p.data[p.l2_5] = (p.data[p.l2_5] & 0xf7) | (new[0] & 8)     # UCA; beside it is the priority
    elif MEMBER_nsh_flags <= member <= MEMBER_nsh_context3:
        return _set_nsh(p, key, member, new)
    elif member == MEMBER_tp_src or member == MEMBER_tp_dst:
        return _set_tp(p, key, member, new)
    elif member == MEMBER_nd_target or member == MEMBER_nd_reserved:
        return _set_nd(p, key, member, new)
    else:
        return _set_l3(p, key, member, new)
    return True


cdef inline void _trim(uint16_t member, uint8_t *new) noexcept nogil:
    """Bits that a member's value cannot have."""
    if member == MEMBER_vlan0_tci or member == MEMBER_vlan1_tci:
        new[0] |= 0x10          # the tag stays there
    elif member == MEMBER_pbb_isid:
        new[0] &= 8
    elif member == MEMBER_ipv6_label:
        new[0] = 0
        new[1] &= 0x0f
    elif member == MEMBER_nsh_flags:
        new[0] &= 3
    elif member == MEMBER_nsh_ttl:
        new[0] &= 63


cdef bint changes_parsing(const flow_key *key, uint16_t member) noexcept nogil:
    return (member == MEMBER_vlan0_tpid or member == MEMBER_vlan1_tpid
            or MEMBER_mpls_lse0 <= member <= MEMBER_mpls_lse2
            or (key.nw_proto == PROTO_ICMPV6 and member >= MEMBER_tp_src
                and member < MEMBER_tun_id))


cdef void rewrite(packet *p, flow_key *key, uint16_t member, const uint8_t *value,
                  const uint8_t *mask) noexcept nogil:
    cdef uint8_t *at = <uint8_t *> key + key_members[member].offset
    cdef uint32_t size = key_members[member].size
    cdef uint8_t new[MEMBER_MAX]
    cdef uint32_t i
    if member >= MEMBER_tun_id:
        for i in range(size):
            at[i] = (at[i] & ~mask[i]) | (value[i] & mask[i])
        return
    for i in range(size):
        new[i] = (at[i] & ~mask[i]) | (value[i] & mask[i])
    _trim(member, new)
    if memcmp(at, new, size) == 0:
        return
    if member == MEMBER_skb_priority:
        memcpy(&p.skb_priority, new, 4)
    elif member == MEMBER_pkt_mark:
        memcpy(&p.pkt_mark, new, 4)
    elif not _set_in_packet(p, key, member, new):
        return
    memcpy(at, new, size)
