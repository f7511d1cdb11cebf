"""Where NORMAL sends multicast on a bridge that snoops, as RFC 4541 says and Open vSwitch does.

Packets of IGMP and MLD are seen each (the slow path): their checksums are checked, and the ages of
what they tell of begin anew.
"""

from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memcmp, memset

from datapath.actions.odp cimport USERSPACE_ACTION
from datapath.base.protocols cimport *
from datapath.key.flow cimport flow_key
from ofproto.protocols.membership import parse
from ofproto.xlate.state.commit cimport is_ip_any
from ofproto.xlate.state.context cimport XlateContext
from ofproto.xlate.bridges.xbridge cimport XBridge, XBundle

from pyvs import coverage

cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)
    uint16_t ntohs(uint16_t)

cdef enum:
    IGMP_QUERY = 0x11
    IGMP_REPORT = 0x12
    IGMP_V2_REPORT = 0x16
    IGMP_LEAVE = 0x17
    IGMP_V3_REPORT = 0x22
    MLD_QUERY = 130
    MLD_REPORT = 131
    MLD_DONE = 132
    MLD_V2_REPORT = 143
    MAX_SNOOPED = 16        # bridges, ports and VLANs by which one packet comes
    BUNDLES_PER_WORK = 4

cdef enum membership_kind:
    NO_MEMBERSHIP           # data
    QUERY                   # or some message that no switch needs to know
    REPORT

cdef const uint8_t *BROADCAST = b"\xff\xff\xff\xff\xff\xff"
cdef const uint8_t *LOCAL_NETWORK = b"\xe0\x00\x00"        # 224.0.0.0/24
cdef const uint8_t *ALL_HOSTS = b"\xff\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"    # ff02::1

# IGMP and MLD with a bad checksum, or cut off.
BAD = coverage.counter("mcast_snooping_bad_packet")


cdef bint is_snooped(XlateContext x) noexcept:
    cdef const uint8_t *dst = x.flow.eth_dst
    return (x.bridge.snooping is not None and dst[0] & 1 and is_ip_any(&x.flow)
            and memcmp(dst, BROADCAST, 6) != 0)


cdef list multicast_bundles(XlateContext x, XBundle in_bundle, uint16_t vid):
    cdef bint v6 = x.flow.eth_type == htons(ETH_IPV6)
    cdef membership_kind kind = mld_kind(x) if v6 else igmp_kind(x)
    cdef list found = []
    if kind != NO_MEMBERSHIP:
        x.slow |= USERSPACE_ACTION
        note_snooped(x, in_bundle, vid)
        if kind == REPORT:
            add_routers(x, found, in_bundle, vid)
            add_report_ports(x, found, in_bundle)
            return found
        x.report("detail", "MLD query, flooding" if v6 else "multicast traffic, flooding")
        return None
    if is_local(x, v6):
        x.report("detail", "RFC4541: section 2.1.2, item 2, flooding")
        return None
    return data_bundles(x, group_of(x, v6), in_bundle, vid)


cdef list data_bundles(XlateContext x, bytes group, XBundle in_bundle, uint16_t vid):
    cdef list found = []
    members = x.bridge.snooping.members(vid, group)
    if members is not None:
        for bundle in members:
            add(x, found, <XBundle> bundle, in_bundle, "mcast group port")
        add_flood_ports(x, found, in_bundle)
        add_routers(x, found, in_bundle, vid)
        return found
    if x.bridge.snooping.flood_unregistered:
        x.report("detail", "unregistered multicast, flooding")
        return None
    add_routers(x, found, in_bundle, vid)
    add_flood_ports(x, found, in_bundle)
    return found


# --- what the packet is; the bits that are looked at are the megaflow's

cdef membership_kind igmp_kind(XlateContext x) noexcept:
    cdef uint16_t kind = ntohs(x.flow.tp_src)
    x.wc.nw_proto = 0xff
    if x.flow.nw_proto != PROTO_IGMP:
        return NO_MEMBERSHIP
    x.wc.tp_src = 0xffff
    if (kind == IGMP_REPORT or kind == IGMP_V2_REPORT or kind == IGMP_V3_REPORT
            or kind == IGMP_LEAVE):
        return REPORT
    return QUERY


