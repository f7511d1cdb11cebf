"""Start-up conversations of controllers that cannot run here, as their own sources have them, by
scripted peers; and what the database says of controllers."""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ofproto.codec import messages as m
from ofproto.codec.hello import HEADER, encode_hello
from ofproto.codec.messages.bundle import (
    BUNDLE_ATOMIC,
    BUNDLE_ORDERED,
    COMMIT_REQUEST,
    OPEN_REQUEST,
)
from ofproto.text import flow_text
from tests.daemons import VSWITCHD, wait_until
from tests.of_client import Client

VSWITCHD_OPTIONS = ["--enable-dummy"]

pytestmark = pytest.mark.system

OF10, OF13, OF14, OF15 = 1, 4, 5, 6
UNSET = (1 << 64) - 1


class Controller:
    """Listens on a unix socket and takes one connection after another."""

    def __init__(self, switch, name="controller"):
        self.path = str(switch.directory / name)
        self.target = f"unix:{self.path}"
        self.sock = None
        self.listen()

    def listen(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(self.path)
        self.sock.listen()
        self.sock.settimeout(30)

    def accept(self, version=OF13):
        return Client(self.sock.accept()[0], version)

    def gone(self):
        """Nobody listens any more."""
        self.sock.close()
        Path(self.path).unlink()


@pytest.fixture
def bridge(switch):
    switch.allow("connection attempt failed|connection closed|connection dropped|failing open")
    switch.vsctl("add-br", "br0", "--", "set-fail-mode", "br0", "secure")
    for number in (1, 2):
        switch.vsctl("add-port", "br0", f"d{number}", "--", "set", "Interface", f"d{number}",
                     "type=dummy")  # fmt: skip
    return switch


@pytest.fixture
def controller(bridge):
    made = Controller(bridge)
    bridge.vsctl("set-controller", "br0", made.target)
    yield made
    made.sock.close()


@pytest.mark.parametrize("version", [OF13, OF15])
def test_onos(bridge, controller, version):
    """Silent until our HELLO; the version is the header's; ROLE_REQUEST with generation id 0 each
    time, and again on the next connection."""
    if version != OF15:
        bridge.vsctl("set", "bridge", "br0", f"protocols=OpenFlow{9 + version}")
    for _ in range(2):
        client = controller.accept(version)
        while (first := client.read("our HELLO"))[0] != version:
            client = controller.accept(version)  # that one began before the bridge was told
        assert first[1] == 0
        client.write(HEADER.pack(version, 0, 8, 0))
        assert client.ask(m.FeaturesRequest()).n_buffers == 0
        assert len(client.ask(m.PortDescRequest()).ports) == 3
        client.barrier()
        assert client.ask(m.GetConfigRequest()).flags == 0
        client.ask(m.MeterFeaturesRequest())
        desc = client.ask(m.DescRequest())
        assert desc.mfr == "Nicira, Inc." and desc.hw == "Open vSwitch"
        assert desc.sw.startswith("2.")
        for _ in range(3):
            reply = client.ask(m.RoleRequest("master", 0))
            assert (reply.role, reply.generation_id) == ("master", 0)
        client.do(m.FlowMod(m.ADD, priority=40000, table_id=0))
        client.close()
    wait_until(lambda: bridge.get("controller", ".", "is_connected") == "false", what="its end")


def test_opendaylight(bridge, controller):
    """HELLO stepwise; DESC first; features in parallel, each xid answered; roles with the wrap."""
    client = controller.accept()
    client.read("our HELLO")
    client.write(encode_hello({OF10, OF13, 6}))
    client.write(HEADER.pack(OF13, 0, 8, 1))  # the next step down
    client.ask(m.FeaturesRequest())
    client.ask(m.DescRequest())
    requests = (
        m.MeterFeaturesRequest,
        m.GroupFeaturesRequest,
        m.TableFeaturesRequest,
        m.PortDescRequest,
    )
    xids = [client.send(kind()) for kind in requests]
    replies = {}
    for xid in xids:
        replies[xid] = client.reply(xid)
    assert not any(isinstance(each, m.Error) for each in replies.values())
    assert len(replies[xids[2]].tables) == 254
    reply = client.ask(m.RoleRequest("nochange", 0))
    assert reply.generation_id in (None, UNSET)
    generation = 0  # all ones, and one more
    for role in ("slave", "master", "slave"):
        assert client.ask(m.RoleRequest(role, generation)).role == role
        known = client.ask(m.RoleRequest("nochange", 0)).generation_id
        assert known == generation
        generation = known + 1
    wait_until(lambda: bridge.get("controller", ".", "role") == "slave", what="the role column")
    client.ask(m.RoleRequest("master", generation))
    wait_until(lambda: bridge.get("controller", ".", "role") == "master", what="the role column")


def test_pox(bridge, controller):
    """1.0: FEATURES and DESC in one write; up on the BARRIER_REPLY with its xid."""
    client = controller.accept(OF10)
    client.read("our HELLO")
    client.write(HEADER.pack(OF10, 0, 8, 1))
    client.write(m.FeaturesRequest().encode(OF10, 2) + m.DescRequest().encode(OF10, 3))
    features, desc = m.decode(client.read()), m.decode(client.read())
    assert isinstance(features, m.FeaturesReply) and features.xid == 2 and len(features.ports) == 3
    assert isinstance(desc, m.DescReply) and desc.xid == 3
    client.write(
        m.SetConfig(0, 128).encode(OF10, 4)
        + m.FlowMod(m.DELETE).encode(OF10, 5)
        + m.BarrierRequest().encode(OF10, 6)
    )
    assert client.read() == m.BarrierReply().encode(OF10, 6)


def test_faucet(bridge, controller):
    """SET_CONFIG, SET_ASYNC, deletions of all flows, groups and meters, and its pipeline."""
    client = controller.accept()
    client.hello(OF13)
    client.ask(m.FeaturesRequest())
    client.ask(m.PortDescRequest())
    client.ask(m.DescRequest())
    masks = {"packet_in": (0b11, 0), "port_status": (0b111, 0), "flow_removed": (0b1111, 0)}
    client.do(
        m.SetConfig(0, 0),
        m.SetAsync(masks),
        m.FlowMod(m.DELETE),
        m.GroupMod(m.GROUP_DELETE, group_id=m.OFPG_ALL),
        m.MeterMod(m.METER_DELETE, meter_id=m.OFPM_ALL),
    )
    pipeline = (
        "table=0,priority=9000,in_port=1,vlan_tci=0 actions=push_vlan:0x8100,"
        "set_field:4196->vlan_vid,goto_table:1",
        "table=1,priority=8191,dl_vlan=100 actions=CONTROLLER:96,goto_table:2",
        "table=2,priority=8192,dl_vlan=100,dl_dst=0e:00:00:00:00:01,idle_timeout=0 "
        "actions=pop_vlan,output:2",
        "table=2,priority=0 actions=drop",
        "table=3,ip actions=dec_ttl",
    )
    mods = [flow_text.parse_flow(text) for text in pipeline]
    client.do(*mods)
    reply = client.ask(m.FlowStatsRequest())
    assert len(reply.flows) == len(pipeline)
    kept = client.ask(m.GetAsyncRequest()).masks
    assert kept["port_status"] == (7, 0) and kept["packet_in"][0] & 7 == 3
    # Gauge polls these.
    assert len(client.ask(m.PortStatsRequest()).ports) == 3
    assert client.ask(m.MeterStatsRequest()).meters == []


def test_neutron(bridge, controller):
    """What its agent says at start: flows in a bundle, by cookie, a canary table for restarts."""
    client = controller.accept(OF14)
    client.hello(OF10, OF13, OF14)
    client.ask(m.FeaturesRequest())
    client.ask(m.MeterFeaturesRequest())
    canary = flow_text.parse_flow("table=23,priority=0,cookie=0xabc actions=drop")
    move = flow_text.parse_flow(
        "table=60,cookie=0xabc,arp actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],"
        "load:2->NXM_OF_ARP_OP[],IN_PORT"
    )
    first = flow_text.parse_flow("table=0,cookie=0xabc actions=resubmit(,60)")
    both = BUNDLE_ATOMIC | BUNDLE_ORDERED
    assert client.ask(m.BundleControl(7, OPEN_REQUEST, both)).bundle_id == 7
    for mod in (canary, move, first):
        client.write(m.BundleAdd(7, both, mod.encode(OF14, 99)).encode(OF14, 99))
    assert client.ask(m.BundleControl(7, COMMIT_REQUEST, both)).type == COMMIT_REQUEST + 1
    reply = client.ask(m.FlowStatsRequest(cookie=0xABC, cookie_mask=UNSET))
    assert len(reply.flows) == 3
    client.do(m.FlowMod(m.DELETE, cookie=0xABC, cookie_mask=UNSET))
    assert client.ask(m.FlowStatsRequest()).flows == []


# --- fail-mode and the database


def column(switch, name):
    return switch.get("controller", ".", name)


def test_standalone_when_the_controller_goes_and_comes(bridge):
    """Its flows go, the switch forwards by itself; when it comes back they are its own again."""
    switch = bridge
    made = Controller(switch)
    switch.vsctl(
        *("set-fail-mode", "br0", "standalone", "--", "set-controller", "br0", made.target),
        *("--", "set", "controller", "br0", "inactivity_probe=1000", "max_backoff=1000"),
    )
    client = made.accept()
    client.hello()
    client.do(flow_text.parse_flow("table=0,priority=5,in_port=1 actions=output:2"))
    assert "NORMAL" not in switch.ofctl("dump-flows", "br0")
    wait_until(lambda: column(switch, "is_connected") == "true", what="is_connected")
    client.close()
    made.gone()
    wait_until(
        lambda: "actions=NORMAL" in switch.appctl("bridge/dump-flows", "br0"),
        seconds=20,
        what="fail-open",
    )
    assert "in_port" not in switch.ofctl("dump-flows", "br0")
    assert column(switch, "is_connected") == "false"
    status = json.loads(switch.vsctl("-f", "json", "--columns=status", "list", "controller"))
    status = dict(status["data"][0][0][1])
    assert (
        status["state"] == "BACKOFF" and status["last_error"] and "sec_since_disconnect" in status
    )
    made.listen()
    client = made.accept()
    client.hello()
    wait_until(lambda: "NORMAL" not in switch.appctl("bridge/dump-flows", "br0"), what="its rule")
    wait_until(lambda: column(switch, "is_connected") == "true", what="is_connected")
    client.close()


def test_secure_keeps_the_controllers_flows(bridge, controller):
    client = controller.accept()
    client.hello()
    client.do(flow_text.parse_flow("table=0,priority=5,in_port=1 actions=output:2"))
    client.close()
    controller.gone()
    wait_until(lambda: column(bridge, "is_connected") == "false", what="the end")
    flows = bridge.ofctl("--no-stats", "dump-flows", "br0")
    assert "in_port" in flows and "NORMAL" not in flows
    bridge.restart(VSWITCHD)
    assert bridge.ofctl("--no-stats", "dump-flows", "br0") == flows


@pytest.mark.parametrize("vsctl", ["pyvs-vsctl", "ovs-vsctl"])
@pytest.mark.parametrize("kind", ["tcp", "ptcp", "punix"])
def test_targets(bridge, vsctl, kind):
    """Set by either tool; columns follow."""
    switch = bridge
    if vsctl == "ovs-vsctl":
        if shutil.which(vsctl) is None:
            pytest.skip("no ovs-vsctl")

        def set_(*words):
            switch.host.run(vsctl, f"--db=unix:{switch.directory}/db.sock", "-t10", *words)
    else:
        set_ = switch.vsctl
    targets = {
        "tcp": "tcp:127.0.0.1",
        "ptcp": "ptcp:6699:127.0.0.1",
        "punix": f"punix:{switch.directory}/br0.passive",
    }
    script = {"tcp": LISTENER, "ptcp": CONNECTER}.get(kind)
    with contextlib.ExitStack() as stack:
        if kind == "tcp":
            stack.enter_context(running(switch, script))
        set_("set-controller", "br0", targets[kind])
        if kind == "ptcp":
            stack.enter_context(running(switch, script))
        if kind == "punix":
            path = switch.directory / "br0.passive"
            wait_until(path.exists, what="the socket")
            assert path.stat().st_mode & 0o777 == 0o600
            client = Client.unix(path)
            stack.callback(client.close)
            client.hello()
            client.barrier()
        wait_until(lambda: column(switch, "is_connected") == "true", what="is_connected")
        assert column(switch, "role") == "other"
        assert column(switch, "status:state") == "ACTIVE"
    wait_until(lambda: column(switch, "is_connected") == "false", what="its end")
    set_("del-controller", "br0")
    assert switch.vsctl("list", "controller") == ""


HELLO_AND_WAIT = """
sock.sendall(bytes.fromhex("0400000800000001"))
sys.stdin.read()
"""
LISTENER = (
    "import socket, sys\n"
    'server = socket.create_server(("127.0.0.1", 6653)); print("ready", flush=True)\n'
    "sock = server.accept()[0]" + HELLO_AND_WAIT
)
CONNECTER = (
    """
import socket, sys, time
print("ready", flush=True)
for _ in range(200):
    try:
        sock = socket.create_connection(("127.0.0.1", 6699))
        break
    except OSError:
        time.sleep(0.05)
"""
    + HELLO_AND_WAIT
)


@contextlib.contextmanager
def running(switch, script):
    """A peer in the switch's namespace; it ends when its standard input does."""
    child = switch.host.popen(
        sys.executable, "-c", script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "ready\n"
        yield
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()
