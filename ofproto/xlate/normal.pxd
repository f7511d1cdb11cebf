from ofproto.xlate.xlate_base cimport XlateBase

# The NORMAL action: a learning switch with VLANs.
cdef int xlate_normal(XlateBase x) except -1
