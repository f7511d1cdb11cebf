# The state of one translation, and what is kept of it while actions run on a copy of the packet.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from datapath.actions.odp cimport ActionBuffer
from datapath.key.flow cimport flow_key
from ofproto.rules.classifier cimport Rule
from ofproto.rules.program cimport Program
from ofproto.xlate.state.commit cimport pending_header
from ofproto.xlate.state.recirc cimport RecircTable
from ofproto.xlate.bridges.xbridge cimport XBridge, XPort
from ofproto.xlate.state.xcache cimport XCache

cdef enum:
    # As Open vSwitch's.
    MAX_DEPTH = 64          # tables, patch ports, groups and clones in one another
    MAX_RESUBMITS = 4096    # table lookups for one packet
    # What one packet may cost in all, in units of about 0.1 us: 20 ms.
    MAX_WORK = 100000
    MAX_STEPS = 16384       # of a trace

cdef enum isolation:        # how a copy's changes are kept from the packet behind it
    UNDO_HEADERS            # by header actions, and labels and I-TAGs by a clone
    UNDO_NOTHING            # the datapath runs all of them on a clone


cdef enum nf_output_t:      # NetFlow's outputs that are no port's
    NF_FLOOD = 0xffff
    NF_MULTIPLE = 0xfffe
    NF_DROP = 0xfffd


# What a copy does not change: of a packet in a clone, in a group's bucket, behind a patch port.
cdef class Snapshot:
    cdef flow_key flow
    cdef flow_key base
    cdef uint32_t start         # of the copy's actions in the output
    cdef uint32_t reshaped
    cdef int to_pop
    cdef uint32_t nesting
    cdef XBridge bridge
    cdef uint32_t mirrors
    cdef Rule rule
    cdef uint8_t table_id
    cdef list stack
    cdef list action_set
    cdef bint in_action_set
    cdef bint in_group
    cdef bint unparsed
    cdef bint conntracked
    cdef bint tunnel_hidden
    cdef bytes tunnel_given


cdef class XlateContext:
    cdef RecircTable recirc
    cdef XBridge bridge
    cdef XPort known_port       # that port() found last
    cdef flow_key flow          # as it shall be
    cdef flow_key base          # as the actions so far have made it
    cdef flow_key wc            # bits of the packet that the result depends on
    cdef ActionBuffer out
    cdef uint32_t nesting       # of `out`
    cdef XCache cache
    cdef Rule rule              # whose actions run
    cdef uint8_t table_id
    cdef uint32_t initial_priority      # skb_priority as the packet had it
    cdef uint32_t mirrors       # bits of those of the bridge that have the packet
    # sFlow: where its data stands in `out` (0: not there) and for which bridge, how many outputs there
    # were, and to which datapath port the last
    cdef uint32_t sflow_at, n_outputs, last_output
    cdef XBridge sampled
    cdef bytes nf_key           # NetFlow: of the packet's flow, or None; and where the packet goes
    cdef uint32_t nf_output
    cdef uint16_t snaplen       # of the mirror whose copy goes out; 0: whole
    cdef int64_t now
    cdef int depth
    cdef int resubmits
    cdef int64_t work
    cdef bint side_effects      # a real packet: what it teaches is learned at once
    cdef uint64_t generation    # of the tables that the translation began with
    # For trace: these actions waited while the packet was sent round, and which rule's was said last.
    cdef bint waited
    cdef object unrolled
    cdef bint in_packet_out
    cdef bint in_action_set
    cdef bint in_group
    cdef uint32_t slow          # reasons (see odp.pxd) for vswitchd to see each packet, or 0
    cdef list received          # of a real packet: (XPort, SLOW_* bit) of protocols that take it
    # Of a real packet: (XBridge, XBundle, VLAN) where groups are snooped, or None; see learn_groups().
    cdef list snooped
    cdef bint stop              # no further action: frozen or failed
    cdef bint freezing
    cdef bint unparsed          # a label or an I-TAG was popped; what it hid is not parsed yet
    # How often a header was put on or taken off, or the packet tracked: no action undoes it.
    cdef uint32_t reshaped
    cdef int to_pop             # labels that a copy's actions have left on the packet, see commit()
    cdef pending_header pending     # what encap and decap left to commit(),
    cdef bytes pending_metadata     # and the options of a new NSH header, or None
    cdef uint32_t came_packet_type  # of the packet, and its Ethertype, as translation began
    cdef uint16_t came_eth_type
    cdef const flow_key *came   # the packet's key, as translation began; valid while that runs
    cdef bint tunnel_hidden     # the bridge does not see through which tunnel the packet came
    cdef bytes tunnel_given     # the tunnel's part of a key that an action has set of the packet, or None
    cdef bint conntracked       # the flow's ct_* are what a ct action found, and are sent round
    cdef list forked            # for trace: Fork of each packet that ct sent round, or None
    cdef bint hashing           # the datapath is to hash the packet that is sent round
    cdef uint32_t hash_algorithm, hash_basis
    cdef object pausing         # the Telling of the controllers who are to send the packet on, or None
    cdef bint hashed            # it has done so: flow.dp_hash is known
    cdef Program checking       # whose op `checking_op` asks for the packet's length, or None
    cdef uint32_t checking_op
    cdef list todo              # frozen steps, innermost first
    cdef list stack             # values, 16 bytes each, big endian
    cdef list action_set        # Program
    cdef readonly str error
    cdef readonly list trace    # (level, kind, text), or None: nobody wants it, or it has all it may
    cdef readonly list steps    # what `trace` was, also when it has all it may
    cdef int most_steps
    cdef int level

    # The port of the bridge at hand that has this OpenFlow number, or None.
    cdef XPort port(self, uint16_t number)
    cdef int start(self, XBridge bridge, const flow_key *key, int64_t now) except -1
    cdef int report(self, str kind, str text) except -1
    cdef int note(self, str kind, step) except -1
    # Drops the packet, whatever was done already; the first error counts.
    cdef int fail(self, str error, str text=*) except -1
    # Whether to stop: `units` of work, about 0.1 us each, were one too many.
    cdef bint spend(self, int64_t units) except -1
    # The packet's connection is not known any more: the flow's ct_* are 0.
    cdef int untrack(self) except -1
    # Writes the changes of the packet so far out.
    cdef int commit(self) except -1
    # To be called before actions that run on a copy, and with its answer behind them.
    cdef Snapshot save(self)
    cdef int restore(self, Snapshot saved, isolation how) except -1
    cdef int wrap_clone(self, uint32_t start) except -1
    # A clone that ends the actions from offset `start` on is none: nothing is behind it.
    cdef int unwrap_last(self, uint32_t start) except -1


# The pipeline of x.bridge for a packet that comes in by a port.
ctypedef int (*pipeline)(XlateContext x, uint16_t in_port) except -1

# All ct_* of a key become 0.
cdef void forget_tracking(flow_key *key) noexcept nogil

cdef inline uint16_t flow_in_port(const flow_key *key) noexcept nogil:
    return <uint16_t> ((<uint8_t *> &key.in_port)[2] << 8 | (<uint8_t *> &key.in_port)[3])

cdef inline void set_in_port(flow_key *key, uint32_t port) noexcept nogil:
    cdef uint8_t *at = <uint8_t *> &key.in_port
    at[0] = port >> 24
    at[1] = port >> 16 & 0xff
    at[2] = port >> 8 & 0xff
    at[3] = port & 0xff
