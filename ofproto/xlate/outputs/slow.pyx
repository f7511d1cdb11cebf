"""Packets of protocols that listen on a port: they go to vswitchd, each of them, and not through the
tables.

What such a packet looks like is here, that a protocol wants it, XPort.listen() says.  The bits that
are looked at are the megaflow's, also where the packet turns out to be another one.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memset

from datapath.actions.odp cimport (
    SLOW_BFD, SLOW_CFM, SLOW_LACP, SLOW_LLDP, SLOW_STP, USERSPACE_ACTION,
)
from datapath.base.protocols cimport *
from datapath.key.flow cimport FRAG_LATER, flow_key
from ofproto.xlate.state.context cimport XlateContext
from ofproto.xlate.outputs.output cimport BFD_PORT, ETH_CFM, ETH_LLDP, ETH_SLOW, STP_ADDRESS
from ofproto.xlate.bridges.xbridge cimport N_LISTENERS, XPort, listening

cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)
    uint16_t ntohs(uint16_t)


cdef bint take_special(XlateContext x, XPort port) except -1:
    cdef uint32_t slow
    cdef int i
    if x.flow.packet_type:
        return False
    for i in range(N_LISTENERS):
        slow = <uint32_t> SLOW_CFM << i
        if port.listens & slow and is_for(x, slow, &port.listeners[i]):
            x.slow |= USERSPACE_ACTION | slow
            if x.side_effects:
                if x.received is None:
                    x.received = []
                x.received.append((port, slow))
            return True
    return False


cdef bint is_for(XlateContext x, uint32_t slow, const listening *wanted) noexcept:
    cdef uint16_t kind = ntohs(x.flow.eth_type)
    if slow == SLOW_LACP:
        return kind == ETH_SLOW
    if slow == SLOW_LLDP:
        return kind == ETH_LLDP
    if slow == SLOW_STP:
        return is_to(x, STP_ADDRESS) and kind == ETH_NONE
    if slow == SLOW_CFM:
        return kind == ETH_CFM and is_wanted(x, wanted)
    return kind == ETH_IP and is_bfd(x) and is_wanted(x, wanted)


cdef bint is_bfd(XlateContext x) noexcept:
    """Of UDP's port the bit that tells it apart is enough."""
    cdef uint16_t others
    if x.flow.nw_frag & FRAG_LATER:
        return False
    x.wc.nw_proto = 0xff
    if x.flow.nw_proto != PROTO_UDP:
        return False
    others = ntohs(x.flow.tp_dst) ^ BFD_PORT
    x.wc.tp_dst |= htons(lowest(others) if others else 0xffff)
    return not others


cdef uint16_t lowest(uint16_t bits) noexcept nogil:
    return bits & -bits


cdef bint is_wanted(XlateContext x, const listening *wanted) noexcept:
    if wanted.has_dst and not is_to(x, wanted.dst):
        return False
    if wanted.nw_dst:
        x.wc.nw_dst = 0xffffffff
        if x.flow.nw_dst != wanted.nw_dst:
            return False
    if wanted.checks_key:
        x.wc.tun_id = <uint64_t> -1
        return not x.flow.tun_id
    return True


cdef bint is_to(XlateContext x, const uint8_t *address) noexcept:
    memset(x.wc.eth_dst, 0xff, 6)
    return memcmp(x.flow.eth_dst, address, 6) == 0
