"""Frames on real veths with the kernel cache: each is where it would be without, and counted."""

import os
import random
import struct
import sys

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Dot1Q, Ether

from datapath.bpf.tc import owner
from tests.daemons import wait_until
from tests.datapath.bpf.test_instructions import needs_bpf
from tests.datapath.dp_process import ROOT
from tests.datapath.wire import Host, neighbours, raw_socket, receive, transfer

pytestmark = needs_bpf
ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.0.0.3")


@pytest.fixture
def three(net):
    """Three containers on ports 1 to 3, the kernel cache on: (process, a, b, c)."""
    net.dpif.kernel_cache_set(True)
    made = []
    try:
        for name, address in zip(("pa", "pb", "pc"), ADDRESSES, strict=True):
            made.append(Host(net, name, f"{address}/24"))
            net.add(name, "system")
        yield net, *made
    finally:
        for each in made:
            each.close()


def cache(net):
    return net.dpif.stats()["kernel_cache"]


def udp(number=0, source=1, size=100, tag=None, **more):
    """A frame with a payload of its own."""
    packet = Ether(src=f"02:00:00:00:00:0{source}", dst="02:00:00:00:00:02")
    if tag is not None:
        packet /= Dot1Q(vlan=tag & 0xFFF, prio=tag >> 13, dei=tag >> 12 & 1)
    packet /= IP(src=ADDRESSES[0], dst=ADDRESSES[1], ttl=more.get("ttl", 64))
    payload = struct.pack("!I", number).ljust(size, b"x")
    return bytes(packet / UDP(sport=more.get("sport", 1000), dport=2000) / payload)


def numbered(frame):
    return b"xxxx" in frame


def heat(net, sender, receiver, frame, n=8):
    """Send a frame until its flow is in the kernel; n frames in all, which all arrive."""
    for _ in range(n):
        sender.send(frame)
        receive(receiver, numbered)
    wait_until(lambda: cache(net)["flows"], what="a flow in the kernel")


def filters(net):
    shown = net.host.run("tc", "filter", "show", "dev", "pa", "ingress")
    return owner(str(net.directory)) in shown


def info(net, ufid):
    return net.dpif.flow_get(ufid)


def test_hot_flows_are_forwarded_by_the_kernel_and_counted(three):
    net, a, b, _ = three
    ufid = net.flow("in_port(1)", "2")
    with raw_socket(a) as sender, raw_socket(b) as receiver:
        frame = udp(tag=5)
        for number in range(500):
            sender.send(udp(number, tag=5))
            got = receive(receiver, numbered)
            assert got == udp(number, tag=5)
    before = info(net, ufid)
    assert (before.packets, before.bytes) == (500, 500 * len(frame))
    assert before.offloaded and before.used
    assert cache(net)["hits"] > 450
    stats = net.port("pa").stats, net.port("pb").stats
    assert (stats[0]["rx_packets"], stats[0]["rx_bytes"]) == (500, 500 * len(frame))
    assert (stats[1]["tx_packets"], stats[1]["tx_bytes"]) == (500, 500 * len(frame))
    assert "offloaded:yes, dp:tc-bpf" in net.dpctl("dump-flows", "-m")
    gone = net.dpif.flow_del(ufid)
    assert (gone.packets, gone.bytes) == (500, 500 * len(frame))
    assert cache(net)["flows"] == 0 and net.drops() == {}


def test_no_flow_of_many_keeps_another_out_of_the_kernel(three):
    net, a, b, _ = three
    net.flow("in_port(1)", "2")
    frames = [udp(flow, sport=1000 + flow) for flow in range(500)]
    with raw_socket(a) as sender, raw_socket(b) as receiver:

        def hits_of_all():
            before = cache(net)["hits"]
            for frame in frames:
                sender.send(frame)
                receive(receiver, numbered)
            return cache(net)["hits"] - before

        for _ in range(6):
            hits_of_all()
        assert hits_of_all() == len(frames)


def test_tcp_with_its_offloads(three):
    net, a, b, _ = three
    neighbours(a, b)
    ufids = [net.flow("in_port(1)", "2"), net.flow("in_port(2)", "1")]
    transfer(a, b, ADDRESSES[1], size=16 << 20)
    transfer(b, a, ADDRESSES[0], size=16 << 20)
    found = [info(net, ufid) for ufid in ufids]
    assert all(each.offloaded and each.bytes > 16 << 20 for each in found)
    assert found[0].tcp_flags & 0x13 == 0x12 | found[0].tcp_flags & 1
    assert cache(net)["hits"] > 100
    assert found[0].bytes == net.port("pa").stats["rx_bytes"] == net.port("pb").stats["tx_bytes"]
    assert net.drops() == {}


