from datapath.worker.state cimport command


cdef class Crew:
    cdef readonly list workers
    cpdef int sync(self, but=*) except -1
    cdef int all_workers(self, command *c) except -1
