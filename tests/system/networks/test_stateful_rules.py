"""Stateful rules and NAT between containers: who reaches whom, as whom.

The same rules run on Open vSwitch's userspace datapath, where it is installed, with the same
outcome.
"""

import contextlib
import re
import subprocess

import pytest

from datapath.ipc.dpif import Dpif
from tests.daemons import DATAPATH, VSWITCHD, wait_until
from tests.ovs_userspace import OvsSwitch
from tests.ovs_userspace import missing as no_peer

pytestmark = pytest.mark.system

# The router that the rules make: its addresses and MACs on each side.
INNER, OUTER = "10.0.0.254", "192.0.2.254"
INNER6, OUTER6 = "fd00:1::fe", "fd00:2::fe"
INNER_MAC, OUTER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
INSIDE_MAC, OUTSIDE_MAC = "02:00:00:00:01:01", "02:00:00:00:01:02"
IN, OUT, BACK = (
    f"mod_dl_src:{INNER_MAC},mod_dl_dst:{INSIDE_MAC},output:1",
    f"mod_dl_src:{OUTER_MAC},mod_dl_dst:{OUTSIDE_MAC},output:2",
    f"mod_dl_src:{INNER_MAC},mod_dl_dst:{INSIDE_MAC},in_port",
)
# Zone 1: the way outside; zones 2 and 3: DNAT and SNAT of who inside asks for the published port.
RULES = f"""\
table=0,priority=1,ip,actions=ct(table=1,zone=1,nat)
table=0,priority=1,ipv6,actions=ct(table=1,zone=1,nat)
table=0,priority=9,in_port=1,ip,nw_dst={OUTER},actions=ct(table=5,zone=3,nat)
table=0,priority=9,in_port=1,ipv6,ipv6_dst={OUTER6},actions=ct(table=5,zone=3,nat)
table=1,priority=9,ct_state=+inv+trk,actions=drop
table=1,priority=5,in_port=1,ct_state=-new+est+trk,actions={OUT}
table=1,priority=5,in_port=1,ct_state=-new+rel+trk,actions={OUT}
table=1,priority=5,in_port=2,ct_state=-new+est+trk,actions={IN}
table=1,priority=5,in_port=2,ct_state=-new+rel+trk,actions={IN}
table=1,priority=4,in_port=2,ct_state=+new+rel+trk,ip,actions=ct(commit,zone=1,nat),{IN}
table=1,priority=4,in_port=2,ct_state=+new+rel+trk,ipv6,actions=ct(commit,zone=1,nat),{IN}
table=1,priority=3,in_port=1,ct_state=+new+trk,tcp,tp_dst=21,\
actions=ct(commit,zone=1,alg=ftp,nat(src={OUTER})),{OUT}
table=1,priority=3,in_port=1,ct_state=+new-rel+trk,udp,tp_dst=69,\
actions=ct(commit,zone=1,alg=tftp,nat(src={OUTER})),{OUT}
table=1,priority=3,in_port=1,ct_state=+new-rel+trk,udp6,tp_dst=69,\
actions=ct(commit,zone=1,alg=tftp,nat(src={OUTER6})),{OUT}
table=1,priority=2,in_port=1,ct_state=+new+trk,ip,actions=ct(commit,zone=1,nat(src={OUTER})),{OUT}
table=1,priority=2,in_port=1,ct_state=+new+trk,ipv6,\
actions=ct(commit,zone=1,nat(src={OUTER6})),{OUT}
table=1,priority=2,in_port=2,ct_state=+new+trk,tcp,nw_dst={OUTER},tp_dst=8080,\
actions=ct(commit,zone=1,nat(dst=10.0.0.1:80)),{IN}
table=1,priority=2,in_port=2,ct_state=+new+trk,tcp6,ipv6_dst={OUTER6},tp_dst=8080,\
actions=ct(commit,zone=1,nat(dst=[fd00:1::1]:80)),{IN}
table=5,priority=9,ct_state=+rpl+trk,ip,actions=ct(table=6,zone=2,nat)
table=5,priority=1,ip,actions=ct(table=3,zone=2,nat)
table=3,priority=2,ct_state=+new+trk,tcp,tp_dst=8080,\
actions=ct(commit,table=4,zone=2,nat(dst=10.0.0.1:80))
table=3,priority=2,ct_state=-new+est+trk,ip,actions=ct(table=4,zone=3,nat)
table=4,priority=2,ct_state=+new+trk,tcp,actions=ct(commit,zone=3,nat(src={OUTER})),{BACK}
table=4,priority=2,ct_state=-new+trk,tcp,actions={BACK}
table=6,priority=1,ip,actions={BACK}
table=5,priority=9,ct_state=+rpl+trk,ipv6,actions=ct(table=6,zone=2,nat)
table=5,priority=1,ipv6,actions=ct(table=3,zone=2,nat)
table=3,priority=2,ct_state=+new+trk,tcp6,tp_dst=8080,\
actions=ct(commit,table=4,zone=2,nat(dst=[fd00:1::1]:80))
table=3,priority=2,ct_state=-new+est+trk,ipv6,actions=ct(table=4,zone=3,nat)
table=4,priority=2,ct_state=+new+trk,tcp6,actions=ct(commit,zone=3,nat(src={OUTER6})),{BACK}
table=4,priority=2,ct_state=-new+trk,tcp6,actions={BACK}
table=6,priority=1,ipv6,actions={BACK}
"""
SERVER = """
import http.server, socket, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (self.client_address[0].removeprefix("::ffff:") + "\\n").encode() + b"x" * 200000
        self.send_response(200); self.send_header("Content-Length", str(len(body)))
        self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    address_family = socket.AF_INET6; daemon_threads = True
s = Server(("::", int(sys.argv[1])), Handler)
print("ready", flush=True); s.serve_forever()
"""
# By TFTP: each answer begins a connection of its own, to the port that asked.
TFTP_SERVER = """
import socket, struct
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("::", 69))
print("ready", flush=True)
while True:
    _, peer = s.recvfrom(1000)
    data = (peer[0].removeprefix("::ffff:") + "\\n").encode() + b"x" * 200000
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as c:
        c.settimeout(2)
        for n in range(len(data) // 512 + 1):
            c.sendto(struct.pack("!HH", 3, n + 1) + data[512 * n : 512 * n + 512], peer)
            try: c.recv(100)
            except OSError: break
"""


