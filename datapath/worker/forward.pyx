"""The way of a packet: receive burst, key, exact-match cache, megaflow table, actions, transmit.

`process_burst` is that way on one page.  The burst was received by ports.pyx; a miss goes up by
upcalls.pyx to vswitchd, whose answer (down.pyx) installs the megaflow and carries the packet on;
frames leave by transmit.pyx.

A burst goes from step to step together, so that what one packet waits for from memory comes while
the others are looked at.  Packets that come again (tracked, hashed, out of a tunnel) do so together
as well: recirculate() puts them by for the burst's next turn.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from datapath.actions.execute cimport execute_actions
from datapath.actions.lb cimport lb_choose
from datapath.actions.meter cimport meter_verdict, meter_weigh
from datapath.actions.odp cimport ACT_CT, ACT_OUTPUT, attr, ct_action
from datapath.base.clock cimport clock_ns
from datapath.base.cycles cimport cycles
from datapath.base.packet cimport packet
from datapath.bpf.offload cimport cache_offer
from datapath.conntrack.table cimport NO_BUCKET
from datapath.conntrack.track cimport ct_prefetch, ct_prefetch_connection
from datapath.ipc.upcall cimport UPCALL_ACTION, UPCALL_MISS
from datapath.key.flow cimport KEY_DP_SIZE, KEY_PACKET_SIZE, flow_extract, flow_key, key_map
from datapath.lookup.emc cimport emc_classify, emc_key, emc_prepare
from datapath.lookup.megaflow cimport megaflow, megaflow_count, megaflow_use
from datapath.netdev.netdev cimport MAX_PORTS, netdev, rx_burst
from datapath.worker.defragment cimport OUTER, defragment
from datapath.worker.state cimport HITS, of_burst, raise_alarm, time_of, turn, worker
from datapath.worker.track cimport track
from datapath.worker.transmit cimport flush_frames, output
from datapath.worker.upcalls cimport send_up

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void *) noexcept nogil


cdef void process_burst(worker *w, netdev *dev) noexcept nogil:
    """Everything for the frames of w.burst, received by `dev`: w.ingress is set."""
    cdef rx_burst *burst = &w.burst
    cdef turn now
    cdef uint32_t i
    w.now = 0
    w.cache.closed = dev.not_exact
    w.n_bursts += 1
    w.n_packets += burst.n
    now.n = burst.n
    for i in range(burst.n):
        burst.packets[i].in_port = dev.port_be
        w.maps[i] = flow_extract(&burst.packets[i], &w.keys[i])
        now.packets[i] = <uint8_t> i
        w.depth[i] = 0
    look_up(w, &now)
    if dev.kernel_cached:
        offer(w, dev)
    execute_found(w, &now)
    take_turns(w)
    if w.x.wrote_tunnel:
        clear_tunnels(w)
    flush_frames(w)


cdef void take_turns(worker *w) noexcept nogil:
    """What was put by, and is again, until nothing is."""
    cdef turn now
    while w.later.n:
        now = w.later
        w.later.n = 0
        look_up(w, &now)
        execute_found(w, &now)


cdef void look_up(worker *w, const turn *which) noexcept nogil:
    """The megaflow of each of these packets, which counts it, into w.found."""
    cdef uint32_t n, i
    cdef megaflow *f
    if w.n_hits + which.n > HITS:
        stamp_hits(w)
    # In a loop of its own: whole words of a key cannot be read before its single members are stored.
    for n in range(which.n):
        i = which.packets[n]
        emc_prepare(&w.cache, &w.prepared[i], &w.keys[i], w.maps[i])
    for n in range(which.n):
        i = which.packets[n]
        f = w.found[i] = emc_classify(&w.cache, &w.flows, &w.prepared[i], &w.keys[i])
        if f != NULL:
            prefetch(f.actions)
            megaflow_count(f, w.burst.packets[i].size, w.keys[i].tcp_flags)
            w.hits[w.n_hits] = f
            w.n_hits += 1
    if w.connections != NULL:
        expect_connections(w, which)


cdef void expect_connections(worker *w, const turn *which) noexcept nogil:
    """Of packets that are tracked first of all."""
    cdef uint32_t n, i, any = 0
    cdef const attr *first
    for n in range(which.n):
        i = which.packets[n]
        w.buckets[i] = NO_BUCKET
        if w.found[i] == NULL or w.found[i].actions_len < sizeof(attr) + sizeof(ct_action):
            continue
        first = <const attr *> w.found[i].actions
        if first.type == ACT_CT:
            w.buckets[i] = ct_prefetch(w.connections, &w.keys[i], <const ct_action *> (first + 1))
            any += 1
    if any:
        for n in range(which.n):
            ct_prefetch_connection(w.connections, w.buckets[which.packets[n]])


cdef void offer(worker *w, netdev *dev) noexcept nogil:
    """The burst's flows to the kernel cache."""
    cdef uint32_t i
    cdef megaflow *f
    for i in range(w.burst.n):
        f = w.found[i]
        if f != NULL and not f.kernel_never:
            if cache_offer(&w.kernel, w.ports, dev, &w.burst.packets[i], &w.keys[i], f,
                           w.prepared[i].hash):
                raise_alarm(w)


cdef void execute_found(worker *w, const turn *which) noexcept nogil:
    """The actions of what look_up() found; a miss goes up."""
    cdef uint32_t n, i
    for n in range(which.n):
        i = which.packets[n]
        if w.found[i] == NULL:
            miss(w, &w.burst.packets[i], &w.keys[i])
        else:
            run_actions(w, i, w.found[i])


