"""Translation: a flow key through the OpenFlow tables into datapath actions and a mask.

One code path for upcalls, revalidation and trace.  run_table() looks up a rule, run_ops() goes
through its compiled actions.  The invariant: each bit of the packet that could make a difference
is set in `wc`; so lookups, prerequisites, and whatever is written (it may have had the value
already, and then no action is made) unwildcard.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from datapath.key.flow cimport FRAG_ANY, FRAG_LATER, KEY_DP_SIZE, KEY_PACKET_SIZE, KEY_SIZE, flow_key
from ofproto.rules.action_set cimport action_set_text, action_text, has_group, order_action_set
from ofproto.rules.classifier cimport Classifier, Rule, is_table_miss
from ofproto.xlate.commit cimport is_mpls
from ofproto.xlate.normal cimport xlate_normal
from ofproto.rules.program cimport *
from ofproto.xlate.recirc cimport FrozenState, RecircTable
from ofproto.xlate.xbridge cimport MISS_CONTINUE, MISS_CONTROLLER, MISS_DEFAULT, XBridge, XPort
from ofproto.xlate.xcache cimport X_GROUP, X_TABLE
from ofproto.xlate.xgroup cimport GROUP_ALL, GROUP_INDIRECT, GROUP_SELECT, XBucket, XGroup
from ofproto.xlate.xlate_base cimport (
    HASHED, IN_ACTION_SET, IN_GROUP, IN_PACKET_OUT, MAX_BUCKETS, MAX_DEPTH, MAX_RESUBMITS,
    OFPR_TABLE_MISS_FLOW, flow_in_port, set_in_port,
)
from ofproto.xlate.xlate_group cimport first_live, needs_hash, pick
from ofproto.xlate.xlate_headers cimport XlateHeaders
from ofproto.codec.numbers cimport (
    N_TABLES, OFPPC_NO_PACKET_IN, OFPP_ALL, OFPP_CONTROLLER, OFPP_FLOOD, OFPP_IN_PORT, OFPP_NONE,
    OFPP_NORMAL, OFPP_TABLE, OFPP_UNSET, OFPR_ACTION, OFPR_ACTION_SET, OFPR_GROUP, OFPR_NO_MATCH,
    OFPR_PACKET_OUT,
)

cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)
    uint32_t htonl(uint32_t)
    uint32_t ntohl(uint32_t)

cdef enum:              # what run_op() returns
    NO_MORE = 1
    AGAIN = 2

cdef flow_key *NO_KEY = NULL
cdef size_t AT_ETHERNET = <size_t> NO_KEY.eth_dst
cdef size_t AT_L3 = <size_t> &NO_KEY.pbb_isid


cdef class Xlate(XlateHeaders):
    # --- ways in

    cdef int translate(self, XBridge bridge, const flow_key *key, int64_t now) except -1:
        """A packet that came in by its in_port (an OpenFlow port), from table 0."""
        self.start(bridge, key, now)
        self.report_bridge()
        self.run_bridge(flow_in_port(key))
        return self.finish()

    cdef int resume(self, FrozenState state, const flow_key *key, int64_t now) except -1:
        """A packet that comes back from recirculation, its headers parsed anew."""
        cdef uint32_t pc
        self.start(state.bridge, key, now)
        memcpy(<uint8_t *> &self.flow + KEY_DP_SIZE, <const char *> state.pipeline,
               KEY_SIZE - KEY_DP_SIZE)
        set_in_port(&self.flow, state.in_port)
        self.stack = list(state.stack)
        self.action_set = list(state.action_set)
        self.in_packet_out = state.place & IN_PACKET_OUT
        self.in_action_set = state.place & IN_ACTION_SET
        self.in_group = state.place & IN_GROUP
        self.hashed = state.place & HASHED
        self.report_bridge()
        if self.trace is not None:
            self.report("thaw", "thaw")
        todo = state.todo
        for at in range(len(todo)):
            program, pc, self.table_id, self.rule = todo[at]
            self.run_ops(program, pc)
            if self.freezing:
                self.todo.extend(todo[at + 1:])
                break
            if self.stop:
                break
        self.end_bridge()
        return self.finish()

    cdef int run_program(self, XBridge bridge, const flow_key *key, Program program,
                         int64_t now) except -1:
        """A packet-out: the actions instead of table 0."""
        self.start(bridge, key, now)
        self.flow.in_phy_port = self.flow.in_port
        self.in_packet_out = True
        self.report_bridge()
        self.run_ops(program, 0)
        self.end_bridge()
        return self.finish()

    cdef int start(self, XBridge bridge, const flow_key *key, int64_t now) except -1:
        self.initial_priority = key.skb_priority
        return XlateHeaders.start(self, bridge, key, now)

    cdef int finish(self) except -1:
        if self.out.failed or self.out.length > 65000:
            self.fail("too many actions")
        if self.error is not None:
            self.out.clear()
        if self.base.nw_frag & FRAG_LATER:
            # Nothing of L4 is known, and everything is 0, of each packet of the flow.
            self.wc.tp_src = self.wc.tp_dst = self.wc.tcp_flags = 0
        return 0

    cdef report_bridge(self):
        if self.trace is not None:
            self.report("bridge", f'bridge("{self.bridge.name}")')

    cdef int run_bridge(self, uint16_t in_port) except -1:
        """The pipeline of self.bridge for a packet that comes in by `in_port`."""
        cdef XPort port = self.bridge.ports.get(in_port)
        set_in_port(&self.flow, in_port)
        self.flow.in_phy_port = self.flow.in_port
        if self.depth:
            self.report_bridge()
        if port is not None and not self.may_receive(port):
            self.report("detail", "port configuration refuses the packet, dropping")
            return 0
        self.flow.actset_output = htonl(OFPP_UNSET)
        if self.was_mpls:
            # The other bridge's tables are to see what the label hid.
            self.freeze()
            self.todo.append((TO_TABLE, 0, 0, None))
        else:
            if not self.depth:
                self.resubmits = -1     # the first lookup is none
            self.run_table(in_port, 0, True, True)
        return self.end_bridge()

    cdef int end_bridge(self) except -1:
        """What is left at the end of a pipeline: the action set, and being sent round."""
        if self.error is None and not self.freezing:
            self.stop = False           # `exit` ends at the bridge, and spares the action set
            if self.action_set:
                self.run_action_set()
        self.finish_freezing()
        self.in_action_set = False
        return 0

    # --- tables

    cdef int run_table(self, uint16_t in_port, uint8_t table_id, bint may_packet_in,
                       bint honor_miss) except -1:
        cdef uint8_t old_table = self.table_id
        cdef Rule old_rule = self.rule, rule
        cdef bint deeper = table_id <= old_table and self.resubmits >= 0
        if self.resubmits >= MAX_RESUBMITS:
            self.report("error", "over %d resubmit actions" % MAX_RESUBMITS)
            return self.fail("Too many resubmits")
        if self.depth >= MAX_DEPTH:
            return self.fail_depth()
        self.resubmits += 1
        self.table_id = table_id
        rule = self.lookup(in_port, table_id)
        if rule is None:
            self.rule = None
            self.miss(table_id, may_packet_in, honor_miss)
        else:
            self.run_rule(rule, deeper)
        self.table_id = old_table
        self.rule = old_rule
        return 0

    cdef Rule lookup(self, uint16_t in_port, uint8_t table_id):
        """The rule for the flow as if it came in by `in_port`."""
        cdef Classifier table = self.bridge.table(table_id)
        cdef uint32_t real_port = self.flow.in_port
        cdef uint16_t tp_src = self.flow.tp_src, tp_dst = self.flow.tp_dst
        cdef Rule rule
        if self.flow.nw_frag & FRAG_ANY:
            if self.bridge.frag_mode == "drop":
                self.cache.add(X_TABLE, table, self.bridge.drop_frags_rule)
                return self.bridge.drop_frags_rule
            if self.bridge.frag_mode != "nx-match":
                self.flow.tp_src = self.flow.tp_dst = 0     # as in the fragments without them
        set_in_port(&self.flow, in_port)
        rule = table.find(&self.flow, &self.wc)
        self.flow.in_port = real_port
        self.flow.tp_src = tp_src
        self.flow.tp_dst = tp_dst
        self.cache.add(X_TABLE, table, rule)
        return rule

    cdef int miss(self, uint8_t table_id, bint may_packet_in, bint honor_miss) except -1:
        cdef uint8_t what = self.bridge.miss[table_id]
        cdef XPort port
        if self.trace is not None:
            self.report("table", "%2d. No match." % table_id)
        if not honor_miss:
            return self.trace_drop()
        if what == MISS_CONTINUE:
            if table_id + 1 < N_TABLES:
                return self.run_table(flow_in_port(&self.flow), table_id + 1, may_packet_in, True)
            return 0
        if what == MISS_CONTROLLER or (what == MISS_DEFAULT and self.bridge.miss_to_controller):
            port = self.bridge.ports.get(flow_in_port(&self.flow))
            if may_packet_in and not (port is not None and port.config & OFPPC_NO_PACKET_IN):
                if self.trace is not None:
                    self.level += 1
                    self.report("action", "CONTROLLER:65535")
                    self.level -= 1
                return self.controller(0xffff, OFPR_NO_MATCH, 0)
        return self.trace_drop()

    cdef int trace_drop(self) except -1:
        if self.trace is not None:
            self.level += 1
            self.report("action", "drop")
            self.level -= 1
        return 0

    cdef int run_rule(self, Rule rule, bint deeper) except -1:
        if self.trace is not None:
            self.trace_rule(rule, self.table_id)
        self.rule = rule
        self.depth += deeper
        if rule.program is not None and rule.program.n_ops:
            self.run_ops(rule.program, 0)
        else:
            self.trace_drop()
        self.depth -= deeper
        return 0

    cdef int trace_rule(self, Rule rule, uint8_t table_id) except -1:
        from ofproto.codec.match_text import format_match

        match = format_match(rule.match)
        text = "%2d. " % table_id
        if match:
            text += match + ", "
        text += "priority %d" % rule.priority
        if rule.cookie:
            text += ", cookie %#x" % rule.cookie
        return self.report("table", text)

    # --- actions

    cdef int run_ops(self, Program program, uint32_t pc) except -1:
        """Runs ops from `pc` on.  When the packet is to be sent round, notes where to go on."""
        cdef uint32_t i, next_op
        cdef int verdict
        cdef int last_action = -1
        self.level += 1
        for i in range(pc, program.n_ops):
            if self.was_mpls and needs_headers(&program.ops[i], self.flow.eth_type):
                self.freeze()
                self.todo.append((program, i, self.table_id, self.rule))
                break
            if self.trace is not None and program.ops[i].action != last_action:
                last_action = program.ops[i].action
                if last_action < len(program.actions):
                    self.report("action", action_text(program.actions[last_action]))
            verdict = self.run_op(program, &program.ops[i])
            if self.stop:
                next_op = i if verdict == AGAIN else i + 1
                if self.freezing and next_op < program.n_ops:
                    self.todo.append((program, next_op, self.table_id, self.rule))
                break
            if verdict == NO_MORE:
                break
        self.level -= 1
        return 0

    cdef int freeze(self) except -1:
        self.freezing = self.stop = True
        self.todo = []
        return 0

    cdef int run_op(self, Program program, const op *o) except -1:
        """One action; NO_MORE: the rest of this list is not to be run; AGAIN: the packet is to be
        sent round, and the action run then."""
        cdef flow_key *flow = &self.flow
        cdef int code = o.code
        if o.prereq and not self.prereq(o.prereq):
            return self.report_prereq(code)
        if code == OP_OUTPUT:
            self.output(o.port, o.arg, True)
        elif code == OP_SET:
            self.set_field(o, &program.pool[o.data])
        elif code == OP_RESUBMIT:
            self.resubmit(o)
        elif code == OP_GOTO_TABLE:
            self.run_table(flow_in_port(flow), <uint8_t> o.aux, True, True)
        elif code == OP_PUSH_VLAN:
            self.push_vlan(o.aux)
        elif code == OP_POP_VLAN:
            self.pop_vlan()
        elif code == OP_SET_VLAN_VID or code == OP_SET_VLAN_PCP:
            self.set_vlan(code == OP_SET_VLAN_VID, o.arg, o.aux)
        elif code == OP_MOVE:
            if not o.src_prereq or self.prereq(o.src_prereq):
                self.move_field(program, o)
        elif code == OP_OUTPUT_REG:
            self.output_reg(o)
        elif code == OP_CONTROLLER:
            self.controller(<uint16_t> o.arg, o.aux, <uint16_t> o.port)
        elif code == OP_WRITE_METADATA:
            self.write_metadata(&program.pool[o.data])
        elif code == OP_WRITE_ACTIONS:
            self.write_actions(<Program> program.subs[o.arg])
        elif code == OP_CLEAR_ACTIONS:
            self.clear_actions()
        elif code == OP_CLONE:
            self.clone(<Program> program.subs[o.arg])
        elif code == OP_DEC_NW_TTL:
            return self.dec_ttl(program, o)
        elif code == OP_SET_NW_TTL:
            self.wc.nw_ttl = 0xff
            flow.nw_ttl = <uint8_t> o.arg
        elif code == OP_PUSH_MPLS:
            self.push_mpls(htons(o.aux))
        elif code == OP_POP_MPLS:
            self.pop_mpls(htons(o.aux))
        elif code == OP_PUSH_PBB:
            self.push_pbb()
        elif code == OP_POP_PBB:
            self.pop_pbb()
        elif code == OP_DEC_MPLS_TTL:
            return self.dec_mpls_ttl()
        elif code == OP_SET_MPLS_TTL:
            memset(self.wc.mpls_lse, 0xff, sizeof(flow.mpls_lse))
            flow.mpls_lse[0] = (flow.mpls_lse[0] & htonl(0xffffff00)) | htonl(o.arg & 0xff)
        elif code == OP_COPY_TTL_IN or code == OP_COPY_TTL_OUT:
            self.copy_ttl(code == OP_COPY_TTL_OUT)
        elif code == OP_SET_QUEUE:
            self.set_queue(0xffff, o.arg)
        elif code == OP_POP_QUEUE:
            flow.skb_priority = self.initial_priority
            if self.trace is not None:
                number = ntohl(flow.skb_priority)
                self.report("detail", f"queue = {number:#x}" if number else "queue = 0")
        elif code == OP_ENQUEUE:
            self.enqueue(<uint16_t> o.port, o.arg)
        elif code == OP_GROUP:
            return self.group(o.arg)
        elif code == OP_METER:
            self.meter(o.arg)
        elif code == OP_STACK_PUSH:
            self.stack_push(o)
        elif code == OP_STACK_POP:
            self.stack_pop(program, o)
        elif code == OP_EXIT:
            self.stop = True
        return 0

    # --- output

    cdef int output(self, uint16_t port, uint32_t max_len, bint may_packet_in) except -1:
        cdef int reason
        if port == OFPP_NORMAL:
            xlate_normal(self)
        elif port == OFPP_IN_PORT:
            self.output_port(flow_in_port(&self.flow))
        elif port == OFPP_TABLE:
            self.run_table(flow_in_port(&self.flow), 0, may_packet_in, True)
        elif port == OFPP_FLOOD or port == OFPP_ALL:
            self.flood(port == OFPP_ALL)
        elif port == OFPP_CONTROLLER:
            reason = OFPR_ACTION
            if self.in_packet_out:
                reason = OFPR_PACKET_OUT
            elif self.in_group:
                reason = OFPR_GROUP
            elif self.in_action_set:
                reason = OFPR_ACTION_SET
            elif self.rule is not None and is_table_miss(self.rule):
                reason = OFPR_TABLE_MISS_FLOW
            self.controller(<uint16_t> min(max_len, 0xffff), reason, 0)
        elif port == flow_in_port(&self.flow) and port != OFPP_NONE:
            self.report("warn", "skipping output to input port")
        elif port != OFPP_NONE:
            self.output_port(port)
        return 0

    cdef int output_reg(self, const op *o) except -1:
        cdef uint8_t value[16]
        cdef int i
        read_slot(<uint8_t *> &self.flow, &o.src, value)
        self.unwildcard(&o.src)
        for i in range(14):
            if value[i]:
                number = int.from_bytes((<char *> value)[:16], "big")
                return self.report("warn", f"output port {number} is out of range")
        if self.trace is not None:
            self.report("detail", "output port is %d" % (value[14] << 8 | value[15]))
        return self.output(<uint16_t> (value[14] << 8 | value[15]), o.arg, False)

    cdef int enqueue(self, uint16_t port, uint32_t queue) except -1:
        cdef uint32_t priority = self.flow.skb_priority
        self.set_queue(port, queue)
        if port == OFPP_IN_PORT or port != flow_in_port(&self.flow):
            self.output(port, 0, True)
        self.flow.skb_priority = priority
        return 0

    cdef int set_queue(self, uint16_t port, uint32_t queue) except -1:
        """Without a QoS that maps it, a queue is the priority of its own number."""
        cdef uint32_t priority = self.bridge.queues.get((port, queue), queue)
        self.flow.skb_priority = htonl(priority)
        self.wc.skb_priority = 0xffffffff
        return 0

    cdef int meter(self, uint32_t meter) except -1:
        """Flows refer to meters that are there, and go with them.  As in Open vSwitch, changes of
        the packet wait for an output."""
        number = self.bridge.meters.get(meter)
        if number is None:
            return self.report("warn", "nonexistent meter %d" % meter)
        self.out.meter(<uint32_t> number)
        return 0

    cdef int resubmit(self, const op *o) except -1:
        cdef uint16_t in_port = <uint16_t> o.port
        cdef uint8_t table_id = <uint8_t> o.aux
        if in_port == OFPP_IN_PORT:
            in_port = flow_in_port(&self.flow)
        if table_id == 255:
            table_id = self.table_id
        return self.run_table(in_port, table_id, False, False)

    cdef int clone(self, Program program) except -1:
        """Actions on a copy: what they change, they change there only."""
        cdef flow_key flow = self.flow, base
        cdef list stack = None if self.stack is None else list(self.stack)
        cdef list action_set = None if self.action_set is None else list(self.action_set)
        cdef bint was_mpls = self.was_mpls
        cdef uint32_t begin, reshaped = self.reshaped
        if self.depth >= MAX_DEPTH:
            return self.fail_depth()
        self.commit()
        base = self.base
        begin = self.out.length
        self.depth += 1
        self.run_ops(program, 0)
        self.action_set = None          # it is run once, behind the clone
        self.finish_freezing()
        self.depth -= 1
        if self.error is None:
            self.stop = False
        if self.reshaped != reshaped or memcmp(&self.base, &base, sizeof(flow_key)) != 0:
            self.wrap_clone(begin)
            self.base = base
        self.flow = flow
        self.stack = stack
        self.action_set = action_set
        self.was_mpls = was_mpls
        return 0

    # --- groups

    cdef int group(self, uint32_t group_id) except -1:
        """What run_op() returns: a group that is not there ends the list."""
        cdef XGroup group
        if self.depth >= MAX_DEPTH:
            return self.fail_depth()
        group = self.bridge.groups.get(group_id)
        if group is None:
            self.report("warn", "output to nonexistent group %d" % group_id)
            return NO_MORE
        if group.type == GROUP_SELECT and needs_hash(self, group):
            self.report("detail", "the datapath is to hash the packet")
            self.freeze()
            self.hashing = True
            return AGAIN
        return self.run_group(group)

    cdef int run_group(self, XGroup group) except -1:
        cdef bint was_in_group = self.in_group
        cdef XBucket bucket = None
        cdef bint every = group.type == GROUP_ALL or group.type == GROUP_INDIRECT
        if not every:
            bucket = pick(self, group) if group.type == GROUP_SELECT else first_live(self, group)
            if bucket is None:
                return self.report("detail", "no live bucket")
            if self.trace is not None:
                self.report("detail", "using bucket %d" % bucket.number)
        self.cache.add(X_GROUP, group, bucket)
        self.in_group = True
        if every:
            for bucket in group.buckets:
                self.run_bucket(bucket)
        else:
            self.run_bucket(bucket)
        self.in_group = was_in_group
        return 0

    cdef int run_bucket(self, XBucket bucket) except -1:
        """A bucket's actions, on a copy of the packet."""
        cdef flow_key flow = self.flow, base = self.base
        cdef list stack = None if self.stack is None else list(self.stack)
        cdef list action_set = None if self.action_set is None else list(self.action_set)
        cdef bint was_mpls = self.was_mpls
        cdef uint32_t begin = self.out.length, reshaped = self.reshaped
        if self.trace is not None:
            self.report("bucket", "bucket %d" % bucket.number)
        self.buckets += 1
        if self.buckets > MAX_BUCKETS:
            return self.fail("Too many buckets")
        if self.error is not None:
            return 0
        self.depth += 1
        if bucket.program.n_ops:
            self.run_ops(bucket.program, 0)
        else:
            self.trace_drop()
        self.action_set = None          # it is run once, behind the group
        self.finish_freezing()
        self.depth -= 1
        if self.error is None:
            self.stop = False
        self.flow = flow
        self.stack = stack
        self.action_set = action_set
        self.was_mpls = was_mpls
        return self.keep_labels(&base, begin, reshaped)

    # --- action set

    cdef int write_actions(self, Program program) except -1:
        cdef uint32_t i
        if self.action_set is None:
            self.action_set = []
        self.action_set.append(program)
        if self.trace is not None:
            self.report("detail", "action set is: " + action_set_text(self.action_set))
        for i in range(program.n_ops):
            if program.ops[i].code == OP_OUTPUT:
                self.flow.actset_output = htonl(program.ops[i].port)
        if has_group(self.action_set):
            self.flow.actset_output = htonl(OFPP_UNSET)
        return 0

    cdef int clear_actions(self) except -1:
        if self.trace is not None and self.action_set:
            self.report("detail", "action set was: " + action_set_text(self.action_set))
        self.action_set = None
        self.flow.actset_output = htonl(OFPP_UNSET)
        return 0

    cdef int run_action_set(self) except -1:
        cdef Program ordered = order_action_set(self.action_set)
        self.action_set = None
        self.report("table", "--. Executing action set:")
        self.in_action_set = True
        return self.run_ops(ordered, 0)     # end_bridge() says that it is over


