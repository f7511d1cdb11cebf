"""Translation: a flow key through the OpenFlow tables into datapath actions and a mask.

One code path for upcalls, revalidation and trace.  run_table() looks up a rule, run_ops() goes
through its compiled actions.  The invariant: each bit of the packet that could make a difference
is set in `wc`; so lookups, prerequisites, and whatever is written (it may have had the value
already, and then no action is made) unwildcard.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memset

from datapath.actions.odp cimport MAX_ACTIONS, MAX_EXECUTED, USERSPACE_ACTION
from datapath.base.protocols cimport VLAN_CFI
from datapath.key.flow cimport (
    FRAG_ANY, FRAG_LATER, KEY_DP_SIZE, KEY_PACKET_SIZE, KEY_PACKET_WORDS, flow_key,
)
from ofproto.codec.numbers cimport (
    N_VISIBLE_TABLES, TABLE_INTERNAL, OFPPC_NO_PACKET_IN, OFPP_ALL, OFPP_CONTROLLER, OFPP_FLOOD, OFPP_IN_PORT, OFPP_NONE,
    OFPP_NORMAL, OFPP_TABLE, OFPP_UNSET, OFPR_ACTION, OFPR_ACTION_SET, OFPR_GROUP,
    OFPR_PACKET_OUT,
)
from ofproto.rules.classifier cimport Classifier, Rule, is_table_miss
from ofproto.rules.conjunctive cimport MAX_SOFT_STEPS
from ofproto.rules.program cimport *
from ofproto.xlate.outputs.bond cimport output_hashed
from ofproto.xlate.state.context cimport (
    MAX_DEPTH, MAX_RESUBMITS, MAX_WORK, UNDO_HEADERS, UNDO_NOTHING, Snapshot, XlateContext, flow_in_port,
    set_in_port,
)
from ofproto.xlate.actions.action_set cimport take_action_set
from ofproto.xlate.actions.encap cimport forget_made_headers
from ofproto.xlate.actions.conntrack cimport before_exec, has_tuple, start_exec, swap_tuple, track
from ofproto.xlate.state.freeze cimport finish_freezing, freeze, needs_headers, set_continuing, tell, thaw
from ofproto.xlate.actions.group cimport first_live, needs_hash, pick
from ofproto.xlate.actions.headers cimport unwildcard
from ofproto.xlate.outputs.mirror cimport mirror_in
from ofproto.xlate.outputs.netflow cimport finish_netflow, netflow_in
from ofproto.xlate.actions.sample cimport finish_samples, sample_in, sample_out
from ofproto.xlate.outputs.normal cimport xlate_normal
from ofproto.xlate.outputs.output cimport (
    may_receive, output_flood, output_port, set_pipeline, set_sampling,
)
from ofproto.xlate.state.recirc cimport FOR_BOND, FrozenState
from ofproto.xlate.ops cimport AGAIN, NO_MORE, run_op, set_op, set_queue
from ofproto.xlate.outputs.slow cimport take_special
from ofproto.xlate.actions.spread cimport bundle
from ofproto.xlate.bridges.tunnel cimport has_tunnel
from ofproto.xlate.outputs.tunnel_send cimport is_congested, take_congestion, take_tunnelled
from ofproto.xlate.state.to_controller cimport Telling, new_telling
from ofproto.xlate.bridges.xbridge cimport (
    MISS_CONTINUE, MISS_CONTROLLER, MISS_DEFAULT, OFPR_IMPLICIT_MISS, OFPR_TABLE_MISS_FLOW, XBridge, XPort,
)
from ofproto.xlate.state.xcache cimport X_DROP, X_GROUP, X_TABLE
from ofproto.xlate.bridges.xgroup cimport GROUP_ALL, GROUP_INDIRECT, GROUP_SELECT, XBucket, XGroup

from ofproto.xlate.state import restored
from ofproto.xlate.state.steps import FoundRule
from pyvs import coverage

cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)
    uint32_t htonl(uint32_t)
    uint32_t ntohl(uint32_t)

cdef enum:
    SUBTABLES_PER_WORK = 4  # asked in a lookup
    SOFT_STEPS_PER_WORK = 16    # of conjunctive matches
    BUCKET_WORK = 2

# Packets that are dropped here count by the reason, under Open vSwitch's names.
DROP_OF_PIPELINE = coverage.counter("drop_action_of_pipeline")
DROP_OF_CONGESTION = coverage.counter("drop_action_congestion")
OVERSIZE = coverage.counter("xlate_actions_oversize")
DROPS = {
    error: coverage.counter(name)
    for error, name in (
        ("Recursion too deep", "drop_action_recursion_too_deep"),
        ("Too many resubmits", "drop_action_too_many_resubmit"),
        ("Stack too deep", "drop_action_stack_too_deep"),
        ("Too many MPLS labels", "drop_action_too_many_mpls_labels"),
        ("Too many VLAN tags", "drop_action_too_many_vlan_tags"),
        ("Unsupported packet type", "drop_action_unsupported_packet_type"),
        ("Too many actions", "drop_action_too_many_actions"),
    )
}


# --- ways in

cdef int xlate_packet(XlateContext x, XBridge bridge, const flow_key *key,
                      int64_t now) except -1:
    x.start(bridge, key, now)
    report_bridge(x)
    run_bridge(x, flow_in_port(key))
    return finish(x)


cdef int xlate_resume(XlateContext x, FrozenState state, const flow_key *key,
                      int64_t now) except -1:
    x.start(state.bridge, key, now)
    report_bridge(x)
    thaw(x, state)
    if state.flags & FOR_BOND:
        output_hashed(x, state)
    else:
        run_todo(x, state.todo, x.trace is not None)
    return finish(x)


cdef int xlate_unknown(XlateContext x, XBridge bridge, const flow_key *key, str error,
                       int64_t now) except -1:
    x.start(bridge, key, now)
    report_bridge(x)
    x.level += 1
    x.fail(error, "Recirculation context not found for ID %x" % ntohl(key.recirc_id))
    return finish(x)


cdef int run_case(XlateContext x, list todo) except -1:
    """What follows on a look at the packet's size, which has not waited for it."""
    return run_todo(x, todo, False)


