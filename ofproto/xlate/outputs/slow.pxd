# Packets of protocols that listen on a port.

from ofproto.xlate.state.context cimport XlateContext
from ofproto.xlate.bridges.xbridge cimport XPort

# Whether the packet, which came in by `port`, is for one of them; if so it is not for the tables.
cdef bint take_special(XlateContext x, XPort port) except -1
