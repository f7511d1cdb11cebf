cdef class Counter:
    cdef public Py_ssize_t count
    cdef public str name
    cdef public object samples