cdef int run_todo(XlateContext x, list todo, bint waited) except -1:
    """What is left of lists, innermost first, and the end of the pipeline or of a copy's actions:
    there the action set is empty.  `waited`: trace is to tell of which rules it was."""
    cdef uint32_t pc
    for at in range(len(todo)):
        program, pc, x.table_id, x.rule = todo[at]
        if program is None:
            x.resubmits = -1
            run_table(x, flow_in_port(&x.flow), x.table_id, True, True, False)
        else:
            x.waited = waited
            run_ops(x, program, pc)
            x.waited = False
        if x.freezing:
            x.todo.extend(todo[at + 1:])
            break
        if x.stop:
            break
    return end_bridge(x)


cdef int xlate_program(XlateContext x, XBridge bridge, const flow_key *key, Program program,
                       int64_t now) except -1:
    x.start(bridge, key, now)
    x.flow.in_phy_port = x.flow.in_port
    x.in_packet_out = x.trace is None   # as Open vSwitch tells it there
    report_bridge(x)
    sample_in(x)
    netflow_in(x)
    mirror_in(x)
    run_ops(x, program, 0)
    end_bridge(x)
    return finish(x)


cdef int finish(XlateContext x) except -1:
    forget_made_headers(x)
    finish_samples(x)
    x.unwrap_last(0)
    if x.out.failed:
        too_many_actions(x)
    elif x.out.length > MAX_ACTIONS:
        OVERSIZE.count += 1
        x.slow |= USERSPACE_ACTION      # no flow has that many: they are done to each packet alone
    if x.error is not None:
        x.out.clear()
        x.slow = 0
        x.received = x.snooped = None
    finish_netflow(x)
    if x.out.length == 0 and x.bridge is not None:
        lost = DROP_OF_CONGESTION if x.error is None and is_congested(x) else DROP_OF_PIPELINE
        x.cache.add(X_DROP, DROPS.get(x.error, lost))
    if x.base.nw_frag & FRAG_LATER:
        # Nothing of L4 is known, and everything is 0, of each packet of the flow.
        x.wc.tp_src = x.wc.tp_dst = x.wc.tcp_flags = 0
    if not has_tunnel(x.came):
        # Its port has none but such packets: what actions read of an outer header was 0.
        memset(<uint8_t *> &x.wc + KEY_PACKET_SIZE, 0, KEY_DP_SIZE - KEY_PACKET_SIZE)
    for i in range(2):
        if x.wc.vlan[i].tci:        # bits of a tag are those of a tag only where there is one
            x.wc.vlan[i].tci |= htons(VLAN_CFI)
    return 0


