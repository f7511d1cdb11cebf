"""Packets that come by ports whose bridges are still to come, in a vswitchd that has just begun."""

import pytest

from datapath.ipc.dpif import Dpif
from datapath.key import key_text
from ofproto.flows.backer import Backer
from ofproto.ofproto import Ofproto
from tests.ofproto.bridge_world import World, frame

MAX_LINE = 4096  # as in waiting.pyx


class Beginning(World):
    """The bridge, with its ports, comes later than the packets."""

    def start(self):
        self.backer = Backer(Dpif(self.process.path), lambda: Dpif(self.process.path))
        self.bridge = Ofproto("br0", self.backer)

    def ports_come(self):
        for number in (1, 2):
            self.add_port(f"p{number}", number)

    def in_the_datapath(self, name):
        return self.process.dpif.port_add(name, "dummy")

    @property
    def n_early(self):
        return self.backer.handler.n_early


@pytest.fixture
def world():
    made = Beginning()
    yield made
    made.close()


def test_packets_wait_for_their_bridge_and_no_longer(world):
    numbers = {name: world.in_the_datapath(name) for name in ("p1", "p2", "p9")}
    world.backer.close()
    world.bridge.destroy(False)
    world.start()  # finds them in the datapath
    packets = [frame(60, 1, to) for to in range(0x100, 0x180)]
    for packet in packets:
        world.backer.dpif.port_inject(numbers["p1"], packet)
    for _ in range(3):
        world.backer.dpif.port_inject(numbers["p9"], packets[0])
    world.until(lambda: world.n_early == len(packets) + 3, "packets that wait")
    assert not world.backer.handler.busy and not len(world.backer.flows)
    world.ports_come()
    world.backer.some_bridges_done()
    world.expect({2: packets})
    world.until(lambda: world.n_early == 3)  # of a port that may be another bridge's
    world.backer.first_reconcile_done()
    world.until(lambda: not world.backer.handler.busy)
    assert world.n_early == 0 and world.backer.flows.stats()["unknown_port"] == 3
    world.send(2, packets[0])
    world.expect({1: [packets[0]]})


def test_a_connection_that_broke_takes_no_ports_from_bridges_to_come(world):
    number = world.in_the_datapath("p2")
    world.add_port("p1", 1)
    world.backer.dpif.port_inject(number, frame())
    world.until(lambda: world.n_early, "a packet that waits")
    world.backer._lost(OSError("by a test"))
    assert world.n_early == 0
    world.until(lambda: world.backer.dpif is not None, "a connection")
    assert "p2" in {port.name for port in world.process.dpif.port_dump()}
    world.add_port("p2", 2)
    assert world.bridge.ports[2].odp_port == number
    world.in_the_datapath("p9")
    world.backer.first_reconcile_done()
    world.send(1, frame())
    world.expect({2: [frame()]})


def test_a_flood_does_not_fill_the_daemon_and_takes_nothing_from_other_ports(world):
    """Once a line is full its port's packets are dropped, as those of ports of nobody's are."""
    for port, count in ((1, MAX_LINE + 10), (2, 1)):
        key = key_text.parse_key(f"in_port({port}),eth_type(0x1234)")[0]
        for _ in range(count):
            world.backer.handler.upcall(0, key, frame(), 0)
    assert world.n_early == MAX_LINE + 1
    assert world.backer.flows.stats()["unknown_port"] == 10
    world.backer.some_bridges_done()
    assert world.n_early == 0 and world.backer.handler.busy
    world.until(lambda: world.n_early == MAX_LINE + 1)
    world.backer.first_reconcile_done()
    world.until(lambda: not world.backer.handler.busy)
    assert world.backer.flows.stats()["unknown_port"] == MAX_LINE + 11


def test_flows_of_the_kernel_are_left_to_bridges_to_come(world, monkeypatch):
    """A barrier of another bridge's has their packets not come up to nobody."""
    handed = []
    kind = type(world.backer.dpif)
    monkeypatch.setattr(kind, "kernel_cache_hand_over", lambda dpif: handed.append(dpif))
    answered = []
    world.backer.barrier(lambda: answered.append(len(handed)))
    world.backer.first_reconcile_done()
    world.backer.barrier(lambda: answered.append(len(handed)))
    world.until(lambda: len(answered) == 2)
    assert answered == [0, 1]


def test_packets_whose_worker_ended_meanwhile(world):
    """Another one sends them."""
    world.ports_come()
    numbers = {name: world.process.port(name).port_no for name in ("p1", "p2")}
    world.backer.close()
    world.bridge.destroy(False)
    world.start()
    dpif = world.backer.dpif
    workers = dpif.workers_add([0], False)
    dpif.queues_move([(numbers["p1"], 0, workers[0])])
    packet = frame(60, 1, 2)
    dpif.port_inject(numbers["p1"], packet)
    world.until(lambda: world.n_early == 1)
    dpif.workers_del(workers)
    world.ports_come()
    world.backer.first_reconcile_done()
    world.expect({2: [packet]})
