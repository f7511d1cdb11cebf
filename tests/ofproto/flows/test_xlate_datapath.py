"""Translation, upcalls and revalidation with a real datapath process and its dummy ports."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from scapy.all import ARP, IP, UDP, Ether
from scapy.contrib.mpls import MPLS
from scapy.contrib.nsh import NSH

from datapath.actions.text import odp_text
from datapath.ipc.dpif import Dpif, DpifError
from datapath.ipc.upcall_rings import push_down
from datapath.key import key_text
from ofproto.codec.instructions import parse_instructions
from ofproto.codec.match import Match
from ofproto.flows.flows import Flows
from ofproto.flows.revalidator import Revalidator
from ofproto.flows.upcall import UpcallHandler
from ofproto.rules.compile import compile_actions
from tests.ofproto.xlate_world import CONTROLLER, NORMAL, World, act, match, output

A, B = "00:00:00:00:00:0a", "00:00:00:00:00:0b"
N_CHANGES = 1500
NOTHING = Match().key_bytes


def frame(src, dst):
    return bytes(Ether(src=src, dst=dst) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP() / (b"x" * 20))


@pytest.fixture
def datapath(request):
    """The socket of a datapath process with a run directory of its own; parameters are options."""
    with tempfile.TemporaryDirectory() as rundir:
        process = subprocess.Popen(
            [sys.executable, "-m", "datapath.main", *getattr(request, "param", ())],
            env=os.environ | {"PYVS_RUNDIR": rundir},
            stderr=subprocess.DEVNULL,
        )
        path = Path(rundir) / "datapath.sock"
        try:
            wait_until(lambda: connects(path))
            yield str(path)
        finally:
            process.terminate()
            process.wait(10)


def connects(path):
    try:
        Dpif(str(path)).close()
    except (DpifError, OSError):
        return False
    return True


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


class Daemon:
    """What vswitchd is to the datapath, with one bridge of three ports."""

    def __init__(self, path):
        self.dpif = Dpif(path)
        self.flows = Flows(self.dpif)
        self.handler = UpcallHandler(self.flows)
        self.revalidator = Revalidator(self.flows)
        self.world = World(3, generation=self.flows.generation)
        self.bridge = self.world.bridge
        self.flows.add_bridge(self.bridge)
        present = {port.name: port.port_no for port in self.dpif.port_dump()}
        for port in self.world.ports.values():
            odp_port = present.get(port.name) or self.dpif.port_add(port.name, "dummy")
            self.flows.port_set(odp_port, port)
        self.dpif.upcall_register()
        self.events = []
        self.bridge.packet_in = self.events.append

    def step(self):
        now = int(time.monotonic() * 1000)
        self.handler.run(now)
        self.revalidator.run(now)

    def until(self, condition):
        def turn():
            self.step()
            return condition()

        wait_until(turn)

    def send(self, number, packet):
        self.dpif.port_inject(self.world.ports[number].odp_port, packet)

    def received(self, number):
        return self.dpif.port_drain(self.world.ports[number].odp_port)

    def expect(self, wanted):
        """Waits until the ports have sent these frames: {port: [frame, ...]}."""
        seen = {number: [] for number in self.world.ports}

        def all_there():
            for number, frames in seen.items():
                frames += self.received(number)
            return all(len(seen[n]) >= len(frames) for n, frames in wanted.items())

        self.until(all_there)
        assert {number: frames for number, frames in seen.items() if frames} == wanted

    def actions(self):
        return sorted(odp_text.format_actions(found.actions) for found in self.dpif.flow_dump())


@pytest.fixture
def daemon(datapath):
    made = Daemon(datapath)
    made.rule = made.world.rule([output(NORMAL)], priority=0)
    made.path = datapath
    made.pid = made.dpif.version()["pid"]
    return made


def test_learning_switch(daemon):
    first, back = frame(A, B), frame(B, A)
    daemon.send(1, first)
    daemon.expect({2: [first], 3: [first]})
    daemon.send(2, back)
    daemon.expect({1: [back]})
    daemon.until(lambda: daemon.actions() == ["1", "2"])  # the flood has become one output
    for _ in range(5):
        daemon.send(1, first)
    daemon.expect({2: [first] * 5})
    daemon.until(lambda: daemon.rule.n_packets == 7)
    assert daemon.rule.n_bytes == 7 * len(first)
    assert daemon.flows.stats()["misses"] == 2


def test_packet_in_and_packet_out(daemon):
    daemon.world.rule([output(CONTROLLER, 64)], match(in_port=3), 7, cookie=9)
    packet = bytes(Ether(src=A, dst=B) / ARP())
    daemon.send(3, packet)
    daemon.until(lambda: daemon.events)
    (event,) = daemon.events
    assert (event.packet, event.in_port, event.cookie) == (packet, 3, 9)
    daemon.flows.packet_out(daemon.bridge, packet, 0xFFFD, NOTHING, compile_actions([output(2)]), 0)
    daemon.expect({2: [packet]})


def test_recirculation(daemon):
    inner = IP(src="10.0.0.1", dst="10.0.0.9", ttl=5) / UDP() / (b"x" * 20)
    daemon.world.rule([act("PopMpls", ethertype=0x0800), act("DecTtl"), output(2)], priority=9)
    daemon.send(1, bytes(Ether(src=A, dst=B) / MPLS(label=16, s=1, ttl=9) / inner))
    inner.ttl = 4
    daemon.expect({2: [bytes(Ether(src=A, dst=B) / inner)]})
    assert len(daemon.actions()) == 2


def test_packets_without_ethernet_header_go_up_and_down_again(daemon):
    """Decapsulated twice, with an upcall at each level; then by the flows alone."""
    inner = IP(src="10.0.0.1", dst="10.0.0.9", ttl=5) / UDP() / (b"x" * 20)
    outer = Ether(src=A, dst=B) / NSH(mdtype=1, nextproto=4, spi=5)
    packet = bytes(outer / NSH(mdtype=2, nextproto=1, spi=6) / inner)
    for table, matching, actions in (
        (0, match(eth_type=0x894F, nsh_spi=5), "decap(),decap(),resubmit(,1)"),
        (1, match(packet_type=1 << 16 | 0x894F, nsh_spi=6), "decap(),resubmit(,2)"),
        (
            2,
            match(packet_type=1 << 16 | 0x0800, ip_dst=0x0A000009),
            "dec_ttl,encap(ethernet),output:2",
        ),
    ):
        daemon.world.rule((), matching, 9, table, parse_instructions(actions))
    inner.ttl = 4
    want = bytes(Ether(src="00:00:00:00:00:00", dst="00:00:00:00:00:00") / inner)
    for _ in range(3):
        daemon.send(1, packet)
        daemon.expect({2: [want]})
    assert daemon.flows.stats()["misses"] == 3 and len(daemon.actions()) == 3


def test_a_new_daemon_adopts_the_flows(daemon):
    first, back = frame(A, B), frame(B, A)
    daemon.send(1, first)
    daemon.expect({2: [first], 3: [first]})
    daemon.send(2, back)
    daemon.expect({1: [back]})
    daemon.until(lambda: daemon.actions() == ["1", "2"])
    daemon.dpif.close()
    again = Daemon(daemon.path)
    again.send(1, first)  # without any rule yet: the flows forward
    again.expect({2: [first]})
    # What is not known yet has no rule, and must not get a flow that drops the others, too.
    other = frame("00:00:00:00:00:0c", B)
    again.send(1, other)
    again.until(lambda: again.flows.stats()["misses"] == 1)
    assert again.actions() == ["1", "2"]
    again.send(1, first)
    again.expect({2: [first]})
    again.world.rule([output(NORMAL)], priority=0)
    again.bridge.touch()
    again.revalidator.ready = True
    again.until(lambda: again.revalidator.counts["adopted"] == 2)
    assert again.actions() == ["1", "2"] and len(again.bridge.mac) == 2
    again.send(1, first)
    again.expect({2: [first]})
    assert again.flows.stats()["misses"] == 1
    again.until(lambda: again.flows.settled)
    again.send(1, other)
    again.expect({2: [other]})
    assert again.flows.stats()["installed"] == 1


def test_packets_of_a_port_that_is_nobodys(daemon):
    """They come up once, until the port is somebody's."""
    odp_port = daemon.dpif.port_add("later", "dummy")
    packet = frame(A, B)
    for _ in range(5):
        daemon.dpif.port_inject(odp_port, packet)
        daemon.until(lambda: daemon.actions() == ["drop"])
    assert daemon.flows.stats()["unknown_port"] == 1
    daemon.world.add_port(4, odp="none")
    daemon.flows.port_set(odp_port, daemon.world.ports[4])
    daemon.until(lambda: daemon.actions() == [])
    daemon.dpif.port_inject(odp_port, packet)
    daemon.expect({1: [packet], 2: [packet], 3: [packet]})


