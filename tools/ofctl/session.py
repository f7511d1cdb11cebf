"""One OpenFlow session of a command: a socket around ofproto.connection, and requests over it.

A session that may choose first hears which versions the switch offers, because the highest
common one, which a handshake gives, is not the one that ovs-ofctl would speak.
"""

import contextlib
import errno
import itertools
import os
import select
import stat

from ofproto.codec import messages
from ofproto.codec.hello import decode_hello, encode_hello
from ofproto.codec.match_text import Names
from ofproto.codec.numbers import OF10, OF13, OF15
from ofproto.peers.connection import CLOSED, RUNNING, OFConnection
from pyvs import identity
from pyvs_tools.command import Fatal
from pyvs_tools.ovsdb import methods

from . import log
from .errors import SwitchError

VERSIONS = {"OpenFlow10": 1, "OpenFlow11": 2, "OpenFlow12": 3, "OpenFlow13": 4, "OpenFlow14": 5,
            "OpenFlow15": 6}  # fmt: skip
SPOKEN = frozenset(range(OF10, OF15 + 1))
DEFAULT_PORT = 6653
HELLO_SECONDS = 1  # how long a peer may wait for ours before it sends its own
_READ = 1 << 18
_MULTIPART_REPLY, _FLAGS_AT = (17, 19), 11  # types in 1.0, and later; the lower byte of the flags
_AT_ONCE = 256  # messages that are queued together
_LARGEST = 0xFFFF - 48  # a FEATURES_REPLY of 1.0 that long has left ports out
_xids = itertools.count(1)


# Targets


def _sockets(target, suffix):
    """The paths that a target without a method may mean."""
    from pyvs import rundir

    yield target
    name = target.partition("@")[2] or target
    if "/" not in name:
        yield rundir.path(f"{name}.{suffix}")


def method_of(target: str, suffix: str = "mgmt") -> str:
    """The connection method that a target stands for: a method, a socket's path or a bridge."""
    kind, colon, rest = target.partition(":")
    if not colon:
        denied = None
        for path in _sockets(target, suffix):
            try:
                if stat.S_ISSOCK(os.stat(path).st_mode):
                    return f"unix:{path}"
                denied = None
            except OSError as error:  # the last counts: the first is of the current directory
                denied = path if isinstance(error, PermissionError) else None
        if denied is not None:
            raise Fatal(f"cannot open {denied} ({os.strerror(errno.EACCES)})")
        from pyvs import rundir

        raise Fatal(
            f"{target} is not a bridge or a socket\nThe run directory is {rundir.rundir()}:"
            + identity.renamed(
                " `pyvs-vsctl list-br` names its bridges, `pyvs-ctl start` starts its switch."
            )
        )
    if kind in ("tcp", "ssl"):
        bare = rest.rpartition("]")[2] if rest.startswith("[") else rest
        return target if ":" in bare else f"{target}:{DEFAULT_PORT}"
    return target


def open_target(target: str, tls, suffix: str = "mgmt"):
    """A connected socket.  Raises Fatal."""
    try:
        return methods.open_socket(method_of(target, suffix), tls)
    except methods.ConnectError as error:
        raise Fatal(f"connecting to {target} ({error})") from None


def _wanted(exception):
    """Whether a TLS socket only has to wait (ssl itself is not imported for that)."""
    return type(exception).__name__ in ("SSLWantReadError", "SSLWantWriteError")


