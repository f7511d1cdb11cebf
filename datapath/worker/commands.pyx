"""Commands of the control thread, one at a time, between two bursts."""

from libc.errno cimport ENOENT, ENOMEM, ENOSPC, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset
from posix.unistd cimport close

from datapath.actions.execute cimport execute_actions
from datapath.base.atomic cimport load64, store64
from datapath.base.cycles cimport cycles
from datapath.bpf.offload cimport (
    cache_collect, cache_forget, cache_forget_port, cache_start, cache_stop,
)
from datapath.ipc.flow_records cimport flow_record
from datapath.ipc.ring cimport ring_map, ring_unmap
from datapath.ipc.upcall cimport padded
from datapath.conntrack.fragments cimport frag_list
from datapath.key.flow cimport KEY_DP_SIZE, flow_extract, flow_key
from datapath.lookup.emc cimport emc_tune
from datapath.lookup.megaflow cimport (
    megaflow, megaflow_expand, megaflow_find, megaflow_next, megaflow_remove, megaflow_skip, megaflow_use,
)
from datapath.netdev.netdev cimport netdev, rxq
from datapath.worker.down cimport drain_down, put_megaflow
from datapath.worker.epoll cimport *
from datapath.worker.forward cimport process_burst, stamp_hits
from datapath.worker.perf cimport perf_clear
from datapath.worker.ports cimport look, poll_ready
from datapath.worker.state cimport *
from datapath.worker.transmit cimport flush_frames

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t ntohs(uint16_t)
    uint16_t htons(uint16_t)

cdef enum:
    MIN_RECORD = 64             # bytes that a record of the down ring takes, at least


cdef void do_command(worker *w) noexcept nogil:
    cdef command *c = <command *> load64(&w.mailbox)
    c.error = 0
    if c.synced:
        sync(w)
    w.ingress = &w.no_port
    if c.kind == COMMAND_STOP:
        w.running = False
    elif c.kind == COMMAND_PORT_ADD:
        c.error = port_add(w, c.dev)
    elif c.kind == COMMAND_PORT_DEL:
        port_del(w, c.dev)
    elif c.kind == COMMAND_QUEUE_TAKE:
        c.error = queue_take(w, c.queue)
    elif c.kind == COMMAND_QUEUE_LEAVE:
        queue_leave(w, c.queue)
    elif c.kind == COMMAND_FLOW_PUT:
        put_megaflow(w, c.ufid, c.key, c.mask, c.actions, c.actions_size, &c.error)
    elif c.kind == COMMAND_FLOW_GET or c.kind == COMMAND_FLOW_DEL:
        flow_get(w, c)
    elif c.kind == COMMAND_FLOW_DEL_MANY:
        flow_del_many(w, c)
    elif c.kind == COMMAND_FLOW_FLUSH:
        flow_flush(w, c)
    elif c.kind == COMMAND_FLOW_DUMP:
        flow_dump(w, c)
    elif c.kind == COMMAND_FLOW_ADD:
        flow_add(w, c)
    elif c.kind == COMMAND_FLOW_CREDIT:
        flow_credit(w, c)
    elif c.kind == COMMAND_SYNC:
        sync(w)
    elif c.kind == COMMAND_CACHE:
        set_cache(w, c)
    elif c.kind == COMMAND_CACHE_PORT:
        cache_forget_port(&w.kernel, c.dev)
    elif c.kind == COMMAND_EXECUTE:
        execute(w, c)
    elif c.kind == COMMAND_FRAGMENTS:
        c.n_waiting = frag_list(&w.fragments, c.waiting)
    elif c.kind == COMMAND_TUNE:
        c.error = ENOMEM if emc_tune(&w.cache, c.inverse, c.signatures) < 0 else 0
    elif c.kind == COMMAND_PERF:
        w.perf, c.perf = c.perf, w.perf
    elif c.kind == COMMAND_PERF_COPY:
        if w.perf != NULL:
            c.perf[0] = w.perf[0]
    elif c.kind == COMMAND_PERF_CLEAR:
        if w.perf != NULL:
            perf_clear(w.perf)
    elif c.kind == COMMAND_PERF_LOG:
        if w.perf != NULL:
            w.perf.log = c.log
    elif c.kind == COMMAND_INJECT:
        begin_round(w)
        inject(w, c)
        end_round(w, True)
    elif c.kind == COMMAND_RINGS:
        c.error = attach_rings(w, c)
    elif c.kind == COMMAND_HANDLER_GONE:
        ring_unmap(&w.down)
    store64(&w.mailbox, 0)
    signal_event(w.done_fd)


