"""Megaflows into the kernel cache, and their counters back; see offload.pxd."""

from libc.errno cimport ENOMEM
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from datapath.base.atomic cimport fence, load64, store32
from datapath.base.clock cimport clock_ns, kernel_ns
from datapath.base.drops cimport DROP_ACTION
from datapath.bpf.entry cimport *
from datapath.bpf.heat cimport HOT, heat_count, heat_place
from datapath.bpf.offload cimport *
from datapath.key.flow cimport flow_key
from datapath.lookup.megaflow cimport megaflow, megaflow_expand, megaflow_use
from datapath.netdev.netdev cimport MAX_PORTS, worker_port

cdef extern from *:
    """
    #include <linux/bpf.h>
    #include <string.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    static int pyvs_map_update(int fd, const void *key, const void *value) {
        union bpf_attr attr;
        memset(&attr, 0, sizeof attr);
        attr.map_fd = fd;
        attr.key = (__u64) (unsigned long) key;
        attr.value = (__u64) (unsigned long) value;
        return (int) syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &attr, sizeof attr);
    }
    """
    int map_update "pyvs_map_update"(int fd, const void *key, const void *value) noexcept nogil

cdef enum:
    # ns for which a program on another processor may still follow an entry that it found valid, and
    # count for it: it has read the generation, and no interrupt can stop it for long.
    SETTLE = 3000
    QUARANTINE = 100000000      # and those before its slot counts for another flow


cdef int cache_start(kernel_cache *k, uint32_t worker, const cache_maps *maps) noexcept nogil:
    cdef uint32_t i
    memset(k, 0, sizeof(kernel_cache))
    k.n_slots = CACHE_SLOTS // maps.n_workers
    k.first = worker * k.n_slots
    k.slots = <cached_flow *> calloc(k.n_slots, sizeof(cached_flow))
    k.free = <uint32_t *> malloc(k.n_slots * sizeof(uint32_t))
    if k.slots == NULL or k.free == NULL:
        free(k.slots)
        free(k.free)
        k.slots = NULL
        k.free = NULL
        return ENOMEM
    for i in range(k.n_slots):
        k.free[i] = i
    k.worker = worker
    k.maps = maps[0]
    k.on = True
    return 0


cdef void cache_stop(kernel_cache *k) noexcept nogil:
    if not k.on:
        return
    _forget_all(k, NULL)
    k.on = False
    free(k.slots)
    free(k.free)
    k.slots = NULL
    k.free = NULL


# ---- Counters ----

cdef void _credit(kernel_cache *k, cached_flow *s, uint64_t packets, uint64_t n_bytes) noexcept nogil:
    """To the flow and to its ports."""
    cdef worker_port *port = &s.source.worker_ports[k.worker]
    s.flow.n_packets += packets
    s.flow.n_bytes += n_bytes
    port.rx_packets += packets
    port.rx_bytes += n_bytes
    if s.target == NULL:
        port.drops[DROP_ACTION] += packets
    else:
        port = &s.target.worker_ports[k.worker]
        port.tx_packets += packets
        port.tx_bytes += n_bytes + <uint64_t> (s.grows * <int64_t> packets)
    k.hits += packets


cdef void _collect(kernel_cache *k, uint32_t i) noexcept nogil:
    cdef cached_flow *s = &k.slots[i]
    cdef cache_counters *row = &k.maps.counters[<size_t> (k.first + i) * k.maps.n_cpus]
    cdef uint64_t packets = 0, n_bytes = 0, used = 0, flags = 0, now
    cdef uint32_t cpu
    for cpu in range(k.maps.n_cpus):
        packets += load64(&row[cpu].n_packets)
        n_bytes += load64(&row[cpu].n_bytes)
        used = max(used, load64(&row[cpu].used))
        flags |= load64(&row[cpu].tcp_flags)
    if packets == s.n_packets:
        return
    _credit(k, s, packets - s.n_packets, n_bytes - s.n_bytes)
    s.n_packets = packets
    s.n_bytes = n_bytes
    s.flow.tcp_flags |= <uint16_t> flags
    # The kernel's clock is not always the datapath's.
    now = kernel_ns()
    megaflow_use(s.flow, clock_ns() - (now - min(used, now)))


cdef void cache_collect(kernel_cache *k) noexcept nogil:
    cdef uint32_t i
    if not k.on or k.n_used == 0:
        return
    for i in range(k.n_slots):
        if k.slots[i].flow != NULL:
            _collect(k, i)


