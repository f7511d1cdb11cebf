# The datapath's flows as vswitchd knows them.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from datapath.key.flow cimport flow_key
from ofproto.xlate.recirc cimport RecircTable
from ofproto.xlate.xbridge cimport Generation, XBridge, XPort
from ofproto.xlate.xcache cimport XCache
from ofproto.xlate.xlate cimport Xlate
from ofproto.xlate.xlate_base cimport controller_data


cdef class Ukey:
    cdef readonly bytes ufid
    cdef readonly bytes key             # masked, KEY_DP_SIZE, in_port as datapath port
    cdef readonly bytes mask
    cdef readonly bytes actions
    cdef readonly uint64_t packets      # as last seen in the datapath
    cdef readonly uint64_t n_bytes
    cdef readonly int64_t used          # ms; 0 never
    cdef readonly int64_t created
    cdef readonly uint64_t generation
    cdef uint64_t round                 # of the dump that saw it last
    cdef XCache cache
    cdef bint doomed                    # to be deleted with others, before the next upcall
    cdef readonly bint dead


cdef class Flows:
    cdef readonly object dpif
    cdef readonly Generation generation
    cdef public uint32_t flow_limit
    cdef readonly bint settled
    cdef bint looked                    # for flows of an earlier daemon, since set_dpif()
    cdef readonly RecircTable recirc
    cdef readonly list bridges
    cdef readonly dict counts
    cdef dict ports                     # datapath port -> XPort
    cdef dict by_ufid                   # ufid -> Ukey
    cdef dict masks                     # mask -> itself: few different ones, shared by all ukeys
    cdef Xlate xlate
    cdef bint settle(self) except -1
    # Gives a flow of the datapath the actions; False: not now, try again.
    cdef bint change(self, Ukey ukey, bytes actions) except -1
    # Translates a datapath key (in_port as there); False when it belongs nowhere.
    cdef bint translate(self, const flow_key *key, int64_t now) except -1
    # The flow of the last translation: its ufid and masked key.
    cdef bytes name_flow(self, const flow_key *key, flow_key *masked)
    cdef Ukey find(self, bytes ufid)
    cdef Ukey add_ukey(self, bytes ufid, bytes key, bytes mask, int64_t now)
    cdef int take_translation(self, Ukey ukey, int64_t now) except -1
    cdef int drop_cache(self, Ukey ukey, int64_t now) except -1
    cdef int remove_ukey(self, Ukey ukey, int64_t now) except -1
    cdef bytes xlate_actions(self)
    cdef bytes shared_mask(self, const flow_key *mask)
    cdef int to_controller(self, const flow_key *dp_key, const uint8_t *packet, uint32_t size,
                           const uint8_t *userdata, uint32_t length) except -1


cdef bint same_actions(Ukey ukey, Xlate x) except -1
