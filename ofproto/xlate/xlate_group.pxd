# Which of a group's buckets a packet goes to.

from ofproto.xlate.xgroup cimport XBucket, XGroup
from ofproto.xlate.xlate_base cimport XlateBase

# The first bucket that is live, or None.
cdef XBucket first_live(XlateBase x, XGroup group)
# Whether select needs a hash that the datapath has to make first.
cdef bint needs_hash(XlateBase x, XGroup group) noexcept
# A select group's bucket for the packet, or None when none is live.
cdef XBucket pick(XlateBase x, XGroup group)
