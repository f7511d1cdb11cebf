# Which version of a bridge's tables is seen.  view.pyi has the Python view.

from libc.stdint cimport uint64_t


cdef class View:
    cdef readonly uint64_t now          # the version that is seen
    cdef readonly uint64_t committed
