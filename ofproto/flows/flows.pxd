# The datapath's flows as vswitchd knows them.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from datapath.ipc.upcall_rings cimport UpcallRings
from datapath.key.flow cimport flow_key
from ofproto.xlate.state.context cimport XlateContext
from ofproto.xlate.state.recirc cimport RecircTable
from ofproto.xlate.bridges.tunnel cimport TunnelTable
from ofproto.xlate.bridges.xbridge cimport Features, Generation, XBridge, XPort
from ofproto.xlate.state.xcache cimport XCache


cdef class Ukey:
    cdef readonly bytes ufid
    # Of the packet that it was made for, KEY_DP_SIZE, in_port as datapath port; not masked.
    cdef readonly bytes key
    cdef readonly bytes mask
    cdef readonly bytes actions
    cdef readonly uint64_t packets      # as last seen in the datapath
    cdef readonly uint64_t n_bytes
    cdef readonly int64_t used          # ms; 0 never
    cdef readonly int64_t created
    cdef readonly uint64_t workers      # a bit for each that has the flow, as far as is known
    cdef readonly uint64_t generation
    cdef uint64_t round                 # of the dump that saw it last
    cdef XCache cache
    cdef XCache previous                # whom packets before the last change belong to, or None
    cdef bint doomed                    # to be deleted with others, before the next upcall
    cdef readonly bint dead


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
    cdef readonly dict counts
    cdef dict ports                     # datapath port -> XPort
    cdef readonly TunnelTable tunnels   # those that share datapath ports
    cdef dict by_ufid                   # ufid -> Ukey
    cdef dict by_port                   # in_port (its 4 bytes) -> number of flows
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
    # The flow of the last translation: its ufid and masked key.
    cdef bytes name_flow(self, const flow_key *key, flow_key *masked)
    # Whether the datapath may get another flow for packets of this in_port.
    cdef bint has_room(self, const flow_key *key) except -1
    cdef Ukey find(self, bytes ufid)
    cdef Ukey add_ukey(self, bytes ufid, bytes key, bytes mask, int64_t now)
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
    cdef bytes last_mask                # that shared_mask() gave: mostly the next one's, too
    cdef bytes shared_mask(self, const flow_key *mask)


cdef bint same_actions(Ukey ukey, XlateContext x) except -1
