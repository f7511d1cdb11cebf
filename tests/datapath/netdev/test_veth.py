"""Real veths between namespaces, with flows put directly: what comes in goes out as it should."""

import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from datapath.actions.text import odp_text
from datapath.ipc.upcall_rings import take_upcall
from tests.daemons import wait_until
from tests.datapath.dp_process import ROOT, frame
from tests.datapath.sample_frames import frames
from tests.datapath.wire import (
    NO_IPV6,
    PACKET_IGNORE_OUTGOING,
    SOL_PACKET,
    UDP_SEGMENT,
    Host,
    flood,
    neighbours,
    raw_socket,
    receive,
    socket_in,
    sums_are_right,
    transfer,
)

A, B = "10.0.0.1", "10.0.0.2"


def join(net, one, two):
    """Everything from one port to the other, both ways."""
    net.flow(f"in_port({one})", str(two))
    net.flow(f"in_port({two})", str(one))


@pytest.fixture
def pair(net):
    """Two containers on ports 1 and 2: (process, a, b)."""
    made = []
    try:
        for name, address in (("pa", A), ("pb", B)):
            made.append(Host(net, name, f"{address}/24"))
            net.add(name, "system")
        yield net, *made
    finally:
        for each in made:
            each.close()


# --- traffic


def test_ping_and_tcp(pair):
    net, a, b = pair
    join(net, 1, 2)
    assert a.ping(B) == 3
    assert b.ping(A, count=1) == 1
    transfer(a, b, B)
    transfer(b, a, A)
    assert net.drops() == {}


def test_gso_frames_pass_whole(pair):
    """Offloads are on as the kernel sets them, and frames of far more than the MTU go through."""
    net, a, b = pair
    join(net, 1, 2)
    neighbours(a, b)
    size = transfer(a, b, B, size=16 << 20)
    stats = net.port("pa").stats
    assert stats["rx_bytes"] > size
    assert stats["rx_bytes"] / stats["rx_packets"] > 4000

    def all_sent():  # the connection's last segment may be under way
        came, sent = net.port("pa").stats, net.port("pb").stats
        return [sent[f"tx_{n}"] - came[f"rx_{n}"] for n in ("packets", "bytes")] == [0, 0]

    wait_until(all_sent, what="as much sent as came")
    assert net.drops() == {}


def test_what_a_port_sends_is_seen_on_its_device(pair):
    """As tcpdump sees it, beside what comes in; the switch itself sees only the latter."""
    net, a, b = pair
    join(net, 1, 2)
    neighbours(a, b)
    with raw_socket(net.host, "pb") as tap:
        tap.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 0)
        assert a.ping(B, count=1) == 1
        kinds = [tap.recvfrom(2000)[1][2] for _ in range(2)]
    assert kinds == [socket.PACKET_OUTGOING, socket.PACKET_OTHERHOST]
    assert net.port("pb").stats["rx_packets"] == net.port("pa").stats["tx_packets"]


def test_largest_frames(pair):
    """UDP datagrams up to the limit, in GSO frames of 64 KB that exceed every slot."""
    net, a, b = pair
    join(net, 1, 2)
    neighbours(a, b)
    taker = socket_in(b, socket.AF_INET, socket.SOCK_DGRAM)
    giver = socket_in(a, socket.AF_INET, socket.SOCK_DGRAM)
    with taker, giver:
        taker.bind((B, 9000))
        giver.setsockopt(socket.SOL_UDP, UDP_SEGMENT, 1400)
        for number in range(20):
            data = bytes([number]) * (46 * 1400 + number)
            giver.sendto(data, (B, 9000))
            got = b""
            while len(got) < len(data):
                got += taker.recv(65535)
            assert got == data
    assert net.port("pa").stats["rx_packets"] < 40
    assert net.drops() == {}


REWRITES = {
    "plain": ("2", "1"),
    "tagged on the way": (
        "push_vlan(vid=7,pcp=1),recirc(0x1)",
        "push_vlan(vid=8,pcp=0),push_vlan(vid=9,pcp=0),recirc(0x2)",
    ),
    "other addresses and ports": (
        "set(ipv4(dst=10.0.0.2,ttl=9)),set(tcp(dst=7777)),2",
        "set(ipv4(src=10.0.0.9,tos=0x20/0xfc)),set(tcp(src=80)),1",
    ),
    "copies": ("clone(set(tcp(dst=1)),4),2", "sample(sample=100%,actions(4)),trunc(60),4,1"),
}


