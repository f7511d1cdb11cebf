# Frames on their way out of a worker: queued by port, sent at the end of a burst.

from libc.stdint cimport uint32_t

from datapath.base.packet cimport packet
from datapath.worker.state cimport worker

cdef enum:
    ANSWERING = 4               # ports sent to at once, at most, that are expected to answer

# Queues a frame for a port; `owner` is the worker.  An output_fn.
cdef void output(void *owner, packet *p, uint32_t port) noexcept nogil
# Sends everything that waits; afterwards no memory of a frame is referred to.
cdef void flush_frames(worker *w) noexcept nogil