cdef int too_many_actions(XlateContext x) except -1:
    return x.fail("Too many actions", "over %d kB of actions" % (MAX_EXECUTED >> 10))


cdef report_bridge(XlateContext x):
    if x.trace is not None:
        x.report("bridge", f'bridge("{x.bridge.name}")')


cdef int run_bridge(XlateContext x, uint16_t in_port) except -1:
    """The pipeline of x.bridge for a packet that comes in by `in_port`."""
    cdef XPort port = x.port(in_port)
    set_in_port(&x.flow, in_port)
    x.flow.in_phy_port = x.flow.in_port
    if x.depth:
        report_bridge(x)
    elif port is not None and port.tunnel is not None and has_tunnel(x.came):
        take_tunnelled(x, port)
    if port is not None and port.listens and take_special(x, port):
        return see_special(x, in_port)
    if port is not None and port.bundle is not None and port.bundle.mirror_out:
        return refuse_mirrored(x, port, in_port)
    if not x.depth:
        if port is not None and port.policers:
            for meter in port.policers:
                x.out.meter(meter)
        sample_in(x)
        netflow_in(x)
    if port is not None and not may_receive(x, port):
        x.report("detail", "port configuration refuses the packet, dropping")
        return 0
    if not x.depth and has_tunnel(x.came) and not take_congestion(x):
        return 0
    x.flow.actset_output = htonl(OFPP_UNSET)
    if not x.depth and (x.unparsed or port is not None and not port.forwards):
        mirror_in(x)
    if x.unparsed:
        # The other bridge's tables are to see what the label hid.
        freeze(x)
        x.todo.append((None, 0, 0, None))
    else:
        if not x.depth:
            x.resubmits = -1     # the first lookup is none
        if port is not None and not port.forwards:
            return only_learn(x, in_port)
        run_table(x, in_port, 0, True, True, False)
    return end_bridge(x)


cdef int see_special(XlateContext x, uint16_t in_port) except -1:
    """As in Open vSwitch, a protocol's packet, and one from a port that mirrors go out by, counts
    for the rule that it would have met."""
    cdef Rule rule
    if x.depth:
        return 0
    rule = lookup(x, in_port, 0)
    return trace_found(x, rule, 0) if x.trace is not None else 0


cdef int refuse_mirrored(XlateContext x, XPort port, uint16_t in_port) except -1:
    see_special(x, in_port)
    x.level += 1
    x.report("error", f"dropping packet received on port {port.bundle.name}, which is"
                      " reserved exclusively for mirroring")
    x.level -= 1
    return 0


cdef int trace_found(XlateContext x, Rule rule, uint8_t table_id) except -1:
    if rule is None:
        return x.report("table", "%2d. No match." % table_id)
    return trace_rule(x, rule, table_id)


cdef int only_learn(XlateContext x, uint16_t in_port) except -1:
    """In a spanning tree's learning state: actions see the packet, and are not done."""
    cdef uint32_t start = x.out.length
    cdef flow_key base = x.base
    run_table(x, in_port, 0, True, True, False)
    x.out.truncate(start)
    x.base = base
    x.freezing = x.unparsed = x.hashing = x.in_action_set = False
    x.todo = x.action_set = x.pausing = x.checking = None
    return x.report("detail", f"{x.bridge.spanning} not in forwarding state, dropping")


