"""The control socket: nonsense of every kind, many clients, handlers that come and go."""

import contextlib
import errno
import mmap
import os
import resource
import socket
import stat
import struct
import subprocess
import sys

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datapath.ipc import protocol
from datapath.ipc.dpif import DpifError
from datapath.ipc.upcall_rings import push_down, take_upcall
from datapath.server import MAX_CLIENTS, OPERATIONS
from tests import daemons
from tests.daemons import wait_until
from tests.datapath.dp_process import ROOT, Process, frame

MISS, ACTION = 0, 1


@pytest.fixture(scope="module")
def shared():
    """One process for tests that send nonsense; in a namespace, as some of it makes devices."""
    reason = daemons.missing()
    if reason:
        pytest.skip(reason)
    host = daemons.Namespace()
    made = Process(host=host)
    try:
        yield made
        made.check()
    finally:
        made.close()
        host.close()


class Raw:
    """A connection that sends what it likes."""

    def __init__(self, process):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(20)
        self.sock.connect(str(process.path))
        self.buffer = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def receive(self):
        """(body, data, seq), or None at the end of the connection."""
        while (message := protocol.decode(self.buffer)) is None:
            try:
                data = self.sock.recv(1 << 16)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.buffer += data
        return message

    def ask(self, body, data=b"", seq=1):
        self.sock.sendall(protocol.encode(body, data, seq))
        return self.receive()


def is_usable(process):
    with Raw(process) as other:
        body, _, seq = other.ask({"op": "version"}, seq=77)
        assert (body["pid"], seq) == (process.pid, 77)


@settings(max_examples=100)
@given(data=st.binary(min_size=12, max_size=200))
def test_random_bytes(shared, data):
    """A refusal or nothing, then the end of the connection; never an answer to a request."""
    with Raw(shared) as raw:
        raw.sock.sendall(data)
        raw.sock.shutdown(socket.SHUT_WR)
        while (answer := raw.receive()) is not None:
            assert "error" in answer[0]
    is_usable(shared)


@pytest.mark.parametrize(
    ("size", "text_size"),
    [(0, 0), (11, 0), (12, 1), (12, 0xFFFFFFFF), (protocol.MAX_MESSAGE + 1, 2), (0xFFFFFFFF, 2)],
)
def test_impossible_lengths(shared, size, text_size):
    with Raw(shared) as raw:
        raw.sock.sendall(protocol.HEADER.pack(size, text_size, 5))
        assert raw.receive()[0]["error"] == errno.EPROTO
        assert raw.receive() is None
    is_usable(shared)


@pytest.mark.parametrize("text", (b"", b"{", b"[1]", b"1", b"null", b"\xff", b"[" * 100_000))
def test_text_that_is_no_object(shared, text):
    with Raw(shared) as raw:
        raw.sock.sendall(protocol.HEADER.pack(12 + len(text), len(text), 5) + text)
        assert raw.receive()[0]["error"] == errno.EPROTO
        assert raw.receive() is None
    is_usable(shared)


def test_half_messages(shared):
    whole = protocol.encode({"op": "version"}, b"", 9)
    for cut in range(len(whole)):
        with Raw(shared) as raw:
            raw.sock.sendall(whole[:cut])
    with Raw(shared) as raw:  # in single bytes, the next one behind it
        for at in range(len(whole)):
            raw.sock.sendall(whole[at : at + 1])
        assert raw.receive()[2] == 9
        raw.sock.sendall(whole + whole[:5])
        assert raw.receive()[2] == 9
        raw.sock.sendall(whole[5:] * 200)  # more than one turn's worth
        for _ in range(200 if len(whole) == 5 else 1):
            assert raw.receive()[2] == 9


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)  # fmt: skip
WORDS = ("name", "type", "port_no", "options", "cursor", "packet_size", "in_port", "recirc_id")
WORDS += ("skb_priority", "pkt_mark", "self", "client")
VALUES = JSON | st.sampled_from(("dummy", "d1", "internal", "", "x" * 300, 1, 2, 0, -1, 65536, 1.5))


