"""The kernel cache of a datapath process: on or off, and on which ports.

Runs in the control thread.  On a port its parts go in an order in which no frame is forwarded
twice: the classifier is there before the socket that it spares, and both before any entry for the
port's frames; they go after all these were voided.

A port with the option LATER gets its classifier when its first flow is hot.  Until then its ingress
is free, for one qdisc only can be there: CNI's bandwidth plug-in puts its own on a port that was just
made.  Others have theirs at once: as clsact comes, the kernel loses what is just being sent to the port.

What the classifier of a device leaves ends there, since the socket has got it: the host's stack would
answer and route at a port beside the switch, past its flows.  But a device that the host uses is heard.

What a killed process left goes on until hand_over(), when there are all ports again: in its own maps,
where we can take these over, or beside ports that are deaf as long.  See docs/kernel-cache.md.
"""

import contextlib
import os
import socket
from collections import Counter

import ovs.vlog

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset

from datapath.bpf.entry cimport cache_counters
from datapath.bpf.offload cimport cache_maps
from datapath.netdev.af_packet cimport PacketNetdev
from datapath.worker.state cimport COMMAND_CACHE, COMMAND_CACHE_PORT, command, command_kind
from datapath.worker.worker cimport Worker

from datapath.bpf.host_use import HostUse
from datapath.bpf.memory import KernelMemory
from datapath.bpf.tc import Tc
from pyvs.log_limit import LimitedLog

vlog = ovs.vlog.Vlog("kernel_cache")
_unknown = LimitedLog(vlog, 1, 1)       # a message a minute

OPTION = "kernel-cache"         # of a port: "false" keeps its frames out
LATER = "later"                 # in it, but not before it has a hot flow
LEFT_FOR = 10000                # ms that what a former process left stays on ports not yet added
CHECK_EVERY = 1000              # ms between looks at whether the classifiers are reached
MOST_PROGRAMS = 4               # of those that were left, that are looked at for their maps
MAX_FAILURES = 5                # of a port: then it has no part in it any more
SHARED = "the device is another port, too"
RENAMED = "the device has another name now"
UNREACHED = "frames do not reach its classifier"


