"""STP: the trees of the standard's examples, its times, and what is sent of a change."""

import random

import pytest
from spanning_net import Net, same_partition

from ofproto.protocols import bpdu, stp

# LANs of each bridge by the numbers of its ports, "LAN:cost" where the cost is not 10; the state
# that each port ends in; the root path cost.  802.1D-1998 figure 8-5, 802.1D-2004 17.4 and 17.7.
EXAMPLES = {
    "1998": {
        0x42: ("a b", "FF", 0),
        0x97: ("c:5 a d:5", "FFF", 10),
        0x45: ("b e", "FB", 10),
        0x57: ("b:5 e:5", "FF", 5),
        0x83: ("a:5 e:5", "FB", 5),
    },
    "2004, 17.4": {
        0x111: ("a b e c", "FFFF", 0),
        0x222: ("a b d f", "FBFF", 10),
        0x333: ("c d l j h g", "FBFFFF", 10),
        0x444: ("e f n m k i", "FBFFFF", 10),
        0x555: ("g i", "FB", 20),
        0x666: ("h k", "FB", 20),
        0x777: ("j m", "FB", 20),
        0x888: ("l n", "FB", 20),
    },
    "2004, 17.7": {
        0xAA: ("b", "F", 0),
        0x111: ("a b d f h g e c", "FFFFFFFF", 10),
        0x222: ("g h j l n m k i", "BFFFFFFF", 20),
    },
    "one LAN": {0x111: ("a a", "FB", 0), 0x222: ("a a", "FB", 10)},
}


def mac(number):
    return number.to_bytes(6, "big")


def make(plugs, rng=None, delay=1):
    """A Net of Stp bridges: address -> "LAN[:cost] …"."""
    net = Net(rng or random.Random(0), delay)
    for address, lans in plugs.items():
        bridge = net.bridges[address] = stp.Stp(stp.Settings(0x8000, mac(address)), 0)
        for number, plug in enumerate(lans.split(), 1):
            lan, _, cost = plug.partition(":")
            source = mac(address << 8 | number)
            settings = stp.PortSettings(number, 128, int(cost or 10), source)
            bridge.set_port(number, settings, 0)
            net.attach(address, number, lan)
    for address, number in net.lans:
        net.bridges[address].enable_port(number, 0)
        net.collect(address)
    return net


def set_lan(net, lan, alive):
    (net.dead.discard if alive else net.dead.add)(lan)
    for name, port in net.members(lan):
        bridge = net.bridges[name]
        (bridge.enable_port if alive else bridge.disable_port)(port, net.now)
        net.collect(name)


@pytest.mark.parametrize("example", EXAMPLES)
def test_trees_of_the_standard(example):
    rows = EXAMPLES[example]
    net = make({address: row[0] for address, row in rows.items()})
    net.run(1000)
    assert not list(net.forwarding())
    net.run(60_000)
    letters = {stp.FORWARDING: "F", stp.BLOCKING: "B"}
    assert {
        address: ("".join(letters[p.state] for p in b.ports.values()), b.root_path_cost)
        for address, b in net.bridges.items()
    } == {address: row[1:] for address, row in rows.items()}
    root = min(rows)
    assert all(b.designated_root == bpdu.bridge_id(0x8000, mac(root)) for b in net.bridges.values())
    assert not net.loops


def test_times_of_a_failure():
    """A tree stands after twice the forward delay; behind a root that is silent, the age of its
    last message comes on top."""
    net = make({1: "a b", 2: "a c", 3: "b c"})
    third = net.bridges[3].ports[2]
    net.run(29_000)
    assert net.bridges[2].ports[1].state == stp.LEARNING
    net.run(1500)
    assert net.bridges[2].ports[1].state == stp.FORWARDING
    assert third.state == stp.BLOCKING
    net.run(10_000)
    net.lans = {end: lan for end, lan in net.lans.items() if end[0] != 1}  # pulled out
    began = net.now
    while third.state == stp.BLOCKING:
        net.run(100)
    assert 17_000 <= net.now - began <= 20_000
    while third.state != stp.FORWARDING:
        net.run(100)
    assert 47_000 <= net.now - began <= 51_000
    assert net.bridges[3].designated_root == net.bridges[2].bridge_id
    assert not net.loops


