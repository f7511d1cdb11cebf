"""Ports and workers of one datapath process, as its control thread manages them.

Every method runs in the control thread.  A change goes to the workers as commands, one worker
after the other; what a method returns has happened in all of them.
"""

import contextlib
import errno as error_numbers
import functools
import os
from concurrent.futures import ThreadPoolExecutor

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset
from libc.stdlib cimport free, malloc
from posix.unistd cimport close as close_fd

from datapath.key.flow cimport KEY_DP_SIZE, flow_key, key_ct
from datapath.actions.lb cimport LbBonds
from datapath.actions.meter cimport Meters
from datapath.netdev.netdev cimport (
    BIG_SIZE, MAX_PORTS, MAX_WORKERS, NO_WORKER, Netdev, netdev, rxq,
)
from datapath.base.packet cimport PACKET_HEADROOM, packet, packet_init
from datapath.ipc.upcall cimport padded
from datapath.netdev.dummy cimport DummyNetdev
from datapath.worker.state cimport *
from datapath.crew cimport Crew
from datapath.flows cimport Flows
from datapath.kernel_cache cimport KernelCache
from datapath.lookup.emc cimport emc_tune
from datapath.measuring cimport Measuring
from datapath.tracking cimport Tracking
from datapath.worker.worker cimport Worker

from datapath import diverted
from datapath.requests import EngineError, check, check_options, numbers_of
from datapath.slow_devices import SlowDevices
from datapath.netdev.dummy import TYPES as DUMMY_TYPES
from datapath.netdev.af_packet import PacketNetdev
from datapath.netdev.tap cimport TapNetdev
from datapath.netdev.tap import open_internal
from datapath.netdev.tunnel import TYPES as TUNNEL_TYPES
from datapath.netdev.tunnel import TunnelNetdev
from datapath.xdp.af_xdp import TYPES as XDP_TYPES
from datapath.xdp.af_xdp import XdpNetdev
from datapath.ipc.doorbell import make_doorbell
from datapath.ipc.ring import create_memory
from datapath.ipc.up_memory import UpMemory

cdef extern from "<arpa/inet.h>" nogil:
    uint32_t htonl(uint32_t)

DOWN_RING = 8 << 20
CLOSERS = 64                    # threads that close ports
MAX_NAME = 255                  # bytes; devices of the kernel have 15 at most
MAX_CORE = 4096                 # processor cores that there may be
WORKERS_OWN = ("id", "core", "busy", "cycles", "asleep", "flows", "masks")    # of its stats()

MADE = ("internal", "tap")       # types whose devices are made here
TYPES = {
    "system": PacketNetdev,
    **dict.fromkeys(MADE, open_internal),
    **dict.fromkeys(DUMMY_TYPES, DummyNetdev),
    **dict.fromkeys(TUNNEL_TYPES, TunnelNetdev),
    **dict.fromkeys(XDP_TYPES, XdpNetdev),
}


