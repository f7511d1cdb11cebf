"""Transmission: a list of frames for each port, sent with one system call at the end of a burst.

A port whose device takes no offload gets whole checksums and segments.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from datapath.actions.executor cimport executor_charge
from datapath.actions.offload cimport segment
from datapath.base.drops cimport (
    DROP_BAD_OFFLOAD, DROP_NO_HEADROOM, DROP_NO_SUCH_PORT, DROP_PORT_DOWN,
)
from datapath.base.packet cimport (
    GSO_NONE, NO_OFFSET, PACKET_HEADROOM, VNET_NEEDS_CSUM, packet, packet_headroom, packet_init,
)
from datapath.netdev.netdev cimport BIG_SIZE, MAX_PORTS, VNET_SIZE, netdev, worker_port
from datapath.worker.join cimport begin_joining, finish_joining, join_segment, read_segment, tcp_segment
from datapath.worker.state cimport ARENA, COPY_LIMIT, FRAMES, NO_FRAME, add_ready, of_burst, worker

cdef extern from "<arpa/inet.h>" nogil:
    uint32_t ntohl(uint32_t)


cdef void output(void *owner, packet *p, uint32_t port) noexcept nogil:
    """Queues a frame for a port.

    What is of the burst and done with is sent from where it lies, at the burst's end; a small frame
    is copied; a large one is sent at once, as copying costs more.
    """
    cdef worker *w = <worker *> owner
    cdef netdev *dev = w.ports[port] if port < MAX_PORTS else NULL
    cdef packet scratch
    cdef int made
    if dev == NULL:
        w.ingress.drops[DROP_NO_SUCH_PORT] += 1
        return
    if dev.prioritizes and dev.worker_ports[w.id].tx_priority != p.skb_priority:
        if dev.worker_ports[w.id].tx_count:
            flush_frames(w)
        dev.worker_ports[w.id].tx_priority = p.skb_priority
    if leaves_as_it_is(p, dev):
        if dev.takes_offload and out_of_tunnel(w, p):
            queue_joined(w, dev, p)
        else:
            queue_frame(w, dev, p, w.x.last and of_burst(w, p))
        return
    w.segmenting = dev
    packet_init(&scratch, w.segment_buffer, BIG_SIZE, PACKET_HEADROOM, 0)
    made = segment(p, &scratch, queue_segment, w)
    if made < 0:
        w.ingress.drops[DROP_BAD_OFFLOAD] += 1
    else:
        executor_charge(&w.x, <uint32_t> made)


cdef inline bint leaves_as_it_is(const packet *p, const netdev *dev) noexcept nogil:
    """Nothing is left to do for the frame, or the port's device does it.  No device segments behind
    MPLS labels or an I-TAG."""
    if dev.takes_offload:
        return p.vnet.gso_type == GSO_NONE or p.l2_5 == NO_OFFSET
    return p.vnet.gso_type == GSO_NONE and not p.vnet.flags & VNET_NEEDS_CSUM


cdef void queue_segment(void *owner, packet *p) noexcept nogil:
    queue_frame(<worker *> owner, (<worker *> owner).segmenting, p, False)


cdef inline bint out_of_tunnel(worker *w, const packet *p) noexcept nogil:
    cdef uint32_t port = ntohl(p.in_port)
    return port < MAX_PORTS and w.ports[port] != NULL and w.ports[port].tunnel_kind


cdef void queue_joined(worker *w, netdev *dev, packet *p) noexcept nogil:
    cdef tcp_segment s
    if p.size > COPY_LIMIT - VNET_SIZE or not read_segment(dev, p, &s):
        queue_frame(w, dev, p, w.x.last and of_burst(w, p))
    elif not join_segment(w, dev, p, &s) and queue_frame(w, dev, p, False):
        begin_joining(w, dev, &s)


cdef bint queue_frame(worker *w, netdev *dev, packet *p, bint keep) noexcept nogil:
    """`keep`: its memory stays as it is.  True: it waits as the last thing in the arena."""
    cdef worker_port *port = &dev.worker_ports[w.id]
    cdef uint8_t *start = p.data - VNET_SIZE
    cdef uint32_t size = p.size + VNET_SIZE
    cdef bint copy = not keep and size <= COPY_LIMIT
    cdef uint32_t n
    if packet_headroom(p) < VNET_SIZE:
        w.ingress.drops[DROP_NO_HEADROOM] += 1
        return False
    if w.n_frames == FRAMES or (copy and w.arena_used + size > ARENA):
        flush_frames(w)
    if copy:
        start = w.arena + w.arena_used
        memcpy(start + VNET_SIZE, p.data, p.size)
        w.arena_used += (size + 15) & ~<uint32_t> 15
    # What stands in front of the frame is a header that was taken off, or the kernel's.
    memcpy(start, &p.vnet, VNET_SIZE)
    n = w.n_frames
    w.n_frames += 1
    w.frames[n].vector.iov_base = start
    w.frames[n].vector.iov_len = size
    w.frames[n].next = NO_FRAME
    if port.tx_count == 0:
        port.tx_first = n
        w.sending[w.n_sending] = dev
        w.n_sending += 1
    else:
        w.frames[port.tx_last].next = n
    port.tx_last = n
    port.tx_count += 1
    if not keep and not copy:
        flush_frames(w)
    return copy


cdef inline void look_for_answer(worker *w, netdev *dev) noexcept nogil:
    cdef uint32_t i
    for i in range(dev.n_queues):
        if dev.queues[i].owner == w.id and dev.queues[i].fd >= 0:
            add_ready(w, &dev.queues[i])


cdef void send_waiting(worker *w, netdev *dev) noexcept nogil:
    cdef worker_port *port = &dev.worker_ports[w.id]
    cdef uint32_t at = port.tx_first, n = 0
    while at != NO_FRAME:
        w.messages[n].msg_hdr.msg_iov = &w.frames[at].vector
        n += 1
        at = w.frames[at].next
    port.tx_count = 0
    w.n_sent += n
    w.n_sent_batches += 1
    if dev.dead:
        port.drops[DROP_PORT_DOWN] += n
        return
    dev.send(dev, w.messages, n, port)
    # The answer often lies there already: the kernel delivers within the system call.
    if w.n_sending <= ANSWERING:
        look_for_answer(w, dev)


cdef void flush_frames(worker *w) noexcept nogil:
    """Sends everything that waits; afterwards no memory of a frame is referred to."""
    cdef uint32_t i
    finish_joining(w)
    for i in range(w.n_sending):
        if not w.sending[i].into_stack:
            send_waiting(w, w.sending[i])
    for i in range(w.n_sending):
        if w.sending[i].into_stack:
            send_waiting(w, w.sending[i])
    w.n_sending = w.n_frames = w.arena_used = 0