cdef bint needs_headers(const op *o, uint16_t eth_type) noexcept nogil:
    """The action looks at headers that a popped MPLS label or I-TAG hid."""
    cdef int code = o.code
    if eth_type == 0:
        return needs_ethernet(o)
    if o.prereq == PRE_MPLS or o.src_prereq == PRE_MPLS:
        return is_mpls(eth_type)
    if code == OP_SET:
        return o.prereq != PRE_NONE and o.prereq != PRE_VLAN
    if code == OP_MOVE:
        return is_header(o.src.offset) or is_header(o.dst.offset)
    if code == OP_OUTPUT:
        return o.port == OFPP_TABLE
    return (code == OP_RESUBMIT or code == OP_GOTO_TABLE or code == OP_DEC_NW_TTL
            or code == OP_SET_NW_TTL or code == OP_PUSH_MPLS or code == OP_POP_MPLS
            or code == OP_PUSH_PBB or code == OP_POP_PBB
            or code == OP_GROUP or code == OP_CLONE or code == OP_STACK_PUSH
            or code == OP_STACK_POP or code == OP_OUTPUT_REG)


cdef bint needs_ethernet(const op *o) noexcept nogil:
    """The same behind a popped I-TAG, which hid the whole frame: what looks at nothing of it?"""
    cdef int code = o.code
    if code == OP_OUTPUT:
        return o.port == OFPP_TABLE or o.port == OFPP_NORMAL
    if code == OP_SET:
        return AT_ETHERNET <= o.dst.offset < KEY_PACKET_SIZE
    return not (code == OP_CONTROLLER or code == OP_ENQUEUE or code == OP_SET_QUEUE
                or code == OP_POP_QUEUE or code == OP_WRITE_METADATA or code == OP_WRITE_ACTIONS
                or code == OP_CLEAR_ACTIONS or code == OP_EXIT or code == OP_NOP
                or code == OP_METER)