cdef int port_add(worker *w, netdev *dev) noexcept nogil:
    w.ports[dev.port_no] = dev
    return 0


cdef void port_del(worker *w, netdev *dev) noexcept nogil:
    cache_forget_port(&w.kernel, dev)
    w.ports[dev.port_no] = NULL


cdef int queue_take(worker *w, rxq *q) noexcept nogil:
    cdef epoll_event event
    if q.fd >= 0:
        event.events = EPOLLIN
        event.data.ptr = q
        if epoll_ctl(w.epoll_fd, EPOLL_CTL_ADD, q.fd, &event) < 0:
            return errno
        add_ready(w, q)
    q.owner = w.id
    return 0


cdef void queue_leave(worker *w, rxq *q) noexcept nogil:
    """Between two bursts, so that nobody holds frames of the queue."""
    cdef uint32_t i
    q.owner = <uint32_t> NO_WORKER
    if q.fd >= 0:
        epoll_ctl(w.epoll_fd, EPOLL_CTL_DEL, q.fd, NULL)
    for i in range(w.n_ready):
        if w.ready[i] == q:
            remove_ready(w, i)
            return


cdef void sync(worker *w) noexcept nogil:
    """Does what has arrived by now: all of the down ring, and a burst of each port."""
    cdef uint32_t n
    for n in range(w.down.size // (DOWN_BATCH * MIN_RECORD) + 1):
        if not drain_down(w):
            break
    look(w, 0)
    poll_ready(w, False)
    stamp_hits(w)
    cache_collect(&w.kernel)


cdef void set_cache(worker *w, command *c) noexcept nogil:
    """Ends the kernel cache that there is; c.cache has the maps of the next one."""
    cache_stop(&w.kernel)
    if c.cache != NULL:
        c.error = cache_start(&w.kernel, w.id, c.cache)


# --- flows

cdef inline uint32_t record_size(const command *c, uint32_t actions_size) noexcept nogil:
    return (<uint32_t> sizeof(flow_record) + (2 * KEY_DP_SIZE if c.keys else 0)
            + padded(actions_size))


cdef bint put_flow(command *c, const megaflow *f) noexcept nogil:
    """Writes a flow into the command's buffer; false where it does not fit."""
    cdef flow_record *record = <flow_record *> (c.buffer + c.used)
    cdef uint8_t *rest = c.buffer + c.used + sizeof(flow_record)
    cdef flow_key key, mask
    cdef uint32_t actions_size = f.actions_len if c.with_actions else 0
    cdef uint32_t size = record_size(c, actions_size)
    if c.used + size > c.room:
        return False
    memcpy(record.ufid, f.ufid, 16)
    record.n_packets = f.n_packets
    record.n_bytes = f.n_bytes
    record.used = f.used // 1000000
    record.earlier_packets = f.earlier_packets
    record.earlier_bytes = f.earlier_bytes
    record.tcp_flags = ntohs(f.tcp_flags)
    record.offloaded = f.kernel_slot != 0
    record.actions_size = actions_size
    if c.keys:
        megaflow_expand(f, &key, &mask)
        memcpy(rest, &key, KEY_DP_SIZE)
        memcpy(rest + KEY_DP_SIZE, &mask, KEY_DP_SIZE)
        rest += 2 * KEY_DP_SIZE
    if actions_size:
        memcpy(rest, f.actions, actions_size)
    c.used += size
    return True


cdef void flow_get(worker *w, command *c) noexcept nogil:
    cdef megaflow *f = megaflow_find(&w.flows, c.ufid)
    if f == NULL:
        c.error = ENOENT
        return
    if c.kind == COMMAND_FLOW_DEL:
        cache_forget(&w.kernel, f)
    if c.buffer != NULL and not put_flow(c, f):
        c.error = ENOSPC
        return
    if c.kind == COMMAND_FLOW_DEL:
        megaflow_remove(&w.flows, f)


cdef void flow_del_many(worker *w, command *c) noexcept nogil:
    """Those that are there, with a record of each."""
    cdef megaflow *f
    cdef uint32_t i
    for i in range(c.n_ufids):
        f = megaflow_find(&w.flows, c.ufid + 16 * i)
        if f == NULL:
            continue
        cache_forget(&w.kernel, f)
        if not put_flow(c, f):
            c.error = ENOSPC
            return
        megaflow_remove(&w.flows, f)


cdef void flow_flush(worker *w, command *c) noexcept nogil:
    """Removes some flows; the next command goes on."""
    cdef megaflow *f
    cdef uint32_t i
    for i in range(FLUSH_PIECE):
        f = megaflow_next(&w.flows, &c.cursor)
        if f == NULL:
            c.cursor = CURSOR_END
            return
        cache_forget(&w.kernel, f)
        megaflow_remove(&w.flows, f)


cdef void flow_dump(worker *w, command *c) noexcept nogil:
    """As many flows as fit into the buffer; the next command goes on behind them."""
    cdef uint32_t cursor = c.cursor
    cdef uint32_t i, n = 0
    cdef megaflow *f
    for i in range(DUMP_SCAN):
        cursor = megaflow_skip(&w.flows, cursor, c.since * 1000000)
        f = megaflow_next(&w.flows, &cursor)
        if f == NULL:
            c.cursor = CURSOR_END
            return
        if f.used // 1000000 >= c.since:
            if n == c.most or not put_flow(c, f):
                return
            n += 1
        c.cursor = cursor


cdef void flow_add(worker *w, command *c) noexcept nogil:
    """Adds this worker's counters to the flows in the buffer, or takes those that it has out."""
    cdef uint32_t at = 0, end = c.used, size
    cdef flow_record *record
    cdef megaflow *f
    c.used = 0
    while at < end:
        record = <flow_record *> (c.buffer + at)
        size = record_size(c, record.actions_size)
        f = megaflow_find(&w.flows, record.ufid)
        if f != NULL and not c.drop_known:
            record.n_packets += f.n_packets
            record.n_bytes += f.n_bytes
            record.used = max(record.used, f.used // 1000000)
            record.earlier_packets += f.earlier_packets
            record.earlier_bytes += f.earlier_bytes
            record.tcp_flags |= ntohs(f.tcp_flags)
            record.offloaded |= f.kernel_slot != 0
        if f == NULL or not c.drop_known:
            memmove(c.buffer + c.used, c.buffer + at, size)
            c.used += size
        at += size


cdef void flow_credit(worker *w, command *c) noexcept nogil:
    """The counters in the buffer go to the flows that this worker has; what it has not stays."""
    cdef uint32_t at = 0, end = c.used, size
    cdef flow_record *record
    cdef megaflow *f
    c.used = 0
    while at < end:
        record = <flow_record *> (c.buffer + at)
        size = record_size(c, record.actions_size)
        f = megaflow_find(&w.flows, record.ufid)
        if f != NULL:
            f.n_packets += record.n_packets
            f.n_bytes += record.n_bytes
            f.earlier_packets += record.earlier_packets
            f.earlier_bytes += record.earlier_bytes
            megaflow_use(f, record.used * 1000000)
            f.tcp_flags |= htons(record.tcp_flags)
        else:
            memmove(c.buffer + c.used, c.buffer + at, size)
            c.used += size
        at += size


# --- packets and rings

cdef void execute(worker *w, command *c) noexcept nogil:
    cdef flow_key key = c.key[0]
    w.now = 0
    flow_extract(c.p, &key)
    execute_actions(&w.x, c.p, &key, c.actions, c.actions_size)
    flush_frames(w)


cdef void inject(worker *w, command *c) noexcept nogil:
    """A frame as if the queue had received it."""
    cdef uint64_t since = cycles(), passed
    w.ingress = &c.queue.dev.worker_ports[w.id]
    w.ingress.rx_packets += 1
    w.ingress.rx_bytes += c.p.size
    w.burst.n = 1
    w.burst.packets[0] = c.p[0]
    process_burst(w, c.queue.dev)
    stamp_hits(w)
    passed = cycles() - since
    c.queue.n_packets += 1
    c.queue.busy += passed
    w.busy += passed


cdef int watch(worker *w, int fd) noexcept nogil:
    """Have look() return when it becomes readable once more."""
    cdef epoll_event event
    event.events = EPOLLIN | EPOLLET
    event.data.ptr = NULL
    return errno if epoll_ctl(w.epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 else 0


cdef int attach_rings(worker *w, command *c) noexcept nogil:
    ring_unmap(&w.up)
    ring_unmap(&w.down)
    if w.up_bell >= 0:
        close(w.up_bell)
    if w.down_bell >= 0:
        close(w.down_bell)      # and epoll forgets it
    w.up_bell = c.up_bell
    w.down_bell = c.down_bell
    w.broken = False
    if c.up_fd < 0:
        return 0
    if ring_map(&w.up, c.up_fd) < 0 or ring_map(&w.down, c.down_fd) < 0:
        ring_unmap(&w.up)
        ring_unmap(&w.down)
        return errno
    return watch(w, w.down_bell)
