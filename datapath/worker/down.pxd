# What comes down from vswitchd: flows to install, packets to send.

from datapath.worker.state cimport worker

# Up to DOWN_BATCH records of the down ring; true when there was one.
cdef bint drain_down(worker *w) noexcept nogil
