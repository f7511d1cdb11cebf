# Runs a list of datapath actions on a packet.

from libc.stdint cimport uint8_t, uint32_t

from datapath.actions.executor cimport executor
from datapath.base.packet cimport packet
from datapath.key.flow cimport flow_key

# p: flow_extract(p, key) was called, so its offsets are right.  Packet and key are working
# copies: both hold anything afterwards.  `actions` passed check_actions (else: DROP_BAD_ACTION
# where something is wrong, never a wild access).  An empty list drops.
cdef void execute_actions(executor *x, packet *p, flow_key *key, const uint8_t *actions,
                          uint32_t length) noexcept nogil
