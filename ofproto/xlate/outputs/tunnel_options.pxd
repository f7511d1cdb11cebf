# The options of a packet that goes out by a tunnel.

from ofproto.xlate.state.context cimport XlateContext

cdef bytes options_of(XlateContext x)
