# encap and decap: headers in front of all that a packet has, and packet types.

from ofproto.rules.program cimport Program, op
from ofproto.xlate.state.context cimport XlateContext

cdef int encap(XlateContext x, Program program, const op *o) except -1
# Puts an Ethernet header, of zeros, in front of a packet that begins with that of an Ethertype.
cdef int encap_ethernet(XlateContext x) except -1
cdef int decap(XlateContext x, const op *o) except -1
# 1: there is no TTL left, the actions of this list end.
cdef int dec_nsh_ttl(XlateContext x) except -1
# The bits of `wc` that mean something for the packet that came in: what actions looked at in
# headers that they had made themselves is nothing that it has.
cdef void forget_made_headers(XlateContext x) noexcept
