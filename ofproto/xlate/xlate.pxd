# Translation of a flow through the OpenFlow tables.

from libc.stdint cimport int64_t

from datapath.key.flow cimport flow_key
from ofproto.rules.program cimport Program
from ofproto.xlate.state.context cimport XlateContext
from ofproto.xlate.state.recirc cimport FrozenState
from ofproto.xlate.bridges.xbridge cimport XBridge

# The ways in; the result is in `x`.  A packet that came in by its in_port (an OpenFlow port), from
# table 0.
cdef int xlate_packet(XlateContext x, XBridge bridge, const flow_key *key, int64_t now) except -1
# A packet that comes back from recirculation, its headers parsed anew.
cdef int xlate_resume(XlateContext x, FrozenState state, const flow_key *key,
                      int64_t now) except -1
# For trace: nothing is known of the key's recirc_id.
cdef int xlate_unknown(XlateContext x, XBridge bridge, const flow_key *key, str error,
                       int64_t now) except -1
# A packet-out: the actions instead of table 0.
cdef int xlate_program(XlateContext x, XBridge bridge, const flow_key *key, Program program,
                       int64_t now) except -1
