# Which of a group's buckets a packet goes to.

from ofproto.xlate.bridges.xgroup cimport XBucket, XGroup
from ofproto.xlate.state.context cimport XlateContext

# The first bucket that is live, or None.
cdef XBucket first_live(XlateContext x, XGroup group)
# Whether select needs a hash that the datapath has to make first.
cdef bint needs_hash(XlateContext x, XGroup group) noexcept
# A select group's bucket for the packet, or None when none is live.
cdef XBucket pick(XlateContext x, XGroup group)
