# What actions do to a packet's headers and to the pipeline's fields.

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from ofproto.rules.program cimport Program, op, slot
from ofproto.xlate.xlate_base cimport XlateBase


cdef class XlateHeaders(XlateBase):
    cdef bint prereq(self, int kind) noexcept
    cdef int report_prereq(self, int code) except -1
    cdef void unwildcard(self, const slot *s) noexcept
    cdef int set_field(self, const op *o, const uint8_t *value) except -1
    cdef int report_value(self, Program program, const op *o) except -1
    cdef int move_field(self, Program program, const op *o) except -1
    cdef int write(self, const slot *s, const uint8_t *value) except -1
    cdef int stack_push(self, const op *o) except -1
    cdef int stack_pop(self, Program program, const op *o) except -1
    cdef int write_metadata(self, const uint8_t *value) except -1
    cdef int fix_vlan(self) except -1
    cdef int push_vlan(self, uint16_t tpid) except -1
    cdef int pop_vlan(self) except -1
    cdef int set_vlan(self, bint vid, uint32_t value, bint push) except -1
    cdef int push_mpls(self, uint16_t eth_type) except -1
    cdef int pop_mpls(self, uint16_t eth_type) except -1
    cdef int unpush_mpls(self) except -1
    cdef int pop_to(self, uint16_t eth_type) except -1
    cdef int push_pbb(self) except -1
    cdef int pop_pbb(self) except -1
    cdef int dec_mpls_ttl(self) except -1
    cdef int dec_ttl(self, Program program, const op *o) except -1
    cdef int copy_ttl(self, bint out) except -1
