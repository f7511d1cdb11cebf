"""encap and decap: headers in front of all that a packet has, and packet types (ovs-actions(7)).

A packet without an Ethernet header has a packet type of namespace 1, whose number is the Ethertype
of the header that comes first.  As with other changes, the action for the datapath is made at the
next commit, when the fields of a new header have their values; each encap and decap commits what
was before it.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memset

from datapath.actions.odp cimport USERSPACE_ACTION
from datapath.base.protocols cimport *
from datapath.key.flow cimport KEY_PACKET_SIZE, NO_KEY, flow_key, key_at
from ofproto.codec.numbers cimport OFPR_INVALID_TTL
from ofproto.rules.program cimport *
from ofproto.xlate.state.commit cimport (
    MAX_MPLS, PENDING_ADD_MPLS, PENDING_POP_ETH, PENDING_POP_NSH, PENDING_PUSH_ETH,
    PENDING_PUSH_NSH, clear_headers, count_known_mpls, count_vlans,
)
from ofproto.xlate.state.context cimport XlateContext
from ofproto.xlate.state.freeze cimport freeze, tell
from ofproto.xlate.actions.headers cimport label_of, pop_to
from ofproto.xlate.state.to_controller cimport new_telling

cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)
    uint16_t ntohs(uint16_t)
    uint32_t htonl(uint32_t)
    uint32_t ntohl(uint32_t)

cdef enum:
    PT_NEXT = 0xfffe            # decap: what the header says that follows
    NSH_DEFAULT_TTL = 63
    NSH_DEFAULT_SI = 255
    LABEL_TTL = 64

cdef size_t AT_NSH = key_at(&NO_KEY.nsh_flags)


cdef int refuse(XlateContext x, str why) except -1:
    x.report("detail", "Dropping packet, " + why)
    if x.error is None:
        x.error = "Unsupported packet type"
    x.stop = True
    return 0


cdef inline uint32_t of_ethertype(uint16_t eth_type) noexcept nogil:
    return htonl(PT_ETHERTYPE | ntohs(eth_type))


# --- encap

cdef int encap(XlateContext x, Program program, const op *o) except -1:
    x.commit()
    if o.arg == 0:
        return encap_ethernet(x)
    if o.arg == <uint32_t> (PT_ETHERTYPE | ETH_NSH):
        return encap_nsh(x, <uint8_t> o.aux,
                         (<char *> program.pool)[o.data:o.data + o.data_len] if o.data_len else None)
    return encap_mpls(x, o.arg)


cdef int encap_ethernet(XlateContext x) except -1:
    cdef flow_key *flow = &x.flow
    if ntohl(flow.packet_type) >> 16 != PT_ETHERTYPE >> 16:
        return refuse(x, "encap(ethernet) is not supported for packet type ethernet.")
    flow.eth_type = htons(<uint16_t> (ntohl(flow.packet_type) & 0xffff))
    flow.packet_type = 0
    memset(flow.eth_dst, 0, 12)         # and eth_src
    x.pending = PENDING_PUSH_ETH
    return 0


cdef int next_protocol(uint32_t packet_type) noexcept nogil:
    """NSH_P_* of a packet type; 0: there is none."""
    if packet_type == 0:
        return NSH_P_ETHERNET
    if packet_type == htonl(PT_ETHERTYPE | ETH_IP):
        return NSH_P_IPV4
    if packet_type == htonl(PT_ETHERTYPE | ETH_IPV6):
        return NSH_P_IPV6
    return NSH_P_NSH if packet_type == htonl(PT_ETHERTYPE | ETH_NSH) else 0


cdef int encap_nsh(XlateContext x, uint8_t md_type, bytes metadata) except -1:
    cdef flow_key *flow = &x.flow
    cdef int following = next_protocol(flow.packet_type)
    if not following:
        return refuse(x, f"encap(nsh) is not supported for packet type {type_text(flow.packet_type)}")
    clear_headers(flow)
    flow.packet_type = htonl(PT_ETHERTYPE | ETH_NSH)
    flow.eth_type = htons(ETH_NSH)
    flow.nsh_ttl = NSH_DEFAULT_TTL
    flow.nsh_mdtype = md_type
    flow.nsh_np = <uint8_t> following
    flow.nsh_path_hdr = htonl(NSH_DEFAULT_SI)
    x.pending = PENDING_PUSH_NSH
    x.pending_metadata = metadata if md_type == NSH_MD2 else None
    x.unparsed = False
    return 0


cdef str type_text(uint32_t packet_type):
    kind = ntohl(packet_type)
    return f"({kind >> 16},{kind & 0xffff:#x})"


cdef int encap_mpls(XlateContext x, uint32_t packet_type) except -1:
    """In front of the packet's own labels, if it begins with these.  As in Open vSwitch, it has
    nothing of an IP header behind it, but is IPv6's explicit null there."""
    cdef flow_key *flow = &x.flow
    cdef int n = count_known_mpls(flow, &x.wc) if flow.packet_type else 0, i
    cdef uint32_t labels[MAX_MPLS]
    if n == MAX_MPLS:
        return x.fail("Too many MPLS labels", "too many MPLS labels")
    labels[0] = label_of(x, n) if n else htonl(
        (2 if flow.eth_type == htons(ETH_IPV6) else 0) << 12 | 0x100 | LABEL_TTL)
    for i in range(n):
        labels[i + 1] = flow.mpls_lse[i]
    clear_headers(flow)
    flow.packet_type = htonl(packet_type)
    flow.eth_type = htons(<uint16_t> (packet_type & 0xffff))
    for i in range(n + 1):
        flow.mpls_lse[i] = labels[i]
    x.pending = PENDING_ADD_MPLS
    if not x.bridge.features.add_mpls:
        x.slow |= USERSPACE_ACTION
    x.unparsed = False
    return 0


