"""The NORMAL action: a learning switch with VLANs.

How ports treat tags is said in ovs-vswitchd.conf.db(5), "VLAN Configuration" of the Port table.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memset

from datapath.base.protocols cimport *
from datapath.key.flow cimport flow_key, vlan_tag
from ofproto.xlate.bridges.mac_learning cimport MacEntry, mac_key
from ofproto.xlate.bridges.xbridge cimport (
    PRIORITY_TAGS_ALWAYS, PRIORITY_TAGS_NEVER, VLAN_ACCESS, VLAN_DOT1Q_TUNNEL, VLAN_NATIVE_TAGGED,
    VLAN_NATIVE_UNTAGGED, VLAN_TRUNK, XBridge, XBundle, XPort, bundle_allows_cvlan,
    bundle_includes_vlan, bundle_trunks_vlan,
)
from ofproto.xlate.outputs.bond cimport is_gratuitous, output_bond, refuse_of_bond
from ofproto.xlate.state.xcache cimport X_LEARN, X_LOCK, X_WATCH
from ofproto.codec.numbers cimport OFPPC_NO_FLOOD, OFPP_NONE
from ofproto.xlate.state.context cimport NF_FLOOD, XlateContext, flow_in_port
from ofproto.xlate.outputs.multicast cimport is_snooped, multicast_bundles
from ofproto.xlate.outputs.output cimport output_xport

cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)
    uint16_t ntohs(uint16_t)

cdef enum:
    BUNDLES_PER_WORK = 2    # of a flood

# Addresses that forward-bpdu is about, with how many bits of them count.
cdef struct reserved_address:
    uint8_t address[6]
    uint8_t last_mask       # of the last byte

cdef reserved_address RESERVED[8]
_rows = (
    ("0180c2000000", 0xf0),     # IEEE 802.1D: STP, pause, LACP, LLDP ...
    ("00e02b000000", 0xff),     # Extreme: EDP
    ("00e02b000004", 0xfd),     # Extreme: EAPS, 04 and 06
    ("01000ccccccc", 0xff),     # Cisco: CDP, VTP, DTP, PAgP, UDLD
    ("01000ccccccd", 0xff),     # Cisco: PVST+
    ("01000ccdcdcd", 0xff),     # Cisco: STP uplink fast
    ("01000c000000", 0xff),     # Cisco: inter switch link
    ("01000cccccc0", 0xf8),     # Cisco: CFM
)
cdef int _i, _j
for _i in range(8):
    _text, _last = _rows[_i]
    for _j in range(6):
        RESERVED[_i].address[_j] = bytes.fromhex(_text)[_j]
    RESERVED[_i].last_mask = _last


cdef bint is_reserved(const uint8_t *mac) noexcept nogil:
    cdef int i
    for i in range(8):
        if (memcmp(mac, RESERVED[i].address, 5) == 0
                and not (mac[5] ^ RESERVED[i].address[5]) & RESERVED[i].last_mask):
            return True
    return False


cdef void extract_tags(const flow_key *flow, xtag *tags) noexcept nogil:
    cdef uint16_t tci
    cdef int i
    for i in range(2):
        tci = ntohs(flow.vlan[i].tci)
        tags[i].tpid = ntohs(flow.vlan[i].tpid) if tci & VLAN_CFI else 0
        tags[i].vid = tci & 0xfff if tci & VLAN_CFI else 0
        tags[i].pcp = tci & 0xe000 if tci & VLAN_CFI else 0


cdef void put_tags(flow_key *flow, const xtag *tags, int priority_tags) noexcept nogil:
    """A tag with VID and priority 0 is there only where priority_tags wants it, or inside another."""
    cdef uint16_t tci
    cdef int i, n = 0
    cdef vlan_tag fresh[2]
    memset(fresh, 0, sizeof(fresh))
    for i in range(2):
        tci = tags[i].vid | tags[i].pcp
        if (tci or (i == 0 and priority_tags == PRIORITY_TAGS_ALWAYS)
                or (tags[i].tpid and i == 1)):
            fresh[n].tpid = htons(tags[i].tpid if tags[i].tpid else ETH_VLAN)
            fresh[n].tci = htons(tci | VLAN_CFI)
            n += 1
    flow.vlan[0] = fresh[0]
    flow.vlan[1] = fresh[1]


cdef str refusal(XBundle bundle, uint16_t vid):
    """Why a packet tagged with `vid` (0: none) may not come in here; None: it may."""
    if bundle.mode == VLAN_ACCESS:
        if vid:
            return (f"dropping VLAN {vid} tagged packet received on port {bundle.name} configured"
                    f" as VLAN {bundle.vlan} access port")
        return None
    if bundle.mode == VLAN_DOT1Q_TUNNEL:
        if not bundle_allows_cvlan(bundle, vid):
            return (f"dropping VLAN {vid} packet received on dot1q-tunnel port {bundle.name} that"
                    " excludes this VLAN")
        return None
    if not vid and bundle.mode != VLAN_TRUNK:
        return None
    if not bundle_trunks_vlan(bundle, vid):
        return (f"dropping VLAN {vid} packet received on port {bundle.name} not configured for"
                f" trunking VLAN {vid}")
    return None


cdef void tags_in(XBundle bundle, const xtag *packet, xtag *tags) noexcept:
    """From the packet's tags to those inside the switch."""
    tags[0] = packet[0]
    tags[1] = packet[1]
    if bundle.mode == VLAN_DOT1Q_TUNNEL:
        tags[1] = packet[0]
        tags[0].tpid = bundle.qinq_tpid
        tags[0].vid = bundle.vlan
        tags[0].pcp = 0
    elif bundle.mode == VLAN_ACCESS or (not packet[0].vid and bundle.mode != VLAN_TRUNK):
        tags[0].vid = bundle.vlan


