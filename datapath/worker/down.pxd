# What comes down from vswitchd: flows to install, packets to send.

from libc.stdint cimport uint8_t, uint32_t

from datapath.key.flow cimport flow_key
from datapath.worker.state cimport worker

# Up to DOWN_BATCH records of the down ring; true when there was one.
cdef bint drain_down(worker *w) noexcept nogil
# megaflow_insert(), and the kernel goes by the flow's former actions no longer; false: *error.
cdef bint put_megaflow(worker *w, const uint8_t *ufid, const flow_key *key, const flow_key *mask,
                       const uint8_t *actions, uint32_t length, int *error) noexcept nogil
