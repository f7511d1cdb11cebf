# Taking a tunnel's outer header off.

from libc.stdint cimport uint32_t

from datapath.base.packet cimport packet
from datapath.key.flow cimport flow_key

# Takes the outer header off a packet for a tunnel of this kind (TUNNEL_*).  `p` and `key` as
# flow_extract left them.  Afterwards the tunnel part of the key says what the header said; the
# rest of the key and the offsets are stale.  False where the packet is cut, contradicts itself, or
# is nothing that such a tunnel has; packet and key then hold anything.
cdef bint tunnel_decapsulate(packet *p, flow_key *key, uint32_t kind) noexcept nogil
