# The action set on its way through the tables: what write_actions and clear_actions do to it.

from ofproto.rules.program cimport Program
from ofproto.xlate.state.context cimport XlateContext

cdef int write_actions(XlateContext x, Program program) except -1
cdef int clear_actions(XlateContext x) except -1
# In the order of its execution, and no set any more; None: that would be too much work.
cdef Program take_action_set(XlateContext x)