class Place:
    """A switch with `inside` and `outside`, and the rules between them."""

    def __init__(self, switch, *bridge):
        self.switch = switch
        switch.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure", *bridge)
        self.inside = self._container("inside", 1, INSIDE_MAC, "10.0.0.1/24", "fd00:1::1/64")
        self.outside = self._container("outside", 2, OUTSIDE_MAC, "192.0.2.1/24", "fd00:2::1/64")
        self._route(self.inside, INNER, INNER6, INNER_MAC)
        self._route(self.outside, OUTER, OUTER6, OUTER_MAC)
        path = switch.directory / "rules"
        path.write_text(RULES)
        switch.ofctl("add-flows", "br0", str(path))
        self.servers = []

    def _container(self, name, number, mac, *addresses):
        made = self.switch.container(name)
        made.run("ip", "link", "set", "eth0", "address", mac)
        for address in addresses:
            made.run("ip", "address", "add", address, "dev", "eth0", "nodad")
        self.switch.vsctl(
            "add-port", "br0", name, "--", "set", "interface", name, f"ofport_request={number}"
        )
        return made

    @staticmethod
    def _route(container, address, address6, mac):
        for each in (address, address6):
            container.run("ip", "neighbour", "add", each, "lladdr", mac, "dev", "eth0")
        container.run("ip", "route", "add", "default", "via", address)
        container.run("ip", "-6", "route", "add", "default", "via", address6)

    def serve(self, container, port, server=SERVER):
        child = container.popen(
            *("python3", "-c", server, str(port)), stdout=subprocess.PIPE, text=True
        )
        assert child.stdout.readline() == "ready\n"
        self.servers.append(child)

    def get(self, container, url):
        """Who the server saw, when all came; None: nothing did."""
        done = container.run(
            *("curl", "-s", "--noproxy", "*", "-m", "3", "-g", url), check=False, timeout=10
        )
        head, _, body = done.partition("\n")
        assert not body or body == "x" * 200000
        return head or None

    def close(self):
        for child in self.servers:
            child.kill()
            child.wait()


