# Packets for the bridge's own port that are a tunnel's, and what is heard of neighbours there.

from ofproto.xlate.state.context cimport XlateContext
from ofproto.xlate.bridges.xbridge cimport XPort

cdef enum:
    NO_TUNNEL                   # answers about Ethernet addresses were listened to
    TUNNEL_ENDS                 # its outer header is taken off in place of an output
    TUNNEL_MAY_END              # a fragment, which goes out by the port where it is no tunnel's

# Whether a packet that is to go out by the bridge's own port is a tunnel's.
cdef int ends_tunnel(XlateContext x, XPort port) except -1
