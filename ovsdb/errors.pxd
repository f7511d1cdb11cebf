cdef class Members:
    cdef public dict json
    cdef public str what
    cdef public list taken
    cpdef get(self, str name, tuple kinds, default=*)
    cpdef need(self, str name, tuple kinds)
    cpdef finish(self)
