# Samples for exporters, as datapath actions.

from libc.stdint cimport uint32_t

from ofproto.rules.program cimport Program, op
from ofproto.xlate.bridges.xbridge cimport XPort
from ofproto.xlate.state.context cimport XlateContext

# The bridge's own samples of a packet that has come in, and, when all is known of where it goes,
# what sFlow tells of that.
cdef int sample_in(XlateContext x) except -1
cdef int finish_samples(XlateContext x) except -1
# The bridge's own samples of what goes out by a datapath port.
cdef int sample_out(XlateContext x, uint32_t odp_port) except -1
# The same of what goes out by a tunnel's, which makes the outer header by itself.
cdef int sample_tunnel(XlateContext x, XPort port) except -1
# `give` has such a port's outer header given to the packet, for it is told of, too.
ctypedef int (*giving)(XlateContext x, XPort port) except -1
cdef int sample_action(XlateContext x, Program program, const op *o, giving give) except -1
