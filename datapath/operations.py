"""What is asked of a datapath by messages of protocol.py, one method for each operation.

Each takes (client, the request's bytes) and the request's words, and gives the answer's words and
bytes, or raises EngineError.
"""

import errno
import os

import ovs.vlog

from datapath.actions.meter import FEATURES
from datapath.actions.tunnel_push import set_udp_ports
from datapath.base.clock import set_clock
from datapath.dummy_links import DummyLinks
from datapath.engine import Engine
from datapath.ipc import protocol
from datapath.netdev.dummy import TYPES as DUMMY_TYPES
from datapath.requests import EngineError, refused
from datapath.worker.perf import WALLS, perf_row_layout
from pyvs.version import VERSION

vlog = ovs.vlog.Vlog("dpif_netdev")

PORTS_PIECE = 256  # in one answer to port_dump
METERS_PIECE = 1000
BONDS_PIECE = 50  # of 10 kB each


class Operations:
    """Of one datapath; `handler` is the client that registered for its upcalls."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.dummy_links = DummyLinks(engine)
        self.handler: object = None

    def _version(self, _client, _data):
        workers = len(self.engine.workers)
        known = {"version": VERSION, "layout": protocol.LAYOUT}
        return {**known, "pid": os.getpid(), "workers": workers}, b""

    def _port_add(
        self, client, _data, name, type, port_no=None, options=None, given=False, patient=True
    ):
        """`given`: a descriptor of its TAP came with the request."""
        if given and client.given < 0:
            raise EngineError(errno.EINVAL, "no descriptor came with the request")
        device = client.given if given else -1
        try:
            number = self.engine.port_add(
                name, type, port_no, options, device, patient is not False
            )
        finally:
            if given:
                client.close_given()
        if type in DUMMY_TYPES:
            try:
                self.dummy_links.add(number, options)
            except OSError:
                self.engine.port_del(number)
                raise
        vlog.info(f"port {number}: {name} ({type})")
        return {"port_no": number}, b""

    def _port_device(self, client, _data, port_no):
        """A TAP's descriptor, for who keeps it until another datapath process comes."""
        self._hand_out(client, self.engine.port_device(port_no))
        return {}, b""

    def _port_set(self, _client, _data, port_no, options):
        self.engine.port_set(port_no, options)
        return {}, b""

    def _port_del(self, _client, _data, port_no):
        name = self.engine.port(port_no).name
        self.dummy_links.remove(port_no)
        self.engine.port_del(port_no)
        vlog.info(f"port {port_no}: {name} removed")
        return {}, b""

    def _port_dump(self, _client, _data, behind=0, count=PORTS_PIECE):
        rows = self.engine.port_dump(behind, min(count, PORTS_PIECE))
        more = len(rows) == PORTS_PIECE
        for row in rows:
            row["link"] = self.dummy_links.state(row["port_no"])
        return {"ports": rows, "behind": rows[-1]["port_no"] if more else None}, b""

    def _port_dead(self, _client, _data):
        return {"ports": self.engine.port_dead()[:PORTS_PIECE]}, b""

    def _port_inject(self, _client, data, port_no, queue=0):
        self.engine.port_inject(port_no, data, queue)
        return {}, b""

    def _workers_add(self, client, _data, cores, pinned):
        """The handler gets the descriptors of their rings."""
        self._only_handler(client)
        ids = self.engine.workers_add(cores, pinned)
        if self.handler is client:
            try:
                client.fds = self.engine.attach_some([self.engine.crew.worker(id) for id in ids])
            except (OSError, EngineError):  # all or none: see Engine.workers_add()
                self.engine.workers_del(ids)
                raise
        return {"workers": ids}, b""

    def _workers_del(self, client, _data, workers):
        self._only_handler(client)
        self.engine.workers_del(workers)
        return {}, b""

    def _only_handler(self, client):
        """It has to know the workers' rings."""
        if self.handler not in (None, client):
            raise EngineError(errno.EBUSY, "the workers are the upcall handler's")
        if client.output:
            raise EngineError(errno.EBUSY, "earlier answers have not been read")
        client.drop_fds()

    def _queues_move(self, _client, _data, moves):
        for port_no, queue, worker in moves:
            self.engine.queue_move(port_no, queue, worker)
        return {}, b""

    def _port_drain(self, _client, _data, port_no):
        frames = self.engine.port_drain(port_no)
        return {"sizes": [len(frame) for frame in frames]}, b"".join(frames)

    def _flow_put(self, _client, data):
        self.engine.flows.put(data)
        return {}, b""

    def _flow_get(self, _client, data):
        return {}, self.engine.flows.get(data)

    def _flow_del(self, _client, data):
        return {}, self.engine.flows.delete(data)

    def _flow_flush(self, _client, _data):
        self.engine.flows.flush()
        return {}, b""

    def _flow_del_many(self, _client, data):
        return {}, self.engine.flows.delete_many(data)

    def _flow_dump(self, _client, _data, cursor=None, **how):
        flows, cursor = self.engine.flows.dump(cursor, **how)
        return {"cursor": cursor}, flows

    def _meter_features(self, _client, _data):
        return {"features": FEATURES}, b""

    def _meter_set(self, _client, _data, meter, flags, bands, owner=""):
        self.engine.meter_set(meter, flags, bands, owner)
        return {}, b""

    def _meter_get(self, _client, _data, meter):
        return {"meter": self.engine.meter_get(meter)}, b""

    def _meter_del(self, _client, _data, meter):
        return {"meter": self.engine.meter_del(meter)}, b""

    def _meter_dump(self, _client, _data, behind=-1):
        rows = self.engine.meter_dump(behind, METERS_PIECE)
        more = len(rows) == METERS_PIECE
        return {"meters": rows, "behind": rows[-1]["meter"] if more else None}, b""

    def _bond_set(self, _client, _data, bond, basis, members):
        self.engine.bond_set(bond, basis, members)
        return {}, b""

    def _bond_del(self, _client, _data, bond):
        self.engine.bond_del(bond)
        return {}, b""

    def _bond_dump(self, _client, _data, behind=-1):
        rows = self.engine.bonds.dump(behind, BONDS_PIECE)
        more = len(rows) == BONDS_PIECE
        return {"bonds": rows, "behind": rows[-1]["bond"] if more else None}, b""

    def _ct_dump(self, _client, _data, cursor=0, zone=None):
        rows, cursor = self.engine.tracking.dump(cursor, zone)
        return {"connections": rows, "cursor": cursor}, b""

    def _ct_flush(self, _client, _data, cursor=0, match=None):
        count, cursor = self.engine.tracking.flush(cursor, match)
        return {"count": count, "cursor": cursor}, b""

    def _ct_stats(self, _client, _data):
        return {"stats": self.engine.tracking.table.stats()}, b""

    def _ct_buckets(self, _client, _data):
        return {"buckets": self.engine.tracking.table.buckets()}, b""

    def _ct_get(self, _client, _data):
        """The settings; _ct_set changes some of them."""
        table = self.engine.tracking.table
        return {
            "maxconns": table.limit,
            "capacity": table.capacity,
            "tcp_seq_chk": table.tcp_seq_chk,
            "sweep_interval": self.engine.tracking.sweep_interval,
        }, b""

    def _ct_set(self, _client, _data, maxconns=None, tcp_seq_chk=None, sweep_interval=None):
        if sweep_interval is not None:
            if type(sweep_interval) is not int or not 0 <= sweep_interval < 1 << 32:
                raise ValueError(f"{sweep_interval}: not a number of milliseconds")
            self.engine.tracking.sweep_interval = sweep_interval
        if maxconns is not None:
            self.engine.tracking.table.limit = maxconns
        if tcp_seq_chk is not None:
            self.engine.tracking.table.tcp_seq_chk = tcp_seq_chk
        return {}, b""

    def _ct_limits(self, _client, _data, zones=None):
        default, limits = self.engine.tracking.table.limits(zones)
        return {"default": default, "limits": limits}, b""

    def _ct_limits_set(self, _client, _data, limits):
        for zone, limit in limits:
            self.engine.tracking.table.set_limit(zone, limit)
        return {}, b""

    def _ct_limits_del(self, _client, _data, zones):
        for zone in zones:
            self.engine.tracking.table.delete_limit(zone)
        return {}, b""

    def _ct_policy_set(self, _client, _data, name, timeouts):
        if name:
            self.engine.tracking.table.set_policy(name, timeouts)
        else:
            self.engine.tracking.table.default_policy(timeouts)
        return {}, b""

    def _ct_policy_del(self, _client, _data, name):
        refused(self.engine.tracking.table.delete_policy, name)
        return {}, b""

    def _ct_policy_dump(self, _client, _data):
        return {"policies": self.engine.tracking.table.policies()}, b""

    def _ct_memory(self, client, _data):
        """The table's descriptor, for who keeps it until another datapath process comes."""
        self._hand_out(client, self.engine.tracking.table.fd)
        return {}, b""

    @staticmethod
    def _hand_out(client, fd):
        """A copy of a descriptor goes with the answer."""
        if client.output:
            raise EngineError(errno.EBUSY, "earlier answers have not been read")
        client.drop_fds()
        client.fds = [os.dup(fd)]

    def _ct_adopt(self, client, _data):
        if client.given < 0:
            raise EngineError(errno.EINVAL, "no descriptor came with the request")
        count = self.engine.tracking.adopt(client.given)
        vlog.info(f"{count} connections of the datapath process before are tracked on")
        return {"count": count}, b""

    def _ipf_get(self, _client, _data):
        return {"status": self.engine.tracking.fragments()}, b""

    def _ipf_list(self, _client, _data):
        return {"packets": self.engine.tracking.waiting_fragments()}, b""

    def _ipf_set(self, _client, _data, **settings):
        self.engine.tracking.table.set_fragments(**settings)
        return {}, b""

    def _clock(self, _client, _data, stopped, ahead):
        set_clock(stopped, ahead)
        return {}, b""

    def _tunnel_ports(self, _client, _data, first, last):
        set_udp_ports(first, last)
        return {}, b""

    def _kernel_cache_set(self, _client, _data, wanted):
        self.engine.kernel_cache.set(wanted, self.engine.ports.values())
        return {}, b""

    def _kernel_cache_hand_over(self, _client, _data):
        return {"done": self.engine.kernel_cache.hand_over()}, b""

    def _lookup_set(self, _client, _data, inverse, signatures):
        self.engine.tune(inverse, bool(signatures))
        return {}, b""

    def _perf_set(self, _client, _data, wanted):
        self.engine.measuring.measure(bool(wanted))
        return {}, b""

    def _perf_get(self, _client, _data, worker, iterations, ms):
        found = self.engine.measuring.measured(worker, iterations, ms)
        if found is None:
            return {"bins": None}, b""
        total, last, ms, bins = found
        count = len(last) // perf_row_layout.size
        return {"bins": bins, "walls": WALLS, "iterations": count}, total + last + ms

    def _perf_log_set(self, _client, _data, given):
        return self.engine.measuring.log(given)._asdict(), b""

    def _perf_clear(self, _client, _data, workers):
        self.engine.measuring.clear(workers)
        return {}, b""

    def _sync(self, _client, _data):
        self.engine.crew.sync()
        return {}, b""

    def _execute(self, _client, data, packet_size, **metadata):
        self.engine.execute(data, packet_size, **metadata)
        return {}, b""

    def _stats(self, _client, _data):
        return {"stats": self.engine.stats()}, b""


OPERATIONS = {
    name: getattr(Operations, f"_{name}")
    for name in (
        *("version", "port_add", "port_set", "port_del", "port_dump", "port_dead"),
        "port_device",
        *("port_inject", "port_drain"),
        *(
            "flow_put",
            "flow_get",
            "flow_del",
            "flow_del_many",
            "flow_flush",
            "flow_dump",
            "execute",
            "stats",
        ),
        *("bond_set", "bond_del", "bond_dump"),
        *("meter_features", "meter_set", "meter_get", "meter_del", "meter_dump"),
        *("ct_dump", "ct_flush", "ct_stats", "ct_buckets", "ct_get", "ct_set"),
        *("ct_limits", "ct_limits_set", "ct_limits_del"),
        *("ct_policy_set", "ct_policy_del", "ct_policy_dump"),
        *("ct_memory", "ct_adopt", "ipf_get", "ipf_list", "ipf_set"),
        *("workers_add", "workers_del", "queues_move"),
        *("clock", "sync", "kernel_cache_set", "kernel_cache_hand_over", "lookup_set"),
        "tunnel_ports",
        *("perf_set", "perf_get", "perf_clear", "perf_log_set"),
    )
}
