# The actions multipath, bundle and bundle_load: one of several, by a hash of header fields.

from libc.stdint cimport uint32_t

from ofproto.rules.program cimport Program, op
from ofproto.xlate.state.context cimport XlateContext
from ofproto.xlate.bridges.xgroup cimport XGroup

cdef int multipath(XlateContext x, Program program, const op *o) except -1
# The port that a bundle action is to send the packet to; -1: it went to a field instead.
cdef int bundle(XlateContext x, Program program, const op *o) except -2
# Of the fields of a connection, which are matched then.
cdef uint32_t hash_connection(XlateContext x) noexcept
# How much a select group's bucket wants packets of this hash.
cdef uint32_t bucket_score(uint32_t bucket, uint32_t weight, uint32_t hash) noexcept nogil
# A hash of the fields that a select group names, as far as the packet has them.
cdef uint32_t hash_group_fields(XlateContext x, XGroup group) noexcept
