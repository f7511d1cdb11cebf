"""Copies of packets for mirrors: ovs-vswitchd.conf.db(5), "Mirror TABLE".

A packet that comes in is copied as it came, before any action; one that goes out, as it goes,
behind it.  Each mirror gets it once, and of mirrors with one output the first.  As in Open vSwitch,
patch ports are no ports to be mirrored: what comes through one was mirrored where it came from.
"""

from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memset

from datapath.base.protocols cimport *
from ofproto.xlate.state.context cimport XlateContext, flow_in_port
from ofproto.xlate.outputs.normal cimport extract_tags, is_reserved, output_bundle, refusal, tags_in, xtag
from ofproto.xlate.outputs.output cimport set_mirroring
from ofproto.xlate.bridges.xbridge cimport VLAN_TRUNK, XBundle, XPort, bundle_includes_vlan
from ofproto.xlate.state.xcache cimport X_MIRROR
from ofproto.xlate.bridges.xmirror cimport XMirror

cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)


cdef int mirror_in(XlateContext x) except -1:
    cdef XPort port
    if not x.bridge.mirrors:
        return 0
    port = x.port(flow_in_port(&x.flow))
    if port is None or port.bundle is None:
        return 0
    return mirror(x, port.bundle, port.bundle.mirror_src)


cdef int mirror_out(XlateContext x, XPort port) except -1:
    return 0 if port.bundle is None else mirror(x, port.bundle, port.bundle.mirror_dst)


cdef int mirror(XlateContext x, XBundle bundle, uint32_t which) except -1:
    cdef xtag packet[2]
    cdef xtag tags[2]
    cdef XMirror each
    if not which & ~x.mirrors or x.flow.packet_type:
        return 0
    extract_tags(&x.flow, packet)
    if bundle.mode != VLAN_TRUNK or bundle.has_trunks:
        x.wc.vlan[0].tci |= htons(0x1fff)
        if refusal(bundle, packet[0].vid) is not None:
            return 0
    tags_in(bundle, packet, tags)
    for each in x.bridge.mirrors:
        if not each.bit & which & ~x.mirrors or x.stop:
            continue
        if each.has_vlans:
            x.wc.vlan[0].tci |= htons(0x1fff)
            if not each.selects_vlan(tags[0].vid):
                continue
        x.mirrors |= each.same
        copy_to(x, each, tags)
    return 0


cdef int copy_to(XlateContext x, XMirror each, xtag *tags) except -1:
    cdef uint16_t outer = x.snaplen
    cdef uint32_t output = x.nf_output
    if x.spend(1):
        return 0
    x.cache.add(X_MIRROR, each)
    x.snaplen = each.snaplen
    if each.out is not None:
        output_bundle(x, <XBundle> each.out, tags)
    else:
        x.wc.vlan[0].tci |= htons(0x1fff)
        memset(x.wc.eth_dst, 0xff, 6)
        if tags[0].vid != each.out_vlan and not is_reserved(x.flow.eth_dst):
            flood_copy(x, <uint16_t> each.out_vlan, tags)
    x.snaplen = outer
    x.nf_output = output        # a copy is none of the flow's
    return 0


cdef int flood_copy(XlateContext x, uint16_t vlan, const xtag *tags) except -1:
    """To all ports of a VLAN, that by which the packet came in among them."""
    cdef xtag copy[2]
    cdef XBundle bundle
    copy[0] = tags[0]
    copy[1] = tags[1]
    copy[0].vid = vlan
    for bundle in list(x.bridge.bundles):
        if x.spend(1):
            break
        if bundle.has_cvlans:
            x.wc.vlan[0].tci |= htons(0x1fff)       # whichever of the two is the inner one
            x.wc.vlan[1].tci |= htons(0x1fff)
        if bundle_includes_vlan(bundle, vlan, copy[1].vid) and not bundle.mirror_out:
            output_bundle(x, bundle, copy)
    return 0


set_mirroring(mirror_out)
