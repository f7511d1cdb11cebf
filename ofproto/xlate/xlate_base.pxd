# The state of one translation, and output: what NORMAL and the OpenFlow actions share.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from datapath.key.flow cimport flow_key
from datapath.actions.odp cimport ActionBuffer
from ofproto.rules.classifier cimport Rule
from ofproto.xlate.recirc cimport FrozenState, RecircTable
from ofproto.xlate.xbridge cimport XBridge, XBundle, XPort
from ofproto.xlate.xcache cimport XCache

cdef enum:
    MAX_DEPTH = 64          # tables, patch ports and clones in one another
    MAX_RESUBMITS = 4096    # table lookups for one packet
    MAX_BUCKETS = 16384     # buckets of groups, likewise

    ALWAYS = 0xffffffff         # probability of ACT_SAMPLE
    OFPM_CONTROLLER = 0xfffffffe    # the meter of packets to the controllers

    USERSPACE_CONTROLLER = 2    # reason of ACT_USERSPACE: userdata is a controller_data

cdef enum:                  # reasons of a packet-in
    OFPR_TABLE_MISS_FLOW = 6    # a table-miss flow's controller action: NO_MATCH to OpenFlow 1.3

cdef enum:                  # bits of FrozenState.place
    IN_PACKET_OUT = 1
    IN_ACTION_SET = 2
    IN_GROUP = 4
    HASHED = 8

# Host byte order; what the datapath sends back with a packet for the controllers.
ctypedef struct controller_data:
    uint32_t state          # FrozenState: bridge, in_port, registers
    uint16_t controller_id
    uint16_t max_len
    uint64_t cookie
    uint8_t reason
    uint8_t table_id
    uint8_t pad[6]


cdef class XlateBase:
    cdef RecircTable recirc
    cdef XBridge bridge
    cdef flow_key flow          # as it shall be
    cdef flow_key base          # as the actions so far have made it
    cdef flow_key wc            # bits of the packet that the result depends on
    cdef ActionBuffer out
    cdef XCache cache
    cdef Rule rule              # whose actions run
    cdef uint8_t table_id
    cdef int64_t now
    cdef int depth
    cdef int resubmits
    cdef int buckets
    cdef bint in_packet_out
    cdef bint in_action_set
    cdef bint in_group
    cdef bint slow
    cdef bint stop              # no further action: frozen or failed
    cdef bint freezing
    cdef bint was_mpls          # a label or an I-TAG was popped; what it hid is not parsed yet
    cdef uint32_t reshaped      # how often an I-TAG was put on or taken off: no action undoes it
    cdef bint hashing           # the datapath is to hash the packet that is sent round
    cdef bint hashed            # it has done so: flow.dp_hash is known
    cdef list todo              # frozen steps, innermost first
    cdef list stack             # (bytes, n_bits)
    cdef list action_set        # Program
    cdef readonly str error
    cdef readonly list trace    # (level, kind, text), or None
    cdef int level

    cdef int start(self, XBridge bridge, const flow_key *key, int64_t now) except -1
    cdef int report(self, str kind, str text) except -1
    cdef int fail(self, str error) except -1
    cdef int fail_depth(self) except -1
    cdef int commit(self) except -1
    cdef int output_port(self, uint16_t ofp_port) except -1
    cdef int output_xport(self, XPort port) except -1
    cdef bint is_protected(self, XPort port) except -1
    cdef int output_patch(self, XPort port) except -1
    cdef int flood(self, bint every) except -1
    cdef int send_up(self, const controller_data *data) except -1
    cdef int controller(self, uint16_t max_len, int reason, uint16_t controller_id) except -1
    cdef bint may_receive(self, XPort port) except -1
    cdef int finish_freezing(self) except -1
    cdef int run_bridge(self, uint16_t in_port) except -1       # the pipeline of self.bridge
    cdef int keep_labels(self, const flow_key *base, uint32_t start, uint32_t reshaped) except -1
    cdef int wrap_clone(self, uint32_t start) except -1
    cdef FrozenState state(self, list todo)
    cdef int place(self) noexcept


cdef inline uint16_t flow_in_port(const flow_key *key) noexcept nogil:
    return <uint16_t> ((<uint8_t *> &key.in_port)[2] << 8 | (<uint8_t *> &key.in_port)[3])

cdef inline void set_in_port(flow_key *key, uint32_t port) noexcept nogil:
    cdef uint8_t *at = <uint8_t *> &key.in_port
    at[0] = port >> 24
    at[1] = port >> 16 & 0xff
    at[2] = port >> 8 & 0xff
    at[3] = port & 0xff