def test_more_changes_than_the_ring_takes(daemon):
    """The datapath stands still: changes wait for it, and all of them arrive."""
    daemon.revalidator.max_idle = 600_000
    for number in range(N_CHANGES):
        daemon.send(1, frame(A, f"00:00:00:00:{number >> 8:02x}:{number & 255:02x}"))
        if number % 100 == 0:
            daemon.step()
    daemon.until(lambda: len(daemon.flows) == N_CHANGES)
    daemon.until(lambda: len(daemon.actions()) == N_CHANGES)
    while daemon.revalidator.run(int(time.monotonic() * 1000)):
        pass
    early = 0  # when no round of statistics is due, which would ask the datapath
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        # One change for all of them, of more bytes than the ring has.
        daemon.world.rule([output(2)] * 599 + [output(3)], match(in_port=1), 5)
        daemon.bridge.touch()
        while daemon.revalidator.run(early):
            pass
        ring = daemon.revalidator.next_run(early) == 1
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    assert ring, "the ring was to be full"

    def changed():
        (made, *others) = {found.actions for found in daemon.dpif.flow_dump()}
        return not others and odp_text.format_actions(made) == ",".join(["2"] * 599 + ["3"])

    daemon.until(changed)
    assert len(daemon.flows) == N_CHANGES


