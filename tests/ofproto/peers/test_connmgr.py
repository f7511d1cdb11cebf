"""A bridge's OpenFlow connections on real sockets; time is given, so that nothing waits for it."""

import itertools
import os
import socket
import ssl
import stat
import subprocess

import ovs.stream
import pytest

from ofproto.codec import messages as m
from ofproto.codec.hello import HEADER
from ofproto.peers.connmgr import ConnMgr
from ofproto.peers.controller import ControllerConfig
from ofproto.peers.turns import Turns
from pyvs import containment
from tests.authority import resetting
from tests.daemons import wait_until
from tests.of_client import Client, Closed

OF10, OF13 = 1, 4


class World:
    """A ConnMgr whose switch answers each message by a BARRIER_REPLY with its xid."""

    def __init__(self, directory):
        self.directory = directory
        self.now = 1_000_000
        self.handled = []
        self.gone = []
        self.closing = []
        self.manager = ConnMgr("br0", self.handle, self.gone.append)

    def handle(self, peer, raw):
        self.handled.append(raw)
        peer.connection.send(m.BarrierReply().encode(peer.version, m.HEADER.unpack_from(raw)[3]))

    def turn(self, ms=0):
        self.now += ms
        self.manager.run(self.now)

    def until(self, condition, what="condition"):
        def turned():
            self.turn()
            return condition()

        return wait_until(turned, what=what)

    def controllers(self, *targets, **settings):
        configs = [ControllerConfig(target, **settings) for target in targets]
        self.manager.set_controllers(configs, self.now)

    def path(self, name):
        return str(self.directory / name)

    def connect(self, name, version=OF13):
        """A client of a service's unix socket, after the handshake."""
        client = Client.unix(self.path(name), version, self.turn)
        self.closing.append(client)
        client.hello()
        return client

    def listener(self, name="c.sock"):
        """A socket that a controller listens on, and its target."""
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(self.path(name))
        sock.listen()
        sock.setblocking(False)
        self.closing.append(sock)
        return sock, f"unix:{self.path(name)}"

    def accept(self, listener):
        def accepted():
            try:
                return listener.accept()[0]
            except BlockingIOError:
                return None

        client = Client(self.until(accepted, "a connection"), turn=self.turn)
        self.closing.append(client)
        return client

    def status(self, target):
        return self.manager.controllers[target].status(self.now)

    def close(self):
        for each in self.closing:
            each.close()
        self.manager.close()


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.close()


def barrier(xid, version=OF13):
    return HEADER.pack(version, 20, 8, xid)


# --- passive


def test_sockets_are_for_their_owner(world):
    world.manager.set_management([f"punix:{world.path('br0.mgmt')}"], world.now)
    world.manager.set_snoops([f"punix:{world.path('br0.snoop')}"], world.now)
    world.controllers(f"punix:{world.path('c')}")
    for name in ("br0.mgmt", "br0.snoop", "c"):
        assert stat.S_IMODE(os.stat(world.path(name)).st_mode) == 0o600
    world.manager.close()
    assert os.listdir(world.directory) == []


def test_a_socket_left_behind_is_replaced_and_a_file_is_not(world):
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(world.path("br0.mgmt"))
    stale.close()
    (world.directory / "file").write_text("precious")
    world.manager.set_management([f"punix:{world.path('br0.mgmt')}"], world.now)
    world.connect("br0.mgmt").barrier()
    world.controllers(f"punix:{world.path('file')}")
    assert (world.directory / "file").read_text() == "precious"
    status = world.status(f"punix:{world.path('file')}")
    assert status == {"state": "IDLE", "last_error": "Address already in use"}


def test_it_listens_as_soon_as_it_can(world):
    taken = socket.create_server(("127.0.0.1", 0))
    target = f"ptcp:{taken.getsockname()[1]}:127.0.0.1"
    world.controllers(target)
    assert world.status(target)["last_error"] == "Address already in use"
    taken.close()
    world.turn(999)
    assert "last_error" in world.status(target)
    world.turn(1)
    assert world.status(target) == {"state": "IDLE"}


@pytest.mark.parametrize("target", ["ptcp:0:127.0.0.1", "ptcp:0:[::1]"])
def test_passive_tcp(world, target):
    if "::1" in target and not socket.has_ipv6:
        pytest.skip("no IPv6")
    world.controllers(target)
    service = world.manager.controllers[target]
    host = "::1" if "::1" in target else "127.0.0.1"
    clients = [
        Client(socket.create_connection((host, service.port)), turn=world.turn) for _ in range(3)
    ]
    world.closing += clients
    for client in clients:
        client.hello()
        client.barrier()
    assert service.is_connected and not world.manager.any_connected()
    assert world.status(target) == {"state": "ACTIVE", "n_connections": "3"}
    clients.pop().close()
    world.until(lambda: len(world.gone) == 1)
    clients[0].barrier()