def scenario(place):
    """[(what, outcome)]; see RULES."""
    inside, outside = place.inside, place.outside
    place.serve(outside, 80)
    place.serve(inside, 80)
    place.serve(outside, 69, TFTP_SERVER)
    seen = [
        ("ping out", inside.ping("192.0.2.1", 2)),
        ("ping in", outside.ping("10.0.0.1", 1, wait=1)),
        ("ping 8 KB", inside.run("ping", "-qc1", "-W2", "-s8000", "192.0.2.1", check=False)),
        ("ping6 8 KB", inside.run("ping", "-qc1", "-W2", "-s8000", "fd00:2::1", check=False)),
        ("ping6 out", inside.ping("fd00:2::1", 2)),
        ("out", place.get(inside, "http://192.0.2.1/")),
        ("out 6", place.get(inside, "http://[fd00:2::1]/")),
        ("in", place.get(outside, "http://10.0.0.1/")),
        ("published", place.get(outside, f"http://{OUTER}:8080/")),
        ("published 6", place.get(outside, f"http://[{OUTER6}]:8080/")),
        ("another port", place.get(outside, f"http://{OUTER}:81/")),
        ("hairpin", place.get(inside, f"http://{OUTER}:8080/")),
        ("hairpin 6", place.get(inside, f"http://[{OUTER6}]:8080/")),
        ("TFTP", place.get(inside, "tftp://192.0.2.1/x")),
        ("TFTP 6", place.get(inside, "tftp://[fd00:2::1]/x")),
    ]
    unreachable = inside.run(
        "python3", "-c",
        "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.connect(('192.0.2.1', 9));"
        "s.settimeout(2); s.send(b'x')\n"
        "try: s.recv(1)\nexcept OSError as e: print(type(e).__name__)",
    )  # fmt: skip
    seen.append(("refused by ICMP", unreachable.strip()))
    return [(what, " 1 received" in end if "KB" in what else end) for what, end in seen]


def connections(switch):
    """Without what is chance: ports and ids that nobody chose, and how far TCP has got."""
    found = set()
    for line in switch.appctl("dpctl/dump-conntrack", "-m").splitlines():
        line = re.sub(r"(port=(?!80\b|8080\b|9\b|69\b)|\bid=)\d+", r"\1N", line)
        found.add(re.sub(r"(state_\w+)=\w+", r"\1=S", line))
    return sorted(found)


EXPECTED = [
    ("ping out", 2),
    ("ping in", 0),
    ("ping 8 KB", True),
    ("ping6 8 KB", True),
    ("ping6 out", 2),
    ("out", OUTER),
    ("out 6", OUTER6),
    ("in", None),
    ("published", "192.0.2.1"),
    ("published 6", "fd00:2::1"),
    ("another port", None),
    ("hairpin", OUTER),
    ("hairpin 6", OUTER6),
    ("TFTP", OUTER),
    ("TFTP 6", OUTER6),
    ("refused by ICMP", "ConnectionRefusedError"),
]


def test_firewall_and_nat(switch):
    with contextlib.closing(Place(switch)) as place:
        assert scenario(place) == EXPECTED
        ours = connections(switch)
        if no_peer():
            return
    with contextlib.closing(OvsSwitch()) as peer:
        peer.start()
        with contextlib.closing(Place(peer, "datapath_type=netdev")) as place:
            assert scenario(place) == EXPECTED
            assert ours == connections(peer)


TALK = """
import socket, sys
s = socket.create_connection((sys.argv[1], 7))
for line in sys.stdin:
    s.sendall(line.encode()); print(s.recv(100).decode().strip(), s.getsockname()[1], flush=True)
"""
LISTEN = """
import socket
listener = socket.create_server(("::", 7), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
s, peer = listener.accept()
while data := s.recv(100): s.sendall(f"{data.decode().strip()} {peer[0]} {peer[1]}\\n".encode())
"""


