"""Connection tracking: the ct action, and what the tables see of a tracked packet.

The tracker is the datapath's: translation learns what it found when the packet comes round.  With a
table, ct sends round a copy, whose pipeline goes on in that table; the packet itself goes on untracked,
as ovs-actions(7) has it.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset, strncpy

from datapath.actions.odp cimport CT_COMMIT, CT_LABEL, CT_MARK, ct_action
from datapath.base.protocols cimport *
from datapath.key.flow cimport KEY_SIZE, flow_key
from ofproto.rules.program cimport CT_NO_TABLE, read_slot
from ofproto.xlate.state.commit cimport is_ip_any
from ofproto.xlate.state.freeze cimport frozen_state
from ofproto.xlate.actions.headers cimport unwildcard
from ofproto.xlate.state.recirc cimport FrozenState

cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)


class Fork:
    """A packet that ct sent round: `recirc_id`, the flow key as it was then (without ct_state), and the
    ct action that did it.  For trace."""

    __slots__ = ("action", "key", "recirc_id")

    def __init__(self, recirc_id, key, action):
        self.recirc_id = recirc_id
        self.key = key
        self.action = action


# --- ct

cdef before_exec start_exec(XlateContext x, const op *o) except *:
    cdef before_exec outer
    x.commit()
    outer.zone = zone_of(x, o)
    outer.mark = x.wc.ct_mark
    memcpy(outer.label, x.wc.ct_label, sizeof(outer.label))
    x.wc.ct_mark = 0
    memset(x.wc.ct_label, 0, sizeof(outer.label))
    return outer


cdef int track(XlateContext x, Program program, const op *o, const before_exec *outer) except -1:
    cdef ct_action a
    memcpy(&a, &program.pool[o.data], sizeof(a))
    a.zone = outer.zone
    if a.flags & CT_COMMIT:
        set_timeout(x, &a)
    set_marks(x, &a)
    x.wc.ct_mark = outer.mark
    memcpy(x.wc.ct_label, outer.label, sizeof(outer.label))
    x.out.ct(&a)
    x.reshaped += 1
    if o.aux != CT_NO_TABLE:
        fork(x, program, o, a.zone)
    x.untrack()
    if x.trace is not None:
        x.report("detail", "Sets the packet to an untracked state, and clears all the conntrack fields.")
    return 0


cdef uint16_t zone_of(XlateContext x, const op *o) noexcept:
    cdef uint8_t value[16]
    cdef uint16_t zone
    if not o.src.n_bits:
        return htons(<uint16_t> o.port)
    read_slot(<uint8_t *> &x.flow, &o.src, value)
    unwildcard(x, &o.src)
    memcpy(&zone, &value[14], 2)
    return zone


cdef int set_timeout(XlateContext x, ct_action *a) except -1:
    cdef bytes name = x.bridge.ct_timeouts.get(htons(a.zone))
    if name is not None:
        strncpy(a.timeout, name, sizeof(a.timeout) - 1)
    return 0


cdef void set_marks(XlateContext x, ct_action *a) noexcept:
    """What exec() wrote of the connection's mark and label."""
    cdef int i
    if x.wc.ct_mark:
        a.flags |= CT_MARK
        a.mark_mask = x.wc.ct_mark
        a.mark = x.flow.ct_mark & x.wc.ct_mark
    for i in range(16):
        if x.wc.ct_label[i]:
            a.flags |= CT_LABEL
        a.label_mask[i] = x.wc.ct_label[i]
        a.label[i] = x.flow.ct_label[i] & x.wc.ct_label[i]


cdef int fork(XlateContext x, Program program, const op *o, uint16_t zone) except -1:
    """A copy goes round, to go on in a table."""
    cdef FrozenState state
    cdef flow_key key
    x.conntracked = True
    state = frozen_state(x, [(None, 0, o.aux, None)], None)
    if state is None:
        return 0
    x.out.recirc(state.id)
    if x.trace is not None:
        x.report("detail", "A clone of the packet is forked to recirculate. "
                 f"The forked pipeline will be resumed at table {o.aux}.")
        key = x.flow
        key.ct_zone = zone
        x.forked.append(Fork(state.id, (<char *> &key)[:KEY_SIZE], program.actions[o.action]))
    return 0


cdef int ct_clear(XlateContext x) except -1:
    if x.conntracked:
        if x.bridge.features.ct_clear:
            x.out.ct_clear()
        x.untrack()
    return 0


# --- the original direction

cdef bint has_tuple(XlateContext x) noexcept:
    if not is_ip_any(&x.flow):
        return False
    x.wc.ct_nw_proto = 0xff
    return x.flow.ct_nw_proto != 0


cdef void swap_tuple(XlateContext x) noexcept:
    """Between the packet's own addresses, protocol and ports and those of the first packet of its
    connection, in the flow and in the mask."""
    cdef bint ipv4 = x.flow.eth_type == htons(ETH_IP)
    swap_in(&x.flow, ipv4)
    swap_in(&x.wc, ipv4)


cdef void swap_in(flow_key *key, bint ipv4) noexcept nogil:
    key.nw_proto, key.ct_nw_proto = key.ct_nw_proto, key.nw_proto
    key.tp_src, key.ct_tp_src = key.ct_tp_src, key.tp_src
    key.tp_dst, key.ct_tp_dst = key.ct_tp_dst, key.tp_dst
    if ipv4:
        key.nw_src, key.ct_nw_src = key.ct_nw_src, key.nw_src
        key.nw_dst, key.ct_nw_dst = key.ct_nw_dst, key.nw_dst
    else:
        swap_bytes(key.ipv6_src, key.ct_ipv6_src)
        swap_bytes(key.ipv6_dst, key.ct_ipv6_dst)


cdef void swap_bytes(uint8_t *a, uint8_t *b) noexcept nogil:
    cdef uint8_t kept[16]
    memcpy(kept, a, 16)
    memcpy(a, b, 16)
    memcpy(b, kept, 16)