# --- decap

cdef int decap(XlateContext x, const op *o) except -1:
    cdef uint32_t kind
    x.commit()
    kind = ntohl(x.flow.packet_type)
    if kind == 0:
        return decap_ethernet(x)
    if kind == <uint32_t> (PT_ETHERTYPE | ETH_NSH):
        return decap_nsh(x)
    if kind >> 16 == PT_ETHERTYPE >> 16 and is_mpls_type(<uint16_t> (kind & 0xffff)):
        return decap_mpls(x, o.arg)
    return refuse(x, f"decap() does not support packet type {type_text(x.flow.packet_type)}")


cdef int decap_ethernet(XlateContext x) except -1:
    cdef flow_key *flow = &x.flow
    x.wc.vlan[0].tci |= htons(VLAN_CFI)
    if count_vlans(flow):
        return refuse(x, "cannot decap Ethernet if VLAN is present.")
    if ntohs(flow.eth_type) < ETH_FIRST:
        return refuse(x, "cannot decap Ethernet without an Ethertype.")
    flow.packet_type = of_ethertype(flow.eth_type)
    memset(flow.eth_dst, 0, 12)         # and eth_src
    x.pending = PENDING_POP_ETH
    return 0


cdef int decap_nsh(XlateContext x) except -1:
    """What is inside is known when the packet comes round; until then the headers are as they were."""
    cdef flow_key *flow = &x.flow
    cdef uint32_t inner
    x.wc.nsh_np = 0xff
    if flow.nsh_np == NSH_P_ETHERNET:
        inner = 0
    elif flow.nsh_np == NSH_P_IPV4:
        inner = PT_ETHERTYPE | ETH_IP
    elif flow.nsh_np == NSH_P_IPV6:
        inner = PT_ETHERTYPE | ETH_IPV6
    elif flow.nsh_np == NSH_P_NSH:
        inner = PT_ETHERTYPE | ETH_NSH
    else:
        return refuse(x, f"NSH next protocol {flow.nsh_np} is not supported")
    flow.packet_type = htonl(inner)
    x.pending = PENDING_POP_NSH
    return freeze(x)


cdef int decap_mpls(XlateContext x, uint32_t packet_type) except -1:
    """Only who says so knows what follows the last label."""
    cdef flow_key *flow = &x.flow
    cdef int n = count_known_mpls(flow, &x.wc), i
    if n == MAX_MPLS and not flow.mpls_lse[MAX_MPLS - 1] & htonl(0x100):
        return x.fail("Too many MPLS labels", "too many MPLS labels")
    if n > 1:
        memset(x.wc.mpls_lse, 0xff, sizeof(flow.mpls_lse))
        x.out.pop_mpls(flow.eth_type)
        for i in range(1, n):
            flow.mpls_lse[i - 1] = flow.mpls_lse[i]
        flow.mpls_lse[n - 1] = 0
        x.base = flow[0]
        x.reshaped += 1
        return 0
    if packet_type == PT_NEXT:
        return refuse(x, "decap() of the last MPLS label needs packet_type(...)")
    pop_to(x, htons(<uint16_t> (packet_type & 0xffff) if packet_type else <uint16_t> ETH_TEB))
    x.reshaped += 1
    return freeze(x)


# --- what else there is for NSH

cdef int dec_nsh_ttl(XlateContext x) except -1:
    x.wc.nsh_ttl = 0xff
    if x.flow.nsh_ttl > 1:
        x.flow.nsh_ttl -= 1
        return 0
    x.report("warn", "NSH decrement TTL exception")
    tell(x, new_telling(x, 0xffff, OFPR_INVALID_TTL, 0))
    return 1


cdef void forget_made_headers(XlateContext x) noexcept:
    if x.came_packet_type:
        memset(x.wc.eth_dst, 0, 12)     # and eth_src
        memset(x.wc.vlan, 0, sizeof(x.wc.vlan))
    if x.came_eth_type != htons(ETH_NSH):
        memset(&x.wc.nsh_flags, 0, KEY_PACKET_SIZE - AT_NSH)
    if not is_mpls_type(ntohs(x.came_eth_type)):
        memset(x.wc.mpls_lse, 0, sizeof(x.wc.mpls_lse))
