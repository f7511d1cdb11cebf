"""Random bytes, truncated frames and half messages on every socket of the running switch.

Each attack is a connection with bytes on it: noise; a conversation cut off in the middle; one
with bytes changed; a large claim with nothing behind it.  Afterwards the same processes answer
as before, hold no descriptor more, have logged no traceback, and packets pass.
"""

import contextlib
import json
import os
import random
import socket
import struct
import threading
from pathlib import Path

import pytest

from datapath.ipc import protocol
from tests.daemons import DAEMONS, VSWITCHD, wait_until
from tests.datapath.sample_frames import frames
from tests.ofproto.codec_samples import CASES

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROUNDS = int(os.environ.get("PYVS_FUZZ_ROUNDS", "300"))


# --- what a well-behaved peer would say


def openflow():
    """Conversations: a greeting, and some messages."""
    messages = {1: [], 4: []}
    for message, version, keywords in CASES:
        with contextlib.suppress(ValueError):
            messages[version].append(message.encode(version, xid=7, **keywords))
    for version, encoded in messages.items():
        hello = struct.pack("!BBHI", version, 0, 8, 1)
        for message in encoded:
            yield hello + message
        yield hello + b"".join(encoded)


def ovsdb():
    row = {"name": "fuzz", "ports": ["named-uuid", "p"]}
    requests = [
        ("list_dbs", []),
        ("get_schema", ["Open_vSwitch"]),
        ("echo", [1, {"a": None}]),
        ("monitor", ["Open_vSwitch", "m", {"Bridge": {"columns": ["name"]}}]),
        ("monitor_cond", ["Open_vSwitch", "n", {"Port": [{"where": [["tag", "==", 1]]}]}]),
        ("monitor_cond_change", ["n", "o", {"Port": [{"where": [False]}]}]),
        ("lock", ["fuzz_lock"]),
        ("transact", ["Open_vSwitch", {"op": "insert", "table": "Bridge", "row": row}]),
        ("transact", ["Open_vSwitch", {"op": "select", "table": "Port", "where": []}]),
        ("transact", ["Open_vSwitch", {"op": "wait", "table": "Port", "where": [], "rows": [],
                                       "until": "==", "columns": ["name"], "timeout": 0}]),
        ("cancel", [3]),
    ]  # fmt: skip
    texts = [
        json.dumps({"method": method, "params": params, "id": number}).encode()
        for number, (method, params) in enumerate(requests)
    ]
    yield from texts
    yield b"".join(texts)
    yield b'{"method":"echo","params":[' + b"[" * 2000
    yield b'{"id":' + b"9" * 5000 + b',"method":"echo","params":[1e999,"\\ud800"]}'


def unixctl():
    for method, params in [
        ("list-commands", []),
        ("version", []),
        ("vlog/list", []),
        ("coverage/read-counter", ["x"]),
        ("fdb/show", ["br0"]),
        ("fdb/show", [None]),
        ("ofproto/trace", ["br0", "in_port=1,tcp,nw_src=1.2.3.4"]),
        ("ofproto/trace", ["br0", "in_port=1", "ffff"]),
        ("ofproto/trace", ["in_port(1),eth_type(0x0800),ipv4(src=1.2.3.4)"]),
        ("dpctl/dump-flows", ["-m"]),
        ("memory/show", {}),
        ({}, []),
        (None, "text"),
    ]:
        yield json.dumps({"method": method, "params": params, "id": 0}).encode()


def datapath():
    body = bytes(range(256)) * 4
    for request, data in [
        ({"op": "version"}, b""),
        ({"op": "stats"}, b""),
        ({"op": "port_dump", "behind": 0}, b""),
        ({"op": "port_add", "name": "fuzz0", "type": "system"}, b""),
        ({"op": "port_add", "name": [], "type": 7, "port_no": -1, "options": 3}, b""),
        ({"op": "port_del", "port_no": 99}, b""),
        ({"op": "port_inject", "port_no": 98}, body),
        ({"op": "port_drain", "port_no": "x"}, b""),
        ({"op": "flow_put"}, body),
        ({"op": "flow_get"}, body[:16]),
        ({"op": "flow_del"}, body[:16]),
        ({"op": "flow_dump", "cursor": 1 << 60}, b""),
        ({"op": "execute", "packet_size": 60, "in_port": 1}, body[:100]),
        ({"op": "nonsense"}, b""),
    ]:
        yield protocol.encode(request, data, 1)
    yield protocol.HEADER.pack(0xFFFFFFFF, 2, 1) + b"{}"
    yield protocol.HEADER.pack(protocol.MAX_MESSAGE, 2, 1) + b"{}"


# --- what the others say


def spoiled(rng, whole):
    """`whole` as it should not be."""
    how = rng.randrange(5)
    if how == 0:
        return rng.randbytes(rng.choice((1, 7, 8, 200, 5000)))
    if how == 1:
        return whole[: rng.randrange(len(whole))]
    changed = bytearray(whole)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(changed))
        changed[at] = rng.choice((0, 0xFF, changed[at] ^ 1 << rng.randrange(8), rng.randrange(256)))
    if how == 2:
        return bytes(changed)
    if how == 3:
        return whole + bytes(changed)
    return bytes(changed[: rng.randrange(len(changed))]) + whole


