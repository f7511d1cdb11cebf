# Output: to ports, and through patch ports.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ofproto.xlate.state.context cimport XlateContext, pipeline
from ofproto.xlate.bridges.xbridge cimport XPort

# The pipeline is above this module, and says by set_pipeline() what it is.
cdef int set_pipeline(pipeline run) except -1

# By what frames of protocols of layer 2, and BFD, are known.
cdef uint8_t STP_ADDRESS[6]
cdef enum:
    ETH_CFM = 0x8902
    ETH_SLOW = 0x8809           # IEEE 802.3 annex 57A: LACP and marker
    ETH_LLDP = 0x88cc
    BFD_PORT = 3784             # RFC 5881

# The copies for mirrors of a packet that went out by a port, likewise.
ctypedef int (*mirroring)(XlateContext x, XPort port) except -1
cdef int set_mirroring(mirroring run) except -1
# The bridge's samples of what goes out by a datapath port, likewise.
ctypedef int (*sampling)(XlateContext x, uint32_t odp_port) except -1
cdef int set_sampling(sampling run) except -1
cdef int tell_mirrors(XlateContext x, XPort port) except -1

cdef int output_port(XlateContext x, uint16_t ofp_port) except -1
cdef int output_xport(XlateContext x, XPort port) except -1
# Whether both this port and the packet's are protected.
cdef bint is_protected(XlateContext x, XPort port) except -1
# To a port, cut to `max_len` bytes.
cdef int output_trunc(XlateContext x, uint16_t ofp_port, uint32_t max_len) except -1
# To all ports but the one it came from; without `every`, not to those of NO_FLOOD.
cdef int output_flood(XlateContext x, bint every) except -1
# Whether the port's configuration lets the packet in.
cdef bint may_receive(XlateContext x, XPort port) except -1
