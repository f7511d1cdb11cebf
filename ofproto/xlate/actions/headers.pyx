"""What actions do to a packet's headers and to the pipeline's fields.

All of it happens to the key of a translation; commit_actions() writes the difference out.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from datapath.actions.odp cimport COPY_TTL_IN, COPY_TTL_OUT
from datapath.base.protocols cimport *
from datapath.key.flow cimport FRAG_LATER, KEY_PACKET_SIZE, NO_KEY, flow_key, key_at
from ofproto.codec.numbers cimport OFPR_INVALID_TTL
from ofproto.xlate.state.commit cimport (
    MAX_MPLS, clear_headers, clear_l3, count_known_mpls, count_vlans, is_ip_any, is_mpls, is_pbb,
)
from ofproto.rules.program cimport *
from ofproto.xlate.state.context cimport XlateContext
from ofproto.xlate.state.freeze cimport freeze, tell
from ofproto.xlate.state.to_controller cimport new_telling

from ofproto.codec.actions.base import format_subfield, format_subvalue

cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)
    uint16_t ntohs(uint16_t)
    uint32_t htonl(uint32_t)
    uint32_t ntohl(uint32_t)

cdef extern from "<endian.h>" nogil:
    uint64_t htobe64(uint64_t)

cdef enum:
    VLAN_PCP = 0xe000
    MAX_STACK = 4096        # values
    CT_VALID = 0x0b         # of ct_state: new, est, rpl; a tracked packet that is not invalid has one

cdef size_t AT_VLAN0 = key_at(&NO_KEY.vlan[0])
cdef size_t AT_MPLS = key_at(&NO_KEY.mpls_lse[0])
cdef size_t AT_L3 = key_at(&NO_KEY.pbb_isid)      # what a label or a tag hides


# --- fields

cdef bint prereq(XlateContext x, int kind) noexcept:
    """Whether the packet has the header; what was looked at for that is unwildcarded."""
    cdef flow_key *flow = &x.flow
    cdef flow_key *wc = &x.wc
    cdef uint16_t eth = ntohs(flow.eth_type)
    cdef bint ip = eth == ETH_IP or eth == ETH_IPV6
    if kind == PRE_VLAN:
        wc.vlan[0].tci |= htons(VLAN_CFI)
        return flow.vlan[0].tci & htons(VLAN_CFI) != 0
    if kind == PRE_ARP:
        return eth == ETH_ARP or eth == ETH_RARP
    if kind == PRE_IPV4:
        return eth == ETH_IP
    if kind == PRE_IPV6:
        return eth == ETH_IPV6
    if kind == PRE_IP_ANY:
        return ip
    if kind == PRE_IPV4_HEADER or kind == PRE_IP_HEADER:
        if eth == ETH_IP or (ip and kind == PRE_IP_HEADER):
            wc.nw_proto = 0xff
            return True
        return False
    if kind == PRE_MPLS:
        return is_mpls(flow.eth_type)
    if kind == PRE_PBB:
        return is_pbb(flow.eth_type)
    if kind == PRE_NSH:
        return eth == ETH_NSH
    if kind == PRE_ETHERNET:
        return flow.packet_type == 0
    if kind == PRE_NONE:
        return True
    if kind == PRE_CT:
        wc.ct_state |= htonl(CT_VALID)
        return flow.ct_state & htonl(CT_VALID) != 0
    if not ip or kind == PRE_NEVER:
        return False
    wc.nw_proto = 0xff
    if flow.nw_frag & FRAG_LATER:
        return False
    if kind == PRE_TCP:
        return flow.nw_proto == PROTO_TCP
    if kind == PRE_UDP:
        return flow.nw_proto == PROTO_UDP
    if kind == PRE_SCTP:
        return flow.nw_proto == PROTO_SCTP
    if kind == PRE_L4_PORTS:
        return flow.nw_proto == PROTO_TCP or flow.nw_proto == PROTO_UDP or flow.nw_proto == PROTO_SCTP
    if kind == PRE_ICMPV4:
        return flow.nw_proto == PROTO_ICMP and eth == ETH_IP
    if flow.nw_proto != PROTO_ICMPV6 or eth != ETH_IPV6:
        return False
    if kind == PRE_ICMPV6:
        return True
    wc.tp_src = 0xffff
    wc.tp_dst = 0xffff
    if flow.tp_dst:
        return False
    if kind == PRE_ND:
        return flow.tp_src == htons(135) or flow.tp_src == htons(136)
    return flow.tp_src == htons(135 if kind == PRE_ND_SOLICIT else 136)


cdef void unwildcard(XlateContext x, const slot *s) noexcept:
    fill_slot(<uint8_t *> &x.wc, s)
    note_written(&x.wc, s)      # that an option is there, is looked at, too


cdef int set_field(XlateContext x, const op *o, const uint8_t *value) except -1:
    """`value` is followed by its mask, each o.data_len / 2 bytes."""
    cdef uint32_t at = o.dst.offset, n = o.data_len // 2, i
    cdef uint8_t *flow = <uint8_t *> &x.flow
    cdef uint8_t *wc = <uint8_t *> &x.wc
    cdef const uint8_t *mask = value + n
    for i in range(n):
        flow[at + i] = (flow[at + i] & ~mask[i]) | (value[i] & mask[i])
        wc[at + i] |= mask[i]
    note_written(&x.flow, &o.dst)
    note_written(&x.wc, &o.dst)
    if at >= AT_VLAN0 and at < AT_MPLS:
        fix_vlan(x)
    return 0


cdef int report_value(XlateContext x, Program program, const op *o) except -1:
    """What an action's destination is now."""
    cdef uint8_t value[16]
    if x.trace is None or o.action >= len(program.actions) or o.dst.n_bits > SLOT_BITS:
        return 0
    read_slot(<uint8_t *> &x.flow, &o.dst, value)
    return report_now(x, program.actions[o.action].destination,
                      int.from_bytes((<char *> value)[:16], "big"))