class Session:
    """`allowed`: versions of -O, None for all that are spoken here; `prefer`: that one of them
    that is taken where the switch has it, else the highest; with -O always the highest."""

    def __init__(self, target: str, tls=None, allowed=None, prefer: int = OF10):
        self.target = target
        self.allowed = allowed
        self.bundles = False
        self._ports = None
        self._tables = None
        self._sock = open_target(target, tls)
        data = self._first_bytes()
        versions = allowed or self._choose(data, prefer)
        self.connection = OFConnection(versions, log.of_connection(self._name()))
        next(_xids)  # of HELLO, as ovs-ofctl counts
        self._sock.setblocking(False)
        self.connection.receive(data)
        self._shake_hands(versions)

    def _name(self):
        """As in the log: the method, whose socket is one's path."""
        return method_of(self.target)

    # --- handshake

    def _first_bytes(self):
        """What the switch says first: its HELLO, unless it waits for ours."""
        if hasattr(self._sock, "pending"):  # TLS: bytes may be there that select cannot see
            self._sock.settimeout(HELLO_SECONDS)
        data = bytearray()
        while len(data) < 8 or len(data) < int.from_bytes(data[2:4], "big"):
            if not select.select([self._sock], [], [], HELLO_SECONDS)[0]:
                break
            try:
                more = self._sock.recv(_READ)
            except OSError:
                break
            if not more:
                break
            data += more
        return bytes(data)

    def _choose(self, data, prefer):
        if len(data) < 8 or data[1] != 0:
            return SPOKEN
        offered = decode_hello(data[: int.from_bytes(data[2:4], "big")])
        return frozenset({prefer}) if prefer in offered else SPOKEN

    def _shake_hands(self, versions):
        while self.connection.state != RUNNING:
            if self.connection.has_input and self.connection.next_message() is None:
                continue
            if self.connection.state == CLOSED:
                self._flush()
                known = ", ".join(name for name, number in VERSIONS.items() if number in versions)
                raise Fatal(
                    f"{self.target}: version negotiation failed ({self.connection.error}); "
                    f"tried {known}"
                )
            self._turn()
        self._write()  # our HELLO: the switch does not wait long for it

    @property
    def version(self) -> int:
        return self.connection.version

    # --- bytes

    def _flush(self):
        self._sock.settimeout(1)
        with contextlib.suppress(OSError):
            self._sock.sendall(self.connection.pull())

    def _turn(self, seconds=None):
        """Send and receive what can be; waits until something can."""
        writing = [self._sock] if self.connection.has_output else []
        if not (hasattr(self._sock, "pending") and self._sock.pending()):
            select.select([self._sock], writing, [], seconds)
        self._write()
        self._read()

    def _write(self):
        while self.connection.has_output:
            data = self.connection.pull()
            try:
                sent = self._sock.send(data)
            except OSError as error:
                self.connection.unpull(data)
                if isinstance(error, BlockingIOError) or _wanted(error):
                    return
                if isinstance(error, BrokenPipeError):
                    return  # what it said before may still be there to read
                raise Fatal(f"{self.target}: {error.strerror}") from None
            self.connection.unpull(data[sent:])

    def _read(self):
        try:
            data = self._sock.recv(_READ)
        except OSError as error:
            if isinstance(error, BlockingIOError) or _wanted(error):
                return
            raise Fatal(f"{self.target}: {error.strerror or error}") from None
        if not data:
            raise Fatal(f"{self.target}: the switch closed the connection")
        self.connection.receive(data)

    # For loops that wait for other things, too

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def has_more(self) -> bool:
        """Whether there are bytes that poll() does not see."""
        return hasattr(self._sock, "pending") and bool(self._sock.pending())

    def read_some(self) -> None:
        """Take what has come, if anything.  Raises Fatal."""
        self._read()

    def write(self) -> None:
        """Send what can be sent."""
        self._write()

    def receive(self) -> bytes:
        """The next message that is no HELLO and no ECHO."""
        while True:
            raw = self.connection.next_message()
            if raw is not None:
                return raw
            if self.connection.state == CLOSED:
                raise Fatal(f"{self.target}: {self.connection.error}")
            self._turn()

    def receive_echo(self, xid: int) -> bytes:
        """The reply to our ECHO_REQUEST of that xid, which receive() would not give."""
        found = []

        def look(raw):
            if raw[1] == 3 and int.from_bytes(raw[4:8], "big") == xid:
                found.append(raw)

        self.connection.snoop = look
        while not found:
            raw = self.connection.next_message()
            if raw is not None and raw[1] == 1:
                raise SwitchError(raw)
            if self.connection.state == CLOSED:
                raise Fatal(f"{self.target}: {self.connection.error}")
            if raw is None and not found:
                self._turn()
        self.connection.snoop = None
        return found[0]

    def send_raw(self, data: bytes) -> None:
        """Queue a message, and send what goes out at once."""
        self.connection.send(data)
        self._write()

    def send(self, message, **form) -> int:
        """Queue a message; returns its xid.  Raises Fatal where the version cannot say it."""
        xid = next(_xids)
        self.send_raw(self.encode(message, xid, **form))
        return xid

    def encode(self, message, xid, **form):
        try:
            return message.encode(self.version, xid, **form)
        except (ValueError, messages.OFError) as error:
            raise Fatal(f"{type(message).__name__}: {error}") from None

    # --- requests

    def replies(self, message, **form):
        """Yields (bytes, decoded message) of each part of the reply.  Raises SwitchError."""
        xid = next(_xids)
        yield from self.replies_to(xid, [self.encode(message, xid, **form)])

    def replies_to(self, xid, raws):
        """The same of a request that is in several messages of this xid."""
        for raw in self._parts(xid, raws):
            yield raw, self.decode(raw)

    def raw_replies(self, message):
        """Yields the parts of the reply as they come.  Raises SwitchError."""
        xid = next(_xids)
        yield from self._parts(xid, [self.encode(message, xid)])

    def _parts(self, xid, raws):
        for raw in raws:
            self.send_raw(raw)
        more = True
        while more:
            raw = self.receive()
            if int.from_bytes(raw[4:8], "big") != xid:
                continue
            if raw[1] == 1:
                raise SwitchError(raw)
            is_part = raw[1] == _MULTIPART_REPLY[raw[0] > OF10] and len(raw) > _FLAGS_AT
            more = is_part and bool(raw[_FLAGS_AT] & 1)
            yield raw

    def decode(self, raw: bytes):
        """A message.  Raises Fatal."""
        try:
            return messages.decode_any(raw)
        except messages.OFError as error:
            from ofproto.text.message_text import Style, format_raw

            text = format_raw(raw, Style())
            raise Fatal(f"{self.target}: reply cannot be decoded ({error}):\n{text}") from None

    def request(self, message, **form):
        """The only reply to a message."""
        ((_raw, reply),) = self.replies(message, **form)
        return reply

    def barrier(self) -> list[bytes]:
        """Waits until the switch has done all that was sent; returns the ERRORs it sent."""
        xid = self.send(messages.BarrierRequest())
        errors = []
        while True:
            raw = self.receive()
            if raw[1] == 1:
                errors.append(raw)
            elif int.from_bytes(raw[4:8], "big") == xid:
                return errors

    def command(self, *raws: bytes) -> None:
        """Send messages that have no reply, and see that they are done.  Raises SwitchError."""
        self.queue_all(raws)
        errors = self.barrier()
        if errors:
            raise SwitchError(errors[0])

    def queue(self, raw: bytes) -> None:
        """Send a message, or several, some time, while more are made."""
        self.connection.send(raw)
        if self.connection.backlog > _READ:
            self._turn(0)

    def queue_all(self, raws) -> None:
        """The same of many."""
        raws = iter(raws)
        while part := b"".join(itertools.islice(raws, _AT_ONCE)):
            self.queue(part)

    def execute(self, raws: list[bytes]) -> None:
        """command() of messages that --bundle makes a transaction.  Raises SwitchError, or
        BundleError."""
        if self.bundles:
            from .bundle import transact

            transact(self, raws)
        else:
            self.command(*raws)

    def tell(self, message, **form) -> None:
        """command() of one message."""
        self.command(self.encode(message, next(_xids), **form))

    def next_xid(self) -> int:
        return next(_xids)

    # --- ports

    @property
    def ports(self) -> "list[messages.PortDesc]":
        """The ports of the switch, asked for once."""
        if self._ports is None:
            self._ports = self._ask_ports()
        return self._ports

    def _ask_ports(self):
        next(_xids)  # ovs-ofctl asks in a connection of its own, whose HELLO has one
        if self.version == OF10:
            raw, reply = next(self.replies(messages.FeaturesRequest()))
            if len(raw) < _LARGEST:
                return reply.ports
        parts = self.replies(messages.PortDescRequest())
        return [port for _raw, reply in parts for port in reply.ports]

    def names(self) -> Names:
        """Names of ports and tables by number; a name that two have is left out (those of ports
        are cut to 15 bytes)."""
        ports = _unique((port.name, port.port_no) for port in self.ports)
        return Names({number: name for name, number in ports.items()}, self.table_names())

    def table_names(self) -> dict[int, str]:
        """Names of tables by number, asked for once."""
        if self._tables is None:
            self._tables = self._ask_tables()
        return self._tables

    def _ask_tables(self):
        by_features = self.version >= OF13
        request = messages.TableFeaturesRequest() if by_features else messages.TableStatsRequest()
        try:
            tables = [table for _raw, reply in self.replies(request) for table in reply.tables]
        except SwitchError:  # has no such request, so no names
            return {}
        # "table3" is what switches of 1.0 call a table without a name
        found = _unique((table.name, table.table_id) for table in tables)
        return {number: name for name, number in found.items() if name != f"table{number}"}

    def close(self):
        self._sock.close()


