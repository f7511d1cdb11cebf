# What the control thread has a worker do.

from datapath.worker.state cimport command, worker

# Does the command in the mailbox, and says so.
cdef void do_command(worker *w) noexcept nogil
# As much of a dump as one command gives; for the control thread once the worker has ended.
cdef void flow_dump(worker *w, command *c) noexcept nogil