cdef int report_now(XlateContext x, destination, number) except -1:
    text = format_subvalue(*destination, number)
    return x.report("detail", f"{format_subfield(*destination)} is now {text}")


cdef int move_field(XlateContext x, Program program, const op *o) except -1:
    cdef uint8_t value[16]
    if o.src.n_bits > SLOT_BITS:
        return move_wide(x, program, o)
    read_slot(<uint8_t *> &x.flow, &o.src, value)
    unwildcard(x, &o.src)
    write_field(x, &o.dst, value)
    return report_value(x, program, o)


cdef int move_wide(XlateContext x, Program program, const op *o) except -1:
    """Of options, which have up to 124 bytes; both may be the same one."""
    cdef uint8_t values[8][16]
    cdef slot part
    cdef int i, n = (o.src.n_bits + SLOT_BITS - 1) // SLOT_BITS
    for i in range(n):
        part = part_of_slot(&o.src, i * SLOT_BITS)
        read_slot(<uint8_t *> &x.flow, &part, values[i])
    unwildcard(x, &o.src)
    for i in range(n):
        part = part_of_slot(&o.dst, i * SLOT_BITS)
        write_field(x, &part, values[i])
    return 0


cdef int delete_field(XlateContext x, const op *o) except -1:
    """The packet has the option no more."""
    memset(<uint8_t *> &x.flow + o.dst.offset, 0, o.dst.size)
    x.flow.tun_present &= ~htobe64(<uint64_t> 1 << (o.dst.option - 1))
    return 0


cdef int write_field(XlateContext x, const slot *s, const uint8_t *value) except -1:
    write_slot(<uint8_t *> &x.flow, s, value)
    note_written(&x.flow, s)
    unwildcard(x, s)
    if s.offset >= AT_VLAN0 and s.offset < AT_MPLS:
        fix_vlan(x)
    return 0


cdef int stack_push(XlateContext x, const op *o) except -1:
    cdef uint8_t value[16]
    if x.stack is None:
        x.stack = []
    if len(x.stack) >= MAX_STACK:
        return x.fail("Stack too deep", "stack too deep")
    read_slot(<uint8_t *> &x.flow, &o.src, value)
    unwildcard(x, &o.src)
    x.stack.append((<char *> value)[:16])
    return 0


cdef int stack_pop(XlateContext x, Program program, const op *o) except -1:
    if not x.stack:
        return x.report("error", "stack underflow")
    value = x.stack.pop()
    write_field(x, &o.dst, <const uint8_t *> <const char *> (<bytes> value))
    return report_value(x, program, o)


cdef int write_metadata(XlateContext x, const uint8_t *value) except -1:
    cdef uint8_t *metadata = <uint8_t *> &x.flow.metadata
    cdef uint8_t *wc = <uint8_t *> &x.wc.metadata
    cdef int i
    for i in range(8):
        metadata[i] = (metadata[i] & ~value[8 + i]) | (value[i] & value[8 + i])
        wc[i] |= value[8 + i]
    return 0


# --- VLAN

cdef int fix_vlan(XlateContext x) except -1:
    """After a write to the TCI: with CFI there is a tag, without there is none."""
    cdef flow_key *flow = &x.flow
    x.wc.vlan[0].tci |= htons(VLAN_CFI)
    if flow.vlan[0].tci & htons(VLAN_CFI):
        if not flow.vlan[0].tpid:
            flow.vlan[0].tpid = htons(ETH_VLAN)
    else:
        pop_vlan(x)
    return 0