@pytest.mark.parametrize("name", REWRITES)
def test_tcp_with_changed_headers(pair, name):
    """Checksums stay right whatever a flow does to frames whose sums are partial."""
    net, a, b = pair
    there, back = REWRITES[name]
    macs = neighbours(a, b)
    a.run("ip", "neigh", "add", "10.0.0.9", "lladdr", macs[b], "dev", "eth0")
    net.add("d4", "dummy", 4)
    net.flow("in_port(1),eth_type(0x0800),ipv4(proto=6,frag=no)", there)
    net.flow("in_port(2),eth_type(0x0800),ipv4(proto=6,frag=no)", back)
    net.flow("recirc_id(0x1)", "pop_vlan,2")
    net.flow("recirc_id(0x2)", "pop_vlan,pop_vlan,1")
    nat = name.startswith("other")
    transfer(a, b, "10.0.0.9" if nat else B, through=80 if nat else None)
    drops = net.drops()
    assert set(drops) <= ({"tx_queue_full"} if name == "copies" else set()), drops
    got = net.dpif.port_drain(4)
    assert bool(got) == (name == "copies")
    assert all(sums_are_right(each) for each in got if len(each) != 60)


def test_fragments_keep_their_place(pair):
    """Tracked, they go on when the last has come, and overtake nothing that came before."""
    net, one, other = pair
    for frag in ("no", "first", "later"):
        match = f"in_port(1),eth_type(0x0800),ipv4(frag={frag})"
        net.flow(f"recirc_id(0),{match}", "ct(commit,zone=3),recirc(0x1)")
        net.flow(f"recirc_id(0x1),{match}", "2")
    sent = []
    for number in range(60):
        whole = IP(src=A, dst=B, id=number) / UDP(sport=5, dport=6)
        whole /= Raw(bytes(2000 if number % 3 == 1 else 20))
        sent += [bytes(Ether(frame()[:12] + b"\x08\x00") / each) for each in fragment(whole, 1400)]
    with raw_socket(one) as a, raw_socket(other) as b:
        for _ in range(5):
            for each in sent:
                a.send(each)
            came = [b.recv(2000) for _ in sent]
            assert [each[18:22] for each in came] == [each[18:22] for each in sent]
    assert net.drops() == {}


def test_port_that_takes_no_offload(pair):
    """A partial checksum is completed, a GSO frame is cut into right segments."""
    net, a, b = pair
    neighbours(a, b)
    net.add("d3")
    net.flow("in_port(1)", "3")
    with socket_in(a, socket.AF_INET, socket.SOCK_DGRAM) as giver:
        giver.sendto(b"one datagram", (B, 9000))
        [got] = wait_until(lambda: net.dpif.port_drain(3))
        assert sums_are_right(got) and bytes(Ether(got)[UDP].payload) == b"one datagram"
        giver.setsockopt(socket.SOL_UDP, UDP_SEGMENT, 1000)
        data = os.urandom(10_500)
        giver.sendto(data, (B, 9000))
        wait_until(lambda: net.port("d3").stats["tx_packets"] == 12)
        segments = net.dpif.port_drain(3)
    assert [len(bytes(Ether(each)[UDP].payload)) for each in segments] == [1000] * 10 + [500]
    assert b"".join(bytes(Ether(each)[UDP].payload) for each in segments) == data
    assert all(map(sums_are_right, segments))
    assert net.drops() == {}


def test_tcp_segments_for_a_port_without_offload(pair):
    """What a TCP sender gives to its device, as frames of a wire."""
    net, a, b = pair
    join(net, 1, 2)
    neighbours(a, b)
    net.add("d3")
    net.flow("in_port(1)", "2,3")
    transfer(a, b, B, size=1 << 20)
    got = net.dpif.port_drain(3)
    assert len(got) > 200
    assert all(len(each) <= 1514 and sums_are_right(each) for each in got)
    assert set(net.drops()) <= {"tx_queue_full"}  # a dummy port has room for so many only


