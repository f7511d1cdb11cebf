# What a learn action says (LearnSpec), and the flow that it makes of a packet (Learned).

from ofproto.rules.program cimport Program, slot


cdef class LearnSpec:
    cdef readonly object action         # ofproto.codec's Learn
    cdef object compile                 # compile_actions(), which makes this
    cdef readonly bint has_result
    cdef slot result
    cdef slot *sources                  # of the clauses that take something from the packet
    cdef int n_sources
    cdef dict made                      # values -> Learned
    cdef int add_source(self, slot source) except -1
    # `values` of the sources, 16 bytes each, as read_slot() gives them.
    cdef Learned learned(self, bytes values)


cdef class Learned:
    cdef readonly LearnSpec spec
    cdef readonly bytes values
    cdef object _match, _instructions
    cdef Program _program
    cdef int build(self) except -1