cdef void tags_out(XBundle bundle, const xtag *tags, xtag *packet) noexcept:
    """From the tags inside the switch to those on the wire."""
    packet[0] = tags[0]
    packet[1] = tags[1]
    if bundle.mode == VLAN_ACCESS:      # a customer's tag inside is none of its business
        memset(packet, 0, 2 * sizeof(xtag))
        if bundle.priority_tags_ != PRIORITY_TAGS_NEVER:
            packet[0].pcp = tags[0].pcp
    elif bundle.mode == VLAN_DOT1Q_TUNNEL:
        packet[0] = tags[1]
        memset(&packet[1], 0, sizeof(xtag))
        if not tags[1].tpid and bundle.priority_tags_ != PRIORITY_TAGS_NEVER:
            packet[0].pcp = tags[0].pcp     # of a frame that came without a customer's tag
    elif bundle.mode == VLAN_NATIVE_UNTAGGED and tags[0].vid == bundle.vlan:
        packet[0].vid = 0
        if bundle.priority_tags_ == PRIORITY_TAGS_NEVER:
            packet[0].pcp = 0


cdef int output_bundle(XlateContext x, XBundle bundle, const xtag *tags) except -1:
    cdef xtag packet[2]
    cdef vlan_tag old[2]
    if not bundle.ports:
        return 0
    tags_out(bundle, tags, packet)
    old[0] = x.flow.vlan[0]
    old[1] = x.flow.vlan[1]
    if tags[0].tpid and (bundle.mode == VLAN_ACCESS or bundle.mode == VLAN_DOT1Q_TUNNEL
                         or not packet[0].vid):
        # Whether a tag stays depends on the priority, what comes out on the one inside.
        x.wc.vlan[0].tci = x.wc.vlan[1].tci = 0xffff
    if not x.flow.packet_type:      # what has no Ethernet has no place for a tag
        put_tags(&x.flow, packet, bundle.priority_tags_)
    if bundle.bond is not None:
        output_bond(x, bundle, tags[0].vid)
    else:
        output_xport(x, first_up(bundle))
    x.flow.vlan[0] = old[0]
    x.flow.vlan[1] = old[1]
    return 0


cdef XPort first_up(XBundle bundle):
    cdef XPort port
    for port in bundle.ports:
        if port.up:
            return port
    return <XPort> bundle.ports[0]


