"""Packets to the controllers: what the action says, and the datapath's action for it."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from datapath.actions.odp cimport ACT_SAMPLE, CONTINUATION, USERSPACE_CONTROLLER, controller_data
from ofproto.rules.program cimport OFPM_CONTROLLER

cdef enum:
    ALWAYS = 0xffffffff             # probability of ACT_SAMPLE
    METER_SIZE = 4                  # in the pool, before userdata


cdef Telling new_telling(XlateContext x, uint16_t max_len, int reason, uint16_t controller_id):
    cdef Telling t = Telling()
    t.max_len = max_len
    t.reason = reason
    t.controller_id = controller_id
    t.table_id = x.table_id
    t.cookie = x.rule.cookie if x.rule is not None else <uint64_t> 0xffffffffffffffff
    t.meter = <uint32_t> OFPM_CONTROLLER
    t.userdata = b""
    return t


cdef Telling telling_of(XlateContext x, Program program, const op *o):
    cdef Telling t = new_telling(x, <uint16_t> o.arg, o.aux, <uint16_t> o.port)
    if o.data_len >= METER_SIZE:
        memcpy(&t.meter, &program.pool[o.data], METER_SIZE)
        t.userdata = program.actions[o.action].userdata     # states share the action's own
    return t


cdef int send_up(XlateContext x, Telling t, uint32_t state, bint pause) except -1:
    """What the meter drops is dropped for the controllers only."""
    cdef controller_data data
    cdef uint32_t at
    memset(&data, 0, sizeof(data))
    data.state = state
    data.controller_id = t.controller_id
    data.max_len = t.max_len
    data.cookie = t.cookie
    data.reason = t.reason
    data.flags = CONTINUATION if pause else 0
    meter = x.bridge.meters.get(t.meter)
    if meter is None:
        x.out.userspace(USERSPACE_CONTROLLER, &data, sizeof(data))
        return 0
    x.nesting = max(x.nesting, 1)
    at = x.out.start_nested(ACT_SAMPLE, ALWAYS)
    x.out.meter(<uint32_t> meter)
    x.out.userspace(USERSPACE_CONTROLLER, &data, sizeof(data))
    x.out.end_nested(at)
    return 0
