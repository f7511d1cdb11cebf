# What a worker has: one thread that receives from its ports, looks up, acts and sends, without the
# GIL.
#
# Everything in struct worker belongs to that thread.  The control thread speaks to it by one
# command at a time (run_command), and reads counters, each a whole aligned word, as it likes.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from posix.unistd cimport write

from datapath.base.atomic cimport exchange32
from datapath.base.cycles cimport cycles
from datapath.base.clock cimport clock_ns
from datapath.base.drops cimport DROP_REASONS
from datapath.lookup.emc cimport emc, emc_key
from datapath.actions.executor cimport executor
from datapath.key.flow cimport flow_key
from datapath.lookup.megaflow cimport megaflow, megaflow_table
from datapath.actions.lb cimport lb_table
from datapath.actions.meter cimport meter
from datapath.netdev.netdev cimport BURST, NO_WORKER, iovec, mmsghdr, netdev, rxq, rx_burst, worker_port
from datapath.worker.perf cimport perf, perf_end, perf_log
from datapath.base.packet cimport packet
from datapath.bpf.offload cimport cache_maps, kernel_cache
from datapath.conntrack.fragments cimport frag_row, frag_table
from datapath.conntrack.table cimport tracker
from datapath.ipc.ring cimport ring

cdef enum:
    FRAMES = 256                # frames that wait to be sent, at most
    ARENA = 256 * 1024          # bytes for copies of such frames
    COPY_LIMIT = 2048           # larger frames are sent at once instead of copied
    DOWN_BATCH = 64             # records of the down ring in one round
    EVENTS = 64
    HITS = 256
    DUMP_SCAN = 4096            # flows looked at for one command of a dump
    FLUSH_PIECE = 1024          # flows that one command of a flush removes
    CURSOR_END = 0xffffffff
    NO_FRAME = 0xffffffff

cdef enum command_kind:
    COMMAND_STOP
    COMMAND_PORT_ADD
    COMMAND_PORT_DEL
    COMMAND_QUEUE_TAKE          # poll this queue from now on
    COMMAND_QUEUE_LEAVE
    COMMAND_FLOW_PUT
    COMMAND_FLOW_DEL
    COMMAND_FLOW_GET
    COMMAND_FLOW_DEL_MANY
    COMMAND_FLOW_FLUSH
    COMMAND_FLOW_DUMP
    COMMAND_FLOW_ADD
    COMMAND_FLOW_CREDIT         # take over what a worker that goes has counted
    COMMAND_EXECUTE
    COMMAND_INJECT
    COMMAND_RINGS
    COMMAND_HANDLER_GONE        # nothing comes down any more; what goes up waits for the next one
    COMMAND_CACHE               # the kernel cache: begin with these maps, or end it
    COMMAND_CACHE_PORT          # no flow from or to the port stays there
    COMMAND_SYNC                # what came before the command is done: see sync()
    COMMAND_FRAGMENTS
    COMMAND_TUNE                # the caches in front of the megaflow table
    COMMAND_PERF                # exchange the worker's perf for this one
    COMMAND_PERF_COPY           # or copy it into this one
    COMMAND_PERF_CLEAR
    COMMAND_PERF_LOG

cdef struct command:
    command_kind kind
    int error                   # result: 0 or an errno
    bint synced                 # first what SYNC does
    netdev *dev                 # PORT_ADD, PORT_DEL
    rxq *queue                  # QUEUE_TAKE, QUEUE_LEAVE, INJECT
    const uint8_t *ufid
    uint32_t n_ufids            # FLOW_DEL_MANY: 16 bytes each
    const flow_key *key
    const flow_key *mask
    const uint8_t *actions
    uint32_t actions_size
    packet *p                   # EXECUTE (key: metadata that it has no room for), INJECT
    frag_row *waiting           # FRAGMENTS: room for FRAG_PACKETS
    uint32_t n_waiting          # FRAGMENTS, result
    uint32_t inverse            # TUNE: of the chance that a flow is cached, 0: never
    bint signatures             # TUNE
    perf *perf                  # PERF (result: that before, to be freed), PERF_COPY; NULL: none
    perf_log log                # PERF_LOG
    bint keys                   # FLOW_GET, _DUMP, _ADD: with keys and masks,
    bint with_actions           # and with actions
    bint drop_known             # FLOW_ADD: take out the flows that this worker has
    uint64_t since              # FLOW_DUMP: ms, only flows used at that time or later
    uint8_t *buffer             # FLOW_GET, _DEL, _DEL_MANY, _DUMP, _ADD: flow_records
    uint32_t room
    uint32_t most               # FLOW_DUMP: records
    uint32_t used               # result: bytes in the buffer
    uint32_t cursor             # FLOW_DUMP, FLOW_FLUSH: 0 at first, CURSOR_END at last
    int up_fd                   # RINGS: memfds, -1: none; taken over (mapped), not closed
    int down_fd
    const cache_maps *cache     # CACHE: what it is to have; NULL: end it
    int up_bell                 # doorbells of the handler, and of the worker, which closes them with
    int down_bell               # the rings

cdef struct frame:
    iovec vector                # a virtio-net header, then the frame
    uint32_t next

# Packets of the burst, by number.
cdef struct turn:
    uint32_t n
    uint8_t packets[BURST]

