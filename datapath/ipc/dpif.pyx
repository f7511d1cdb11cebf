"""The client of the datapath process; the way to it for everybody else.

Requests go over datapath.sock, and wait for their answer.  Packets come up, and flows with their
first packets go down, by rings in shared memory (upcall.pxd), without a system call where both
sides are awake.
"""

import os
import select
import socket

from libc.errno cimport errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from posix.unistd cimport close, read, write

from datapath.key.flow cimport KEY_DP_SIZE, flow_key
from datapath.actions.odp cimport MAX_ACTIONS
from datapath.ipc.ring cimport (
    ring, ring_awake, ring_commit, ring_map, ring_must_wake, ring_peek, ring_release,
    ring_reserve, ring_sleep, ring_unmap,
)
from datapath.ipc.upcall cimport (
    DOWN_EXECUTE, DOWN_INSTALL, MAX_UPCALL_PACKET, down_record, padded, upcall_record,
)

from collections import namedtuple

from datapath.ipc import protocol
from datapath.key import flow
from datapath.ipc.protocol import FlowInfo
from pyvs.streams.listener import short_path

cdef extern from "<arpa/inet.h>" nogil:
    uint32_t htonl(uint32_t)

TIMEOUT = 10.0                  # seconds to wait for an answer, for who can wait
# Requests for which the kernel makes or takes devices: who has no time gives them that more.
SLOW = ("port_add", "port_del", "flow_flush", "upcall_register", "kernel_cache_set", "workers_add", "workers_del")
SLOWER = 20
MANY = 256                      # flows to delete in one request

PortInfo = namedtuple(
    "PortInfo", "port_no name type ifindex dead stats drops options queues told link", defaults=("",)
)


# bands: [(rate, burst), ...]; packets and bytes that came; dropped: [(packets, bytes), ...] by band.
MeterInfo = namedtuple("MeterInfo", "meter owner flags bands packets bytes dropped")


def _meter_info(body):
    bands, dropped = ([tuple(pair) for pair in body.pop(name)] for name in ("bands", "dropped"))
    return MeterInfo(bands=bands, dropped=dropped, **body)


class DpifError(OSError):
    """The datapath process refused a request: `errno`, and `strerror` in its words."""


class DpifStalled(TimeoutError):
    """The datapath process has not answered yet: the connection goes on, but takes no request
    until the answer is there (Dpif.settled)."""


