"""What each compiled op does that needs no more than the packet and its own arguments.

A table by op code: which function an op is, and what of `op` are its arguments.  What it does to
the packet stands in actions/, outputs/ and state/.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memset

from datapath.actions.odp cimport USERSPACE_ACTION
from ofproto.rules.program cimport *
from ofproto.xlate.actions.action_set cimport clear_actions, write_actions
from ofproto.xlate.actions.conntrack cimport ct_clear
from ofproto.xlate.actions.encap cimport dec_nsh_ttl, decap, encap
from ofproto.xlate.actions.headers cimport (
    copy_ttl, dec_mpls_ttl, dec_ttl, delete_field, move_field, pop_mpls, pop_pbb, pop_vlan, prereq,
    push_mpls, push_pbb, push_vlan, set_field, set_vlan, stack_pop, stack_push, write_metadata,
)
from ofproto.xlate.actions.learn cimport fin_timeout, learn
from ofproto.xlate.actions.sample cimport sample_action
from ofproto.xlate.actions.spread cimport multipath
from ofproto.xlate.outputs.output cimport output_trunc
from ofproto.xlate.outputs.tunnel_send cimport give_tunnel
from ofproto.xlate.state.context cimport XlateContext
from ofproto.xlate.state.freeze cimport check_larger, freeze, pause, tell
from ofproto.xlate.state.to_controller cimport telling_of

cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)
    uint32_t htonl(uint32_t)
    uint32_t ntohl(uint32_t)

cdef op_function OPS[N_OPS]     # NULL: nothing is done
memset(OPS, 0, sizeof(OPS))


cdef int set_op(op_code code, op_function function) except -1:
    OPS[<int> code] = function
    return 0


cdef int run_op(XlateContext x, Program program, const op *o) except -1:
    cdef op_function function = OPS[o.code]
    if o.prereq and not prereq(x, o.prereq):
        if x.trace is not None and not o.aux and (o.code == OP_SET or o.code == OP_MOVE):
            x.report("warn", "unmet prerequisites, action ignored")
        return 0
    return function(x, program, o) if function != NULL else 0


# --- fields

cdef int op_set(XlateContext x, Program program, const op *o) except -1:
    return set_field(x, o, &program.pool[o.data])


cdef int op_move(XlateContext x, Program program, const op *o) except -1:
    return move_field(x, program, o) if not o.src_prereq or prereq(x, o.src_prereq) else 0


cdef int op_delete_field(XlateContext x, Program program, const op *o) except -1:
    return delete_field(x, o)


cdef int op_stack_push(XlateContext x, Program program, const op *o) except -1:
    return stack_push(x, o)


cdef int op_write_metadata(XlateContext x, Program program, const op *o) except -1:
    return write_metadata(x, &program.pool[o.data])


cdef int op_check_larger(XlateContext x, Program program, const op *o) except -1:
    if not x.bridge.features.check_pkt_len:
        x.slow |= USERSPACE_ACTION
    return check_larger(x, program, o)


# --- headers

cdef int op_push_vlan(XlateContext x, Program program, const op *o) except -1:
    return push_vlan(x, o.aux)


cdef int op_pop_vlan(XlateContext x, Program program, const op *o) except -1:
    return pop_vlan(x)


cdef int op_set_vlan(XlateContext x, Program program, const op *o) except -1:
    return set_vlan(x, o.code == OP_SET_VLAN_VID, o.arg, o.aux)


cdef int op_push_mpls(XlateContext x, Program program, const op *o) except -1:
    return push_mpls(x, htons(o.aux))


cdef int op_pop_mpls(XlateContext x, Program program, const op *o) except -1:
    return pop_mpls(x, htons(o.aux))


cdef int op_set_mpls_ttl(XlateContext x, Program program, const op *o) except -1:
    memset(x.wc.mpls_lse, 0xff, sizeof(x.flow.mpls_lse))
    x.flow.mpls_lse[0] = (x.flow.mpls_lse[0] & htonl(0xffffff00)) | htonl(o.arg & 0xff)
    return 0


cdef int op_dec_mpls_ttl(XlateContext x, Program program, const op *o) except -1:
    return dec_mpls_ttl(x)


cdef int op_push_pbb(XlateContext x, Program program, const op *o) except -1:
    return push_pbb(x)


cdef int op_pop_pbb(XlateContext x, Program program, const op *o) except -1:
    return pop_pbb(x)


cdef int op_set_nw_ttl(XlateContext x, Program program, const op *o) except -1:
    x.wc.nw_ttl = 0xff
    x.flow.nw_ttl = <uint8_t> o.arg
    return 0


cdef int op_copy_ttl(XlateContext x, Program program, const op *o) except -1:
    return copy_ttl(x, o.code == OP_COPY_TTL_OUT)


cdef int op_decap(XlateContext x, Program program, const op *o) except -1:
    return decap(x, o)


cdef int op_dec_nsh_ttl(XlateContext x, Program program, const op *o) except -1:
    return dec_nsh_ttl(x)


# --- queues, meters, copies

cdef int set_queue(XlateContext x, uint16_t port, uint32_t queue) except -1:
    """Without a QoS that maps it, a queue is the priority of its own number."""
    cdef uint32_t priority = x.bridge.queues.get((port, queue), queue)
    x.flow.skb_priority = htonl(priority)
    x.wc.skb_priority = 0xffffffff
    return 0


cdef int op_set_queue(XlateContext x, Program program, const op *o) except -1:
    return set_queue(x, 0xffff, o.arg)


cdef int op_pop_queue(XlateContext x, Program program, const op *o) except -1:
    x.wc.skb_priority = 0xffffffff
    if x.trace is not None and x.flow.skb_priority != x.initial_priority:
        number = ntohl(x.initial_priority)
        x.report("detail", f"queue = {number:#x}" if number else "queue = 0")
    x.flow.skb_priority = x.initial_priority
    return 0


cdef int op_meter(XlateContext x, Program program, const op *o) except -1:
    """Flows refer to meters that are there, and go with them.  As in Open vSwitch, changes of
    the packet wait for an output."""
    number = x.bridge.meters.get(o.arg)
    if number is None:
        return x.report("warn", "nonexistent meter %d" % o.arg)
    x.out.meter(<uint32_t> number)
    return 0


cdef int op_sample(XlateContext x, Program program, const op *o) except -1:
    return sample_action(x, program, o, give_tunnel)


cdef int op_trunc(XlateContext x, Program program, const op *o) except -1:
    return output_trunc(x, <uint16_t> o.port, o.arg)


# --- controllers, flows, connections

cdef int op_controller(XlateContext x, Program program, const op *o) except -1:
    return tell(x, telling_of(x, program, o))


cdef int op_pause(XlateContext x, Program program, const op *o) except -1:
    return pause(x, telling_of(x, program, o))


cdef int op_fin_timeout(XlateContext x, Program program, const op *o) except -1:
    return fin_timeout(x, o)


cdef int op_ct_clear(XlateContext x, Program program, const op *o) except -1:
    return ct_clear(x)


# --- the list

cdef int op_write_actions(XlateContext x, Program program, const op *o) except -1:
    return write_actions(x, <Program> program.subs[o.arg])


cdef int op_clear_actions(XlateContext x, Program program, const op *o) except -1:
    return clear_actions(x)


cdef int op_exit(XlateContext x, Program program, const op *o) except -1:
    x.stop = True
    return 0


cdef int op_debug_recirc(XlateContext x, Program program, const op *o) except -1:
    return freeze(x)


cdef int op_debug_slow(XlateContext x, Program program, const op *o) except -1:
    x.slow |= USERSPACE_ACTION
    return 0


set_op(OP_SET, op_set)
set_op(OP_MOVE, op_move)
set_op(OP_DELETE_FIELD, op_delete_field)
set_op(OP_STACK_PUSH, op_stack_push)
set_op(OP_STACK_POP, stack_pop)
set_op(OP_WRITE_METADATA, op_write_metadata)
set_op(OP_MULTIPATH, multipath)
set_op(OP_CHECK_LARGER, op_check_larger)
set_op(OP_PUSH_VLAN, op_push_vlan)
set_op(OP_POP_VLAN, op_pop_vlan)
set_op(OP_SET_VLAN_VID, op_set_vlan)
set_op(OP_SET_VLAN_PCP, op_set_vlan)
set_op(OP_PUSH_MPLS, op_push_mpls)
set_op(OP_POP_MPLS, op_pop_mpls)
set_op(OP_SET_MPLS_TTL, op_set_mpls_ttl)
set_op(OP_DEC_MPLS_TTL, op_dec_mpls_ttl)
set_op(OP_PUSH_PBB, op_push_pbb)
set_op(OP_POP_PBB, op_pop_pbb)
set_op(OP_SET_NW_TTL, op_set_nw_ttl)
set_op(OP_DEC_NW_TTL, dec_ttl)
set_op(OP_COPY_TTL_IN, op_copy_ttl)
set_op(OP_COPY_TTL_OUT, op_copy_ttl)
set_op(OP_ENCAP, encap)
set_op(OP_DECAP, op_decap)
set_op(OP_DEC_NSH_TTL, op_dec_nsh_ttl)
set_op(OP_SET_QUEUE, op_set_queue)
set_op(OP_POP_QUEUE, op_pop_queue)
set_op(OP_METER, op_meter)
set_op(OP_SAMPLE, op_sample)
set_op(OP_TRUNC, op_trunc)
set_op(OP_CONTROLLER, op_controller)
set_op(OP_PAUSE, op_pause)
set_op(OP_LEARN, learn)
set_op(OP_FIN_TIMEOUT, op_fin_timeout)
set_op(OP_CT_CLEAR, op_ct_clear)
set_op(OP_WRITE_ACTIONS, op_write_actions)
set_op(OP_CLEAR_ACTIONS, op_clear_actions)
set_op(OP_EXIT, op_exit)
set_op(OP_DEBUG_RECIRC, op_debug_recirc)
set_op(OP_DEBUG_SLOW, op_debug_slow)
