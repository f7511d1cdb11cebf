# The rings as vswitchd's C code has them; upcall_rings.pyi has the Python side.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from datapath.key.flow cimport flow_key
from datapath.base.packet cimport vnet_hdr
from datapath.ipc.ring cimport ring
from datapath.ipc.upcall cimport UPCALL_ACTION, UPCALL_MISS
from datapath.netdev.netdev cimport MAX_WORKERS

# A packet that came up.  userdata and packet lie in shared memory, which the datapath process
# could change: valid until release_upcall, to be copied before anything is decided by them.
cdef struct upcall:
    uint8_t type                # UPCALL_*
    uint16_t worker
    uint32_t reason             # of a USERSPACE action
    flow_key key                # packet and tunnel parts; a private copy
    vnet_hdr vnet
    const uint8_t *userdata
    uint32_t userdata_size
    const uint8_t *packet
    uint32_t packet_size

cdef class UpcallRings:
    cdef readonly int upcall_fd             # a doorbell; -1 before new_rings()
    cdef uint32_t n_workers                 # with rings
    cdef uint32_t turn
    cdef readonly uint64_t n_installed               # records with a flow that were put into down rings
    # By the workers' ids, of which `ids` are in use.
    cdef uint32_t ids[MAX_WORKERS]
    cdef uint64_t all                       # a bit for each of these
    cdef uint64_t on_own_core               # a bit for each id: it has flows of its own
    cdef ring *up
    cdef ring *down
    cdef int *wake                          # doorbells
    cdef bint holding                       # hold() was called
    cdef uint32_t n_behind                  # records whose workers were not woken yet:
    cdef uint64_t behind                    # a bit for each id
    cpdef drop_rings(self)
    cdef _drop_worker(self, uint32_t index)
    # upcall_wait() and upcall_awake().
    cdef bint may_sleep(self) noexcept
    cdef void awake(self) noexcept
    # The next packet, of all workers in turn; false: none.
    cdef bint next_upcall(self, upcall *u) noexcept
    # Gives the record of the last next_upcall back.
    cdef void release_upcall(self, upcall *u) noexcept
    # Between the two, sleeping workers are woken for several records at once.
    cdef void hold(self) noexcept
    cdef void let_go(self) noexcept
    # Meanwhile: whether they are is said of each packet, the last one next_upcall() gave.
    cdef void hold_while_more(self, const upcall *u) noexcept
    cdef bint wake_worker(self, uint32_t worker) noexcept
    cdef void wake_those_behind(self) noexcept
    # The three push into the down rings.  A flow goes to `workers`, by a bit for each id; returned
    # are the bits of those whose ring is full, and which do not get it (installing it again is
    # harmless).
    cdef uint64_t install(self, uint64_t workers, const uint8_t *ufid, const flow_key *key,
                          const flow_key *mask, const uint8_t *actions, uint32_t length) noexcept
    # The workers that are to get the flow of a packet that this one had: itself only where it has a
    # core of its own, else all that have not.
    cdef uint64_t peers(self, uint32_t worker) noexcept
    # 0, or -1 where the ring is full.
    cdef int execute_upcall(self, const upcall *u, const uint8_t *actions,
                            uint32_t length) noexcept
    # The same for a packet that came up by none; -1 also where it is too long.
    cdef int execute_packet(self, const uint8_t *packet, uint32_t size, const flow_key *key,
                            const uint8_t *actions, uint32_t length) noexcept
    # To the packet's worker and its peers.
    cdef uint64_t install_and_execute(self, const upcall *u, const uint8_t *ufid, const flow_key *mask,
                                      const uint8_t *actions, uint32_t length) noexcept
    cdef int _push(self, uint32_t worker, uint16_t what, const upcall *u, const uint8_t *ufid,
                   const flow_key *key, const flow_key *mask, const uint8_t *actions,
                   uint32_t length) noexcept
