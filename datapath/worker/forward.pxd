# The way of a packet; see forward.pyx.

from datapath.netdev.netdev cimport netdev
from datapath.worker.state cimport worker

# Sets what the executor calls.
cdef void forward_init(worker *w) noexcept nogil
# Everything for the frames of w.burst, received by `dev`: w.ingress is set.
cdef void process_burst(worker *w, netdev *dev) noexcept nogil
# Notes when flows were used: after the frames are out, and before any flow may go.
cdef void stamp_hits(worker *w) noexcept nogil
