"""The datapath's flows as vswitchd knows them: ukeys, and translation of a datapath key.

UpcallHandler fills them in for packets that come up; Revalidator keeps them right.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from datapath.actions.odp cimport USERSPACE_ACTION
from datapath.base.packet cimport packet as packet_view, packet_init
from datapath.ipc.upcall_rings cimport UpcallRings
from datapath.key.flow cimport (
    KEY_DP_SIZE, KEY_PACKET_SIZE, KEY_SIZE, flow_extract, flow_key, flow_wildcards_for,
)
from datapath.key.ufid cimport find_words, name_by_words
from ofproto.rules.program cimport Program
from ofproto.flows.ukeys cimport PortShare, Ukey, UkeyTable
from ofproto.xlate.state.context cimport XlateContext, set_in_port
from ofproto.xlate.outputs.multicast cimport learn_groups
from ofproto.xlate.state.recirc cimport FrozenState
from ofproto.xlate.outputs.tnl_push cimport find_port
from ofproto.xlate.bridges.option_keys cimport mask_to_datapath, to_datapath, to_tables
from ofproto.xlate.bridges.tunnel cimport TunnelTable, has_tunnel
from ofproto.xlate.bridges.xbridge cimport NO_ODP_PORT, Generation, XBridge, XPort
from ofproto.xlate.state.xcache cimport XCache
from ofproto.xlate.xlate cimport xlate_packet, xlate_program, xlate_resume

from ofproto.codec.actions import Output
from ofproto.codec.numbers import OFPP_TABLE
from ofproto.rules.compile import compile_actions
from ofproto.underlay.underlay import Underlay
from ofproto.flows.inbox import Inbox
from pyvs import coverage

cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)
    uint32_t htonl(uint32_t)
    uint16_t ntohs(uint16_t)
    uint32_t ntohl(uint32_t)

cdef enum:
    CT_STATES = 0xff        # bits of ct_state that have a meaning
    VLAN_VID = 0x0fff
    VLAN_CFI = 0x1000
    FLOW_LIMIT = 200000     # as other_config:flow-limit
    MAX_MASKS = 10000       # distinct masks remembered for sharing
    LOST_AT_ONCE = 8000     # flows: some milliseconds
    MAX_CREDITED = 100000   # counters remembered of flows that may come back
    MAX_EFFECTS = 8 << 20   # of all flows together: 256 MB

COUNTS = ("upcalls", "misses", "packet_ins", "installed", "executed_only", "flow_limit_hit",
          "unknown_port", "unknown_state", "xlate_errors", "execute_errors", "ring_full")

XLATE_ERRORS = {}           # error -> coverage counter


cdef count_error(str error):
    """Translation drops packets under a name: xlate_too_much_work, for instance."""
    found = XLATE_ERRORS.get(error)
    if found is None:
        found = XLATE_ERRORS[error] = coverage.counter("xlate_" + error.lower().replace(" ", "_"))
    found.count += 1


cdef void track_as(flow_key *key, const flow_key *other) noexcept nogil:
    """What the tracker said of another packet is said of this one."""
    key.ct_state = other.ct_state
    key.ct_mark = other.ct_mark
    key.ct_zone = other.ct_zone
    key.ct_nw_proto = other.ct_nw_proto
    key.ct_nw_src = other.ct_nw_src
    key.ct_nw_dst = other.ct_nw_dst
    key.ct_tp_src = other.ct_tp_src
    key.ct_tp_dst = other.ct_tp_dst
    memcpy(key.ct_label, other.ct_label, 16)
    memcpy(key.ct_ipv6_src, other.ct_ipv6_src, 16)
    memcpy(key.ct_ipv6_dst, other.ct_ipv6_dst, 16)


cdef class Flows:
    """Of one datapath.  Whoever installs flows there notes them here."""

    def __init__(self, dpif=None):
        self.dpif = dpif
        self.rings = dpif if isinstance(dpif, UpcallRings) else None
        self.generation = Generation()
        self.max_flows = self.flow_limit = FLOW_LIMIT
        self.xlate = XlateContext()
        self.recirc = self.xlate.recirc
        self.bridges = []
        self.features = Features()
        self.set_underlay(Underlay())
        self.ports = {}
        self.tunnels = TunnelTable()
        self.table = UkeyTable()
        self.by_port = {}
        self.lost = []
        self.credited = {}
        self.masks = {}
        self.inbox = Inbox()

    # --- configuration

    def set_dpif(self, dpif):
        """After a reconnect; None: disconnected.  What is known of flows is forgotten, with None
        by forget_lost()."""
        self.lost += self.table.take_all()
        self.by_port = {}
        self.last_share = None
        while dpif is not None and self.forget_lost():
            pass
        self.dpif = dpif
        self.rings = dpif if isinstance(dpif, UpcallRings) else None
        self.settled = self.looked = False

    def forget_lost(self):
        """Some of the flows of a datapath that is gone are let go; whether there are more.  What
        they have counted is known for the next datapath once there are none."""
        cdef list some = self.lost[-LOST_AT_ONCE:]
        cdef Ukey ukey
        del self.lost[-LOST_AT_ONCE:]
        for ukey in some:
            self.lose_ukey(ukey, 0)
        return len(self.lost) > 0

    @property
    def forgetting(self):
        """Whether forget_lost() is to be called."""
        return len(self.lost) > 0

    cdef bint settle(self) except -1:
        """Whether the datapath has no flows but ours, or those that it had are adopted.

        Before that nothing is installed: a flow made with half of the configuration would take
        the packets of known ones.  The Revalidator says when the adoption is over.
        """
        if not self.settled and not self.looked and self.dpif is not None:
            self.looked = self.settled = True
            for info in self.dpif.flow_dump(terse=True):
                if self.find(info.ufid) is None:
                    self.settled = False
                    break
        return self.settled

    cdef bint change(self, Ukey ukey, bytes actions) except -1:
        """By the ring: the datapath does it before it answers the next upcall."""
        if self.rings is None or not self.rings.n_workers:
            self.dpif.flow_put(ukey.key, ukey.mask, actions, ufid=ukey.ufid)
            return True
        return 0 == self.rings.install(
            ukey.workers, ukey.name, <const flow_key *> <const char *> ukey.key,
            <const flow_key *> <const char *> ukey.mask, <const uint8_t *> <const char *> actions,
            <uint32_t> len(actions))

    def add_bridge(self, XBridge bridge):
        """Its MAC table is aged and its moves are followed from now on."""
        if bridge not in self.bridges:
            self.bridges.append(bridge)
            bridge.underlay = self.underlay
            bridge.features = self.features

    def remove_bridge(self, XBridge bridge):
        """Flows that lead through it are found by the next revalidation."""
        if bridge in self.bridges:
            self.bridges.remove(bridge)
            bridge.underlay = None
            self.recirc.forget_bridge(bridge)
            self.generation.touch()

    def set_underlay(self, underlay):
        """The tables of routes and neighbours of all bridges."""
        cdef XBridge bridge
        self.underlay = underlay
        underlay.bridges = self.bridges
        underlay.told = self.generation.touch
        for bridge in self.bridges:
            bridge.underlay = underlay
        self.generation.touch()

    def solicit(self, int64_t now):
        """Sends what is due of questions for neighbours, as the host would: through the tables of
        the bridge.  Raises DpifError."""
        cdef XPort port
        if not self.underlay.asked:
            return
        for device, frame in self.underlay.frames_to_send(now):
            port = find_port(self.underlay, device)
            if port is not None:
                if self.solicitor is None:
                    self.solicitor = compile_actions([Output(OFPP_TABLE)])
                self.packet_out(port.bridge, frame, port.ofp_port, bytes(KEY_SIZE),
                                <Program> self.solicitor, now)

    def port_set(self, uint32_t odp_port, XPort port):
        """Packets of this datapath port come in by `port`."""
        cdef XPort old = self.ports.get(odp_port)
        if old is not None and old is not port and old.odp_port == odp_port:
            old.odp_port = <uint32_t> NO_ODP_PORT
        if port.odp_port != odp_port and self.ports.get(port.odp_port) is port:
            del self.ports[port.odp_port]
        self.ports[odp_port] = port
        self.last_port = None
        port.odp_port = odp_port
        self.generation.touch()

    def port_del(self, uint32_t odp_port):
        """Packets of this datapath port are dropped from now on."""
        cdef XPort port = self.ports.pop(odp_port, None)
        self.last_port = None
        if port is not None:
            if port.odp_port == odp_port:
                port.odp_port = <uint32_t> NO_ODP_PORT
            self.generation.touch()

    def tunnel_set(self, uint32_t odp_port, XPort port):
        """Packets of this datapath port that `port.tunnel` says are for `port` come in by it.
        ValueError where they are another port's."""
        self.tunnels.add(odp_port, port.tunnel, port)
        port.odp_port = odp_port
        self.generation.touch()

    def tunnel_del(self, XPort port):
        """Its packets are dropped from now on, or another port's that names less of them."""
        self.tunnels.remove(port)
        port.odp_port = <uint32_t> NO_ODP_PORT
        self.generation.touch()

    def port_get(self, uint32_t odp_port):
        """The XPort, or None; tunnel ports have none of their own."""
        return self.ports.get(odp_port)

    def port_for(self, bytes key):
        """The XPort of a packet with this datapath key, or None."""
        if len(key) < KEY_DP_SIZE:
            raise ValueError(f"a datapath key has {KEY_DP_SIZE} bytes")
        return self.port_of(<const flow_key *> <const char *> key)

    cdef XPort port_of(self, const flow_key *key):
        if has_tunnel(key):
            return <XPort> self.tunnels.find(key)
        if self.last_port is None or self.last_number != key.in_port:
            self.last_port = self.ports.get(ntohl(key.in_port))
            self.last_number = key.in_port
        return self.last_port

    @property
    def counts(self):
        """What was counted since the start, as it is now."""
        return {COUNTS[kind]: self.n[kind] for kind in range(N_COUNTS)}

    def stats(self):
        """Counters of upcalls, and the number of flows."""
        return dict(self.counts, flows=self.table.n, states=len(self.recirc))

    def with_seen_key(self, info):
        """A FlowInfo of the datapath, which has what is matched only, with the key of the packet
        that the flow was made for, where that is known."""
        cdef Ukey ukey = self.find(info.ufid)
        return info if ukey is None else info._replace(key=ukey.key)

    def ukeys(self):
        """A snapshot of all flows."""
        return self.table.values()

    def __len__(self):
        return self.table.n

    # --- translation

    cdef bint translate(self, const flow_key *key, int64_t now) except -1:
        cdef XPort port = self.port_of(key)
        cdef FrozenState state
        cdef XBridge bridge
        cdef flow_key flow
        memset(&flow, 0, sizeof(flow))
        memcpy(&flow, key, KEY_DP_SIZE)
        # A packet-out that was sent round came in by no port: its state tells by which it did.
        if (port is None or port.bridge is None) and (key.in_port or not key.recirc_id):
            self.n[N_UNKNOWN_PORT] += 1
            return False
        if key.recirc_id:
            state = self.recirc.get(ntohl(key.recirc_id))
            if state is None:
                self.n[N_UNKNOWN_STATE] += 1
                return False
            bridge = state.bridge
            if flow.tun_opts_size:
                to_tables(bridge.options, &flow)
            xlate_resume(self.xlate, state, &flow, now)
        else:
            bridge = port.bridge
            if flow.tun_opts_size:
                to_tables(bridge.options, &flow)
            set_in_port(&flow, port.ofp_port)
            xlate_packet(self.xlate, port.bridge, &flow, now)
        if self.xlate.error is not None:
            self.n[N_XLATE_ERRORS] += 1
            count_error(self.xlate.error)
        if self.exact:
            flow_wildcards_for(key, &self.xlate.wc)
            self.xlate.wc.ct_state = htonl(CT_STATES)
        else:
            # A flow says that there is no tag by saying nothing of one: as in Open vSwitch's
            # userspace datapath, no flow leaves that open, nor a tag's Ethertype.
            self.xlate.wc.vlan[0].tpid = 0xffff
            if not self.xlate.wc.vlan[0].tci:
                self.xlate.wc.vlan[0].tci = htons(VLAN_VID | VLAN_CFI)
            if self.xlate.wc.vlan[1].tci or (self.features.vlan_limit == 1 and flow.vlan[0].tpid):
                self.xlate.wc.vlan[1].tpid = 0xffff
            if has_tunnel(key):
                mask_to_datapath(bridge.options, key, &self.xlate.wc)
            elif self.xlate.wc.tun_present:     # only written
                memset(self.xlate.wc.tun_metadata, 0, sizeof(flow.tun_metadata))
        return True

    cdef int name_flow(self, const flow_key *key, uint8_t *ufid) except -1:
        self.shared_mask(&self.xlate.wc)
        name_by_words(<const uint64_t *> key, <const uint64_t *> &self.xlate.wc, &self.last_words, ufid)
        return 0

    def packet_out(self, XBridge bridge, bytes packet, int in_port, bytes sent, Program program,
                   int64_t now):
        """Runs an OpenFlow action list on a packet, with statistics and learning.  `sent`: a key
        with what the controller says of its mark, tunnel, metadata and registers."""
        cdef flow_key key
        cdef uint32_t odp_port = key_of(packet, bridge, in_port, sent, &key)
        take_sent(&key, sent, KEY_SIZE)
        set_in_port(&key, in_port)
        self.xlate.side_effects = True
        try:
            xlate_program(self.xlate, bridge, &key, program, now)
        finally:
            self.xlate.side_effects = False
        self.run_translation(bridge, packet, odp_port, &key, now)

    def resume(self, FrozenState state, bytes packet, bytes sent, int64_t now):
        """A packet that waited for a controller goes on, as packet_out() does.  `sent`: a key with
        what the controller says of packet metadata and tunnel."""
        cdef flow_key key
        cdef uint32_t odp_port = key_of(packet, state.bridge, state.in_port, sent, &key)
        take_sent(&key, sent, KEY_DP_SIZE)
        self.xlate.side_effects = True
        try:
            xlate_resume(self.xlate, state, &key, now)
        finally:
            self.xlate.side_effects = False
        self.run_translation(state.bridge, packet, odp_port, &key, now)

    cdef int run_translation(self, XBridge bridge, bytes packet, uint32_t odp_port,
                             const flow_key *key, int64_t now) except -1:
        """What the last translation made of a packet happens to it."""
        cdef flow_key known
        self.xlate.cache.credit(1, len(packet), now)
        self.xlate.cache.finish_tcp(ntohs(key.tcp_flags))
        self.xlate.cache.end_flow()
        if self.xlate.received is not None:
            self.inbox.put(self.xlate.received, packet)
        if self.xlate.snooped is not None:
            learn_groups(self.xlate, packet)
        if self.xlate.out.length and self.dpif is not None:
            # What translation took the packet to have already, it must have in the datapath.
            known = key[0]
            if known.tun_present:
                to_datapath(bridge.options, &known)
            known.in_port = htonl(odp_port)
            if self.rings is None or self.rings.execute_packet(
                    <const uint8_t *> <const char *> packet, <uint32_t> len(packet), &known,
                    self.xlate.out.data, self.xlate.out.length):
                self.dpif.execute(packet, self.xlate_actions(), in_port=odp_port,
                                  packet_type=ntohl(key.packet_type), pkt_mark=ntohl(key.pkt_mark),
                                  key=(<char *> &known)[:KEY_DP_SIZE])
        return 0

    # --- flows

    def flush(self):
        """Deletes all flows from the datapath."""
        cdef Ukey ukey
        if self.dpif is not None:
            self.dpif.flow_flush()
        self.credited.clear()
        for ukey in self.table.values():
            self.remove_ukey(ukey, 0)

    cdef Ukey find(self, bytes ufid):
        return self.table.find(<const uint8_t *> <const char *> ufid) if len(ufid) == 16 else None

    cdef PortShare share_of(self, uint32_t in_port):
        """None: the datapath has no flow of it."""
        if self.last_share is None or self.last_share.in_port != in_port:
            self.last_share = self.by_port.get(in_port)
        return self.last_share

    cdef bint has_room(self, const flow_key *key) except -1:
        """At the limit, ports that have less than their share of it may still have flows: what
        floods one port does not keep the others' packets from being forwarded by flows."""
        cdef Py_ssize_t n = self.table.n
        cdef PortShare share
        if self.n_effects >= MAX_EFFECTS:
            return False
        if n < self.flow_limit:
            return True
        if n >= 2 * <Py_ssize_t> self.flow_limit or not self.by_port:
            return False
        share = self.share_of(key.in_port)
        return ((0 if share is None else share.n)
                < <Py_ssize_t> self.flow_limit // (len(self.by_port) + 1))

    cdef Ukey add_ukey(self, const uint8_t *ufid, bytes key, bytes mask, int64_t now):
        cdef Ukey ukey = Ukey.__new__(Ukey)
        cdef uint32_t in_port = (<const flow_key *> <const char *> key).in_port
        memcpy(ukey.name, ufid, 16)
        ukey.key = key
        ukey.mask = mask
        ukey.created = now
        ukey.workers = ~<uint64_t> 0
        self.table.add(ukey, now)
        ukey.share = self.share_of(in_port)
        if ukey.share is None:
            ukey.share = self.last_share = self.by_port[in_port] = PortShare.__new__(PortShare)
            ukey.share.in_port = in_port
        ukey.share.n += 1
        return ukey

    cdef int take_translation(self, Ukey ukey, int64_t now) except -1:
        """The last translation's actions become the flow's, and its packets are credited to what
        that went through; those that the datapath counted before, to what they went through."""
        cdef XCache cache = self.xlate.cache, old = ukey.cache
        cache.keep_states(self.recirc, True, now)
        self.n_effects += cache.n
        if ukey.actions is None or not same_actions(ukey, self.xlate):
            ukey.actions = self.xlate_actions()
        if old is not None:
            old.watch(ukey, False)
            if ukey.previous is None and not old.credits_same(cache):
                ukey.previous = old
            else:
                self.drop_cache(old, None, now)
        ukey.cache = cache
        # Of when translation began: what it learned may change what it found.
        ukey.generation = self.xlate.generation or self.generation.value
        cache.watch(ukey, True)
        cache.use_rules(1)
        return 0

    cdef int drop_cache(self, XCache cache, Ukey ukey, int64_t now) except -1:
        """`ukey`, if any, watches for it."""
        if cache is None:
            return 0
        if ukey is not None:
            cache.watch(ukey, False)
        cache.use_rules(-1)
        cache.keep_states(self.recirc, False, now)
        self.n_effects -= cache.n
        return 0

    cdef int remove_ukey(self, Ukey ukey, int64_t now) except -1:
        if ukey.dead:
            return 0
        ukey.dead = True
        if ukey.cache is not None:
            ukey.cache.end_flow()
        self.drop_cache(ukey.cache, ukey, now)
        self.drop_cache(ukey.previous, None, now)
        ukey.cache = ukey.previous = None
        if self.table.remove(ukey):     # else it was lost with others
            ukey.share.n -= 1
            if not ukey.share.n:
                del self.by_port[ukey.share.in_port]
                self.last_share = None
        ukey.share = None
        return 0

    cdef int lose_ukey(self, Ukey ukey, int64_t now) except -1:
        if ukey.packets and not ukey.dead and len(self.credited) < MAX_CREDITED:
            self.credited[ukey.ufid] = (ukey.packets, ukey.n_bytes)
        return self.remove_ukey(ukey, now)

    cdef int slow_down(self) except -1:
        if self.xlate.slow:
            self.xlate.out.clear()
            self.xlate.out.userspace(USERSPACE_ACTION | self.xlate.slow, NULL, 0)
        return 0

    cdef bytes xlate_actions(self):
        return (<char *> self.xlate.out.data)[:self.xlate.out.length] if self.xlate.out.length else b""

    cdef bytes shared_mask(self, const flow_key *mask):
        """The datapath's part of a mask; equal ones are one object."""
        if self.last_mask is not None and not memcmp(<const char *> self.last_mask, mask,
                                                     KEY_DP_SIZE):
            return self.last_mask
        find_words(<const uint64_t *> mask, &self.last_words)
        found = (<char *> mask)[:KEY_DP_SIZE]
        if len(self.masks) > MAX_MASKS:
            self.masks.clear()
        self.last_mask = self.masks.setdefault(found, found)
        return self.last_mask


cdef int take_sent(flow_key *key, const char *sent, size_t end) noexcept:
    """A packet's mark and connection, and what stands between its headers and `end`, as a controller says it."""
    memcpy(<uint8_t *> key + KEY_PACKET_SIZE, sent + KEY_PACKET_SIZE, end - KEY_PACKET_SIZE)
    key.pkt_mark = (<const flow_key *> sent).pkt_mark
    track_as(key, <const flow_key *> sent)
    return 0


cdef uint32_t key_of(bytes packet, XBridge bridge, int in_port, const char *sent,
                     flow_key *key) except? 0xffffffff:
    """The key of a packet that comes from a controller, but for its in_port; returns the datapath
    port that stands for it, 0 where there is none."""
    cdef XPort port = bridge.ports.get(in_port)
    cdef uint32_t odp_port = 0
    cdef packet_view view
    if port is not None and port.odp_port != <uint32_t> NO_ODP_PORT:
        odp_port = port.odp_port
    # Nothing is written by extraction.
    packet_init(&view, <uint8_t *> <const char *> packet, <uint32_t> len(packet), 0,
                <uint32_t> len(packet))
    view.in_port = htonl(odp_port)
    view.packet_type = (<const flow_key *> sent).packet_type
    memset(key, 0, sizeof(flow_key))
    flow_extract(&view, key)
    return odp_port


cdef bint same_actions(Ukey ukey, XlateContext x) except -1:
    cdef Py_ssize_t length = len(ukey.actions)
    return (length == <Py_ssize_t> x.out.length
            and (not length or memcmp(<const char *> ukey.actions, x.out.data, length) == 0))
