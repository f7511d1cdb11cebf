"""AF_XDP ports between namespaces: traffic, offloads left on, hostile frames, devices that go."""

import errno
import random
import socket
import subprocess
import sys
import time

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether

from datapath.ipc.dpif import DpifError
from datapath.xdp.rings import BIND_SECONDS
from tests.daemons import wait_until
from tests.datapath.dp_process import ROOT
from tests.datapath.netdev.test_veth import A, B, join
from tests.datapath.wire import Host, neighbours, raw_socket, receive, sums_are_right, transfer

OPTIONS = {"xdp-mode": "generic"}
MODES = ("native", "generic")


def is_possible():
    from datapath.bpf import syscall

    try:
        socket.socket(44, socket.SOCK_RAW).close()
        syscall.map_create(syscall.XSKMAP, 4, 4, 1)
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(not is_possible(), reason="AF_XDP is not allowed here")


@pytest.fixture
def hosts(net):
    """(process, a, b): containers whose devices pa, pb are no ports yet."""
    made = []
    try:
        for name, address in (("pa", A), ("pb", B)):
            made.append(Host(net, name, f"{address}/24"))
        yield net, *made
    finally:
        for each in made:
            each.close()


def programs(net, device):
    shown = net.host.run("ip", "link", "show", "dev", device)
    return [word for word in shown.split() if word.startswith("xdp")]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("other", ("afxdp", "system"))
def test_ping_tcp_and_vlans(hosts, mode, other):
    """Checksums that the containers leave to their devices are completed, in front of both kinds of
    port; large segments towards an AF_XDP port are cut."""
    net, a, b = hosts
    net.add("pa", "afxdp-nonpmd", **{"xdp-mode": mode})
    net.add("pb", other)
    assert net.port("pa").told == {
        **{"n_rxq": "1", "use-need-wakeup": "true"},
        **{"xdp-mode": mode, "xdp-mode-in-use": mode},
    }
    assert programs(net, "pa") == [{"native": "xdp", "generic": "xdpgeneric"}[mode]]
    join(net, 1, 2)
    if mode == "generic":
        a.run("ethtool", "-K", "eth0", "tso", "off", "gso", "off")
    assert a.ping(B) == 3
    neighbours(a, b)
    transfer(a, b, B, size=1 << 20)
    transfer(b, a, A, size=1 << 20)
    drops = net.drops()
    assert not drops.keys() - {"rx_queue_full"}, drops
    net.dpif.port_del(1)
    wait_until(lambda: not programs(net, "pa"), what="the program gone")  # closed by a thread


@pytest.mark.parametrize("mode", MODES)
def test_frames_come_and_go_as_they_are(hosts, mode):
    net, a, b = hosts
    for name in ("pa", "pb"):
        net.add(name, "afxdp", **{"xdp-mode": mode})
    join(net, 1, 2)
    neighbours(a, b)
    rng = random.Random(mode)
    head = Ether(dst="02:00:00:00:00:02", src="02:00:00:00:00:01")
    udp = IP(src=A, dst=B) / UDP(sport=5, dport=6) / bytes(30)
    wanted = [
        bytes(head / udp),
        bytes(head / Dot1Q(vlan=7) / udp),
        bytes(head / Dot1Q(vlan=7) / Dot1Q(vlan=8) / udp),
        bytes(head / IPv6() / TCP() / b"data"),
        bytes(head / IP(flags="MF") / rng.randbytes(64)),
        *(bytes(head) + rng.randbytes(size) for size in (46, 100, 1500)),
    ]
    with raw_socket(a) as sender, raw_socket(b) as taker:
        for each in wanted:
            for _ in range(40):  # more than a burst
                sender.send(each)
            for _ in range(40):
                assert receive(taker, lambda got: got[:12] == wanted[0][:12]) == each
        # What the sender left to the hardware comes completed.
        left = (
            head / IP(src=A, dst=B) / UDP(sport=5, dport=6, chksum=_pseudo(A, B, 17, 12)) / b"abcd"
        )
        sender.send(bytes(left))
        assert sums_are_right(receive(taker, lambda got: got[:12] == wanted[0][:12]))
        # Headers that lie about their length are passed on.
        for at in range(14, 42):
            broken = bytearray(wanted[0])
            broken[at] ^= 0xFF
            sender.send(broken)
            assert receive(taker, lambda got: got[:12] == wanted[0][:12]) == bytes(broken)
    assert net.drops() == {}


