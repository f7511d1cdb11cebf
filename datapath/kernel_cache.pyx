"""The kernel cache of a datapath process: on or off, and what a former process's flows do.

Runs in the control thread.  What a killed process left goes on until hand_over(), when there are all
ports again: in its own maps, where we can take these over, or beside ports that are deaf as long.
See docs/kernel-cache.md.
"""

import os

import ovs.vlog

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset

from datapath.bpf.entry cimport cache_counters
from datapath.bpf.offload cimport cache_maps
from datapath.cache_ports cimport CachePorts
from datapath.crew cimport Crew
from datapath.netdev.af_packet cimport PacketNetdev
from datapath.worker.state cimport COMMAND_CACHE, command
from datapath.worker.worker cimport Worker

from datapath.bpf.former import Former
from datapath.bpf.host_use import HostUse
from datapath.bpf.memory import KernelMemory
from datapath.bpf.tc import Tc

vlog = ovs.vlog.Vlog("kernel_cache")

CHECK_EVERY = 1000              # ms between looks at whether the classifiers are reached


cdef class KernelCache:
    """Its workers are the crew's; `owner` names its filters."""

    def __init__(self, Crew crew, str owner):
        tc = Tc(owner)
        self.crew = crew
        self.former = Former(tc)
        self.ports = CachePorts(crew, tc, self.former)
        self.memory = self.host = None
        self.reason = "not configured"
        self.next_check = 0

    @property
    def on(self):
        return self.memory is not None

    # --- on and off

    def set(self, bint wanted, ports):
        """Begin or end; `ports`: the datapath's."""
        if wanted == self.wanted:
            return
        self.wanted = wanted
        if wanted:
            self._begin(ports)
        else:
            self._end(ports)
            self.reason = "not configured"

    def _begin(self, ports):
        try:
            self.memory = KernelMemory(self.former.programs())
            self.host = HostUse()
            if not self.former.followed:
                self._tell_workers()
        except (OSError, ValueError, MemoryError) as error:
            self.reason = f"the kernel does not let us: {error}"
            vlog.info(f"no kernel cache: {error}")
            self._forget_memory()
            return
        vlog.info("the kernel cache is on")
        self.ports.begin(self.memory)
        for port in ports:
            self.prepare(port.name, port.type, port.options)
            self.add(port)

    def _end(self, ports):
        if self.memory is None:
            return
        if self.former.followed:
            self.former.followed = False
            self.memory.void_all()
        for port in ports:
            self.remove(port)
            if isinstance(port, PacketNetdev):
                (<PacketNetdev> port).dev.kernel_index = 0
        self._forget_memory()
        vlog.info("the kernel cache is off")

    def pause(self, ports):
        """Before workers come or go, who share out what there is; whether it was on, and they had it."""
        if self.former.followed:
            return False
        was_on = self.on
        self._end(ports)
        return was_on

    def go_on(self, ports):
        """After that; entries are made anew."""
        self._begin(ports)

    def _forget_memory(self):
        memory, self.memory = self.memory, None
        host, self.host = self.host, None
        self.ports.end()
        self._tell_workers()
        if host is not None:
            host.close()
        if memory is not None:
            memory.close()

    cdef int _tell_workers(self) except -1:
        """Each has the maps, or none any more."""
        cdef command c
        cdef cache_maps maps
        cdef uint8_t[:] generations
        cdef uint8_t[:] counters
        cdef int error
        memset(&c, 0, sizeof(c))
        c.kind = COMMAND_CACHE
        if self.memory is not None:
            generations, counters = self.memory.generations, self.memory.counters
            maps.entries_fd = self.memory.entries
            maps.generations = <uint32_t *> &generations[0]
            maps.counters = <cache_counters *> &counters[0]
            maps.n_cpus = self.memory.n_cpus
            maps.n_workers = <uint32_t> (max([each.id for each in self.crew.workers]) + 1)
            c.cache = &maps
        error = self.crew.all_workers(&c)
        if error:
            raise OSError(error, os.strerror(error))
        return 0

    # --- ports that come and go

    def prepare(self, str name, str type, options):
        """Before a port's socket is opened; whether it is to be deaf until add()."""
        return self.ports.prepare(name, type, options)

    def abandon(self, str name):
        """After prepare(), when the port could not be opened."""
        self.ports.abandon(name)

    def add(self, port):
        """A port whose socket is open; after prepare()."""
        if isinstance(port, PacketNetdev) and port.type == "system" and self.memory is not None:
            self.ports.add(port)

    def remove(self, port):
        """A port that is to go, or to have no part in it any more."""
        self.hand_over()
        if isinstance(port, PacketNetdev):
            self.ports.remove(port)

    # --- from time to time

    def attach_asked(self):
        """Give ports their classifiers for which workers have asked."""
        self.ports.attach_asked()

    def check(self, now):
        """Look whether classifiers are reached, and what the host uses."""
        if self.memory is None or now < self.next_check:
            return
        self.next_check = now + CHECK_EVERY
        self.ports.own(self.host, self.host.changed())
        self.ports.look_after_doubted()

    def deadline(self):
        """ms, when tidy() or check() has something to do, or None."""
        times = [self.former.until] if self.former.until is not None else []
        if len(self.ports):
            times.append(self.next_check)
        return min(times, default=None)

    # --- what a former process's flows do

    def hand_over(self):
        """All ports are there, and somebody answers upcalls: flows are our workers' from here on, and
        no packet follows an entry of a former process.  Whether there may have been some."""
        if not self.former.followed:
            return False
        self.former.followed = False
        if self.memory is None:
            return False
        if self.memory.adopted:
            self.memory.void_all()
        self.ports.take_over()
        try:
            self._tell_workers()
        except (OSError, MemoryError) as error:
            vlog.warn(f"the workers have no part in the kernel cache: {error}")
        vlog.info("flows of the datapath process before are not followed any more")
        return True

    def tidy(self, now, bint served):
        """Let go of what a former process left on devices that are no ports of this one; `served`: a
        vswitchd is there."""
        if self.former.overdue(now, served, len(self.ports)):
            self.hand_over()
            self.former.drop_all()

    def close(self, ports):
        """Leave nothing behind."""
        self._end(ports)
        self.former.drop_all()

    # --- what people ask

    def status(self):
        """{"wanted", "on", "reason": why not, "ports": {name: why it has no part in it}, and counts: flows
        that are there, hits, entries offered and refused}."""
        cdef Worker worker
        counts = {"flows": 0, "hits": 0, "offered": 0, "refused": 0}
        for worker in self.crew.workers:
            counts["flows"] += worker.w.kernel.n_used
            counts["hits"] += worker.w.kernel.hits
            counts["offered"] += worker.w.kernel.offered
            counts["refused"] += worker.w.kernel.refused
        return {"wanted": bool(self.wanted), "on": self.on, "reason": "" if self.on else self.reason,
                "ports": dict(self.ports.refused), **counts}
