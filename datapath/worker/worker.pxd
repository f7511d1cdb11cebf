# A worker as the control thread has it.

from libc.stdint cimport uint64_t

from datapath.worker.perf cimport perf_log
from datapath.worker.state cimport command, worker

cdef class Worker:
    cdef worker w
    cdef object thread
    cdef readonly object core           # a processor core's number, or None
    cdef readonly bint pinned
    cdef int run_command(self, command *c) except -1
    cdef bint take_alarm(self)
    cdef int measure(self, bint wanted, uint64_t per_ms) except -1
    cdef int clear_measured(self) except -1
    cdef int log_measured(self, const perf_log *log) except -1
    cdef object take_report(self)