cdef membership_kind mld_kind(XlateContext x) noexcept:
    cdef uint16_t kind = ntohs(x.flow.tp_src)
    x.wc.nw_proto = 0xff
    if x.flow.nw_proto != PROTO_ICMPV6:
        return NO_MEMBERSHIP
    x.wc.tp_src = 0xffff
    if kind == MLD_REPORT or kind == MLD_DONE or kind == MLD_V2_REPORT:
        return REPORT
    return QUERY if kind == MLD_QUERY else NO_MEMBERSHIP


cdef bint is_local(XlateContext x, bint v6) noexcept:
    """224.0.0.0/24, and all hosts of IPv6."""
    if not v6:
        x.wc.nw_dst = 0xffffffff
        return memcmp(&x.flow.nw_dst, LOCAL_NETWORK, 3) == 0
    memset(x.wc.ipv6_dst, 0xff, 16)
    return memcmp(x.flow.ipv6_dst, ALL_HOSTS, 16) == 0


cdef bytes group_of(XlateContext x, bint v6):
    if v6:
        return (<char *> x.flow.ipv6_dst)[:16]
    return (<char *> &x.flow.nw_dst)[:4]


# --- bundles

cdef int add(XlateContext x, list found, XBundle bundle, XBundle in_bundle, str what) except -1:
    """No bundle gets a packet twice, for whatever reasons it is to have it."""
    if bundle is in_bundle:
        return x.report("detail", f"{what} is input port, dropping")
    x.report("detail", f"forwarding to {what}")
    if bundle not in found:
        found.append(bundle)
    return 0


cdef int add_routers(XlateContext x, list found, XBundle in_bundle, uint16_t vid) except -1:
    if x.trace is None:
        for bundle in x.bridge.snooping.routers(vid):
            add(x, found, <XBundle> bundle, in_bundle, "mcast router port")
        return 0
    for vlan, bundle in x.bridge.snooping.all_routers():
        if vlan == vid:
            add(x, found, <XBundle> bundle, in_bundle, "mcast router port")
        else:
            x.report("detail", "mcast router is on another vlan, dropping")
    return 0


cdef int add_flood_ports(XlateContext x, list found, XBundle in_bundle) except -1:
    cdef XBundle bundle
    if x.spend(len(x.bridge.bundles) // BUNDLES_PER_WORK):
        return 0
    for bundle in x.bridge.bundles:
        if bundle.mcast_flood:
            add(x, found, bundle, in_bundle, "mcast flood port")
    return 0


cdef int add_report_ports(XlateContext x, list found, XBundle in_bundle) except -1:
    cdef XBundle bundle
    if x.spend(len(x.bridge.bundles) // BUNDLES_PER_WORK):
        return 0
    for bundle in x.bridge.bundles:
        if not bundle.mcast_flood_reports:
            continue
        if bundle is in_bundle:
            x.report("detail", "mcast port is input port, dropping the Report")
            continue
        x.report("detail", "forwarding report to mcast flagged port")
        if bundle not in found:
            found.append(bundle)
    return 0


# --- learning

cdef int note_snooped(XlateContext x, XBundle in_bundle, uint16_t vid) except -1:
    """Of a real packet, for learn_groups()."""
    if not x.side_effects or in_bundle is None:
        return 0
    if x.snooped is None:
        x.snooped = []
    where = (x.bridge, in_bundle, vid)
    if len(x.snooped) < MAX_SNOOPED and where not in x.snooped:
        x.snooped.append(where)
    return 0


cdef int learn_groups(XlateContext x, bytes packet) except -1:
    cdef XBridge bridge
    cdef XBundle bundle
    message = parse(packet, not x.came_packet_type)
    if message is None:
        BAD.count += 1
        return 0
    for bridge, bundle, vid in x.snooped:
        if bridge.snooping.hear(message, vid, bundle, x.now):
            bridge.touch("mcast_snooping")
    return 0