cdef void miss(worker *w, packet *p, const flow_key *key) noexcept nogil:
    cdef uint64_t since = cycles() if w.perf != NULL else 0
    send_up(w, p, key, UPCALL_MISS, 0, NULL, 0)
    if w.perf != NULL:
        w.perf.upcalls += 1
        w.perf.upcall_cycles += cycles() - since


cdef inline void run_actions(worker *w, uint32_t i, const megaflow *f) noexcept nogil:
    cdef packet *p = &w.burst.packets[i]
    cdef const attr *only = <const attr *> f.actions
    cdef uint32_t depth = w.x.depth     # not 0 within let_pass()
    if f.actions_len == 8 and only.type == ACT_OUTPUT and not p.packet_type:
        w.x.last = True
        output(w, p, (<const uint32_t *> (f.actions + 4))[0])
        return
    w.x.depth = max(depth, w.depth[i])
    w.x.work = w.work[i]
    w.x.told = False
    execute_actions(&w.x, p, &w.keys[i], f.actions, f.actions_len)
    w.x.depth = depth


cdef void clear_tunnels(worker *w) noexcept nogil:
    """The keys' tunnel part, which extraction does not reset."""
    cdef uint32_t i
    for i in range(w.burst.n):
        memset(<uint8_t *> &w.keys[i] + KEY_PACKET_SIZE, 0, KEY_DP_SIZE - KEY_PACKET_SIZE)
    w.x.wrote_tunnel = False


cdef void stamp_hits(worker *w) noexcept nogil:
    """Notes when flows were used: after the frames are out, and before any flow may go."""
    cdef uint32_t i
    if w.n_hits:
        w.now = clock_ns()
        for i in range(w.n_hits):
            megaflow_use(w.hits[i], w.now)
        w.n_hits = 0


# --- what execute_actions() calls, besides output()

cdef void recirculate(void *owner, packet *p, flow_key *key) noexcept nogil:
    """A packet that comes again, with another recirc_id: one of the burst, in the burst's next turn."""
    cdef worker *w = <worker *> owner
    cdef uint32_t i
    w.n_recirculations += 1
    if not of_burst(w, p):
        if w.later.n:
            let_pass(w)
        come_again(w, p, key)
        return
    i = <uint32_t> (p - w.burst.packets)
    w.maps[i] = extract_again(w, p, key)
    w.depth[i] = w.x.depth
    w.work[i] = w.x.work
    w.later.packets[w.later.n] = <uint8_t> i
    w.later.n += 1


cdef void let_pass(worker *w) noexcept nogil:
    """Those that were put by, before a packet that would overtake them: a fragment or segment of
    their own flow, perhaps.  Below the depth at hand, whose buffers are in use."""
    cdef uint32_t work = w.x.work
    cdef bint told = w.x.told
    take_turns(w)
    w.x.work = work
    w.x.told = told


cdef inline uint64_t extract_again(worker *w, packet *p, flow_key *key) noexcept nogil:
    """The map, which flow_extract() has by whole layers: too large for a cache of tunnels' keys."""
    cdef uint64_t map = flow_extract(p, key)
    return key_map(key) if w.x.wrote_tunnel else map


cdef void come_again(worker *w, packet *p, flow_key *key) noexcept nogil:
    """At once: a copy, a fragment, or what came down from vswitchd."""
    cdef emc_key prepared
    cdef megaflow *f
    emc_prepare(&w.cache, &prepared, key, extract_again(w, p, key))
    f = emc_classify(&w.cache, &w.flows, &prepared, key)
    if f == NULL:
        miss(w, p, key)
        return
    megaflow_count(f, p.size, key.tcp_flags)
    megaflow_use(f, time_of(w))
    execute_actions(&w.x, p, key, f.actions, f.actions_len)


cdef void userspace(void *owner, packet *p, const flow_key *key, uint32_t reason,
                    const uint8_t *userdata, uint32_t length) noexcept nogil:
    send_up(<worker *> owner, p, key, UPCALL_ACTION, reason, userdata, length)


cdef uint32_t tunnel_kind(void *owner, uint32_t port) noexcept nogil:
    cdef netdev *dev = (<worker *> owner).ports[port] if port < MAX_PORTS else NULL
    return 0 if dev == NULL else dev.tunnel_kind


cdef uint32_t port_mtu(void *owner, uint32_t port, uint32_t size) noexcept nogil:
    """It is asked anew before anything is found too big for it."""
    cdef netdev *dev = (<worker *> owner).ports[port] if port < MAX_PORTS else NULL
    if dev == NULL or dev.read_mtu == NULL:
        return 0
    if size > dev.mtu:
        dev.mtu = dev.read_mtu(dev)
    return dev.mtu


cdef void dropped(void *owner, uint32_t reason) noexcept nogil:
    (<worker *> owner).ingress.drops[reason] += 1


cdef meter_verdict weigh(void *owner, uint32_t meter, uint32_t n_packets,
                         uint32_t n_bytes) noexcept nogil:
    cdef worker *w = <worker *> owner
    return meter_weigh(w.meters, meter, n_packets, n_bytes, time_of(w))


cdef uint32_t bond_port(void *owner, uint32_t bond, const flow_key *key, uint32_t size) noexcept nogil:
    return lb_choose((<worker *> owner).bonds, bond, key, size)


cdef void forward_init(worker *w) noexcept nogil:
    w.x.owner = w
    w.x.output = output
    w.x.userspace = userspace
    w.x.recirculate = recirculate
    w.x.dropped = dropped
    w.x.meter = weigh
    w.x.track = track
    w.x.defragment = defragment
    w.x.tunnel_kind = tunnel_kind
    w.outer_fragments.settings = &OUTER
    w.x.port_mtu = port_mtu
    w.x.bond_port = bond_port