def test_a_deleted_rule_stops_the_traffic(daemon):
    packet = frame(A, B)
    daemon.send(1, packet)
    daemon.expect({2: [packet], 3: [packet]})
    daemon.bridge.table(0).remove(daemon.rule)
    daemon.bridge.touch()
    daemon.until(lambda: daemon.actions() in ([], ["drop"]))
    daemon.send(1, packet)
    daemon.world.rule([output(3)], match(in_port=2), priority=1)
    daemon.bridge.touch()
    daemon.send(2, packet)
    daemon.expect({3: [packet]})


@pytest.mark.parametrize("datapath", [("--workers=2",)], indirect=True)
@pytest.mark.parametrize("full", [(0,), (1,), (0, 1)])
def test_a_flow_that_only_some_workers_have_room_for_is_known(daemon, full):
    packet = frame(A, B)
    daemon.send(3, packet)
    daemon.expect({1: [packet], 2: [packet]})
    (first,) = daemon.flows.ukeys()
    key = key_text.parse_key(f"in_port({daemon.world.ports[1].odp_port}),eth_type(0x1234)")[0]

    def known():
        return [ukey.workers & 3 for ukey in daemon.flows.ukeys() if ukey is not first]

    def miss():
        daemon.handler.upcall(0, key, packet, int(time.monotonic() * 1000))  # worker 0 had it

    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        for worker in full:
            for size in (60_000, 64):
                while push_down(daemon.dpif, worker, bytes(size)):
                    pass
        for _ in range(2):
            miss()
        n_lacking = 2 if 0 in full else 1  # a flow that its worker has is on its way
        assert daemon.flows.counts["ring_full"] == n_lacking
        assert known() == [3 & ~sum(1 << worker for worker in full)] * (len(full) < 2)
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    daemon.until(lambda: len(list(daemon.dpif.flow_dump())) == 1 + len(known()))
    daemon.until(lambda: all(push_down(daemon.dpif, worker, bytes(64)) for worker in full))
    miss()
    assert known() == [3 if 0 in full else 1]
    daemon.until(lambda: len(list(daemon.dpif.flow_dump())) == 2)
