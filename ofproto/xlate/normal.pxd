from ofproto.xlate.context cimport XlateContext

# The NORMAL action: a learning switch with VLANs.
cdef int xlate_normal(XlateContext x) except -1
