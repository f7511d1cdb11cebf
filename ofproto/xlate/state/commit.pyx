"""The difference between what a packet is (base) and what it shall be (flow), as datapath actions.

Translation changes only its copy of the key; just before each output the difference is written
out, so that a header changed ten times costs one action and one changed back costs none.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memcpy, memset

from datapath.base.protocols cimport *
from datapath.key.flow cimport (
    KEY_PACKET_SIZE, MEMBER_arp_sha, MEMBER_arp_tha, MEMBER_eth_dst, MEMBER_eth_src,
    MEMBER_ipv6_dst, MEMBER_ipv6_label, MEMBER_ipv6_src, MEMBER_mpls_lse0,
    MEMBER_nsh_context0, MEMBER_nsh_context1, MEMBER_nsh_context2, MEMBER_nsh_context3, MEMBER_nsh_flags,
    MEMBER_nsh_path_hdr, MEMBER_nsh_ttl,
    MEMBER_nd_options_type, MEMBER_nd_reserved, MEMBER_nd_target, MEMBER_nw_dst, MEMBER_nw_proto,
    MEMBER_nw_src, MEMBER_nw_tos, MEMBER_nw_ttl, MEMBER_pbb_isid, MEMBER_pkt_mark, MEMBER_skb_priority,
    MEMBER_tp_dst, MEMBER_tp_src, NO_KEY, flow_key, key_at, key_members, vlan_tag,
)
from datapath.actions.odp cimport ActionBuffer

cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)
    uint32_t htonl(uint32_t)

cdef enum:
    NSH_KEY_SIZE = 24           # bytes of the key's NSH members

cdef size_t AT_ETHERNET = key_at(NO_KEY.eth_dst)
cdef size_t AT_INNER_VLAN = key_at(&NO_KEY.vlan[1].tpid)
cdef size_t AT_HIDDEN = key_at(&NO_KEY.pbb_isid)     # what a label or a tag hides
cdef size_t AT_L3 = key_at(&NO_KEY.nw_src)
# Among the members of headers stand two of the tracker's.
cdef size_t AT_TRACKED = key_at(NO_KEY.ct_ipv6_src)
cdef size_t BEHIND_TRACKED = key_at(&NO_KEY.nsh_flags)

# Members of each protocol in the order their actions come out; 0 ends a list (recirc_id, which
# is number 0, is never set).
cdef uint16_t ETHERNET[3]
cdef uint16_t ARP[6]
cdef uint16_t IPV4[5]
cdef uint16_t IPV6[6]
cdef uint16_t L4[3]
cdef uint16_t ND[6]
cdef uint16_t PBB[2]
cdef uint16_t NSH[8]
cdef uint16_t METADATA[3]
ETHERNET[:] = [MEMBER_eth_src, MEMBER_eth_dst, 0]
ARP[:] = [MEMBER_nw_src, MEMBER_nw_dst, MEMBER_nw_proto, MEMBER_arp_sha, MEMBER_arp_tha, 0]
IPV4[:] = [MEMBER_nw_src, MEMBER_nw_dst, MEMBER_nw_tos, MEMBER_nw_ttl, 0]
IPV6[:] = [MEMBER_ipv6_src, MEMBER_ipv6_dst, MEMBER_ipv6_label, MEMBER_nw_tos, MEMBER_nw_ttl, 0]
L4[:] = [MEMBER_tp_src, MEMBER_tp_dst, 0]
ND[:] = [MEMBER_nd_reserved, MEMBER_nd_options_type, MEMBER_nd_target, MEMBER_arp_sha,
         MEMBER_arp_tha, 0]
PBB[:] = [MEMBER_pbb_isid, 0]
NSH[:] = [MEMBER_nsh_flags, MEMBER_nsh_ttl, MEMBER_nsh_path_hdr, MEMBER_nsh_context0,
          MEMBER_nsh_context1, MEMBER_nsh_context2, MEMBER_nsh_context3, 0]
METADATA[:] = [MEMBER_skb_priority, MEMBER_pkt_mark, 0]


cdef bint is_mpls(uint16_t eth_type) noexcept nogil:
    return eth_type == htons(ETH_MPLS) or eth_type == htons(ETH_MPLS_MCAST)


cdef bint is_pbb(uint16_t eth_type) noexcept nogil:
    return eth_type == htons(ETH_PBB)


cdef bint is_ip_any(const flow_key *key) noexcept nogil:
    return key.eth_type == htons(ETH_IP) or key.eth_type == htons(ETH_IPV6)


cdef int count_vlans(const flow_key *key) noexcept nogil:
    if not key.vlan[0].tci & htons(VLAN_CFI):
        return 0
    return 2 if key.vlan[1].tci & htons(VLAN_CFI) else 1


cdef int count_mpls(const flow_key *key) noexcept nogil:
    """Labels that the key knows of: up to the bottom of the stack, MAX_MPLS at most; without a
    bottom up to the last one that is not 0 altogether."""
    cdef int i, n = 0
    if not is_mpls(key.eth_type):
        return 0
    for i in range(MAX_MPLS):
        if key.mpls_lse[i] & htonl(0x100):
            return i + 1
        if key.mpls_lse[i]:
            n = i + 1
    return n


cdef int count_known_mpls(const flow_key *key, flow_key *wc) noexcept nogil:
    """The same; what was looked at for it is set in `wc`."""
    cdef int n = count_mpls(key), i
    if not is_mpls(key.eth_type):
        return n
    for i in range(n):
        wc.mpls_lse[i] |= htonl(0x100)
    if not n or not key.mpls_lse[n - 1] & htonl(0x100):
        for i in range(max(n - 1, 0), MAX_MPLS):
            wc.mpls_lse[i] = 0xffffffff
    return n


cdef void clear_l3(flow_key *key) noexcept nogil:
    clear_from(key, AT_HIDDEN)


cdef void hide_inner_vlan(flow_key *key) noexcept nogil:
    """A second tag is payload, and its TPID the Ethertype."""
    cdef uint16_t tpid = key.vlan[1].tpid
    if tpid:
        clear_from(key, AT_INNER_VLAN)
        key.eth_type = tpid


cdef void clear_headers(flow_key *key) noexcept nogil:
    clear_from(key, AT_ETHERNET)


cdef void clear_from(flow_key *key, size_t start) noexcept nogil:
    """Zeroes the members of headers from offset `start` on."""
    memset(<uint8_t *> key + start, 0, AT_TRACKED - start)
    memset(<uint8_t *> key + BEHIND_TRACKED, 0, KEY_PACKET_SIZE - BEHIND_TRACKED)


cdef void set_members(const uint16_t *members, const flow_key *flow, flow_key *base,
                      const flow_key *wc, ActionBuffer out) noexcept:
    """One SET for each member that differs.  The bits known of it (wc) are set, too: they have
    the value already, and a full mask makes the cheaper action."""
    cdef uint8_t mask[32]
    cdef uint16_t at, size
    cdef const uint8_t *want
    cdef uint8_t *have
    cdef const uint8_t *known
    cdef int i
    while members[0]:
        at = key_members[members[0]].offset
        size = key_members[members[0]].size
        want = <const uint8_t *> flow + at
        have = <uint8_t *> base + at
        if memcmp(want, have, size) != 0:
            known = <const uint8_t *> wc + at
            for i in range(size):
                mask[i] = known[i] | (want[i] ^ have[i])
            out.set(members[0], want, mask)
            memcpy(have, want, size)
        members += 1


cdef void set_nsh(const flow_key *flow, flow_key *base, const flow_key *wc,
                  ActionBuffer out) noexcept:
    """As Open vSwitch does: with one member that differs, all that is known of the header."""
    cdef const uint8_t *known
    cdef uint8_t mask[4]
    cdef uint16_t at, size
    cdef int i, n = 0
    if memcmp(&flow.nsh_flags, &base.nsh_flags, NSH_KEY_SIZE) == 0:
        return
    while NSH[n]:
        at = key_members[NSH[n]].offset
        size = key_members[NSH[n]].size
        known = <const uint8_t *> wc + at
        for i in range(size):
            mask[i] = known[i] | ((<const uint8_t *> flow)[at + i] ^ (<uint8_t *> base)[at + i])
        if memcmp(mask, b"\0\0\0\0", size) != 0:
            out.set(NSH[n], <const uint8_t *> flow + at, mask)
        n += 1
    memcpy(&base.nsh_flags, &flow.nsh_flags, NSH_KEY_SIZE)


cdef void set_headers(const flow_key *flow, flow_key *base, flow_key *wc,
                      ActionBuffer out) noexcept:
    """L3 and L4, where base still has the protocol that flow has.

    A packet of IP protocol or ARP operation 0 has a header that could not be read, or one that
    nobody may send: nothing is written there.  As in Open vSwitch the protocol of others is not
    matched for that alone (a header that it cannot read the datapath leaves as it is, too)."""
    cdef uint8_t proto = flow.nw_proto
    if flow.eth_type != base.eth_type:
        return
    if is_ip_any(base) or base.eth_type == htons(ETH_ARP) or base.eth_type == htons(ETH_RARP):
        if memcmp(<const char *> flow + AT_L3, <const char *> base + AT_L3,
                  KEY_PACKET_SIZE - AT_L3) == 0:
            return
        if base.nw_proto == 0:
            wc.nw_proto = 0xff
            return
    if flow.eth_type == htons(ETH_IP):
        set_members(IPV4, flow, base, wc, out)
    elif flow.eth_type == htons(ETH_IPV6):
        set_members(IPV6, flow, base, wc, out)
    else:
        if flow.eth_type == htons(ETH_ARP) or flow.eth_type == htons(ETH_RARP):
            set_members(ARP, flow, base, wc, out)
        elif is_pbb(flow.eth_type):
            set_members(PBB, flow, base, wc, out)
        elif flow.eth_type == htons(ETH_NSH):
            set_nsh(flow, base, wc, out)
        return
    if (proto == PROTO_TCP or proto == PROTO_UDP or proto == PROTO_SCTP or proto == PROTO_ICMP
            or proto == PROTO_ICMPV6):
        set_members(L4, flow, base, wc, out)
        if proto == PROTO_ICMPV6:
            set_members(ND, flow, base, wc, out)


cdef void commit_mpls(const flow_key *flow, flow_key *base, flow_key *wc,
                      ActionBuffer out) noexcept:
    """Pops labels, changes the top one, pushes; labels that agree from the bottom up stay."""
    cdef int have, want = count_mpls(flow), common = 0, i
    cdef uint32_t lse, mask = 0xffffffff
    if (base.eth_type == flow.eth_type
            and memcmp(base.mpls_lse, flow.mpls_lse, sizeof(flow.mpls_lse)) == 0):
        return
    have = count_known_mpls(base, wc)
    # From the bottom up labels are compared.  Below one that was popped or pushed before they stand
    # elsewhere in the packet, and are matched already.
    for i in range(max(0, have - want), have):
        wc.mpls_lse[i] = 0xffffffff
    while (common < have and common < want
            and base.mpls_lse[have - common - 1] == flow.mpls_lse[want - common - 1]):
        common += 1
    while have > common:
        if have == common + 1 and want > common:
            lse = flow.mpls_lse[want - common - 1]
            out.set(MEMBER_mpls_lse0, &lse, &mask)
            base.mpls_lse[0] = lse
            common += 1
            break
        out.pop_mpls(flow.eth_type if have == 1 else base.eth_type)
        for i in range(1, have):
            base.mpls_lse[i - 1] = base.mpls_lse[i]
        have -= 1
        base.mpls_lse[have] = 0
    while want > common:
        common += 1
        out.push_mpls(flow.mpls_lse[want - common], flow.eth_type)
    if base.eth_type != flow.eth_type and (is_mpls(flow.eth_type) or is_mpls(base.eth_type)):
        base.eth_type = flow.eth_type
        clear_l3(base)
    memcpy(base.mpls_lse, flow.mpls_lse, sizeof(flow.mpls_lse))
    base.packet_type = flow.packet_type     # a packet without Ethernet is of its label's type


cdef void commit_vlan(const flow_key *flow, flow_key *base, flow_key *wc,
                      ActionBuffer out) noexcept:
    """Pops tags down to the ones that agree from the inside, then pushes the others."""
    cdef int have = count_vlans(base), want = count_vlans(flow), i
    cdef const vlan_tag *old
    cdef const vlan_tag *fresh
    while have > 0 and want > 0:
        old = &base.vlan[have - 1]
        fresh = &flow.vlan[want - 1]
        if old.tpid != fresh.tpid or old.tci != fresh.tci:
            break
        have -= 1
        want -= 1
    for i in range(have):
        out.pop_vlan()
        memset(&wc.vlan[i], 0xff, sizeof(vlan_tag))
    for i in range(want - 1, -1, -1):
        out.push_vlan(flow.vlan[i].tpid, flow.vlan[i].tci)
    memcpy(base.vlan, flow.vlan, sizeof(flow.vlan))


cdef int push_nsh(const flow_key *flow, bytes metadata, ActionBuffer out) except -1:
    """RFC 8300, section 2.2."""
    cdef uint8_t header[NSH_MAX]
    cdef uint32_t size = NSH_BASE
    memset(header, 0, NSH_BASE)
    if flow.nsh_mdtype == NSH_MD1:
        memcpy(header + NSH_BASE, flow.nsh_context, sizeof(flow.nsh_context))
        size += sizeof(flow.nsh_context)
    elif metadata is not None:
        memcpy(header + NSH_BASE, <const char *> metadata, min(len(metadata), NSH_MAX - NSH_BASE))
        size += <uint32_t> min(len(metadata), NSH_MAX - NSH_BASE)
    header[0] = <uint8_t> ((flow.nsh_flags & 3) << 4 | flow.nsh_ttl >> 2 & 15)
    header[1] = <uint8_t> ((flow.nsh_ttl & 3) << 6 | size // 4)
    header[2] = flow.nsh_mdtype
    header[3] = flow.nsh_np
    memcpy(header + 4, &flow.nsh_path_hdr, 4)
    out.push_nsh(header, size)
    return 0


cdef int commit_pending(pending_header what, bytes metadata, const flow_key *flow, flow_key *base,
                        ActionBuffer out) except -1:
    if what == PENDING_PUSH_ETH:
        out.push_eth(flow.eth_src, flow.eth_dst)
    elif what == PENDING_POP_ETH:
        out.pop_eth()
    elif what == PENDING_PUSH_NSH:
        push_nsh(flow, metadata, out)
    elif what == PENDING_POP_NSH:
        out.pop_nsh()
    elif what == PENDING_ADD_MPLS:
        out.add_mpls(flow.mpls_lse[0], flow.eth_type)
    else:
        return 0
    base.packet_type = flow.packet_type
    if what == PENDING_PUSH_ETH or what == PENDING_POP_ETH:
        memcpy(base.eth_dst, flow.eth_dst, 12)      # and eth_src
    else:
        memcpy(<uint8_t *> base + AT_ETHERNET, <const uint8_t *> flow + AT_ETHERNET,
               KEY_PACKET_SIZE - AT_ETHERNET)
    return 0


cdef void commit_actions(const flow_key *flow, flow_key *base, flow_key *wc,
                         ActionBuffer out) noexcept:
    if memcmp(flow, base, KEY_PACKET_SIZE) == 0:
        return
    set_members(ETHERNET, flow, base, wc, out)
    set_headers(flow, base, wc, out)
    if is_mpls(flow.eth_type) or is_mpls(base.eth_type):
        commit_mpls(flow, base, wc, out)
    if memcmp(flow.vlan, base.vlan, sizeof(flow.vlan)) != 0:
        commit_vlan(flow, base, wc, out)
    set_members(METADATA, flow, base, wc, out)
