"""Output to tunnel ports in userspace: route, neighbour, header, and on through the underlay.

The encapsulated packet enters the bridge whose port the route leads out by, as if the host had sent
it there.  Nothing of the outer header is the packet's own but what stood in its tun_*: so what the
underlay's tables look at is no part of the megaflow, but for the mark and the priority.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from datapath.actions.odp cimport ACT_TUNNEL_PUSH
from datapath.actions.tunnel_push cimport TUNNEL_HEADER, tunnel_push
from datapath.base.protocols cimport *
from datapath.key.flow cimport KEY_SIZE, flow_key
from ofproto.codec.numbers cimport OFPP_LOCAL
from ofproto.xlate.state.commit cimport count_vlans
from ofproto.xlate.state.context cimport MAX_DEPTH, UNDO_NOTHING, Snapshot, XlateContext, pipeline
from ofproto.xlate.outputs.tunnel_options cimport options_of
from ofproto.xlate.bridges.tunnel cimport TAKES_L3, Tunnel, mapped
from ofproto.xlate.bridges.xbridge cimport NO_ODP_PORT, XBridge, XPort
from ofproto.xlate.state.xcache cimport X_HEADER, X_NEIGHBOUR

from datapath.key import flow as flow_module
from ofproto.underlay import addresses, headers
from pyvs import coverage

cdef extern from "arpa/inet.h" nogil:
    uint16_t ntohs(uint16_t)
    uint32_t ntohl(uint32_t)

cdef extern from "<endian.h>" nogil:
    uint64_t be64toh(uint64_t)

cdef enum:
    IPV4_LENGTH = 16            # offsets in the header's bytes
    IPV6_LENGTH = 18
    ETHERNET = 14
    IPV6 = 40

# Packets that do not get out, under Open vSwitch's names.
LOST = {
    what: coverage.counter(f"drop_action_tunnel_{what}")
    for what in ("routing_failed", "neigh_cache_miss", "header_build_failed")
}


cdef object address_of(uint32_t ipv4, const uint8_t *ipv6):
    cdef uint8_t octets[16]
    mapped(ipv4, ipv6, octets)
    return int.from_bytes((<char *> octets)[:16], "big")


cdef XPort find_port(underlay, str name):
    """Most often a bridge's own."""
    cdef XBridge bridge
    cdef XPort port
    for bridge in underlay.bridges:
        if bridge.name == name and OFPP_LOCAL in bridge.ports:
            return <XPort> bridge.ports[OFPP_LOCAL]
    for bridge in underlay.bridges:
        for port in bridge.ports.values():
            if port.name == name:
                return port
    return None


cdef int lose(XlateContext x, str what, str text) except -1:
    if x.side_effects:
        LOST[what].count += 1
    return x.report("warn" if what != "neigh_cache_miss" else "detail", text)


cdef int push_tunnel(XlateContext x, XPort port, pipeline run) except -1:
    cdef XPort out
    underlay = x.bridge.underlay
    x.report("detail", "output to native tunnel")
    destination = address_of(x.flow.tun_dst, x.flow.tun_ipv6_dst)
    if x.came.pkt_mark or x.came.recirc_id or underlay.routes.has_marks:
        x.wc.pkt_mark = 0xffffffff      # a packet that comes from outside has none
    way = underlay.way(destination, address_of(x.flow.tun_src, x.flow.tun_ipv6_src),
                       ntohl(x.flow.pkt_mark))
    out = None if way is None else find_port(underlay, way.device)
    if out is None or out.odp_port == <uint32_t> NO_ODP_PORT:
        return lose(x, "routing_failed", "native tunnel routing failed")
    if x.trace is not None:
        x.report("detail", f"tunneling to {addresses.text(way.next_hop)} via {out.name}")
    mac = underlay.neighbours.lookup(out.bridge.name, way.next_hop, x.now)
    if mac is None:
        return ask(x, underlay, way, out)
    if underlay.neighbours.unsure and x.trace is None:
        underlay.make_sure(out.bridge.name, way, x.now)
    x.cache.add(X_NEIGHBOUR, underlay.neighbours, (out.bridge.name, way.next_hop))
    try:
        outer = outer_of(x, port.tunnel, way, mac, destination)
        header = headers.build(outer)
    except ValueError as error:
        return lose(x, "header_build_failed", f"native tunnel header build failed ({error})")
    if x.trace is not None:
        x.report("detail", f"tunneling from {way.mac.hex(':')} {addresses.text(way.source)} to"
                           f" {mac.hex(':')} {addresses.text(destination)}")
    return through(x, port, out, outer.number, header, run)


cdef int ask(XlateContext x, underlay, way, XPort out) except -1:
    """Has the next hop asked for its address, unless nobody sends a packet."""
    if x.trace is None:
        underlay.ask(out.bridge.name, way, x.now)
    what = "ARP request" if addresses.is_ipv4(way.next_hop) else "ND solicitation"
    text = addresses.text(way.next_hop)
    return lose(x, "neigh_cache_miss",
                f"neighbor cache miss for {text} on bridge {out.bridge.name}, sending {what}")


