# Compiled actions: an OpenFlow action list as a flat array of C ops that translation runs.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from datapath.key.flow cimport flow_key

cdef enum op_code:
    OP_OUTPUT           # port = OpenFlow port, arg = max_len for CONTROLLER
    OP_OUTPUT_REG       # src slot; arg = max_len
    OP_CONTROLLER       # port = controller id, arg = max_len, aux = reason; data, if any: meter
                        # (u32, host order), userdata
    OP_PAUSE            # the same, and the packet waits for the controller's answer
    OP_SET              # dst slot (whole bytes of the key), data = value then mask
    OP_MOVE             # src slot -> dst slot
    OP_DELETE_FIELD     # dst slot of a whole option
    OP_PUSH_VLAN        # aux = TPID, host order
    OP_POP_VLAN
    OP_PUSH_MPLS        # aux = Ethertype, host order
    OP_POP_MPLS         # aux = Ethertype, host order
    OP_PUSH_PBB
    OP_POP_PBB
    OP_SET_MPLS_TTL     # arg
    OP_DEC_MPLS_TTL
    OP_SET_NW_TTL       # arg
    OP_DEC_NW_TTL       # data = controller ids (u16 each), data_len bytes; none: id 0
    OP_COPY_TTL_IN
    OP_COPY_TTL_OUT
    OP_SET_QUEUE        # arg = queue
    OP_POP_QUEUE
    OP_ENQUEUE          # port, arg = queue
    OP_GROUP            # arg = group
    OP_METER            # arg = meter
    OP_RESUBMIT         # port = in_port or OFPP_IN_PORT (0xfff8), aux = table, 255 = same;
                        # arg: by the tracked connection's original direction
    OP_GOTO_TABLE       # aux = table
    OP_WRITE_METADATA   # data = value, mask (8 bytes each)
    OP_WRITE_ACTIONS    # arg = index of the sub-program
    OP_CLEAR_ACTIONS
    OP_CLONE            # arg = index of the sub-program
    OP_STACK_PUSH       # src slot
    OP_STACK_POP        # dst slot
    OP_SET_VLAN_VID     # arg = VID, aux: 1 = push a tag when there is none
    OP_SET_VLAN_PCP     # arg = PCP, aux: 1 = push a tag when there is none
    OP_TRUNC            # port, arg = max_len
    OP_CHECK_LARGER     # arg = size, dst slot of one bit
    OP_DEBUG_RECIRC
    OP_DEBUG_SLOW
    OP_EXIT
    OP_NOP              # note
    OP_MULTIPATH        # aux = fields, arg = basis << 16 | algorithm, port = links, dst slot,
                        # data = argument (4 bytes)
    OP_BUNDLE           # aux = fields, arg = basis << 16 | algorithm, port = members, dst slot if
                        # loaded, data = members (2 bytes each)
    OP_LEARN            # arg = index in Program.specs
    OP_FIN_TIMEOUT      # arg = idle << 16 | hard, seconds
    OP_ENCAP            # arg = packet type, aux = NSH's MD type, data = its options
    OP_DECAP            # arg = packet type of what is inside
    OP_DEC_NSH_TTL
    OP_CONJUNCTION      # arg = ID, aux = dimension << 8 | number of them; nothing is done
    OP_CT               # arg = index of exec's sub-program, aux = table, CT_NO_TABLE = none;
                        # src slot of the zone, or n_bits 0: port = zone; data = ct_action
    OP_CT_CLEAR
    OP_SAMPLE           # aux = probability of 65535, port = OpenFlow port or OFPP_NONE,
                        # arg = collector set; data = observation domain and point (4 bytes each)
    N_OPS

cdef enum:
    OFPM_CONTROLLER = 0xfffffffe    # the meter of packets to the controllers
    CT_NO_TABLE = 255

# A run of bits in the flow key: `n_bits` bits that end `shift` bits above the least significant bit
# of the member at byte `offset`, `size` bytes long (big endian).
ctypedef struct slot:
    uint16_t offset
    uint16_t size
    uint16_t shift
    uint16_t n_bits
    uint16_t absent         # of the n_bits, lowest ones that are 0 and stay as they are: ECN's in nw_tos
    uint16_t option         # N + 1 of tun_metadataN, which is there once it is written; 0: none