cdef int push_vlan(XlateContext x, uint16_t tpid) except -1:
    """The new tag is outermost, and has the VID and priority of the one behind it (OpenFlow 1.3.5,
    section 5.12)."""
    cdef flow_key *flow = &x.flow
    memset(x.wc.vlan, 0xff, sizeof(flow.vlan))
    if count_vlans(flow) == 2:      # the key has room for two: the inner one would be lost
        return x.fail("Too many VLAN tags", "too many VLAN tags")
    flow.vlan[1] = flow.vlan[0]
    flow.vlan[0].tpid = htons(tpid)
    flow.vlan[0].tci |= htons(VLAN_CFI)
    return 0


cdef int pop_vlan(XlateContext x) except -1:
    memset(x.wc.vlan, 0xff, sizeof(x.wc.vlan))
    x.flow.vlan[0] = x.flow.vlan[1]
    memset(&x.flow.vlan[1], 0, sizeof(x.flow.vlan[1]))
    return 0


cdef int set_vlan(XlateContext x, bint vid, uint32_t value, bint push) except -1:
    """OpenFlow 1.0's set_vlan_vid and set_vlan_pcp, which make a tag where there is none."""
    cdef flow_key *flow = &x.flow
    cdef uint16_t mask = 0x0fff if vid else 0xe000
    cdef uint16_t bits = <uint16_t> (value & 0xfff if vid else (value & 7) << 13)
    x.wc.vlan[0].tci |= htons(mask | VLAN_CFI)
    if not flow.vlan[0].tci & htons(VLAN_CFI):
        if not push:
            return 0
        flow.vlan[0].tpid = htons(ETH_VLAN)
        flow.vlan[0].tci = 0
    flow.vlan[0].tci = (flow.vlan[0].tci & htons(~mask & 0xffff)) | htons(bits | VLAN_CFI)
    return 0


# --- MPLS, PBB and TTL

cdef int push_mpls(XlateContext x, uint16_t eth_type) except -1:
    cdef flow_key *flow = &x.flow
    cdef int n
    cdef uint32_t label
    if x.pending:
        x.commit()
    n = count_known_mpls(flow, &x.wc)
    label = label_of(x, n)
    if n >= MAX_MPLS:
        return x.fail("Too many MPLS labels", "too many MPLS labels")
    if n:
        flow.mpls_lse[2] = flow.mpls_lse[1]
        flow.mpls_lse[1] = flow.mpls_lse[0]
    else:
        x.commit()
        clear_l3(flow)
    flow.mpls_lse[0] = label
    retype(flow, eth_type)
    return 0


cdef uint32_t label_of(XlateContext x, int n) noexcept:
    """The label to push onto `n` others."""
    cdef flow_key *flow = &x.flow
    cdef uint32_t label = 0, tc = 0, ttl = 64
    if n:
        memset(x.wc.mpls_lse, 0xff, n * sizeof(flow.mpls_lse[0]))
        return flow.mpls_lse[0] & htonl(~0x100 & 0xffffffff)
    if flow.eth_type == htons(ETH_IPV6):
        label = 2               # IPv6 explicit null
    if is_ip_any(flow):
        x.wc.nw_tos |= 0xfc
        x.wc.nw_ttl = 0xff
        tc = flow.nw_tos >> 2 & 7
        if flow.nw_ttl:
            ttl = flow.nw_ttl
    return htonl(label << 12 | tc << 9 | 0x100 | ttl)


cdef void retype(flow_key *flow, uint16_t eth_type) noexcept nogil:
    """Another Ethertype; a packet without Ethernet header is of its packet type."""
    flow.eth_type = eth_type
    if flow.packet_type:
        flow.packet_type = htonl(PT_ETHERTYPE | ntohs(eth_type))


cdef int pop_mpls(XlateContext x, uint16_t eth_type) except -1:
    cdef flow_key *flow = &x.flow
    cdef int n, i
    cdef bint odd, alone
    if x.pending:
        x.commit()
    n = count_known_mpls(flow, &x.wc)
    odd = is_mpls(eth_type) != (n > 1)
    if not n:
        return 0
    for i in range(1, n):
        x.wc.mpls_lse[i] = 0xffffffff
    if n == MAX_MPLS and not flow.mpls_lse[MAX_MPLS - 1] & htonl(0x100):
        return x.fail("Too many MPLS labels", "too many MPLS labels")
    if n == 1 and eth_type == x.base.eth_type and not is_mpls(eth_type):
        return unpush_mpls(x)
    # Behind the only label of a packet without Ethernet anything may begin, a frame, too.
    alone = n == 1 and flow.packet_type
    if odd or alone or (n == 1 and not is_mpls(x.base.eth_type)):
        x.commit()
    if odd or alone:
        return pop_to(x, eth_type)
    for i in range(1, n):
        flow.mpls_lse[i - 1] = flow.mpls_lse[i]
    flow.mpls_lse[n - 1] = 0
    retype(flow, eth_type)
    x.unparsed = not is_mpls(eth_type)
    return 0