def test_vlan_tag_beside_the_frame(pair):
    """The kernel takes tags off; keys, outputs and upcalls have them in place, also two."""
    net, a, b = pair
    net.add("d3")
    net.flow("in_port(1),eth_type(0x8100),vlan(vid=5,pcp=3)", "2,3")
    net.flow("in_port(1),eth_type(0x88a8),vlan(vid=6,pcp=0)", "2,3")
    inner = frame(size=80)
    tagged = inner[:12] + struct.pack("!HH", 0x8100, 0x6005) + inner[12:]
    double = inner[:12] + struct.pack("!HHHH", 0x88A8, 6, 0x8100, 7) + inner[12:]
    with raw_socket(a) as sender, raw_socket(b) as taker:
        for sent in (tagged, double):
            sender.send(sent)
            assert receive(taker, lambda got, end=inner[-40:]: got.endswith(end)) == sent
            assert wait_until(lambda: net.dpif.port_drain(3)) == [sent]
    assert {info.packets for info in net.dpif.flow_dump()} == {1}


def test_tags_pushed_and_popped(pair):
    net, a, b = pair
    net.flow("in_port(1)", "push_vlan(vid=5,pcp=3),2")
    net.flow("in_port(2)", "pop_vlan,1")
    with raw_socket(a) as near, raw_socket(b) as far:
        near.send(frame())
        tagged = receive(far, lambda got: got[-20:] == frame()[-20:])
        assert tagged == frame()[:12] + struct.pack("!HH", 0x8100, 0x6005) + frame()[12:]
        far.send(tagged)
        assert receive(near, lambda got: got[-20:] == frame()[-20:]) == frame()


def test_flooding(net):
    """One frame to many ports, whole GSO frames as well."""
    containers = []
    try:
        for number in range(1, 6):
            name = f"p{number}"
            containers.append(Host(net, name, f"10.0.0.{number}/24"))
            net.add(name, "system")
        for number in range(1, 6):
            net.flow(f"in_port({number})", ",".join(str(n) for n in range(1, 6) if n != number))
        first, *others = containers
        for number in range(2, 6):
            assert first.ping(f"10.0.0.{number}", count=1) == 1
        transfer(first, others[-1], "10.0.0.5")
        counts = {net.port(f"p{number}").stats["tx_bytes"] for number in range(2, 6)}
        assert min(counts) > 4 << 20
        assert net.drops() == {}
    finally:
        for each in containers:
            each.close()


# --- discards


def test_frame_larger_than_the_mtu(pair):
    net, a, _ = pair
    join(net, 1, 2)
    net.host.run("ip", "link", "set", "pb", "mtu", "1000")
    assert a.ping(B, count=1) == 1
    a.run("ping", "-c1", "-W1", "-s1200", "-Mdo", B, check=False)
    assert net.port("pb").drops == {"mtu_exceeded": 1}
    assert net.port("pb").stats["tx_dropped"] == 1
    assert "mtu_exceeded:1" in net.dpctl("show", "-s")


def test_link_down_and_up(pair):
    """Frames for a port whose link is down are counted; up again it sends and receives."""
    net, a, b = pair
    join(net, 1, 2)
    assert a.ping(B, count=1) == 1
    net.host.run("ip", "link", "set", "pb", "down")
    neighbours(a, b)
    assert a.ping(B, count=2) == 0
    assert net.port("pb").drops == {"port_down": 2}
    assert not net.port("pb").dead
    net.host.run("ip", "link", "set", "pb", "up")
    wait_until(lambda: a.ping(B, count=1) == 1, what="the link to be known as up")
    assert a.ping(B, count=2) == 2
    assert b.ping(A, count=1) == 1


def _total(drops):
    return sum(drops.values())


def _stopped(pid):
    """Whether all threads have stopped: each has to run first, to take the signal."""
    stats = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in stats)