def _pseudo(source, destination, protocol, length):
    data = socket.inet_aton(source) + socket.inet_aton(destination)
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, 8, 2)) + protocol + length
    total = (total & 0xFFFF) + (total >> 16)
    return (total & 0xFFFF) + (total >> 16)


def test_more_than_the_rings_hold(hosts):
    """A flood into a port and out of another loses frames, and none of them for ever."""
    net, a, b = hosts
    for name in ("pa", "pb"):
        net.add(name, "afxdp-nonpmd")
    join(net, 1, 2)
    data = b"\x02\0\0\0\0\2" + b"\x02\0\0\0\0\1" + b"\x88\xb5" + bytes(1486)
    with raw_socket(a) as sender:
        for _ in range(20_000):
            sender.send(data)

    def settled():
        one, two = net.port("pa"), net.port("pb")
        lost = sum(one.drops.values()) + sum(two.drops.values())
        return one.stats["rx_packets"] == two.stats["tx_packets"] + lost - one.drops.get(
            "rx_queue_full", 0
        )

    wait_until(settled, what="all frames sent or counted")
    assert a.ping(B) == 3 and b.ping(A) == 3


def test_wrong_options_and_devices_without_a_way(hosts):
    net, _a, _b = hosts
    for options, told in (
        ({"xdp-mode": "foo"}, "xdp-mode"),
        ({"n_rxq": "17"}, "n_rxq"),
        ({"use-need-wakeup": "yes"}, "use-need-wakeup"),
        ({"xdp-mode": "native-with-zerocopy"}, None),  # no veth can
        ({"n_rxq": "4"}, None),  # nor has it that many queues
    ):
        with pytest.raises(DpifError, match=told):
            net.add("pa", "afxdp", **options)
        assert not programs(net, "pa")
    with pytest.raises(DpifError, match="No such device"):
        net.add("nowhere", "afxdp")
    net.add("pa", "afxdp", **{"use-need-wakeup": "false"})
    assert net.port("pa").told["use-need-wakeup"] == "false"
    assert "afxdp: n_rxq=1, use-need-wakeup=false, xdp-mode=best-effort" in net.dpctl("show")


def test_a_device_goes_and_comes_back(hosts):
    net, _a, _b = hosts
    net.add("pa", "afxdp-nonpmd")
    net.host.run("ip", "link", "del", "pa")
    wait_until(lambda: net.port("pa").dead, what="the device known to be gone")
    net.dpif.port_del(1)
    words = ("type", "veth", "peer", "name", "other")
    net.host.run("ip", "link", "add", "pa", *words)
    net.add("pa", "afxdp-nonpmd")
    assert not net.port("pa").dead


def test_nothing_is_left_of_a_process_that_was_killed(hosts):
    net, a, _b = hosts
    for _ in range(3):
        for name in ("pa", "pb"):
            net.add(name, "afxdp-nonpmd")
        join(net, 1, 2)
        assert a.ping(B) == 3
        net.kill()
        wait_until(lambda: not programs(net, "pa"), what="the program gone")
        subprocess.run(["rm", "-f", str(net.path)], check=True)
        net.clients.clear()
        net.start()


HOLDER = """
import socket, sys
from datapath.xdp.af_xdp import MODES
from datapath.xdp.rings import XdpSocket
held = XdpSocket()
held.bind(socket.if_nametoindex("pa"), 0, MODES["generic"][1], False, 0)
print("bound", flush=True)
sys.stdin.read()
"""


def test_a_queue_that_is_somebody_elses_is_not_waited_for(hosts):
    """By who comes again: vswitchd's loop waits for the answer."""
    net, *_ = hosts
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": ROOT}
    with net.host.popen(sys.executable, "-c", HOLDER, **pipes) as holder:
        assert holder.stdout.readline() == b"bound\n"
        times = []
        for patient in (False, False, False, True):
            asked = time.monotonic()
            with pytest.raises(DpifError) as refused:
                net.dpif.port_add("pa", "afxdp-nonpmd", None, OPTIONS, patient=patient)
            times.append(time.monotonic() - asked)
            assert refused.value.errno == errno.EBUSY
        assert min(times[:3]) < BIND_SECONDS / 2 and times[3] >= BIND_SECONDS
        holder.stdin.close()
    net.add("pa", "afxdp-nonpmd", **OPTIONS)
