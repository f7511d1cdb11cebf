"""The ports of the kernel cache: what each has of classifier and socket filter.

On a port these go in an order in which no frame is forwarded twice: the classifier is there before
the socket that it spares, and both before any entry for the port's frames; they go after all these
were voided.

A port with the option LATER gets its classifier when its first flow is hot.  Until then its ingress
is free, for one qdisc only can be there: CNI's bandwidth plug-in puts its own on a port that was just
made.  Others have theirs at once: as clsact comes, the kernel loses what is just being sent to the port.

What the classifier of a device leaves ends there, since the socket has got it: the host's stack would
answer and route at a port beside the switch, past its flows.  But a device that the host uses is heard.
"""

import contextlib
import os
import socket

import ovs.vlog

from libc.string cimport memset

from datapath.worker.state cimport COMMAND_CACHE_PORT, command
from datapath.worker.worker cimport Worker

from pyvs.log_limit import LimitedLog

vlog = ovs.vlog.Vlog("kernel_cache")
_unknown = LimitedLog(vlog, 1, 1)       # a message a minute

OPTION = "kernel-cache"         # of a port: "false" keeps its frames out
LATER = "later"                 # in it, but not before it has a hot flow
MAX_FAILURES = 5                # of a port: then it has no part in it any more
SHARED = "the device is another port, too"
RENAMED = "the device has another name now"
UNREACHED = "frames do not reach its classifier"


cdef class Device:
    """A device that has our classifier, or is to get it."""

    def __init__(self, int index, str name, classifier_is classifier):
        self.index = index
        self.name = name
        self.classifier = classifier