def test_more_than_the_ring_holds(pair):
    """While the process is stopped the ring fills up: what was lost is counted, nothing else."""
    net, a, _ = pair
    net.add("d3")
    net.flow("in_port(1)", "3")
    with raw_socket(a) as sender:
        os.kill(net.pid, signal.SIGSTOP)
        wait_until(lambda: _stopped(net.pid))
        for number in range(600):
            sender.send(frame(src=number))
        os.kill(net.pid, signal.SIGCONT)
        wait_until(lambda: net.port("d3").stats["tx_packets"] + _total(net.drops()) >= 600)
    lost = net.drops()["rx_queue_full"]
    assert net.port("pa").drops == {"rx_queue_full": lost}
    got = [each for each in net.dpif.port_drain(3) if each[12:14] == b"\x88\xb5"]
    assert [each[10:12] for each in got] == [n.to_bytes(2, "big") for n in range(len(got))]
    assert lost > 200 and lost == net.port("pa").stats["rx_over_err"]


def test_flow_says_drop_or_sends_nowhere(pair):
    net, a, _ = pair
    net.flow("in_port(1)", "drop")
    neighbours(*pair[1:])
    assert a.ping(B, count=2) == 0
    assert net.port("pa").drops["action_drop"] >= 2
    net.flow("in_port(1)", "77")
    assert a.ping(B, count=1) == 0
    assert net.port("pa").drops["no_such_port"] >= 1


# --- interfaces come and go


def test_no_such_device(net):
    assert "gone: No such device" in net.dpctl("add-if", "gone", check=False)
    with pytest.raises(OSError) as caught:
        net.add("gone", "system")
    assert caught.value.errno == 19
    assert net.dpif.port_dump() == []


@pytest.mark.parametrize("up", (True, False), ids=("up", "down"))
def test_interface_deleted_and_back(pair, up):
    """Under traffic, or after its link went down: the port is dead, and can be made again."""
    net, a, b = pair
    join(net, 1, 2)
    traffic = flood(a, B)
    try:
        wait_until(lambda: net.packets() > 100)
        if not up:
            net.host.run("ip", "link", "set", "pb", "down")
        b.disconnect()
        wait_until(lambda: net.port("pb").dead)
        assert "port 2: pb, interface is gone" in net.dpctl("show")
        wait_until(lambda: net.port("pb").drops.get("port_down", 0) > 2)
        net.dpif.port_del(2)
        b.connect()
        assert net.add("pb", "system", 2) == 2
        assert b.ping(A) == 3
    finally:
        traffic.terminate()
        traffic.wait()
    assert a.ping(B, count=1) == 1


def test_interface_moved_away(pair):
    net, a, _ = pair
    join(net, 1, 2)
    net.host.run("ip", "link", "set", "pb", "netns", str(a.pid))
    wait_until(lambda: net.port("pb").dead)
    net.dpif.port_del(2)
    with pytest.raises(OSError, match="No such device"):
        net.add("pb", "system")


def test_port_deleted_under_traffic(pair):
    """Ports and flows come and go a hundred times while packets run."""
    net, a, b = pair
    join(net, 1, 2)
    neighbours(a, b)
    traffic = flood(a, B)
    try:
        wait_until(lambda: net.packets() > 100)
        for _ in range(100):
            net.dpif.port_del(2)
            net.add("pb", "system", 2)
            net.dpif.flow_flush()
            join(net, 1, 2)
    finally:
        traffic.terminate()
        traffic.wait()
    assert a.ping(B, count=2) == 2


