# The worker's side of the kernel cache: which megaflows have entries there, and what these counted.
#
# A megaflow with entries has a slot, which counts for all its packets.  Slots are shared out among
# the workers; all here belongs to one worker's thread.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from datapath.base.packet cimport packet
from datapath.bpf.entry cimport cache_counters
from datapath.bpf.heat cimport heat_table
from datapath.key.flow cimport flow_key
from datapath.lookup.megaflow cimport megaflow
from datapath.netdev.netdev cimport netdev

cdef struct cached_flow:
    megaflow *flow              # NULL: the slot is free
    netdev *source
    netdev *target              # NULL: packets are dropped
    int32_t grows               # bytes by which each packet leaves larger
    uint64_t n_packets          # what was collected so far
    uint64_t n_bytes
    uint64_t freed              # ns, when it became free

# What the programs and all workers share; see memory.py.
cdef struct cache_maps:
    int entries_fd
    uint32_t *generations       # of all slots
    cache_counters *counters
    uint32_t n_cpus
    uint32_t n_workers          # their ids are below

cdef struct kernel_cache:
    bint on
    bint asked                  # some netdev.kernel_asked; the control thread takes it back
    uint32_t worker
    cache_maps maps
    uint32_t first              # the first slot of this worker
    uint32_t n_slots
    uint32_t n_used
    cached_flow *slots
    uint32_t *free              # a queue: who is free longest comes first
    uint32_t free_at
    heat_table heat
    uint64_t hits               # packets that the kernel forwarded or dropped
    uint64_t offered            # entries put into the kernel
    uint64_t refused            # and those that it did not take, or for which there was no slot

# Begin, with the slots that are this worker's; 0 or ENOMEM.
cdef int cache_start(kernel_cache *k, uint32_t worker, const cache_maps *maps) noexcept nogil
# Collect and void all; the maps are of no more use.
cdef void cache_stop(kernel_cache *k) noexcept nogil
# A packet of `dev` hit `f`, and no action has touched it yet: if it is hot, an entry is made.
# True: one could be, if the device were not without a classifier, for which it asks now.
cdef bint cache_offer(kernel_cache *k, netdev **ports, netdev *dev, const packet *p,
                      const flow_key *key, megaflow *f, uint64_t hash) noexcept nogil
# Before a flow goes, or gets other actions: no packet follows its entries from here on, and it has
# all that they counted.
cdef void cache_forget_slot(kernel_cache *k, megaflow *f) noexcept nogil
# The same for all flows from or to a port.
cdef void cache_forget_port(kernel_cache *k, const netdev *dev) noexcept nogil
# All flows and ports have what was counted by now.
cdef void cache_collect(kernel_cache *k) noexcept nogil


cdef inline void cache_forget(kernel_cache *k, megaflow *f) noexcept nogil:
    if f.kernel_slot:
        cache_forget_slot(k, f)
    f.kernel_never = False
