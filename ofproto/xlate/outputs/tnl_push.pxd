# Output to tunnel ports: the outer header, and its way through the underlay's bridge.

from ofproto.xlate.state.context cimport XlateContext, pipeline
from ofproto.xlate.bridges.xbridge cimport XPort

# The port of some bridge that is this device, or None.
cdef XPort find_port(underlay, str name)
# Puts on the header that the flow's tun_* say and sends the packet on by `run`, the pipeline, as
# one that the bridge's own port gets from the host.  What keeps it from that is reported.
cdef int push_tunnel(XlateContext x, XPort port, pipeline run) except -1