cdef class CachePorts:
    """Those of the cache whose workers are the crew's; `former`: see datapath.bpf.former."""

    def __init__(self, Crew crew, tc, former):
        self.crew = crew
        self.tc = tc
        self.former = former
        self.devices, self.failures, self.refused = {}, {}, {}

    def begin(self, memory):
        """The cache is on, with these maps and programs."""
        self.memory = memory

    def end(self):
        """It is off; no port has a part in it any more."""
        self.memory = None
        self.failures, self.refused = {}, {}

    def __len__(self):
        return sum(1 for device in self.devices.values() if (<Device> device).port is not None)

    # --- ports that come

    def prepare(self, str name, str type, options):
        """Before a port's socket is opened: its classifier, in place of one that was left.

        Whether the socket is to be deaf until add(), as there may be entries for its frames."""
        cdef Device device
        try:
            index = socket.if_nametoindex(name)
        except OSError:
            return False                # whoever opens it says so
        self.refused.pop(name, None)
        if self._takes(type, options) and self._is_alone(name, index):
            self._attach(name, index, (options or {}).get(OPTION) == LATER)
        device = self.devices.get(index)
        if device is None or device.classifier != FORMERS:
            self.former.drop(index)
        return self.former.followed and device is not None

    def _takes(self, str type, options):
        return (self.memory is not None and type == "system"
                and (options or {}).get(OPTION) != "false")

    def _is_alone(self, str name, int index):
        """Whether no other port is the same device, by another name: both sockets get its frames,
        and the kernel would forward them once."""
        cdef Device other = self.devices.get(index)
        if other is None or other.name == name:
            return True
        self.refused[name] = SHARED
        if other.port is not None:
            self._refuse(other, SHARED)
        else:
            self.refused[other.name] = SHARED
        return False

    def _attach(self, str name, int index, bint later):
        cdef classifier_is classifier = OURS
        try:
            if later and self.former.program(index) is None:
                self.tc.check(index)
                classifier = LATER_OURS
            elif self._is_formers(index):
                classifier = FORMERS
            else:
                self.tc.attach(index, self.memory.classifier)
                self.former.replaced(index)
            self.devices[index] = Device(index, name, classifier)
        except OSError as error:
            self.refused[name] = error.strerror

    def _is_formers(self, int index):
        """Whether the device's classifier has other maps than ours, with flows that are to go on."""
        program = self.former.program(index)
        return self.former.followed and program is not None and not self.memory.shares(program)

    def abandon(self, str name):
        """After prepare(), when the port could not be opened."""
        cdef Device device
        for device in [each for each in self.devices.values() if (<Device> each).name == name]:
            self._withdraw(device)

    def add(self, PacketNetdev port):
        """A port whose socket is open; after prepare()."""
        port.dev.kernel_index = port.ifindex
        if not self._join(port):
            _hear(port)

    cdef bint _join(self, PacketNetdev port) except -1:
        """Whether its frames pass a filter from now on, if only one that keeps it deaf."""
        cdef Device device = self.devices.get(port.ifindex)
        if not self._takes(port.type, port.options) or port.name in self.refused:
            return False
        if device is None or device.name != port.name:
            # The classifier is at none, or at another: a filter would have frames end here.
            self.abandon(port.name)
            self.refused[port.name] = RENAMED
            return False
        port.dev.kernel_asked = False
        port.dev.kernel_bare = device.classifier == LATER_OURS
        device.port = port
        self.unsettled = True
        if device.classifier == OURS:
            return self._filter(device)
        port.dev.kernel_cached = device.classifier == LATER_OURS
        return device.classifier == FORMERS

    cdef bint _filter(self, Device device) except -1:
        """The socket gets what the classifier does not forward; where it cannot be, the port has no
        part in the cache."""
        try:
            device.port.set_filter(self.memory.socket_filter)
        except OSError as error:
            self._refuse(device, error.strerror)
            return False
        device.port.dev.kernel_cached = True
        return True

    cdef int _refuse(self, Device device, str why) except -1:
        self._withdraw(device)
        self.refused[device.name] = why
        return 0

    # --- the first hot flow

    def attach_asked(self):
        """Give ports their classifiers for which workers have asked."""
        cdef Device device
        cdef Worker worker
        cdef bint asked = False
        for worker in self.crew.workers:
            asked |= worker.w.kernel.asked
            worker.w.kernel.asked = False
        for device in list(self.devices.values()) if asked else ():
            if device.classifier == LATER_OURS and device.port is not None and device.port.dev.kernel_asked:
                self._attach_late(device)

    cdef int _attach_late(self, Device device) except -1:
        try:
            self.tc.attach(device.index, self.memory.classifier)
        except OSError as error:
            return self._refuse(device, error.strerror)
        device.classifier = OURS
        if self._filter(device):
            device.port.dev.kernel_bare = False
            self.unsettled = True
        return 0

    # --- hand-over

    def take_over(self):
        """Ports that had a former process's classifier get ours."""
        cdef Device device
        for device in list(self.devices.values()):
            if device.classifier == FORMERS and device.port is not None:     # else it is being added
                self._exchange(device)

    cdef int _exchange(self, Device device) except -1:
        """Our classifier for another's, and then the filter for deafness: in between a frame of a flow
        that was known is lost, and not forwarded twice."""
        cdef PacketNetdev port = device.port
        self.former.replaced(device.index)
        try:
            self.tc.attach(device.index, self.memory.classifier)
        except OSError as error:
            return self._refuse(device, error.strerror)
        device.classifier = OURS
        if not self._filter(device):
            _hear(port)
        self.unsettled = True
        return 0

    # --- ports that go

    def remove(self, PacketNetdev port):
        """A port that is to go, or to have no part in it any more."""
        self.refused.pop(port.name, None)
        self.failures.pop(port.name, None)
        self.abandon(port.name)

    cdef int _withdraw(self, Device device) except -1:
        """No entry is for its port's frames, and then no classifier."""
        cdef PacketNetdev port = device.port
        cdef bint deaf = port is not None and device.classifier == FORMERS
        device.port = None
        try:
            if port is not None and port.dev.kernel_cached:
                self._void(port)
        finally:
            self._detach(device)
        if deaf:
            _hear(port)
        return 0

    cdef int _void(self, PacketNetdev port) except -1:
        """No entry is for frames of the port, or sends to it."""
        cdef command c
        cdef int error
        port.dev.kernel_cached = False
        memset(&c, 0, sizeof(c))
        c.kind = COMMAND_CACHE_PORT
        c.dev = &port.dev
        error = self.crew.all_workers(&c)
        if error:
            raise OSError(error, os.strerror(error))
        _hear(port)
        return 0

    cdef int _detach(self, Device device) except -1:
        if self.devices.get(device.index) is not device:
            return 0
        del self.devices[device.index]
        if self.memory is not None:
            self.memory.own(device.index, False)
        if device.classifier == FORMERS:
            self.former.replaced(device.index)
        if device.classifier != LATER_OURS:
            self.tc.detach(device.index)
        return 0

    # --- the host's own stack, and classifiers that are not reached

    def own(self, host, bint changed):
        """The host's stack gets nothing of ports' frames, but of devices that it uses; `host`: HostUse,
        of which something may have changed."""
        cdef Device device
        if not changed and not self.unsettled:
            return
        try:
            used = host.used()
        except OSError as error:
            _unknown.warn(f"which devices the host uses is not known: {error}")
            self.unsettled = True
            return
        self.unsettled = False
        for device in self.devices.values():
            if device.classifier == OURS and device.port is not None:
                self.memory.own(device.index, device.index not in used)

    def look_after_doubted(self):
        """Devices that the socket filters have in doubt: somebody took the classifier away, or set
        another before it."""
        cdef Device device
        if not self.memory.doubted:
            return
        for device in list(self.devices.values()):
            if device.port is not None and self.memory.in_doubt(device.index):
                self._look_after(device)
        self.memory.trust_all()

    def _look_after(self, Device device):
        """Attach the classifier again where it can be."""
        cdef PacketNetdev port = device.port
        times = self.failures[port.name] = self.failures.get(port.name, 0) + 1
        vlog.warn(f"{port.name}: {UNREACHED}; {times} times")
        self._withdraw(device)
        if times > MAX_FAILURES:
            self.refused[port.name] = UNREACHED
            return
        self.prepare(port.name, port.type, port.options)
        self.add(port)
        device = self.devices.get(port.ifindex)
        if device is not None and device.port is port and device.classifier == LATER_OURS:
            self._attach_late(device)


cdef int _hear(PacketNetdev port) except -1:
    """All frames come to its socket."""
    with contextlib.suppress(OSError):      # of a device that is gone, or hears already
        port.set_filter(-1)
    return 0