@settings(max_examples=400)
@given(
    op=st.sampled_from(sorted(OPERATIONS)) | JSON,
    words=st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=6),
    data=st.binary(max_size=100) | st.binary(min_size=1400, max_size=1500),
)
def test_wrong_words(shared, op, words, data):
    """Each request is answered in order; an error has a number and words."""
    with Raw(shared) as raw:
        body, _, seq = raw.ask({"op": op, **words}, data, 3)
        assert seq == 3
        if "error" in body:
            assert body["error"] in errno.errorcode and body["text"]
            assert body["error"] != errno.EIO, body  # what an unforeseen exception says
        is_usable(shared)


@pytest.mark.parametrize("depth", (100, 900, 1000))
@pytest.mark.parametrize("word", ("op", "name", "type", "port_no", "options"))
def test_words_too_deep_to_be_shown(shared, word, depth):
    """What an error's text would show costs the connection nothing."""
    words = {"op": '"port_add"', "name": '"deep"', "type": '"dummy"', "port_no": "null"}
    words[word] = "[" * depth + "]" * depth
    text = "{" + ",".join(f'"{name}":{value}' for name, value in words.items()) + "}"
    with Raw(shared) as raw:
        raw.sock.sendall(protocol.HEADER.pack(12 + len(text), len(text), 5) + text.encode())
        assert raw.receive()[0]["error"] in (errno.EINVAL, errno.EOPNOTSUPP)
        assert raw.ask({"op": "version"})[0]["pid"] == shared.pid


def test_unknown_operation(shared):
    with Raw(shared) as raw:
        body, _, _ = raw.ask({"op": "reboot"})
        assert body == {"error": errno.EOPNOTSUPP, "text": "reboot: unknown operation"}
        assert raw.ask({})[0]["error"] == errno.EOPNOTSUPP
        assert "version" in raw.ask({"op": "version"})[0]


@given(data=st.data())
def test_flow_put_of_any_bytes(shared, data):
    """Actions that no parser would make are refused, and what is taken in can be read again."""
    size = protocol.FLOW.size + 2 * protocol.KEY_DP_SIZE
    actions = data.draw(st.binary(max_size=64))
    length = data.draw(st.sampled_from((len(actions), 0, 8, 0xFFFFFFFF)))
    head = protocol.FLOW.pack(b"u" * 16, *[0] * 7, length)
    rest = bytes(size - len(head)) if data.draw(st.booleans()) else os.urandom(size - len(head))
    with Raw(shared) as raw:
        body, _, _ = raw.ask({"op": "flow_put"}, head + rest + actions)
        if "error" in body:
            assert body["error"] == errno.EINVAL
        else:
            body, got, _ = raw.ask({"op": "flow_get"}, b"u" * 16)
            [info] = protocol.flows(got)
            assert info.actions == actions[:length]
        raw.ask({"op": "flow_flush"})


# --- clients


