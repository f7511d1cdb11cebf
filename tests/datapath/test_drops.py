"""The rarest reasons for which frames are discarded, provoked with real devices and limits."""

import re
import resource
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from scapy.layers.inet import TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from datapath.actions.text import odp_text
from datapath.ipc.upcall_rings import answer_upcall, take_upcall
from tests.daemons import wait_until
from tests.datapath.dp_process import frame
from tests.datapath.wire import NO_IPV6, SOL_PACKET, Host, raw_socket

PACKET_VNET_HDR = 15
GSO_TCPV6, NEEDS_CSUM = 4, 1
# A tun device without Ethernet headers that writes what comes on standard input, in hexadecimal.
TUN = """
import fcntl, os, struct, sys
fd = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", b"l3", 0x1001))  # TUNSETIFF: IFF_TUN, NO_PI
os.system("ip link set l3 up")
print("ready", flush=True)
for line in sys.stdin:
    os.write(fd, bytes.fromhex(line))
"""
needs_tun = pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="no /dev/net/tun")


def counted(net, port, reason):
    """Waits for a discard of this reason; it is the port's, and nothing else was discarded."""
    wait_until(net.drops, what=reason)
    assert set(net.drops()) == {reason}
    assert net.port(port).drops == net.drops()
    assert f"{reason}:" in net.dpctl("show", "-s")


@needs_tun
def test_a_frame_without_a_whole_ethernet_header(net):
    """The device of a VPN has none at all, and a packet there may be shorter than one."""
    writer = net.host.popen(
        *(sys.executable, "-c", TUN), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert writer.stdout.readline() == "ready\n"
        net.add("l3", "system")
        net.flow("in_port(1)", "drop")
        writer.stdin.write("45000009000000000000\n")
        writer.stdin.flush()
        wait_until(lambda: "rx_invalid_packet" in net.drops())
        assert net.port("l3").drops["rx_invalid_packet"] == 1
        assert net.port("l3").stats["rx_frame_err"] == 1
    finally:
        writer.stdin.close()
        writer.wait(10)
        writer.stdout.close()


@needs_tun
def test_a_frame_that_the_kernel_refuses(net):
    """Its checksum is to be completed at a place that it does not have; who says so is whoever
    answers for a packet that came up."""
    net.host.run("sh", "-c", f"echo 1 >{NO_IPV6}")  # the kernel is to send nothing itself
    net.add("d1")
    net.add("t1", "tap")
    net.host.run("ip", "link", "set", "t1", "up")
    handler = net.client()
    handler.upcall_register()
    net.dpif.port_inject(1, frame())
    given = wait_until(lambda: take_upcall(handler))
    vnet = {**given.vnet, "flags": NEEDS_CSUM, "csum_start": 60000}
    assert answer_upcall(handler, given._replace(vnet=vnet), odp_text.parse_actions("2"))
    counted(net, "t1", "tx_error")
    assert net.port("t1").stats["tx_errors"] == 1


def test_a_frame_larger_than_any_buffer(net):
    """IPv6 jumbograms of kernels that are let make them ("big TCP")."""
    sender = Host(net, "pa", "10.0.0.1/24")
    try:
        for each, device in ((sender, "eth0"), (net.host, "pa")):
            each.run("ip", "link", "set", device, "gso_max_size", "200000")
        net.add("pa", "system")
        net.flow("in_port(1)", "drop")
        whole = Ether() / IPv6(src="fd00::1", dst="fd00::2", plen=0) / TCP(flags="A")
        head = struct.pack("=BBHHHH", NEEDS_CSUM, GSO_TCPV6, 74, 1400, 54, 16)
        with raw_socket(sender) as sock:
            sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
            sock.send(head + bytes(whole) + bytes(100_000))
        counted(net, "pa", "rx_oversize")
        assert net.port("pa").stats["rx_dropped"] == 1
    finally:
        sender.close()


def test_no_memory(net):
    """Dummy ports keep frames until somebody reads them; the process may have no more memory."""
    sender = Host(net, "pa", "10.0.0.1/24")
    try:
        net.add("pa", "system")
        ports = [net.add(f"d{number}") for number in range(20)]
        net.flow("in_port(1)", ",".join(map(str, ports)))
        status = Path(f"/proc/{net.pid}/status").read_text()
        used = int(re.search(r"VmData:\s*(\d+)", status)[1]) * 1024
        before = resource.prlimit(net.pid, resource.RLIMIT_DATA)
        with raw_socket(sender) as sock:
            resource.prlimit(net.pid, resource.RLIMIT_DATA, (used, before[1]))
            try:
                for number in range(900):
                    sock.send(frame(1500, src=number))
                wait_until(lambda: idle(net.pid), what="a worker that has nothing to do")
            finally:
                resource.prlimit(net.pid, resource.RLIMIT_DATA, before)
        assert net.drops().keys() <= {"no_memory", "rx_queue_full"}
        assert net.drops()["no_memory"] > 0
        sent = sum(net.port(f"d{number}").stats["tx_packets"] for number in range(20))
        got = net.port("pa").stats["rx_packets"]
        assert sent + net.drops()["no_memory"] == 20 * got
    finally:
        sender.close()


def idle(pid):
    """No thread of the process runs."""
    states = [
        path.read_text().rpartition(")")[2].split()[0]
        for path in Path(f"/proc/{pid}/task").glob("*/stat")
    ]
    return set(states) == {"S"}
