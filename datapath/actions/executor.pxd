# Who runs actions, and a packet's way through them: what leaves the packet path (transmission, upcalls,
# recirculation, counting) is done by callbacks of whoever runs them; copies have buffers here.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from datapath.key.flow cimport flow_extract, flow_key
from datapath.actions.meter cimport meter_verdict
from datapath.actions.odp cimport MAX_NESTING, ct_action
from datapath.base.packet cimport packet, vnet_hdr

cdef enum:
    ROOM = 64                   # bytes that a copy may grow by, where nothing is known of it
    MAX_EXECUTE_DEPTH = MAX_NESTING + 16    # clones and recirculations in one another
    # Actions that a packet meets on its whole way, copies and recirculations included, and
    # segments made of it: a list of recirculations would otherwise multiply without end.
    MAX_WORK = 1 << 15

# The packet belongs to the caller, who may change it as soon as the callback returns: send it or
# copy it.  The callback may change nothing but the metadata (`recirculate`: anything, as the
# packet and the key are then at its disposal).
ctypedef void (*output_fn)(void *owner, packet *p, uint32_t port) noexcept nogil
ctypedef void (*userspace_fn)(void *owner, packet *p, const flow_key *key, uint32_t reason,
                              const uint8_t *userdata, uint32_t length) noexcept nogil
# p.recirc_id is set, and what came out of a tunnel has another in_port; the callee extracts the key
# again (the tunnel part of `key` stays as it is), looks it up and calls execute_actions with the same
# executor, at this depth and with what is left of its work: now or later.
ctypedef void (*recirculate_fn)(void *owner, packet *p, flow_key *key) noexcept nogil
ctypedef void (*dropped_fn)(void *owner, uint32_t reason) noexcept nogil    # DROP_*
# What a meter says of a packet, or of the packets that a frame will be segmented into.  A drop is
# counted by execute_actions.
ctypedef meter_verdict (*meter_fn)(void *owner, uint32_t meter, uint32_t n_packets,
                                   uint32_t n_bytes) noexcept nogil

# Tracks the packet and sets p.ct; a value of ct_verdict, or the reason (DROP_*) of its loss, which
# execute_actions counts.  Fragments are kept until the packet is whole; then `emit` is called with
# each of them, and does what is left to be done with it: they may be used no more afterwards.
cdef enum ct_verdict:
    CT_DONE = -1                # go on; bytes may have changed: the key is extracted anew
    CT_TAKEN = -2               # the packet is kept, or was given to `emit` in pieces
ctypedef void (*emit_fn)(void *arg, packet *p) noexcept nogil
ctypedef int (*ct_fn)(void *owner, packet *p, flow_key *key, const ct_action *a,
                      emit_fn emit, void *arg) noexcept nogil

# Keeps a fragment of what may be a tunnel's outer packet: ACT_TUNNEL_DEFRAG's payload says which.  CT_DONE:
# it is one, in the buffer of `whole` (base and capacity are set, for 64 KiB more than a fragment),
# with its key and the tunnel's port; CT_TAKEN: more are missing, or all went out by the action's
# port; else the reason of a loss, as in ct_fn.
ctypedef int (*defragment_fn)(void *owner, const packet *p, const flow_key *key, const uint8_t *payload,
                              uint32_t length, packet *whole, flow_key *whole_key,
                              uint32_t *port) noexcept nogil

# The kind (TUNNEL_*) of a tunnel's port of the datapath.
ctypedef uint32_t (*tunnel_fn)(void *owner, uint32_t port) noexcept nogil

# The MTU of a port that a frame of so many bytes of IP goes to, 0 where none is known.
ctypedef uint32_t (*mtu_fn)(void *owner, uint32_t port, uint32_t size) noexcept nogil

# The port by which a bond's packet of `size` bytes leaves; LB_NONE.
ctypedef uint32_t (*bond_fn)(void *owner, uint32_t bond, const flow_key *key, uint32_t size) noexcept nogil

cdef struct executor:
    void *owner
    output_fn output
    userspace_fn userspace
    recirculate_fn recirculate
    dropped_fn dropped
    meter_fn meter              # NULL: all pass
    ct_fn track                 # NULL: DROP_CT_NO_TRACKER
    defragment_fn defragment    # NULL: DROP_BAD_ACTION
    tunnel_fn tunnel_kind       # NULL: no port is one
    mtu_fn port_mtu             # NULL: none is known
    bond_fn bond_port           # NULL: there is no bond
    # private
    uint64_t random             # state of SAMPLE's generator, never 0
    bint last                   # for `output`: nothing is done with the packet afterwards
    bint wrote_tunnel           # since who reads it last cleared it: the tunnel part of a key
    bint told                   # the packet's sender was told that it is too big for a tunnel's way
    uint32_t depth
    uint32_t work               # actions that may still be run for the packet
    uint8_t *scratch[MAX_EXECUTE_DEPTH]     # buffers of copies, made when first needed
    uint32_t scratch_size[MAX_EXECUTE_DEPTH]

# Counts `n` more actions: for callbacks whose work is as much as that.
cdef inline void executor_charge(executor *x, uint32_t n) noexcept nogil:
    x.work -= min(x.work, n)

# Zeroes the private part; set the callbacks and owner yourself.
cdef void executor_init(executor *x) noexcept nogil
cdef void executor_free(executor *x) noexcept nogil

cdef struct execution

# Runs a list for a packet: a step that makes several of one (segments, fragments) has the rest of its list
# run for each.  `last`: nothing is done with the packet afterwards.
ctypedef void (*run_fn)(execution *e, const uint8_t *actions, uint32_t length, bint last) noexcept nogil

# One packet's way through one list of actions (nested ones included).
cdef struct execution:
    executor *x
    packet *p
    flow_key *key
    bint stale                  # the packet's structure changed: key and offsets did not follow
    bint accounted              # somebody got the packet, or its loss was counted
    uint32_t max_len            # of TRUNC, for the next output; 0: whole
    run_fn run

# Gives `p` the buffer of this depth, with room for the packet and `room` bytes more; false, and
# counted, where there is none: too deep, or no memory.
cdef bint take_buffer(execution *e, packet *p, uint32_t room) noexcept nogil
# A second packet in the buffer of this depth; false, and counted, where that fails.
cdef bint copy_packet(execution *e, execution *copy, packet *p, flow_key *key) noexcept nogil


cdef inline void drop(execution *e, uint32_t reason) noexcept nogil:
    e.accounted = True
    e.x.dropped(e.x.owner, reason)


cdef inline void refresh(execution *e) noexcept nogil:
    if e.stale:
        flow_extract(e.p, e.key)
        e.stale = False


# Cuts the packet for one output; returns the size to put back.
cdef inline uint32_t truncate(execution *e, vnet_hdr *vnet) noexcept nogil:
    cdef uint32_t size = e.p.size
    vnet[0] = e.p.vnet
    if e.max_len and e.max_len < size:
        e.p.size = e.max_len
        # A cut frame has no whole payload to segment or to sum up.
        memset(&e.p.vnet, 0, sizeof(vnet_hdr))
    return size
