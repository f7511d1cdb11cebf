"""The way of a packet: receive burst, extract, exact-match cache, megaflow table, actions, send.

`process_burst` is that way on one page.  A miss goes up by the ring to vswitchd, whose answer
(down ring) installs the megaflow and carries the packet on.  The rest of this file is the loop
that keeps a worker fed: ports with frames, the down ring, and commands of the control thread.
"""

import os
import threading

from libc.errno cimport EAGAIN, EINTR, EINVAL, ENOENT, ENOSPC, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memmove, memset
from posix.unistd cimport close, read, write

from datapath.base.clock cimport clock_ns, kernel_ns
from datapath.base.atomic cimport fence, load64, store64
from datapath.base.drops cimport *
from datapath.lookup.emc cimport emc_classify, emc_destroy, emc_init, emc_prepare
from datapath.actions.execute cimport execute_actions, executor_free, executor_init
from datapath.key.flow cimport KEY_DP_SIZE, KEY_PACKET_SIZE, KEY_SIZE, flow_extract, key_map
from datapath.lookup.megaflow cimport (
    megaflow_count, megaflow_expand, megaflow_find, megaflow_flush, megaflow_insert,
    megaflow_next, megaflow_remove, megaflow_table_destroy, megaflow_table_init,
)
from datapath.actions.meter cimport meter_verdict, meter_weigh
from datapath.netdev.netdev cimport BIG_BUFFERS, BIG_SIZE, MAX_PORTS, VNET_SIZE
from datapath.actions.odp cimport ACT_OUTPUT, MAX_ACTIONS, attr, check_run
from datapath.actions.offload cimport complete_checksum, segment
from datapath.base.packet cimport (
    GSO_NONE, NO_OFFSET, PACKET_HEADROOM, VNET_NEEDS_CSUM, packet_headroom, packet_init,
)
from datapath.ipc.ring cimport (
    ring_awake, ring_commit, ring_map, ring_must_wake, ring_peek, ring_release, ring_reserve,
    ring_sleep, ring_unmap, ring_used,
)
from datapath.ipc.upcall cimport *

cdef extern from "<arpa/inet.h>" nogil:
    uint32_t htonl(uint32_t)
    uint32_t ntohl(uint32_t)
    uint16_t ntohs(uint16_t)

cdef extern from "<sys/epoll.h>" nogil:
    union epoll_data:
        void *ptr
    struct epoll_event:
        uint32_t events
        epoll_data data
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int op, int fd, epoll_event *event)
    int epoll_wait(int epfd, epoll_event *events, int maxevents, int timeout)
    int EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL
    uint32_t EPOLLIN, EPOLLERR, EPOLLHUP

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void *) noexcept nogil

cdef enum:
    SPIN_MAX = 50000            # ns to look for frames before sleeping, where that has paid
    SPIN_MIN = 5000
    SHORT_SLEEP = 100000        # ns, with the burst that ended it: spinning would have spared it
    LOOK_ROUND = 8              # rounds between two looks at the ports that were quiet
    MIN_RECORD = 64             # bytes that a record of the down ring takes, at least
    PRUNE_ROUND = 64            # and before a port without frames counts as quiet
    ANSWERING = 4               # ports sent to at once, at most, that are expected to answer


cdef inline uint64_t time_of(worker *w) noexcept nogil:
    """The time of the burst: read when it is asked for first, for a sleeper's clock is slow."""
    if w.now == 0:
        w.now = clock_ns()
    return w.now


cdef inline void prefetch_lines(const void *start, size_t size) noexcept nogil:
    cdef size_t at
    for at in range(0, size, 64):
        prefetch(<const uint8_t *> start + at)


# --- the way of a packet

cdef void process_burst(worker *w, netdev *dev) noexcept nogil:
    """Everything for the frames of w.burst, received by `dev`."""
    cdef rx_burst *burst = &w.burst
    cdef packet *p
    cdef megaflow *f
    cdef uint32_t i
    w.now = 0
    if w.n_hits + burst.n > HITS:
        stamp_hits(w)
    w.n_bursts += 1
    w.burst_upcalls = 0
    w.n_packets += burst.n
    for i in range(burst.n):
        p = &burst.packets[i]
        p.in_port = dev.port_be
        emc_prepare(&w.cache, &w.prepared[i], &w.keys[i], flow_extract(p, &w.keys[i]))
    for i in range(burst.n):
        p = &burst.packets[i]
        f = emc_classify(&w.cache, &w.flows, &w.prepared[i], &w.keys[i])
        if f == NULL:
            send_up(w, p, &w.keys[i], UPCALL_MISS, 0, NULL, 0)
        else:
            megaflow_count(f, p.size, w.keys[i].tcp_flags)
            w.hits[w.n_hits] = f
            w.n_hits += 1
            act(w, p, &w.keys[i], f.actions, f.actions_len)
    flush_frames(w)