def test_tcp_with_its_offloads_rewritten(three):
    """GSO frames get a tag, cross a veth with it, lose it, and other addresses and another TTL."""
    net, a, b, _ = three
    net.host.run("ip", "link", "add", "xa", "type", "veth", "peer", "name", "xb")
    for name in ("xa", "xb"):
        net.host.run("ip", "link", "set", name, "up")
        net.add(name, "system")
    macs = neighbours(a, b)
    ipv4 = "eth_type(0x0800),ipv4(ttl={})"
    outer = "in_port({}),eth_type(0x8100),vlan(vid=5),encap(" + ipv4.format(63) + ")"
    ufids = []
    for port, near, far, to, last in ((1, 4, 5, b, 2), (2, 5, 4, a, 1)):
        first = f"set(eth(dst=02:00:00:00:00:99)),set(ipv4(ttl=63)),push_vlan(vid=5,pcp=2),{near}"
        ufids.append(net.flow(f"in_port({port})," + ipv4.format(64), first))
        second = f"set(ipv4(ttl=9)),pop_vlan,set(eth(dst={macs[to]})),{last}"
        ufids.append(net.flow(outer.format(far), second))
    transfer(a, b, ADDRESSES[1], size=16 << 20)
    transfer(b, a, ADDRESSES[0], size=16 << 20)
    found = [info(net, ufid) for ufid in ufids]
    assert all(each.offloaded and each.bytes > 16 << 20 for each in found)
    for first, second in (found[:2], found[2:]):
        assert second.packets == first.packets
        assert second.bytes == first.bytes + 4 * first.packets
        assert first.bytes / first.packets > 1000
    sent, received = net.port("xa").stats["tx_bytes"], net.port("pa").stats["rx_bytes"]
    assert sent == found[1].bytes and received == found[0].bytes
    assert cache(net)["hits"] > 200


def test_a_flood_of_new_keys_is_not_put_into_the_kernel(three):
    net, a, b, _ = three
    net.flow("in_port(1)", "2")
    with raw_socket(a) as sender, raw_socket(b) as receiver:
        for number in range(3000):
            sender.send(udp(number, sport=number))
            receive(receiver, numbered)
        assert cache(net)["offered"] == 0
        heat(net, sender, receiver, udp(1, sport=9))


def test_a_changed_or_deleted_flow_is_not_followed(three):
    """Each time the request was answered, the very next packet goes the new way."""
    net, a, b, c = three
    with raw_socket(a) as sender, raw_socket(b) as left, raw_socket(c) as right:
        ways = (("2", left), ("3", right))
        number = counted = 0
        for turn in range(12):
            actions, receiver = ways[turn % 2]
            ufid = net.flow("in_port(1)", actions)
            for _ in range(30):
                number += 1
                sender.send(udp(number))
                assert receive(receiver, numbered) == udp(number)
            counted += 30
            found = info(net, ufid)
            assert found.packets == counted and found.offloaded
            assert found.earlier_packets == counted - 30
        net.dpif.flow_del(ufid)
        before = net.drops()
        sender.send(udp(number + 1))
        wait_until(lambda: net.drops() != before, what="the loss of a packet that no flow is for")
        for _, receiver in ways:
            receiver.settimeout(0.2)
            with pytest.raises(TimeoutError):
                receive(receiver, numbered)


ACTIONS = (
    "2",
    "3",
    "drop",
    "set(eth(src=02:aa:00:00:00:01,dst=02:bb:00:00:00:02)),2",
    "push_vlan(vid=9,pcp=3),2",
    "pop_vlan,2",
    "pop_vlan,push_vlan(vid=77,pcp=1),3",
    "pop_vlan,set(eth(dst=02:cc:00:00:00:03)),set(ipv4(ttl=63)),3",
    "set(vlan(vid=44,pcp=2)),2",
    "set(ipv4(ttl=7)),push_vlan(vid=5,pcp=0),2",
)


def crowd(rng):
    """Frames of a few flows, tagged and not; the DEI bit, and TCP."""
    found = []
    for _ in range(6):
        tag = rng.choice((None, None, 5, 0x6005, 0x1007))
        frame = Ether(udp(0, tag=tag, sport=rng.randrange(1, 9), ttl=rng.choice((64, 2))))
        if rng.random() < 0.4:
            ports = {"sport": frame[UDP].sport, "dport": 80}
            frame[IP].payload = TCP(**ports, flags=rng.choice(("A", "PA"))) / (b"x" * 50)
            for name in ("len", "chksum", "proto"):
                frame[IP].setfieldval(name, None)
        found.append(bytes(frame.__class__(bytes(frame))))
    return found