cdef class Dpif:
    def __cinit__(self):
        self.upcall_fd = -1

    def __init__(self, path, patience=None):
        """`patience`: seconds after which a request raises DpifStalled; None: it waits TIMEOUT,
        and the connection ends then."""
        self.path = os.fspath(path)
        self.patience = patience
        self.unanswered = None
        self.late = {}
        self.sending = []
        self.buffer = bytearray()
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT if patience is None else patience)
        try:
            with short_path(self.path) as short:
                self.sock.connect(short)
        except OSError:
            self.sock.close()
            raise

    def __dealloc__(self):
        self._drop_rings()

    def close(self):
        """End the connection; the datapath goes on.  Idempotent."""
        self._drop_rings()
        self.sock.close()

    def fileno(self):
        """The socket's: readable when the process has gone."""
        return self.sock.fileno()

    def alive(self):
        """Whether the process is still there, and the rings are of use."""
        cdef uint32_t i
        if self.sock.fileno() < 0:
            return False
        for i in range(self.n_workers):
            if self.up[self.ids[i]].broken or self.down[self.ids[i]].broken:
                return False
        try:
            if not self._is_readable():
                return True
            return bool(self.sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def _drop_rings(self):
        while self.n_workers:
            self._drop_worker(self.n_workers - 1)
        if self.upcall_fd >= 0:
            close(self.upcall_fd)
        free(self.up)
        free(self.down)
        free(self.wake)
        self.up = self.down = NULL
        self.wake = NULL
        self.upcall_fd = -1

    def _drop_worker(self, uint32_t index):
        cdef uint32_t id = self.ids[index]
        ring_unmap(&self.up[id])
        ring_unmap(&self.down[id])
        close(self.wake[id])
        self.on_own_core &= ~(<uint64_t> 1 << id)
        self.n_workers -= 1
        self.ids[index] = self.ids[self.n_workers]

    # --- requests

    def _send(self, op, data, words):
        self.seq = (self.seq + 1) & 0xffffffff
        message = protocol.encode({"op": op, **words}, data, self.seq)
        if self.sending:        # they go with a request that is small
            socket.send_fds(self.sock, [message], self.sending)
        else:
            self.sock.sendall(message)

    def _read(self, fds):
        data, received, _flags, _address = socket.recv_fds(self.sock, 1 << 20, protocol.MAX_FDS)
        fds += received
        if not data:
            raise ConnectionResetError(104, "the datapath process closed the connection")
        self.buffer += data

    def _is_readable(self):
        """The socket has a timeout, which recv() would wait for whatever its flags are."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))

    def _receive(self, fds):
        while (message := protocol.decode(self.buffer)) is None:
            self._read(fds)
        body, data, seq = message
        if seq != self.seq:
            raise protocol.ProtocolError(f"answer {seq} to request {self.seq}")
        if "error" in body:
            raise DpifError(body["error"], body.get("text", os.strerror(body["error"])))
        return body, data

    def _request(self, op, data=b"", fds=None, **words):
        """One request and its answer, (body, data)."""
        received = [] if fds is None else fds
        if not self.settled():
            raise DpifStalled(110, "the datapath process does not answer")
        try:
            self._send(op, data, words)
            return self._answer(op, received)
        except DpifStalled:
            raise
        except (TimeoutError, ConnectionError, protocol.ProtocolError) as error:
            # What comes later would answer another question.
            self.sock.close()
            if isinstance(error, protocol.ProtocolError):
                raise ConnectionResetError(104, str(error)) from None
            raise
        finally:
            if fds is None:
                for fd in received:
                    os.close(fd)

    def _answer(self, op, fds):
        if self.patience is None:
            return self._receive(fds)
        self.sock.settimeout(self.patience * (SLOWER if op in SLOW else 1))
        try:
            return self._receive(fds)
        except TimeoutError:
            self.unanswered = op
            raise DpifStalled(110, "the datapath process does not answer") from None
        finally:
            self.sock.settimeout(self.patience)

    def settled(self):
        """Whether no answer is outstanding; does not wait for one.  Raises ConnectionError."""
        fds = []
        if self.unanswered is None:
            return True
        if self.sock.fileno() < 0:
            raise ConnectionResetError(104, "the connection is closed")
        try:
            while (message := protocol.decode(self.buffer)) is None:
                if not self._is_readable():
                    return False
                self._read(fds)
        except (ConnectionError, protocol.ProtocolError) as error:
            self.sock.close()
            raise ConnectionResetError(104, str(error)) from None
        finally:
            for fd in fds:
                os.close(fd)
        if self.unanswered == "flow_del_many" and "error" not in message[0]:
            self.late.update((info.ufid, info) for info in protocol.terse_flows(message[1]))
        self.unanswered = None
        return True

    def version(self):
        """{"version": text, "layout": text, "pid": number, "workers": number}."""
        return self._request("version")[0]

    def stranger(self):
        """The process, by its pid, where it lays out keys, actions or records as another build
        of pyvs does: only version() is of use then.  None: it is one of ours."""
        body = self.version()
        return None if body.get("layout") == protocol.LAYOUT else body["pid"]

    # --- ports

    def port_add(self, name, type, port_no=None, options=None, device=None):
        """Returns the port's number.  `device`: what port_device() had of another process."""
        self.sending = [] if device is None else [device]
        try:
            return self._request(
                "port_add", name=name, type=type, port_no=port_no, options=options or {},
                given=device is not None,
            )[0]["port_no"]
        finally:
            self.sending = []

    def port_device(self, port_no):
        """A descriptor of a port's TAP, to be closed by the caller: the device stays as long as
        there is one.  DpifError EOPNOTSUPP for other ports, EMFILE where none was free."""
        fds = []
        self._request("port_device", fds=fds, port_no=port_no)
        if len(fds) != 1:
            raise DpifError(24, "no descriptor came")
        return fds[0]

    def port_set(self, port_no, options):
        """Other files for the frames of a dummy port (pcap, rxq_pcap, tx_pcap).  DpifError EOPNOTSUPP for
        other ports."""
        self._request("port_set", port_no=port_no, options=options)

    def port_del(self, port_no):
        """DpifError ENODEV when there is none."""
        self._request("port_del", port_no=port_no)

    def port_dump(self):
        """All ports by number."""
        ports, behind = [], 0
        while behind is not None:
            body = self._request("port_dump", behind=behind)[0]
            ports += [PortInfo(**port) for port in body["ports"]]
            behind = body["behind"]
        return ports

    def port_get(self, port_no):
        """The one port; None when there is none."""
        found = self._request("port_dump", behind=port_no - 1, count=1)[0]["ports"]
        return PortInfo(**found[0]) if found and found[0]["port_no"] == port_no else None

    def port_dead(self):
        """Numbers of (some) ports whose interface went without its port; costs the datapath no
        look at its devices."""
        return self._request("port_dead")[0]["ports"]

    def port_inject(self, port_no, frame, queue=0):
        """A frame as if the (dummy) port had received it, by one of its queues."""
        self._request("port_inject", bytes(frame), port_no=port_no, queue=queue)

    def port_drain(self, port_no):
        """The frames that a dummy port sent since the last call."""
        body, data = self._request("port_drain", port_no=port_no)
        frames, at = [], 0
        for size in body["sizes"]:
            frames.append(data[at : at + size])
            at += size
        return frames

    # --- flows

    def flow_put(self, key, mask, actions, ufid=None):
        """Add a flow, or give the one with that ufid other actions; returns the ufid."""
        key, mask = bytes(key[:KEY_DP_SIZE]), bytes(mask[:KEY_DP_SIZE])
        if len(key) != KEY_DP_SIZE or len(mask) != KEY_DP_SIZE:
            raise ValueError(f"key and mask have {KEY_DP_SIZE} bytes at least")
        ufid = flow.ufid(key, mask) if ufid is None else ufid
        record = protocol.FLOW.pack(ufid, 0, 0, 0, 0, 0, 0, 0, len(actions))
        self._request("flow_put", record + key + mask + actions)
        return ufid

    def flow_get(self, ufid):
        """FlowInfo; DpifError ENOENT when there is none."""
        return next(protocol.flows(self._request("flow_get", bytes(ufid))[1]))

    def flow_del(self, ufid):
        """Returns the flow as it was at its end, or None when there was none."""
        return next(protocol.flows(self._request("flow_del", bytes(ufid))[1]), None)

    def flow_del_many(self, ufids):
        """Delete flows; {ufid: FlowInfo} of those that were there, with their last counters only.

        After DpifStalled it is to be called again for the same ones: it then returns as well what
        was deleted before.
        """
        gone, ufids = {}, list(ufids)
        for at in range(0, len(ufids), MANY):
            try:
                _, data = self._request("flow_del_many", b"".join(ufids[at : at + MANY]))
            except DpifStalled:
                self.late.update(gone)
                raise
            gone.update((info.ufid, info) for info in protocol.terse_flows(data))
        gone.update(self.late)
        self.late = {}
        return gone

    def flow_flush(self):
        """Delete all flows."""
        self._request("flow_flush")

    def flow_stats_sync(self, since=0):
        """What flows have counted by now: {ufid: FlowInfo}, without keys and actions.

        Exact: before anything is read, each worker has done all that this handler has put into
        its ring, and the frames that its ports had (a burst of each).  `since`, ms of
        CLOCK_MONOTONIC: only flows that had a packet then or later; with the time before the
        last call these are all that have changed.
        """
        return {info.ufid: info for info in self.flow_dump(True, since)}

    def flow_dump(self, terse=False, since=0, core=None):
        """Iterator of FlowInfo, as exact as flow_stats_sync() when it begins; flows may come and
        go meanwhile.  `terse`: without keys and actions, which are None.  `core`: only what the
        worker for that processor core has, -1: what those for none have."""
        cursor = None
        while True:
            body, data = self._request(
                "flow_dump", cursor=cursor, terse=terse, since=since, core=core)
            yield from protocol.terse_flows(data) if terse else protocol.flows(data)
            cursor = body["cursor"]
            if cursor is None:
                return

    def kernel_cache_set(self, wanted):
        """Whether the kernel is to forward what it can by itself; stats() has what became of it."""
        self._request("kernel_cache_set", wanted=bool(wanted))

    def lookup_set(self, inverse, signatures):
        """One in `inverse` flows goes to the exact-match cache, 0: none; whether there is a signature
        match cache."""
        self._request("lookup_set", inverse=inverse, signatures=signatures)

    # --- meters

    def meter_features(self):
        """{"max_meters": ids are below it, "max_bands": n, "flags": OFPMF_* bits}."""
        return self._request("meter_features")[0]["features"]

    def meter_set(self, meter, flags, bands, owner=""):
        """Make or replace a meter, with counters of 0; bands: (rate, burst) of what it drops;
        `owner`: a text to find it by.  DpifError EINVAL."""
        self._request("meter_set", meter=meter, flags=flags, bands=bands, owner=owner)

    def meter_get(self, meter):
        """MeterInfo; DpifError ENOENT when there is none."""
        return _meter_info(self._request("meter_get", meter=meter)[0]["meter"])

    def meter_del(self, meter):
        """Returns the meter as it was at its end; DpifError ENOENT when there is none."""
        return _meter_info(self._request("meter_del", meter=meter)[0]["meter"])

    def meter_dump(self):
        """All meters by number."""
        meters, behind = [], -1
        while behind is not None:
            body = self._request("meter_dump", behind=behind)[0]
            meters += map(_meter_info, body["meters"])
            behind = body["behind"]
        return meters

    # --- connections; rows and tuples are as connections.pyi has them

    def ct_dump(self, zone=None):
        """Iterator of connections, dictionaries; some may come and go meanwhile."""
        cursor = 0
        while cursor is not None:
            body = self._request("ct_dump", cursor=cursor, zone=zone)[0]
            yield from body["connections"]
            cursor = body["cursor"]

    def ct_flush(self, **which):
        """Remove connections; how many.  See ct_flush_pieces()."""
        return sum(self.ct_flush_pieces(**which))

    def ct_flush_pieces(self, zone=None, orig=None, reply=None, mark=None, label=None):
        """Remove connections, a piece of the table at each step, which gives how many.  orig, reply:
        some members of a tuple; mark, label: value and mask (label in hexadecimal)."""
        match = {"zone": zone, "orig": orig, "reply": reply, "mark": mark, "label": label}
        cursor = 0
        while cursor is not None:
            body = self._request("ct_flush", cursor=cursor, match=match)[0]
            cursor = body["cursor"]
            yield body["count"]

    def ct_stats(self):
        """Counters: connections, and what became of others."""
        return self._request("ct_stats")[0]["stats"]

    def ct_buckets(self):
        """How many are in each part of the hash."""
        return self._request("ct_buckets")[0]["buckets"]

    def ct_get(self):
        """{"maxconns", "tcp_seq_chk", "sweep_interval" (ms)}."""
        return self._request("ct_get")[0]

    def ct_set(self, **settings):
        """Change some of what ct_get() tells.  DpifError EINVAL."""
        self._request("ct_set", **settings)

    def ct_limits(self, zones=None):
        """(default, [(zone, limit, connections)]) of zones that have a limit, or of these."""
        body = self._request("ct_limits", zones=zones)[0]
        return body["default"], [tuple(row) for row in body["limits"]]

    def ct_limits_set(self, limits):
        """[(zone, limit)]; zone None: the default; limit 0: none."""
        self._request("ct_limits_set", limits=limits)

    def ct_limits_del(self, zones):
        """These zones have the default's again."""
        self._request("ct_limits_del", zones=list(zones))

    def ct_timeout_policy_set(self, name, timeouts):
        """Make or replace a policy: {name as in CT_Timeout_Policy: seconds}; name "": what holds
        without one."""
        self._request("ct_policy_set", name=name, timeouts=timeouts)

    def ct_timeout_policy_del(self, name):
        """DpifError ENOENT when there is none."""
        self._request("ct_policy_del", name=name)

    def ct_timeout_policies(self):
        """{name: {timeout's name: seconds}}."""
        return self._request("ct_policy_dump")[0]["policies"]

    def ct_memory(self):
        """A descriptor of the memory with all connections, to be closed by the caller: whoever
        keeps it has them when the datapath process dies."""
        fds = []
        self._request("ct_memory", fds=fds)
        if len(fds) != 1:
            raise DpifError(5, f"{len(fds)} descriptors")
        return fds[0]

    def ct_adopt(self, fd):
        """Have a new datapath process go on with that memory; how many connections it has.

        DpifError EEXIST where it has connections of its own, EINVAL where it is of another build.
        """
        self.sending = [fd]
        try:
            return self._request("ct_adopt")[0]["count"]
        finally:
            self.sending = []

    def ipf_get(self):
        """Fragments: v4, v6, min_v4, min_v6, most (settings), waiting, counters {name: [v4, v6]}."""
        return self._request("ipf_get")[0]["status"]

    def ipf_list(self):
        """Packets of which fragments are missing, as dicts: src, dst, id, proto, zone, recirc_id,
        fragments (how many are there), first, last (whether these are)."""
        return self._request("ipf_list")[0]["packets"]

    def ipf_set(self, **settings):
        """Change some of the settings.  DpifError EINVAL."""
        self._request("ipf_set", **settings)

    # --- packets

    def execute(self, packet, actions, in_port=0, recirc_id=0, skb_priority=0, pkt_mark=0,
                packet_type=0, key=b""):
        """Run actions on a packet without offload state, an Ethernet frame if packet_type is 0.
        `key`: a flow key whose connection (ct_*) and tunnel are the packet's."""
        self._request(
            "execute", bytes(packet) + bytes(actions), packet_size=len(packet), in_port=in_port,
            recirc_id=recirc_id, skb_priority=skb_priority, pkt_mark=pkt_mark, packet_type=packet_type,
            key=key.hex(),
        )

    def execute_soon(self, bytes packet not None, bytes actions not None, in_port=0, packet_type=0,
                     bytes key not None=b""):
        """As execute(), by the ring of a worker and without an answer; `key` has all of the packet's
        metadata.  False: no room there.

        What this handler installed before is there when the packet is sent, and packets stay in
        their order.  Faults in the actions are counted as drops.
        """
        cdef upcall u
        if not self.n_workers or len(packet) > MAX_UPCALL_PACKET or len(actions) > MAX_ACTIONS:
            return False
        memset(&u, 0, sizeof(u))
        memcpy(&u.key, <const char *> key, min(len(key), <size_t> KEY_DP_SIZE))
        u.key.in_port = htonl(in_port)
        u.key.packet_type = htonl(packet_type)
        u.packet = <const uint8_t *> <const char *> packet
        u.packet_size = <uint32_t> len(packet)
        return self.execute_upcall(&u, <const uint8_t *> <const char *> actions,
                                   <uint32_t> len(actions)) == 0

    def set_clock(self, stopped, ahead):
        """Have the clock of packets and flows stand at `stopped` (ns; None: go), `ahead` ns
        before the kernel's."""
        self._request("clock", stopped=stopped, ahead=ahead)

    def set_tunnel_ports(self, first, last):
        """The range of UDP source ports of tunnels' outer headers."""
        self._request("tunnel_ports", first=first, last=last)

    def sync(self):
        """When it returns, the workers have done all that was put into their rings before."""
        self._request("sync")

    def stats(self):
        """Counters: hits, misses, lost, n_flows, masks, drops {reason: n}, workers [{...}]."""
        return self._request("stats")[0]["stats"]

    # --- workers; those for no core were there from the start, and stay

    def workers_add(self, cores, pinned):
        """Have a worker for each of these processor cores (`pinned`: it runs there only); their
        numbers.  The handler of upcalls gets theirs from then on."""
        fds = []
        try:
            ids = self._request("workers_add", fds=fds, cores=list(cores), pinned=bool(pinned))[0]
            if self.n_workers:
                self._add_rings(zip(ids["workers"], cores), fds)
        finally:
            for fd in fds:
                os.close(fd)
        return ids["workers"]

    def workers_del(self, workers):
        """End some that workers_add() made; upcalls of theirs that were not taken are lost."""
        cdef uint32_t i
        self._request("workers_del", workers=list(workers))
        for i in range(self.n_workers, 0, -1):
            if self.ids[i - 1] in workers:
                self._drop_worker(i - 1)

    def queues_move(self, moves):
        """Have receive queues polled by other workers: (port's number, queue, worker's number)."""
        self._request("queues_move", moves=list(moves))

    # --- upcalls

    def upcall_register(self):
        """Become the handler of upcalls; `upcall_fd` is readable when there may be some.

        Whoever was it before gets none any more.
        """
        cdef uint32_t i
        fds = []
        try:
            body, _ = self._request("upcall_register", fds=fds)
            if not fds:
                raise DpifError(5, "no descriptors")
            self._drop_rings()
            self.up = <ring *> calloc(MAX_WORKERS, sizeof(ring))
            self.down = <ring *> calloc(MAX_WORKERS, sizeof(ring))
            self.wake = <int *> calloc(MAX_WORKERS, sizeof(int))
            if self.up == NULL or self.down == NULL or self.wake == NULL:
                raise MemoryError()
            self.upcall_fd = os.dup(fds[0])
            os.set_blocking(self.upcall_fd, False)
            self._add_rings(body["workers"], fds[1:])
        finally:
            for fd in fds:
                os.close(fd)

    def knows(self, worker):
        """Whether there are rings of the worker of this number."""
        return worker in [self.ids[i] for i in range(self.n_workers)]

    def _add_rings(self, workers, fds):
        """`workers`: (number, core or None) of each; three descriptors of each."""
        cdef uint32_t id
        workers = list(workers)
        if len(fds) != 3 * len(workers):
            raise DpifError(5, f"{len(fds)} descriptors for {len(workers)} workers")
        for (number, core), at in zip(workers, range(0, len(fds), 3)):
            if not 0 <= number < MAX_WORKERS or self.n_workers == MAX_WORKERS:
                raise DpifError(5, f"a worker {number}")
            id = number
            self.wake[id] = os.dup(fds[at + 2])
            self.ids[self.n_workers] = id
            self.n_workers += 1
            if core is not None:
                self.on_own_core |= <uint64_t> 1 << id
            if ring_map(&self.up[id], fds[at]) or ring_map(&self.down[id], fds[at + 1]):
                raise OSError(errno, os.strerror(errno))

    def upcall_wait(self):
        """Before poll(): ask to be woken.  False: there are upcalls, do not sleep."""
        cdef uint32_t i
        cdef bint may_sleep = True
        for i in range(self.n_workers):
            may_sleep = ring_sleep(&self.up[self.ids[i]]) and may_sleep
        return may_sleep

    def upcall_awake(self):
        """After poll(): no waking needed while upcalls are being taken."""
        cdef uint32_t i
        cdef uint64_t count
        for i in range(self.n_workers):
            ring_awake(&self.up[self.ids[i]])
        if self.upcall_fd >= 0:
            read(self.upcall_fd, &count, 8)

    cdef bint next_upcall(self, upcall *u) noexcept:
        cdef uint32_t i, worker, length
        cdef const uint8_t *record
        for i in range(self.n_workers):
            worker = self.ids[(self.turn + i) % self.n_workers]
            while True:
                record = ring_peek(&self.up[worker], &length)
                if record == NULL:
                    break
                if read_upcall(u, worker, record, length):
                    self.turn += i + 1
                    return True
                ring_release(&self.up[worker])
        return False

    cdef void release_upcall(self, upcall *u) noexcept:
        ring_release(&self.up[u.worker])

    cdef int _push(self, uint32_t worker, uint16_t what, const upcall *u, const uint8_t *ufid,
                   const flow_key *key, const flow_key *mask, const uint8_t *actions,
                   uint32_t length) noexcept:
        cdef uint32_t packet_size = u.packet_size if what & DOWN_EXECUTE else 0
        cdef uint32_t size = <uint32_t> sizeof(down_record) + KEY_DP_SIZE + padded(length)
        cdef down_record *record
        cdef uint8_t *at
        cdef uint64_t one = 1
        if what & DOWN_INSTALL:
            size += KEY_DP_SIZE
        if worker >= MAX_WORKERS or self.down == NULL:
            return -1
        at = ring_reserve(&self.down[worker], size + padded(packet_size))
        if at == NULL:
            return -1           # full, or the worker is gone
        record = <down_record *> at
        memset(record, 0, sizeof(down_record))
        record.what = what
        record.packet_size = packet_size
        record.actions_size = length
        at += sizeof(down_record)
        # With EXECUTE the key is the packet's own, which any flow for it matches as well.
        memcpy(at, &u.key if what & DOWN_EXECUTE else key, KEY_DP_SIZE)
        at += KEY_DP_SIZE
        if what & DOWN_INSTALL:
            memcpy(record.ufid, ufid, 16)
            memcpy(at, mask, KEY_DP_SIZE)
            at += KEY_DP_SIZE
        if length:
            memcpy(at, actions, length)
        if what & DOWN_EXECUTE:
            record.vnet = u.vnet
            memcpy(at + padded(length), u.packet, packet_size)
        ring_commit(&self.down[worker])
        if ring_must_wake(&self.down[worker]):
            write(self.wake[worker], &one, 8)
        return 0

    cdef uint64_t peers(self, uint32_t worker) noexcept:
        cdef uint64_t bit = <uint64_t> 1 << worker
        return bit if self.on_own_core & bit else ~self.on_own_core

    cdef int install(self, uint64_t workers, const uint8_t *ufid, const flow_key *key,
                     const flow_key *mask, const uint8_t *actions, uint32_t length) noexcept:
        cdef uint32_t i
        cdef int result = 0
        for i in range(self.n_workers):
            if workers >> self.ids[i] & 1:
                result |= self._push(self.ids[i], DOWN_INSTALL, NULL, ufid, key, mask, actions,
                                     length)
        return result

    cdef int execute_upcall(self, const upcall *u, const uint8_t *actions,
                            uint32_t length) noexcept:
        return self._push(u.worker, DOWN_EXECUTE, u, NULL, NULL, NULL, actions, length)

    cdef int install_and_execute(self, const upcall *u, const uint8_t *ufid, const flow_key *key,
                                 const flow_key *mask, const uint8_t *actions,
                                 uint32_t length) noexcept:
        cdef uint64_t others = self.peers(u.worker) & ~(<uint64_t> 1 << u.worker)
        cdef int result = self._push(u.worker, DOWN_INSTALL | DOWN_EXECUTE, u, ufid, key, mask,
                                     actions, length)
        return result | self.install(others, ufid, key, mask, actions, length)


# --- upcalls for Python: tests, and who wants to see what comes up

Upcall = namedtuple("Upcall", "type worker reason key vnet userdata packet")


cdef object _copy_upcall(const upcall *u):
    return Upcall(
        u.type, u.worker, u.reason, (<const char *> &u.key)[:KEY_DP_SIZE], dict(u.vnet),
        u.userdata[:u.userdata_size], u.packet[:u.packet_size],
    )


def take_upcall(Dpif dpif not None):
    """The next packet that came up as an Upcall, or None."""
    cdef upcall u
    if not dpif.next_upcall(&u):
        return None
    copy = _copy_upcall(&u)
    dpif.release_upcall(&u)
    return copy


def answer_upcall(Dpif dpif not None, given, bytes actions, key=None, mask=None):
    """Run actions on an Upcall's packet; with key and mask, also install a flow that has them.

    False where the ring is full.
    """
    cdef upcall u
    cdef flow_key k, m
    cdef bytes words, packet, ufid
    memset(&u, 0, sizeof(u))
    u.worker = given.worker
    if not dpif.knows(u.worker):
        raise ValueError(f"there is no worker {given.worker}")
    u.vnet = given.vnet
    packet, words = given.packet, given.key
    memcpy(&u.key, <const char *> words, min(KEY_DP_SIZE, len(words)))
    u.packet = packet
    u.packet_size = <uint32_t> len(packet)
    if key is None:
        return dpif.execute_upcall(&u, actions, <uint32_t> len(actions)) == 0
    memset(&k, 0, sizeof(k))
    memset(&m, 0, sizeof(m))
    words = bytes(key[:KEY_DP_SIZE])
    memcpy(&k, <const char *> words, len(words))
    words = bytes(mask[:KEY_DP_SIZE])
    memcpy(&m, <const char *> words, len(words))
    ufid = flow.ufid(bytes(key[:KEY_DP_SIZE]), words)
    return dpif.install_and_execute(&u, ufid, &k, &m, actions, <uint32_t> len(actions)) == 0


def push_down(Dpif dpif not None, uint32_t worker, bytes record):
    """Put any bytes into a worker's down ring, as a handler gone mad would.  False: no room."""
    cdef uint8_t *at
    cdef uint64_t one = 1
    if not dpif.knows(worker):
        raise ValueError(f"there is no worker {worker}")
    at = ring_reserve(&dpif.down[worker], <uint32_t> len(record))
    if at == NULL:
        return False
    memcpy(at, <const char *> record, len(record))
    ring_commit(&dpif.down[worker])
    if ring_must_wake(&dpif.down[worker]):
        write(dpif.wake[worker], &one, 8)
    return True


cdef bint read_upcall(upcall *u, uint32_t worker, const uint8_t *at, uint32_t length) noexcept:
    """Fills `u`; false for a record that contradicts itself."""
    cdef upcall_record record
    if length < sizeof(upcall_record) + KEY_DP_SIZE:
        return False
    memcpy(&record, at, sizeof(upcall_record))
    at += sizeof(upcall_record)
    if (record.userdata_size > 65535 or record.packet_size > MAX_UPCALL_PACKET
            or sizeof(upcall_record) + KEY_DP_SIZE + padded(record.userdata_size)
            + record.packet_size > length):
        return False
    u.type = record.type
    u.worker = <uint16_t> worker
    u.reason = record.reason
    u.vnet = record.vnet
    memset(&u.key, 0, sizeof(u.key))
    memcpy(&u.key, at, KEY_DP_SIZE)
    at += KEY_DP_SIZE
    u.userdata = at
    u.userdata_size = record.userdata_size
    u.packet = at + padded(record.userdata_size)
    u.packet_size = record.packet_size
    return True