# Segments of TCP on their way to one port, as a frame that grows in the arena; see join.pyx.
cdef struct joined:
    netdev *dev                 # NULL: none
    uint32_t frame              # its number in worker.frames
    uint8_t *data
    uint32_t size
    uint32_t behind             # where the arena's free part began when the last one was added
    uint32_t l4                 # offsets
    uint32_t payload
    uint32_t chunk              # payload bytes of a segment, but of the last
    uint32_t n                  # segments
    bint v6
    bint full                   # no more may follow

cdef struct worker:
    uint32_t id
    int epoll_fd
    int wake_fd                 # eventfd: a command
    bint woken                  # by that or the doorbell, which was not quieted since
    int done_fd                 # eventfd: the command is done
    bint running
    command *mailbox            # written by the control thread, emptied by the worker
    netdev **ports              # MAX_PORTS pointers
    rxq **ready                 # queues that may have frames
    uint32_t n_ready
    megaflow_table flows
    emc cache
    kernel_cache kernel         # what the kernel forwards by itself
    executor x
    rx_burst burst
    flow_key keys[BURST]
    uint64_t maps[BURST]        # what flow_extract() said of them
    emc_key prepared[BURST]
    megaflow *found[BURST]      # NULL: a miss
    turn later                  # those that come again, when the others are done
    uint32_t depth[BURST]       # of the executor, and what is left of its work
    uint32_t work[BURST]
    uint32_t buckets[BURST]     # of ct_prefetch()
    uint64_t now                # ns, 0: not read yet for this burst; see time_of()
    megaflow *hits[HITS]        # used since the last stamp_hits()
    uint32_t n_hits
    uint64_t spin               # ns of looking for frames before the next sleep
    worker_port *ingress        # of the packet in hand: what happens to it is counted there
    worker_port no_port         # for packets of no port
    lb_table **bonds            # the datapath's
    meter **meters              # the datapath's, NULL before it has any
    tracker *connections        # the datapath's
    frag_table fragments
    frag_table outer_fragments  # of tunnels' outer packets
    uint8_t *whole              # BIG_SIZE bytes, for what was fragmented
    # transmission
    frame frames[FRAMES]
    mmsghdr messages[FRAMES]
    uint32_t n_frames
    netdev **sending            # ports with frames waiting
    uint32_t n_sending
    uint8_t *arena
    uint32_t arena_used
    uint8_t *segment_buffer
    netdev *segmenting
    joined joined               # what is being joined to one frame
    # rings to vswitchd
    ring up
    ring down
    int up_bell                 # doorbells: the handler's,
    int down_bell               # and this worker's
    bint broken                 # a ring was found so, and the control thread was told
    uint8_t *down_packet        # a private copy of what is executed
    uint8_t *down_actions
    perf *perf                  # NULL: nobody wants to know
    # counters
    uint64_t n_packets
    uint64_t busy               # cycles spent on bursts
    uint64_t began              # cycles, when it began to run or its counters were cleared
    uint64_t n_bursts
    uint64_t n_rounds           # of its loop,
    uint64_t n_busy_rounds      # with packets
    uint64_t asleep             # cycles,
    uint64_t sleeps_since       # and those of the sleep it is in: when it began, 0: it is in none
    uint64_t n_upcalls
    uint64_t n_lost
    uint64_t n_sleeps
    uint64_t n_recirculations
    uint64_t n_sent             # frames,
    uint64_t n_sent_batches     # in so many batches
    uint64_t n_bad_records      # of the down ring, that contradict themselves
    uint64_t n_refused_flows    # of the down ring, that the table did not take
    # what the control thread should look at: a broken ring, bad records, refused flows
    int alarm_fd                # eventfd of the engine
    uint32_t alarm              # 1: written since the control thread last looked


# The time of the burst: read when it is asked for first, for a sleeper's clock is slow.
cdef inline uint64_t time_of(worker *w) noexcept nogil:
    if w.now == 0:
        w.now = clock_ns()
    return w.now


# Whether a packet is one of the burst, and so what lies in its memory nobody else's.
cdef inline bint of_burst(const worker *w, const packet *p) noexcept nogil:
    return <size_t> p - <size_t> w.burst.packets < sizeof(w.burst.packets)


cdef inline void signal_event(int fd) noexcept nogil:
    cdef uint64_t one = 1
    write(fd, &one, 8)


# Has the control thread look at this worker's counters soon.
cdef inline void raise_alarm(worker *w) noexcept nogil:
    if not exchange32(&w.alarm, 1):
        signal_event(w.alarm_fd)


# --- what a round costs

cdef inline void begin_round(worker *w) noexcept nogil:
    cdef perf *p = w.perf
    if p != NULL:
        p.began = cycles()
        p.packets, p.batches = w.n_packets, w.n_bursts
        p.upcalls = p.upcall_cycles = 0


cdef inline void end_round(worker *w, bint had_packets) noexcept nogil:
    w.n_rounds += 1
    w.n_busy_rounds += had_packets
    if w.perf != NULL and perf_end(w.perf, w.n_packets, w.n_bursts):
        raise_alarm(w)


# --- the queues that may have frames

cdef inline void add_ready(worker *w, rxq *q) noexcept nogil:
    if not q.ready:
        q.ready = True
        w.ready[w.n_ready] = q
        w.n_ready += 1


cdef inline void remove_ready(worker *w, uint32_t i) noexcept nogil:
    w.ready[i].ready = False
    w.n_ready -= 1
    w.ready[i] = w.ready[w.n_ready]