def test_two_clients_and_a_slow_one(datapath):
    """One that never reads its answers keeps nobody waiting."""
    for number in range(400):
        datapath.flow(f"in_port({number})", "1")
    with Raw(datapath) as slow:
        slow.sock.setblocking(False)
        request = protocol.encode({"op": "flow_dump"}, b"", 1)
        sent = 0
        try:
            for _ in range(100_000):
                sent += slow.sock.send(request)
        except BlockingIOError:
            pass
        other = datapath.client()
        assert other.stats()["n_flows"] == 400
        rss = _resident(datapath.pid)
        for _ in range(20):
            assert len(list(other.flow_dump())) == 400
        assert _resident(datapath.pid) < rss + 64 * 1024
        slow.sock.setblocking(True)
        for _ in range(sent // len(request)):
            assert slow.receive()[2] == 1


def _resident(pid):
    """KiB."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def test_client_limit(datapath):
    """The 129th connection is closed at once; a place that becomes free is given away."""
    wait_until(lambda: _clients(datapath) == 1)  # that asked whether the process serves is gone
    crowd = [Raw(datapath) for _ in range(MAX_CLIENTS - 1)]  # datapath.dpif is the first
    try:
        for raw in crowd:
            assert "version" in raw.ask({"op": "version"})[0]
        with Raw(datapath) as late:
            assert late.receive() is None
        assert datapath.dpif.stats()["n_flows"] == 0
        crowd.pop().sock.close()

        def gets_in():
            with Raw(datapath) as raw:
                try:
                    return raw.ask({"op": "version"})
                except OSError:
                    return None

        wait_until(gets_in)
    finally:
        for raw in crowd:
            raw.sock.close()


def test_descriptors_do_not_leak(datapath):
    def count():
        return len(os.listdir(f"/proc/{datapath.pid}/fd"))

    def once():
        client = datapath.client()
        client.upcall_register()
        client.port_add("d9", "dummy")
        with pytest.raises(DpifError):
            client.port_add("nosuchdevice", "system")
        client.port_del(client.port_dump()[0].port_no)
        client.close()

    once()
    wait_until(lambda: "handler is gone" in datapath.log())
    wait_until(lambda: _clients(datapath) == 1)
    before = count()
    for _ in range(30):
        once()
    wait_until(lambda: count() <= before)


def _clients(process):
    """Connections that the process has open."""
    with open("/proc/net/unix") as file:
        return sum(line.endswith(f" {process.path}\n") for line in file) - 1


# --- the place


def test_only_the_owner(datapath):
    assert stat.S_IMODE(os.stat(datapath.path).st_mode) == 0o600


def test_second_process_in_the_same_place(datapath):
    done = subprocess.run(
        [sys.executable, "-m", "datapath.main", f"--rundir={datapath.directory}"],
        **{"cwd": ROOT, "capture_output": True, "text": True, "timeout": 20},
    )
    assert done.returncode == 1
    assert "another datapath process serves there" in done.stderr
    assert datapath.dpif.version()["pid"] == datapath.pid


def test_socket_of_a_killed_process_is_replaced(datapath):
    datapath.kill()
    assert datapath.path.exists()
    datapath.start()
    assert datapath.dpif.version()["pid"] == datapath.pid


# --- handlers


def take(dpif):
    """The next upcall, waited for as a handler does."""

    def some():
        dpif.upcall_awake()
        return take_upcall(dpif)

    return wait_until(some, what="an upcall")


def test_takeover(datapath):
    """The newest handler gets the upcalls; the end of an older one changes nothing."""
    port = datapath.add("d1")
    first, second = datapath.client(), datapath.client()
    first.upcall_register()
    datapath.dpif.port_inject(port, frame(src=1))
    assert take(first).packet == frame(src=1)
    second.upcall_register()
    datapath.dpif.port_inject(port, frame(src=2))
    assert take(second).packet == frame(src=2)
    assert take_upcall(first) is None
    first.close()
    datapath.dpif.stats()
    datapath.dpif.port_inject(port, frame(src=3))
    assert take(second).packet == frame(src=3)
    assert datapath.drops() == {}
    second.close()
    wait_until(lambda: "handler is gone" in datapath.log())
    datapath.dpif.port_inject(port, frame(src=4))
    assert datapath.drops() == {}
    third = datapath.client()
    third.upcall_register()
    assert take(third).packet == frame(src=4)


def test_handler_that_is_killed(datapath):
    """kill -9: known flows go on, the next handler has the misses, those of meanwhile, too."""
    one, two = datapath.add("d1"), datapath.add("d2")
    datapath.flow(f"in_port({one})", str(two))
    script = (
        "import sys, time\nfrom datapath.ipc.dpif import Dpif\n"
        "d = Dpif(sys.argv[1]); d.upcall_register(); print('ready', flush=True); time.sleep(60)"
    )
    victim = subprocess.Popen(
        [sys.executable, "-c", script, str(datapath.path)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert victim.stdout.readline() == b"ready\n"
    datapath.dpif.port_inject(two, frame(src=8))  # lies in its ring when it dies
    victim.kill()
    victim.wait()
    victim.stdout.close()
    datapath.dpif.port_inject(one, frame())
    assert datapath.dpif.port_drain(two) == [frame()]
    wait_until(lambda: "handler is gone" in datapath.log())
    datapath.dpif.port_inject(two, frame(src=9))
    successor = datapath.client()
    successor.upcall_register()
    datapath.dpif.port_inject(two, frame(src=10))
    assert [take(successor).packet for _ in range(3)] == [frame(src=n) for n in (8, 9, 10)]
    assert take_upcall(successor) is None
    assert datapath.drops() == {}


def test_a_port_that_goes_while_there_is_no_handler(datapath):
    """What came by it goes, as its number may become another's; what came by others waits."""
    one, two = datapath.add("d1"), datapath.add("d2")
    former = datapath.client()
    former.upcall_register()
    datapath.dpif.port_inject(one, frame(src=1))
    datapath.dpif.port_inject(two, frame(src=2))
    former.close()
    wait_until(lambda: "handler is gone" in datapath.log())
    datapath.dpif.port_inject(one, frame(src=3))
    datapath.dpif.port_inject(two, frame(src=4))
    lost = datapath.dpif.stats()["lost"]
    datapath.dpif.port_del(one)
    assert datapath.add("d3", port_no=one) == one
    successor = datapath.client()
    successor.upcall_register()
    datapath.dpif.port_inject(one, frame(src=5))
    assert [take(successor).packet for _ in range(3)] == [frame(src=n) for n in (2, 4, 5)]
    assert take_upcall(successor) is None and datapath.dpif.stats()["lost"] == lost + 2
    successor.close()
    wait_until(lambda: datapath.log().count("handler is gone") == 2)
    datapath.dpif.port_inject(one, frame(src=6))
    for n in range(3):  # each is lost once, also to ports of its number that come and go later,
        datapath.dpif.port_del(one)
        assert datapath.add(f"e{n}", port_no=one) == one
        assert datapath.dpif.stats()["lost"] == lost + 3
    datapath.dpif.port_inject(two, frame(src=7))
    wait_until(lambda: datapath.dpif.stats()["lost"] > lost + 3, 10)
    assert datapath.dpif.stats()["lost"] == lost + 4  # and when nobody has come in time


def test_register_where_descriptors_end(datapath):
    """Whichever is lacking: it is refused, what waited is counted, and none is left behind."""

    def fds():
        return {int(name) for name in os.listdir(f"/proc/{datapath.pid}/fd")}

    port = datapath.add("d1")
    client = datapath.client()
    client.version()
    before = fds()
    former = datapath.client()
    former.upcall_register()
    datapath.dpif.port_inject(port, frame())
    former.close()
    wait_until(lambda: "handler is gone" in datapath.log())
    limits = resource.prlimit(datapath.pid, resource.RLIMIT_NOFILE)
    for n in range(20):
        free = [number for number in range(max(before) + 22) if number not in fds()]
        resource.prlimit(datapath.pid, resource.RLIMIT_NOFILE, (free[n], limits[1]))
        try:
            client.upcall_register()
            break
        except DpifError:
            assert datapath.dpif.stats()["lost"] == 1 and fds() == before
        finally:
            resource.prlimit(datapath.pid, resource.RLIMIT_NOFILE, limits)
    assert n >= 6
    datapath.dpif.port_inject(port, frame(src=2))
    assert take(client).packet == frame(src=2)


def test_nonsense_in_the_down_ring(datapath):
    """A handler that writes rubbish: each record is dropped and counted, or the ring is broken."""
    datapath.add("d1")
    handler = datapath.client()
    handler.upcall_register()
    sizes = [0, 1, 31, 40, 600, 700, 2000]
    for number, size in enumerate(sizes):
        assert push_down(handler, 0, bytes([0xFF]) * size)
        wait_until(lambda n=number: datapath.drops().get("bad_action", 0) == n + 1)
    # A whole record whose actions are not whole.
    upcall = b"\0" * 8 + struct.pack("=H", 2)
    assert push_down(handler, 0, upcall.ljust(2000, b"\0"))
    datapath.check()


def _sockets():
    found = set()
    for fd in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):  # that of the listing
            found |= {fd} if stat.S_ISSOCK(os.fstat(fd).st_mode) else set()
    return found


