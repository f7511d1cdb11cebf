"""The control socket: requests of protocol.py, done by the engine, answered in order.

A client that does not read its answers is not read from either; one that sends nonsense is told
so and disconnected.  The connection that registered for upcalls is the handler until it ends.
"""

import array
import contextlib
import errno
import os
import socket
import time

import ovs.timeval
import ovs.vlog
from ovs.poller import POLLIN, POLLOUT

from datapath.actions.meter import FEATURES
from datapath.actions.tunnel_push import set_udp_ports
from datapath.base.clock import set_clock
from datapath.dummy_links import DummyLinks
from datapath.engine import Engine
from datapath.ipc import protocol
from datapath.netdev.dummy import TYPES as DUMMY_TYPES
from datapath.requests import EngineError, refused
from pyvs import containment, coverage
from pyvs.log_limit import LimitedLog
from pyvs.streams.listener import Listener, short_path
from pyvs.version import VERSION

vlog = ovs.vlog.Vlog("dpif_netdev")
_nonsense = LimitedLog(vlog, 12, 12)
_refusals = LimitedLog(vlog, 12, 12)

BROKEN_RINGS = coverage.counter("datapath_ring_broken")

RECEIVE = 1 << 18
MAX_CLIENTS = 128
PORTS_PIECE = 256  # in one answer to port_dump
METERS_PIECE = 1000
ROUND = 64  # requests of one client before the others have their turn,
SLICE = 0.01  # and seconds after which it ends as well