cdef class Engine:
    """The datapath.  start() after the last fork; close() ends workers and ports."""

    cdef readonly list workers          # those of the crew
    cdef readonly Crew crew
    cdef readonly dict ports            # number -> Netdev
    cdef readonly LbBonds bonds
    cdef readonly Meters meters
    cdef readonly Flows flows
    cdef readonly Tracking tracking
    cdef readonly Measuring measuring
    cdef readonly KernelCache kernel_cache
    cdef readonly int alarm_fd          # readable when take_alarms() has something to say
    cdef dict told                      # what it said: (bad records, refused flows) of each worker
    cdef uint32_t n_ids                 # the workers' ids have been below
    cdef dict retired                   # what workers counted that have ended
    cdef dict retired_drops
    cdef int up_bell                    # by which workers wake the handler, or -1
    cdef readonly object up_memory      # of the rings that the handler reads
    cdef object closer
    cdef object slow                    # SlowDevices: those of AF_XDP
    cdef uint32_t inverse               # of workers' caches: see COMMAND_TUNE
    cdef bint signatures

    def __cinit__(self, n_workers=1, owner="pyvs"):
        self.alarm_fd = self.up_bell = -1
        self.inverse = 1

    def __init__(self, n_workers=1, owner="pyvs"):
        cdef Worker worker
        self.workers = [Worker(i) for i in range(n_workers)]
        self.crew = Crew(self.workers)
        self.flows, self.tracking = Flows(self.crew), Tracking(self.crew)
        self.measuring = Measuring(self.crew)
        self.n_ids = n_workers
        self.retired, self.retired_drops = {}, {}
        self.up_memory = UpMemory()
        self.ports = {}
        self.bonds = LbBonds()
        self.meters = Meters()
        self.kernel_cache = KernelCache(self.crew, owner)
        self.told = {}
        self.alarm_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        for worker in self.workers:
            self._equip(worker)
        # The kernel takes 40 ms to close an AF_PACKET socket, and no longer for many at once.
        self.closer = ThreadPoolExecutor(CLOSERS, "closer")
        self.slow = SlowDevices(self.closer)

    def __dealloc__(self):
        if self.alarm_fd >= 0:
            close_fd(self.alarm_fd)     # os may be gone by now
        if self.up_bell >= 0:
            close_fd(self.up_bell)

    cdef int _equip(self, Worker worker) except -1:
        """A worker that does not run yet gets what all share."""
        worker.w.bonds = &self.bonds.table
        worker.w.meters = self.meters.table
        self.tracking.equip(worker)
        worker.w.alarm_fd = self.alarm_fd
        if emc_tune(&worker.w.cache, self.inverse, self.signatures) < 0:
            raise MemoryError()
        self.measuring.equip(worker)
        return 0

    def start(self):
        for worker in self.workers:
            worker.start()

    def close(self):
        """Stop the workers, then close the ports.  Idempotent."""
        self.kernel_cache.close(self.ports.values())
        for worker in self.workers:
            worker.stop()
        for port in self.ports.values():
            self.closer.submit(port.close)
        self.ports = {}
        self.up_memory.close()
        self.slow.forget_all()
        self.closer.shutdown()

    def tune(self, inverse, bint signatures):
        """Of the workers' caches: one in `inverse` flows that are looked up is cached exactly, 0: none;
        and whether there is a cache of signatures behind."""
        cdef command c
        if type(inverse) is not int or not 0 <= inverse < 1 << 32:
            raise EngineError(error_numbers.EINVAL, "inverse: not a number of 32 bits")
        memset(&c, 0, sizeof(c))
        c.kind = COMMAND_TUNE
        c.inverse, c.signatures = inverse, signatures
        error = self.crew.all_workers(&c)
        if error:
            raise EngineError(error)
        self.inverse, self.signatures = inverse, signatures

    # --- workers, besides those that were there from the start

    def workers_add(self, cores, bint pinned):
        """A worker for each of these processor cores: their numbers.

        They have no queues and no rings yet."""
        cdef Worker worker
        cdef Netdev dev
        numbers_of("cores", cores, MAX_CORE)
        known = {worker.core for worker in self.workers}
        if known & set(cores):
            raise EngineError(error_numbers.EEXIST, "a worker for that core is there already")
        taken = {worker.id for worker in self.workers}
        ids = [id for id in range(MAX_WORKERS) if id not in taken][: len(cores)]
        if len(ids) < len(cores):
            raise EngineError(error_numbers.EMFILE, f"more than {MAX_WORKERS} workers")
        self.n_ids = max(self.n_ids, 1 + max(ids, default=0))
        for dev in self.ports.values():
            dev.dev.n_worker_ports = self.n_ids
        made = []
        with self._other_workers():
            try:
                for id, core in zip(ids, cores):
                    worker = Worker(id, core, pinned)
                    self._equip(worker)
                    for dev in self.ports.values():
                        worker.w.ports[dev.dev.port_no] = &dev.dev
                    worker.start()
                    made.append(worker)
            except BaseException:       # all or none: whoever asked knows no numbers
                for worker in made:
                    worker.stop()
                raise
            self.workers.extend(made)
        return ids

    @contextlib.contextmanager
    def _other_workers(self):
        """While workers come or go."""
        was_on = self.kernel_cache.pause(self.ports.values())
        try:
            yield
        finally:
            if was_on:
                self.kernel_cache.go_on(self.ports.values())

    def workers_del(self, ids):
        """They end; whatever they polled is polled by one that stays, and what they counted stays.

        Only those that workers_add() made can go."""
        cdef Worker worker
        cdef Netdev dev
        numbers_of("workers", ids, MAX_WORKERS)
        going = [self.crew.worker(id) for id in ids]
        if any(worker.core is None for worker in going):
            raise EngineError(error_numbers.EPERM, "a worker without a core stays")
        for dev in self.ports.values():
            for queue, (owner, _packets, _busy) in enumerate(dev.queues()):
                if owner in ids:
                    self.queue_move(dev.port_no, queue, self._least_busy())
        self.crew.sync()
        with self._other_workers():
            for worker in going:
                worker.stop()
                self.workers.remove(worker)
                self.up_memory.forget(worker.id)
                self.flows.hand_over(worker)
                self._keep_counters(worker)

    def _keep_counters(self, gone):
        """What a worker that has ended counted."""
        self.told.pop(gone, None)
        for name, count in gone.stats().items():
            if name not in WORKERS_OWN:
                self.retired[name] = self.retired.get(name, 0) + count
        for name, count in gone.drops().items():
            self.retired_drops[name] = self.retired_drops.get(name, 0) + count

    def queue_move(self, port_no, queue, worker_id):
        """A queue is polled by this worker from now on; no frame is lost."""
        cdef Netdev dev = self.port(port_no)
        cdef Worker worker = self.crew.worker(worker_id)
        cdef Worker owner
        cdef command c
        if type(queue) is not int or not 0 <= queue < dev.dev.n_queues:
            raise EngineError(error_numbers.EINVAL, f"{dev.name} has no queue {queue}")
        memset(&c, 0, sizeof(c))
        c.queue = &dev.dev.queues[<int> queue]
        if c.queue.owner == worker.w.id:
            return
        if c.queue.owner != NO_WORKER:
            owner = self.crew.worker(c.queue.owner)
            c.kind = COMMAND_QUEUE_LEAVE
            owner.run_command(&c)
        c.kind = COMMAND_QUEUE_TAKE
        worker.run_command(&c)
        if c.error:
            raise EngineError(c.error)

    # --- ports

    def _free_number(self, wanted):
        if wanted is not None:
            if type(wanted) is not int or not 0 < wanted < MAX_PORTS:
                raise EngineError(error_numbers.EINVAL, f"{wanted}: not a port number")
            if wanted in self.ports:
                raise EngineError(error_numbers.EBUSY, f"port {wanted} is in use")
            return wanted
        number = 1
        while number in self.ports:
            number += 1
        if number >= MAX_PORTS:
            raise EngineError(error_numbers.EFBIG, "too many ports")
        return number

    def port_add(self, name, type, port_no=None, options=None, device=-1, patient=True):
        """Open a device and give it to the workers; returns its number.  `device`: a descriptor of
        the TAP that it is to be, which the caller keeps.  Of AF_XDP's devices: NotYet, at first, and
        not `patient`: without waiting for one that is somebody else's."""
        cdef Netdev dev
        cdef command c
        if type not in TYPES:
            raise EngineError(error_numbers.EAFNOSUPPORT, f"{type}: unknown port type")
        if not isinstance(name, str) or not 0 < len(name.encode()) <= MAX_NAME:
            raise EngineError(error_numbers.EINVAL, f"{name}: not a port name")
        if any(port.name == name for port in self.ports.values()):
            raise EngineError(error_numbers.EEXIST, f"{name} is a port already")
        check_options(options)
        number = self._free_number(port_no)
        words = (type,)
        if device >= 0:
            if type not in MADE:
                raise EngineError(error_numbers.EINVAL, f"{type}: no descriptor makes such a port")
            words = (type, device)
        deaf = self.kernel_cache.prepare(name, type, options)
        if type == "system":
            words = (deaf,)
        elif type in XDP_TYPES:
            words = (type, patient)
        try:
            dev = self._open(name, type, options or {}, words)
        except OSError as error:
            self.kernel_cache.abandon(name)
            raise EngineError(error.errno or error_numbers.EIO, f"{name}: {error.strerror}") from error
        except ValueError as error:
            self.kernel_cache.abandon(name)
            raise EngineError(error_numbers.EINVAL, str(error)) from error
        dev.dev.port_no = number
        dev.dev.port_be = htonl(number)
        dev.dev.n_worker_ports = self.n_ids     # of now
        memset(&c, 0, sizeof(c))
        c.kind = COMMAND_PORT_ADD
        c.dev = &dev.dev
        self.ports[number] = dev
        self.crew.all_workers(&c)
        try:
            for queue in range(dev.dev.n_queues):
                self.queue_move(number, queue, self._least_busy())
        except EngineError:
            self.port_del(number)
            raise
        self.kernel_cache.add(dev)
        diverted.look(dev)
        return number

    def _open(self, name, type, dict options, words):
        make = functools.partial(TYPES[type], name, options, self.n_ids, *words)
        return self.slow.open(name, (type, options), make) if type in XDP_TYPES else make()

    def _least_busy(self):
        """The number of the worker, of those for no core, that polls the fewest queues."""
        polled = {worker.id: 0 for worker in self.workers if worker.core is None}
        for port in self.ports.values():
            for owner, _packets, _busy in port.queues():
                if owner in polled:
                    polled[owner] += 1
        return min(polled, key=polled.get)

    def port(self, number):
        """The Netdev of a number."""
        if number not in self.ports:
            raise EngineError(error_numbers.ENODEV, f"no port {number}")
        return self.ports[number]

    def port_device(self, number):
        """The descriptor of a TAP."""
        dev = self.port(number)
        if not isinstance(dev, TapNetdev):
            raise EngineError(error_numbers.EOPNOTSUPP, f"{dev.name} is not a TAP")
        return (<TapNetdev> dev).io.fd

    def port_set(self, number, options):
        """Other options: a dummy port's files that get copies of its frames, and of any port whether
        its flows are cached exactly."""
        dev = self.port(number)
        check_options(options)
        options = dict(options or {})
        if dev.set_options(options):
            return
        if not isinstance(dev, DummyNetdev):
            raise EngineError(error_numbers.EOPNOTSUPP, "options of such a port stay as they are")
        try:
            dev.configure(options)
        except OSError as error:
            raise EngineError(error.errno or error_numbers.EIO, f"{dev.name}: {error.strerror}") from error

    def port_del(self, number):
        """Take a port from the workers, then close it."""
        cdef Netdev dev = self.port(number)
        cdef Worker worker
        cdef command c
        self.kernel_cache.remove(dev)
        memset(&c, 0, sizeof(c))
        c.kind = COMMAND_QUEUE_LEAVE
        for queue in range(dev.dev.n_queues):
            c.queue = &dev.dev.queues[<int> queue]
            if c.queue.owner != NO_WORKER:
                worker = self.crew.worker(c.queue.owner)
                worker.run_command(&c)
        c.kind = COMMAND_PORT_DEL
        c.dev = &dev.dev
        self.crew.all_workers(&c)
        self.up_memory.forget_port(number)
        del self.ports[number]
        if dev.type == "system":
            self.closer.submit(dev.close)
        elif dev.type in XDP_TYPES:
            self.slow.close(dev.name, dev)
        else:
            dev.close()     # its name must be free when we return

    def port_dump(self, behind=0, count=None):
        """What PortInfo tells, as dictionaries: of `count` ports with numbers above `behind`."""
        rows = []
        if self.kernel_cache.on:
            self.crew.sync()
        for number in sorted(n for n in self.ports if n > behind)[:count]:
            port = self.ports[number]
            port.refresh()
            rows.append({
                "port_no": number, "name": port.name, "type": port.type,
                "ifindex": port.ifindex, "dead": port.dead, "stats": port.stats(),
                "drops": port.drops(), "options": port.options, "queues": port.queues(),
                "told": port.told(),
            })
        return rows

    def port_dead(self):
        """The numbers of ports whose interface is known to be gone."""
        return [number for number, port in self.ports.items() if port.dead]

    def port_inject(self, number, bytes frame, queue=0):
        cdef Netdev dev = self.port(number)
        cdef Worker worker
        cdef command c
        cdef packet p
        cdef uint8_t *buffer
        if dev.type not in DUMMY_TYPES:
            raise EngineError(error_numbers.EOPNOTSUPP, f"{dev.name} is no dummy port")
        if not 14 <= len(frame) <= 65535:
            raise EngineError(error_numbers.EINVAL, f"a frame of {len(frame)} bytes")
        if type(queue) is not int or not 0 <= queue < dev.dev.n_queues:
            raise EngineError(error_numbers.EINVAL, f"{dev.name} has no queue {queue}")
        worker = self.crew.worker(dev.dev.queues[<int> queue].owner)
        (<DummyNetdev> dev).note_received(frame)
        memset(&c, 0, sizeof(c))
        buffer = take_packet(&p, frame)
        c.kind = COMMAND_INJECT
        c.queue = &dev.dev.queues[<int> queue]
        c.p = &p
        try:
            worker.run_command(&c)
        finally:
            free(buffer)

    def port_drain(self, number):
        port = self.port(number)
        if port.type not in DUMMY_TYPES:
            raise EngineError(error_numbers.EOPNOTSUPP, f"{port.name} is no dummy port")
        return port.drain()

    # --- bonds

    def bond_set(self, bond, basis, members):
        """Make a bond, or change who carries its buckets."""
        try:
            self.bonds.set(bond, basis, members)
        except ValueError as error:
            raise EngineError(error_numbers.EINVAL, str(error)) from None
        self.forget_bonds()

    def bond_del(self, bond):
        if type(bond) is not int or not 0 <= bond < 1 << 32:
            raise EngineError(error_numbers.EINVAL, f"{bond}: not a number of 32 bits")
        try:
            self.bonds.delete(bond)
        except KeyError:
            raise EngineError(error_numbers.ENOENT, f"no bond {bond}") from None
        self.forget_bonds()

    cdef int forget_bonds(self) except -1:
        if self.bonds.retired:
            self.crew.sync()
            self.bonds.reclaim()
        return 0

    # --- meters

    cdef int forget_meters(self) except -1:
        """Let go of what was replaced, once no worker is in the midst of a packet."""
        self.crew.sync()
        self.meters.reclaim()
        return 0

    def meter_set(self, meter, flags, bands, owner=""):
        """Make or replace a meter."""
        try:
            self.meters.set(meter, flags, bands, owner)
        except ValueError as error:
            raise EngineError(error_numbers.EINVAL, str(error)) from None
        self.forget_meters()

    def meter_del(self, meter):
        """The meter as it was at its end."""
        last = self.meter_get(meter)
        self.meters.delete(meter)
        self.forget_meters()
        return last

    def meter_get(self, meter):
        """What Meters.get() gives."""
        if meter not in self.meters:
            raise EngineError(error_numbers.ENOENT, f"no meter {meter}")
        return self.meters.get(meter)

    def meter_dump(self, behind=-1, count=None):
        """`count` meters with numbers above `behind`."""
        numbers = [number for number in self.meters if number > behind][:count]
        return [self.meters.get(number) for number in numbers]

    # --- packets

    def execute(self, bytes data, packet_size, in_port=0, recirc_id=0, skb_priority=0, pkt_mark=0,
                packet_type=0, key=""):
        """`data`: a packet of packet_size bytes, then actions.  `key`: see Dpif.execute()."""
        cdef Worker worker = self.workers[0]
        cdef command c
        cdef packet p
        cdef flow_key metadata
        cdef uint8_t *buffer
        cdef bytes actions, known = bytes.fromhex(key)
        if not (1 if packet_type else 14) <= packet_size <= min(len(data), 65535):
            raise EngineError(error_numbers.EINVAL, f"a frame of {packet_size} bytes")
        actions = data[packet_size:]
        check(actions, True)
        memset(&c, 0, sizeof(c))
        buffer = take_packet(&p, data[:packet_size])
        p.in_port = htonl(in_port)
        p.recirc_id = htonl(recirc_id)
        p.skb_priority = htonl(skb_priority)
        p.pkt_mark = htonl(pkt_mark)
        p.packet_type = htonl(packet_type)
        memset(&metadata, 0, sizeof(metadata))
        memcpy(&metadata, <const char *> known, min(len(known), <size_t> KEY_DP_SIZE))
        key_ct(&metadata, &p.ct)
        c.kind = COMMAND_EXECUTE
        c.p = &p
        c.key = &metadata
        c.actions = <const uint8_t *> <const char *> actions
        c.actions_size = <uint32_t> len(actions)
        try:
            worker.run_command(&c)
        finally:
            free(buffer)

    # --- the handler

    def attach(self):
        """Rings for a handler: its descriptors, to be closed by the caller once sent.

        Its doorbell, then for each worker the up ring, the down ring and the worker's doorbell.  What
        waits for a handler since detach() is in the up rings.
        """
        self.up_memory.part_from_reader()
        fds = []
        try:
            ours, theirs = make_doorbell()
            fds.append(theirs)
            self._keep_bell(ours)
            fds += self.attach_some(self.workers)
        except (OSError, EngineError):
            for fd in fds:
                os.close(fd)
            self.drop_rings()
            raise
        self.up_memory.read_anew()
        return fds

    def _keep_bell(self, fd):
        """`fd`, ours from now on, takes the place of the former; -1: none does."""
        former, self.up_bell = self.up_bell, fd
        if former >= 0:
            os.close(former)

    def attach_some(self, workers):
        """Rings of these workers for the handler that there is: three descriptors of each."""
        fds = []
        try:
            for worker in workers:
                self._attach(worker, fds)
        except (OSError, EngineError):
            for fd in fds:
                os.close(fd)
            raise
        return fds

    def _attach(self, Worker worker, fds):
        """Those of one worker, after `fds`, whatever comes of it; it closes its doorbells itself when
        the next rings come."""
        cdef command c
        memset(&c, 0, sizeof(c))
        c.up_fd = self.up_memory.of(worker.id)
        fds.append(c.up_fd)
        c.down_fd = create_memory(DOWN_RING)
        fds.append(c.down_fd)
        c.up_bell = os.dup(self.up_bell)
        try:
            ours, theirs = make_doorbell()
        except OSError:
            os.close(c.up_bell)
            raise
        fds.append(theirs)
        c.down_bell = ours
        c.kind = COMMAND_RINGS
        worker.run_command(&c)
        if c.error:
            raise EngineError(c.error)

    def detach(self, now):
        """There is no handler any more, since `now` (ms): what goes up waits for the next one."""
        cdef command c
        if self.rings_broken() or not self.up_memory.park(now):
            self.drop_rings()
            return
        memset(&c, 0, sizeof(c))
        c.kind = COMMAND_HANDLER_GONE
        c.synced = True
        self.crew.all_workers(&c)

    def give_up_rings(self, now):
        """Once no handler has come in time: packets that would go up are counted and dropped."""
        if self.up_memory.deadline is not None and now >= self.up_memory.deadline:
            self.drop_rings()

    def drop_rings(self):
        """There are no rings of a handler any more."""
        cdef command c
        self.up_memory.close()
        self._keep_bell(-1)
        memset(&c, 0, sizeof(c))
        c.kind = COMMAND_RINGS
        c.up_fd = c.down_fd = c.up_bell = c.down_bell = -1
        self.crew.all_workers(&c)

    def rings_broken(self):
        """Whether a worker found a ring of the handler broken."""
        return any(worker.broken for worker in self.workers)

    # --- counters

    def take_alarms(self):
        """What workers had to refuse since the last call: [(worker's number, text)]."""
        cdef Worker worker
        found = []
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.alarm_fd)
        for worker in self.workers:
            if not worker.take_alarm():
                continue
            now = (worker.w.n_bad_records, worker.w.n_refused_flows)
            bad, refused = (n - old for n, old in zip(now, self.told.get(worker, (0, 0))))
            self.told[worker] = now
            if bad:
                found.append((worker.id, f"{bad} records of the handler make no sense"))
            if refused:
                found.append((worker.id, f"{refused} flows were not taken: the table is full, or "
                                         "has their ufid or their match already"))
        return found

    def stats(self):
        """What Dpif.stats() gives."""
        if self.kernel_cache.on:
            self.crew.sync()
        workers = [worker.stats() for worker in self.workers]
        for port in self.ports.values():
            port.refresh()
        kernel = self.kernel_cache.status()

        def total(name):
            return sum(each[name] for each in workers) + self.retired.get(name, 0)

        drops = dict(self.retired_drops)
        if self.up_memory.n_lost:
            drops["upcall_no_handler"] = drops.get("upcall_no_handler", 0) + self.up_memory.n_lost
        for source in (*self.workers, *self.ports.values()):
            for name, count in source.drops().items():
                drops[name] = drops.get(name, 0) + count
        return {
            "hits": total("emc_hits") + total("smc_hits") + total("megaflow_hits") + kernel["hits"],
            "misses": total("misses"),
            "lost": total("lost") + self.up_memory.n_lost,
            "n_flows": max(each["flows"] for each in workers if each["core"] is None)
            + sum(each["flows"] for each in workers if each["core"] is not None),
            "masks": max(each["masks"] for each in workers),
            "mask_hits": total("masks_probed"),
            "drops": drops,
            "workers": workers,
            "frequency": self.measuring.frequency(),
            "kernel_cache": kernel,
        }


cdef uint8_t *take_packet(packet *p, bytes frame) except NULL:
    """A packet on a copy of the frame, which the caller frees."""
    cdef uint8_t *buffer = <uint8_t *> malloc(BIG_SIZE)
    if buffer == NULL:
        raise MemoryError()
    packet_init(p, buffer, BIG_SIZE, PACKET_HEADROOM, <uint32_t> len(frame))
    memcpy(p.data, <const char *> frame, len(frame))
    return buffer
