# Copies of packets for mirrors.

from ofproto.xlate.state.context cimport XlateContext

# The packet has come in by its port.
cdef int mirror_in(XlateContext x) except -1
