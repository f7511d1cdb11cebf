"""Tunnel ports: the fields of the outer header, from the port's options and the flow, and what of
it concerns a packet that came by one.

What an option leaves to the flow ("flow", "inherit") is what actions have set, or the packet's own.
ECN is carried over as RFC 6040 says (compatibility mode for CE): a mark of congestion inside does
not show outside, where routers may set their own.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from datapath.base.protocols cimport *
from datapath.key.flow cimport KEY_DP_SIZE, KEY_PACKET_SIZE, flow_key
from ofproto.xlate.state.commit cimport count_vlans, is_ip_any
from ofproto.xlate.state.context cimport UNDO_NOTHING, Snapshot, XlateContext, pipeline
from ofproto.xlate.actions.encap cimport encap_ethernet
from ofproto.xlate.actions.sample cimport sample_tunnel
from ofproto.xlate.outputs.tnl_push cimport push_tunnel
from ofproto.xlate.bridges.tunnel cimport TAKES_FRAMES, TAKES_L3, has_tunnel, tunnel_config
from ofproto.xlate.outputs.tunnel_send cimport *
from ofproto.xlate.outputs.tunnel_options cimport options_of
from ofproto.xlate.bridges.xbridge cimport XPort
from ofproto.xlate.state.xcache cimport X_RECEIVED, X_SENT

cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)
    uint16_t ntohs(uint16_t)

cdef enum:
    ECN_ECT0 = 2             # RFC 3168, section 5
    ECN_CE = 3
    ECN_MASK = 3

cdef const char *MAPPED = b"\0\0\0\0\0\0\0\0\0\0\xff\xff"


cdef void set_address(const uint8_t *address, uint32_t *ipv4, uint8_t *ipv6) noexcept nogil:
    if memcmp(address, MAPPED, 12) == 0:
        memcpy(ipv4, address + 12, 4)
        memset(ipv6, 0, 16)
    else:
        ipv4[0] = 0
        memcpy(ipv6, address, 16)


cdef void fill_tos(XlateContext x, const tunnel_config *c) noexcept nogil:
    cdef flow_key *flow = &x.flow
    cdef bint ip = is_ip_any(flow)
    cdef uint8_t ecn = 0
    flow.tun_ttl = c.ttl
    flow.tun_tos = c.tos
    if c.ttl_inherit and ip:
        x.wc.nw_ttl = 0xff
        flow.tun_ttl = flow.nw_ttl
    if c.tos_inherit and ip:
        x.wc.nw_tos = 0xff
        flow.tun_tos = flow.nw_tos
    if ip:
        x.wc.nw_tos |= ECN_MASK
        ecn = flow.nw_tos & ECN_MASK
    flow.tun_tos = flow.tun_tos & ~ECN_MASK & 0xff | (ECN_ECT0 if ecn == ECN_CE else ecn)


cdef void match_own(XlateContext x, const tunnel_config *c) noexcept nogil:
    """What a packet that came through a tunnel may have brought for its next one; see also
    match_tunnel()."""
    cdef flow_key *wc = &x.wc
    if c.kind == TUNNEL_GENEVE:
        wc.tun_flags |= htons(TUN_OAM)
    if c.kind == TUNNEL_GTPU:
        wc.tun_gtpu_flags = wc.tun_gtpu_msgtype = 0xff
    if c.kind == TUNNEL_VXLAN:
        wc.tun_gbp_id = 0xffff
        wc.tun_gbp_flags = 0xff
    if c.ver_flow:
        wc.tun_erspan_ver = 0xff
    if c.idx_flow:
        wc.tun_erspan_idx = 0xffffffff
    if c.dir_flow:
        wc.tun_erspan_dir = 0xff
    if c.hwid_flow:
        wc.tun_erspan_hwid = 0xff


cdef void fill(XlateContext x, const tunnel_config *c) noexcept nogil:
    """The flow's tun_* as the outer header is to say."""
    cdef flow_key *flow = &x.flow
    cdef uint16_t carried = TUN_OAM if c.kind == TUNNEL_GENEVE else 0   # others have no such flag
    if has_tunnel(x.came):
        match_own(x, c)
    if not c.local_flow:
        set_address(c.local, &flow.tun_src, flow.tun_ipv6_src)
    if not c.remote_flow:
        set_address(c.remote, &flow.tun_dst, flow.tun_ipv6_dst)
    if c.has_egress_mark:
        flow.pkt_mark = c.egress_mark
        x.wc.pkt_mark = 0xffffffff
    if not c.out_key_flow:
        flow.tun_id = c.out_key
    fill_tos(x, c)
    flow.tun_flags = htons(<uint16_t> (
        ntohs(flow.tun_flags) & carried | (TUN_DF if c.df else 0) | (TUN_CSUM if c.csum else 0)
        | (TUN_KEY if c.has_out_key else 0)))
    if not c.ver_flow:
        flow.tun_erspan_ver = c.erspan_ver
    if not c.idx_flow:
        flow.tun_erspan_idx = c.erspan_idx
    if not c.dir_flow:
        flow.tun_erspan_dir = c.erspan_dir
    if not c.hwid_flow:
        flow.tun_erspan_hwid = c.erspan_hwid


cdef bint is_own(XlateContext x) noexcept:
    """The packet would go where it came from a tunnel."""
    return (x.flow.tun_dst == x.came.tun_dst
            and memcmp(x.flow.tun_ipv6_dst, x.came.tun_ipv6_dst, 16) == 0)


