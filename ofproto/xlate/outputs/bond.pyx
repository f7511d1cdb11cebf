"""Packets out to bonds, and in from them: ovs-vswitchd.conf.db(5), "Bonding Configuration".

A balance-tcp bond has the datapath hash the packet and send it round, as select groups do.  The
state that waits for it says nothing but the bond: a bond costs N_BUCKETS megaflows for each port
that packets come in by, whatever their flows.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from datapath.actions.odp cimport HASH_L4
from datapath.base.protocols cimport *
from datapath.key.flow cimport KEY_DP_SIZE, KEY_SIZE
from ofproto.codec.numbers cimport OFPP_NONE
from ofproto.xlate.state.context cimport XlateContext
from ofproto.xlate.bridges.mac_learning cimport MacEntry
from ofproto.xlate.outputs.netflow cimport netflow_out
from ofproto.xlate.outputs.output cimport is_protected, output_xport, tell_mirrors
from ofproto.xlate.state.recirc cimport FOR_BOND, FrozenState
from ofproto.xlate.bridges.xbond cimport BOND_ACTIVE_BACKUP, BOND_SLB, BOND_TCP, N_BUCKETS, XBond, source_bucket
from ofproto.xlate.bridges.xbridge cimport XBridge, XBundle, XPort
from ofproto.xlate.state.xcache cimport X_BOND, X_STATE, X_WATCH
from ofproto.xlate.bridges.xmirror cimport ALL_MIRRORS

cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)
    uint32_t htonl(uint32_t)
    uint32_t ntohl(uint32_t)

cdef enum:
    STATE_WORK = 150        # a state is named by a hash of all that it has
    ARP_REQUEST = 1
    ARP_REPLY = 2

cdef bytes NO_PIPELINE = bytes(KEY_SIZE - KEY_DP_SIZE)


# --- out

cdef int output_bond(XlateContext x, XBundle bundle, uint16_t vlan) except -1:
    cdef XBond bond = bundle.bond
    if bond.mode == BOND_ACTIVE_BACKUP:
        return output_member(x, bond.active)
    if bond.mode == BOND_SLB or leads_to_bridges(bundle):
        return output_bucket(x, bond, source_bucket(x.flow.eth_src, vlan, bond.basis))
    return have_hashed(x, bundle)


cdef bint leads_to_bridges(XBundle bundle) except -1:
    """Where no member is a port of the datapath, there is no need to ask it."""
    cdef XPort port
    for port in bundle.ports:
        if port.peer is None:
            return False
    return True


cdef int output_member(XlateContext x, port) except -1:
    if port is None:
        return x.report("detail", "no member of the bond is enabled, skipping output")
    return output_xport(x, <XPort> port)


cdef int output_bucket(XlateContext x, XBond bond, int bucket) except -1:
    x.cache.add(X_BOND, bond, None, bucket)
    return output_member(x, bond.buckets[bucket])


cdef int have_hashed(XlateContext x, XBundle bundle) except -1:
    """The datapath is to say which bucket it is."""
    cdef XBond bond = bundle.bond
    cdef FrozenState state
    if is_protected(x, bundle.ports[0]):
        return x.report("warn", "Flow is between protected ports, skipping output.")
    if x.flow.packet_type:
        return x.report("warn", "Trying to send non-Ethernet packet through legacy L2 port. Dropping packet.")
    if bond.lb_id:
        return let_choose(x, bundle)
    if x.spend(STATE_WORK) and x.error is not None:
        return 0
    x.commit()
    x.out.hash(HASH_L4, bond.basis)
    x.hashed = False            # a group's hash is gone
    state = x.recirc.intern(bond_state(x.bridge, bundle.name), x.now)
    if state is None:
        return x.fail("No recirculation context", "no room for another recirculation id")
    x.cache.add(X_STATE, state)
    x.out.recirc(state.id)
    netflow_out(x, (<XPort> bundle.ports[0]).ofp_port)
    tell_mirrors(x, bundle.ports[0])    # here it is known what the packet is
    return 0


cdef int let_choose(XlateContext x, XBundle bundle) except -1:
    """The datapath knows who carries which bucket, and counts by itself."""
    x.commit()
    x.out.lb_output(bundle.bond.lb_id)
    x.n_outputs += 1
    x.last_output = (<XPort> bundle.ports[0]).odp_port
    netflow_out(x, (<XPort> bundle.ports[0]).ofp_port)
    return tell_mirrors(x, bundle.ports[0])


cpdef FrozenState bond_state(XBridge bridge, str name):
    """What waits for a packet that is hashed for the bundle `name`."""
    return FrozenState(bridge, NO_PIPELINE, OFPP_NONE, [], [], [], FOR_BOND, name.encode())


cdef int output_hashed(XlateContext x, FrozenState state) except -1:
    cdef XBundle bundle = x.bridge.bonds.get(state.userdata.decode())
    cdef XBond bond
    if bundle is None:
        return x.report("warn", "the bond is gone")
    bond = bundle.bond
    if bond.mode != BOND_TCP:
        return output_bond(x, bundle, 0)    # packets that were on their way when that changed
    x.mirrors = ALL_MIRRORS     # they had the packet where it was sent round
    x.wc.dp_hash |= htonl(N_BUCKETS - 1)
    return output_bucket(x, bond, ntohl(x.flow.dp_hash) & (N_BUCKETS - 1))


# --- in

cdef str refuse_of_bond(XlateContext x, XBundle bundle, XPort port, uint64_t src):
    cdef XBond bond = bundle.bond
    cdef bint several = bond.mode == BOND_TCP or bond.all_members_active
    if bond.accepting is not None:
        return None if port in bond.accepting else "bonding refused admissibility, dropping"
    if port is not bond.active and not several and (
            bond.mode == BOND_ACTIVE_BACKUP or x.flow.eth_dst[0] & 1):
        return "bonding refused admissibility, dropping"
    if bond.mode == BOND_ACTIVE_BACKUP or (bond.mode == BOND_SLB and several):
        return None
    if is_loop(x, bundle, src):
        return "SLB bond thinks this packet looped back, dropping"
    return None


cdef bint is_loop(XlateContext x, XBundle bundle, uint64_t src) except -1:
    """The packet left by another member before: its source is at another port.  Unless that
    station tells that it has come here, and not the other port just told so."""
    cdef MacEntry entry = x.bridge.mac.lookup(src)
    x.cache.add(X_WATCH, x.bridge.mac, None, src)
    if entry is None or entry.bundle is bundle:
        return False
    return not is_gratuitous(x) or x.now < entry.locked


cdef bint is_gratuitous(XlateContext x) noexcept:
    if x.flow.eth_type != htons(ETH_ARP):
        return False
    memset(x.wc.eth_dst, 0xff, 6)
    if not is_broadcast(x):
        return False
    x.wc.nw_proto = 0xff
    if x.flow.nw_proto == ARP_REPLY:
        return True
    if x.flow.nw_proto != ARP_REQUEST:
        return False
    x.wc.nw_src = x.wc.nw_dst = 0xffffffff
    return x.flow.nw_src == x.flow.nw_dst


cdef bint is_broadcast(XlateContext x) noexcept:
    cdef int i
    for i in range(6):
        if x.flow.eth_dst[i] != 0xff:
            return False
    return True
