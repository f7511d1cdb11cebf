# Packets that go up to vswitchd.

from libc.stdint cimport uint8_t, uint32_t

from datapath.base.packet cimport packet
from datapath.key.flow cimport flow_key
from datapath.worker.state cimport worker

# Gives a packet to vswitchd; counts it as lost where there is none, or it is too slow.
cdef void send_up(worker *w, packet *p, const flow_key *key, uint8_t type, uint32_t reason,
                  const uint8_t *userdata, uint32_t length) noexcept nogil
