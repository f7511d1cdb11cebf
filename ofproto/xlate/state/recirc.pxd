# What translation knew when it sent a packet back to be parsed again.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from datapath.key.flow cimport flow_key


cdef enum:
    CONNTRACKED = 32        # of FrozenState.flags: ct_* of the packet are known to the tables
    FOR_BOND = 64           # the packet goes to the bond that `userdata` names


cdef class FrozenState:
    cdef readonly uint32_t id
    cdef readonly object bridge         # XBridge
    cdef readonly bytes pipeline        # the key's part behind KEY_DP_SIZE
    cdef readonly uint16_t in_port      # OpenFlow port
    cdef readonly list stack            # values, 16 bytes each
    # (Program, pc, table_id, rule or None), innermost first; without Program: the table is looked up.
    cdef readonly list todo
    cdef readonly list action_set       # of Program
    cdef readonly int flags             # where the actions stand: IN_* of freeze.pyx
    cdef readonly bytes userdata        # of the controller action
    cdef readonly uint8_t table_id      # where that is
    # What of the key's tunnel part is other than the packet's own, and which of its bits: as many
    # bytes again.  Empty: nothing.
    cdef readonly bytes tunnel
    cdef readonly uint32_t mirrors      # bits of those that have the packet
    cdef readonly tuple name            # all of it, comparable
    cdef uint32_t references
    cdef bint over                      # it has had a flow, or a trace, that is gone
    cdef int64_t released               # ms, when the last reference went
    # Puts what the state has of the tunnel part into the packet's own key.
    cdef bint take_tunnel(self, flow_key *key)


cdef class RecircTable:
    cdef readonly dict states           # id -> FrozenState
    # Ids count from 1 on: what tests of a switch compare does not depend on hashes.
    cdef public bint counting
    cdef dict numbers                   # digest of a state's name -> id, where these count
    cdef uint32_t counted
    cdef object looking                 # ids of states to be looked at for one that may go
    cdef uint32_t first_id(self, FrozenState state, bint anew) except? 0
    cdef bint make_room(self)
    cdef FrozenState get(self, uint32_t id)
    cdef FrozenState intern(self, FrozenState state, int64_t now)
    cdef void reference(self, FrozenState state)
    cdef void release(self, FrozenState state, int64_t now)
