# What actions do to a packet's headers and to the pipeline's fields.

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from ofproto.rules.program cimport Program, op, slot
from ofproto.xlate.state.context cimport XlateContext

# Whether the packet has a header (PRE_*); what was looked at for that is unwildcarded.
cdef bint prereq(XlateContext x, int kind) noexcept
cdef void unwildcard(XlateContext x, const slot *s) noexcept
# `value` is followed by its mask, each o.data_len / 2 bytes.
cdef int set_field(XlateContext x, const op *o, const uint8_t *value) except -1
cdef int move_field(XlateContext x, Program program, const op *o) except -1
cdef int delete_field(XlateContext x, const op *o) except -1
cdef int write_field(XlateContext x, const slot *s, const uint8_t *value) except -1
# For trace: what a subfield (field, start, bits) is now.
cdef int report_now(XlateContext x, destination, number) except -1
cdef int stack_push(XlateContext x, const op *o) except -1
cdef int stack_pop(XlateContext x, Program program, const op *o) except -1
cdef int write_metadata(XlateContext x, const uint8_t *value) except -1
cdef int push_vlan(XlateContext x, uint16_t tpid) except -1
cdef int pop_vlan(XlateContext x) except -1
cdef int set_vlan(XlateContext x, bint vid, uint32_t value, bint push) except -1
cdef int push_mpls(XlateContext x, uint16_t eth_type) except -1
cdef int pop_mpls(XlateContext x, uint16_t eth_type) except -1
# A new label, in front of others (`below`) or of what the packet is; network order.
cdef uint32_t label_of(XlateContext x, int n) noexcept
# The only label goes, or one that the Ethertype contradicts; the rest is parsed anew.
cdef int pop_to(XlateContext x, uint16_t eth_type) except -1
cdef int push_pbb(XlateContext x) except -1
cdef int pop_pbb(XlateContext x) except -1
# 1: there is no TTL left, the actions of this list end.
cdef int dec_mpls_ttl(XlateContext x) except -1
cdef int dec_ttl(XlateContext x, Program program, const op *o) except -1
cdef int copy_ttl(XlateContext x, bint out) except -1
