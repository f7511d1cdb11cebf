"""Sockets and frames in the namespaces of containers, for tests with real veths."""

import socket
import struct
import subprocess
import sys
import threading

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether

from tests.daemons import Container

ETH_P_ALL = 3
SOL_PACKET, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING = 263, 8, 23
UDP_SEGMENT = 103
NO_IPV6 = "/proc/sys/net/ipv6/conf/default/disable_ipv6"
_PASS = """
import socket, sys
made = socket.socket(*map(int, sys.argv[2:]))
socket.send_fds(socket.socket(fileno=int(sys.argv[1])), [b"x"], [made.fileno()])
"""


class Host(Container):
    """A container whose kernel sends nothing by itself: no IPv6."""

    def connect(self):
        for each in (self, self.switch.host):
            each.run("sh", "-c", f"echo 1 >{NO_IPV6}")
        super().connect()


def socket_in(namespace, family, kind, protocol=0):
    """A socket of another network namespace."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        numbers = map(str, (theirs.fileno(), int(family), int(kind), protocol))
        namespace.run(sys.executable, "-S", "-c", _PASS, *numbers, pass_fds=[theirs.fileno()])
        _, [fd], _, _ = socket.recv_fds(ours, 1, 1)
    made = socket.socket(fileno=fd)
    made.settimeout(30)
    return made


def raw_socket(namespace, device="eth0"):
    """Sends and receives whole frames of a device."""
    made = socket_in(namespace, socket.AF_PACKET, socket.SOCK_RAW)
    made.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    made.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    made.bind((device, ETH_P_ALL))
    return made


def receive(raw, wanted):
    """The next frame for which `wanted(frame)`; a VLAN tag beside it is put back."""
    while True:
        frame, control, _, _ = raw.recvmsg(1 << 17, 128)
        for level, kind, data in control:
            if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", data[:20])
                if status & 0x10:  # TP_STATUS_VLAN_VALID
                    frame = frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
        if wanted(frame):
            return frame


def neighbours(*containers):
    """Static ARP entries, so that nothing but the test's packets is on the way."""
    macs = {}
    for each in containers:
        shown = each.run("ip", "-o", "link", "show", "dev", "eth0").split()
        macs[each] = shown[shown.index("link/ether") + 1]
    for one in containers:
        for other in containers:
            if one is not other:
                address = other.address.partition("/")[0]
                words = ("ip", "neigh", "replace", address, "lladdr", macs[other])
                one.run(*words, "dev", "eth0", "nud", "permanent")
    return macs


def transfer(sender, receiver, address, size=4 << 20, port=7777, through=None):
    """Send bytes over TCP and return those that came; `through`: the port that is dialled."""
    data = bytes(range(256)) * (size // 256)
    listener = socket_in(receiver, socket.AF_INET, socket.SOCK_STREAM)
    client = socket_in(sender, socket.AF_INET, socket.SOCK_STREAM)
    with listener, client:
        listener.bind(("0.0.0.0", port))
        listener.listen(1)

        def send():
            client.connect((address, through or port))
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        peer, _ = listener.accept()
        peer.settimeout(30)
        got = bytearray()
        with peer:
            while piece := peer.recv(1 << 18):
                got += piece
        thread.join(30)
    assert got == data
    return len(got)


def sums_are_right(frame):
    """Whether IP and L4 checksums are what scapy makes them."""
    fresh = Ether(frame)
    for layer in (IP, TCP, UDP):
        if layer in fresh:
            del fresh[layer].chksum
    return bytes(fresh) == frame


def flood(namespace, address):
    """A process that pings without pause; terminate() it."""
    return namespace.popen("ping", "-q", "-f", address, stdout=subprocess.DEVNULL)
