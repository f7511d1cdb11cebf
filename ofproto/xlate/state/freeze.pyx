"""Freezing a translation: the packet goes round through the datapath and comes back to go on.

It has to where translation needs what only the datapath can tell: headers that a popped MPLS
label or I-TAG hid, a hash.  A packet that is to wait for a controller goes there instead, with the
state as a continuation (continuation.py).
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memcpy, memset

from datapath.actions.odp cimport MAX_NESTING
from datapath.key.flow cimport KEY_DP_SIZE, KEY_PACKET_SIZE, KEY_SIZE, NO_KEY, flow_key, key_at
from ofproto.codec.numbers cimport OFPP_NORMAL, OFPP_TABLE
from ofproto.rules.program cimport *
from ofproto.xlate.state.commit cimport is_mpls
from ofproto.xlate.state.context cimport (
    MAX_DEPTH, UNDO_NOTHING, Snapshot, XlateContext, flow_in_port, set_in_port,
)
from ofproto.xlate.state.recirc cimport CONNTRACKED, FrozenState
from ofproto.xlate.state.to_controller cimport Telling, send_up
from ofproto.xlate.bridges.tunnel cimport has_tunnel
from ofproto.xlate.state.xcache cimport X_STATE

from ofproto.xlate.state import restored
from ofproto.xlate.state.steps import ActionSet

cdef enum:                  # bits of FrozenState.flags
    IN_PACKET_OUT = 1
    IN_ACTION_SET = 2
    IN_GROUP = 4
    HASHED = 8
    PAUSED = 16

cdef enum:
    STATE_WORK = 150        # a state is named by a hash of all that it has
    VALUE_WORK = 3          # a value of its stack, likewise
    USERDATA_PER_WORK = 4   # bytes, likewise

cdef size_t AT_ETHERNET = key_at(NO_KEY.eth_dst)
cdef size_t AT_L3 = key_at(&NO_KEY.pbb_isid)


cdef int freeze(XlateContext x) except -1:
    x.freezing = x.stop = True
    x.todo = []
    return 0


cdef int pause(XlateContext x, Telling told) except -1:
    freeze(x)
    x.pausing = told
    return 0


cdef continuing go_on = NULL


cdef int set_continuing(continuing run) except -1:
    global go_on
    go_on = run
    return 0


cdef int check_larger(XlateContext x, Program program, const op *o) except -1:
    freeze(x)
    x.checking = program
    x.checking_op = <uint32_t> (o - program.ops)
    return 0


cdef int finish_checking(XlateContext x, list todo) except -1:
    """Both cases, each with its value of the bit, as actions on copies of the packet."""
    cdef const op *o = &x.checking.ops[x.checking_op]
    cdef uint32_t at, middle
    x.checking = None
    x.commit()
    at = x.out.start_check_len(o.arg)
    run_case(x, o, 1, todo)
    middle = x.out.length
    run_case(x, o, 0, todo)
    x.out.end_check_len(at, middle)
    x.nesting += 1
    if x.nesting > MAX_NESTING:
        x.fail("Clones nested too deep")
    return 0


cdef int run_case(XlateContext x, const op *o, uint8_t bit, list todo) except -1:
    cdef uint8_t value[16]
    cdef Snapshot saved
    if x.depth >= MAX_DEPTH:
        return x.fail("Recursion too deep", "over max translation depth %d" % MAX_DEPTH)
    saved = x.save()
    memset(value, 0, sizeof(value))
    value[15] = bit
    write_slot(<uint8_t *> &x.flow, &o.dst, value)
    note_written(&x.flow, &o.dst)
    fill_slot(<uint8_t *> &x.wc, &o.dst)
    note_written(&x.wc, &o.dst)
    if not x.stop:
        go_on(x, todo)
    # The datapath itself keeps each case's changes from what is behind them.
    x.base = saved.base
    x.reshaped = saved.reshaped
    return x.restore(saved, UNDO_NOTHING)


cdef int tell(XlateContext x, Telling told) except -1:
    cdef FrozenState state = frozen_state(x, [], told)
    if state is None:
        return 0
    x.commit()
    return send_up(x, told, state.id, False)


cdef int finish_freezing(XlateContext x) except -1:
    cdef list todo = x.todo
    cdef Telling told = x.pausing
    cdef FrozenState state
    if not x.freezing:
        return 0
    x.freezing = x.unparsed = False
    x.stop = x.error is not None
    x.todo = None
    if x.checking is not None:
        return finish_checking(x, todo)
    if told is not None and x.trace is not None and not x.side_effects:
        x.pausing = None
        return 0                # as in Open vSwitch: nobody is told of the packet, nor continues it
    x.commit()
    if x.hashing:
        x.out.hash(x.hash_algorithm, x.hash_basis)
    state = frozen_state(x, todo, told)
    if state is None:
        pass
    elif told is not None:
        send_up(x, told, state.id, True)
    else:
        x.out.recirc(state.id)
    x.hashing = False
    x.pausing = None
    return 0


cdef FrozenState frozen_state(XlateContext x, list todo, Telling told):
    """`told`: of a packet for the controllers; without x.pausing they get nothing of what is left
    to do."""
    cdef FrozenState state
    cdef bint going_on = told is None or x.pausing is not None
    cdef int64_t work = STATE_WORK + VALUE_WORK * (len(x.stack) if x.stack else 0)
    if told is not None:
        work += len(told.userdata) // USERDATA_PER_WORK
    if x.spend(work) and x.error is not None:
        return None
    state = x.recirc.intern(FrozenState(
        x.bridge, (<char *> &x.flow)[KEY_DP_SIZE:KEY_SIZE], flow_in_port(&x.flow),
        list(x.stack or ()) if going_on else [], todo,
        list(x.action_set or ()) if going_on else [],
        frozen_flags(x) if going_on else CONNTRACKED * x.conntracked,
        b"" if told is None else told.userdata, 0 if told is None else told.table_id,
        x.mirrors if going_on else 0, changed_tunnel(x)), x.now)
    if state is None:
        x.fail("No recirculation context", "no room for another recirculation id")
        return None
    x.cache.add(X_STATE, state)
    return state


cdef bytes changed_tunnel(XlateContext x):
    """FrozenState.tunnel: the datapath keeps what came with the packet only.  The bits that actions
    set are in the megaflow's mask, so that these are the same for all its packets; those beside
    them, as in a byte that was set in part, are each packet's own."""
    cdef const uint8_t *flow = <const uint8_t *> &x.flow + KEY_PACKET_SIZE
    cdef const uint8_t *own = <const uint8_t *> x.came + KEY_PACKET_SIZE
    cdef size_t size = KEY_DP_SIZE - KEY_PACKET_SIZE, i
    cdef bint whole = x.tunnel_hidden and has_tunnel(x.came)
    cdef bytearray made
    if not whole and memcmp(flow, own, size) == 0:
        return b""
    made = bytearray(2 * size)
    for i in range(size):
        made[size + i] = 0xff if whole else flow[i] ^ own[i]
        made[i] = flow[i] & made[size + i]
    return bytes(made)