cdef int end_bridge(XlateContext x) except -1:
    """What is left at the end of a pipeline: the action set, and being sent round."""
    if x.error is None and not x.freezing:
        if x.action_set:
            run_action_set(x)
        x.stop = False           # `exit` ends at the bridge
    finish_freezing(x)
    x.in_action_set = False
    return 0


# --- tables

cdef int run_table(XlateContext x, uint16_t in_port, uint8_t table_id, bint may_packet_in,
                   bint honor_miss, bint by_original) except -1:
    """`by_original`: the rule is looked up by the connection's original direction."""
    cdef uint8_t old_table = x.table_id
    cdef Rule old_rule = x.rule, rule
    cdef bint deeper = table_id <= old_table and x.resubmits >= 0
    cdef bint first = x.resubmits < 0, in_group = x.in_group
    if x.resubmits >= MAX_RESUBMITS:
        return x.fail("Too many resubmits", "over %d resubmit actions" % MAX_RESUBMITS)
    if x.depth >= MAX_DEPTH:
        return x.fail("Recursion too deep", "over max translation depth %d" % MAX_DEPTH)
    if x.out.failed:
        return too_many_actions(x)
    if x.out.length > MAX_ACTIONS:
        x.stop = True           # what there is is done
        return x.report("error", "resubmits yielded over 64 kB of actions")
    x.resubmits += 1
    x.table_id = table_id
    x.in_group = False          # a table's rules are no bucket's actions
    if by_original:
        swap_tuple(x)
    rule = lookup(x, in_port, table_id)
    if by_original:
        swap_tuple(x)
    if x.trace is not None:
        trace_found(x, rule, table_id)
    if first and not x.depth:
        x.level += 1
        mirror_in(x)            # trace tells of the rule first, as Open vSwitch does
        x.level -= 1
    if rule is None:
        x.rule = None
        miss(x, table_id, may_packet_in, honor_miss)
    else:
        run_rule(x, rule, deeper)
    x.table_id = old_table
    x.in_group = in_group
    if not first:
        x.rule = old_rule        # else the action set is the first rule's
    return 0


