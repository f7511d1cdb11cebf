"""The end of a tunnel: packets for an address of a port's device, most often the bridge's own.

Only where a route of tunnels leads out by this port is anything looked at, so that other bridges'
megaflows stay as wide as they were.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from datapath.actions.odp cimport ACT_TUNNEL_DEFRAG, ACT_TUNNEL_POP
from datapath.base.protocols cimport *
from datapath.key.flow cimport flow_key
from ofproto.xlate.state.context cimport XlateContext
from ofproto.xlate.state.xcache cimport X_HEARD
from ofproto.xlate.bridges.tunnel cimport mapped
from ofproto.xlate.bridges.xbridge cimport XPort

cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)
    uint16_t ntohs(uint16_t)

cdef enum:
    ARP_REQUEST = 1
    ARP_REPLY = 2


cdef bint is_zero(const uint8_t *mac) noexcept nogil:
    return memcmp(mac, b"\0\0\0\0\0\0", 6) == 0


cdef object number_of(uint32_t ipv4, const uint8_t *ipv6):
    cdef uint8_t octets[16]
    mapped(ipv4, ipv6, octets)
    return int.from_bytes((<char *> octets)[:16], "big")


cdef int ends_tunnel(XlateContext x, XPort port) except -1:
    cdef flow_key *flow = &x.flow
    cdef int end
    if not x.bridge.listening or flow.packet_type:
        return NO_TUNNEL
    device = x.bridge.listening.get(port.name)
    if device is None:
        return NO_TUNNEL
    underlay = x.bridge.underlay
    if flow.eth_type == htons(ETH_IP) or flow.eth_type == htons(ETH_IPV6):
        end = receives(x, underlay, device, port) if underlay.receivers else NO_TUNNEL
        if end != NO_TUNNEL:
            return end
        if flow.eth_type == htons(ETH_IPV6):
            hear_advertisement(x, underlay, port)
    elif flow.eth_type == htons(ETH_ARP):
        hear_arp(x, underlay, port)
    return NO_TUNNEL


cdef int receives(XlateContext x, underlay, device, XPort port) except -1:
    cdef flow_key *flow = &x.flow
    cdef bint v6 = flow.eth_type == htons(ETH_IPV6)
    cdef uint32_t number
    cdef uint8_t *at
    memset(x.wc.eth_dst, 0xff, 6)
    if (<char *> flow.eth_dst)[:6] != device.mac:
        return NO_TUNNEL
    if v6:
        memset(x.wc.ipv6_dst, 0xff, 16)
    else:
        x.wc.nw_dst = 0xffffffff
    address = number_of(flow.nw_dst, flow.ipv6_dst)
    if all([address != own for own, _ in device.networks]):
        return NO_TUNNEL
    x.wc.nw_proto = 0xff
    if flow.nw_frag:
        return collect(x, underlay, port)
    if flow.nw_proto == PROTO_UDP:
        x.wc.tp_dst = 0xffff
    found = underlay.receivers.get(
        (flow.nw_proto, ntohs(flow.tp_dst) if flow.nw_proto == PROTO_UDP else 0))
    if found is None:
        return NO_TUNNEL
    x.commit()
    number = found
    at = x.out.room(ACT_TUNNEL_POP, 4)
    if at != NULL:
        memcpy(at, &number, 4)
    if x.side_effects:
        hear(x, underlay, number_of(flow.nw_src, flow.ipv6_src), flow.eth_src)
    return TUNNEL_ENDS


cdef int collect(XlateContext x, underlay, XPort port) except -1:
    """Fragments.  Later ones do not say their UDP port, and of IPv6 not even their protocol: what they
    are is seen when they are a packet.  A mirror's cut copy never is."""
    cdef uint32_t out = port.odp_port
    cdef bytes ends = underlay.tunnel_ends
    cdef uint8_t *at
    if x.snaplen or (x.flow.eth_type == htons(ETH_IP)
                     and all([proto != x.flow.nw_proto for proto, _ in underlay.receivers])):
        return NO_TUNNEL
    x.commit()
    at = x.out.room(ACT_TUNNEL_DEFRAG, 4 + <uint32_t> len(ends))
    if at != NULL:
        memcpy(at, &out, 4)
        memcpy(at + 4, <const char *> ends, len(ends))
    return TUNNEL_MAY_END


cdef int hear_answer(XlateContext x, underlay, address, const uint8_t *mac) except -1:
    """One whose mask has what it says: the flow's later packets, which do not come up, say the
    same, also to a vswitchd that began meanwhile."""
    x.cache.add(X_HEARD, underlay.neighbours, (x.bridge.name, address, (<char *> mac)[:6]))
    return hear(x, underlay, address, mac) if x.side_effects else 0


cdef int hear(XlateContext x, underlay, address, const uint8_t *mac) except -1:
    underlay.neighbours.set(x.bridge.name, address, (<char *> mac)[:6], x.now)
    return 0


cdef int hear_arp(XlateContext x, underlay, XPort port) except -1:
    """A reply to an address of ours, or somebody who tells his own."""
    cdef flow_key *flow = &x.flow
    x.wc.nw_proto = 0xff
    if flow.nw_proto != ARP_REPLY and flow.nw_proto != ARP_REQUEST:
        return 0
    x.wc.nw_src = x.wc.nw_dst = 0xffffffff
    if flow.nw_src != flow.nw_dst and (
            flow.nw_proto == ARP_REQUEST
            or not underlay.hears(port.name, number_of(flow.nw_dst, flow.ipv6_dst))):
        return 0
    memset(x.wc.arp_sha, 0xff, 6)
    if not is_zero(flow.arp_sha) and not flow.arp_sha[0] & 1 and flow.nw_src:
        hear_answer(x, underlay, number_of(flow.nw_src, flow.ipv6_src), flow.arp_sha)
    return 0


cdef int hear_advertisement(XlateContext x, underlay, XPort port) except -1:
    """RFC 4861, section 4.4."""
    cdef flow_key *flow = &x.flow
    x.wc.nw_proto = 0xff
    if flow.nw_proto != PROTO_ICMPV6 or flow.nw_frag:
        return 0
    x.wc.tp_src = 0xffff
    if flow.tp_src != htons(ND_ADVERT):
        return 0
    x.wc.tp_dst = 0xffff
    memset(x.wc.ipv6_dst, 0xff, 16)
    if flow.tp_dst or not underlay.hears(port.name, number_of(0, flow.ipv6_dst)):
        return 0
    memset(x.wc.nd_target, 0xff, 16)
    memset(x.wc.arp_tha, 0xff, 6)
    if not is_zero(flow.arp_tha) and not flow.arp_tha[0] & 1:
        hear_answer(x, underlay, number_of(0, flow.nd_target), flow.arp_tha)
    return 0
