# The tnl_defrag action, as execute_actions() calls it.

from libc.stdint cimport uint8_t, uint32_t

from datapath.base.packet cimport packet
from datapath.conntrack.fragments cimport frag_settings
from datapath.key.flow cimport flow_key

# Of all workers' tables of outer fragments.
cdef frag_settings OUTER

cdef int defragment(void *owner, const packet *p, const flow_key *key, const uint8_t *payload,
                    uint32_t length, packet *whole, flow_key *whole_key, uint32_t *port) noexcept nogil