def test_a_handler_that_spoils_what_wakes(datapath):
    """What it shares with the worker is full, never taken from, and said to be one that waits: the
    worker neither waits for it nor is it lost to who comes next."""
    port = datapath.add("d1")
    handler = datapath.client()
    before = _sockets()
    handler.upcall_register()
    given = _sockets() - before
    assert len(given) == 2  # our doorbell, and the worker's
    spoilt = [socket.socket(fileno=os.dup(fd)) for fd in given]
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("=i", handler.fileno()))]
    for _ in range(20):
        for end in spoilt:
            with contextlib.suppress(BlockingIOError):
                for size in (1, 8, 100) * 1000:
                    end.send(b"1" * size, socket.MSG_DONTWAIT)
            with contextlib.suppress(OSError):
                end.sendmsg([b"1"], rights, socket.MSG_DONTWAIT)
            os.set_blocking(end.fileno(), True)
        n_sleeps = datapath.dpif.stats()["workers"][0]["sleeps"]
        datapath.dpif.port_inject(port, frame())
        assert wait_until(lambda: take_upcall(handler)).packet == frame()
        wait_until(lambda n=n_sleeps: datapath.dpif.stats()["workers"][0]["sleeps"] > n)
    handler.close()
    # Who has the former's ends still can wake nobody any more.
    successor = datapath.client()
    successor.upcall_register()
    for end in spoilt:
        with contextlib.suppress(OSError):
            end.send(b"1", socket.MSG_DONTWAIT)
        end.close()
    datapath.dpif.port_inject(port, frame(src=2))
    assert take(successor).packet == frame(src=2)


