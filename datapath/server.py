"""The control socket: requests of protocol.py, done by the engine, answered in order.

A client that does not read its answers is not read from either; one that sends nonsense is told
so and disconnected.  The connection that registered for upcalls is the handler until it ends.
"""

import array
import contextlib
import errno
import functools
import os
import socket
import time
from typing import Any, NamedTuple

import ovs.timeval
import ovs.vlog
from ovs.poller import POLLIN, POLLOUT

from datapath.diverted import Diversions
from datapath.engine import Engine
from datapath.further import Further
from datapath.ipc import protocol
from datapath.operations import OPERATIONS, Operations
from datapath.requests import EngineError, NotYet
from pyvs import containment, coverage
from pyvs.log_limit import LimitedLog
from pyvs.streams.listener import Listener
from pyvs.streams.short_path import ShortPath

vlog = ovs.vlog.Vlog("dpif_netdev")
_nonsense = LimitedLog(vlog, 12, 12)
_refusals = LimitedLog(vlog, 12, 12)

BROKEN_RINGS = coverage.counter("datapath_ring_broken")

RECEIVE = 1 << 18
MAX_CLIENTS = 128
ROUND = 64  # requests of one client before the others have their turn,
OWN_OPERATIONS = ("upcall_register", "dp_add", "dp_del", "dp_dump")
SLICE = 0.01  # and seconds after which it ends as well
AGAIN = 5  # ms, until what could not be done yet is tried again


class Request(NamedTuple):
    op: Any
    dp: Any
    words: dict
    data: bytes
    seq: int


class Client:
    """One connection."""

    def __init__(self, sock: socket.socket):
        self.sock = sock
        self.input = bytearray()
        self.output = bytearray()
        self.given = -1  # a descriptor that came
        self.fds: list[int] = []  # to go with the first byte of the output
        self.put_off: Request | None = None  # to be done again; and, where nobody waits for it any
        self.forget = lambda: None  # more, this

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
        if self.put_off is not None:
            self.forget()