def test_no_more_peers_than_allowed(world, monkeypatch):
    monkeypatch.setattr("ofproto.peers.service.MAX_PEERS_PER_SERVICE", 2)
    world.manager.set_management([f"punix:{world.path('m')}"], world.now)
    first, second = world.connect("m"), world.connect("m")
    for client in (first, second):
        client.barrier()  # whoever has not been heard makes room
    with pytest.raises(Closed):
        world.connect("m")
    assert len(world.manager.peers()) == 2
    first.close()
    world.until(lambda: len(world.manager.peers()) == 1)
    world.connect("m").barrier()


def test_silent_peers_keep_nobody_out(world, monkeypatch):
    """Each was given ten seconds for its HELLO, and others were closed meanwhile."""
    monkeypatch.setattr("ofproto.peers.service.MAX_PEERS_PER_SERVICE", 3)
    world.manager.set_management([f"punix:{world.path('m')}"], world.now)
    clients = [world.connect("m")]
    clients[0].barrier()
    for _ in range(5):
        world.closing.append(Client.unix(world.path("m"), turn=world.turn))
    world.until(lambda: len(world.gone) == 3)
    assert len(world.manager.peers()) == 3
    for _ in range(2):
        clients.append(world.connect("m"))
        clients[-1].barrier()
    for client in clients:
        client.barrier()
    assert len(world.manager.peers()) == 3


def test_silent_peers_push_nobody_out(world, monkeypatch):
    """Who was about to say HELLO, or had said it in the same round, was closed by a flood."""
    monkeypatch.setattr("ofproto.peers.service.MAX_PEERS_PER_SERVICE", 3)
    world.controllers("ptcp:0:127.0.0.1")
    (service,) = world.manager.controllers.values()

    def connect(source):
        sock = socket.create_connection(service._listener._listener.socket.getsockname(),
                                        source_address=(source, 0))  # fmt: skip
        world.closing.append(Client(sock, turn=world.turn))
        return world.closing[-1]

    slow = connect("127.0.0.1")
    world.until(lambda: len(world.manager.peers()) == 1)
    for number in range(1, 5):
        connect("127.0.0.2")
        connect("127.0.0.2")
        world.until(lambda n=number: len(world.gone) == max(0, 2 * n - 2))
    slow.hello()
    slow.barrier()

    quick = connect("127.0.0.3")
    quick.write(m.Hello(frozenset({OF13})).encode())
    for _ in range(5):
        connect("127.0.0.3")
    assert type(m.decode(quick.read())) is m.Hello
    quick.barrier()


def test_a_peer_that_says_nothing_is_dropped(world):
    world.manager.set_management([f"punix:{world.path('m')}"], world.now)
    silent = Client.unix(world.path("m"), turn=world.turn)
    world.closing.append(silent)
    world.until(world.manager.peers)
    world.turn(9_000)
    assert world.manager.peers()
    world.turn(2_000)
    assert not world.manager.peers() and len(world.gone) == 1
    assert [type(each) for each in silent.closed()] == [m.Hello]


def test_a_peer_without_a_common_version_hears_why(world):
    world.manager.set_versions({OF13}, world.now)
    world.manager.set_management([f"punix:{world.path('m')}"], world.now)
    client = Client.unix(world.path("m"), OF10, world.turn)
    world.closing.append(client)
    client.hello()
    (error,) = client.closed()
    assert error.name == "OFPHFC_INCOMPATIBLE"
    assert not world.manager.peers()


def test_versions_that_are_no_longer_allowed(world):
    world.manager.set_management([f"punix:{world.path('m')}"], world.now)
    old, new = world.connect("m", OF10), world.connect("m", OF13)
    old.barrier()
    new.barrier()
    world.manager.set_versions({OF13}, world.now)
    assert old.closed() == []
    new.barrier()


# --- order and fairness