def test_a_worker_does_not_wait_for_what_wakes_its_handler(datapath):
    """Neither does one of many: where nothing is taken from the doorbell, ringing it is nothing."""
    port = datapath.add("d1")
    descriptors = []
    handler = datapath.client()
    handler._request("upcall_register", fds=descriptors)
    for fd in descriptors:
        with contextlib.suppress(OSError):
            os.set_blocking(fd, True)
    sleeping = struct.pack("=I", 1)
    with mmap.mmap(descriptors[1], 8192) as ring:
        for _ in range(3000):
            ring[256:260] = sleeping  # RING_SLEEPING: wake me, and again
            datapath.dpif.port_inject(port, frame())
    assert datapath.dpif.stats()["workers"][0]["upcalls"] >= 3000
    for fd in descriptors:
        os.close(fd)
    handler.close()


def test_json_of_every_reply_is_an_object(datapath):
    for op in ("version", "port_dump", "stats", "flow_dump", "flow_flush"):
        with Raw(datapath) as raw:
            body, _, _ = raw.ask({"op": op})
            assert "error" not in body and orjson.dumps(body)


def test_a_datapath_that_is_deleted_leaves_no_descriptors(datapath):
    """At once: Python's collector comes when it likes."""
    datapath.dpif.stats()  # every client is accepted
    before = len(os.listdir(f"/proc/{datapath.pid}/fd"))
    for _ in range(4):
        datapath.dpif._request("dp_add", name="more", type="dummy")
        datapath.dpif._request("dp_del", name="more")
    assert len(os.listdir(f"/proc/{datapath.pid}/fd")) <= before
