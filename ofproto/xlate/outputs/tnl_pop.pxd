# Packets for the bridge's own port that are a tunnel's, and what is heard of neighbours there.

from ofproto.xlate.state.context cimport XlateContext
from ofproto.xlate.bridges.xbridge cimport XPort

# Whether a packet that is to go out by the bridge's own port is a tunnel's: then the outer header
# is taken off instead.  Else, answers about Ethernet addresses are listened to.
cdef bint ends_tunnel(XlateContext x, XPort port) except -1
