"""Output: to ports, and through patch ports."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memset

from datapath.actions.odp cimport USERSPACE_ACTION
from datapath.base.protocols cimport *
from datapath.key.flow cimport KEY_PACKET_SIZE, KEY_SIZE
from ofproto.codec.numbers cimport (
    OFPP_NONE, OFPPC_NO_FLOOD, OFPPC_NO_FWD, OFPPC_NO_RECV, OFPPC_NO_RECV_STP,
    OFPPC_PORT_DOWN,
)
from ofproto.xlate.state.context cimport (
    MAX_DEPTH, NF_FLOOD, UNDO_HEADERS, Snapshot, XlateContext, flow_in_port,
)
from ofproto.xlate.outputs.netflow cimport netflow_out
from ofproto.xlate.outputs.tnl_pop cimport NO_TUNNEL, TUNNEL_ENDS, ends_tunnel
from ofproto.xlate.outputs.tunnel_send cimport output_tunnel
from ofproto.xlate.bridges.xbridge cimport NO_ODP_PORT, XPort
from ofproto.xlate.state.xcache cimport X_PATCH

STP_ADDRESS[:] = [0x01, 0x80, 0xc2, 0, 0, 0]

cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)
    uint16_t ntohs(uint16_t)

cdef pipeline run_pipeline = NULL


cdef int set_pipeline(pipeline run) except -1:
    global run_pipeline
    run_pipeline = run
    return 0


cdef mirroring run_mirrors = NULL
cdef sampling run_samples = NULL

cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)
    uint32_t ntohl(uint32_t)

cdef enum:
    DSCP_MASK = 0xfc


cdef int set_sampling(sampling run) except -1:
    global run_samples
    run_samples = run
    return 0


cdef int set_mirroring(mirroring run) except -1:
    global run_mirrors
    run_mirrors = run
    return 0


# --- ports

cdef int output_port(XlateContext x, uint16_t ofp_port) except -1:
    port = x.bridge.ports.get(ofp_port)
    if port is None:
        return x.report("warn", "Nonexistent output port")
    return output_xport(x, <XPort> port)


cdef int output_xport(XlateContext x, XPort port) except -1:
    if port.config & OFPPC_NO_FWD:
        x.report("detail", "OFPPC_NO_FWD set, skipping output")
    elif not port.forwards and not passes_tree(x, port):
        pass
    elif port.config & OFPPC_PORT_DOWN:
        x.report("detail", "port is down, skipping output")
    elif is_protected(x, port):
        x.report("warn", "Flow is between protected ports, skipping output.")
    elif port.tunnel is not None:
        output_by_tunnel(x, port)
    elif x.flow.packet_type:
        x.report("warn", "Trying to send non-Ethernet packet through legacy L2 port. Dropping packet.")
    elif port.peer is not None:
        if x.snaplen:
            return x.report("error", "a mirror with snaplen does not reach through a patch port")
        output_patch(x, port)
    elif port.odp_port == <uint32_t> NO_ODP_PORT:
        x.report("warn", "Nonexistent output port")
    else:
        output_device(x, port)
    return 0


cdef int output_device(XlateContext x, XPort port) except -1:
    cdef int end = ends_tunnel(x, port)
    if end == NO_TUNNEL:
        send_out(x, port)
    if end != TUNNEL_ENDS:
        tell_mirrors(x, port)
    return 0


cdef int output_by_tunnel(XlateContext x, XPort port) except -1:
    cdef uint32_t before = x.nf_output
    output_tunnel(x, port, run_pipeline)
    if x.nf_output != before or port.odp_port != <uint32_t> NO_ODP_PORT:
        x.nf_output = before        # by this port, whatever carries the tunnel
        netflow_out(x, port.ofp_port)
    return 0


cdef int send_out(XlateContext x, XPort port) except -1:
    cdef uint8_t tos = x.flow.nw_tos
    if port.dscp is not None:
        mark_dscp(x, port)
    x.commit()
    if x.bridge.sampling is not None:
        run_samples(x, port.odp_port)
    if x.snaplen:
        x.out.trunc(x.snaplen)
    x.out.output(port.odp_port)
    x.n_outputs += 1
    x.last_output = port.odp_port
    netflow_out(x, port.ofp_port)
    x.flow.nw_tos = tos
    return 0


cdef int mark_dscp(XlateContext x, XPort port) except -1:
    dscp = port.dscp.get(ntohl(x.flow.skb_priority))
    if dscp is not None and (x.flow.eth_type == htons(ETH_IP) or x.flow.eth_type == htons(ETH_IPV6)):
        x.wc.nw_tos |= DSCP_MASK
        x.flow.nw_tos = (x.flow.nw_tos & ~DSCP_MASK) | <uint8_t> (dscp << 2)
    return 0


cdef int tell_mirrors(XlateContext x, XPort port) except -1:
    return run_mirrors(x, port) if x.bridge.mirrors else 0


cdef bint passes_tree(XlateContext x, XPort port) except -1:
    """By a port that a spanning tree blocks go the tree's own frames, and those that look whether
    the link is sound."""
    cdef uint16_t kind = ntohs(x.base.eth_type)
    if kind == ETH_NONE:
        memset(x.wc.eth_dst, 0xff, 6)
    if kind == ETH_NONE and memcmp(x.base.eth_dst, STP_ADDRESS, 6) == 0:
        if port.sends_bpdus:
            return True
        x.report("warn", "STP not in listening state, skipping bpdu output")
        return False
    if flow_in_port(&x.flow) == OFPP_NONE and (
            kind == ETH_CFM or (kind == ETH_IP and x.flow.nw_proto == PROTO_UDP
                                and x.flow.tp_dst == htons(BFD_PORT))):
        return True
    x.report("warn", f"{x.bridge.spanning} not in forwarding state, skipping output")
    return False


cdef int output_trunc(XlateContext x, uint16_t ofp_port, uint32_t max_len) except -1:
    """To ports of the datapath only: behind a patch port, the next output is anybody's."""
    cdef XPort port
    cdef uint32_t before, cut
    if ofp_port == flow_in_port(&x.flow):
        return x.report("detail", "skipping output to input port")
    found = x.bridge.ports.get(ofp_port)
    if found is not None:
        port = <XPort> found
    if found is None or port.peer is not None or port.odp_port == <uint32_t> NO_ODP_PORT:
        return x.report("error", f"output_trunc does not support port: {ofp_port}")
    if not x.bridge.features.trunc:
        x.slow |= USERSPACE_ACTION
    before = x.out.length
    x.out.trunc(max_len)
    cut = x.out.length
    output_xport(x, port)
    if x.out.length == cut:
        x.out.truncate(before)      # nothing went out that could be cut
    return 0


