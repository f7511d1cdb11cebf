# What NetFlow tells of a packet's flow.

from libc.stdint cimport uint16_t, uint32_t

from ofproto.xlate.state.context cimport NF_DROP, NF_FLOOD, NF_MULTIPLE, XlateContext

# Where the bridge has NetFlow, has an IPv4 packet that comes in counted for its flow, and the flow
# matched on.  Packets that were sent round were counted when they came.
cdef int netflow_in(XlateContext x) except -1
# With the output that is known by then.
cdef int finish_netflow(XlateContext x) except -1

# The packet goes out by a port, too.
cdef inline void netflow_out(XlateContext x, uint16_t port) noexcept nogil:
    if x.nf_output == NF_DROP:
        x.nf_output = port
    elif x.nf_output != NF_FLOOD:
        x.nf_output = NF_MULTIPLE