def observed(net, sender, receivers, frames):
    """Where each frame comes out, and as what; a marker behind each says that it did not."""
    result = []
    for frame in frames:
        sender.send(frame)
        sender.send(MARKER)
        seen = []
        for port, receiver in enumerate(receivers):
            while (got := receive(receiver, lambda _: True)) != MARKER:
                seen.append((port, got))
        result.append(seen)
    return result


def random_flows(net, rng):
    """What the flows of tagged and untagged frames do; their ufids."""
    untagged = "in_port(1),eth_type(0x0800),ipv4(ttl={})"
    tagged = "in_port(1),eth_type(0x8100),vlan(vid=5),encap(eth_type(0x0800),ipv4(ttl={}))"
    other = "in_port(1),eth_type(0x8100),vlan(vid=7),encap(eth_type(0x0800))"
    matches = [each.format(ttl) for each in (untagged, tagged) for ttl in (64, 2)]
    return [net.flow(match, rng.choice(ACTIONS)) for match in (*matches, other)]


MARKER = bytes.fromhex("ffffffffffff02000000000188b5") + b"marker".ljust(46)


def test_random_flows_and_frames_with_and_without_the_cache(three):
    """All frames come out as they do without it: bit for bit, in order, none twice, none lost."""
    net, a, b, c = three
    rng = random.Random(1)
    net.flow("in_port(1),eth_type(0x88b5)", "2,3")
    with raw_socket(a) as sender, raw_socket(b) as left, raw_socket(c) as right:
        hits = 0
        for _ in range(12):
            ufids = random_flows(net, rng)
            frames = rng.choices(crowd(rng), k=60)
            results = []
            for wanted in (False, True):
                net.dpif.kernel_cache_set(wanted)
                results.append(observed(net, sender, (left, right), frames))
            assert results[0] == results[1]
            hits += cache(net)["hits"]
            for ufid in ufids:
                net.dpif.flow_del(ufid)
        assert hits > 200


def test_traffic_outlives_the_process_and_its_end_leaves_nothing(three):
    net, a, b, _ = three
    ufid = net.flow("in_port(1)", "2")
    with raw_socket(a) as sender, raw_socket(b) as receiver:
        heat(net, sender, receiver, udp())
        net.kill()
        for number in range(100):
            sender.send(udp(number))
            assert receive(receiver, numbered) == udp(number)
        assert filters(net)
        net.start()
        net.dpif.kernel_cache_set(True)
        for name in ("pa", "pb"):
            net.add(name, "system")
        assert net.dpif.kernel_cache_hand_over()
        sender.send(udp(1000))  # the next process has no flow yet, and no other's are followed
        ufid = net.flow("in_port(1)", "2")
        for number in range(2000, 2100):
            sender.send(udp(number))
            assert receive(receiver, numbered) == udp(number)
        assert info(net, ufid).packets == 100 and info(net, ufid).offloaded
    net.dpif.port_del(net.port("pa").port_no)
    assert not filters(net)
    assert net.terminate() == 0
    assert "clsact" not in net.host.run("tc", "qdisc", "show")
    net.start()


# A process of another build was there: its classifier on pa has other maps, with an entry.
ANOTHER = """
import socket, struct, sys
from datapath.bpf import entry, memory, syscall, tc
n_processors = 2 * memory.n_processors()
memory.n_processors = lambda: n_processors
made, (source, target) = memory.KernelMemory(), map(socket.if_nametoindex, ("pa", "pb"))
key, value, _, _ = entry.prepare(bytes.fromhex(sys.argv[2]), source, b"")
syscall.map_update(made.entries, key, struct.pack("=III", 5, 0, target) + value[12:])
tc.Tc(sys.argv[1]).attach(source, made.classifier)
"""


def restarted(net, sender, receiver, build):
    """The process is killed after a flow went into the kernel, and there is another."""
    net.flow("in_port(1)", "2")
    heat(net, sender, receiver, udp())
    net.kill()
    if build == "another":
        words = (owner(str(net.directory)), udp().hex())
        net.host.run(sys.executable, "-c", ANOTHER, *words, cwd=ROOT)
    net.start()
    net.dpif.kernel_cache_set(True)


def misses(net):
    return net.dpif.stats()["misses"]


def missed(net, sender, frame):
    """The worker gets a frame for which it has no flow."""
    before = misses(net)
    sender.send(frame)
    wait_until(lambda: misses(net) > before, what="a miss")