cdef void stamp_hits(worker *w) noexcept nogil:
    """Notes when flows were used: after the frames are out, and before any flow may go."""
    cdef uint32_t i
    if w.n_hits:
        w.now = clock_ns()
        for i in range(w.n_hits):
            w.hits[i].used = w.now
        w.n_hits = 0


cdef inline void act(worker *w, packet *p, flow_key *key, const uint8_t *actions,
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


cdef void dropped(void *owner, uint32_t reason) noexcept nogil:
    (<worker *> owner).side.drops[reason] += 1


cdef meter_verdict weigh(void *owner, uint32_t meter, uint32_t n_packets,
                         uint32_t n_bytes) noexcept nogil:
    cdef worker *w = <worker *> owner
    return meter_weigh(w.meters, meter, n_packets, n_bytes, time_of(w))


# --- up

cdef void userspace(void *owner, packet *p, const flow_key *key, uint32_t reason,
                    const uint8_t *userdata, uint32_t length) noexcept nogil:
    send_up(<worker *> owner, p, key, UPCALL_ACTION, reason, userdata, length)


cdef void send_up(worker *w, packet *p, const flow_key *key, uint8_t type, uint32_t reason,
                  const uint8_t *userdata, uint32_t length) noexcept nogil:
    """Gives a packet to vswitchd; counts it as lost where there is none, or it is too slow."""
    cdef upcall_record *record
    cdef uint8_t *at = NULL
    w.n_upcalls += 1
    if w.up.memory == NULL:
        w.n_lost += 1
        w.side.drops[DROP_UPCALL_NO_HANDLER] += 1
        return
    # A ring that fills up is for everybody: one packet of each burst, so that a port that floods
    # does not keep the others' few packets out.
    if w.burst_upcalls == 0 or ring_used(&w.up) < w.up.size // 2:
        at = ring_reserve(&w.up, <uint32_t> sizeof(upcall_record) + KEY_DP_SIZE + padded(length)
                          + padded(p.size))
    w.burst_upcalls += 1
    if at == NULL:
        w.n_lost += 1
        w.side.drops[DROP_UPCALL_QUEUE_FULL] += 1
        return
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
    memcpy(at, userdata, length)
    memcpy(at + padded(length), p.data, p.size)
    ring_commit(&w.up)
    if ring_must_wake(&w.up):
        signal_event(w.up_event)


cdef inline void signal_event(int fd) noexcept nogil:
    cdef uint64_t one = 1
    write(fd, &one, 8)


cdef inline void clear_event(int fd) noexcept nogil:
    cdef uint64_t count
    read(fd, &count, 8)


# --- transmission

cdef void output(void *owner, packet *p, uint32_t port) noexcept nogil:
    """Queues a frame for a port.

    What lies in a receive slot and stays unchanged (w.keep) is sent from there at the end of
    the burst; a small frame is copied; a large one is sent at once, as copying costs more.
    """
    cdef worker *w = <worker *> owner
    cdef netdev *dev = w.ports[port] if port < MAX_PORTS else NULL
    cdef packet scratch
    if dev == NULL:
        w.side.drops[DROP_NO_SUCH_PORT] += 1
        return
    if leaves_as_it_is(p, dev):
        queue_frame(w, dev, p, w.keep)
        return
    w.segmenting = dev
    packet_init(&scratch, w.segment_buffer, BIG_SIZE, PACKET_HEADROOM, 0)
    if segment(p, &scratch, queue_segment, w) < 0:
        w.side.drops[DROP_BAD_OFFLOAD] += 1


cdef inline bint leaves_as_it_is(const packet *p, const netdev *dev) noexcept nogil:
    """Nothing is left to do for the frame, or the port's device does it.  No device segments behind
    MPLS labels or an I-TAG."""
    if dev.takes_offload:
        return p.vnet.gso_type == GSO_NONE or p.l2_5 == NO_OFFSET
    return p.vnet.gso_type == GSO_NONE and not p.vnet.flags & VNET_NEEDS_CSUM


cdef void queue_segment(void *owner, packet *p) noexcept nogil:
    queue_frame(<worker *> owner, (<worker *> owner).segmenting, p, False)


cdef void queue_frame(worker *w, netdev *dev, packet *p, bint keep) noexcept nogil:
    cdef netdev_side *side = &dev.sides[w.id]
    cdef uint8_t *start = p.data - VNET_SIZE
    cdef uint32_t size = p.size + VNET_SIZE
    cdef uint32_t n
    if packet_headroom(p) < VNET_SIZE:
        w.side.drops[DROP_NO_HEADROOM] += 1
        return
    if w.n_frames == FRAMES or (not keep and size <= COPY_LIMIT and w.arena_used + size > ARENA):
        flush_frames(w)
    if not keep and size <= COPY_LIMIT:
        start = w.arena + w.arena_used
        memcpy(start + VNET_SIZE, p.data, p.size)
        w.arena_used += (size + 15) & ~<uint32_t> 15
        keep = True
    # What stands in front of the frame is a header that was taken off, or the kernel's.
    memcpy(start, &p.vnet, VNET_SIZE)
    n = w.n_frames
    w.n_frames += 1
    w.frames[n].vector.iov_base = start
    w.frames[n].vector.iov_len = size
    w.frames[n].next = NO_FRAME
    if side.tx_count == 0:
        side.tx_first = n
        w.sending[w.n_sending] = dev
        w.n_sending += 1
    else:
        w.frames[side.tx_last].next = n
    side.tx_last = n
    side.tx_count += 1
    if not keep:
        flush_frames(w)


cdef void flush_frames(worker *w) noexcept nogil:
    """Sends everything that waits; afterwards no memory of a frame is referred to."""
    cdef netdev *dev
    cdef netdev_side *side
    cdef uint32_t i, at, n
    for i in range(w.n_sending):
        dev = w.sending[i]
        side = &dev.sides[w.id]
        at = side.tx_first
        n = 0
        while at != NO_FRAME:
            w.messages[n].msg_hdr.msg_iov = &w.frames[at].vector
            n += 1
            at = w.frames[at].next
        side.tx_count = 0
        if dev.dead:
            side.drops[DROP_PORT_DOWN] += n
        else:
            dev.send(dev, w.messages, n, side)
            # The answer often lies there already: the kernel delivers within the system call.
            if w.n_sending <= ANSWERING and dev.owner == w.id and dev.rx_fd >= 0:
                add_hot(w, dev)
    w.n_sending = w.n_frames = w.arena_used = 0


# --- down

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
    if n:
        flush_frames(w)
    return n > 0


cdef void take_down(worker *w, const uint8_t *at, uint32_t length) noexcept nogil:
    """One record: everything that is checked is copied first, for the other side can write."""
    cdef down_record record
    cdef flow_key key, mask
    cdef uint64_t need
    cdef int error = 0
    w.side = &w.nowhere
    if length < sizeof(down_record) + KEY_DP_SIZE:
        w.nowhere.drops[DROP_BAD_ACTION] += 1
        return
    memcpy(&record, at, sizeof(down_record))
    at += sizeof(down_record)
    memset(&key, 0, sizeof(key))
    memcpy(&key, at, KEY_DP_SIZE)
    at += KEY_DP_SIZE
    need = sizeof(down_record) + KEY_DP_SIZE
    if record.what & DOWN_INSTALL:
        need += KEY_DP_SIZE
    if (record.actions_size > MAX_ACTIONS or record.packet_size > MAX_UPCALL_PACKET
            or need + padded(record.actions_size) + record.packet_size > length):
        w.nowhere.drops[DROP_BAD_ACTION] += 1
        return
    if record.what & DOWN_INSTALL:
        memset(&mask, 0, sizeof(mask))
        memcpy(&mask, at, KEY_DP_SIZE)
        at += KEY_DP_SIZE
    memcpy(w.down_actions, at, record.actions_size)
    if check_run(w.down_actions, record.actions_size, 0) != NULL:
        w.nowhere.drops[DROP_BAD_ACTION] += 1
        return
    if record.what & DOWN_INSTALL:
        megaflow_insert(&w.flows, record.ufid, &key, &mask, w.down_actions, record.actions_size,
                        &error)
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
    dev = w.ports[ntohl(key.in_port)] if ntohl(key.in_port) < MAX_PORTS else NULL
    if dev != NULL:
        w.side = &dev.sides[w.id]
    w.now = 0
    flow_extract(&p, key)
    execute_actions(&w.x, &p, key, w.down_actions, record.actions_size)


# --- ports

cdef void add_hot(worker *w, netdev *dev) noexcept nogil:
    if not dev.hot:
        dev.hot = True
        w.hot[w.n_hot] = dev
        w.n_hot += 1


cdef void remove_hot(worker *w, uint32_t i) noexcept nogil:
    w.hot[i].hot = False
    w.n_hot -= 1
    w.hot[i] = w.hot[w.n_hot]


cdef bint poll_hot(worker *w, bint prune) noexcept nogil:
    """One burst from each port that may have frames; true when there was a frame.

    `prune`: ports without one leave the list; look() brings them back.
    """
    cdef uint32_t i = w.n_hot
    cdef netdev *dev
    cdef bint any_frames = False
    while i > 0:
        i -= 1
        dev = w.hot[i]
        w.side = &dev.sides[w.id]
        w.burst.n = w.burst.big_used = 0
        if dev.receive(dev, &w.burst, w.side):
            any_frames = True
            if w.burst.n:
                process_burst(w, dev)
            dev.release(dev)
        elif prune:
            remove_hot(w, i)
            continue
        if dev.dead:
            epoll_ctl(w.epoll_fd, EPOLL_CTL_DEL, dev.rx_fd, NULL)
            remove_hot(w, i)
    return any_frames


cdef void look(worker *w, int timeout) noexcept nogil:
    """Ask the kernel which ports have frames; sleeps up to `timeout` ms, -1: until there are."""
    cdef epoll_event events[EVENTS]
    cdef netdev *dev
    cdef int i
    cdef int n = epoll_wait(w.epoll_fd, events, EVENTS, timeout)
    for i in range(n):
        dev = <netdev *> events[i].data.ptr
        if dev == NULL:
            clear_event(w.wake_fd)
            continue
        if events[i].events & (EPOLLERR | EPOLLHUP):
            dev.link_error(dev)
            if dev.dead:
                epoll_ctl(w.epoll_fd, EPOLL_CTL_DEL, dev.rx_fd, NULL)
                continue
        add_hot(w, dev)


cdef void warm_up(worker *w) noexcept nogil:
    """Fetch into the CPU's cache, all at once, what a frame touches on its way one by one.

    A worker that wakes finds the caches cold: of a round trip of 100 us it waited 10 for memory.
    """
    cdef uint32_t i
    cdef netdev *dev
    prefetch_lines(w.keys, sizeof(flow_key))
    prefetch_lines(w.prepared, sizeof(emc_key))
    prefetch_lines(&w.burst, 128)
    prefetch_lines(w.frames, 64)
    prefetch_lines(w.messages, 64)
    prefetch_lines(w.ports, 64)
    prefetch_lines(w.sending, 64)
    for i in range(min(w.n_hot, ANSWERING)):
        dev = w.hot[i]
        prefetch_lines(dev.private, 64)
        prefetch_lines(&dev.sides[w.id], sizeof(netdev_side))


# --- the loop

cdef void cool(worker *w) noexcept nogil:
    while w.n_hot:
        remove_hot(w, w.n_hot - 1)


cdef void adapt_spin(worker *w, uint64_t slept) noexcept nogil:
    """Spin longer after a short sleep, and shorter after another."""
    if slept >= SHORT_SLEEP:
        w.spin = w.spin // 2 if w.spin > SPIN_MIN else 0
    elif w.spin < SPIN_MAX:
        w.spin = w.spin * 2 if w.spin else SPIN_MIN


cdef void sleep_till_frames(worker *w) noexcept nogil:
    cdef uint64_t since
    cool(w)
    if ring_sleep(&w.down) and not load64(&w.mailbox):
        w.n_sleeps += 1
        since = kernel_ns()
        look(w, -1)
        warm_up(w)
        # Frames first, and their answers: the ring's memory, and the clock, are far away
        # after a sleep.
        if poll_hot(w, False):
            poll_hot(w, False)
            stamp_hits(w)
        adapt_spin(w, kernel_ns() - since)
    ring_awake(&w.down)


cdef void run_worker(worker *w) noexcept nogil:
    """Until COMMAND_STOP.  A worker with nothing to do for w.spin sleeps in epoll_wait()."""
    cdef uint32_t rounds = 0
    cdef uint64_t idle_since = 0
    cdef bint busy
    w.running = True
    while w.running:
        if load64(&w.mailbox):
            obey(w)
            continue            # it may have been the last one
        busy = drain_down(w)
        if poll_hot(w, rounds % PRUNE_ROUND == 0):
            busy = True
            stamp_hits(w)
        rounds += 1
        if rounds % LOOK_ROUND == 0:
            look(w, 0)
        if busy:
            idle_since = 0
        elif idle_since == 0:
            idle_since = kernel_ns()
            if w.spin:
                sched_yield()       # to whom the last frames woke, perhaps on this very CPU
        elif kernel_ns() - idle_since >= w.spin:
            sleep_till_frames(w)
            idle_since = 0


# --- commands

cdef void obey(worker *w) noexcept nogil:
    cdef command *c = <command *> load64(&w.mailbox)
    c.error = 0
    w.side = &w.nowhere
    if c.kind == COMMAND_STOP:
        w.running = False
    elif c.kind == COMMAND_PORT_ADD:
        c.error = port_add(w, c.dev)
    elif c.kind == COMMAND_PORT_DEL:
        port_del(w, c.dev)
    elif c.kind == COMMAND_FLOW_PUT:
        megaflow_insert(&w.flows, c.ufid, c.key, c.mask, c.actions, c.actions_size, &c.error)
    elif c.kind == COMMAND_FLOW_GET or c.kind == COMMAND_FLOW_DEL:
        flow_get(w, c)
    elif c.kind == COMMAND_FLOW_FLUSH:
        megaflow_flush(&w.flows)
    elif c.kind == COMMAND_FLOW_DUMP:
        flow_dump(w, c)
    elif c.kind == COMMAND_FLOW_ADD:
        flow_add(w, c)
    elif c.kind == COMMAND_SYNC:
        sync(w)
    elif c.kind == COMMAND_EXECUTE:
        execute(w, c)
    elif c.kind == COMMAND_INJECT:
        inject(w, c)
    elif c.kind == COMMAND_RINGS:
        c.error = attach_rings(w, c)
    store64(&w.mailbox, 0)
    signal_event(w.done_fd)


cdef int port_add(worker *w, netdev *dev) noexcept nogil:
    cdef epoll_event event
    if dev.owner == w.id and dev.rx_fd >= 0:
        event.events = EPOLLIN
        event.data.ptr = dev
        if epoll_ctl(w.epoll_fd, EPOLL_CTL_ADD, dev.rx_fd, &event) < 0:
            return errno
        add_hot(w, dev)
    w.ports[dev.port_no] = dev
    return 0


cdef void port_del(worker *w, netdev *dev) noexcept nogil:
    cdef uint32_t i
    w.ports[dev.port_no] = NULL
    if dev.owner != w.id:
        return
    if dev.rx_fd >= 0:
        epoll_ctl(w.epoll_fd, EPOLL_CTL_DEL, dev.rx_fd, NULL)
    for i in range(w.n_hot):
        if w.hot[i] == dev:
            remove_hot(w, i)
            return


cdef void sync(worker *w) noexcept nogil:
    """Does what has arrived by now: all of the down ring, and a burst of each port."""
    cdef uint32_t n
    for n in range(w.down.size // (DOWN_BATCH * MIN_RECORD) + 1):
        if not drain_down(w):
            break
    look(w, 0)
    poll_hot(w, False)
    stamp_hits(w)


cdef bint put_flow(command *c, const megaflow *f) noexcept nogil:
    """Writes a flow into the command's buffer; false where it does not fit."""
    cdef flow_record *record = <flow_record *> (c.buffer + c.used)
    cdef flow_key *keys = <flow_key *> (c.buffer + c.used + sizeof(flow_record))
    cdef flow_key key, mask
    cdef uint32_t size = sizeof(flow_record)
    if c.keys:
        size += 2 * KEY_DP_SIZE + padded(f.actions_len)
    if c.used + size > c.room:
        return False
    memcpy(record.ufid, f.ufid, 16)
    record.n_packets = f.n_packets
    record.n_bytes = f.n_bytes
    record.used = f.used // 1000000
    record.earlier_packets = f.earlier_packets
    record.earlier_bytes = f.earlier_bytes
    record.tcp_flags = ntohs(f.tcp_flags)
    record.pad = 0
    record.actions_size = f.actions_len if c.keys else 0
    if c.keys:
        megaflow_expand(f, &key, &mask)
        memcpy(keys, &key, KEY_DP_SIZE)
        memcpy(<uint8_t *> keys + KEY_DP_SIZE, &mask, KEY_DP_SIZE)
        memcpy(<uint8_t *> keys + 2 * KEY_DP_SIZE, f.actions, f.actions_len)
    c.used += size
    return True


cdef void flow_get(worker *w, command *c) noexcept nogil:
    cdef megaflow *f = megaflow_find(&w.flows, c.ufid)
    if f == NULL:
        c.error = ENOENT
        return
    if c.buffer != NULL and not put_flow(c, f):
        c.error = ENOSPC
        return
    if c.kind == COMMAND_FLOW_DEL:
        megaflow_remove(&w.flows, f)


cdef void flow_dump(worker *w, command *c) noexcept nogil:
    """As many flows as fit into the buffer; the next command goes on behind them."""
    cdef uint32_t cursor = c.cursor
    cdef uint32_t i
    cdef megaflow *f
    for i in range(DUMP_SCAN):
        f = megaflow_next(&w.flows, &cursor)
        if f == NULL:
            c.cursor = NO_FRAME
            return
        if f.used // 1000000 >= c.since and not put_flow(c, f):
            return
        c.cursor = cursor


cdef inline uint32_t record_size(const command *c, const flow_record *record) noexcept nogil:
    return (<uint32_t> sizeof(flow_record)
            + (2 * KEY_DP_SIZE + padded(record.actions_size) if c.keys else 0))


cdef void flow_add(worker *w, command *c) noexcept nogil:
    """Adds this worker's counters to the flows in the buffer, or takes those that it has out."""
    cdef uint32_t at = 0, end = c.used, size
    cdef flow_record *record
    cdef megaflow *f
    c.used = 0
    while at < end:
        record = <flow_record *> (c.buffer + at)
        size = record_size(c, record)
        f = megaflow_find(&w.flows, record.ufid)
        if f != NULL and not c.drop_known:
            record.n_packets += f.n_packets
            record.n_bytes += f.n_bytes
            record.used = max(record.used, f.used // 1000000)
            record.earlier_packets += f.earlier_packets
            record.earlier_bytes += f.earlier_bytes
            record.tcp_flags |= ntohs(f.tcp_flags)
        if f == NULL or not c.drop_known:
            memmove(c.buffer + c.used, c.buffer + at, size)
            c.used += size
        at += size


cdef void execute(worker *w, command *c) noexcept nogil:
    cdef flow_key key
    memset(&key, 0, sizeof(key))
    w.now = 0
    flow_extract(c.p, &key)
    execute_actions(&w.x, c.p, &key, c.actions, c.actions_size)
    flush_frames(w)


cdef void inject(worker *w, command *c) noexcept nogil:
    """A frame as if the port had received it."""
    w.side = &c.dev.sides[w.id]
    w.side.rx_packets += 1
    w.side.rx_bytes += c.p.size
    w.burst.n = 1
    w.burst.packets[0] = c.p[0]
    process_burst(w, c.dev)
    stamp_hits(w)


cdef int attach_rings(worker *w, command *c) noexcept nogil:
    ring_unmap(&w.up)
    ring_unmap(&w.down)
    if w.up_event >= 0:
        close(w.up_event)
    w.up_event = c.up_event
    if c.up_fd < 0:
        return 0
    if ring_map(&w.up, c.up_fd) < 0 or ring_map(&w.down, c.down_fd) < 0:
        ring_unmap(&w.up)
        ring_unmap(&w.down)
        return errno
    return 0


# --- as the control thread has it

cdef class Worker:
    """A worker and its thread.  start() it; stop() it before its ports are closed."""

    def __cinit__(self, uint32_t id):
        cdef uint32_t i
        cdef worker *w = &self.w
        memset(w, 0, sizeof(worker))
        w.id = id
        w.epoll_fd = w.wake_fd = w.done_fd = w.up_event = -1
        w.ports = <netdev **> calloc(MAX_PORTS, sizeof(netdev *))
        w.hot = <netdev **> calloc(MAX_PORTS, sizeof(netdev *))
        w.sending = <netdev **> calloc(FRAMES, sizeof(netdev *))
        w.burst.big = <uint8_t *> malloc(<size_t> BIG_BUFFERS * BIG_SIZE)
        w.arena = <uint8_t *> malloc(ARENA)
        w.segment_buffer = <uint8_t *> malloc(BIG_SIZE)
        w.down_packet = <uint8_t *> malloc(BIG_SIZE)
        w.down_actions = <uint8_t *> malloc(MAX_ACTIONS + 8)
        executor_init(&w.x)
        if (w.ports == NULL or w.hot == NULL or w.sending == NULL or w.burst.big == NULL
                or w.arena == NULL or w.segment_buffer == NULL or w.down_packet == NULL
                or w.down_actions == NULL or megaflow_table_init(&w.flows) < 0
                or emc_init(&w.cache) < 0):
            raise MemoryError()
        w.x.owner = w
        w.x.output = output
        w.x.userspace = userspace
        w.x.recirculate = recirculate
        w.x.dropped = dropped
        w.x.meter = weigh
        w.side = &w.nowhere
        for i in range(FRAMES):
            w.messages[i].msg_hdr.msg_iovlen = 1

    def __init__(self, id):
        cdef epoll_event event
        self.w.wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.w.done_fd = os.eventfd(0, os.EFD_CLOEXEC)
        self.w.epoll_fd = epoll_create1(EPOLL_CLOEXEC)
        if self.w.epoll_fd < 0:
            raise OSError(errno, os.strerror(errno))
        event.events = EPOLLIN
        event.data.ptr = NULL
        if epoll_ctl(self.w.epoll_fd, EPOLL_CTL_ADD, self.w.wake_fd, &event) < 0:
            raise OSError(errno, os.strerror(errno))

    def __dealloc__(self):
        cdef worker *w = &self.w
        for fd in (w.epoll_fd, w.wake_fd, w.done_fd, w.up_event):
            if fd >= 0:
                close(fd)
        ring_unmap(&w.up)
        ring_unmap(&w.down)
        executor_free(&w.x)
        emc_destroy(&w.cache)
        megaflow_table_destroy(&w.flows)
        free(w.ports)
        free(w.hot)
        free(w.sending)
        free(w.burst.big)
        free(w.arena)
        free(w.segment_buffer)
        free(w.down_packet)
        free(w.down_actions)

    @property
    def id(self):
        return self.w.id

    @property
    def wake_fd(self):
        """The eventfd that vswitchd writes after it put a record into a sleeping down ring."""
        return self.w.wake_fd

    def start(self):
        """Run the thread; after the process forked for the last time."""
        self.thread = threading.Thread(target=self._run, name=f"worker{self.w.id}", daemon=True)
        self.thread.start()

    def _run(self):
        with nogil:
            run_worker(&self.w)

    def stop(self):
        """End the thread.  Idempotent."""
        cdef command c
        if self.thread is not None:
            memset(&c, 0, sizeof(c))
            c.kind = COMMAND_STOP
            self.run_command(&c)
            self.thread.join()
            self.thread = None

    cdef int run_command(self, command *c) except -1:
        """Have the worker do `c`, and wait for it.  c.error is the result."""
        cdef uint64_t count
        if self.thread is None:
            raise RuntimeError("the worker does not run")
        with nogil:
            store64(&self.w.mailbox, <uint64_t> <size_t> c)
            fence()
            signal_event(self.w.wake_fd)
            while read(self.w.done_fd, &count, 8) < 0 and errno == EINTR:
                pass
        return 0

    def stats(self):
        """Counters since the start, {name: count}."""
        cdef worker *w = &self.w
        return {
            "packets": w.n_packets,
            "bursts": w.n_bursts,
            "emc_hits": w.cache.hits,
            "megaflow_hits": w.flows.found,
            "misses": w.flows.lookups - w.flows.found,
            "masks_probed": w.flows.probed,
            "upcalls": w.n_upcalls,
            "lost": w.n_lost,
            "recirculations": w.n_recirculations,
            "sleeps": w.n_sleeps,
            "flows": w.flows.n_flows,
            "masks": w.flows.n_subs,
        }

    def drops(self):
        """Discards of packets that came from no port, {name: count}."""
        from datapath.base import drops

        counts = {drops.NAMES[i]: self.w.nowhere.drops[i] for i in range(DROP_REASONS)}
        return {name: count for name, count in counts.items() if count}
