# Output: to ports, through patch ports, to the controllers.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ofproto.xlate.context cimport XlateContext
from ofproto.xlate.xbridge cimport XPort

cdef enum:
    USERSPACE_CONTROLLER = 2    # reason of ACT_USERSPACE: userdata is a controller_data

cdef enum:                  # a reason of a packet-in, besides OFPR_*
    OFPR_TABLE_MISS_FLOW = 6    # a table-miss flow's controller action: NO_MATCH to OpenFlow 1.3

# Host byte order; what the datapath sends back with a packet for the controllers.
ctypedef struct controller_data:
    uint32_t state          # FrozenState: bridge, in_port, registers
    uint16_t controller_id
    uint16_t max_len
    uint64_t cookie
    uint8_t reason
    uint8_t table_id
    uint8_t pad[6]

# The pipeline of x.bridge for a packet that comes in by a port.  It is above this module, and says
# by set_pipeline() what it is.
ctypedef int (*pipeline)(XlateContext x, uint16_t in_port) except -1
cdef int set_pipeline(pipeline run) except -1

cdef int output_port(XlateContext x, uint16_t ofp_port) except -1
cdef int output_xport(XlateContext x, XPort port) except -1
# To all ports but the one it came from; without `every`, not to those of NO_FLOOD.
cdef int output_flood(XlateContext x, bint every) except -1
# The datapath sends the packet, as it is by now, up with these data.
cdef int output_controller(XlateContext x, uint16_t max_len, int reason,
                           uint16_t controller_id) except -1
# Whether the port's configuration lets the packet in.
cdef bint may_receive(XlateContext x, XPort port) except -1