def test_a_flood_does_not_keep_others_waiting(world):
    world.manager.set_management([f"punix:{world.path('m')}"], world.now)
    flood, other = world.connect("m"), world.connect("m")
    flood.barrier()
    other.barrier()
    world.handled.clear()
    flood.write(b"".join(barrier(xid) for xid in range(4000)))
    other.write(barrier(0xFFFF))
    world.until(lambda: barrier(0xFFFF) in world.handled)
    assert world.handled.index(barrier(0xFFFF)) < 4000
    world.until(lambda: len(world.handled) == 4001)
    assert [raw for raw in world.handled if raw != barrier(0xFFFF)] == [
        barrier(xid) for xid in range(4000)
    ]
    assert [m.decode(flood.read()).xid for _ in range(4000)] == [*range(4000)]


def test_a_fault_between_slices_ends_no_round(world, monkeypatch):
    told = []
    monkeypatch.setattr(containment, "caught", lambda place, whose="": told.append(place))
    world.manager._turns = Turns(world.handle, lambda: 1 / 0)
    world.manager.set_management([f"punix:{world.path('m')}"], world.now)
    client = world.connect("m")
    client.write(b"".join(barrier(xid) for xid in range(1000)))
    assert [m.decode(client.read()).xid for _ in range(1000)] == [*range(1000)]
    assert set(told) == {"between turns"}