# A port whose queue nobody can poll, on a device that still has the classifier of another build.
NO_QUEUE = """
import errno, sys
from datapath.engine import Engine
from datapath.requests import EngineError

class Failing(Engine):
    def queue_move(self, *words):
        raise EngineError(errno.ENOSPC)

engine = Failing(1, sys.argv[1])
engine.start()
engine.kernel_cache.set(True, ())
try:
    engine.port_add("pa", "system")
except EngineError as error:
    print(error.errno == errno.ENOSPC, len(engine.ports))
engine.close()
"""


def test_a_port_that_cannot_be_added_while_known_flows_go_on(three):
    net, *_ = three
    name = owner(str(net.directory))
    for port in ("pa", "pb", "pc"):
        net.dpif.port_del(net.port(port).port_no)
    net.host.run(sys.executable, "-c", ANOTHER, name, udp().hex(), cwd=ROOT)
    assert filters(net)
    assert net.host.run(sys.executable, "-c", NO_QUEUE, name, cwd=ROOT).split() == ["True", "0"]
    assert not filters(net)


@pytest.mark.parametrize("build", ["same", "another"])
def test_known_flows_go_on_until_the_next_process_has_all_ports(three, build):
    """Each frame arrives, once; then none follows an entry of the process that was killed."""
    net, a, b, c = three
    with raw_socket(a) as sender, raw_socket(b) as receiver, raw_socket(c) as other:
        restarted(net, sender, receiver, build)
        for name in ("pb", "pa", "pc"):
            assert lost_of(sender, receiver) == 0
            net.add(name, "system", {"pa": 1, "pb": 2, "pc": 3}[name])
        assert lost_of(sender, receiver) == 0
        assert net.port("pa").stats["rx_packets"] == 0
        if build == "same":
            missed(net, sender, udp(sport=9))
        assert net.dpif.kernel_cache_hand_over()
        assert not net.dpif.kernel_cache_hand_over()
        missed(net, sender, udp(77))
        ufid = net.flow("in_port(1)", "3")
        heat(net, sender, other, udp())
        assert info(net, ufid).packets == 8 and info(net, ufid).offloaded
        receiver.settimeout(0.1)
        with pytest.raises(TimeoutError):
            receive(receiver, numbered)


@pytest.mark.parametrize("build", ["same", "another"])
@pytest.mark.parametrize("end", ["off", "port"])
def test_known_flows_end_with_the_cache_and_with_their_port(three, build, end):
    """Also before the next process has taken over: what is not deleted gets all frames."""
    net, a, b, _ = three
    with raw_socket(a) as sender, raw_socket(b) as receiver:
        restarted(net, sender, receiver, build)
        for number, name in enumerate(("pa", "pb", "pc"), 1):
            net.add(name, "system", number)
        if end == "off":
            net.dpif.kernel_cache_set(False)
            assert not filters(net)
        else:
            net.dpif.port_del(3)
        missed(net, sender, udp())
        net.flow("in_port(1)", "2")
        for number in range(20):
            sender.send(udp(number))
            assert receive(receiver, numbered) == udp(number)
        assert (cache(net)["hits"] > 10) == (end == "port")


def test_off_means_off(three):
    net, a, b, _ = three
    ufid = net.flow("in_port(1)", "2")
    with raw_socket(a) as sender, raw_socket(b) as receiver:
        heat(net, sender, receiver, udp())
        assert filters(net)
        net.dpif.kernel_cache_set(False)
        assert not filters(net)
        hits = cache(net)["hits"]
        for number in range(20):
            sender.send(udp(number))
            assert receive(receiver, numbered) == udp(number)
        found = info(net, ufid)
        assert found.packets == 28 and not found.offloaded
        assert cache(net)["hits"] == hits or cache(net)["hits"] == 0
        assert not cache(net)["on"] and cache(net)["reason"]


OTHERS = """
import socket
from datapath.bpf import memory, tc
tc.Tc("others").attach(socket.if_nametoindex("pa"), memory.KernelMemory().classifier)
"""


def test_filters_of_others_are_left_alone(net):
    host = Host(net, "pa", "10.0.0.1/24")
    try:
        net.host.run(sys.executable, "-c", OTHERS, cwd=ROOT)
        net.dpif.kernel_cache_set(True)
        net.add("pa", "system")
        assert "filters of others" in cache(net)["ports"]["pa"]
        assert not filters(net)
        net.dpif.port_del(1)
        assert "others" in net.host.run("tc", "filter", "show", "dev", "pa", "ingress")
    finally:
        host.close()