cdef class KernelCache:
    """`workers` are the engine's, `owner` names its filters."""

    def __init__(self, list workers, str owner):
        self.workers = workers
        self.tc = Tc(owner)
        self.memory = self.host = None
        self.reason = "not configured"
        self.refused = {}
        self.attached, self.ports, self.failures = {}, {}, {}
        self.bare, self.waiting = set(), set()
        self.until, self.next_check = None, 0
        try:
            self.left = self.tc.left()
        except OSError:
            self.left = {}
        self.inherits = bool(self.left)

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
        programs = Counter(self.left.values()).most_common(MOST_PROGRAMS) if self.inherits else ()
        try:
            self.memory = KernelMemory([program for program, _times in programs])
            self.host = HostUse()
            if not self.inherits:
                self._tell_workers()
        except (OSError, ValueError, MemoryError) as error:
            self.reason = f"the kernel does not let us: {error}"
            vlog.info(f"no kernel cache: {error}")
            self._forget_memory()
            return
        vlog.info("the kernel cache is on")
        for port in ports:
            self.prepare(port.name, port.type, port.options)
            self.add(port)

    def _end(self, ports):
        if self.memory is None:
            return
        if self.inherits:
            self.inherits = False
            self.memory.void_all()
        for port in ports:
            self.remove(port)
            self._set_target(port, 0)
        self._forget_memory()
        vlog.info("the kernel cache is off")

    def pause(self, ports):
        """Before workers come or go, who share out what there is; whether it was on, and they had it."""
        if self.inherits:
            return False
        was_on = self.on
        self._end(ports)
        return was_on

    def go_on(self, ports):
        """After that; entries are made anew."""
        self._begin(ports)

    def _set_target(self, port, uint32_t index):
        if isinstance(port, PacketNetdev):
            (<PacketNetdev> port).dev.kernel_index = index

    def _forget_memory(self):
        memory, self.memory = self.memory, None
        host, self.host = self.host, None
        self.refused, self.failures = {}, {}
        self._tell_workers()
        if host is not None:
            host.close()
        if memory is not None:
            memory.close()

    cdef int _all_workers(self, command *c) except -1:
        cdef Worker worker
        for worker in self.workers:
            worker.run_command(c)
            if c.error:
                raise OSError(c.error, os.strerror(c.error))
        return 0

    cdef int _tell_workers(self) except -1:
        """Each has the maps, or none any more."""
        cdef command c
        cdef cache_maps maps
        cdef uint8_t[:] generations
        cdef uint8_t[:] counters
        memset(&c, 0, sizeof(c))
        c.kind = COMMAND_CACHE
        if self.memory is not None:
            generations, counters = self.memory.generations, self.memory.counters
            maps.entries_fd = self.memory.entries
            maps.generations = <uint32_t *> &generations[0]
            maps.counters = <cache_counters *> &counters[0]
            maps.n_cpus = self.memory.n_cpus
            maps.n_workers = <uint32_t> (max([each.id for each in self.workers]) + 1)
            c.cache = &maps
        return self._all_workers(&c)

    # --- ports

    def _takes(self, str type, options):
        return (self.memory is not None and type == "system"
                and (options or {}).get(OPTION) != "false")

    def prepare(self, str name, str type, options):
        """Before a port's socket is opened: its classifier, in place of one that was left.

        Whether the socket is to be deaf until add(), as there may be entries for its frames."""
        try:
            index = socket.if_nametoindex(name)
        except OSError:
            return False                # whoever opens it says so
        self.refused.pop(name, None)
        if self._takes(type, options) and self._alone(name, index):
            self._attach(name, index, (options or {}).get(OPTION) == LATER)
        if index in self.left and index not in self.waiting:
            del self.left[index]
            self.tc.detach(index)
        return self.inherits and index in self.attached

    def _alone(self, str name, int index):
        """Whether no other port is the same device, by another name: both sockets get its frames,
        and the kernel would forward them once."""
        other = self.attached.get(index, name)
        if other == name:
            return True
        if index in self.ports:
            self._withdraw(self.ports[index])
        self.refused[name] = self.refused[other] = SHARED
        return False

    def _attach(self, str name, int index, bint later):
        try:
            if later and index not in self.left:
                self.tc.check(index)
                self.bare.add(index)
            elif self._is_of_others(index):
                self.waiting.add(index)
            else:
                self.tc.attach(index, self.memory.classifier)
                self.left.pop(index, None)
            self.attached[index] = name
        except OSError as error:
            self.refused[name] = error.strerror

    def _is_of_others(self, int index):
        """Whether the device's classifier has other maps than ours, with flows that are to go on."""
        return self.inherits and index in self.left and not self.memory.shares(self.left[index])

    def abandon(self, str name):
        """After prepare(), when the port could not be opened."""
        for index in [index for index, port in self.attached.items() if port == name]:
            self._detach(index)

    def _detach(self, int index):
        if self.attached.pop(index, None) is None:
            return
        if self.memory is not None:
            self.memory.own(index, False)
        if index in self.bare:
            self.bare.discard(index)
        else:
            self.waiting.discard(index)
            self.left.pop(index, None)
            self.tc.detach(index)

    def add(self, port):
        """A port whose socket is open; after prepare()."""
        if not isinstance(port, PacketNetdev) or port.type != "system" or self.memory is None:
            return
        if not self._join(port):
            self._hear(port)

    def _hear(self, PacketNetdev dev):
        """All frames come to its socket."""
        with contextlib.suppress(OSError):      # of a device that is gone, or hears already
            dev.set_filter(-1)

    cdef int _join(self, PacketNetdev dev) except -1:
        """Whether its frames pass a filter from now on, if only one that keeps it deaf."""
        dev.dev.kernel_index = dev.ifindex
        if not self._takes(dev.type, dev.options) or dev.name in self.refused:
            return False
        if self.attached.get(dev.ifindex) != dev.name:
            # The classifier is at none, or at another: a filter would have frames end here.
            self.abandon(dev.name)
            self.refused[dev.name] = RENAMED
            return False
        dev.dev.kernel_asked = False
        dev.dev.kernel_bare = dev.ifindex in self.bare
        waits = dev.ifindex in self.waiting
        filters = waits or (not dev.dev.kernel_bare and self._filters(dev))
        if filters or dev.dev.kernel_bare:
            dev.dev.kernel_cached = not waits
            self.ports[dev.ifindex] = dev
        self.unsettled = True
        return filters

    def _filters(self, PacketNetdev dev):
        try:
            dev.set_filter(self.memory.socket_filter)
        except OSError as error:
            self.refused[dev.name] = error.strerror
            self._detach(dev.ifindex)
            return False
        return True

    def _own_ports(self):
        """The host's stack gets nothing of ports' frames, but of devices that it uses."""
        try:
            used = self.host.used()
        except OSError as error:
            _unknown.warn(f"which devices the host uses is not known: {error}")
            self.unsettled = True
            return
        self.unsettled = False
        for index in self.ports:
            if index not in self.bare and index not in self.waiting:
                self.memory.own(index, index not in used)

    # --- the first hot flow

    def clothe(self):
        """Give ports their classifiers for which workers have asked."""
        cdef Worker worker
        cdef PacketNetdev dev
        cdef bint asked = False
        for worker in self.workers:
            asked |= worker.w.kernel.asked
            worker.w.kernel.asked = False
        for index in list(self.bare) if asked else ():
            dev = self.ports.get(index)
            if dev is not None and dev.dev.kernel_asked:
                self._clothe(dev)

    cdef int _clothe(self, PacketNetdev dev) except -1:
        try:
            self.tc.attach(dev.ifindex, self.memory.classifier)
        except OSError as error:
            self._withdraw(dev)
            self.refused[dev.name] = error.strerror
            return 0
        self.bare.discard(dev.ifindex)
        if self._filters(dev):
            dev.dev.kernel_bare = False
            self.unsettled = True
        else:
            self._withdraw(dev)
        return 0

    # --- what a former process's flows do

    def hand_over(self):
        """All ports are there, and somebody answers upcalls: flows are our workers' from here on, and
        no packet follows an entry of a former process.  Whether there may have been some."""
        if not self.inherits:
            return False
        self.inherits = False
        if self.memory is None:
            return False
        if self.memory.adopted:
            self.memory.void_all()
        for index in self.waiting & self.ports.keys():     # one that is being added has no port yet
            self._exchange(self.ports[index])
        try:
            self._tell_workers()
        except (OSError, MemoryError) as error:
            vlog.warn(f"the workers have no part in the kernel cache: {error}")
        vlog.info("flows of the datapath process before are not followed any more")
        return True

    cdef int _exchange(self, PacketNetdev dev) except -1:
        """Our classifier for another's, and then the filter for deafness: in between a frame of a flow
        that was known is lost, and not forwarded twice."""
        self.waiting.discard(dev.ifindex)
        self.left.pop(dev.ifindex, None)
        try:
            self.tc.attach(dev.ifindex, self.memory.classifier)
        except OSError as error:
            self._withdraw(dev)
            self.refused[dev.name] = error.strerror
            self._hear(dev)
            return 0
        dev.dev.kernel_cached = True
        if not self._filters(dev):
            self._withdraw(dev)
        self.unsettled = True
        return 0

    # --- ports that go

    def remove(self, port):
        """A port that is to go, or to have no part in it any more."""
        self.hand_over()
        self.refused.pop(port.name, None)
        self.failures.pop(port.name, None)
        if isinstance(port, PacketNetdev):
            self._withdraw(port)

    cdef int _withdraw(self, PacketNetdev dev) except -1:
        waits = dev.ifindex in self.waiting and self.ports.get(dev.ifindex) is dev
        if dev.dev.kernel_cached:
            self._void(dev)
        if self.ports.get(dev.ifindex) is dev:
            del self.ports[dev.ifindex]
        if self.attached.get(dev.ifindex) == dev.name:
            self._detach(dev.ifindex)
        if waits:
            self._hear(dev)
        return 0

    cdef int _void(self, PacketNetdev dev) except -1:
        """No entry is for frames of the port, or sends to it."""
        cdef command c
        dev.dev.kernel_cached = False
        memset(&c, 0, sizeof(c))
        c.kind = COMMAND_CACHE_PORT
        c.dev = &dev.dev
        self._all_workers(&c)
        self._hear(dev)
        return 0

    # --- classifiers that are not reached

    def check(self, now):
        """Look after devices that the socket filters have in doubt: somebody took the classifier away,
        or set another before it."""
        if self.memory is None or now < self.next_check:
            return
        self.next_check = now + CHECK_EVERY
        if self.host.changed() or self.unsettled:
            self._own_ports()
        if self.memory.doubted:
            for index, port in list(self.ports.items()):
                if self.memory.in_doubt(index):
                    self._look_after(index, port)
            self.memory.trust_all()

    def _look_after(self, int index, port):
        """Attach the classifier again where it can be."""
        times = self.failures[port.name] = self.failures.get(port.name, 0) + 1
        vlog.warn(f"{port.name}: {UNREACHED}; {times} times")
        self._withdraw(port)
        if times > MAX_FAILURES:
            self.refused[port.name] = UNREACHED
            return
        self.prepare(port.name, port.type, port.options)
        self.add(port)
        if index in self.bare and self.ports.get(index) is port:
            self._clothe(port)

    # --- what a former process left

    def tidy(self, now, bint served):
        """Let go of what a former process left on devices that are no ports of this one.

        `served`: a vswitchd is there, which has told its ports when no new one came for LEFT_FOR ms."""
        if not served or not (self.left or self.inherits):
            self.until = None
        elif self.until is None or self.n_came != len(self.ports):
            self.until = now + LEFT_FOR
        elif now >= self.until:
            self.hand_over()
            self._let_go()
        self.n_came = len(self.ports)

    def deadline(self):
        """ms, when tidy() or check() has something to do, or None."""
        times = [self.until] if self.until is not None else []
        if self.ports:
            times.append(self.next_check)
        return min(times, default=None)

    def close(self, ports):
        """Leave nothing behind."""
        self._end(ports)
        self._let_go()

    def _let_go(self):
        for index in self.left:
            self.tc.detach(index)
        self.left = {}

    # --- what people ask

    def status(self):
        """{"wanted", "on", "reason": why not, "ports": {name: why it has no part in it}, and counts: flows
        that are there, hits, entries offered and refused}."""
        cdef Worker worker
        counts = {"flows": 0, "hits": 0, "offered": 0, "refused": 0}
        for worker in self.workers:
            counts["flows"] += worker.w.kernel.n_used
            counts["hits"] += worker.w.kernel.hits
            counts["offered"] += worker.w.kernel.offered
            counts["refused"] += worker.w.kernel.refused
        return {"wanted": bool(self.wanted), "on": self.on, "reason": "" if self.on else self.reason,
                "ports": dict(self.refused), **counts}
