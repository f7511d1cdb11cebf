"""The action set: what write_actions gathered, in the order in which it is run.

The order is OpenFlow 1.3's (section 5.10), with the places of its own actions that
ovs-actions(7) gives.
"""

from libc.stdint cimport uint16_t, uint32_t

from ofproto.rules.program cimport (
    N_SET_KINDS, OP_CT, OP_NOP, SET_FIELD, SET_GROUP, Program, op,
)


cdef str action_text(action):
    if isinstance(action, str):
        return action
    return action.format()


cdef uint32_t count_ops(list programs) except? 0xffffffff:
    cdef Program program
    cdef uint32_t n = 0
    for program in programs:
        n += program.n_ops
    return n


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
    if fresh.code == OP_CT:
        to.ops[at].arg = <uint32_t> len(to.subs)
        to.subs.append(source.subs[source.ops[i].arg])
    to.ops[at].action = <uint16_t> len(to.actions)
    to.actions.append(source.actions[source.ops[i].action])
    return 0
