"""Tunnels through namespaces: the kernel's own devices, and Open vSwitch, at the other end.

inside (10.9.0.1) -- int -- [tunnel] -- br0 (172.16.0.1) --- far (172.16.0.2, 10.9.0.2)
"""

import hashlib
import subprocess
import sys

import pytest

from tests import ovs_userspace
from tests.daemons import CommandFailed, wait_until

pytestmark = pytest.mark.system

HERE, THERE = "172.16.0.1", "172.16.0.2"
HERE6, THERE6 = "fd16::1", "fd16::2"
SIZE = 3_000_000
RECEIVER = (
    "import hashlib, socket\n"
    "s = socket.create_server(('', 7000)); print('listening', flush=True)\n"
    "c, _ = s.accept(); h = hashlib.sha256()\n"
    "while data := c.recv(1 << 20): h.update(data)\n"
    "c.sendall(h.digest()); c.close()\n"
)
SENDER = (
    "import random, socket, sys\n"
    f"data = random.Random(5).randbytes({SIZE})\n"
    "s = socket.create_connection((sys.argv[1], 7000)); s.sendall(data)\n"
    "s.shutdown(socket.SHUT_WR); sys.stdout.write(s.recv(64).hex())\n"
)
# Our options; the device of the kernel that is the other end, with {remote} and {local}.
KINDS = {
    "vxlan": ("options:key=7", "vxlan id 7 dstport 4789 noudpcsum remote {remote} local {local}"),
    "vxlan-csum": (
        "options:key=7 options:csum=true",
        "vxlan id 7 dstport 4789 udpcsum remote {remote} local {local}",
    ),
    "geneve": ("options:key=7", "geneve id 7 dstport 6081 remote {remote}"),
    "gre": ("options:key=7", "gretap key 7 remote {remote} local {local}"),
    "gre-csum": (
        "options:key=7 options:csum=true",
        "gretap key 7 csum remote {remote} local {local}",
    ),
}


class World:
    """A running switch whose br0 is the underlay; `far` is a host at its other end."""

    def __init__(self, switch):
        self.switch = switch
        switch.vsctl("add-br", "br0", "--", "add-br", "int")
        self.far = switch.container("under", f"{THERE}/24", "br0")
        self.far.run("ip", "address", "add", f"{THERE6}/64", "dev", "eth0", "nodad")
        for address in (f"{HERE}/24", f"{HERE6}/64"):
            nodad = ["nodad"] if ":" in address else []
            switch.host.run("ip", "address", "add", address, "dev", "br0", *nodad)
        switch.host.run("ip", "link", "set", "br0", "up")
        self.inside = switch.container("inside", "10.9.0.1/24", "int")
        self.inside.run("ip", "link", "set", "eth0", "mtu", "1400")

    def tunnel(self, kind, remote, options):
        self.switch.vsctl(
            *("add-port", "int", "tun0", "--", "set", "interface", "tun0", f"type={kind}"),
            *(f"options:remote_ip={remote}", *options.split()),
        )

    def device(self, text, remote, local):
        name, *words = text.format(remote=remote, local=local).split()
        try:
            self.far.run("ip", "link", "add", "tun9", "type", name, *words)
        except CommandFailed as error:
            if "Unknown device type" in str(error):
                pytest.skip(f"this kernel has no {name}")
            raise
        self.far.run("ip", "address", "add", "10.9.0.2/24", "dev", "tun9")
        self.far.run("ip", "link", "set", "tun9", "mtu", "1400", "up")


