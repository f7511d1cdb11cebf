"""The state of one translation, and output: what NORMAL and the OpenFlow actions share.

Translation itself changes nothing but its own state.  What shall be counted or learned for each
packet of the flow is gathered in an XCache; who translates a real packet credits it, trace and
revalidation do not (or later, with the datapath's figures).
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from datapath.key.flow cimport KEY_DP_SIZE, KEY_PACKET_SIZE, KEY_SIZE, flow_key
from datapath.actions.odp cimport ACT_CLONE, ACT_SAMPLE, HASH_SYM_L4, ActionBuffer
from ofproto.xlate.commit cimport commit_actions, is_ip_any
from ofproto.xlate.xbridge cimport NO_ODP_PORT
from ofproto.xlate.xcache cimport X_PATCH, X_STATE, XCache
from ofproto.codec.numbers cimport (
    OFPPC_NO_FLOOD, OFPPC_NO_FWD, OFPPC_NO_RECV, OFPPC_NO_RECV_STP, OFPPC_PORT_DOWN, OFPP_NONE,
)

cdef uint8_t STP_ADDRESS[6]
STP_ADDRESS[:] = [0x01, 0x80, 0xc2, 0, 0, 0]


cdef class XlateBase:
    def __cinit__(self):
        self.out = ActionBuffer()
        self.recirc = RecircTable()

    cdef int start(self, XBridge bridge, const flow_key *key, int64_t now) except -1:
        """A new translation: everything back to its initial value."""
        self.bridge = bridge
        self.flow = key[0]
        self.base = key[0]
        memset(&self.wc, 0, sizeof(flow_key))
        self.wc.in_port = self.wc.recirc_id = self.wc.packet_type = 0xffffffff
        self.wc.eth_type = 0xffff
        if is_ip_any(key):
            self.wc.nw_frag = 0xff
        self.out.clear()
        self.cache = XCache()
        self.rule = None
        self.table_id = 0
        self.now = now
        self.depth = self.resubmits = self.buckets = self.level = self.reshaped = 0
        self.in_packet_out = self.in_action_set = self.in_group = False
        self.slow = self.stop = self.freezing = self.was_mpls = False
        self.hashing = self.hashed = False
        self.todo = None
        self.stack = None
        self.action_set = None
        self.error = None
        return 0

    cdef int report(self, str kind, str text) except -1:
        """A line for trace; callers on hot paths ask first whether `trace` is there."""
        if self.trace is not None:
            self.trace.append((self.level, kind, text))
        return 0

    cdef int fail(self, str error) except -1:
        """Drop the packet, whatever was done already."""
        if self.error is None:
            self.error = error
        self.stop = True
        return 0

    cdef int fail_depth(self) except -1:
        if self.error is None:
            self.report("error", "over max translation depth %d" % MAX_DEPTH)
        return self.fail("Recursion too deep")

    cdef int commit(self) except -1:
        commit_actions(&self.flow, &self.base, &self.wc, self.out)
        return 0

    # --- output

    cdef int output_port(self, uint16_t ofp_port) except -1:
        port = self.bridge.ports.get(ofp_port)
        if port is None:
            self.report("warn", "Nonexistent output port")
            return 0
        return self.output_xport(<XPort> port)

    cdef int output_xport(self, XPort port) except -1:
        if port.config & OFPPC_NO_FWD:
            self.report("detail", "OFPPC_NO_FWD set, skipping output")
        elif port.config & OFPPC_PORT_DOWN:
            self.report("detail", "port is down, skipping output")
        elif self.is_protected(port):
            self.report("detail", "Flow is between protected ports, skipping output.")
        elif port.peer is not None:
            self.output_patch(port)
        elif port.odp_port == <uint32_t> NO_ODP_PORT:
            self.report("warn", "Nonexistent output port")
        else:
            self.commit()
            self.out.output(port.odp_port)
        return 0

    cdef bint is_protected(self, XPort port) except -1:
        """Between protected ports no packet passes."""
        cdef XPort in_port
        if port.bundle is None or not port.bundle.protected:
            return False
        in_port = self.bridge.ports.get(flow_in_port(&self.flow))
        return in_port is not None and in_port.bundle is not None and in_port.bundle.protected

    cdef int flood(self, bint every) except -1:
        """To all ports but the one it came from; without `every`, not to those of NO_FLOOD."""
        cdef uint16_t in_port = flow_in_port(&self.flow)
        cdef XPort port
        for port in list(self.bridge.ports.values()):
            if port.ofp_port == in_port or self.stop:
                continue
            if every or not port.config & OFPPC_NO_FLOOD:
                self.output_xport(port)
        return 0

    cdef int output_patch(self, XPort port) except -1:
        """Through the peer's bridge, which starts afresh; its changes do not reach back."""
        cdef XPort peer = port.peer
        cdef XBridge bridge = self.bridge
        cdef Rule rule = self.rule
        cdef uint8_t table_id = self.table_id
        cdef list stack = self.stack, action_set = self.action_set
        cdef bint was_mpls = self.was_mpls, in_action_set = self.in_action_set
        cdef bint in_group = self.in_group
        cdef flow_key flow, base
        cdef uint32_t begin, reshaped = self.reshaped
        if peer.bridge is None:
            self.report("warn", "Nonexistent patch port peer")
            return 0
        if self.depth >= MAX_DEPTH:
            return self.fail_depth()
        self.cache.add(X_PATCH, port, peer)
        self.commit()
        flow = self.flow
        base = self.base
        begin = self.out.length
        memset(<uint8_t *> &self.flow + KEY_PACKET_SIZE, 0, KEY_SIZE - KEY_PACKET_SIZE)
        self.bridge = peer.bridge
        self.stack = self.action_set = None
        self.in_action_set = self.in_group = False
        self.depth += 1
        self.run_bridge(peer.ofp_port)
        self.depth -= 1
        self.bridge = bridge
        self.rule = rule
        self.table_id = table_id
        self.stack = stack
        self.action_set = action_set
        self.was_mpls = was_mpls
        self.in_action_set = in_action_set
        self.in_group = in_group
        self.flow = flow
        return self.keep_labels(&base, begin, reshaped)

    cdef int keep_labels(self, const flow_key *base, uint32_t start, uint32_t reshaped) except -1:
        """Makes the actions from offset `start` on a clone's when they changed labels or I-TAGs:
        what these hid cannot be put back by header actions.  `base` and `reshaped` were the
        packet and self.reshaped before them."""
        if (self.reshaped != reshaped or self.base.eth_type != base.eth_type
                or memcmp(self.base.mpls_lse, base.mpls_lse, sizeof(base.mpls_lse)) != 0):
            self.wrap_clone(start)
            self.base = base[0]
        return 0

    cdef int wrap_clone(self, uint32_t start) except -1:
        """Makes the actions from offset `start` on a clone's."""
        cdef bytes tail = (<char *> self.out.data)[start:self.out.length]
        cdef uint32_t at
        if tail:
            self.out.truncate(start)
            at = self.out.start_nested(ACT_CLONE)
            self.out.append(<const uint8_t *> <const char *> tail, <uint32_t> len(tail))
            self.out.end_nested(at)
        return 0

    cdef bint may_receive(self, XPort port) except -1:
        """Whether the port's configuration lets the packet in."""
        cdef uint32_t config = port.config
        if config & (OFPPC_NO_RECV | OFPPC_NO_RECV_STP):
            memset(self.wc.eth_dst, 0xff, 6)
            if memcmp(self.flow.eth_dst, STP_ADDRESS, 6) == 0:
                config &= ~OFPPC_NO_RECV
            else:
                config &= ~OFPPC_NO_RECV_STP
        return not config & (OFPPC_NO_RECV | OFPPC_NO_RECV_STP | OFPPC_PORT_DOWN)

    cdef int run_bridge(self, uint16_t in_port) except -1:
        raise NotImplementedError

    # --- to the controllers, and back to the parser

    cdef FrozenState state(self, list todo):
        """What is to be known when the packet comes back from the datapath."""
        cdef FrozenState fresh = FrozenState(
            self.bridge, (<char *> &self.flow)[KEY_DP_SIZE:KEY_SIZE], flow_in_port(&self.flow),
            list(self.stack or ()), todo, list(self.action_set or ()) if todo else [],
            self.place() if todo else 0)
        fresh = self.recirc.intern(fresh, self.now)
        self.cache.add(X_STATE, fresh)
        return fresh

    cdef int place(self) noexcept:
        """Where the actions stand that run, part of a packet-in's reason, and whether the packet
        has a hash."""
        return (IN_PACKET_OUT * self.in_packet_out | IN_ACTION_SET * self.in_action_set
                | IN_GROUP * self.in_group | HASHED * (self.hashed or self.hashing))

    cdef int controller(self, uint16_t max_len, int reason, uint16_t controller_id) except -1:
        """The datapath sends the packet, as it is by now, up with these data."""
        cdef controller_data data
        memset(&data, 0, sizeof(data))
        data.state = self.state([]).id
        data.controller_id = controller_id
        data.max_len = max_len
        data.cookie = self.rule.cookie if self.rule is not None else <uint64_t> 0xffffffffffffffff
        data.reason = reason
        data.table_id = self.table_id
        self.commit()
        self.send_up(&data)
        return 0

    cdef int send_up(self, const controller_data *data) except -1:
        """What the controllers' meter drops is dropped for them only."""
        cdef uint32_t at
        meter = self.bridge.meters.get(<uint32_t> OFPM_CONTROLLER)
        if meter is None:
            self.out.userspace(USERSPACE_CONTROLLER, data, sizeof(controller_data))
            return 0
        at = self.out.start_nested(ACT_SAMPLE, ALWAYS)
        self.out.meter(<uint32_t> meter)
        self.out.userspace(USERSPACE_CONTROLLER, data, sizeof(controller_data))
        self.out.end_nested(at)
        return 0

    cdef int finish_freezing(self) except -1:
        """Sends the packet round: it is parsed anew, and goes on with what is to do yet."""
        cdef list todo = self.todo
        if not self.freezing:
            return 0
        self.freezing = self.stop = self.was_mpls = False
        self.todo = None
        self.commit()
        if self.hashing:
            self.out.hash(HASH_SYM_L4, 0)
        self.out.recirc(self.state(todo).id)
        self.hashing = False
        return 0