def test_replies_to_one_that_does_not_read_wait(world):
    """It gets all of them when it reads; others are served meanwhile."""
    world.manager.set_management([f"punix:{world.path('m')}"], world.now)
    lazy, other = world.connect("m"), world.connect("m")
    size = 1 << 20
    sent = [HEADER.pack(OF13, 2, 60000, xid) + bytes(59992) for xid in range(40 * size // 60000)]
    stream = b"".join(sent)
    lazy.sock.setblocking(False)
    at = 0
    for _ in range(2000):
        try:
            at += lazy.sock.send(stream[at : at + size])
        except BlockingIOError:
            world.turn()
    assert at < len(stream)  # the switch reads no more
    backlog = max(peer.connection.backlog for peer in world.manager.peers())
    assert backlog < 5 * size
    other.barrier()
    answers = 0
    while answers < len(sent):
        if at < len(stream):
            try:
                at += lazy.sock.send(stream[at : at + size])
            except BlockingIOError:
                world.turn()
        answers += m.decode(lazy.read()).xid == answers
    assert answers == len(sent)


# --- active


def test_active_connects_and_tells_its_state(world):
    listener, target = world.listener()
    world.controllers(target)
    controller = world.manager.controllers[target]
    client = world.accept(listener)
    assert world.status(target)["state"] == "CONNECTING" and controller.role is None
    client.hello()
    client.barrier()
    assert controller.is_connected and controller.role == "other"
    world.now += 5000
    assert world.status(target) == {"state": "ACTIVE", "sec_since_connect": "5"}
    assert world.manager.any_connected()
    client.close()
    world.until(lambda: not controller.is_connected)
    world.now += 3000
    assert world.status(target) == {
        "state": "BACKOFF",
        "last_error": "End of file",
        "sec_since_connect": "8",
        "sec_since_disconnect": "3",
    }
    assert controller.role is None and len(world.gone) == 1


def test_backoff_grows_to_its_limit(world):
    target = f"unix:{world.path('nobody')}"
    world.controllers(target, max_backoff=4000)
    tries = []
    controller = world.manager.controllers[target]
    connect = controller._connect

    def counted(new_peer):
        tries.append(world.now)
        connect(new_peer)

    controller._connect = counted
    for _ in range(400):
        world.turn(50)
    waits = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert waits[:3] == [1000, 2000, 4000] and set(waits[3:]) == {4000}
    assert world.status(target)["state"] == "BACKOFF"
    assert world.status(target)["last_error"] == "No such file or directory"
    listener, _ = world.listener("nobody")
    world.turn(4000)
    client = world.accept(listener)
    client.hello()
    client.barrier()
    assert world.status(target)["state"] == "ACTIVE"


def test_refused_tcp_and_bad_targets(world):
    closed = socket.create_server(("127.0.0.1", 0))
    target = f"tcp:127.0.0.1:{closed.getsockname()[1]}"
    closed.close()
    bad = ["tcp:127.0.0.1:99999999", "tcp:", "tcp:127.0.0.1:x", "tcp:[::1", "unix:" + "x" * 200]
    listening = ["ptcp:99999999", "ptcp:x", "ptcp:1:no.host.invalid", "punix:/no/such/directory"]
    world.controllers(target, *bad, *listening, "nonsense", "tcp")
    assert list(world.manager.controllers) == [target, *bad, *listening]
    world.until(lambda: world.status(target)["state"] == "BACKOFF")
    assert world.status(target)["last_error"] == "Connection refused"
    world.turn()
    for each in bad:
        assert world.status(each)["state"] == "BACKOFF" and world.status(each)["last_error"], each
    for each in listening:
        assert world.status(each)["state"] == "IDLE" and world.status(each)["last_error"], each


def test_a_controller_that_accepts_and_says_nothing(world):
    listener, target = world.listener()
    world.controllers(target)
    silent = world.accept(listener)
    world.turn(900)
    assert world.status(target)["state"] == "CONNECTING"
    world.turn(200)
    world.turn()
    assert world.status(target)["state"] == "BACKOFF"
    assert world.status(target)["last_error"] == "Connection timed out"
    assert [type(each) for each in silent.closed()] == [m.Hello]


def test_inactivity_probe(world):
    listener, target = world.listener()
    world.controllers(target, inactivity_probe=5000)
    client = world.accept(listener)
    client.hello()
    client.barrier()

    def bytes_in():
        world.turn()
        try:
            return client.sock.recv(100)
        except BlockingIOError:
            return b""

    world.turn(4900)
    assert bytes_in() == b""
    world.turn(200)
    echo = wait_until(bytes_in, what="a probe")
    assert echo == HEADER.pack(OF13, 2, 8, 0)
    assert world.status(target)["state"] == "IDLE"
    client.write(HEADER.pack(OF13, 3, 8, 0))
    world.until(lambda: world.status(target)["state"] == "ACTIVE")
    world.turn(5100)
    assert wait_until(bytes_in, what="another probe")
    assert world.manager.any_connected()
    world.turn(5100)
    world.turn()
    assert not world.manager.any_connected()
    assert world.status(target)["last_error"] == "Connection timed out"


def test_no_probe_where_none_is_wanted(world):
    listener, target = world.listener()
    world.controllers(target)  # a unix socket's end does not go unnoticed
    client = world.accept(listener)
    client.hello()
    client.barrier()
    for _ in range(5):
        world.turn(60_000)
    assert world.manager.any_connected()
    client.barrier()


def test_set_controllers_keeps_connections(world):
    one, first = world.listener("one")
    two, second = world.listener("two")
    world.controllers(first)
    client = world.accept(one)
    client.hello()
    client.barrier()
    world.controllers(second, first, max_backoff=2000)
    assert list(world.manager.controllers) == [second, first]
    other = world.accept(two)
    other.hello()
    other.barrier()
    client.barrier()
    world.controllers(second)
    assert client.closed() == [] and len(world.gone) == 1
    other.barrier()
    world.controllers()
    assert other.closed() == [] and world.manager.peers() == []


def test_new_settings_reach_live_connections(world):
    listener, target = world.listener()
    world.controllers(target, inactivity_probe=0)
    client = world.accept(listener)
    client.hello()
    client.barrier()
    (peer,) = world.manager.peers()
    assert peer.scheduler is None and peer.primary
    world.controllers(target, inactivity_probe=7000, controller_rate_limit=100, type="service")
    assert world.manager.peers() == [peer]
    assert [(one.rate, one.burst) for one in peer.scheduler.by_kind.values()] == [(100, 100)] * 2
    assert peer.fsm.get_probe_interval() == 7000 and not peer.primary
    limiter = peer.scheduler
    world.controllers(target, controller_rate_limit=100)
    assert peer.scheduler is limiter  # what waits there is not lost for nothing
    world.controllers(target)
    assert peer.scheduler is None


def test_reconnect_drops_and_comes_back(world):
    listener, target = world.listener()
    world.controllers(target, f"punix:{world.path('p')}")
    world.manager.set_management([f"punix:{world.path('m')}"], world.now)
    active = world.accept(listener)
    active.hello()
    active.barrier()
    passive, tool = world.connect("p"), world.connect("m")
    passive.barrier()
    tool.barrier()
    world.manager.reconnect(world.now)
    assert active.closed() == [] and passive.closed() == []
    tool.barrier()
    world.turn()
    assert len(world.gone) == 2
    world.turn(1000)
    again = world.accept(listener)
    again.hello()
    again.barrier()


# --- roles


def test_generation_ids(world):
    accept = world.manager.roles.accept
    assert accept(5) and accept(5) and accept(6)
    assert not accept(5) and world.manager.roles.generation_id == 6
    assert accept((1 << 63) + 5) and not accept(6)  # the signed distance counts
    world.manager.roles.generation_id = (1 << 64) - 1
    assert accept(0) and world.manager.roles.generation_id == 0
    assert not accept((1 << 64) - 1)


def test_there_is_one_master(world):
    world.manager.set_management([f"punix:{world.path('m')}"], world.now)
    for client in [world.connect("m") for _ in range(3)]:
        client.barrier()
    first, second, third = world.manager.peers()
    assert world.manager.set_role(first, "master") == []
    assert world.manager.set_role(second, "master") == [first]
    assert [peer.role for peer in (first, second, third)] == ["slave", "master", "other"]
    world.manager.set_role(second, "other")
    assert [peer.role for peer in (first, second, third)] == ["slave", "other", "other"]


def test_broadcast_goes_to_those_that_want_it(world):
    listener, target = world.listener()
    world.controllers(target)
    world.manager.set_management([f"punix:{world.path('m')}"], world.now)
    controller = world.accept(listener)
    controller.hello()
    controller.barrier()
    tool = world.connect("m")
    tool.barrier()
    encoded = []

    def encode(version):
        encoded.append(version)
        return HEADER.pack(version, 12, 8, 99)

    assert world.manager.broadcast("port_status", 0, encode) == 1
    assert m.HEADER.unpack(controller.read())[3] == 99
    peer = world.manager.management[0].peers[0]
    peer.asynchronous.miss_send_len = 128  # by which a tool asks for them
    assert world.manager.broadcast("port_status", 0, encode) == 2
    assert encoded == [OF13, OF13]
    world.manager.controllers[target].peer.asynchronous.masks["port_status"] = (0b110, 7)
    assert world.manager.broadcast("port_status", 0, encode) == 1
    assert world.manager.broadcast("port_status", 1, lambda version: None) == 0


# --- snoop


def test_snoop_hears_controllers_and_nothing_else(world):
    listener, target = world.listener()
    world.controllers(target)
    world.manager.set_management([f"punix:{world.path('m')}"], world.now)
    world.manager.set_snoops([f"punix:{world.path('s')}"], world.now)
    client = world.accept(listener)
    client.hello()
    client.barrier()
    snoop = world.connect("s", 6)
    world.until(lambda: world.manager.snoops[0].is_connected)
    world.connect("m").barrier()
    client.write(barrier(42))
    assert snoop.read() == barrier(42)
    assert snoop.read() == HEADER.pack(OF13, 21, 8, 42)
    snoop.write(barrier(1))
    client.barrier()
    snoop.close()
    client.barrier()
    world.until(lambda: not world.manager.snoops[0].peers)


def test_without_controllers_there_is_nothing_to_snoop(world):
    """Who comes is sent away, and who is there when the last of them goes."""
    world.manager.set_snoops([f"punix:{world.path('s')}"], world.now)
    listener, target = world.listener()
    world.controllers(target)
    world.accept(listener).hello()
    snoop = world.connect("s", 6)
    world.until(lambda: world.manager.snoops[0].is_connected)
    world.controllers()
    world.until(lambda: not world.manager.snoops[0].peers)
    with pytest.raises(Closed):
        snoop.read()
    other = socket.socket(socket.AF_UNIX)
    world.closing.append(other)
    other.connect(world.path("s"))
    other.setblocking(False)
    world.until(lambda: ended(other), "the end")


def ended(sock):
    try:
        return not sock.recv(4096)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_a_snoop_that_does_not_read_costs_little(world):
    listener, target = world.listener()
    world.controllers(target)
    world.manager.set_snoops([f"punix:{world.path('s')}"], world.now)
    client = world.accept(listener)
    client.hello()
    client.barrier()
    world.connect("s")
    world.until(lambda: world.manager.snoops[0].is_connected)
    echo = HEADER.pack(OF13, 2, 60000, 1) + bytes(59992)
    for _ in range(100):
        client.write(echo)
        client.read()
    (peer,) = world.manager.snoops[0].peers
    assert peer.connection.n_packet_in_dropped > 50 and peer.connection.backlog < 1 << 20


# --- TLS


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A CA, and certificates signed by it and by another."""
    directory = tmp_path_factory.mktemp("keys")

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)

    def new(name, out, *words):
        openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", f"{name}.key", "-out", out, "-subj", f"/CN={name}", *words),
        )

    for ca, names in (("ca", ("switch", "controller")), ("other", ("stranger",))):
        new(ca, f"{ca}.pem", "-x509")
        for name in names:
            new(name, f"{name}.csr")
            openssl(
                *("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem"),
                *("-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial"),
            )
    return directory


@pytest.fixture
def switch_keys(keys):
    stream = ovs.stream.Stream
    names = ("_SSL_private_key_file", "_SSL_certificate_file", "_SSL_ca_cert_file")
    before = [getattr(stream, name) for name in names]
    stream.ssl_set_private_key_file(str(keys / "switch.key"))
    stream.ssl_set_certificate_file(str(keys / "switch.pem"))
    stream.ssl_set_ca_cert_file(str(keys / "ca.pem"))
    yield keys
    for name, value in zip(names, before, strict=True):
        setattr(stream, name, value)


class TlsSocket:
    """A non-blocking TLS socket with the errors of a plain one."""

    def __init__(self, sock, keys, name, server):
        purpose = ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT
        context = ssl.SSLContext(purpose)
        context.check_hostname = False
        context.load_cert_chain(keys / f"{name}.pem", keys / f"{name}.key")
        context.load_verify_locations(keys / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        sock.setblocking(False)
        self.sock = context.wrap_socket(sock, server_side=server, do_handshake_on_connect=False)

    def _do(self, function, *words):
        try:
            return function(*words)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def send(self, data):
        return self._do(self.sock.send, data)

    def recv(self, size):
        return self._do(self.sock.recv, size)

    def shake_hands(self, turn):
        def done():
            turn()
            try:
                self._do(self.sock.do_handshake)
            except BlockingIOError:
                return False
            return True

        wait_until(done, what="the TLS handshake")

    def fileno(self):
        return self.sock.fileno()

    def setblocking(self, flag):
        pass

    def close(self):
        self.sock.close()


def test_active_tls(world, switch_keys):
    listener = socket.create_server(("127.0.0.1", 0))
    world.closing.append(listener)
    listener.setblocking(False)
    target = f"ssl:127.0.0.1:{listener.getsockname()[1]}"
    world.controllers(target)
    plain = world.accept(listener).sock
    tls = TlsSocket(plain, switch_keys, "controller", server=True)
    tls.shake_hands(world.turn)
    client = Client(tls, turn=world.turn)
    world.closing.append(client)
    client.hello()
    client.barrier()
    assert world.status(target)["state"] == "ACTIVE"
    big = HEADER.pack(OF13, 2, 60000, 1) + bytes(59992)
    for _ in range(20):
        client.write(big)
    assert all(len(client.read()) == 60000 for _ in range(20))


def test_passive_tls_wants_a_certificate_of_its_ca(world, switch_keys):
    target = "pssl:0:127.0.0.1"
    world.controllers(target)
    port = world.manager.controllers[target].port
    tls = TlsSocket(
        socket.create_connection(("127.0.0.1", port)), switch_keys, "controller", server=False
    )
    tls.shake_hands(world.turn)
    client = Client(tls, turn=world.turn)
    world.closing.append(client)
    client.hello()
    client.barrier()
    stranger = TlsSocket(
        socket.create_connection(("127.0.0.1", port)), switch_keys, "stranger", server=False
    )
    world.closing.append(stranger)

    def ended():
        world.turn()
        try:
            stranger._do(stranger.sock.do_handshake)
            return stranger.recv(100) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    wait_until(ended, what="the stranger's end")
    nobody = socket.create_connection(("127.0.0.1", port))
    world.closing.append(nobody)
    nobody.send(b"GET / HTTP/1.0\r\n\r\n")
    world.until(lambda: len(world.manager.peers()) == 1 and len(world.gone) >= 2)
    client.barrier()


def test_tls_without_keys_is_an_error_in_status(world):
    for target in ("ssl:127.0.0.1:1", "pssl:0:127.0.0.1"):
        world.controllers(target)
        world.turn()
        status = world.status(target)
        assert status["last_error"] == "Private key, certificate and CA are not configured"


def test_tls_clients_that_reset(world, switch_keys):
    """Wherever in the handshake they are: nobody else notices, and they leave nothing."""
    faults = containment.FAULTS.count
    target = "pssl:0:127.0.0.1"
    world.controllers(target)
    port = world.manager.controllers[target].port
    tls = TlsSocket(
        socket.create_connection(("127.0.0.1", port)), switch_keys, "controller", server=False
    )
    tls.shake_hands(world.turn)
    client = Client(tls, turn=world.turn)
    world.closing.append(client)
    client.hello()
    for _ in resetting(("127.0.0.1", port)):
        for _ in range(3):
            world.turn()
    client.barrier()
    world.until(lambda: len(world.manager.peers()) == 1)
    assert containment.FAULTS.count == faults