def transfer(receiver, sender, address):
    """TCP, with whatever offloads the devices have: what arrives is what was sent."""
    import random

    server = receiver.popen(sys.executable, "-c", RECEIVER, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "listening\n"
        got = sender.run(sys.executable, "-c", SENDER, address, timeout=60)
    finally:
        server.kill()
        server.wait()
    assert got == hashlib.sha256(random.Random(5).randbytes(SIZE)).hexdigest()


@pytest.fixture
def world(switch):
    return World(switch)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("name", KINDS)
def test_kernel_at_the_other_end(world, name, version):
    kind = name.partition("-")[0]
    options, device = KINDS[name]
    remote, local = (THERE, HERE) if version == 4 else (THERE6, HERE6)
    if version == 6:
        device = device.replace("gretap", "ip6gretap")
        device = device.replace("noudpcsum ", "").replace("udpcsum ", "")
    world.tunnel(kind, remote, options)
    world.device(device, local, remote)
    wait_until(lambda: world.inside.ping("10.9.0.2", count=1), what="the first answer")
    assert world.inside.ping("10.9.0.2") == 3
    transfer(world.far, world.inside, "10.9.0.2")
    transfer(world.inside, world.far, "10.9.0.1")
    flows = world.switch.appctl("dpctl/dump-flows")
    assert "tnl_push" in flows and "tnl_pop" in flows
    route = world.switch.appctl("ovs/route/lookup", remote)
    assert route == f"src {local}\ngateway ::\ndev br0\n"
    assert remote in world.switch.appctl("tnl/neigh/show")
    drops = world.switch.dpctl("drops")
    assert "tunnel" not in drops


@pytest.fixture
def ovs(world):
    """Open vSwitch's userspace datapath beside br0, and a container behind its tunnel."""
    reason = ovs_userspace.missing()
    if reason:
        pytest.skip(reason)
    made = ovs_userspace.OvsSwitch()
    made.start()
    try:
        connect(world.switch, made)
        yield made
        world.switch.vsctl("del-port", "br0", "wire")  # it goes with the other one's namespace
    finally:
        made.close()


def connect(switch, other):
    host = switch.host
    host.run("ip", "link", "add", "wire", "type", "veth", "peer", "name", "wire-o")
    host.run("ip", "link", "set", "wire-o", "netns", str(other.host.pid))
    host.run("ethtool", "-K", "wire", "tx", "off")  # the other one completes no checksum
    host.run("ip", "link", "set", "wire", "up")
    switch.vsctl("add-port", "br0", "wire")
    for bridge in ("phy", "int"):
        other.vsctl("add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev")
    other.vsctl("add-port", "phy", "wire-o")
    other.host.run("ip", "link", "set", "wire-o", "up")
    for address in ("172.16.0.3/24", "fd16::3/64"):
        nodad = ["nodad"] if ":" in address else []
        other.host.run("ip", "address", "add", address, "dev", "phy", *nodad)
    other.host.run("ip", "link", "set", "phy", "up")
    other.container("far", "10.9.0.3/24", "int").run("ip", "link", "set", "eth0", "mtu", "1400")


# type, options of both ends, IP version
PEERS = [
    ("vxlan", "options:key=9", 4),
    ("vxlan", "options:key=9 options:exts=gbp", 6),
    ("geneve", "options:key=9 options:csum=true", 4),
    ("gre", "options:key=9 options:csum=true", 4),
    ("gre", "options:key=9 options:seq=true", 4),
    ("gre", "options:key=9 options:csum=true options:seq=true", 4),
    ("ip6gre", "options:key=9 options:packet_type=legacy_l2", 6),
    ("erspan", "options:key=9 options:erspan_ver=1 options:erspan_idx=3", 4),
    ("erspan", "options:key=9 options:erspan_ver=2 options:erspan_dir=1 options:erspan_hwid=7", 4),
    ("ip6erspan", "options:key=9 options:erspan_ver=1 options:erspan_idx=3", 6),
]
# Those whose packets have no Ethernet header
L3_PEERS = [
    ("gtpu", "options:key=9", 4),
    ("gtpu", "options:key=9", 6),
    ("vxlan", "options:key=9 options:exts=gpe options:packet_type=legacy_l3", 4),
    ("gre", "options:key=9 options:packet_type=legacy_l3", 6),
]


def join(world, ovs, kind, options, version):
    there, here = ("172.16.0.3", HERE) if version == 4 else ("fd16::3", HERE6)
    world.tunnel(kind, there, options)
    ovs.vsctl(
        *("add-port", "int", "tun0", "--", "set", "interface", "tun0", f"type={kind}"),
        *(f"options:remote_ip={here}", *options.split()),
    )


def check_both_ways(world, ovs, kind):
    far = ovs._containers[0]
    wait_until(lambda: world.inside.ping("10.9.0.3", count=1), what=f"an answer through {kind}")
    assert world.inside.ping("10.9.0.3") == 3, kind
    transfer(far, world.inside, "10.9.0.3")
    transfer(world.inside, far, "10.9.0.1")
    for switch in (world.switch, ovs):
        switch.vsctl("del-port", "int", "tun0")


def test_open_vswitch_at_the_other_end(world, ovs):
    for kind, options, version in PEERS:
        join(world, ovs, kind, options, version)
        check_both_ways(world, ovs, f"{kind} {options}")


def test_open_vswitch_at_the_other_end_of_l3_tunnels(world, ovs):
    far = ovs._containers[0]
    ends = ((world.switch, world.inside, "inside"), (ovs, far, "far"))
    macs = [mac(end) for _, end, _ in ends]
    world.inside.run("ip", "neigh", "add", "10.9.0.3", "lladdr", macs[1], "dev", "eth0")
    far.run("ip", "neigh", "add", "10.9.0.1", "lladdr", macs[0], "dev", "eth0")
    for kind, options, version in L3_PEERS:
        join(world, ovs, kind, options, version)
        for (switch, _, port), address in zip(ends, macs, strict=True):
            switch.ofctl("del-flows", "int")
            into = f"in_port=tun0,ip,actions=mod_dl_dst:{address},output:{port}"
            switch.ofctl("add-flow", "int", into)
            switch.ofctl("add-flow", "int", f"in_port={port},ip,actions=output:tun0")
        check_both_ways(world, ovs, f"{kind} {options}")


def by_flow(switch, kind, port, here, there):
    """Key and both addresses are the flows': set by the way out, matched on the way in."""
    options = "options:remote_ip=flow options:local_ip=flow options:key=flow"
    switch.vsctl(*f"add-port int tun0 -- set interface tun0 type={kind} {options}".split())
    src, dst = ("tun_ipv6_src", "tun_ipv6_dst") if ":" in here else ("tun_src", "tun_dst")
    switch.ofctl("del-flows", "int")
    out = f"set_field:7->tun_id,set_field:{here}->{src},set_field:{there}->{dst},output:tun0"
    switch.ofctl("add-flow", "int", f"in_port={port},actions={out}")
    into = f"in_port=tun0,tun_id=7,{src}={there},{dst}={here}"
    switch.ofctl("add-flow", "int", f"{into},actions=output:{port}")


def test_where_to_by_flow(world, ovs):
    """Over both versions of IP; Open vSwitch has its tunnel by flow, too."""
    for kind, here, there in (
        ("vxlan", HERE, "172.16.0.3"),
        ("geneve", HERE6, "fd16::3"),
        ("gre", HERE, "172.16.0.3"),
        ("ip6gre", HERE6, "fd16::3"),
    ):
        by_flow(world.switch, kind, "inside", here, there)
        by_flow(ovs, kind, "far", there, here)
        check_both_ways(world, ovs, f"{kind} by flow")


@pytest.mark.parametrize("version", [4, 6])
def test_where_to_by_flow_with_the_kernel(world, version):
    here, there = (HERE, THERE) if version == 4 else (HERE6, THERE6)
    by_flow(world.switch, "vxlan", "inside", here, there)
    csum = "noudpcsum " if version == 4 else ""
    world.device(f"vxlan id 7 dstport 4789 {csum}remote {here} local {there}", here, there)
    wait_until(lambda: world.inside.ping("10.9.0.2", count=1), what="the first answer")
    transfer(world.far, world.inside, "10.9.0.2")
    transfer(world.inside, world.far, "10.9.0.1")


def mac(container):
    return container.run("ip", "-br", "link", "show", "eth0").split()[2]


def test_routes_of_the_kernel_are_followed(world):
    switch = world.switch
    world.tunnel("vxlan", "192.168.77.7", "options:key=7")
    local = f"{HERE}/32 dev br0 SRC {HERE} local"
    wait_until(lambda: local in switch.appctl("ovs/route/show"), what="routes")
    switch.host.run("ip", "route", "add", "192.168.77.0/24", "via", THERE)
    wanted = f"Cached: 192.168.77.0/24 dev br0 GW {THERE} SRC {HERE}\n"
    wait_until(lambda: wanted in switch.appctl("ovs/route/show"), what="the new route")
    trace = switch.appctl("ofproto/trace", "int", "in_port=1,ip")
    assert f"tunneling to {THERE} via br0" in trace
    switch.host.run("ip", "route", "del", "192.168.77.0/24")
    wait_until(lambda: wanted not in switch.appctl("ovs/route/show"), what="the route's end")
    trace = switch.appctl("ofproto/trace", "int", "in_port=1,ip")
    assert "native tunnel routing failed" in trace


def test_a_sender_is_told_that_its_packets_are_too_big(world):
    """Containers with the MTU of the underlay: TCP finds the way's, and so does ping."""
    world.tunnel("vxlan", THERE, "options:key=7")
    world.device(KINDS["vxlan"][1], HERE, THERE)
    for end, device, number in ((world.inside, "eth0", 1), (world.far, "tun9", 2)):
        end.run("ip", "link", "set", device, "mtu", "1500")
        end.run("ip", "address", "add", f"fd09::{number}/64", "dev", device, "nodad")
    wait_until(lambda: world.inside.ping("10.9.0.2", count=1), what="the first answer")
    transfer(world.far, world.inside, "10.9.0.2")
    ping = ("ping", "-n", "-c1", "-W1", "-M", "do")
    found = world.inside.run("ip", "route", "get", "10.9.0.2")
    assert "mtu 1450" in found
    told = world.inside.run(*ping, "-s", "1452", "fd09::2", check=False)
    assert "mtu" in told.lower() and "0 received" in told
    assert "1 received" in world.inside.run(*ping, "-s", "1402", "fd09::2")
    assert "mtu_exceeded" in world.switch.dpctl("drops")


@pytest.mark.parametrize("name", ["vxlan", "geneve", "gre"])
def test_an_outer_header_without_df_is_cut(world, name):
    """What a container sends with DF fits into its own network, and arrives whole."""
    world.tunnel(name, THERE, "options:key=7 options:df_default=false")
    world.device(KINDS[name][1], HERE, THERE)
    for end, device in ((world.inside, "eth0"), (world.far, "tun9")):
        end.run("ip", "link", "set", device, "mtu", "1500")
    wait_until(lambda: world.inside.ping("10.9.0.2", count=1), what="the first answer")
    code = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); "
    receive = "s.bind(('', 7000)); s.settimeout(20); print(len(s.recv(9999)))"
    receiver = world.far.popen(
        sys.executable, "-c", code + receive, stdout=subprocess.PIPE, text=True
    )
    wait_until(lambda: ":7000" in world.far.run("ss", "-lun"), what="the receiver")
    world.inside.run(sys.executable, "-c", code + "s.sendto(bytes(1472), ('10.9.0.2', 7000))")
    assert receiver.communicate(timeout=30)[0] == "1472\n"
    assert "mtu" not in world.inside.run("ip", "route", "get", "10.9.0.2")
    assert "mtu_exceeded" not in world.switch.dpctl("drops")