cdef int frozen_flags(XlateContext x) noexcept:
    """Where the actions stand that run, part of a packet-in's reason, and whether the packet has a
    hash."""
    return (IN_PACKET_OUT * x.in_packet_out | IN_ACTION_SET * x.in_action_set
            | IN_GROUP * x.in_group | HASHED * (x.hashed or x.hashing)
            | PAUSED * (x.pausing is not None) | CONNTRACKED * x.conntracked)


cdef int thaw(XlateContext x, FrozenState state) except -1:
    memcpy(<uint8_t *> &x.flow + KEY_DP_SIZE, <const char *> state.pipeline,
           KEY_SIZE - KEY_DP_SIZE)
    x.tunnel_hidden = state.take_tunnel(&x.flow)
    set_in_port(&x.flow, state.in_port)
    x.mirrors = state.mirrors
    x.stack = list(state.stack)
    x.action_set = list(state.action_set)
    x.in_packet_out = (state.flags & IN_PACKET_OUT) != 0
    x.in_action_set = (state.flags & IN_ACTION_SET) != 0
    x.in_group = (state.flags & IN_GROUP) != 0
    x.hashed = (state.flags & HASHED) != 0
    x.conntracked = (state.flags & CONNTRACKED) != 0
    if not x.conntracked:
        x.untrack()
    if x.trace is not None:
        x.report("thaw", "thaw")
        tell_restored(x, state)
    return 0


cdef int tell_restored(XlateContext x, FrozenState state) except -1:
    lines = []
    if state.todo:
        program, _, table_id, _ = state.todo[0]
        lines.append(f"Resuming from table {table_id if program is None else 0}")
    written = [action for each in state.action_set for action in each.remaining(0)]
    for head, steps in (("Restoring action set: ", written),
                        ("Restoring actions: ", list(restored.waiting(state.todo)))):
        if steps:
            lines.append(ActionSet(head, steps))
    for at, line in enumerate(lines, 1):
        x.note("restoring" if at < len(lines) else "restored", line)
    return 0


# --- which actions have to wait for the headers

cdef bint needs_headers(const op *o, uint16_t eth_type) noexcept nogil:
    """The action looks at headers that a popped MPLS label or I-TAG hid."""
    cdef int code = o.code
    if eth_type == 0:
        return needs_ethernet(o)
    if o.prereq == PRE_MPLS or o.src_prereq == PRE_MPLS:
        return is_mpls(eth_type)
    if code == OP_SET:
        return o.prereq != PRE_NONE and o.prereq != PRE_VLAN and o.prereq != PRE_ETHERNET
    if code == OP_MOVE:
        return is_header(o.src.offset) or is_header(o.dst.offset)
    if code == OP_OUTPUT:
        return o.port == OFPP_TABLE
    return (code == OP_RESUBMIT or code == OP_GOTO_TABLE or code == OP_DEC_NW_TTL
            or code == OP_SET_NW_TTL or code == OP_PUSH_MPLS or code == OP_POP_MPLS
            or code == OP_PUSH_PBB or code == OP_POP_PBB
            or code == OP_ENCAP or code == OP_DECAP or code == OP_DEC_NSH_TTL
            or code == OP_CLONE or code == OP_STACK_PUSH
            or code == OP_STACK_POP or code == OP_OUTPUT_REG
            or code == OP_MULTIPATH or code == OP_BUNDLE or code == OP_LEARN
            or code == OP_FIN_TIMEOUT or code == OP_CHECK_LARGER or code == OP_CT)


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

