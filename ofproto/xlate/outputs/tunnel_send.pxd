# Output to tunnel ports: what the outer header is to say.

from ofproto.xlate.state.context cimport XlateContext, pipeline
from ofproto.xlate.bridges.xbridge cimport XPort

cdef enum:                  # RFC 3168, section 5
    ECN_MASK = 3
    ECN_CE = 3

# To a tunnel port; `run` is the pipeline, for the bridge that the encapsulated packet goes through.
cdef int output_tunnel(XlateContext x, XPort port, pipeline run) except -1
# For a port that makes the outer header by itself: the packet is told of with that.
cdef int give_tunnel(XlateContext x, XPort port) except -1
# For a packet that came in by one, before the tables see it.
cdef int take_tunnelled(XlateContext x, XPort port) except -1
