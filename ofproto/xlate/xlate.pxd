# Translation of a flow through the OpenFlow tables.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from datapath.key.flow cimport flow_key
from ofproto.rules.classifier cimport Rule
from ofproto.rules.program cimport Program, op
from ofproto.xlate.recirc cimport FrozenState
from ofproto.xlate.xbridge cimport XBridge
from ofproto.xlate.xgroup cimport XBucket, XGroup
from ofproto.xlate.xlate_headers cimport XlateHeaders


cdef class Xlate(XlateHeaders):
    cdef uint32_t initial_priority      # skb_priority as the packet had it
    cdef int translate(self, XBridge bridge, const flow_key *key, int64_t now) except -1
    cdef int resume(self, FrozenState state, const flow_key *key, int64_t now) except -1
    cdef int run_program(self, XBridge bridge, const flow_key *key, Program program,
                         int64_t now) except -1
    cdef int finish(self) except -1
    cdef int run_table(self, uint16_t in_port, uint8_t table_id, bint may_packet_in,
                       bint honor_miss) except -1
    cdef Rule lookup(self, uint16_t in_port, uint8_t table_id)
    cdef int miss(self, uint8_t table_id, bint may_packet_in, bint honor_miss) except -1
    cdef int run_rule(self, Rule rule, bint deeper) except -1
    cdef int run_ops(self, Program program, uint32_t pc) except -1
    cdef int run_op(self, Program program, const op *o) except -1
    cdef int run_action_set(self) except -1
    cdef int clone(self, Program program) except -1
    cdef int output(self, uint16_t port, uint32_t max_len, bint may_packet_in) except -1
    cdef int resubmit(self, const op *o) except -1
    cdef int freeze(self) except -1
    cdef int trace_drop(self) except -1
    cdef report_bridge(self)
    cdef int end_bridge(self) except -1
    cdef int output_reg(self, const op *o) except -1
    cdef int enqueue(self, uint16_t port, uint32_t queue) except -1
    cdef int group(self, uint32_t group_id) except -1
    cdef int run_group(self, XGroup group) except -1
    cdef int run_bucket(self, XBucket bucket) except -1
    cdef int meter(self, uint32_t meter) except -1
    cdef int clear_actions(self) except -1
    cdef int write_actions(self, Program program) except -1
    cdef int set_queue(self, uint16_t port, uint32_t queue) except -1
    cdef int trace_rule(self, Rule rule, uint8_t table_id) except -1
