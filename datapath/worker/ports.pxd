# Receiving from the ports of a worker.

from datapath.worker.state cimport worker

# One burst from each port that may have frames; true when there was a frame.  `prune`: ports
# without one leave the list; look() brings them back.
cdef bint poll_ready(worker *w, bint prune) noexcept nogil
# Ask the kernel which ports have frames; sleeps up to `timeout` ms, -1: until there are.
cdef void look(worker *w, int timeout) noexcept nogil
