"""The down ring: records of vswitchd, each a flow to install, a packet to act on, or both.

A record that contradicts itself is counted (bad_action of no port), a flow that the table does
not take, too, and its packet is sent on all the same; the control thread writes it to the log.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from datapath.actions.execute cimport execute_actions
from datapath.actions.odp cimport MAX_ACTIONS, MAX_EXECUTED, check_run
from datapath.base.drops cimport DROP_BAD_ACTION
from datapath.base.packet cimport PACKET_HEADROOM, packet, packet_init
from datapath.bpf.offload cimport cache_forget
from datapath.ipc.ring cimport ring_peek, ring_release
from datapath.ipc.upcall cimport (
    DOWN_EXECUTE, DOWN_INSTALL, MAX_UPCALL_PACKET, down_record, padded,
)
from datapath.key.flow cimport KEY_DP_SIZE, flow_extract, flow_key, key_ct
from datapath.lookup.megaflow cimport megaflow, megaflow_find, megaflow_insert
from datapath.netdev.netdev cimport BIG_SIZE, MAX_PORTS, netdev
from datapath.worker.state cimport DOWN_BATCH, raise_alarm, worker
from datapath.worker.transmit cimport flush_frames

cdef extern from "<arpa/inet.h>" nogil:
    uint32_t ntohl(uint32_t)


cdef bint drain_down(worker *w) noexcept nogil:
    """Up to DOWN_BATCH records of vswitchd; true when there was one."""
    cdef uint32_t length, n = 0
    cdef const uint8_t *record
    while n < DOWN_BATCH:
        record = ring_peek(&w.down, &length)
        if record == NULL:
            break
        take_down(w, record, length)
        ring_release(&w.down)
        n += 1
    if w.down.broken and not w.broken:
        w.broken = True
        raise_alarm(w)
    if n:
        flush_frames(w)
    return n > 0


cdef void refuse(worker *w) noexcept nogil:
    w.no_port.drops[DROP_BAD_ACTION] += 1
    w.n_bad_records += 1
    raise_alarm(w)


cdef bint put_megaflow(worker *w, const uint8_t *ufid, const flow_key *key, const flow_key *mask,
                       const uint8_t *actions, uint32_t length, int *error) noexcept nogil:
    """megaflow_insert(), and the kernel goes by the flow's former actions no longer."""
    cdef megaflow *former
    if w.kernel.on:
        former = megaflow_find(&w.flows, ufid)
        if former != NULL:
            cache_forget(&w.kernel, former)
    return megaflow_insert(&w.flows, ufid, key, mask, actions, length, error) != NULL


cdef void take_down(worker *w, const uint8_t *at, uint32_t length) noexcept nogil:
    """One record: everything that is checked is copied first, for the other side can write."""
    cdef down_record record
    cdef flow_key key, mask
    cdef uint64_t need
    cdef int error = 0
    w.ingress = &w.no_port
    if length < sizeof(down_record) + KEY_DP_SIZE:
        refuse(w)
        return
    memcpy(&record, at, sizeof(down_record))
    at += sizeof(down_record)
    memset(&key, 0, sizeof(key))
    memcpy(&key, at, KEY_DP_SIZE)
    at += KEY_DP_SIZE
    need = sizeof(down_record) + KEY_DP_SIZE
    if record.what & DOWN_INSTALL:
        need += KEY_DP_SIZE
    if (record.actions_size > (MAX_ACTIONS if record.what & DOWN_INSTALL else MAX_EXECUTED) or record.packet_size > MAX_UPCALL_PACKET
            or need + padded(record.actions_size) + record.packet_size > length):
        refuse(w)
        return
    if record.what & DOWN_INSTALL:
        memset(&mask, 0, sizeof(mask))
        memcpy(&mask, at, KEY_DP_SIZE)
        at += KEY_DP_SIZE
    memcpy(w.down_actions, at, record.actions_size)
    if check_run(w.down_actions, record.actions_size, 0) != NULL:
        refuse(w)
        return
    if record.what & DOWN_INSTALL:
        if not put_megaflow(w, record.ufid, &key, &mask, w.down_actions, record.actions_size, &error):
            w.n_refused_flows += 1
            raise_alarm(w)
    if record.what & DOWN_EXECUTE:
        execute_down(w, &record, &key, at + padded(record.actions_size))


cdef void execute_down(worker *w, const down_record *record, flow_key *key,
                       const uint8_t *bytes) noexcept nogil:
    cdef packet p
    cdef netdev *dev
    packet_init(&p, w.down_packet, BIG_SIZE, PACKET_HEADROOM, record.packet_size)
    memcpy(p.data, bytes, record.packet_size)
    p.vnet = record.vnet
    p.in_port = key.in_port
    p.recirc_id = key.recirc_id
    p.skb_priority = key.skb_priority
    p.pkt_mark = key.pkt_mark
    p.dp_hash = key.dp_hash
    key_ct(key, &p.ct)
    p.packet_type = key.packet_type
    dev = w.ports[ntohl(key.in_port)] if ntohl(key.in_port) < MAX_PORTS else NULL
    w.cache.closed = dev != NULL and dev.not_exact
    if dev != NULL:
        w.ingress = &dev.worker_ports[w.id]
    w.now = 0
    flow_extract(&p, key)
    execute_actions(&w.x, &p, key, w.down_actions, record.actions_size)
