"""The state of one translation, and what is kept of it while actions run on a copy of the packet.

Translation itself changes nothing but this state.  What shall be counted or learned for each
packet of the flow is gathered in an XCache; who translates a real packet credits it, trace and
revalidation do not (or later, with the datapath's figures).

What may cost more than a few steps is paid for by spend(): a packet whose work is too much is
dropped, like one of too many resubmits.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memmove, memset

from datapath.actions.odp cimport (
    ACT_CLONE, ACT_OUTPUT, ACT_PUSH_MPLS, ACT_SAMPLE, MAX_NESTING, USERSPACE_ACTION, ActionBuffer, attr,
)
from datapath.base.protocols cimport ETH_ARP, ETH_MPLS, ETH_RARP, TUN_CSUM, TUN_DF, TUN_KEY
from datapath.key.flow cimport flow_key
from ofproto.xlate.state.commit cimport (
    PENDING_NOTHING, commit_actions, commit_pending, hide_inner_vlan, is_ip_any,
)
from ofproto.xlate.bridges.tunnel cimport has_tunnel
from ofproto.xlate.bridges.xbridge cimport Features, XPort
from ofproto.xlate.state.xcache cimport XCache

cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)

cdef enum:
    COPY_WORK = 4           # a snapshot
    VALUES_PER_WORK = 16    # of a stack that is copied
    BYTES_PER_WORK = 1024   # of actions that are moved
    NESTING_FOR_CLONES = 4  # samples in one another, where they stand for clones
    ALWAYS = 0xffffffff     # probability of ACT_SAMPLE


cdef void forget_tracking(flow_key *key) noexcept nogil:
    key.ct_state = key.ct_mark = key.ct_nw_src = key.ct_nw_dst = 0
    key.ct_zone = key.ct_tp_src = key.ct_tp_dst = 0
    key.ct_nw_proto = 0
    memset(key.ct_label, 0, sizeof(key.ct_label))
    memset(key.ct_ipv6_src, 0, sizeof(key.ct_ipv6_src))
    memset(key.ct_ipv6_dst, 0, sizeof(key.ct_ipv6_dst))


cdef void match_tunnel(const flow_key *key, flow_key *wc) noexcept:
    """What says which port's packet it is, and what its coming changes."""
    wc.tun_id = ~<uint64_t> 0
    wc.tun_flags = htons(TUN_DF | TUN_CSUM | TUN_KEY)
    wc.tun_tos = 0xff           # a mark of congestion is carried over
    if key.tun_dst:
        wc.tun_src = wc.tun_dst = 0xffffffff
    else:
        memset(wc.tun_ipv6_src, 0xff, 16)
        memset(wc.tun_ipv6_dst, 0xff, 16)


@cython.freelist(8)
@cython.no_gc
cdef class Snapshot:
    """Lives as long as the copy's actions run."""