def lost_of(sender, receiver, n=40, allowed=0):
    """How many of n frames of the hot flow do not arrive; waits for all but `allowed` of them."""
    for number in range(n):
        sender.send(udp(number))
    seen = set()
    while len(seen) < n - allowed or udp(n - 1) not in seen:
        seen.add(receive(receiver, numbered))
    return n - len(seen)


# What somebody does under our feet; the second is a classifier that ends classification
UNDER = {
    "clsact": "qdisc del dev pa clsact",
    "before": "filter add dev pa ingress prio 1 bpf bytecode",
}
ALL = ("1,6 0 0 4294967295",)


@pytest.mark.parametrize("what", UNDER)
def test_whoever_takes_the_classifiers_frames_is_noticed(three, what):
    """One frame a processor is lost, the flow's others go by the worker; then the classifier is
    attached again, or the port has no part in it any more."""
    net, a, b, _ = three
    net.flow("in_port(1)", "2")
    with raw_socket(a) as sender, raw_socket(b) as receiver:
        heat(net, sender, receiver, udp())
        net.host.run("tc", *UNDER[what].split(), *(ALL if what == "before" else ()))
        assert lost_of(sender, receiver, allowed=os.cpu_count()) <= os.cpu_count()
        if what == "clsact":
            wait_until(lambda: filters(net), what="the classifier again")
            assert lost_of(sender, receiver) == 0
        else:
            wait_until(lambda: "pa" in cache(net)["ports"], what="the port left out")
            assert "filters of others" in cache(net)["ports"]["pa"]
            hits = cache(net)["hits"]
            assert lost_of(sender, receiver) == 0
            assert cache(net)["hits"] == hits


def test_one_device_as_two_ports_has_no_part_in_it(three):
    net, a, b, c = three
    net.host.run("ip", "link", "property", "add", "dev", "pa", "altname", "pz")
    net.add("pz", "system", 4)
    net.flow("in_port(1)", "2")
    net.flow("in_port(4)", "3")
    assert set(cache(net)["ports"]) == {"pa", "pz"}
    assert not filters(net)
    with raw_socket(a) as sender, raw_socket(b) as one, raw_socket(c) as other:
        for number in range(20):
            sender.send(udp(number))
            assert receive(one, numbered) == receive(other, numbered) == udp(number)
    net.dpif.port_del(4)


@pytest.mark.parametrize("other", [False, True], ids=["nobody", "another device"])
def test_a_port_whose_name_its_device_has_no_more_has_no_part_in_it(three, other):
    """Its socket stays with the device; a filter there without the classifier would lose frames."""
    net, a, b, _ = three
    net.dpif.kernel_cache_set(False)
    net.host.run("ip", "link", "set", "pa", "name", "px")
    if other:
        net.host.run("ip", "link", "add", "pa", "type", "veth", "peer", "name", "pz")
    net.dpif.kernel_cache_set(True)
    net.flow("in_port(1)", "2")
    with raw_socket(a) as sender, raw_socket(b) as receiver:
        for number in range(100):
            sender.send(udp(number))
            assert receive(receiver, numbered) == udp(number)
    assert cache(net)["ports"] == {"pa": "the device has another name now"}
    qdiscs = net.host.run("tc", "qdisc", "show").splitlines()
    assert [line.split()[4] for line in qdiscs if "clsact" in line] == ["pb", "pc"]


def test_the_hosts_stack_gets_frames_only_where_it_uses_the_device(three):
    """Not at a port that is the switch's alone: it would answer and route there, past all flows."""
    net, a, *_ = three
    net.flow("in_port(1)", "2,3")  # nothing for the kernel to do
    host = net.host
    host.run("ip", "addr", "add", "10.9.9.9/32", "dev", "lo")
    a.run("ip", "route", "add", "10.9.9.9/32", "dev", "eth0")

    def answers():
        return a.ping("10.9.9.9", count=1, wait=0.2)

    host.run("ip", "route", "add", "10.0.0.1/32", "dev", "pa")
    wait_until(lambda: not answers(), what="a port of the switch's alone")
    address = "10.0.0.99/32"
    uses = (
        (f"addr add {address} dev pa", f"addr del {address} dev pa"),
        ("link add link pa name above type macvlan", "link del above"),
    )
    for begin, end in uses:
        host.run("ip", *begin.split())
        host.run("ip", "route", "replace", "10.0.0.1/32", "dev", "pa")  # goes with an address
        wait_until(answers, what=f"an answer after {begin}")
        host.run("ip", *end.split())
        wait_until(lambda: not answers(), what=f"none after {end}")