cdef Rule lookup(XlateContext x, uint16_t in_port, uint8_t table_id):
    """The rule for the flow as if it came in by `in_port`."""
    cdef Classifier table = x.bridge.table(table_id)
    cdef uint32_t real_port = x.flow.in_port
    cdef uint16_t tp_src = x.flow.tp_src, tp_dst = x.flow.tp_dst
    cdef Rule rule
    if x.flow.nw_frag & FRAG_ANY:
        if x.bridge.frag_mode == "drop":
            x.cache.add(X_TABLE, table, x.bridge.drop_frags_rule)
            return x.bridge.drop_frags_rule
        if x.bridge.frag_mode != "nx-match":
            x.flow.tp_src = x.flow.tp_dst = 0     # as in the fragments without them
    x.spend(1 + table.n_order // SUBTABLES_PER_WORK)
    set_in_port(&x.flow, in_port)
    x.cache.rewritten |= differing_words(&x.flow, x.came)
    rule = table.find(&x.flow, &x.wc)
    if table.soft_steps:
        x.spend(MAX_WORK + 1 if table.soft_steps > MAX_SOFT_STEPS
                else table.soft_steps // SOFT_STEPS_PER_WORK)
    x.flow.in_port = real_port
    x.flow.tp_src = tp_src
    x.flow.tp_dst = tp_dst
    if rule is None and table_id == TABLE_INTERNAL and x.flow.recirc_id == 0:
        table, rule = x.bridge.internal, <Rule> x.bridge.internal_rules[0]
    x.cache.add(X_TABLE, table, rule)
    return rule


cdef uint64_t differing_words(const flow_key *one, const flow_key *other) noexcept nogil:
    """A bit for each 8 bytes of the packet's part."""
    cdef const uint64_t *a = <const uint64_t *> one
    cdef const uint64_t *b = <const uint64_t *> other
    cdef uint64_t found = 0
    cdef uint32_t i
    for i in range(KEY_PACKET_WORDS):
        found |= <uint64_t> (a[i] != b[i]) << i
    return found


cdef int miss(XlateContext x, uint8_t table_id, bint may_packet_in, bint honor_miss) except -1:
    cdef uint8_t what = x.bridge.miss[table_id]
    cdef XPort port
    cdef Telling told
    if not honor_miss:
        return trace_drop(x)
    if what == MISS_CONTINUE:
        if table_id + 1 < N_VISIBLE_TABLES:
            return run_table(x, flow_in_port(&x.flow), table_id + 1, may_packet_in, True, False)
        what = MISS_DEFAULT
    if what == MISS_CONTROLLER or (what == MISS_DEFAULT and x.bridge.miss_to_controller):
        port = x.bridge.ports.get(flow_in_port(&x.flow))
        if may_packet_in and not (port is not None and port.config & OFPPC_NO_PACKET_IN):
            if x.trace is not None:
                x.level += 1
                x.report("action", "CONTROLLER:65535")
                x.level -= 1
            told = new_telling(x, 0xffff, OFPR_IMPLICIT_MISS, 0)
            told.cookie = 0
            x.cache.add(X_TABLE, x.bridge.internal, x.bridge.miss_rule)
            return tell(x, told)
    x.cache.add(X_TABLE, x.bridge.internal, x.bridge.no_packet_in_rule)
    return trace_drop(x)


cdef int trace_drop(XlateContext x) except -1:
    if x.trace is not None:
        x.level += 1
        x.report("action", "drop")
        x.level -= 1
    return 0


cdef int run_rule(XlateContext x, Rule rule, bint deeper) except -1:
    x.rule = rule
    x.depth += deeper
    if rule.program is not None and rule.program.n_ops:
        run_ops(x, rule.program, 0)
    else:
        trace_drop(x)
    x.depth -= deeper
    return 0


cdef int trace_rule(XlateContext x, Rule rule, uint8_t table_id) except -1:
    return x.note("table", FoundRule(table_id, rule.match, rule.priority, rule.cookie))


# --- actions

cdef int run_ops(XlateContext x, Program program, uint32_t pc) except -1:
    """Runs ops from `pc` on.  When the packet is to be sent round, notes where to go on."""
    cdef uint32_t i, next_op
    cdef int verdict
    cdef int last_action = -1
    x.level += 1
    for i in range(pc, program.n_ops):
        if x.spend(1):
            break
        if x.unparsed and needs_headers(&program.ops[i], x.flow.eth_type):
            freeze(x)
            x.todo.append((program, i, x.table_id, x.rule))
            break
        if x.trace is not None and program.ops[i].action != last_action:
            last_action = program.ops[i].action
            if last_action < len(program.actions):
                note_action(x, program.actions[last_action])
        verdict = run_op(x, program, &program.ops[i])
        if x.stop:
            next_op = i if verdict == AGAIN else i + 1
            if x.freezing and next_op < program.n_ops:
                x.todo.append((program, next_op, x.table_id, x.rule))
            break
        if verdict == NO_MORE:
            break
    x.level -= 1
    return 0


cdef int note_action(XlateContext x, action) except -1:
    if not x.waited or x.level != 1:
        return x.note("action", action)
    found = restored.unrolled(action, x.table_id, x.rule, x.unrolled)
    if found is not None:
        x.unrolled = found
        x.note("action", found)
        cookie = f"{found.cookie:#x}" if found.cookie else "0"
        x.report("action", f"restored state: table={found.table_id}, cookie={cookie}")
    return x.note("action", restored.as_waited(action))


# --- output

cdef int output(XlateContext x, uint16_t port, uint32_t max_len, bint may_packet_in) except -1:
    cdef int reason
    if port == OFPP_NORMAL:
        xlate_normal(x)
    elif port == OFPP_IN_PORT:
        output_port(x, flow_in_port(&x.flow))
    elif port == OFPP_TABLE:
        run_table(x, flow_in_port(&x.flow), 0, may_packet_in, True, False)
    elif port == OFPP_FLOOD or port == OFPP_ALL:
        output_flood(x, port == OFPP_ALL)
    elif port == OFPP_CONTROLLER:
        reason = OFPR_ACTION
        if x.in_packet_out:
            reason = OFPR_PACKET_OUT
        elif x.in_group:
            reason = OFPR_GROUP
        elif x.in_action_set:
            reason = OFPR_ACTION_SET
        elif x.rule is not None and is_table_miss(x.rule):
            reason = OFPR_TABLE_MISS_FLOW
        tell(x, new_telling(x, <uint16_t> min(max_len, 0xffff), reason, 0))
    elif port == flow_in_port(&x.flow) and port != OFPP_NONE:
        x.report("warn", "skipping output to input port")
    elif port != OFPP_NONE:
        output_port(x, port)
    return 0


cdef int op_output(XlateContext x, Program program, const op *o) except -1:
    return output(x, <uint16_t> o.port, o.arg, True)


cdef int op_output_reg(XlateContext x, Program program, const op *o) except -1:
    cdef uint8_t value[16]
    cdef int i
    read_slot(<uint8_t *> &x.flow, &o.src, value)
    unwildcard(x, &o.src)
    for i in range(14):
        if value[i]:
            number = int.from_bytes((<char *> value)[:16], "big")
            return x.report("warn", f"output port {number} is out of range")
    if x.trace is not None:
        x.report("detail", "output port is %d" % (value[14] << 8 | value[15]))
    return output(x, <uint16_t> (value[14] << 8 | value[15]), o.arg, False)


cdef int op_bundle(XlateContext x, Program program, const op *o) except -1:
    cdef int port = bundle(x, program, o)
    return output(x, <uint16_t> port, 0, False) if port >= 0 else 0


cdef int op_enqueue(XlateContext x, Program program, const op *o) except -1:
    cdef uint32_t priority = x.flow.skb_priority
    cdef uint16_t port = <uint16_t> o.port
    set_queue(x, port, o.arg)
    if port == OFPP_IN_PORT or port != flow_in_port(&x.flow):
        output(x, port, 0, True)
    x.flow.skb_priority = priority
    return 0


cdef int op_goto_table(XlateContext x, Program program, const op *o) except -1:
    return run_table(x, flow_in_port(&x.flow), <uint8_t> o.aux, True, True, False)


cdef int op_resubmit(XlateContext x, Program program, const op *o) except -1:
    cdef uint16_t in_port = <uint16_t> o.port
    cdef uint8_t table_id = <uint8_t> o.aux
    if in_port == OFPP_IN_PORT:
        in_port = flow_in_port(&x.flow)
    if table_id == 255:
        table_id = x.table_id
    if o.arg and not has_tuple(x):
        return x.report("error", "resubmit(ct) with non-tracked or non-IP packet!")
    return run_table(x, in_port, table_id, False, False, o.arg)


cdef int op_ct(XlateContext x, Program program, const op *o) except -1:
    cdef Program nested = <Program> program.subs[o.arg]
    cdef before_exec outer = start_exec(x, o)
    x.level -= 1                # in trace, they follow the ct action
    if nested.n_ops:
        run_ops(x, nested, 0)
    else:
        trace_drop(x)
    x.level += 1
    return track(x, program, o, &outer)


cdef bint is_reversible(Program program) noexcept:
    """Whether nothing of these actions stays with the packet but headers that can be set back."""
    cdef uint32_t i
    for i in range(program.n_ops):
        if program.ops[i].code in (OP_TRUNC, OP_METER, OP_CT, OP_CT_CLEAR, OP_ENCAP, OP_DECAP,
                                   OP_DEC_NSH_TTL):
            return False
    return True


cdef int op_clone(XlateContext x, Program program, const op *o) except -1:
    """Actions on a copy: what they change, they change there only.  As in Open vSwitch the copy
    has the action set, too, with what was in it before, and meets it at its own end; an `exit`
    in it ends what the clone stands in, too."""
    cdef Program copied = <Program> program.subs[o.arg]
    cdef Snapshot saved
    cdef bint exited = False
    if x.depth >= MAX_DEPTH:
        return x.fail("Recursion too deep", "over max translation depth %d" % MAX_DEPTH)
    x.commit()
    saved = x.save()
    if not x.stop:
        run_ops(x, copied, 0)
        if x.action_set and x.error is None and not x.freezing:
            run_action_set(x)
        exited = x.stop and not x.freezing
        finish_freezing(x)      # what goes round has the action set
    x.restore(saved, UNDO_HEADERS if is_reversible(copied) else UNDO_NOTHING)
    x.stop = x.stop or exited
    return 0


cdef int run_copy(XlateContext x, Program program) except -1:
    run_ops(x, program, 0)
    x.action_set = None         # it is run once, behind the buckets
    return finish_freezing(x)


# --- groups

cdef int op_group(XlateContext x, Program program, const op *o) except -1:
    """A group that is not there ends the list."""
    cdef XGroup group
    if x.depth >= MAX_DEPTH:
        return x.fail("Recursion too deep", "over max translation depth %d" % MAX_DEPTH)
    group = x.bridge.groups.get(o.arg)
    if group is None:
        x.report("warn", "output to nonexistent group %d" % o.arg)
        return NO_MORE
    if group.type == GROUP_SELECT and x.unparsed:
        freeze(x)               # others' buckets may do without what a label hid
        return AGAIN
    if group.type == GROUP_SELECT and needs_hash(x, group):
        x.report("detail", "no live bucket")       # so far: the datapath hashes the packet first
        freeze(x)
        x.hashing = True
        x.hash_algorithm, x.hash_basis = group.algorithm, group.basis
        return AGAIN
    return run_group(x, group)


cdef int run_group(XlateContext x, XGroup group) except -1:
    cdef bint was_in_group = x.in_group
    cdef XBucket bucket = None
    cdef bint every = group.type == GROUP_ALL or group.type == GROUP_INDIRECT
    if not every:
        bucket = pick(x, group) if group.type == GROUP_SELECT else first_live(x, group)
        if bucket is None:
            return x.report("detail", "no live bucket")
        if x.trace is not None:
            x.report("detail", "using bucket %d" % bucket.number)
    x.cache.add(X_GROUP, group, bucket)
    x.in_group = True
    if every:
        for bucket in group.buckets:
            run_bucket(x, bucket)
    else:
        run_bucket(x, bucket)
    x.in_group = was_in_group
    return 0


cdef int run_bucket(XlateContext x, XBucket bucket) except -1:
    """A bucket's actions, on a copy of the packet."""
    cdef Snapshot saved
    if x.error is not None or x.spend(BUCKET_WORK):
        return 0
    if x.trace is not None:
        x.report("bucket", "bucket %d" % bucket.number)
    saved = x.save()
    if x.stop:
        pass
    elif bucket.program.n_ops:
        run_copy(x, bucket.program)
    else:
        trace_drop(x)
    return x.restore(saved, UNDO_HEADERS)


cdef int run_action_set(XlateContext x) except -1:
    cdef Program ordered = take_action_set(x)
    if ordered is None:
        return 0
    x.report("table", "--. Executing action set:")
    if x.stop:
        return 0                # as in Open vSwitch, `exit` ends the action set, too
    x.in_action_set = True
    return run_ops(x, ordered, 0)     # end_bridge() says that it is over


set_op(OP_OUTPUT, op_output)
set_op(OP_OUTPUT_REG, op_output_reg)
set_op(OP_ENQUEUE, op_enqueue)
set_op(OP_BUNDLE, op_bundle)
set_op(OP_GOTO_TABLE, op_goto_table)
set_op(OP_RESUBMIT, op_resubmit)
set_op(OP_CT, op_ct)
set_op(OP_CLONE, op_clone)
set_op(OP_GROUP, op_group)
set_pipeline(run_bridge)
set_sampling(sample_out)
set_continuing(run_case)
