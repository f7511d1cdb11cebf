# What the control thread has a worker do.

from datapath.worker.state cimport worker

# Does the command in the mailbox, and says so.
cdef void do_command(worker *w) noexcept nogil