def test_handler_killed_under_traffic(pair):
    """kill -9 of the client that takes upcalls: not one packet of a known flow is lost."""
    net, a, b = pair
    join(net, 1, 2)
    neighbours(a, b)
    script = (
        "import sys, time\nfrom datapath.ipc.dpif import Dpif\n"
        "d = Dpif(sys.argv[1]); d.upcall_register(); print('ready', flush=True); time.sleep(60)"
    )
    traffic = a.popen("ping", "-q", "-c3000", "-i0.001", B, stdout=subprocess.PIPE, text=True)
    for _ in range(3):
        victim = subprocess.Popen(
            [sys.executable, "-c", script, str(net.path)], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert victim.stdout.readline() == b"ready\n"
        victim.kill()
        victim.wait()
        victim.stdout.close()
        assert "port 2: pb" in net.dpctl("show")
    assert "3000 received, 0% packet loss" in traffic.communicate()[0]
    wait_until(lambda: net.log().count("handler is gone") == 3)
    successor = net.client()
    successor.upcall_register()
    net.dpif.flow_flush()
    with raw_socket(a) as sender:
        sender.send(frame())
    got = wait_until(lambda: take_upcall(successor))
    assert got.packet == frame()


def test_renamed_interface(pair):
    """A port follows its interface under another name."""
    net, a, _ = pair
    join(net, 1, 2)
    net.host.run("ip", "link", "set", "pb", "down")
    net.host.run("ip", "link", "set", "pb", "name", "other")
    net.host.run("ip", "link", "set", "other", "up")
    assert a.ping(B, count=2) == 2


def test_bad_option(net):
    net.host.run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
    for text in ("0", "100", "x", "8192", "131072", ""):
        with pytest.raises(OSError, match="n_rxq_desc"):
            net.add("v0", "system", n_rxq_desc=text)
    with pytest.raises(OSError, match="No buffer space"):  # 512 MiB of rings
        net.add("v0", "system", n_rxq_desc="4096", n_rxq="64")
    net.add("v0", "system", n_rxq_desc="64")


def test_two_hundred_ports(net):
    """A frame hops through a hundred pairs, both ends of each being ports."""
    lines = [f"link add a{n} type veth peer name b{n}\n" for n in range(100)]
    lines += [f"link set {side}{n} up\n" for n in range(100) for side in "ab"]
    net.host.run("sh", "-c", f"echo 1 >{NO_IPV6}")
    net.host.run("ip", "-batch", "-", input="".join(lines))
    for n in range(100):
        net.add(f"a{n}", "system", 2 * n + 1)
        net.add(f"b{n}", "system", 2 * n + 2)
    net.add("end", "dummy", 500)
    chosen = "eth_type(0x88b5)"
    for n in range(99):
        net.flow(f"in_port({2 * n + 2}),{chosen}", str(2 * n + 3))
    net.flow(f"in_port(200),{chosen}", "500")

    for number in range(20):
        net.dpif.execute(frame(src=number), odp_text.parse_actions("1"))
    seen = []
    wait_until(lambda: seen.extend(net.dpif.port_drain(500)) or len(seen) == 20)
    assert seen == [frame(src=number) for number in range(20)]


# --- nonsense on the wire


def test_random_frames(pair):
    """Random bytes, mutilated and truncated frames: each is forwarded, or counted as dropped."""
    net, a, _ = pair
    actions = "push_vlan(vid=1,pcp=0),pop_vlan,set(ipv4(ttl=3)),set(tcp(dst=9)),hash(l4(0)),2"
    net.flow("in_port(1)", actions)
    samples = sorted(frames().values())
    bodies = st.binary(min_size=14, max_size=200) | st.builds(
        lambda whole, cut, at, byte: (whole[:at] + bytes([byte]) + whole[at + 1 :])[:cut],
        st.sampled_from(samples),
        st.integers(14, 120),
        st.integers(0, 100),
        st.integers(0, 255),
    )
    with raw_socket(a) as sender:
        before = net.port("pa").stats["rx_packets"]
        count = 0

        @settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
        @given(body=bodies)
        def send(body):
            nonlocal count
            # The kernel itself drops what is cut off behind a VLAN tag.
            if len(body) >= 20 or body[12:14] not in (b"\x81\x00", b"\x88\xa8"):
                sender.send(body)
                count += 1

        send()
        wait_until(lambda: net.port("pa").stats["rx_packets"] - before >= count)
    net.check()


def test_idle_costs_nothing(pair):
    """After traffic the worker sleeps: no processor time goes by."""
    import time

    net, a, _ = pair
    join(net, 1, 2)
    assert a.ping(B, count=5, interval=0.01) == 5
    a.close()
    wait_until(lambda: net.port("pa").dead)
    before, sleeps = net.cpu_seconds(), net.dpif.stats()["workers"][0]["sleeps"]
    time.sleep(1)
    assert net.cpu_seconds() - before <= 0.03
    assert net.dpif.stats()["workers"][0]["sleeps"] - sleeps < 20
