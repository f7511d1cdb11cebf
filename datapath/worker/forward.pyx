"""The way of a packet: receive burst, key, exact-match cache, megaflow table, actions, transmit.

`process_burst` is that way on one page.  The burst was received by ports.pyx; a miss goes up by
upcalls.pyx to vswitchd, whose answer (down.pyx) installs the megaflow and carries the packet on;
frames leave by transmit.pyx.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset

from datapath.actions.execute cimport execute_actions
from datapath.actions.meter cimport meter_verdict, meter_weigh
from datapath.actions.odp cimport ACT_OUTPUT, attr
from datapath.base.clock cimport clock_ns
from datapath.base.packet cimport packet
from datapath.bpf.offload cimport cache_offer
from datapath.ipc.upcall cimport UPCALL_ACTION, UPCALL_MISS
from datapath.key.flow cimport KEY_DP_SIZE, KEY_PACKET_SIZE, flow_extract, flow_key, key_map
from datapath.lookup.emc cimport emc_classify, emc_key, emc_prepare
from datapath.lookup.megaflow cimport megaflow, megaflow_count
from datapath.netdev.netdev cimport MAX_PORTS, netdev, rx_burst
from datapath.worker.state cimport HITS, raise_alarm, time_of, worker
from datapath.worker.track cimport track
from datapath.worker.transmit cimport flush_frames, output
from datapath.worker.upcalls cimport send_up


cdef void process_burst(worker *w, netdev *dev) noexcept nogil:
    """Everything for the frames of w.burst, received by `dev`: w.ingress is set."""
    cdef rx_burst *burst = &w.burst
    cdef packet *p
    cdef megaflow *f
    cdef uint32_t i
    w.now = 0
    if w.n_hits + burst.n > HITS:
        stamp_hits(w)
    w.n_bursts += 1
    w.n_packets += burst.n
    for i in range(burst.n):
        p = &burst.packets[i]
        p.in_port = dev.port_be
        w.maps[i] = flow_extract(p, &w.keys[i])
    # In a loop of its own: whole words of a key cannot be read before its single members are stored.
    for i in range(burst.n):
        emc_prepare(&w.cache, &w.prepared[i], &w.keys[i], w.maps[i])
    for i in range(burst.n):
        p = &burst.packets[i]
        f = emc_classify(&w.cache, &w.flows, &w.prepared[i], &w.keys[i])
        if f == NULL:
            send_up(w, p, &w.keys[i], UPCALL_MISS, 0, NULL, 0)
        else:
            megaflow_count(f, p.size, w.keys[i].tcp_flags)
            w.hits[w.n_hits] = f
            w.n_hits += 1
            if dev.kernel_cached and not f.kernel_never:
                if cache_offer(&w.kernel, w.ports, dev, p, &w.keys[i], f, w.prepared[i].hash):
                    raise_alarm(w)
            run_actions(w, p, &w.keys[i], f.actions, f.actions_len)
    flush_frames(w)


cdef void stamp_hits(worker *w) noexcept nogil:
    """Notes when flows were used: after the frames are out, and before any flow may go."""
    cdef uint32_t i
    if w.n_hits:
        w.now = clock_ns()
        for i in range(w.n_hits):
            w.hits[i].used = w.now
        w.n_hits = 0


cdef inline void run_actions(worker *w, packet *p, flow_key *key, const uint8_t *actions,
                             uint32_t length) noexcept nogil:
    """Runs actions on a frame of the burst; a single output sends it from where it lies."""
    cdef const attr *only = <const attr *> actions
    if length == 8 and only.type == ACT_OUTPUT:
        w.keep = True
        output(w, p, (<const uint32_t *> (actions + 4))[0])
        w.keep = False
        return
    execute_actions(&w.x, p, key, actions, length)
    # The executor may have set tunnel members, which extraction does not reset.
    memset(<uint8_t *> key + KEY_PACKET_SIZE, 0, KEY_DP_SIZE - KEY_PACKET_SIZE)


# --- what execute_actions() calls, besides output()

cdef void recirculate(void *owner, packet *p, flow_key *key) noexcept nogil:
    """A packet that comes again, with another recirc_id."""
    cdef worker *w = <worker *> owner
    cdef emc_key prepared
    cdef megaflow *f
    w.n_recirculations += 1
    flow_extract(p, key)
    emc_prepare(&w.cache, &prepared, key, key_map(key))
    f = emc_classify(&w.cache, &w.flows, &prepared, key)
    if f == NULL:
        send_up(w, p, key, UPCALL_MISS, 0, NULL, 0)
        return
    megaflow_count(f, p.size, key.tcp_flags)
    f.used = time_of(w)
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


cdef void forward_init(worker *w) noexcept nogil:
    w.x.owner = w
    w.x.output = output
    w.x.userspace = userspace
    w.x.recirculate = recirculate
    w.x.dropped = dropped
    w.x.meter = weigh
    w.x.track = track
    w.x.tunnel_kind = tunnel_kind
    w.x.port_mtu = port_mtu