cdef bint is_protected(XlateContext x, XPort port) except -1:
    """Between protected ports no packet passes."""
    cdef XPort in_port
    if port.bundle is None or not port.bundle.protected:
        return False
    in_port = x.port(flow_in_port(&x.flow))
    return in_port is not None and in_port.bundle is not None and in_port.bundle.protected


cdef int output_flood(XlateContext x, bint every) except -1:
    cdef uint16_t in_port = flow_in_port(&x.flow)
    cdef XPort port
    for port in list(x.bridge.ports.values()):
        if port.ofp_port == in_port:
            continue
        if x.spend(1):
            break
        if every or not port.config & OFPPC_NO_FLOOD:
            output_xport(x, port)
    x.nf_output = NF_FLOOD
    return 0


cdef int output_patch(XlateContext x, XPort port) except -1:
    """Through the peer's bridge, which starts afresh; its changes do not reach back."""
    cdef XPort peer = port.peer
    cdef Snapshot saved
    if peer.bridge is None:
        return x.report("warn", "Nonexistent patch port peer")
    if x.depth >= MAX_DEPTH:
        return x.fail("Recursion too deep", "over max translation depth %d" % MAX_DEPTH)
    x.cache.add(X_PATCH, port, peer)
    x.commit()
    saved = x.save()
    memset(<uint8_t *> &x.flow + KEY_PACKET_SIZE, 0, KEY_SIZE - KEY_PACKET_SIZE)
    x.tunnel_hidden = True
    x.untrack()
    x.bridge = peer.bridge
    x.mirrors = 0               # the other bridge has its own
    x.stack = x.action_set = None
    x.in_action_set = x.in_group = False
    if not x.stop:
        run_pipeline(x, peer.ofp_port)
    return x.restore(saved, UNDO_HEADERS)


cdef bint may_receive(XlateContext x, XPort port) except -1:
    cdef uint32_t config = port.config
    if not (port.forwards or port.learns):
        return False
    if config & (OFPPC_NO_RECV | OFPPC_NO_RECV_STP):
        memset(x.wc.eth_dst, 0xff, 6)
        if memcmp(x.flow.eth_dst, STP_ADDRESS, 6) == 0:
            config &= ~OFPPC_NO_RECV
        else:
            config &= ~OFPPC_NO_RECV_STP
    return not config & (OFPPC_NO_RECV | OFPPC_NO_RECV_STP | OFPPC_PORT_DOWN)
