from libc.stdint cimport uint64_t

from datapath.crew cimport Crew
from datapath.worker.worker cimport Worker


cdef class Measuring:
    cdef Crew crew
    cdef bint on                        # what single iterations cost is kept
    cdef object perf_log                # LogSettings
    cdef uint64_t began_cycles, began_ns
    cdef int equip(self, Worker worker) except -1
    cdef uint64_t frequency(self)
    cdef int _log(self, Worker worker) except -1
