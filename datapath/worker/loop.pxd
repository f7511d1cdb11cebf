# A worker's thread.

from datapath.worker.state cimport worker

# Until COMMAND_STOP.  A worker with nothing to do for w.spin sleeps in epoll_wait().
cdef void run_worker(worker *w) noexcept nogil