cdef int unpush_mpls(XlateContext x) except -1:
    """The label was pushed just now and not written out: its packet is as it was, and known."""
    x.flow.eth_type = x.base.eth_type
    x.flow.packet_type = x.base.packet_type
    memset(x.flow.mpls_lse, 0, sizeof(x.flow.mpls_lse))
    memcpy(<uint8_t *> &x.flow + AT_L3, <uint8_t *> &x.base + AT_L3,
           KEY_PACKET_SIZE - AT_L3)
    return 0


cdef int pop_to(XlateContext x, uint16_t eth_type) except -1:
    """One label goes, though the Ethertype says that none follows, or one where none does."""
    x.out.pop_mpls(eth_type)
    retype(&x.flow, eth_type)
    if x.flow.packet_type and eth_type == htons(ETH_TEB):
        x.flow.packet_type = x.flow.eth_type = 0        # nothing of the frame is known
    memset(x.flow.mpls_lse, 0, sizeof(x.flow.mpls_lse))
    x.base = x.flow
    x.unparsed = True
    return 0


cdef int push_pbb(XlateContext x) except -1:
    """An I-TAG in front of everything: what OpenFlow 1.3.5 copies into it is in section 5.12."""
    cdef flow_key *flow = &x.flow
    cdef uint32_t isid = 0, priority = 0
    x.wc.vlan[0].tci |= htons(VLAN_CFI | VLAN_PCP)
    if flow.vlan[0].tci & htons(VLAN_CFI):
        priority = <uint32_t> (ntohs(flow.vlan[0].tci) & VLAN_PCP) << 16
    if is_pbb(flow.eth_type):
        x.wc.pbb_isid |= htonl(0xffffff)
        isid = ntohl(flow.pbb_isid) & 0xffffff
    x.commit()
    x.out.push_pbb(htonl(priority | isid))
    memset(flow.vlan, 0, sizeof(flow.vlan))
    memset(flow.mpls_lse, 0, sizeof(flow.mpls_lse))
    clear_l3(flow)
    flow.eth_type = htons(ETH_PBB)
    flow.pbb_isid = htonl(isid)
    x.base = flow[0]
    x.unparsed = False
    x.reshaped += 1
    return 0


cdef int pop_pbb(XlateContext x) except -1:
    """Nothing is known of the frame inside, not even its addresses: its Ethertype is 0."""
    x.commit()
    x.out.pop_pbb()
    clear_headers(&x.flow)
    x.base = x.flow
    x.unparsed = True
    x.reshaped += 1
    return 0


cdef int dec_mpls_ttl(XlateContext x) except -1:
    cdef flow_key *flow = &x.flow
    cdef uint32_t lse = ntohl(flow.mpls_lse[0])
    memset(x.wc.mpls_lse, 0xff, sizeof(flow.mpls_lse))
    if lse & 0xff > 1:
        flow.mpls_lse[0] = htonl(lse - 1)
        return 0
    x.report("warn", "MPLS decrement TTL exception")
    tell(x, new_telling(x, 0xffff, OFPR_INVALID_TTL, 0))
    return 1


cdef int dec_ttl(XlateContext x, Program program, const op *o) except -1:
    cdef const uint8_t *ids = &program.pool[o.data]
    cdef int i
    x.wc.nw_ttl = 0xff
    if x.flow.nw_ttl > 1:
        x.flow.nw_ttl -= 1
        return 0
    if x.trace is not None:
        version = 4 if x.flow.eth_type == htons(ETH_IP) else 6
        x.report("warn", f"IPv{version} decrement TTL exception")
    for i in range(o.data_len // 2):
        tell(x, new_telling(x, 0xffff, OFPR_INVALID_TTL,
                            <uint16_t> (ids[2 * i] << 8 | ids[2 * i + 1])))
    return 1


cdef int copy_ttl(XlateContext x, bint out) except -1:
    """Between the two outermost TTLs.  That of an IP header is known to the datapath only, which
    leaves the label's unknown until the packet was parsed anew."""
    cdef flow_key *flow = &x.flow
    if x.pending:
        x.commit()
    if count_known_mpls(flow, &x.wc) == 1:
        x.commit()
        x.out.copy_ttl(COPY_TTL_OUT if out else COPY_TTL_IN)
        x.reshaped += 1
        return freeze(x) if out else 0
    memset(x.wc.mpls_lse, 0xff, sizeof(flow.mpls_lse))
    cdef int src = 1 if out else 0
    flow.mpls_lse[1 - src] = ((flow.mpls_lse[1 - src] & htonl(0xffffff00))
                              | (flow.mpls_lse[src] & htonl(0xff)))
    return 0
