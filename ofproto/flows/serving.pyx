"""Between rounds of the loop: upcalls, and what they have for the controllers.

A flow's first packet waits here for its answer, mostly in a daemon that slept and whose memory is
far away: each step in Python before the answer costs as much as a table.  So there is none, and
what can wait is behind the answers.
"""

from libc.stdint cimport int64_t, uint64_t

from datapath.base.clock cimport clock_ns, kernel_ns
from datapath.ipc.upcall_rings cimport UpcallRings
from ofproto.flows.flows cimport N_PACKET_INS, Flows
from pyvs.poller cimport Server

from pyvs.poller import QUICK

cdef enum:
    # ns for which upcalls that come while others are answered are answered without a round of the
    # loop, which costs as much as some tens of them.
    SERVED = 5000000

REVALIDATED_IN = 0.002


cdef class UpcallServer(Server):
    def __init__(self, backer):
        self.backer = backer
        self.handler = backer.handler
        self.revalidator = backer.revalidator

    def __call__(self):
        return self.serve()

    cdef double serve(self) except? -1:
        cdef Flows flows = self.handler.flows
        cdef UpcallRings rings
        cdef uint64_t now, told, end = 0
        cdef bint settled
        while self.backer.dpif is not None and flows.rings is not None:
            rings = flows.rings
            now = clock_ns() // 1000000
            told = flows.n[N_PACKET_INS]
            if not self.answer(now) or flows.rings is not rings:
                return 0
            rings.awake()
            settled = self.is_settled()
            if (told != flows.n[N_PACKET_INS] or not settled) and not self.backer.send_queued(now):
                return 0
            if flows.inbox or self.handler.waiting.length:
                return 0
            if rings.may_sleep():
                return QUICK if settled else REVALIDATED_IN
            if not settled:
                return 0
            if not end:
                end = kernel_ns() + SERVED
            elif kernel_ns() >= end:
                return 0
        return 0

    cdef bint answer(self, int64_t now) except -1:
        cdef Flows flows = self.handler.flows
        try:
            self.handler.run(now, self.backer.courtesy.turn)
            if flows.underlay.asked:
                flows.solicit(now)
        except OSError as error:
            self.backer.take_error(error)
            return False
        return True

    cdef bint is_settled(self) noexcept:
        """As Backer.is_settled."""
        cdef Flows flows = self.handler.flows
        return (not flows.table.n
                or max(self.revalidator.passed, self.revalidator.hurried) >= flows.generation.value)
