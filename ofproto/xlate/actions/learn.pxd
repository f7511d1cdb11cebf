# The learn action.

from ofproto.rules.program cimport Program, op
from ofproto.xlate.state.context cimport XlateContext

cdef int learn(XlateContext x, Program program, const op *o) except -1
cdef int fin_timeout(XlateContext x, const op *o) except -1
