# A worker as the control thread has it.

from datapath.worker.state cimport command, worker

cdef class Worker:
    cdef worker w
    cdef object thread
    cdef readonly object core           # a processor core's number, or None
    cdef readonly bint pinned
    cdef int run_command(self, command *c) except -1
    cdef bint take_alarm(self)