@pytest.mark.parametrize("seed", range(6))
def test_random_failures(seed):
    rng = random.Random(seed)
    n = rng.choice((3, 7, 20))
    links = [(i, (i + 1) % n) for i in range(n)]
    links += [tuple(rng.sample(range(n), 2)) for _ in range(rng.choice((0, n // 2)))]
    plugs = {i + 1: " ".join(str(k) for k, ends in enumerate(links) if i in ends) for i in range(n)}
    net = make(plugs, rng, delay=20)
    net.run(60_000)
    for _ in range(rng.randint(1, 4)):
        set_lan(net, str(rng.randrange(len(links))), rng.random() < 0.4)
        net.run(rng.randint(0, 30_000))
    net.run(90_000)
    assert same_partition(net.reach(), net.connected())
    assert not net.loops


def test_everybody_is_told_of_a_change():
    """A bridge far from the root sees a change: all of them forget, until it is over."""
    net = make({1: "a", 2: "a b", 3: "b c"})
    net.run(120_000)
    flushed = {name: [] for name in net.bridges}
    for name, bridge in net.bridges.items():
        take = bridge.take_flushes
        bridge.take_flushes = lambda name=name, take=take: flushed[name].extend(
            [net.now] * len(take())
        )
    assert not any(bridge.topology_change for bridge in net.bridges.values())
    began = net.now
    set_lan(net, "c", False)
    net.run(4000)
    assert all(bridge.topology_change for bridge in net.bridges.values())
    assert all(flushed.values())
    net.run(40_000)
    assert not any(bridge.topology_change for bridge in net.bridges.values())
    lasted = max(map(max, flushed.values())) - began
    assert 35_000 <= lasted <= 40_000
    net.run(60_000)
    assert max(map(max, flushed.values())) - began == lasted


def test_configuration_while_it_runs():
    net = make({1: "a b", 2: "a b"})
    net.run(60_000)
    second = net.bridges[2]
    assert (second.role(second.ports[1]), second.role(second.ports[2])) == ("root", "alternate")
    second.set_port(1, second.ports[1].settings._replace(path_cost=30), net.now)
    net.collect(2)
    net.run(60_000)
    assert (second.role(second.ports[1]), second.role(second.ports[2])) == ("alternate", "root")
    second.configure(second.settings._replace(priority=0x1000, max_age=10), net.now)
    net.collect(2)
    net.run(60_000)
    assert second.is_root
    first = net.bridges[1]
    assert not first.is_root
    assert (first.max_age, first.root_path_cost) == (10_000, 10)
    second.remove_port(1, net.now)
    del net.lans[2, 1]
    net.run(60_000)
    assert first.role(first.ports[2]) == "root"
    assert not net.loops


def test_other_times_are_those_of_timers_that_run():
    net = make({0x111: "a", 0x222: "a b"})
    net.run(3000)
    root = net.bridges[0x111]
    root.configure(root.settings._replace(priority=0x1000, forward_delay=4), net.now)
    net.run(3000)  # listening began at 0
    assert {p.state for b in net.bridges.values() for p in b.ports.values()} == {stp.LEARNING}
    root.configure(root.settings._replace(forward_delay=30), net.now)
    net.run(14_000)
    assert {p.state for b in net.bridges.values() for p in b.ports.values()} == {stp.LEARNING}
    root.configure(root.settings._replace(hello_time=1, max_age=6, forward_delay=4), net.now)
    net.run(3000)
    assert {p.state for b in net.bridges.values() for p in b.ports.values()} == {stp.FORWARDING}
    net.run(13_000)  # 6 + 4 s behind the last
    assert not any(bridge.topology_change for bridge in net.bridges.values())


def test_frames_that_are_none():
    net = make({1: "a", 2: "a"})
    net.run(40_000)
    second = net.bridges[2]
    port = second.ports[1]
    good = bpdu.encode(
        bpdu.Bpdu(bpdu.CONFIG, 0, 1, 0, 1, 0x8001, 0, 20 * 256, 512, 15 * 256), mac(9)
    )
    for cut in range(17 + 35):  # padding follows
        second.receive(1, good[:cut], net.now)
    for at in (12, 13, 14, 15, 16, 17, 18, 20):
        second.receive(1, good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :], net.now)
    assert second.designated_root == net.bridges[1].bridge_id
    assert port.errors
    # Numbers that would have a timer stop, or run too often, are kept in the standard's range.
    wild = bpdu.Bpdu(bpdu.CONFIG, 0, 0, 0, 0, 0x8001, 0, 0xFFFF, 0, 0)
    second.receive(1, bpdu.encode(wild, mac(9)), net.now)
    assert second.designated_root == 0
    assert (second.max_age, second.hello_time, second.forward_delay) == (40_000, 1000, 4000)
    assert bpdu.decode(bpdu.encode(wild, mac(9))) == wild


def test_costs_without_end_are_the_highest_that_there_is():
    net = make({1: "a b", 2: "a b"})
    net.run(40_000)
    bridge = net.bridges[2]
    wild = bpdu.Bpdu(bpdu.CONFIG, 0, 0, 0xFFFFFFFF, 0, 0x8001, 0, 5120, 512, 3840)
    bridge.take_frames()
    bridge.receive(1, bpdu.encode(wild, mac(9)), net.now)
    assert bridge.root_path_cost == 0xFFFFFFFF
    for _ in range(3):
        net.now += 1000
        bridge.run(net.now)
    sent = [bpdu.decode(frame) for key, frame in bridge.take_frames() if key == 2]
    assert {each.cost for each in sent if each.kind == bpdu.CONFIG} == {0xFFFFFFFF}


@pytest.mark.parametrize("what", ["hello_time", "forward_delay"])
def test_a_damaged_memory_is_none(what):
    """A timer that is due again at once would never come to its end."""
    times = {"hello_time": 2, "forward_delay": 15}
    tree = stp.Stp(stp.Settings(1, mac(7), **{**times, what: 0}), 0)
    with pytest.raises(ValueError, match="no time"):
        stp.Stp.restored(tree.kept(0), 0)
    tree = stp.Stp(stp.Settings(1, mac(7), **times), 0)
    stp.Stp.restored(tree.kept(0), 0).run(0)
