"""Translation: a flow key through the OpenFlow tables into datapath actions and a mask.

One code path for upcalls, revalidation and trace.  run_table() looks up a rule, run_ops() goes
through its compiled actions.  The invariant: each bit of the packet that could make a difference
is set in `wc`; so lookups, prerequisites, and whatever is written (it may have had the value
already, and then no action is made) unwildcard.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from datapath.flow cimport FRAG_ANY, FRAG_LATER, KEY_DP_SIZE, KEY_PACKET_SIZE, KEY_SIZE, flow_key
from datapath.odp cimport ACT_CLONE
from ofproto.classifier cimport Classifier, Rule, is_table_miss
from ofproto.commit cimport MAX_MPLS, clear_l3, count_mpls, count_vlans, is_ip_any, is_mpls
from ofproto.normal cimport xlate_normal
from ofproto.program cimport *
from ofproto.recirc cimport FrozenState, RecircTable
from ofproto.xbridge cimport (
    MISS_CONTINUE, MISS_CONTROLLER, MISS_DEFAULT, N_TABLES, OFPP_ALL, OFPP_CONTROLLER, OFPP_FLOOD,
    OFPP_IN_PORT, OFPP_NONE, OFPP_NORMAL, OFPP_TABLE, OFPP_UNSET, PC_NO_PACKET_IN, XBridge, XPort,
)
from ofproto.xlate_base cimport (
    IN_ACTION_SET, IN_GROUP, IN_PACKET_OUT, MAX_DEPTH, MAX_RESUBMITS, OFPR_ACTION,
    OFPR_ACTION_SET, OFPR_GROUP, OFPR_INVALID_TTL,
    OFPR_NO_MATCH, OFPR_PACKET_OUT, OFPR_TABLE_MISS_FLOW, XlateBase, flow_in_port, set_in_port,
)

cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)
    uint16_t ntohs(uint16_t)
    uint32_t htonl(uint32_t)
    uint32_t ntohl(uint32_t)

cdef enum:
    VLAN_CFI = 0x1000
    MAX_STACK = 4096        # values

cdef flow_key *NO_KEY = NULL
cdef size_t AT_VLAN0_TCI = <size_t> &NO_KEY.vlan[0].tci
cdef size_t AT_VLAN0 = <size_t> &NO_KEY.vlan[0]
cdef size_t AT_MPLS = <size_t> &NO_KEY.mpls_lse[0]
cdef size_t AT_L3 = <size_t> &NO_KEY.nw_src
cdef size_t AT_ACTSET = <size_t> &NO_KEY.actset_output


cdef class Xlate(XlateBase):
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
        self.in_packet_out = True
        self.report_bridge()
        self.run_ops(program, 0)
        self.end_bridge()
        return self.finish()

    cdef int start(self, XBridge bridge, const flow_key *key, int64_t now) except -1:
        self.initial_priority = key.skb_priority
        return XlateBase.start(self, bridge, key, now)

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
            self.run_table(in_port, 0, True, True)
        return self.end_bridge()

    cdef int end_bridge(self) except -1:
        """What is left at the end of a pipeline: the action set, and being sent round."""
        if self.error is None and not self.freezing:
            self.stop = False           # `exit` ends at the bridge, and spares the action set
            if self.action_set:
                self.run_action_set()
        return self.finish_freezing()

    # --- tables

    cdef int run_table(self, uint16_t in_port, uint8_t table_id, bint may_packet_in,
                       bint honor_miss) except -1:
        cdef uint8_t old_table = self.table_id
        cdef Rule old_rule = self.rule, rule
        cdef bint deeper = table_id <= old_table
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
        if self.cache.lookups is None:
            self.cache.lookups = []
        self.cache.lookups.append(table)
        if self.flow.nw_frag & FRAG_ANY:
            if self.bridge.frag_mode == "drop":
                return self.bridge.drop_frags_rule
            if self.bridge.frag_mode != "nx-match":
                self.flow.tp_src = self.flow.tp_dst = 0     # as in the fragments without them
        set_in_port(&self.flow, in_port)
        rule = table.find(&self.flow, &self.wc)
        self.flow.in_port = real_port
        self.flow.tp_src = tp_src
        self.flow.tp_dst = tp_dst
        if rule is not None:
            if self.cache.matches is None:
                self.cache.matches = []
            self.cache.matches.append(table)
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
            if may_packet_in and not (port is not None and port.config & PC_NO_PACKET_IN):
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
        if self.cache.rules is None:
            self.cache.rules = []
        self.cache.rules.append(rule)
        self.rule = rule
        self.depth += deeper
        if rule.program is not None and rule.program.n_ops:
            self.run_ops(rule.program, 0)
        else:
            self.trace_drop()
        self.depth -= deeper
        return 0

    cdef int trace_rule(self, Rule rule, uint8_t table_id) except -1:
        from ofproto.match_text import format_match

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
        cdef uint32_t i
        cdef int verdict
        cdef int last_action = -1
        self.level += 1
        for i in range(pc, program.n_ops):
            if self.trace is not None and program.ops[i].action != last_action:
                last_action = program.ops[i].action
                if last_action < len(program.actions):
                    self.report("action", action_text(program.actions[last_action]))
            if self.was_mpls and needs_headers(&program.ops[i], self.flow.eth_type):
                self.freeze()
                self.todo.append((program, i, self.table_id, self.rule))
                break
            verdict = self.run_op(program, &program.ops[i])
            if self.stop:
                if self.freezing and i + 1 < program.n_ops:
                    self.todo.append((program, i + 1, self.table_id, self.rule))
                break
            if verdict == 1:
                break
        self.level -= 1
        return 0

    cdef int freeze(self) except -1:
        self.freezing = self.stop = True
        self.todo = []
        return 0

    cdef int run_op(self, Program program, const op *o) except -1:
        """One action; 1: the rest of this list is not to be run."""
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
                self.move_field(o)
        elif code == OP_OUTPUT_REG:
            self.output_reg(o)
        elif code == OP_CONTROLLER:
            self.controller(<uint16_t> o.arg, o.aux, <uint16_t> o.port)
        elif code == OP_WRITE_METADATA:
            self.write_metadata(&program.pool[o.data])
        elif code == OP_WRITE_ACTIONS:
            self.write_actions(<Program> program.subs[o.arg])
        elif code == OP_CLEAR_ACTIONS:
            self.action_set = None
            flow.actset_output = htonl(OFPP_UNSET)
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
        elif code == OP_ENQUEUE:
            self.enqueue(<uint16_t> o.port, o.arg)
        elif code == OP_GROUP:
            return self.group(o.arg)
        elif code == OP_STACK_PUSH:
            self.stack_push(o)
        elif code == OP_STACK_POP:
            self.stack_pop(o)
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

    cdef int group(self, uint32_t group) except -1:
        self.report("detail", "output to nonexistent group %d" % group)
        return 1

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
        cdef uint32_t begin
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
        if memcmp(&self.base, &base, sizeof(flow_key)) != 0:
            self.wrap_clone(begin)
            self.base = base
        self.flow = flow
        self.stack = stack
        self.action_set = action_set
        self.was_mpls = was_mpls
        return 0

    # --- action set

    cdef int write_actions(self, Program program) except -1:
        cdef uint32_t i
        if self.action_set is None:
            self.action_set = []
        self.action_set.append(program)
        if self.trace is not None:
            texts = [action_text(action) for action in order_action_set(self.action_set).actions]
            self.report("detail", "action set is: " + ",".join(texts))
        for i in range(program.n_ops):
            if program.ops[i].code == OP_OUTPUT:
                self.flow.actset_output = htonl(program.ops[i].port)
        if has_group(self.action_set):
            self.flow.actset_output = htonl(OFPP_UNSET)
        return 0

    cdef int run_action_set(self) except -1:
        cdef Program ordered = order_action_set(self.action_set)
        self.action_set = None
        self.report("table", "--. Executing action set:")
        self.in_action_set = True
        self.run_ops(ordered, 0)
        self.in_action_set = False
        return 0

    # --- fields

    cdef bint prereq(self, int kind) noexcept:
        """Whether the packet has the header; what was looked at for that is unwildcarded."""
        cdef flow_key *flow = &self.flow
        cdef flow_key *wc = &self.wc
        cdef uint16_t eth = ntohs(flow.eth_type)
        cdef bint ip = eth == 0x0800 or eth == 0x86dd
        if kind == PRE_VLAN:
            wc.vlan[0].tci |= htons(VLAN_CFI)
            return flow.vlan[0].tci & htons(VLAN_CFI) != 0
        if kind == PRE_ARP:
            return eth == 0x0806 or eth == 0x8035
        if kind == PRE_IPV4:
            return eth == 0x0800
        if kind == PRE_IPV6:
            return eth == 0x86dd
        if kind == PRE_IP_ANY:
            return ip
        if kind == PRE_MPLS:
            return is_mpls(flow.eth_type)
        if kind == PRE_NONE:
            return True
        if not ip or kind == PRE_NEVER:
            return False
        wc.nw_proto = 0xff
        if flow.nw_frag & FRAG_LATER:
            return False
        if kind == PRE_TCP:
            return flow.nw_proto == 6
        if kind == PRE_UDP:
            return flow.nw_proto == 17
        if kind == PRE_SCTP:
            return flow.nw_proto == 132
        if kind == PRE_ICMPV4:
            return flow.nw_proto == 1 and eth == 0x0800
        if flow.nw_proto != 58 or eth != 0x86dd:
            return False
        if kind == PRE_ICMPV6:
            return True
        wc.tp_src = 0xffff
        wc.tp_dst = 0xffff
        if flow.tp_dst:
            return False
        if kind == PRE_ND:
            return flow.tp_src == htons(135) or flow.tp_src == htons(136)
        return flow.tp_src == htons(135 if kind == PRE_ND_SOLICIT else 136)

    cdef int report_prereq(self, int code) except -1:
        if self.trace is not None and (code == OP_SET or code == OP_MOVE):
            self.report("warn", "unmet prerequisites, action ignored")
        return 0

    cdef void unwildcard(self, const slot *s) noexcept:
        cdef uint8_t ones[16]
        memset(ones, 0xff, sizeof(ones))
        write_slot(<uint8_t *> &self.wc, s, ones)

    cdef int set_field(self, const op *o, const uint8_t *value) except -1:
        """`value` is followed by its mask, each o.data_len / 2 bytes."""
        cdef uint32_t at = o.dst.offset, n = o.data_len // 2, i
        cdef uint8_t *flow = <uint8_t *> &self.flow
        cdef uint8_t *wc = <uint8_t *> &self.wc
        cdef const uint8_t *mask = value + n
        for i in range(n):
            flow[at + i] = (flow[at + i] & ~mask[i]) | (value[i] & mask[i])
            wc[at + i] |= mask[i]
        if at >= AT_VLAN0 and at < AT_MPLS:
            self.fix_vlan()
        return 0

    cdef int move_field(self, const op *o) except -1:
        cdef uint8_t value[16]
        read_slot(<uint8_t *> &self.flow, &o.src, value)
        self.unwildcard(&o.src)
        return self.write(&o.dst, value)

    cdef int write(self, const slot *s, const uint8_t *value) except -1:
        write_slot(<uint8_t *> &self.flow, s, value)
        self.unwildcard(s)
        if s.offset >= AT_VLAN0 and s.offset < AT_MPLS:
            self.fix_vlan()
        return 0

    cdef int stack_push(self, const op *o) except -1:
        cdef uint8_t value[16]
        if self.stack is None:
            self.stack = []
        if len(self.stack) >= MAX_STACK:
            self.report("error", "stack too deep")
            return self.fail("Stack too deep")
        read_slot(<uint8_t *> &self.flow, &o.src, value)
        self.unwildcard(&o.src)
        self.stack.append((<char *> value)[:16])
        return 0

    cdef int stack_pop(self, const op *o) except -1:
        if not self.stack:
            return self.report("warn", "stack underflow")
        value = self.stack.pop()
        return self.write(&o.dst, <const uint8_t *> <const char *> (<bytes> value))

    cdef int write_metadata(self, const uint8_t *value) except -1:
        cdef uint8_t *metadata = <uint8_t *> &self.flow.metadata
        cdef uint8_t *wc = <uint8_t *> &self.wc.metadata
        cdef int i
        for i in range(8):
            metadata[i] = (metadata[i] & ~value[8 + i]) | (value[i] & value[8 + i])
            wc[i] |= value[8 + i]
        return 0

    # --- VLAN

    cdef int fix_vlan(self) except -1:
        """After a write to the TCI: with CFI there is a tag, without there is none."""
        cdef flow_key *flow = &self.flow
        self.wc.vlan[0].tci |= htons(VLAN_CFI)
        if flow.vlan[0].tci & htons(VLAN_CFI):
            if not flow.vlan[0].tpid:
                flow.vlan[0].tpid = htons(0x8100)
        else:
            self.pop_vlan()
        return 0

    cdef int push_vlan(self, uint16_t tpid) except -1:
        """The new tag is outermost, with VID and priority 0."""
        cdef flow_key *flow = &self.flow
        memset(self.wc.vlan, 0xff, sizeof(flow.vlan))
        if count_vlans(flow) == 2:      # the key has room for two: the inner one would be lost
            self.report("error", "too many VLAN tags")
            return self.fail("Too many VLAN tags")
        flow.vlan[1] = flow.vlan[0]
        flow.vlan[0].tpid = htons(tpid)
        flow.vlan[0].tci = htons(VLAN_CFI)
        return 0

    cdef int pop_vlan(self) except -1:
        memset(self.wc.vlan, 0xff, sizeof(self.wc.vlan))
        self.flow.vlan[0] = self.flow.vlan[1]
        memset(&self.flow.vlan[1], 0, sizeof(self.flow.vlan[1]))
        return 0

    cdef int set_vlan(self, bint vid, uint32_t value, bint push) except -1:
        """OpenFlow 1.0's set_vlan_vid and set_vlan_pcp, which make a tag where there is none."""
        cdef flow_key *flow = &self.flow
        cdef uint16_t mask = 0x0fff if vid else 0xe000
        cdef uint16_t bits = <uint16_t> (value & 0xfff if vid else (value & 7) << 13)
        self.wc.vlan[0].tci |= htons(mask | VLAN_CFI)
        if not flow.vlan[0].tci & htons(VLAN_CFI):
            if not push:
                return 0
            flow.vlan[0].tpid = htons(0x8100)
            flow.vlan[0].tci = 0
        flow.vlan[0].tci = (flow.vlan[0].tci & htons(~mask & 0xffff)) | htons(bits | VLAN_CFI)
        return 0

    # --- MPLS and TTL

    cdef int push_mpls(self, uint16_t eth_type) except -1:
        cdef flow_key *flow = &self.flow
        cdef int n = count_mpls(flow)
        cdef uint32_t label = 0, tc = 0, ttl = 64
        if n:
            memset(self.wc.mpls_lse, 0xff, sizeof(flow.mpls_lse))
        if n >= MAX_MPLS:
            self.report("error", "too many MPLS labels")
            return self.fail("Too many MPLS labels")
        if n:
            flow.mpls_lse[2] = flow.mpls_lse[1]
            flow.mpls_lse[1] = flow.mpls_lse[0]
            flow.mpls_lse[0] &= htonl(~0x100 & 0xffffffff)
        else:
            self.commit()
            if flow.eth_type == htons(0x86dd):
                label = 2           # IPv6 explicit null
            if is_ip_any(flow):
                self.wc.nw_tos |= 0xfc
                self.wc.nw_ttl = 0xff
                tc = flow.nw_tos >> 2 & 7
                if flow.nw_ttl:
                    ttl = flow.nw_ttl
            flow.mpls_lse[0] = htonl(label << 12 | tc << 9 | 0x100 | ttl)
            clear_l3(flow)
        flow.eth_type = eth_type
        return 0

    cdef int pop_mpls(self, uint16_t eth_type) except -1:
        cdef flow_key *flow = &self.flow
        cdef int n = count_mpls(flow), i
        cdef bint odd = is_mpls(eth_type) != (n > 1)
        if not n:
            return 0
        memset(self.wc.mpls_lse, 0xff, sizeof(flow.mpls_lse))
        if n == MAX_MPLS and not flow.mpls_lse[MAX_MPLS - 1] & htonl(0x100):
            self.report("error", "too many MPLS labels")
            return self.fail("Too many MPLS labels")
        if n == 1 and eth_type == self.base.eth_type and not is_mpls(eth_type):
            return self.unpush_mpls()
        if odd or (n == 1 and not is_mpls(self.base.eth_type)):
            self.commit()
        if odd:
            return self.pop_to(eth_type)
        for i in range(1, n):
            flow.mpls_lse[i - 1] = flow.mpls_lse[i]
        flow.mpls_lse[n - 1] = 0
        flow.eth_type = eth_type
        self.was_mpls = not is_mpls(eth_type)
        return 0

    cdef int unpush_mpls(self) except -1:
        """The label was pushed just now and not written out: its packet is as it was, and known."""
        self.flow.eth_type = self.base.eth_type
        memset(self.flow.mpls_lse, 0, sizeof(self.flow.mpls_lse))
        memcpy(<uint8_t *> &self.flow + AT_L3, <uint8_t *> &self.base + AT_L3,
               KEY_PACKET_SIZE - AT_L3)
        return 0

    cdef int pop_to(self, uint16_t eth_type) except -1:
        """One label goes, though the Ethertype says that none follows, or one where none does."""
        self.out.pop_mpls(eth_type)
        self.flow.eth_type = eth_type
        memset(self.flow.mpls_lse, 0, sizeof(self.flow.mpls_lse))
        self.base = self.flow
        self.was_mpls = True
        return 0

    cdef int dec_mpls_ttl(self) except -1:
        cdef flow_key *flow = &self.flow
        cdef uint32_t lse = ntohl(flow.mpls_lse[0])
        memset(self.wc.mpls_lse, 0xff, sizeof(flow.mpls_lse))
        if lse & 0xff > 1:
            flow.mpls_lse[0] = htonl(lse - 1)
            return 0
        self.report("warn", "MPLS decrement TTL exception")
        self.controller(0xffff, OFPR_INVALID_TTL, 0)
        return 1

    cdef int dec_ttl(self, Program program, const op *o) except -1:
        cdef const uint8_t *ids = &program.pool[o.data]
        cdef int i
        self.wc.nw_ttl = 0xff
        if self.flow.nw_ttl > 1:
            self.flow.nw_ttl -= 1
            return 0
        if self.trace is not None:
            version = 4 if self.flow.eth_type == htons(0x0800) else 6
            self.report("warn", f"IPv{version} decrement TTL exception")
        for i in range(o.data_len // 2):
            self.controller(0xffff, OFPR_INVALID_TTL, <uint16_t> (ids[2 * i] << 8 | ids[2 * i + 1]))
        return 1

    cdef int copy_ttl(self, bint out) except -1:
        """Between the two outermost TTLs, where both are MPLS labels that the key has."""
        cdef flow_key *flow = &self.flow
        if count_mpls(flow) < 2:
            return 0
        memset(self.wc.mpls_lse, 0xff, sizeof(flow.mpls_lse))
        cdef int src = 1 if out else 0
        flow.mpls_lse[1 - src] = ((flow.mpls_lse[1 - src] & htonl(0xffffff00))
                                  | (flow.mpls_lse[src] & htonl(0xff)))
        return 0


cdef str action_text(action):
    if isinstance(action, str):
        return action
    return action.format()


cdef bint needs_headers(const op *o, uint16_t eth_type) noexcept nogil:
    """The action looks at headers that a popped MPLS label hid."""
    cdef int code = o.code
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
            or code == OP_GROUP or code == OP_CLONE or code == OP_STACK_PUSH
            or code == OP_STACK_POP or code == OP_OUTPUT_REG)