@pytest.mark.parametrize("address", ["192.0.2.1", "fd00:2::1"])
def test_tcp_through_nat_survives_the_datapath(switch, address):
    """Killed in the middle of a connection, which goes on through the next process as it was."""
    switch.allow("lost the datapath process|Connection refused|Broken pipe")
    with contextlib.closing(Place(switch)) as place:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        listener = place.outside.popen("python3", "-c", LISTEN, **pipes)
        place.servers.append(listener)
        assert listener.stdout.readline() == "ready\n"
        talker = place.inside.popen("python3", "-c", TALK, address, **pipes)
        place.servers.append(talker)

        def say(word):
            talker.stdin.write(word + "\n")
            talker.stdin.flush()
            return talker.stdout.readline().split()

        first = say("one")
        assert first[1].removeprefix("::ffff:") in (OUTER, OUTER6)
        before = switch.appctl("dpctl/dump-conntrack")
        assert "ESTABLISHED" in before
        switch.kill(DATAPATH)
        assert say("two") == ["two", *first[1:]]
        assert switch.appctl("dpctl/dump-conntrack") == before


def protocols(switch):
    """Of the connections that there are."""
    with contextlib.closing(Dpif(switch.directory / "datapath.sock")) as dpif:
        return {connection["orig"]["proto"] for connection in dpif.ct_dump()}


def test_flushed_by_a_controller(switch):
    with contextlib.closing(Place(switch)) as place:
        place.serve(place.outside, 80)
        assert place.get(place.inside, "http://192.0.2.1/") == OUTER
        assert place.inside.ping("192.0.2.1", 1) == 1
        assert protocols(switch) == {1, 6}
        switch.ofctl("ct-flush", "br0", "zone=1", "ct_nw_src=10.0.0.1,ct_nw_proto=1")
        wait_until(lambda: protocols(switch) == {6}, what="a flush")
        switch.ofctl("ct-flush-zone", "br0", "1")
        wait_until(lambda: not protocols(switch), what="a zone's flush")


def policies(switch):
    """{} while no datapath process listens."""
    path = switch.directory / "datapath.sock"
    with contextlib.suppress(ConnectionRefusedError), contextlib.closing(Dpif(path)) as dpif:
        return dpif.ct_timeout_policies()
    return {}


def test_timeout_policies(switch):
    """From the database to what ct(commit) says, over the end of either process."""
    switch.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure")
    switch.vsctl("--", "--id=@d", "create", "Datapath", "datapath_version=0", "--",
                 "set", "Open_vSwitch", ".", "datapaths:netdev=@d")  # fmt: skip
    wait_until(lambda: "ct_state=true" in switch.vsctl("list-dp-cap", "netdev"), what="a status")
    switch.vsctl("add-zone-tp", "netdev", "zone=5", "udp_first=7", "icmp_first=3")
    switch.vsctl("add-zone-tp", "netdev", "zone=6", "icmp_first=3", "udp_first=7")
    switch.vsctl("add-zone-tp", "netdev", "zone=7", "udp_first=8")
    switch.ofctl(
        "add-flow", "br0",
        "ip,actions=" + ",".join(f"ct(commit,zone={zone})" for zone in (4, 5, 6, 7)),
    )  # fmt: skip

    def actions():
        out = switch.appctl("ofproto/trace", "br0", "in_port=1,udp")
        return re.search("Datapath actions: (.*)", out)[1]

    said = (
        "ct(commit,zone=4),ct(commit,zone=5,timeout=1),ct(commit,zone=6,timeout=1),"
        "ct(commit,zone=7,timeout=2)"
    )
    assert actions() == said
    switch.allow("lost the datapath process|Connection refused")
    for end in (lambda: switch.restart(VSWITCHD), lambda: switch.kill(DATAPATH)):
        end()  # vswitchd starts another datapath process by itself
        wait_until(lambda: len(policies(switch)) == 2, seconds=30, what="policies")
        assert [policies(switch)[n]["udp_first"] for n in ("1", "2")] == [7, 8]
        wait_until(lambda: actions() == said, what="the same flows")
    switch.vsctl("del-zone-tp", "netdev", "zone=5")
    switch.vsctl("del-zone-tp", "netdev", "zone=7")
    assert actions() == (
        "ct(commit,zone=4),ct(commit,zone=5),ct(commit,zone=6,timeout=1),ct(commit,zone=7)"
    )
    assert policies(switch).keys() == {"1"}
