"""Upcalls: packets without a flow, or that a flow sends, go up a ring to vswitchd.

The ring is shared by the worker's ports by dynamic thresholds (Choudhury and Hahne, 1998): a port
may have as much waiting as is free, and an eighth of the ring at most.  However many flood, some
room is left for the first packets of the others, which wait behind a bounded number of theirs.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from datapath.base.drops cimport DROP_UPCALL_NO_HANDLER, DROP_UPCALL_QUEUE_FULL
from datapath.base.packet cimport packet
from datapath.ipc.doorbell cimport ring_doorbell
from datapath.ipc.ring cimport ring, ring_commit, ring_free, ring_must_wake, ring_reserve
from datapath.ipc.upcall cimport padded, upcall_record
from datapath.key.flow cimport KEY_DP_SIZE, flow_key
from datapath.netdev.netdev cimport worker_port
from datapath.worker.state cimport raise_alarm, worker

cdef enum:
    SHARES = 8                  # of the ring, of which a port has one at most


cdef inline bint within_share(ring *up, worker_port *port, uint32_t size) noexcept nogil:
    """Whether the port may have `size` more bytes in the ring.

    How much of its own waits there is known from two windows: when the reader has passed the
    beginning of the present one, nothing of the one before waits any more.
    """
    cdef uint32_t free = ring_free(up)
    cdef uint32_t waiting
    if up.tail == up.head or port.upcall_window > up.head:
        port.upcall_bytes = port.upcall_bytes_before = 0
        port.upcall_window = up.head
    elif up.tail >= port.upcall_window:
        port.upcall_bytes_before = port.upcall_bytes
        port.upcall_bytes = 0
        port.upcall_window = up.head
    waiting = port.upcall_bytes + port.upcall_bytes_before
    return waiting == 0 or waiting + size <= min(free, up.size // SHARES)


cdef void send_up(worker *w, packet *p, const flow_key *key, uint8_t type, uint32_t reason,
                  const uint8_t *userdata, uint32_t length) noexcept nogil:
    """Gives a packet to vswitchd; counts it as lost where there is none, or it is too slow."""
    cdef upcall_record *record
    cdef uint8_t *at = NULL
    cdef uint32_t size
    w.n_upcalls += 1
    if w.up.memory == NULL:
        w.n_lost += 1
        w.ingress.drops[DROP_UPCALL_NO_HANDLER] += 1
        return
    size = (<uint32_t> sizeof(upcall_record) + KEY_DP_SIZE + padded(length) + padded(p.size))
    if within_share(&w.up, w.ingress, size):
        at = ring_reserve(&w.up, size)
    if at == NULL:
        w.n_lost += 1
        w.ingress.drops[DROP_UPCALL_QUEUE_FULL] += 1
        if w.up.broken and not w.broken:
            w.broken = True
            raise_alarm(w)
        return
    w.ingress.upcall_bytes += size
    record = <upcall_record *> at
    record.type = type
    record.pad = 0
    record.reason = reason
    record.userdata_size = length
    record.packet_size = p.size
    record.vnet = p.vnet
    at += sizeof(upcall_record)
    memcpy(at, key, KEY_DP_SIZE)
    at += KEY_DP_SIZE
    if length:
        memcpy(at, userdata, length)
    memcpy(at + padded(length), p.data, p.size)
    ring_commit(&w.up)
    if ring_must_wake(&w.up):
        ring_doorbell(w.up_bell)
