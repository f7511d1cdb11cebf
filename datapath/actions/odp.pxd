# Datapath actions as bytes: a run of attributes, each
#     u16 type, u16 length (header and payload, no padding), payload, padded with zeros to 4
# in host byte order where nothing else is said.  Nested actions are such a run as payload.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    ACT_OUTPUT = 1              # u32 port
    ACT_PUSH_VLAN = 2           # be16 tpid, be16 tci
    ACT_POP_VLAN = 3
    ACT_SET = 4                 # u16 member, u16 size, value[size], mask[size]; of flow_key, as there
    ACT_PUSH_MPLS = 5           # be32 lse, be16 ethertype
    ACT_POP_MPLS = 6            # be16 ethertype
    ACT_RECIRC = 7              # u32 recirc_id
    ACT_HASH = 8                # u32 algorithm, u32 basis; the result is the key's dp_hash
    ACT_SAMPLE = 9              # u32 probability (of 2**32 - 1), actions
    ACT_CLONE = 10              # actions
    ACT_USERSPACE = 11          # u32 reason, u32 pid (of whoever wrote it; no reader of ours), userdata
    ACT_DROP = 12               # u32 reason: 0 explicit
    ACT_TRUNC = 13              # u32 max_len, for the next output
    # u32 size, u32 bytes of actions for packets that are longer, these, actions for others
    ACT_CHECK_PKT_LEN = 18
    ACT_METER = 15              # u32 meter: what follows is for packets that it lets pass
    ACT_CT = 14                 # struct ct_action
    ACT_TUNNEL_PUSH = 16        # struct tunnel_push, then the outer header
    ACT_TUNNEL_POP = 17         # u32 port: of the tunnel, as which the packet is sent round
    ACT_PUSH_PBB = 19           # be32 I-TAG TCI: PCP:3, DEI:1, UCA:1, reserved:3, I-SID:24
    ACT_POP_PBB = 20
    ACT_CT_CLEAR = 21

    # headers in front of all that the packet has; a packet without Ethernet has another packet type
    ACT_PUSH_ETH = 22           # u8 source[6], destination[6]
    ACT_POP_ETH = 23
    ACT_PUSH_NSH = 24           # the header as on the wire (RFC 8300)
    ACT_POP_NSH = 25
    ACT_ADD_MPLS = 26           # be32 lse, be16 ethertype
    # between the outermost MPLS label and the header behind it, a label or IP: u32 direction
    ACT_COPY_TTL = 27
    # the key's tunnel part, as far as its tun_opts_size says: for a port that makes the outer header
    # itself, as no tunnel port of this datapath does
    ACT_SET_TUNNEL = 28

    ACT_TUNNEL_DEFRAG = 30      # u32 port, struct tunnel_end[]: see there
    ACT_LB_OUTPUT = 29          # u32 bond: out by the member that carries the packet's bucket

    COPY_TTL_OUT = 0            # to the outermost label
    COPY_TTL_IN = 1             # from it

    HASH_L4 = 0                 # addresses and ports, 5-tuple
    HASH_SYM_L4 = 1             # the same for both directions

    USERSPACE_ACTION = 1        # reasons: vswitchd translates the packet anew, with side effects
    USERSPACE_CONTROLLER = 2    # for the controllers: userdata is a controller_data
    # With USERSPACE_ACTION, whose packets they are: bits, of protocols that listen on ports.
    SLOW_CFM = 0x100
    SLOW_BFD = 0x200
    SLOW_LACP = 0x400
    SLOW_STP = 0x800            # and RSTP
    SLOW_LLDP = 0x1000
    SLOW_PROTOCOLS = 0x1f00
    CONTINUATION = 1            # bits of controller_data.flags: translation waits for an answer

    CT_COMMIT = 0x1             # ct_action.flags
    CT_FORCE = 0x2              # with COMMIT: a connection of the other direction is replaced
    CT_NAT = 0x4                # as the connection has it, or by the range behind SRC or DST
    CT_SRC = 0x8
    CT_DST = 0x10
    CT_PERSISTENT = 0x20        # of a range
    CT_HASH = 0x40
    CT_RANDOM = 0x80
    CT_MARK = 0x100             # mark and mark_mask count
    CT_LABEL = 0x200            # label and label_mask count
    CT_IPV6 = 0x400             # the range's addresses are IPv6
    CT_FLAGS = 0x7ff
    CT_TIMEOUT_NAME = 32        # bytes of a timeout policy's name, its NUL included

    ALG_NONE = 0                # ct_action.alg
    ALG_FTP = 1
    ALG_TFTP = 2

    MAX_NESTING = 64            # of clones and samples; translation and the codec keep to it, too
    MAX_ACTIONS = 65532         # bytes of a flow's; one attribute's length is a u16
    MAX_EXECUTED = 2 * 65536    # of what is done to one packet; no flow has more than the above

cdef struct attr:
    uint16_t type
    uint16_t length