cdef int flood(XlateContext x, XBundle in_bundle, const xtag *tags) except -1:
    cdef XBundle bundle
    if x.spend(len(x.bridge.bundles) // BUNDLES_PER_WORK):
        return 0
    for bundle in list(x.bridge.bundles):
        if x.stop:
            break
        if is_in_vlan(x, bundle, tags) and bundle is not in_bundle and bundle_floods(bundle):
            output_bundle(x, bundle, tags)
    x.nf_output = NF_FLOOD
    return 0


cdef bint is_in_vlan(XlateContext x, XBundle bundle, const xtag *tags) noexcept:
    """Whether the packet may leave there by its tags; not where a mirror has the bundle."""
    if tags[0].tpid and (bundle.has_cvlans or (
            bundle.mode == VLAN_ACCESS and tags[0].vid == bundle.vlan)):
        x.wc.vlan[0].tci |= htons(0x1fff)       # whichever of the two is the inner one
        x.wc.vlan[1].tci |= htons(0x1fff)
    return (bundle_includes_vlan(bundle, tags[0].vid, tags[1].vid)
            and not bundle.mirror_out)


cdef int send_multicast(XlateContext x, XBundle in_bundle, const xtag *tags) except -1:
    cdef list bundles = multicast_bundles(x, in_bundle, tags[0].vid)
    if bundles is None:
        return flood(x, in_bundle, tags)
    for bundle in bundles:
        if x.stop:
            break
        if is_in_vlan(x, <XBundle> bundle, tags):
            output_bundle(x, <XBundle> bundle, tags)
    return 0


cdef bint bundle_floods(XBundle bundle) except -1:
    """A bundle whose ports are all NO_FLOOD gets no flooded packet."""
    cdef XPort port
    if not bundle.floodable:
        return False
    for port in bundle.ports:
        if not port.config & OFPPC_NO_FLOOD and port.forwards:
            return True
    return False


cdef uint64_t remember(XlateContext x, XBundle in_bundle, uint16_t vid) except? 0:
    """Has the source learned and both addresses watched; the destination's key."""
    cdef uint64_t src = mac_key(vid, x.flow.eth_src), dst = mac_key(vid, x.flow.eth_dst)
    x.cache.add(X_WATCH, x.bridge.mac, None, dst)
    if learns_source(x, in_bundle, vid):
        x.cache.add(X_LEARN, x.bridge, in_bundle, src)
        if x.trace is not None and x.side_effects:
            report_learned(x, in_bundle, vid, x.bridge.mac.lookup(src))
        if in_bundle.bond is None and is_gratuitous(x) and x.bridge.bonds:
            x.cache.add(X_LOCK, x.bridge.mac, None, src)
    return dst


cdef bint learns_source(XlateContext x, XBundle in_bundle, uint16_t vid) except -1:
    return in_bundle is not None and not (x.flow.packet_type or x.flow.eth_src[0] & 1) and (
        not x.bridge.mac.flood_vlans or vid not in x.bridge.mac.flood_vlans)


cdef bint is_to_itself(XlateContext x, XBundle in_bundle, uint16_t vid, MacEntry known) except -1:
    """The destination is the source, which is learned first: it is where the packet came from,
    whatever is known of it so far.  A trace that has no side effects learns nothing."""
    return (memcmp(x.flow.eth_src, x.flow.eth_dst, 6) == 0 and learns_source(x, in_bundle, vid)
            and (x.trace is None or x.side_effects) and (known is None or not known.static))


cdef int report_learned(XlateContext x, XBundle bundle, uint16_t vid, MacEntry known) except -1:
    """A station that is new, or was somewhere else."""
    if known is not None and (known.static or known.bundle is bundle):
        return 0
    mac = (<char *> x.flow.eth_src)[:6].hex(":")
    return x.report("detail", f"learned that {mac} is on port {bundle.name} in VLAN {vid}")


cdef int xlate_normal(XlateContext x) except -1:
    cdef flow_key *flow = &x.flow
    cdef xtag packet[2]
    cdef xtag tags[2]
    cdef XPort in_port = x.port(flow_in_port(flow))
    cdef XBundle in_bundle = in_port.bundle if in_port is not None else None
    cdef MacEntry entry
    cdef uint64_t dst
    cdef str why
    if not flow.packet_type:    # else there are no addresses: only tunnels take such packets
        memset(x.wc.eth_src, 0xff, 6)
        memset(x.wc.eth_dst, 0xff, 6)
        x.wc.vlan[0].tci |= htons(0x1fff)
    if in_bundle is None and flow_in_port(flow) != OFPP_NONE and flow_in_port(flow) != 0xfffd:
        if in_port is None and x.trace is not None:
            x.report("error", "received packet on unknown port %d" % flow_in_port(flow))
        return x.report("warn", "no input bundle, dropping")
    if flow.eth_type == htons(ETH_VLAN) and not flow.vlan[0].tci & htons(VLAN_CFI):
        return x.report("warn", "partial VLAN tag, dropping")
    extract_tags(flow, packet)
    if in_bundle is not None:
        why = refusal(in_bundle, packet[0].vid)
        if why is not None:
            x.report("error", why)
            return x.report("warn", "disallowed VLAN VID for this input port, dropping")
        if in_bundle.mode == VLAN_DOT1Q_TUNNEL and packet[0].tpid:
            x.wc.vlan[1].tci |= htons(VLAN_CFI)
            if packet[1].tpid:      # the key has room for two: a third would be lost
                return x.report("detail", "no room for another VLAN tag, dropping")
        tags_in(in_bundle, packet, tags)
        if not x.bridge.forward_bpdu and is_reserved(flow.eth_dst):
            return x.report("detail", "packet has reserved destination MAC, dropping")
        if in_bundle.bond is not None:
            why = refuse_of_bond(x, in_bundle, in_port, mac_key(tags[0].vid, flow.eth_src))
            if why is not None:
                return x.report("detail", why)
    else:
        tags[0] = packet[0]
        tags[1] = packet[1]
    dst = remember(x, in_bundle, tags[0].vid)
    if is_snooped(x):
        return send_multicast(x, in_bundle, tags)
    entry = None
    if not flow.eth_dst[0] & 1:
        entry = x.bridge.mac.lookup(dst)
    if is_to_itself(x, in_bundle, tags[0].vid, entry) or (
            entry is not None and entry.bundle is in_bundle):
        return x.report("detail", "learned port is input port, dropping")
    if entry is None:
        x.report("detail", "no learned MAC for destination, flooding")
        return flood(x, in_bundle, tags)
    x.report("detail", "forwarding to learned port")
    return output_bundle(x, <XBundle> entry.bundle, tags)