class Client:
    """One connection."""

    def __init__(self, sock: socket.socket):
        self.sock = sock
        self.input = bytearray()
        self.output = bytearray()
        self.given = -1  # a descriptor that came
        self.fds: list[int] = []  # to go with the first byte of the output

    def flush(self) -> None:
        """Send what the socket takes.  Raises OSError when the connection is over."""
        while self.output:
            ancillary = (
                [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", self.fds))]
                if self.fds
                else []
            )
            try:
                sent = self.sock.sendmsg([self.output], ancillary)
            except BlockingIOError:
                return
            self.drop_fds()
            del self.output[:sent]

    def drop_fds(self) -> None:
        for fd in self.fds:
            os.close(fd)
        self.fds = []

    def keep(self, fds: list[int]) -> None:
        """The last descriptor that came, for the request that came with it."""
        if fds:
            self.close_given()
            self.given = fds.pop()
        for fd in fds:
            os.close(fd)

    def close_given(self) -> None:
        if self.given >= 0:
            os.close(self.given)
        self.given = -1

    def close(self) -> None:
        self.drop_fds()
        self.close_given()
        self.sock.close()


def listen(path: str) -> Listener:
    """A listening socket that only its owner may use, in the place of one that is dead.

    Raises OSError, EADDRINUSE where another process listens.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            with short_path(path) as short:
                probe.connect(short)
        except (FileNotFoundError, ConnectionRefusedError):
            return Listener(f"punix:{path}", 0, MAX_CLIENTS)
    raise OSError(errno.EADDRINUSE, "another datapath process serves there")


def refusal(seq: int, number: int, text: str) -> bytes:
    """The answer to a request that was not done."""
    plain = text[:1000].encode(errors="replace").decode()
    return protocol.encode({"error": number, "text": plain}, b"", seq)


class Server:
    """Listens on `path`, which only its owner may use."""

    def __init__(self, engine: Engine, path: str):
        self.engine = engine
        self.dummy_links = DummyLinks(engine)
        self.path = path
        self.clients: list[Client] = []
        self.handler: Client | None = None
        self.n_requests = 0
        self.next_sweep = 0
        self.n_bad_requests = 0
        self.listener = listen(path)

    def close(self) -> None:
        """End all connections and remove the socket."""
        for client in list(self.clients):
            self._drop(client)
        self.dummy_links.close()
        self.listener.close()

    # --- the daemon's rhythm

    def run(self) -> None:
        containment.call("datapath workers", "", self._look_at_workers)
        containment.call("connection tracking", "", self._sweep)
        containment.call("dummy links", "", self.dummy_links.run)
        containment.call("kernel cache", "", self._tidy)
        for client in list(self.clients):
            try:
                self._serve(client)
            except protocol.ProtocolError as error:
                self.n_bad_requests += 1
                _nonsense.info(f"disconnecting a client: {error}")
                refusal = {"error": errno.EPROTO, "text": str(error)}
                client.output += protocol.encode(refusal)
                with contextlib.suppress(OSError):
                    client.flush()
                self._drop(client)
            except OSError:
                self._drop(client)
            except Exception:
                containment.caught("datapath client")
                self._drop(client)
        containment.call("datapath listener", "", self._accept)  # last: who is gone has made room

    def wait(self, poller) -> None:
        self.listener.wait(poller)
        if self.engine.connections.high:
            poller.timer_wait_until(self.next_sweep)
        self.dummy_links.wait(poller)
        if (deadline := self.engine.kernel_cache.deadline()) is not None:
            poller.timer_wait_until(deadline)
        poller.fd_wait(self.engine.alarm_fd, POLLIN)
        for client in self.clients:
            poller.fd_wait(client.sock.fileno(), POLLOUT if client.output else POLLIN)
            if not client.output and protocol.complete(client.input, protocol.MAX_REQUEST):
                poller.immediate_wake()

    def _tidy(self) -> None:
        """The kernel cache: what a former process left goes, once its ports had time to come, and
        what is there is looked after."""
        now = ovs.timeval.msec()
        self.engine.kernel_cache.tidy(now, self.handler is not None)
        self.engine.kernel_cache.check(now)

    def _sweep(self) -> None:
        """Some connections that may have expired, from time to time."""
        now = ovs.timeval.msec()
        if now >= self.next_sweep:
            self.next_sweep = now + self.engine.ct_sweep(now)

    def _look_at_workers(self) -> None:
        """What the workers met in the rings of the handler that should not be there."""
        for worker, text in self.engine.take_alarms():
            _refusals.warn(f"worker {worker}: {text}")
        if self.handler is not None and self.engine.rings_broken():
            BROKEN_RINGS.count += 1
            vlog.warn("a ring of the upcall handler is broken: disconnecting it")
            self._drop(self.handler)

    def _accept(self) -> None:
        while accepted := self.listener.accept(len(self.clients)):
            self.clients.append(Client(accepted.sock))

    def _serve(self, client: Client) -> None:
        """Send, read once, answer.  Raises OSError at the end of the connection.

        While answers wait to be taken, nothing is read: a slow client slows itself only.
        """
        client.flush()
        if client.output:
            return
        if not protocol.complete(client.input, protocol.MAX_REQUEST):
            with contextlib.suppress(BlockingIOError):
                data, fds, _flags, _address = socket.recv_fds(client.sock, RECEIVE, 1)
                client.keep(fds)
                if not data:
                    raise ConnectionResetError
                client.input += data
        end = time.monotonic() + SLICE
        for _ in range(ROUND):
            message = protocol.decode(client.input, protocol.MAX_REQUEST)
            if message is None:
                return
            self._answer(client, *message)
            client.flush()
            if client.output or time.monotonic() > end:
                return

    def _drop(self, client: Client) -> None:
        client.close()
        self.clients.remove(client)
        self.listener.resume()
        if client is self.handler:
            self.handler = None
            self.engine.detach()
            vlog.info("the upcall handler is gone; known flows go on")

    # --- requests

    def _answer(self, client: Client, body: dict, data: bytes, seq: int) -> None:
        self.n_requests += 1
        op = body.pop("op", None)
        if not isinstance(op, str):
            op = "a name that is no text"  # what it is may be too deep for being shown
        try:
            if op not in OPERATIONS:
                raise EngineError(errno.EOPNOTSUPP, f"{op}: unknown operation")
            reply, rest = OPERATIONS[op](self, client, data, **body)
            answer = protocol.encode(reply, rest, seq)
        except EngineError as error:
            self.n_bad_requests += 1
            answer = refusal(seq, error.errno, error.text)
        except OSError as error:
            answer = refusal(seq, error.errno or errno.EIO, str(error))
        except (TypeError, ValueError, OverflowError, AttributeError, RecursionError) as error:
            # A request's words are not what the operation takes, or too deep for an error's text.
            self.n_bad_requests += 1
            answer = refusal(seq, errno.EINVAL, f"{op}: {error}")
        except Exception as error:
            # A bug of ours: packets go on, and whoever reads the log finds it.
            containment.caught("datapath request", str(op))
            answer = refusal(seq, errno.EIO, f"{op}: {error!r}")
        client.output += answer

    def _version(self, _client, _data):
        workers = len(self.engine.workers)
        known = {"version": VERSION, "layout": protocol.LAYOUT}
        return {**known, "pid": os.getpid(), "workers": workers}, b""

    def _port_add(self, _client, _data, name, type, port_no=None, options=None):
        number = self.engine.port_add(name, type, port_no, options)
        if type in DUMMY_TYPES:
            try:
                self.dummy_links.add(number, options)
            except OSError:
                self.engine.port_del(number)
                raise
        vlog.info(f"port {number}: {name} ({type})")
        return {"port_no": number}, b""

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
            client.fds = self.engine.attach_some([self.engine.worker(id) for id in ids])
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
        self.engine.flow_put(data)
        return {}, b""

    def _flow_get(self, _client, data):
        return {}, self.engine.flow_get(data)

    def _flow_del(self, _client, data):
        return {}, self.engine.flow_del(data)

    def _flow_flush(self, _client, _data):
        self.engine.flow_flush()
        return {}, b""

    def _flow_del_many(self, _client, data):
        return {}, self.engine.flow_del_many(data)

    def _flow_dump(self, _client, _data, cursor=None, terse=False, since=0, core=None):
        flows, cursor = self.engine.flow_dump(cursor, terse, since, core)
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

    def _ct_dump(self, _client, _data, cursor=0, zone=None):
        rows, cursor = self.engine.ct_dump(cursor, zone)
        return {"connections": rows, "cursor": cursor}, b""

    def _ct_flush(self, _client, _data, cursor=0, match=None):
        count, cursor = self.engine.ct_flush(cursor, match)
        return {"count": count, "cursor": cursor}, b""

    def _ct_stats(self, _client, _data):
        return {"stats": self.engine.connections.stats()}, b""

    def _ct_buckets(self, _client, _data):
        return {"buckets": self.engine.connections.buckets()}, b""

    def _ct_get(self, _client, _data):
        """The settings; _ct_set changes some of them."""
        table = self.engine.connections
        return {
            "maxconns": table.limit,
            "tcp_seq_chk": table.tcp_seq_chk,
            "sweep_interval": self.engine.sweep_interval,
        }, b""

    def _ct_set(self, _client, _data, maxconns=None, tcp_seq_chk=None, sweep_interval=None):
        if sweep_interval is not None:
            if type(sweep_interval) is not int or not 0 <= sweep_interval < 1 << 32:
                raise ValueError(f"{sweep_interval}: not a number of milliseconds")
            self.engine.sweep_interval = sweep_interval
        if maxconns is not None:
            self.engine.connections.limit = maxconns
        if tcp_seq_chk is not None:
            self.engine.connections.tcp_seq_chk = tcp_seq_chk
        return {}, b""

    def _ct_limits(self, _client, _data, zones=None):
        default, limits = self.engine.connections.limits(zones)
        return {"default": default, "limits": limits}, b""

    def _ct_limits_set(self, _client, _data, limits):
        for zone, limit in limits:
            self.engine.connections.set_limit(zone, limit)
        return {}, b""

    def _ct_limits_del(self, _client, _data, zones):
        for zone in zones:
            self.engine.connections.delete_limit(zone)
        return {}, b""

    def _ct_policy_set(self, _client, _data, name, timeouts):
        if name:
            self.engine.connections.set_policy(name, timeouts)
        else:
            self.engine.connections.default_policy(timeouts)
        return {}, b""

    def _ct_policy_del(self, _client, _data, name):
        refused(self.engine.connections.delete_policy, name)
        return {}, b""

    def _ct_policy_dump(self, _client, _data):
        return {"policies": self.engine.connections.policies()}, b""

    def _ct_memory(self, client, _data):
        """The table's descriptor, for who keeps it until another datapath process comes."""
        if client.output:
            raise EngineError(errno.EBUSY, "earlier answers have not been read")
        client.drop_fds()
        client.fds = [os.dup(self.engine.connections.fd)]
        return {}, b""

    def _ct_adopt(self, client, _data):
        if client.given < 0:
            raise EngineError(errno.EINVAL, "no descriptor came with the request")
        count = self.engine.ct_adopt(client.given)
        vlog.info(f"{count} connections of the datapath process before are tracked on")
        return {"count": count}, b""

    def _ipf_get(self, _client, _data):
        return {"status": self.engine.ipf_get()}, b""

    def _ipf_list(self, _client, _data):
        return {"packets": self.engine.ipf_list()}, b""

    def _ipf_set(self, _client, _data, **settings):
        self.engine.connections.set_fragments(**settings)
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

    def _sync(self, _client, _data):
        self.engine.sync()
        return {}, b""

    def _execute(self, _client, data, packet_size, **metadata):
        self.engine.execute(data, packet_size, **metadata)
        return {}, b""

    def _stats(self, _client, _data):
        return {"stats": self.engine.stats()}, b""

    def _upcall_register(self, client, _data):
        if client.output:
            raise EngineError(errno.EBUSY, "earlier answers have not been read")
        client.drop_fds()
        former, self.handler = self.handler, None
        try:
            client.fds = self.engine.attach()
        except (OSError, EngineError):
            # The rings of who was the handler are gone: it is to come again.
            if former not in (None, client):
                self._drop(former)
            raise
        self.handler = client
        vlog.info("a new upcall handler")
        return {"workers": [[worker.id, worker.core] for worker in self.engine.workers]}, b""


OPERATIONS = {
    name: getattr(Server, f"_{name}")
    for name in (
        *("version", "port_add", "port_del", "port_dump", "port_dead", "port_inject", "port_drain"),
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
        *("meter_features", "meter_set", "meter_get", "meter_del", "meter_dump"),
        *("ct_dump", "ct_flush", "ct_stats", "ct_buckets", "ct_get", "ct_set"),
        *("ct_limits", "ct_limits_set", "ct_limits_del"),
        *("ct_policy_set", "ct_policy_del", "ct_policy_dump"),
        *("ct_memory", "ct_adopt", "ipf_get", "ipf_list", "ipf_set"),
        *("workers_add", "workers_del", "queues_move"),
        *("upcall_register", "clock", "sync", "kernel_cache_set", "tunnel_ports"),
    )
}
