"""What NetFlow tells of a packet's flow: ofproto/exports/netflow.py has the records."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from datapath.base.protocols cimport *
from datapath.key.flow cimport flow_key
from ofproto.xlate.state.context cimport NF_DROP, flow_in_port
from ofproto.xlate.state.xcache cimport X_NETFLOW

cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)

cdef enum:
    DSCP_MASK = 0xfc

# netflow.KEY there: no gaps.
cdef packed struct flow_name:
    uint32_t nw_src, nw_dst
    uint16_t tp_src, tp_dst
    uint8_t nw_proto, nw_tos
    uint16_t in_port


cdef int netflow_in(XlateContext x) except -1:
    cdef flow_key *flow = &x.flow
    cdef flow_name key
    if (x.bridge.netflow is None or flow.eth_type != htons(ETH_IP) or x.nf_key is not None
            or x.bridge is not x.sampled):
        return 0
    x.wc.nw_src = x.wc.nw_dst = 0xffffffff
    x.wc.nw_proto = 0xff
    x.wc.nw_tos |= DSCP_MASK
    if has_ports(flow.nw_proto):
        x.wc.tp_src = x.wc.tp_dst = 0xffff
    key.nw_src, key.nw_dst = flow.nw_src, flow.nw_dst
    key.tp_src, key.tp_dst = flow.tp_src, flow.tp_dst
    key.nw_proto, key.nw_tos = flow.nw_proto, flow.nw_tos & DSCP_MASK
    key.in_port = htons(flow_in_port(flow))
    x.nf_key = (<char *> &key)[:sizeof(key)]
    return 0


cdef int finish_netflow(XlateContext x) except -1:
    if x.nf_key is not None:
        x.cache.add(X_NETFLOW, x.sampled.netflow, x.nf_key,
                    NF_DROP if x.error is not None else x.nf_output)
    return 0


cdef bint has_ports(uint8_t proto) noexcept nogil:
    return (proto == PROTO_TCP or proto == PROTO_UDP or proto == PROTO_SCTP or proto == PROTO_ICMP
            or proto == PROTO_IGMP)
