cdef class Members:
    cdef public dict json
    cdef public str what
    cdef public Py_ssize_t number, count
    cdef public list taken
    cpdef get(self, str name, tuple kinds, default=*)
    cpdef need(self, str name, tuple kinds)
    cpdef finish(self)

cpdef Members members_of(json, str what, Py_ssize_t number, Py_ssize_t count)
