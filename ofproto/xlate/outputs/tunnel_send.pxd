# Output to tunnel ports: what the outer header is to say.

from ofproto.xlate.state.context cimport XlateContext, pipeline
from ofproto.xlate.bridges.xbridge cimport XPort

# To a tunnel port; `run` is the pipeline, for the bridge that the encapsulated packet goes through.
cdef int output_tunnel(XlateContext x, XPort port, pipeline run) except -1
# For a port that makes the outer header by itself: the packet is told of with that.
cdef int give_tunnel(XlateContext x, XPort port) except -1
# For a packet that came in by one, before the tables see it.
cdef int take_tunnelled(XlateContext x, XPort port) except -1
# Whether the packet came with a mark of congestion that it cannot have itself.
cdef bint is_congested(XlateContext x) noexcept
# The outer header's mark of congestion becomes the packet's; False: it is lost.
cdef bint take_congestion(XlateContext x) except -1