cdef object outer_of(XlateContext x, Tunnel tunnel, way, bytes mac, destination):
    """What the header is to say: headers.Outer."""
    cdef const flow_key *flow = &x.flow
    cdef uint16_t flags = ntohs(flow.tun_flags)
    options = b""
    if tunnel.config.kind == "geneve":
        options = options_of(x)
    return headers.Outer(
        tunnel.config.kind, mac, way.mac, way.source, destination, flow.tun_tos, flow.tun_ttl,
        df=bool(flags & TUN_DF), csum=bool(flags & TUN_CSUM),
        key=be64toh(flow.tun_id) if flags & TUN_KEY else None,
        inner=inner_of(x, tunnel), dst_port=ntohs(tunnel.c.dst_port),
        sequence=tunnel.c.seq, oam=bool(flags & TUN_OAM), gpe=tunnel.c.gpe,
        gbp=(ntohs(flow.tun_gbp_id), flow.tun_gbp_flags) if tunnel.c.gbp else None,
        options=options,
        erspan=(flow.tun_erspan_ver, ntohl(flow.tun_erspan_idx), flow.tun_erspan_dir,
                flow.tun_erspan_hwid),
        segments=tuple([each.packed for each in reversed(tunnel.config.srv6_segs)]),
    )


cdef bint takes_header_off(XlateContext x, Tunnel tunnel) noexcept:
    """A frame in a tunnel of packets without Ethernet header."""
    return x.flow.packet_type == 0 and tunnel.c.packet_types == TAKES_L3


cdef uint32_t inner_of(XlateContext x, Tunnel tunnel) noexcept:
    """The Ethertype of what is in the tunnel."""
    if takes_header_off(x, tunnel):
        return ntohs(x.flow.eth_type)
    return ntohl(x.flow.packet_type) & 0xffff if x.flow.packet_type else <uint32_t> ETH_TEB


cdef int put_push(XlateContext x, XPort port, XPort out, uint16_t number, bytes header) except -1:
    cdef tunnel_push head
    cdef uint32_t size = <uint32_t> len(header)
    cdef uint8_t *at = x.out.room(ACT_TUNNEL_PUSH, <uint32_t> sizeof(tunnel_push) + size)
    if at != NULL:
        head.tnl_port = port.odp_port
        head.out_port = out.odp_port
        head.kind = number
        head.size = <uint16_t> size
        memcpy(at, &head, sizeof(tunnel_push))
        memcpy(at + sizeof(tunnel_push), <const char *> header, size)
    return 0


cdef int become(XlateContext x, bytes header) except -1:
    """The packet is what the header says, as far as tables can know."""
    cdef bytes whole, key
    cdef uint32_t mark = x.flow.pkt_mark, priority = x.flow.skb_priority
    cdef int size = len(header) - ETHERNET
    if header[12:14] == b"\x08\x00":
        whole = header[:IPV4_LENGTH] + size.to_bytes(2, "big") + header[IPV4_LENGTH + 2:]
    else:
        whole = header[:IPV6_LENGTH] + (size - IPV6).to_bytes(2, "big") + header[IPV6_LENGTH + 2:]
    key = flow_module.extract(whole)
    memcpy(&x.flow, <const char *> key, KEY_SIZE)
    x.flow.pkt_mark = mark
    x.flow.skb_priority = priority
    x.base = x.flow
    x.tunnel_hidden = True
    return 0


cdef int through(XlateContext x, XPort port, XPort out, uint16_t number, bytes header,
                 pipeline run) except -1:
    """The action, and the underlay's bridge; nothing of both where that sends the packet nowhere."""
    cdef Snapshot saved
    cdef flow_key wc
    cdef uint32_t pushed
    if x.depth >= MAX_DEPTH:
        return x.fail("Recursion too deep", "over max translation depth %d" % MAX_DEPTH)
    x.commit()
    saved = x.save()
    if takes_header_off(x, port.tunnel):
        for _ in range(count_vlans(&x.flow)):
            x.out.pop_vlan()
        x.out.pop_eth()
    put_push(x, port, out, number, header)
    pushed = x.out.length
    become(x, header)
    wc = x.wc
    memset(&x.wc, 0, sizeof(flow_key))
    x.untrack()
    x.bridge = out.bridge
    x.stack = x.action_set = None
    x.in_action_set = x.in_group = x.unparsed = False
    x.cache.add(X_HEADER, None, None, <uint64_t> len(header))
    if not x.stop:
        run(x, out.ofp_port)
    x.cache.add(X_HEADER, None, None, <uint64_t> -<Py_ssize_t> len(header))
    wc.skb_priority |= x.wc.skb_priority    # what the packet keeps in the underlay
    wc.pkt_mark |= x.wc.pkt_mark
    x.wc = wc
    if x.out.length == pushed:
        x.out.truncate(saved.start)
        x.base = saved.base
        x.reshaped = saved.reshaped
    return x.restore(saved, UNDO_NOTHING)