def listen(path: str) -> Listener:
    """A listening socket that only its owner may use, in the place of one that is dead.

    Raises OSError, EADDRINUSE where another process listens.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            with ShortPath(path) as short:
                probe.connect(short)
        except (FileNotFoundError, ConnectionRefusedError):
            return Listener(f"punix:{path}", 0, MAX_CLIENTS)
    raise OSError(errno.EADDRINUSE, "another datapath process serves there")


def refusal(seq: int, number: int, text: str) -> bytes:
    """The answer to a request that was not done."""
    plain = text[:1000].encode(errors="replace").decode()
    return protocol.encode({"error": number, "text": plain}, b"", seq)


class Server(Operations):
    """Listens on `path`, which only its owner may use; the switch's datapath is `engine`'s.

    A request with "dp" is for one of `further`, which dp_add made.
    """

    def __init__(self, engine: Engine, path: str):
        super().__init__(engine)
        self.further = Further()
        self.diversions = Diversions(engine.ports.values)
        self.path = path
        self.clients: list[Client] = []
        self.n_requests = 0
        self.next_sweep = 0
        self.n_bad_requests = 0
        self.receiver = protocol.Receiver(RECEIVE, 1)
        self.listener = listen(path)

    def close(self) -> None:
        """End all connections and remove the socket."""
        for client in list(self.clients):
            self._drop(client)
        self.further.close()
        self.diversions.close()
        self.dummy_links.close()
        self.listener.close()

    # --- the daemon's rhythm

    def run(self) -> None:
        containment.call("datapath workers", "", self._look_at_workers)
        containment.call("upcalls", "", self.engine.give_up_rings, ovs.timeval.msec())
        containment.call("connection tracking", "", self._sweep)
        containment.call("dummy links", "", self.dummy_links.run)
        containment.call("further datapaths", "", self.further.run, ovs.timeval.msec())
        containment.call("kernel cache", "", self._tidy)
        containment.call("diversions", "", self.diversions.run)
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
        if self.engine.up_memory.deadline is not None:
            poller.timer_wait_until(self.engine.up_memory.deadline)
        if self.engine.tracking.table.high:
            poller.timer_wait_until(self.next_sweep)
        self.dummy_links.wait(poller)
        self.further.wait(poller)
        self.diversions.wait(poller)
        if (deadline := self.engine.kernel_cache.deadline()) is not None:
            poller.timer_wait_until(deadline)
        poller.fd_wait(self.engine.alarm_fd, POLLIN)
        for client in self.clients:
            if client.put_off is not None:
                poller.timer_wait(AGAIN)
                continue
            poller.fd_wait(client.sock.fileno(), POLLOUT if client.output else POLLIN)
            if not client.output and protocol.complete(client.input, protocol.MAX_REQUEST):
                poller.immediate_wake()

    def _tidy(self) -> None:
        """The kernel cache: what a former process left goes, once its ports had time to come, and
        what is there is looked after."""
        now = ovs.timeval.msec()
        self.engine.kernel_cache.tidy(now, self.handler is not None)
        self.engine.kernel_cache.attach_asked()
        self.engine.kernel_cache.check(now)

    def _sweep(self) -> None:
        """Some connections that may have expired, from time to time."""
        now = ovs.timeval.msec()
        if now >= self.next_sweep:
            self.next_sweep = now + self.engine.tracking.sweep(now)

    def _look_at_workers(self) -> None:
        """What the workers met in the rings of the handler that should not be there."""
        for worker, text in self.engine.take_alarms():
            _refusals.warn(f"worker {worker}: {text}")
        self.engine.measuring.tell_reports()
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
        if client.put_off is not None:
            self._do(client, client.put_off)
            client.flush()
        if client.output or client.put_off is not None:
            return
        if not protocol.complete(client.input, protocol.MAX_REQUEST):
            with contextlib.suppress(BlockingIOError):
                fds: list[int] = []
                received = self.receiver.receive(client.sock, client.input, fds)
                client.keep(fds)
                if not received:
                    raise ConnectionResetError
        end = time.monotonic() + SLICE
        for _ in range(ROUND):
            message = protocol.decode(client.input, protocol.MAX_REQUEST)
            if message is None:
                return
            self._answer(client, *message)
            client.flush()
            if client.output or client.put_off is not None or time.monotonic() > end:
                return

    def _drop(self, client: Client) -> None:
        client.close()
        self.clients.remove(client)
        self.listener.resume()
        if client is self.handler:
            self.handler = None
            self.engine.detach(ovs.timeval.msec())
            vlog.info("the upcall handler is gone; known flows go on")

    # --- requests

    def _answer(self, client: Client, body: dict, data: bytes, seq: int) -> None:
        self.n_requests += 1
        op = body.pop("op", None)
        if not isinstance(op, str):
            op = "a name that is no text"  # what it is may be too deep for being shown
        self._do(client, Request(op, body.pop("dp", None), body, data, seq))

    def _do(self, client: Client, request: Request) -> None:
        """Answer a request, or put it off."""
        op, dp, words, data, seq = request
        client.put_off = None
        try:
            reply, rest = self._function(op, dp)(client, data, **words)
            answer = protocol.encode(reply, rest, seq)
        except NotYet as error:
            client.put_off, client.forget = request, error.forget
            return
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

    def _function(self, op, name):
        """What does an operation of the datapath of this name, None: the switch's."""
        if op in OWN_OPERATIONS and name is None:
            return getattr(self, f"_{op}")
        if op not in OPERATIONS:
            raise EngineError(errno.EOPNOTSUPP, f"{op}: unknown operation")
        of = self if name is None else self.further.get(name)
        return functools.partial(OPERATIONS[op], of)

    def _dp_add(self, _client, _data, name, type):
        self.further.add(name, type)
        return {}, b""

    def _dp_del(self, _client, _data, name):
        self.further.remove(name)
        return {}, b""

    def _dp_dump(self, _client, _data):
        return {"datapaths": self.further.names()}, b""

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