# What an outer packet that came in fragments may be, once it is whole; what is none of these goes,
# in its fragments, out by the port in front of them.
cdef struct tunnel_end:
    uint16_t proto
    uint16_t udp_port           # host order; 0 where the protocol has none
    uint32_t port               # of the tunnel, as in ACT_TUNNEL_POP

# What the datapath sends back with a packet for the controllers; host order.
ctypedef struct controller_data:
    uint32_t state              # vswitchd's, as in ACT_RECIRC: bridge, in_port, registers, table
    uint16_t controller_id
    uint16_t max_len
    uint64_t cookie
    uint8_t reason
    uint8_t flags
    uint8_t pad[6]

ctypedef struct ct_action:
    uint16_t flags              # CT_*, host order
    uint16_t zone               # network order, as mark and label, and their masks
    uint32_t mark
    uint32_t mark_mask
    uint8_t label[16]
    uint8_t label_mask[16]
    uint8_t addr_min[16]        # of the range; IPv4: the first four bytes; zero: none given
    uint8_t addr_max[16]
    uint16_t port_min           # host order; 0: none given
    uint16_t port_max
    uint8_t alg                 # ALG_*
    uint8_t pad[3]
    char timeout[32]            # name of a timeout policy, NUL-terminated; "": none

# Checks a run of attributes; NULL when good, else what is wrong (a static text).
cdef const char *check_run(const uint8_t *at, uint32_t length, int depth) noexcept nogil

cdef class ActionBuffer:
    # A growing action list.  Without memory, `failed` is set and what follows is ignored.
    cdef uint8_t *data
    cdef uint32_t length
    cdef uint32_t capacity
    cdef bint failed

    cdef bint _reserve(self, uint32_t more) noexcept nogil
    cdef void _put32(self, uint16_t kind, uint32_t value) noexcept nogil
    cdef void _put32x2(self, uint16_t kind, uint32_t first, uint32_t second) noexcept nogil
    cdef void clear(self) noexcept nogil
    cdef void truncate(self, uint32_t length) noexcept nogil      # back to an earlier length
    cdef void output(self, uint32_t port) noexcept nogil
    cdef void push_vlan(self, uint16_t tpid, uint16_t tci) noexcept nogil     # network order
    cdef void pop_vlan(self) noexcept nogil
    # member: MEMBER_*; value and mask are the member's bytes as in flow_key
    cdef void set(self, uint16_t member, const void *value, const void *mask) noexcept nogil
    cdef void push_mpls(self, uint32_t lse, uint16_t ethertype) noexcept nogil     # network order
    cdef void pop_mpls(self, uint16_t ethertype) noexcept nogil                    # network order
    cdef void push_pbb(self, uint32_t tci) noexcept nogil                          # network order
    cdef void pop_pbb(self) noexcept nogil
    cdef void push_eth(self, const uint8_t *source, const uint8_t *destination) noexcept nogil
    cdef void pop_eth(self) noexcept nogil
    cdef void push_nsh(self, const uint8_t *header, uint32_t size) noexcept nogil
    cdef void pop_nsh(self) noexcept nogil
    cdef void add_mpls(self, uint32_t lse, uint16_t ethertype) noexcept nogil      # network order
    cdef void copy_ttl(self, uint32_t direction) noexcept nogil
    # `part`: of the key's size, from KEY_PACKET_SIZE on; `opts_size` bytes of options are in it
    cdef void set_tunnel(self, const uint8_t *part, uint32_t opts_size) noexcept nogil
    cdef void recirc(self, uint32_t recirc_id) noexcept nogil                      # host order
    cdef void hash(self, uint32_t algorithm, uint32_t basis) noexcept nogil
    cdef void userspace(self, uint32_t reason, const void *userdata, uint32_t length) noexcept nogil
    cdef void lb_output(self, uint32_t bond) noexcept nogil
    cdef void drop(self, uint32_t reason) noexcept nogil
    cdef void trunc(self, uint32_t max_len) noexcept nogil
    cdef void meter(self, uint32_t meter) noexcept nogil
    cdef void ct(self, const ct_action *a) noexcept nogil
    cdef void ct_clear(self) noexcept nogil
    # Actions for packets longer than `size`, and, from `middle` on, for others: between the two
    # calls both are appended, and `middle` is the buffer's length between them.
    cdef uint32_t start_check_len(self, uint32_t size) noexcept nogil
    cdef void end_check_len(self, uint32_t offset, uint32_t middle) noexcept nogil
    # Nested: ACT_CLONE, or ACT_SAMPLE with its probability; returns what end_nested wants.
    cdef uint32_t start_nested(self, uint16_t kind, uint32_t probability=*) noexcept nogil
    cdef void end_nested(self, uint32_t offset) noexcept nogil
    cdef void append(self, const uint8_t *actions, uint32_t length) noexcept nogil    # a whole run
    cdef uint8_t *room(self, uint16_t kind, uint32_t payload) noexcept nogil