cdef int set_tunnel(XlateContext x, XPort port) except -1:
    """For a datapath port that would make the header by itself: its fields, and the packet."""
    cdef Snapshot saved
    cdef bint takes_off = x.flow.packet_type == 0 and port.tunnel.c.packet_types == TAKES_L3
    x.report("detail", "output to kernel tunnel")
    saved = x.save() if takes_off else None
    put_tunnel(x, &port.tunnel.c)
    x.commit()
    if x.bridge.sampling is not None:
        sample_tunnel(x, port)
    if takes_off:
        for _ in range(count_vlans(&x.flow)):
            x.out.pop_vlan()
        x.out.pop_eth()
        x.reshaped += 1
    x.out.output(port.odp_port)
    x.n_outputs += 1
    x.last_output = port.odp_port
    return x.restore(saved, UNDO_NOTHING) if takes_off else 0


cdef int put_tunnel(XlateContext x, const tunnel_config *c) except -1:
    """The fields that fill() has set, unless the packet has them already."""
    cdef flow_key outer = x.flow
    cdef const uint8_t *part = <const uint8_t *> &outer + KEY_PACKET_SIZE
    drop_others(&outer, c)
    outer.tun_tp_src = 0
    outer.tun_tp_dst = c.dst_port
    outer.tun_opts_size = 0
    memset(outer.tun_metadata, 0, sizeof(outer.tun_metadata))
    if c.kind == TUNNEL_GENEVE:
        take_options(x, &outer)
    given = (<const char *> part)[:KEY_DP_SIZE - KEY_PACKET_SIZE]
    if given != x.tunnel_given:
        x.out.set_tunnel(part, outer.tun_opts_size)
        x.tunnel_given = given
    return 0


cdef int give_tunnel(XlateContext x, XPort port) except -1:
    cdef uint8_t tunnel[256 + 128]
    cdef uint32_t mark = x.flow.pkt_mark
    cdef size_t size = KEY_DP_SIZE - KEY_PACKET_SIZE
    if x.bridge.underlay is not None and x.bridge.underlay.native:
        return 0
    memcpy(tunnel, &x.flow.tun_id, size)
    fill(x, &port.tunnel.c)
    if has_tunnel(&x.flow):
        put_tunnel(x, &port.tunnel.c)
    memcpy(&x.flow.tun_id, tunnel, size)
    x.flow.pkt_mark = mark
    return 0


cdef void drop_others(flow_key *outer, const tunnel_config *c) noexcept nogil:
    """What only other kinds of tunnels have in their headers."""
    if c.kind != TUNNEL_VXLAN:
        outer.tun_gbp_id = 0
        outer.tun_gbp_flags = 0
    if c.kind != TUNNEL_ERSPAN and c.kind != TUNNEL_IP6ERSPAN:
        outer.tun_erspan_idx = 0
        outer.tun_erspan_ver = outer.tun_erspan_dir = outer.tun_erspan_hwid = 0
    if c.kind != TUNNEL_GTPU:
        outer.tun_gtpu_flags = outer.tun_gtpu_msgtype = 0


cdef int take_options(XlateContext x, flow_key *outer) except -1:
    cdef bytes options = options_of(x)
    outer.tun_opts_size = <uint8_t> len(options)
    memcpy(outer.tun_metadata, <const char *> options, len(options))
    return 0


cdef int take_tunnelled(XlateContext x, XPort port) except -1:
    """A packet that came in by a tunnel port, before the tables see it."""
    x.cache.add(X_RECEIVED, port)
    if x.flow.packet_type and port.tunnel.c.packet_types == TAKES_L3:
        encap_ethernet(x)
    return 0


cdef int output_tunnel(XlateContext x, XPort port, pipeline run) except -1:
    cdef uint8_t tunnel[256 + 128]
    cdef uint32_t mark = x.flow.pkt_mark
    cdef size_t size = KEY_DP_SIZE - KEY_PACKET_SIZE
    cdef const tunnel_config *c = &port.tunnel.c
    if x.flow.packet_type and c.packet_types == TAKES_FRAMES:
        return x.report("warn", "Trying to send non-Ethernet packet through legacy L2 port."
                                " Dropping packet.")
    memcpy(tunnel, &x.flow.tun_id, size)
    fill(x, c)
    if not has_tunnel(&x.flow):
        x.report("warn", "Tunneling decided against output")
    elif is_own(x):
        x.report("warn", "Not tunneling to our own address")
    else:
        x.cache.add(X_SENT, port)
        if x.bridge.underlay is not None and x.bridge.underlay.native:
            push_tunnel(x, port, run)
        else:
            set_tunnel(x, port)
    memcpy(&x.flow.tun_id, tunnel, size)
    x.flow.pkt_mark = mark
    return 0


cdef bint is_congested(XlateContext x) noexcept:
    """The packet came with a mark of congestion that it cannot have itself."""
    return (has_tunnel(x.came) and x.came.tun_tos & ECN_MASK == ECN_CE and is_ip_any(x.came)
            and not x.came.nw_tos & ECN_MASK)


cdef bint take_congestion(XlateContext x) except -1:
    """The outer header's mark of congestion becomes the packet's; one that cannot have it is lost
    (RFC 6040, section 4.2)."""
    if x.flow.tun_tos & ECN_MASK != ECN_CE or not is_ip_any(&x.flow):
        return True
    x.wc.nw_tos |= ECN_MASK
    if is_congested(x):
        x.report("warn", "dropping tunnel packet marked ECN CE but is not ECN capable")
        return False
    x.flow.nw_tos |= ECN_CE
    return True
