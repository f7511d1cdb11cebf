# What packets of a flow teach the flow tables, and what they do to timeouts.

from libc.stdint cimport int64_t

from ofproto.rules.classifier cimport Rule
from ofproto.rules.learned cimport Learned
from ofproto.xlate.bridges.xbridge cimport XBridge


cdef class LearnEffect:
    cdef XBridge bridge
    cdef Rule source            # the flow with the learn action; None: a packet-out's
    cdef Learned learned
    cdef int64_t last           # packet that taught
    cdef Rule rule              # what was learned, when it was there last
    # Packets came, the last one at `used`.  Whether the flow is there now.
    cdef bint learn(self, int64_t used) except -1
