"""Upcalls: packets the datapath has no flow for are translated and their flow is installed.

One record comes up by a ring in shared memory, one goes down: "install this flow, run its actions
on the packet".  A packet that a flow's USERSPACE action sent comes up here, too: it is for the
controllers, or has to be translated each time (slow path).
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from datapath.ipc.dpif cimport UPCALL_ACTION, Dpif, upcall
from datapath.key.flow cimport KEY_DP_SIZE, flow_key
from datapath.actions.offload cimport complete_checksum
from datapath.base.packet cimport PACKET_HEADROOM, VNET_NEEDS_CSUM, packet, packet_init
from ofproto.flows.flows cimport Flows, Ukey, same_actions
from ofproto.xlate.xlate_base cimport USERSPACE_CONTROLLER

cdef extern from "arpa/inet.h" nogil:
    uint32_t ntohl(uint32_t)

cdef enum:
    BELATED = 100           # ms after which a flow that still misses is installed once more


cdef class UpcallHandler(Flows):
    def __init__(self, dpif=None):
        Flows.__init__(self, dpif)
        self.counts["ring_full"] = 0
        if isinstance(dpif, Dpif):
            self.rings = dpif

    def set_dpif(self, dpif):
        """After a reconnect; None: disconnected.  What is known of flows is forgotten."""
        Flows.set_dpif(self, dpif)
        self.rings = dpif if isinstance(dpif, Dpif) else None

    cdef bint change(self, Ukey ukey, bytes actions) except -1:
        """By the ring: the datapath does it before it answers the next upcall."""
        if self.rings is None or not self.rings.n_workers:
            return Flows.change(self, ukey, actions)
        return 0 == self.rings.install(
            <const uint8_t *> <const char *> ukey.ufid, <const flow_key *> <const char *> ukey.key,
            <const flow_key *> <const char *> ukey.mask, <const uint8_t *> <const char *> actions,
            <uint32_t> len(actions))

    def run(self, int64_t now, int limit=512):
        """Answers up to `limit` upcalls; returns how many.  `now` in ms."""
        cdef upcall u
        cdef int n = 0
        cdef Dpif rings = self.rings
        if rings is None:
            return 0
        while n < limit and rings.next_upcall(&u):
            try:
                self.handle(&u, now)
            finally:
                rings.release_upcall(&u)
            n += 1
        return n

    cdef int handle(self, upcall *u, int64_t now) except -1:
        self.counts["upcalls"] += 1
        if u.type == UPCALL_ACTION and u.reason == USERSPACE_CONTROLLER:
            return self.packet_in(u)
        self.counts["misses"] += 1
        return self.answer(u, now)

    cdef int answer(self, upcall *u, int64_t now) except -1:
        """Translates a packet; its flow goes into the datapath, its actions are run."""
        if u.key.in_port and self.ports.get(ntohl(u.key.in_port)) is None:
            return self.drop_port(u, now)
        if not self.translate(&u.key, now):
            return 0
        self.xlate.cache.credit(1, u.packet_size, now)
        if u.type == UPCALL_ACTION or self.xlate.slow:
            return self.execute(u)
        return self.install(u, now)

    cdef int drop_port(self, upcall *u, int64_t now) except -1:
        """A flow that drops what comes by a port that is nobody's, until it is somebody's."""
        self.counts["unknown_port"] += 1
        if u.type != UPCALL_ACTION and not u.key.recirc_id:
            self.xlate.start(None, &u.key, now)
            return self.install(u, now)
        return 0

    cdef int execute(self, upcall *u) except -1:
        self.counts["executed_only"] += 1
        if self.xlate.out.length and self.rings.execute_upcall(u, self.xlate.out.data,
                                                               self.xlate.out.length):
            self.counts["ring_full"] += 1
        return 0

    cdef int install(self, upcall *u, int64_t now) except -1:
        cdef flow_key masked
        cdef bytes ufid = self.name_flow(&u.key, &masked)
        cdef Ukey ukey = self.find(ufid)
        if ukey is not None and same_actions(ukey, self.xlate) and now - ukey.created < BELATED:
            return self.execute(u)      # another packet of a burst: the flow is on its way
        if ukey is None:
            if not self.settle():
                return self.execute(u)
            if len(self.by_ufid) >= self.flow_limit:
                self.counts["flow_limit_hit"] += 1
                return self.execute(u)
            ukey = self.add_ukey(ufid, (<char *> &masked)[:KEY_DP_SIZE],
                                 self.shared_mask(&self.xlate.wc), now)
        self.take_translation(ukey, now)
        self.counts["installed"] += 1
        if self.rings.install_and_execute(u, <const uint8_t *> <const char *> ufid, &masked,
                                          &self.xlate.wc, self.xlate.out.data,
                                          self.xlate.out.length):
            self.counts["ring_full"] += 1
            self.remove_ukey(ukey, now)
        return 0

    cdef int packet_in(self, const upcall *u) except -1:
        """To the controllers, with a checksum that was left to the network card completed."""
        cdef packet p
        cdef uint8_t *copy
        if not u.vnet.flags & VNET_NEEDS_CSUM:
            return self.to_controller(&u.key, u.packet, u.packet_size, u.userdata,
                                      u.userdata_size)
        copy = <uint8_t *> malloc(PACKET_HEADROOM + u.packet_size + 1)
        if copy == NULL:
            raise MemoryError
        try:
            packet_init(&p, copy, PACKET_HEADROOM + u.packet_size, PACKET_HEADROOM,
                        u.packet_size)
            memcpy(p.data, u.packet, u.packet_size)
            p.vnet = u.vnet
            complete_checksum(&p)
            return self.to_controller(&u.key, p.data, p.size, u.userdata, u.userdata_size)
        finally:
            free(copy)