@pytest.mark.parametrize("name", ["vxlan", "geneve", "gre-csum"])
def test_outer_packets_that_come_in_fragments(world, name):
    """The underlay's MTU is below that of the networks inside.  What is no tunnel's goes to the
    host in fragments, as it came."""
    options, device = KINDS[name]
    world.tunnel(name.partition("-")[0], THERE, f"{options} options:df_default=false")
    world.device(device, HERE, THERE)
    host, far, inside = world.switch.host, world.far, world.inside
    for end, port, mtu in (
        (far, "eth0", 700), (host, "under", 700),
        (inside, "eth0", 3100), (host, "inside", 3100), (far, "tun9", 3100),
    ):  # fmt: skip
        end.run("ip", "link", "set", port, "mtu", f"{mtu}")
    wait_until(lambda: inside.ping("10.9.0.2", count=1), what="the first answer")
    for end, address in ((inside, "10.9.0.2"), (far, "10.9.0.1"), (far, HERE)):
        found = end.run("ping", "-n", "-c3", "-i0.2", "-W5", "-s", "3000", address)
        assert "3 received" in found, address
    code = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); "
    receive = "s.bind(('', 7000)); s.settimeout(20); print(len(s.recv(9999)))"
    receiver = host.popen(sys.executable, "-c", code + receive, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: ":7000" in host.run("ss", "-lun"), what="the receiver")
    far.run(sys.executable, "-c", code + f"s.sendto(bytes(5000), ({HERE!r}, 7000))")
    assert receiver.communicate(timeout=30)[0] == "5000\n"
    assert "tnl_defrag(out_port(" in world.switch.appctl("dpctl/dump-flows")
    drops = world.switch.dpctl("drops")
    assert "frag_" not in drops and "tunnel" not in drops