def _unique(pairs) -> dict[str, int]:
    """name -> number of those names that only one number has."""
    found: dict[str, list[int]] = {}
    for name, number in pairs:
        found.setdefault(name, []).append(number)
    return {name: numbers[0] for name, numbers in found.items() if len(numbers) == 1 and name}


class _Lazy:
    """Numbers by name, which `ask` is called for when a name is first looked for."""

    def __init__(self, ask):
        self._ask = ask
        self._numbers = None

    def get(self, name, default=None):
        if self._numbers is None:
            self._numbers = _unique(self._ask())
        return self._numbers.get(name, default)


class LazyNumbers(_Lazy):
    """Port numbers by name, and `tables`, as the parsers of ofproto take them (match_text.Names):
    asks the switch only when a name stands in the text."""

    def __init__(self, session: Session):
        super().__init__(lambda: ((port.name, port.port_no) for port in session.ports))
        self.tables = _Lazy(
            lambda: ((name, number) for number, name in session.table_names().items())
        )


def cut_messages(target: str, tls, suffix: str, versions):
    """Yields all messages of a socket as they come, whatever their version, but the first HELLO.
    For snoop sockets, where messages of other connections pass."""
    sock = open_target(target, tls, suffix)
    sock.sendall(encode_hello(versions, next(_xids)))
    data, hello = bytearray(), True
    while True:
        while len(data) >= 8 and len(data) >= int.from_bytes(data[2:4], "big") >= 8:
            size = int.from_bytes(data[2:4], "big")
            raw = bytes(data[:size])
            del data[:size]
            if not hello or raw[1] != 0:
                yield raw
            hello = False
        more = sock.recv(_READ)
        if not more:
            raise Fatal(f"{target}: the switch closed the connection")
        data += more
