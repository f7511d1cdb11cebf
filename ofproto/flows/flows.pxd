# The datapath's flows as vswitchd knows them.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from datapath.ipc.upcall_rings cimport UpcallRings
from datapath.key.flow cimport flow_key
from datapath.key.ufid cimport key_words
from ofproto.flows.ukeys cimport PortShare, Ukey, UkeyTable
from ofproto.xlate.state.context cimport XlateContext
from ofproto.xlate.state.recirc cimport RecircTable
from ofproto.xlate.bridges.tunnel cimport TunnelTable
from ofproto.xlate.bridges.xbridge cimport Features, Generation, XBridge, XPort
from ofproto.xlate.state.xcache cimport XCache


# What was counted since the start, in the order of COUNTS in flows.pyx.
cdef enum:
    N_UPCALLS
    N_MISSES
    N_PACKET_INS
    N_INSTALLED
    N_EXECUTED_ONLY
    N_FLOW_LIMIT_HIT
    N_UNKNOWN_PORT
    N_UNKNOWN_STATE
    N_XLATE_ERRORS
    N_EXECUTE_ERRORS
    N_RING_FULL
    N_COUNTS


cdef class Flows:
    cdef readonly object dpif
    cdef UpcallRings rings              # the same, when packets come up by its rings
    cdef readonly Generation generation
    cdef public uint32_t max_flows      # as configured
    cdef public bint exact              # flows match all that their packets have: for tests
    cdef public uint32_t flow_limit     # at present: what can be revalidated in a second
    cdef readonly bint settled
    cdef bint looked                    # for flows of an earlier daemon, since set_dpif()
    cdef readonly RecircTable recirc
    cdef readonly list bridges
    cdef readonly Features features
    cdef readonly object underlay       # ofproto.underlay's: what tunnels travel over
    cdef object solicitor               # Program: a frame of the host's own through the tables
    cdef uint64_t n[N_COUNTS]
    cdef dict ports                     # datapath port -> XPort
    cdef XPort last_port                # that was asked for: mostly the next packet's, too
    cdef uint32_t last_number           # network order
    cdef readonly TunnelTable tunnels   # those that share datapath ports
    cdef UkeyTable table
    cdef dict by_port                   # in_port -> PortShare
    cdef PortShare last_share           # mostly the next flow's, too
    cdef uint64_t n_effects             # of all caches
    cdef list lost                      # Ukeys of a datapath that is gone, to be forgotten
    cdef dict credited                  # ufid -> (packets, bytes) of flows that may come back
    cdef dict masks                     # mask -> itself: few different ones, shared by all ukeys
    cdef readonly object inbox          # packets that are for protocols: Inbox
    cdef XlateContext xlate
    cdef bint settle(self) except -1
    # Gives a flow of the datapath the actions; False: not now, try again.
    cdef bint change(self, Ukey ukey, bytes actions) except -1
    # Translates a datapath key (in_port as there); False when it belongs nowhere.
    cdef bint translate(self, const flow_key *key, int64_t now) except -1
    # The port that a packet came by, or None.
    cdef XPort port_of(self, const flow_key *key)
    # The flow of the last translation: its ufid.
    cdef int name_flow(self, const flow_key *key, uint8_t *ufid) except -1
    cdef PortShare share_of(self, uint32_t in_port)
    # Whether the datapath may get another flow for packets of this in_port.
    cdef bint has_room(self, const flow_key *key) except -1
    cdef Ukey find(self, bytes ufid)
    cdef Ukey add_ukey(self, const uint8_t *ufid, bytes key, bytes mask, int64_t now)
    cdef int take_translation(self, Ukey ukey, int64_t now) except -1
    cdef int drop_cache(self, XCache cache, Ukey ukey, int64_t now) except -1
    cdef int remove_ukey(self, Ukey ukey, int64_t now) except -1
    # Takes it out of the books, though the datapath may have it still.
    cdef int lose_ukey(self, Ukey ukey, int64_t now) except -1
    cdef bytes xlate_actions(self)
    cdef int run_translation(self, XBridge bridge, bytes packet, uint32_t odp_port,
                             const flow_key *key, int64_t now) except -1
    # What the datapath is to do with the flow of the last translation, instead of its actions, where
    # vswitchd is to see each packet.
    cdef int slow_down(self) except -1
    cdef bytes last_mask                # that shared_mask() gave: mostly the next one's, too,
    cdef key_words last_words           # and which of its words are not 0
    cdef bytes shared_mask(self, const flow_key *mask)


cdef bint same_actions(Ukey ukey, XlateContext x) except -1