cdef class XlateContext:
    def __cinit__(self):
        self.out = ActionBuffer()
        self.recirc = RecircTable()

    cdef int start(self, XBridge bridge, const flow_key *key, int64_t now) except -1:
        """A new translation: everything back to its initial value."""
        self.bridge = bridge
        self.flow = key[0]
        if bridge is not None and bridge.features.vlan_limit == 1:
            hide_inner_vlan(&self.flow)
        self.base = self.flow
        self.came = key
        memset(&self.wc, 0, sizeof(flow_key))
        self.wc.in_port = self.wc.recirc_id = self.wc.packet_type = 0xffffffff
        self.wc.eth_type = 0xffff
        if is_ip_any(&self.flow):
            self.wc.nw_frag = 0xff
        if has_tunnel(key):
            match_tunnel(key, &self.wc)
        self.initial_priority = key.skb_priority
        self.out.clear()
        self.cache = XCache.__new__(XCache)
        self.rule = None
        self.table_id = 0
        self.now = now
        self.generation = 0 if bridge is None else bridge.generation.value
        self.depth = self.resubmits = self.level = 0
        self.mirrors = self.snaplen = 0
        self.sflow_at = self.n_outputs = 0
        self.sampled = bridge
        self.nf_key = None
        self.nf_output = NF_DROP
        self.work = 0
        self.reshaped = self.nesting = 0
        self.pending = PENDING_NOTHING
        self.pending_metadata = None
        self.came_packet_type = key.packet_type
        self.came_eth_type = self.flow.eth_type
        self.in_packet_out = self.in_action_set = self.in_group = False
        self.stop = self.freezing = self.unparsed = self.conntracked = False
        self.waited = False
        self.unrolled = None
        self.tunnel_hidden = False
        self.tunnel_given = None
        self.to_pop = 0
        self.slow = 0
        self.received = self.snooped = None
        self.hashing = self.hashed = False
        self.pausing = None
        self.checking = None
        self.todo = None
        self.stack = None
        self.action_set = None
        self.error = None
        return 0

    cdef XPort port(self, uint16_t number):
        cdef XPort known = self.known_port
        if known is None or known.ofp_port != number or known.bridge is not self.bridge:
            known = self.known_port = self.bridge.ports.get(number)
        return known

    cdef int report(self, str kind, str text) except -1:
        """A line for trace; callers on hot paths ask first whether `trace` is there."""
        return self.note(kind, text)

    cdef int note(self, str kind, step) except -1:
        """The same; `step` is text or has a format(), which is called when it is printed."""
        if self.trace is None:
            return 0
        self.trace.append((self.level, kind, step))
        if len(self.trace) >= self.most_steps:
            self.trace.append((self.level, "warn", "what follows is not shown: %d steps are told"
                               % self.most_steps))
            self.trace = None
        return 0

    cdef int fail(self, str error, str text=None) except -1:
        """`text`, if it says more, is for trace."""
        if self.error is None:
            self.error = error
            if self.steps is not None:
                self.steps.append((self.level, "error", error.lower() if text is None else text))
        self.stop = True
        return 0

    cdef bint spend(self, int64_t units) except -1:
        self.work += units
        if self.work > MAX_WORK:
            self.fail("Too much work", "over %d units of work" % MAX_WORK)
        return self.stop

    cdef int commit(self) except -1:
        while self.to_pop:
            self.to_pop -= 1
            self.out.pop_mpls(htons(ETH_MPLS) if self.to_pop else self.base.eth_type)
        if self.pending:
            commit_pending(self.pending, self.pending_metadata, &self.flow, &self.base, self.out)
            self.pending = PENDING_NOTHING
            self.pending_metadata = None
            self.reshaped += 1
        if self.bridge is not None and not self.bridge.features.set_arp:
            leave_arp(self)
        commit_actions(&self.flow, &self.base, &self.wc, self.out)
        return 0

    cdef int untrack(self) except -1:
        self.conntracked = False
        forget_tracking(&self.flow)
        return 0

    # --- copies of the packet

    cdef Snapshot save(self):
        cdef Snapshot saved = Snapshot()
        if self.pending:
            self.commit()       # of the packet itself, not of the copy
        saved.flow = self.flow
        saved.base = self.base
        saved.start = self.out.length
        saved.reshaped = self.reshaped
        saved.to_pop = self.to_pop
        saved.nesting = self.nesting
        saved.bridge = self.bridge
        saved.mirrors = self.mirrors
        saved.rule = self.rule
        saved.table_id = self.table_id
        saved.stack = None if self.stack is None else list(self.stack)
        saved.action_set = None if self.action_set is None else list(self.action_set)
        saved.in_action_set = self.in_action_set
        saved.in_group = self.in_group
        saved.unparsed = self.unparsed
        saved.conntracked = self.conntracked
        saved.tunnel_hidden = self.tunnel_hidden
        saved.tunnel_given = self.tunnel_given
        self.nesting = 0
        self.depth += 1
        self.spend(COPY_WORK + (len(self.stack) // VALUES_PER_WORK if self.stack else 0))
        return saved

    cdef int restore(self, Snapshot saved, isolation how) except -1:
        """The packet is what it was; what the copy's actions made of it is undone as `how` says.
        An `exit` ended the copy's actions only."""
        cdef bint isolate
        self.depth -= 1
        if self.error is None:
            self.stop = False
        if how == UNDO_NOTHING:
            isolate = (self.reshaped != saved.reshaped
                       or memcmp(&self.base, &saved.base, sizeof(flow_key)) != 0)
        else:
            isolate = changed_shape(self, saved)
        if isolate:
            self.to_pop = pushed_labels(self, saved) if how == UNDO_HEADERS else 0
            if not self.to_pop:
                self.wrap_clone(saved.start)
                self.to_pop = saved.to_pop
            self.base = saved.base
            self.tunnel_given = saved.tunnel_given
        self.pending = PENDING_NOTHING
        self.pending_metadata = None
        self.nesting = max(self.nesting, saved.nesting)
        self.flow = saved.flow
        if self.bridge is not saved.bridge:
            self.mirrors = saved.mirrors
        self.bridge = saved.bridge
        self.rule = saved.rule
        self.table_id = saved.table_id
        self.stack = saved.stack
        self.action_set = saved.action_set
        self.in_action_set = saved.in_action_set
        self.in_group = saved.in_group
        self.unparsed = saved.unparsed
        self.conntracked = saved.conntracked
        self.tunnel_hidden = saved.tunnel_hidden
        return 0

    cdef int wrap_clone(self, uint32_t start) except -1:
        """Makes the actions from offset `start` on a clone's."""
        cdef bytes tail
        cdef uint32_t at
        self.unwrap_last(start)
        tail = (<char *> self.out.data)[start:self.out.length]
        if not tail:
            return 0
        self.spend(<int64_t> len(tail) // BYTES_PER_WORK)
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            self.fail("Clones nested too deep")
        self.out.truncate(start)
        at = start_copy(self)
        self.out.append(<const uint8_t *> <const char *> tail, <uint32_t> len(tail))
        self.out.end_nested(at)
        return 0

    cdef int unwrap_last(self, uint32_t start) except -1:
        cdef uint8_t *data = self.out.data
        cdef uint32_t at = start, size
        while not self.out.failed and at < self.out.length:
            size = ((<attr *> (data + at)).length + 3) & ~3
            if at + size < self.out.length:
                at += size
                continue
            if (<attr *> (data + at)).type != ACT_CLONE:
                break
            size -= sizeof(attr)
            self.spend(size // BYTES_PER_WORK)
            memmove(data + at, data + at + sizeof(attr), size)
            self.out.truncate(at + size)
        return 0


cdef int pushed_labels(XlateContext x, Snapshot saved) except -1:
    """How many labels the copy's actions have put on the packet, if that is all that they did but
    output it: the next action that looks at the packet begins with popping them.  Else 0."""
    cdef uint32_t at = saved.start
    cdef int n = 0
    cdef const attr *a
    if x.to_pop or saved.to_pop or x.reshaped != saved.reshaped or x.base.packet_type:
        return 0
    while at < x.out.length and not x.out.failed:
        a = <const attr *> (x.out.data + at)
        if a.type == ACT_PUSH_MPLS:
            n += 1
        elif a.type != ACT_OUTPUT:
            return 0
        at += (a.length + 3) & ~3
    return n


cdef uint32_t start_copy(XlateContext x) except? 0:
    cdef Features can = x.bridge.features
    if can.clone:
        return x.out.start_nested(ACT_CLONE)
    if can.sample_nesting < NESTING_FOR_CLONES:
        x.fail("Clones nested too deep", "Failed to compose clone action")
    return x.out.start_nested(ACT_SAMPLE, ALWAYS)


cdef int leave_arp(XlateContext x) except -1:
    """What is changed of an ARP packet, vswitchd changes; the operation is part of the match."""
    cdef uint16_t kind = x.flow.eth_type
    if kind != x.base.eth_type or kind != htons(ETH_ARP) and kind != htons(ETH_RARP):
        return 0
    if x.base.nw_proto == 0:
        return 0                # nothing is written there, see set_headers()
    if (x.flow.nw_src != x.base.nw_src or x.flow.nw_dst != x.base.nw_dst
            or x.flow.nw_proto != x.base.nw_proto
            or memcmp(x.flow.arp_sha, x.base.arp_sha, sizeof(x.flow.arp_sha)) != 0
            or memcmp(x.flow.arp_tha, x.base.arp_tha, sizeof(x.flow.arp_tha)) != 0):
        x.slow |= USERSPACE_ACTION
        x.wc.nw_proto = 0xff
    return 0


cdef bint changed_shape(XlateContext x, Snapshot saved) noexcept:
    """Headers were put on or taken off: what these hid cannot be put back by header actions."""
    return (x.reshaped != saved.reshaped or x.base.eth_type != saved.base.eth_type
            or memcmp(x.base.mpls_lse, saved.base.mpls_lse, sizeof(saved.base.mpls_lse)) != 0)