def test_bfd_cfm_and_options_with_open_vswitch(world, ovs):
    """BFD and CFM hold between the two, and Geneve options mean the same to both."""
    join(world, ovs, "geneve", "options:key=9", 4)
    both = (world.switch, ovs)
    for number, switch in enumerate(both, 1):
        switch.vsctl(
            *("set", "interface", "tun0", f"cfm_mpid={number}"),
            *("other_config:cfm_interval=100", "other_config:cfm_extended=true"),
        )
    for number, switch in enumerate(both, 1):
        state = ("get", "interface", "tun0", "cfm_remote_mpids", "cfm_fault")
        wanted = f"[{3 - number}]\nfalse\n"
        wait_until(lambda s=switch, w=state, told=wanted: s.vsctl(*w) == told, 30, "CFM")
    for switch in both:
        switch.vsctl("clear", "interface", "tun0", "cfm_mpid")
    for switch in both:
        switch.vsctl("set", "interface", "tun0", "bfd:enable=true", "bfd:min_rx=200")
    for switch in both:
        state = ("--if-exists", "get", "interface", "tun0", "bfd_status:state")
        wait_until(lambda s=switch, w=state: "up" in s.vsctl(*w), 30, "BFD")
    for switch, port in zip(both, ("inside", "far"), strict=True):
        switch.ofctl("add-tlv-map", "int", "{class=0x102,type=0x80,len=4}->tun_metadata0")
        switch.ofctl("del-flows", "int")
        write = "set_field:0xabcd->tun_metadata0,output:tun0"
        switch.ofctl("add-flow", "int", f"in_port={port},actions={write}")
        switch.ofctl("add-flow", "int", f"in_port=tun0,tun_metadata0=0xabcd,actions=output:{port}")
    check_both_ways(world, ovs, "geneve with an option")