# ---- Slots ----

cdef uint32_t _slot_for(kernel_cache *k, megaflow *f, netdev *source, netdev *target,
                        int32_t grows) noexcept nogil:
    """The flow's slot, as in megaflow.kernel_slot; 0: none is free."""
    cdef uint32_t i
    cdef cached_flow *s
    if f.kernel_slot:
        s = &k.slots[f.kernel_slot - 1]
        return f.kernel_slot if s.target == target and s.grows == grows else 0
    if k.n_used == k.n_slots:
        return 0
    i = k.free[k.free_at]
    s = &k.slots[i]
    if s.freed and kernel_ns() - s.freed < QUARANTINE:
        return 0
    k.free_at = (k.free_at + 1) % k.n_slots
    k.n_used += 1
    memset(s, 0, sizeof(cached_flow))
    memset(&k.maps.counters[<size_t> (k.first + i) * k.maps.n_cpus], 0, k.maps.n_cpus * sizeof(cache_counters))
    s.flow = f
    s.source = source
    s.target = target
    s.grows = grows
    f.kernel_slot = i + 1
    return f.kernel_slot


cdef inline void _void(kernel_cache *k, uint32_t i) noexcept nogil:
    store32(&k.maps.generations[k.first + i], k.maps.generations[k.first + i] + 1)


cdef void _settle() noexcept nogil:
    cdef uint64_t until = kernel_ns() + SETTLE
    fence()
    while kernel_ns() < until:
        pass


cdef void _release(kernel_cache *k, uint32_t i) noexcept nogil:
    """A voided slot, after _settle()."""
    cdef cached_flow *s = &k.slots[i]
    _collect(k, i)
    s.flow.kernel_slot = 0
    s.flow = NULL
    s.freed = kernel_ns()
    k.free[(k.free_at + k.n_slots - k.n_used) % k.n_slots] = i
    k.n_used -= 1


cdef void cache_forget_slot(kernel_cache *k, megaflow *f) noexcept nogil:
    cdef uint32_t i = f.kernel_slot - 1
    _void(k, i)
    _settle()
    _release(k, i)


cdef inline bint _concerns(const cached_flow *s, const netdev *dev) noexcept nogil:
    return s.flow != NULL and (dev == NULL or s.source == dev or s.target == dev)


cdef void _forget_all(kernel_cache *k, const netdev *dev) noexcept nogil:
    """The slots of all flows, or of those from or to a port: all voided at once."""
    cdef uint32_t i, n = 0
    for i in range(k.n_slots):
        if _concerns(&k.slots[i], dev):
            _void(k, i)
            n += 1
    if n == 0:
        return
    _settle()
    for i in range(k.n_slots):
        if _concerns(&k.slots[i], dev):
            _release(k, i)


cdef void cache_forget_port(kernel_cache *k, const netdev *dev) noexcept nogil:
    if k.on and k.n_used:
        _forget_all(k, dev)


# ---- Entries ----

cdef bint cache_offer(kernel_cache *k, netdev **ports, netdev *dev, const packet *p,
                      const flow_key *key, megaflow *f, uint64_t hash) noexcept nogil:
    cdef flow_key ignored, mask
    cdef cache_key c
    cdef cache_entry e
    cdef uint32_t port, slot
    cdef int32_t grows
    cdef heat_place *place
    cdef netdev *target = NULL
    if not k.on:
        return False
    place = heat_count(&k.heat, hash)
    if place == NULL:
        return False
    if f.kernel_slot == 0:
        megaflow_expand(f, &ignored, &mask)
        f.kernel_never = not cache_mask_fits(&mask)
    if f.kernel_never or not cache_key_of(p, key, dev.kernel_index, &c):
        return False
    if not cache_actions(f.actions, f.actions_len, key, &e, &port, &grows):
        f.kernel_never = f.kernel_slot == 0
        return False
    if port:
        target = ports[port] if port < MAX_PORTS else NULL
        if target == NULL or target.kernel_index == 0 or target.dead:
            return False
        e.ifindex = target.kernel_index
    if dev.kernel_bare:
        place.count = HOT - 1
        dev.kernel_asked = True
        k.asked = True
        return True
    slot = _slot_for(k, f, dev, target, grows)
    if slot == 0:
        k.refused += 1
        return False
    e.slot = k.first + slot - 1
    e.generation = k.maps.generations[e.slot]
    if map_update(k.maps.entries_fd, &c, &e) < 0:
        k.refused += 1
    else:
        k.offered += 1
    return False