cdef bint is_header(size_t offset) noexcept nogil:
    return AT_L3 <= offset < KEY_PACKET_SIZE


cdef Program output_to_table():
    cdef Program program = Program()
    program.add(OP_OUTPUT).port = OFPP_TABLE
    return program

cdef Program TO_TABLE = output_to_table()


# --- the Python view

class XlateResult:
    """What translation found out about a flow: see xlate.pyi."""

    __slots__ = ("actions", "mask", "slow", "error", "final_key", "base_key", "trace")

    def __init__(self, Xlate x):
        self.actions = x.out.data[:x.out.length] if x.out.length else b""
        self.mask = (<char *> &x.wc)[:KEY_SIZE]
        self.slow = x.slow
        self.error = x.error
        self.final_key = (<char *> &x.flow)[:KEY_SIZE]
        self.trace = x.trace


def translate(XBridge bridge, const uint8_t[::1] key, *, RecircTable recirc=None,
              Program program=None, int packet_size=0, bint side_effects=False, int64_t now=0,
              bint trace=False):
    """Translates `key` (KEY_SIZE bytes, in_port as OpenFlow port); for tests and trace.

    With `program`, runs that instead of table 0.  `side_effects` counts and learns one packet of
    `packet_size` bytes.  `recirc` is the table of frozen states to resume from and add to.
    Raises LookupError when the key's recirc_id is unknown.
    """
    cdef Xlate x = Xlate()
    cdef FrozenState state
    cdef const flow_key *flow
    if key.shape[0] != KEY_SIZE:
        raise ValueError(f"a key has {KEY_SIZE} bytes")
    flow = <const flow_key *> &key[0]
    if recirc is not None:
        x.recirc = recirc
    if trace:
        x.trace = []
    if program is not None:
        x.run_program(bridge, flow, program, now)
    elif flow.recirc_id:
        state = x.recirc.get(ntohl(flow.recirc_id))
        if state is None:
            raise LookupError(f"no recirculation id {ntohl(flow.recirc_id):#x}")
        x.resume(state, flow, now)
    else:
        x.translate(bridge, flow, now)
    if side_effects:
        x.cache.credit(1, packet_size, now)
    return XlateResult(x)