ctypedef struct op:
    uint8_t code
    uint8_t prereq          # PRE_* the packet must meet, else the op does nothing
    uint16_t aux
    uint32_t port
    uint32_t arg
    uint16_t action         # index of the action in Program.actions that it came from (for trace)
    uint16_t data_len
    uint32_t data           # offset in Program.pool
    uint8_t src_prereq
    uint8_t set_kind        # place in the action set's order (SET_*)
    slot src
    slot dst


ctypedef struct conjunction:    # an alternative of one dimension of a conjunctive match
    uint32_t id
    uint8_t clause              # from 0
    uint8_t n_clauses           # 2 to 64


cdef class Program:
    cdef op *ops
    cdef uint32_t n_ops
    cdef uint32_t capacity
    cdef uint8_t *pool
    cdef uint32_t pool_size
    cdef list _actions              # `actions`, or None so far
    cdef object source              # RawInstructions: what `actions` are made of then
    cdef readonly list subs         # sub-programs (write_actions, clone)
    cdef readonly list specs        # LearnSpec
    cdef readonly tuple learned     # (table, cookie) of flows that go with this program's last flow
    cdef readonly frozenset groups  # numbers of groups that it refers to, or None
    cdef public frozenset options   # N of each tun_metadataN that it refers to, or None
    cdef conjunction *conjs
    cdef uint32_t n_conjs
    cdef bytes _signature
    cdef op *add(self, op_code code) except NULL
    cdef int add_conjunction(self, uint32_t id, uint8_t clause, uint8_t n_clauses) except -1
    cdef uint32_t add_data(self, const uint8_t *data, uint32_t size) except? 0xffffffff
    cpdef bytes signature(self)
    cdef Program copy(self, source)

cdef enum prereq_t:         # what a header field wants the packet to be
    PRE_NONE
    PRE_VLAN
    PRE_ARP
    PRE_IPV4
    PRE_IPV6
    PRE_IP_ANY
    PRE_MPLS
    PRE_PBB
    PRE_TCP
    PRE_UDP
    PRE_SCTP
    PRE_L4_PORTS            # any of TCP, UDP, SCTP
    PRE_ICMPV4
    PRE_ICMPV6
    PRE_ND
    PRE_ND_SOLICIT
    PRE_ND_ADVERT
    PRE_IPV4_HEADER         # what is written there leaves no protocol open, as in Open vSwitch
    PRE_IP_HEADER
    PRE_NSH
    PRE_ETHERNET            # the packet begins with an Ethernet header
    PRE_CT                  # a tracked packet of a valid connection
    PRE_NEVER               # not in this switch

cdef enum set_kind_t:       # the action set's order, OpenFlow 1.3 section 5.10
    SET_NONE                # not in an action set
    SET_COPY_TTL_IN
    SET_POP_VLAN
    SET_POP_PBB
    SET_POP_MPLS
    SET_DECAP
    SET_ENCAP
    SET_PUSH_MPLS
    SET_PUSH_PBB
    SET_PUSH_VLAN
    SET_COPY_TTL_OUT
    SET_DEC_MPLS_TTL
    SET_DEC_NW_TTL
    SET_DEC_NSH_TTL
    SET_FIELD               # all of them, in the order written
    SET_QUEUE
    SET_GROUP               # with one, what follows is ignored
    SET_OUTPUT
    SET_RESUBMIT            # only where there is neither
    SET_CT_CLEAR            # nor that
    SET_CT
    N_SET_KINDS

cdef enum:
    SLOT_BITS = 128         # that are read or written at once

# A slot's value as a number of 16 bytes, big endian.
cdef void read_slot(const uint8_t *key, const slot *s, uint8_t *out) noexcept nogil
cdef void write_slot(uint8_t *key, const slot *s, const uint8_t *value) noexcept nogil
cdef void fill_slot(uint8_t *key, const slot *s) noexcept nogil     # with ones
# What follows from a write to the slot's field.
cdef void note_written(flow_key *key, const slot *s) noexcept nogil
# The bits of a slot of any size from `first` on, SLOT_BITS at most, as a slot.
cdef slot part_of_slot(const slot *s, int first) noexcept nogil
