"""Upcalls: packets the datapath has no flow for are translated and their flow is installed.

One record comes up by a ring in shared memory, one goes down: "install this flow, run its actions
on the packet".  A packet that a flow's USERSPACE action sent comes up here, too: it is for the
controllers, or has to be translated each time (slow path).

Each packet has a guard of its own: what goes wrong with one is no reason not to serve the next.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from datapath.actions.offload cimport complete_checksum
from datapath.actions.odp cimport CONTINUATION, USERSPACE_CONTROLLER, controller_data
from datapath.actions.samples cimport USERSPACE_SAMPLES, sample_data
from datapath.base.packet cimport PACKET_HEADROOM, VNET_NEEDS_CSUM, packet, packet_init
from datapath.ipc.upcall_rings cimport UPCALL_ACTION, UpcallRings, upcall
from datapath.key.flow cimport KEY_DP_SIZE, KEY_SIZE, flow_key
from ofproto.codec.numbers cimport OFPR_NO_MATCH
from ofproto.flows.flows cimport (
    N_EXECUTED_ONLY, N_FLOW_LIMIT_HIT, N_INSTALLED, N_MISSES, N_PACKET_INS, N_RING_FULL, N_UNKNOWN_PORT,
    N_UNKNOWN_STATE, N_UPCALLS, Flows, same_actions,
)
from ofproto.flows.ukeys cimport Ukey
from ofproto.flows.waiting cimport Waiting, waiting_upcall
from ofproto.xlate.state.context cimport forget_tracking, set_in_port
from ofproto.xlate.outputs.multicast cimport learn_groups
from ofproto.xlate.state.recirc cimport CONNTRACKED, FrozenState
from ofproto.xlate.bridges.option_keys cimport to_tables
from ofproto.xlate.bridges.xbridge cimport OFPR_IMPLICIT_MISS, OFPR_TABLE_MISS_FLOW, XBridge, XPort
from ofproto.xlate.bridges.xsampling cimport XSampling

from ofproto.flows import debug_log
from ofproto.xlate.state import continuation
from ofproto.xlate.bridges.xbridge import PacketInEvent
from pyvs import containment, coverage

cdef extern from "arpa/inet.h" nogil:
    uint16_t ntohs(uint16_t)
    uint32_t ntohl(uint32_t)

# Reasons that OpenFlow calls NO_MATCH, and what the miss was.
MISSES = {OFPR_TABLE_MISS_FLOW: "flow", OFPR_IMPLICIT_MISS: "implicit"}

cdef enum:
    BELATED = 100           # ms after which a flow that still misses is installed once more
    WORK = 64               # of translation that count as one upcall more
    DATAGRAMS = 4           # to collectors, that count as much
    MAX_SORTED = 4096       # packets that are put in line in one run

LOST = coverage.counter("upcall_line_full")


cdef class UpcallHandler:
    def __init__(self, Flows flows):
        self.flows = flows
        self.waiting = Waiting()
        self.early = Waiting()

    cpdef int run(self, int64_t now, int limit=512) except -1:
        """Answers up to `limit` upcalls, fewer where they are laborious; returns how many, `limit`
        when more may be waiting.  `now` in ms."""
        cdef UpcallRings rings = self.flows.rings
        if rings is None:
            self.forget()
            return 0
        # A worker that is woken for each flow takes the processor for each, and goes to sleep again.
        rings.hold()
        try:
            return self.answer_some(rings, now, limit)
        finally:
            rings.let_go()

    cdef int answer_some(self, UpcallRings rings, int64_t now, int limit) except -1:
        cdef upcall u
        cdef int n = 0, work = 0, sorted = 0
        cdef waiting_upcall *first
        while work < limit and not self.waiting.length and rings.next_upcall(&u):
            # What the last one waits for need not wait for what we do besides.
            rings.hold_while_more(&u)
            try:
                work += self.guarded(&u, now)
            finally:
                rings.release_upcall(&u)
            n += 1
        if work < limit and not self.waiting.length:
            return n
        rings.hold()
        while sorted < MAX_SORTED and rings.next_upcall(&u):
            sorted += 1
            if not self.waiting.put(&u):
                LOST.count += 1
            rings.release_upcall(&u)
        while work < limit:
            first = self.waiting.take()
            if first is NULL:
                break
            if not rings.all >> first.u.worker & 1:
                first.u.worker = rings.ids[0]       # its own ended meanwhile; this one stays
            try:
                work += self.guarded(&first.u, now)
            finally:
                free(first)
            n += 1
        return limit if self.waiting.length else n

    def forget(self):
        """What waits is of a datapath process that is gone."""
        self.waiting.clear()
        self.early.clear()

    def welcome(self):
        """Some ports are somebody's now: the packets that waited for them are next, before younger ones
        of the same ports.  Those of other ports wait again, when it is their turn."""
        self.waiting.put_before(self.early)

    @property
    def n_early(self):
        """How many packets wait for their ports to be somebody's."""
        return self.early.length

    def heed_log(self):
        """Look whether what comes up is to be told in the log; once a round will do."""
        self.verbose = debug_log.wanted()

    @property
    def busy(self):
        """Whether run() should be called again at once."""
        return self.waiting.length > 0

    def upcall(self, int type, bytes key, bytes packet, int64_t now, *, reason=0, userdata=b""):
        """Handles one upcall as if it had come by a ring; `key` has KEY_DP_SIZE bytes at least."""
        cdef upcall u
        if len(key) < KEY_DP_SIZE:
            raise ValueError(f"a datapath key has {KEY_DP_SIZE} bytes")
        memset(&u, 0, sizeof(u))
        u.type = type
        u.reason = reason
        memcpy(&u.key, <const char *> key, KEY_DP_SIZE)
        u.packet = <const uint8_t *> <const char *> packet
        u.packet_size = <uint32_t> len(packet)
        u.userdata = <const uint8_t *> <const char *> (<bytes> userdata)
        u.userdata_size = <uint32_t> len(userdata)
        self.handle(&u, now)

    cdef int guarded(self, upcall *u, int64_t now) except -1:
        self.flows.xlate.work = 0
        try:
            self.handle(u, now)
        except Exception:
            containment.caught("upcall", f"of datapath port {ntohl(u.key.in_port)}")
        if self.flows.xlate.work >= WORK and self.flows.rings is not None:
            self.flows.rings.wake_those_behind()        # the next one may take as long
        return 1 + <int> (self.flows.xlate.work // WORK)

    cdef int handle(self, upcall *u, int64_t now) except -1:
        self.flows.n[N_UPCALLS] += 1
        if self.verbose:
            debug_log.upcall("action" if u.type == UPCALL_ACTION else "miss",
                             (<char *> &u.key)[:KEY_DP_SIZE], (<char *> u.packet)[:u.packet_size])
        if u.type == UPCALL_ACTION and u.reason == USERSPACE_CONTROLLER:
            return self.packet_in(u)
        if u.type == UPCALL_ACTION and u.reason & USERSPACE_SAMPLES:
            return self.sampled(u)
        self.flows.n[N_MISSES] += 1
        return self.answer(u, now)

    cdef int answer(self, upcall *u, int64_t now) except -1:
        """Translates a packet; its flow goes into the datapath, its actions are run."""
        cdef Flows flows = self.flows
        if u.key.in_port and flows.port_of(&u.key) is None:
            if self.expecting and self.early.put(u):
                return 0
            return self.drop_port(u, now)
        flows.xlate.side_effects = True
        try:
            if not flows.translate(&u.key, now):
                return 0
        finally:
            flows.xlate.side_effects = False
        if flows.xlate.error is not None:
            self.tell_failure(&u.key)
        if flows.xlate.received is not None:
            flows.inbox.put(flows.xlate.received, (<char *> u.packet)[:u.packet_size])
        if flows.xlate.snooped is not None:
            learn_groups(flows.xlate, (<char *> u.packet)[:u.packet_size])
        if u.type == UPCALL_ACTION:
            flows.xlate.cache.learn(now)        # its flow in the datapath has counted it
            flows.xlate.cache.finish_tcp(ntohs(u.key.tcp_flags))
            return self.execute(u)
        if flows.xlate.slow:
            self.execute(u)
            flows.slow_down()
        return self.install(u, now)

    cdef int count(self, const upcall *u, int64_t now) except -1:
        """The packet counts for all that it passed, and is learned from."""
        self.flows.xlate.cache.credit(1, u.packet_size, now)
        self.flows.xlate.cache.finish_tcp(ntohs(u.key.tcp_flags))
        return 0

    cdef int tell_failure(self, const flow_key *key) except -1:
        cdef XPort port = self.flows.port_of(key)
        cdef flow_key flow
        if port is None or port.bridge is None:
            return 0
        memset(&flow, 0, sizeof(flow))
        memcpy(&flow, key, KEY_DP_SIZE)
        if flow.tun_opts_size:
            to_tables(port.bridge.options, &flow)
        set_in_port(&flow, port.ofp_port)
        debug_log.Failures.tell(port.bridge, (<char *> &flow)[:KEY_SIZE], self.flows.xlate.error,
                                self.flows.recirc)
        return 0

    cdef int drop_port(self, upcall *u, int64_t now) except -1:
        """A flow that drops what comes by a port that is nobody's, until it is somebody's."""
        self.flows.n[N_UNKNOWN_PORT] += 1
        if u.type != UPCALL_ACTION and not u.key.recirc_id:
            self.flows.xlate.start(None, &u.key, now)
            return self.install(u, now)
        return 0

    cdef int execute(self, upcall *u) except -1:
        cdef Flows flows = self.flows
        flows.n[N_EXECUTED_ONLY] += 1
        if flows.xlate.out.length and flows.rings is not None and flows.rings.execute_upcall(
                u, flows.xlate.out.data, flows.xlate.out.length):
            flows.n[N_RING_FULL] += 1
        return 0

    cdef int execute_rest(self, upcall *u, int64_t now) except -1:
        """Where no flow is installed: what was not executed yet."""
        if not self.flows.xlate.slow:
            self.execute(u)
        return self.count(u, now)

    cdef int install(self, upcall *u, int64_t now) except -1:
        cdef Flows flows = self.flows
        cdef uint8_t ufid[16]
        cdef bint is_new
        cdef uint64_t given = ~<uint64_t> 0, lacking = 0    # workers, by a bit for each
        cdef Ukey ukey
        flows.name_flow(&u.key, ufid)
        ukey = flows.table.find(ufid)
        if (ukey is not None and same_actions(ukey, flows.xlate) and now - ukey.created < BELATED
                and ukey.workers >> u.worker & 1):
            return self.execute_rest(u, now)    # another packet of a burst: the flow is on its way
        is_new = ukey is None
        if is_new:
            if not flows.settle():
                return self.execute_rest(u, now)
            if not flows.has_room(&u.key):
                flows.n[N_FLOW_LIMIT_HIT] += 1
                return self.execute_rest(u, now)
        # First the packet goes on its way: the worker wakes while the rest is done here.
        if flows.rings is not None:
            given = flows.rings.peers(u.worker)
            lacking = self.send_down(u, ufid)
        self.count(u, now)
        flows.n[N_INSTALLED] += 1
        if lacking:
            # Those that took it have it, and the others get it with their next packet of it.
            flows.n[N_RING_FULL] += 1
            given &= ~lacking
            if not is_new and not same_actions(ukey, flows.xlate):
                flows.lose_ukey(ukey, now)      # as some have it, or others: the next dump tells
                return 0
            if not given & flows.rings.all:
                return 0
        if is_new:
            ukey = flows.add_ukey(ufid, (<char *> &u.key)[:KEY_DP_SIZE],
                                  flows.shared_mask(&flows.xlate.wc), now)
            ukey.workers = 0
        flows.take_translation(ukey, now)
        if self.verbose:
            self.tell(ukey, is_new)
        ukey.workers |= given
        return 0

    cdef int tell(self, Ukey ukey, bint is_new) except -1:
        """In the log, of the flow that goes down."""
        if is_new:
            debug_log.added(ukey.ufid, ukey.key, ukey.mask, ukey.actions)
        else:
            debug_log.changed("put[modify]", ukey.ufid, ukey.key, ukey.mask, ukey.actions)
        return 0

    cdef uint64_t send_down(self, upcall *u, const uint8_t *ufid) noexcept:
        """The flow, and the packet with it where that was not executed yet; the workers, by a bit
        for each, that have no room for it."""
        cdef Flows flows = self.flows
        if flows.xlate.slow:
            return flows.rings.install(flows.rings.peers(u.worker), ufid, &u.key, &flows.xlate.wc, flows.xlate.out.data,
                                       flows.xlate.out.length)
        return flows.rings.install_and_execute(u, ufid, &flows.xlate.wc,
                                               flows.xlate.out.data, flows.xlate.out.length)

    # --- for exporters

    cdef int sampled(self, const upcall *u) except -1:
        cdef XBridge bridge
        cdef sample_data data
        if u.userdata_size < sizeof(data):
            return 0
        memcpy(&data, u.userdata, sizeof(data))
        for bridge in self.flows.bridges:
            if bridge.sampling is not None and (
                    <XSampling> bridge.sampling).number == data.bridge:
                n = (<XSampling> bridge.sampling).receive(
                    u.reason, (<char *> u.packet)[:u.packet_size],
                    (<char *> &u.key)[:KEY_DP_SIZE], (<char *> u.userdata)[:u.userdata_size])
                # A sample is more work than a miss.
                self.flows.xlate.work += WORK * (1 + <int> n // DATAGRAMS)
                break
        return 0

    # --- for the controllers

    cdef int packet_in(self, const upcall *u) except -1:
        """To the controllers, with a checksum that was left to the network card completed."""
        cdef packet p
        cdef uint8_t *copy
        if not u.vnet.flags & VNET_NEEDS_CSUM:
            return self.to_controller(u, (<char *> u.packet)[:u.packet_size])
        copy = <uint8_t *> malloc(PACKET_HEADROOM + u.packet_size + 1)
        if copy == NULL:
            raise MemoryError
        try:
            packet_init(&p, copy, PACKET_HEADROOM + u.packet_size, PACKET_HEADROOM,
                        u.packet_size)
            memcpy(p.data, u.packet, u.packet_size)
            p.vnet = u.vnet
            complete_checksum(&p)
            return self.to_controller(u, (<char *> p.data)[:p.size])
        finally:
            free(copy)

    cdef int to_controller(self, const upcall *u, bytes packet) except -1:
        """A packet that the datapath sends for the controllers, as its flow's actions say."""
        cdef controller_data data
        cdef flow_key key
        cdef FrozenState state = None
        cdef XBridge bridge
        if u.userdata_size >= sizeof(data):
            memcpy(&data, u.userdata, sizeof(data))
            state = self.flows.recirc.get(data.state)
        if state is None:
            self.flows.n[N_UNKNOWN_STATE] += 1
            return 0
        bridge = state.bridge
        if bridge.packet_in is None:
            return 0
        self.flows.n[N_PACKET_INS] += 1
        memcpy(&key, &u.key, KEY_DP_SIZE)
        if key.tun_opts_size:
            to_tables(bridge.options, &key)
        set_in_port(&key, state.in_port)
        if not state.flags & CONNTRACKED:
            forget_tracking(&key)       # where the action stands, the tables do not see it
        memcpy(<uint8_t *> &key + KEY_DP_SIZE, <const char *> state.pipeline,
               KEY_SIZE - KEY_DP_SIZE)
        state.take_tunnel(&key)
        miss = MISSES.get(data.reason)
        bridge.packet_in(PacketInEvent(
            packet, data.reason if miss is None else OFPR_NO_MATCH,
            state.table_id, data.cookie, data.controller_id, state.in_port,
            (<char *> &key)[:KEY_SIZE], miss, state.userdata,
            continuation.encode(state) if data.flags & CONTINUATION else None, bridge.options))
        return 0