def attack(rng, path, sentence):
    """One connection; whatever the switch answers is taken, or not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(path)  # waits while the backlog is full
        sock.settimeout(1)
        with contextlib.suppress(OSError):  # disconnected, or too slow: it is the switch's right
            pieces = rng.choice((1, 1, 3))
            step = max(1, len(sentence) // pieces)
            for at in range(0, len(sentence), step):
                sock.sendall(sentence[at : at + step])
            if rng.random() < 0.8:
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(1 << 16):
                    pass


@contextlib.contextmanager
def attacks(rng, path, sentences):
    """Attack all the time meanwhile."""
    over = threading.Event()

    def go_on():
        while not over.wait(0.005):
            with contextlib.suppress(ConnectionRefusedError, FileNotFoundError):
                attack(rng, path, spoiled(rng, rng.choice(sentences)))

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def descriptors(pid):
    """How many files a process has open, of each kind."""
    kinds = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            kind = os.readlink(entry).split(":")[0]
            kinds[kind] = kinds.get(kind, 0) + 1
    return kinds


@pytest.fixture
def running(switch):
    """The switch with two containers that know each other; checked again when the test is over."""
    switch.vsctl("add-br", "br0")
    one = switch.container("c1", "10.77.0.1/24", "br0")
    switch.container("c2", "10.77.0.2/24", "br0")
    assert one.ping("10.77.0.2") == 3
    pids = {name: switch.pid(name) for name in DAEMONS}
    before = {name: descriptors(pid) for name, pid in pids.items()}
    yield switch
    assert {name: switch.pid(name) for name in DAEMONS} == pids
    for name, pid in pids.items():
        wait_until(
            lambda pid=pid, name=name: descriptors(pid) == before[name],
            what=f"the descriptors of {name} ({before[name]}, now {descriptors(pid)})",
        )
        assert "pyvs" in switch.appctl("-t", name, "version")
    assert one.ping("10.77.0.2") == 3
    assert switch.vsctl("list-ports", "br0").split() == ["c1", "c2"]
    switch.allow(r"\|WARN\|")  # of what the peer did; an error of ours is ERR, or a traceback


SOCKETS = {
    "db.sock": ovsdb,
    "br0.mgmt": openflow,
    "br0.snoop": openflow,
    "datapath.sock": datapath,
    **{f"{name}.ctl": unixctl for name in DAEMONS},
}


@pytest.mark.parametrize("name", sorted(SOCKETS))
def test_garbage_on_a_socket(running, name):
    program = name.removesuffix(".ctl")
    if program in DAEMONS:
        path = running.directory / f"{program}.{running.pid(program)}.ctl"
    else:
        path = running.directory / name
    rng = random.Random(f"{name} {os.environ.get('PYVS_FUZZ_SEED', '1')}")
    sentences = list(SOCKETS[name]())
    for sentence in sentences:
        attack(rng, str(path), sentence)
    for _ in range(ROUNDS):
        attack(rng, str(path), spoiled(rng, rng.choice(sentences)))


def test_connections_that_say_nothing(running):
    """Many at once on each socket; other clients are served."""
    idle = []
    try:
        for name in ("db.sock", "br0.mgmt", "br0.snoop", "datapath.sock"):
            for _ in range(20):
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                idle.append(sock)
                sock.connect(str(running.directory / name))
        assert "br0" in running.vsctl("show")
        assert "NORMAL" in running.ofctl("dump-flows", "br0")
        assert "br0" in running.dpctl("show")
    finally:
        for sock in idle:
            sock.close()


def test_frames_of_all_kinds_and_lengths(running):
    """A port takes any bytes: what cannot be parsed is forwarded or counted, never a crash."""
    rng = random.Random(2)
    whole = list(frames().values())
    made = [spoiled(rng, rng.choice(whole))[:1500] for _ in range(ROUNDS)]
    made += [rng.choice(whole)[:length] for length in range(14, 80)]
    made = [frame for frame in made if len(frame) >= 14]  # the kernel wants a whole header
    switch = running
    before = int(switch.get("Interface", "c1", "statistics:rx_packets"))
    for at in range(0, len(made), 40):
        switch._containers[0].send(*made[at : at + 40])
    switch.vsctl("set", "Open_vSwitch", ".", "other_config:stats-update-interval=5000")
    wait_until(
        lambda: int(switch.get("Interface", "c1", "statistics:rx_packets")) - before >= len(made),
        seconds=20,
        what="all frames in the counters",
    )
    for flow in switch.dpctl("dump-flows").splitlines():
        assert "actions:" in flow


def test_garbage_while_the_switch_starts(switch_daemons):
    """Connections are there before the first configuration is."""
    switch = switch_daemons
    switch.allow(r"\|WARN\|")
    switch.start()
    switch.vsctl("add-br", "br0")
    rng = random.Random(3)
    sentences = list(openflow())
    path = str(switch.directory / "br0.mgmt")
    for _ in range(3):
        switch.kill(VSWITCHD)
        with attacks(rng, path, sentences):
            switch.start_daemon(VSWITCHD)
    assert switch.vsctl("list-br") == "br0\n"
