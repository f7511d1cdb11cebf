# See kernel_cache.pyx.

from datapath.cache_ports cimport CachePorts
from datapath.crew cimport Crew


cdef class KernelCache:
    cdef Crew crew
    cdef CachePorts ports
    cdef object former          # what a former process left
    cdef object memory          # KernelMemory, None: it is off
    cdef object host            # HostUse, None: it is off
    cdef readonly bint wanted
    cdef readonly str reason    # why it is off
    cdef object next_check      # ms

    cdef int _tell_workers(self) except -1
