"""OVSDB's integers: 64 bits with a sign."""

from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact


cpdef bint is_int64(object value):
    """Whether a value is an int (and no bool) of that range."""
    cdef int overflow = 0
    if not PyLong_CheckExact(value):
        return False
    PyLong_AsLongLongAndOverflow(value, &overflow)
    return overflow == 0