cdef bint is_header(size_t offset) noexcept nogil:
    return AT_L3 <= offset < KEY_PACKET_SIZE


cdef Program output_to_table():
    cdef Program program = Program()
    program.add(OP_OUTPUT).port = OFPP_TABLE
    return program

cdef Program TO_TABLE = output_to_table()


cdef bint has_group(list programs) except -1:
    cdef Program program
    cdef uint32_t i
    for program in programs:
        for i in range(program.n_ops):
            if program.ops[i].set_kind == SET_GROUP:
                return True
    return False


cdef Program order_action_set(list programs):
    """The last action of each kind, in the order of the kinds."""
    cdef Program ordered = Program(), program, source
    cdef uint32_t i, where = 0
    cdef int kind
    for kind in range(1, <int> N_SET_KINDS):
        source = None
        for program in programs:
            for i in range(program.n_ops):
                if program.ops[i].set_kind != kind:
                    continue
                if kind == SET_FIELD:
                    copy_op(ordered, program, i)
                else:
                    source = program
                    where = i
        if source is not None:
            copy_op(ordered, source, where)
            if kind >= SET_GROUP:
                break           # one of these ends the packet's way
    return ordered


cdef int copy_op(Program to, Program source, uint32_t i) except -1:
    """Adds op number i of another program, with its data and the action it came from."""
    cdef op *fresh = to.add(OP_NOP)
    cdef uint32_t at = to.n_ops - 1, data
    fresh[0] = source.ops[i]
    data = to.add_data(&source.pool[source.ops[i].data], source.ops[i].data_len)
    to.ops[at].data = data
    to.ops[at].action = <uint16_t> len(to.actions)
    to.actions.append(source.actions[source.ops[i].action])
    to.subs.extend(source.subs)
    return 0


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
        x.cache.credit(1, packet_size, now, now)
    return XlateResult(x)
