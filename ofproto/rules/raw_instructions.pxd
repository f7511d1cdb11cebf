# Instructions as they came: see raw_instructions.pyx.

cdef class RawInstructions:
    cdef readonly bytes data
    cdef readonly int version
    cdef readonly object kind       # the same for all that differ in the values of ActionPlaces only


cdef RawInstructions raw_instructions(bytes data, int version, object kind)
