"""The action set on its way through the tables: what write_actions and clear_actions do to it.

It is a list of programs, one for each write_actions; which of their actions are done, and in which
order, is looked at when all are there (OpenFlow 1.5, section 5.6.1).
"""

from libc.stdint cimport uint16_t, uint32_t

from ofproto.codec.numbers cimport OFPP_UNSET
from ofproto.rules.action_set cimport count_ops, has_group, order_action_set
from ofproto.rules.program cimport OP_OUTPUT, Program
from ofproto.xlate.state.context cimport XlateContext

from ofproto.xlate.state.steps import ActionSet

cdef extern from "arpa/inet.h" nogil:
    uint32_t htonl(uint32_t)

cdef enum:
    OPS_PER_WORK = 16       # looked at


cdef int write_actions(XlateContext x, Program program) except -1:
    cdef uint32_t i
    if x.action_set is None:
        x.action_set = []
    x.action_set.append(program)
    if x.spend(count_ops(x.action_set) // OPS_PER_WORK):
        return 0
    if x.trace is not None:
        note_action_set(x, "is")
    for i in range(program.n_ops):
        if program.ops[i].code == OP_OUTPUT:
            x.flow.actset_output = htonl(program.ops[i].port)
    if has_group(x.action_set):
        x.flow.actset_output = htonl(OFPP_UNSET)
    return 0


cdef int clear_actions(XlateContext x) except -1:
    if x.trace is not None and x.action_set:
        note_action_set(x, "was")
    x.action_set = None
    x.flow.actset_output = htonl(OFPP_UNSET)
    return 0


cdef Program take_action_set(XlateContext x):
    cdef Program ordered
    x.spend(count_ops(x.action_set))        # each is looked at once for each kind
    if x.error is not None:
        return None
    ordered = order_action_set(x.action_set)
    x.action_set = None
    return ordered


cdef int note_action_set(XlateContext x, str verb) except -1:
    return x.note("detail", ActionSet(f"action set {verb}: ", order_action_set(x.action_set).actions))
