"""Fields of tunnels that flows set, as bytes on the wire: beside Open vSwitch 3.1."""

import re

import pytest

from tests.daemons import wait_until
from tests.ofproto.ovs_peer import peer_marks
from tests.ovs_names import frames_of, side_by_side

_peer, _installed = peer_marks
pytestmark = [pytest.mark.system, _peer, _installed]

SIDE = """add-br br0 -- set bridge br0 datapath_type=dummy fail_mode=secure
    other_config:hwaddr=aa:55:aa:55:00:00 -- add-port br0 p0
    -- set interface p0 type=dummy options:tx_pcap={}/p0.pcap
    -- add-br int -- set bridge int datapath_type=dummy fail_mode=secure
    -- add-port int v1 -- set interface v1 type=dummy ofport_request=1"""
ERSPAN = " ".join(f"options:erspan_{each}=flow" for each in ("ver", "idx", "dir", "hwid"))
PORTS = {
    2: f"erspan {ERSPAN}",
    3: "gtpu",
    4: f"ip6erspan {ERSPAN}",
    5: "gre options:csum=true",
    6: "geneve options:csum=true",
}
UNDERLAY = (
    "netdev-dummy/ip4addr br0 1.1.2.88/24",
    "netdev-dummy/ip6addr br0 2001:cafe::88/64",
    "ovs/route/add 1.1.2.0/24 br0",
    "ovs/route/add 2001:cafe::/64 br0",
    "tnl/neigh/set br0 1.1.2.92 f8:bc:12:44:34:b6",
    "tnl/neigh/set br0 2001:cafe::92 f8:bc:12:44:34:b6",
)
PACKET = (
    "in_port(1),eth(src=50:54:00:00:00:01,dst=50:54:00:00:00:02),eth_type(0x0800),"
    "ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0x41,ttl=64,frag=no),udp(src=1,dst=2)"
)
TRACED = (
    "in_port=1,dl_src=50:54:00:00:00:01,dl_dst=50:54:00:00:00:02,udp,nw_src=10.0.0.1,"
    "nw_dst=10.0.0.2,nw_ttl=64,nw_tos=64,nw_ecn=1,udp_src=1,udp_dst=2"
)
V4, V6 = "1.1.2.92->tun_dst", "2001:cafe::92->tun_ipv6_dst"
CASES = (  # what is set, and where the packet goes
    ((V4, "0x123->tun_id", "1->tun_erspan_ver", "0x3ff->tun_erspan_idx"), 2),
    ((V4, "0x3ff->tun_id", "1->tun_erspan_ver", "0xfffff->tun_erspan_idx"), 2),
    ((V4, "0x400->tun_id", "1->tun_erspan_ver"), 2),  # no session
    ((V4, "1->tun_id", "2->tun_erspan_ver", "1->tun_erspan_dir", "0x3f->tun_erspan_hwid"), 2),
    ((V4, "1->tun_id", "2->tun_erspan_ver", "2->tun_erspan_hwid"), 2),
    ((V4, "1->tun_id", "3->tun_erspan_ver"), 2),
    ((V4, "1->tun_id"), 2),
    ((V6, "1->tun_id", "1->tun_erspan_ver", "7->tun_erspan_idx"), 4),
    ((V6, "1->tun_id", "2->tun_erspan_ver", "1->tun_erspan_dir"), 4),
    ((V4, "0xffffffff->tun_id"), 3),
    ((V4, "0x1->tun_id", "0x30->tun_gtpu_flags"), 3),  # read-only
    ((V4, "0x1->tun_id", "1->tun_gtpu_msgtype"), 3),
    ((V4, "0x123->tun_id"), 5),
    ((V6, "0x123->tun_id"), 6),
    ((V4, "0x123->tun_id", "oam->tun_flags"), 6),
    ((V4, "0x123->tun_id", "1.1.2.77->tun_src"), 6),
)


def told(frame):
    """Without what each switch chooses: UDP's source port and so its checksum (Open vSwitch gives
    GTP-U one unasked), GRE's sequence numbers, ERSPAN's time."""
    data = bytearray.fromhex(frame)
    v6 = data[12:14] == b"\x86\xdd"
    l4, proto = (54, data[20]) if v6 else (34, data[23])
    if proto == 17:
        data[l4 : l4 + 2] = data[l4 + 6 : l4 + 8] = bytes(2)
    elif data[l4] & 0x10:
        data[l4 + 4 : l4 + 8] = bytes(4)
        if data[l4 + 2 : l4 + 4] == b"\x22\xeb":
            data[l4 + 12 : l4 + 16] = bytes(4)
    return data.hex()


class Side:
    def __init__(self, switch, directory):
        self._run, self._path = switch.run, directory / type(switch).__name__ / "p0.pcap"
        self._seen = 0
        self._run("ovs-vsctl", *SIDE.format(self._path.parent).split())
        for number, words in PORTS.items():
            flow = "options:remote_ip=flow options:key=flow"
            add = f"add-port int t{number} -- set interface t{number} ofport_request={number}"
            self._run("ovs-vsctl", *f"{add} {flow} type={words}".split())
        for words in UNDERLAY:
            self._run("ovs-appctl", *words.split())
        self._run("ovs-ofctl", "add-flow", "br0", "actions=normal")

    def outcome(self, settings, port):
        """What is said of a flow, the datapath's actions, and the frames that leave."""
        self._run("ovs-ofctl", "del-flows", "int")
        actions = ",".join([*(f"set_field:{each}" for each in settings), f"output:{port}"])
        try:
            self._run("ovs-ofctl", "add-flow", "int", f"in_port=1,actions={actions}")
        except Exception as error:
            return str(error).partition("ofctl: ")[2].strip(), "", []
        trace = self._run("ovs-appctl", "ofproto/trace", "int", TRACED)
        pushed = re.search(r"Datapath actions: (.*)", trace)[1]
        self._run("ovs-appctl", "netdev-dummy/receive", "v1", PACKET)
        if pushed != "drop":
            wait_until(lambda: len(frames_of(self._path)) > self._seen, what="a frame")
        frames = frames_of(self._path)[self._seen :]
        self._seen += len(frames)
        return "", pushed, [told(frame) for frame in frames if frame[24:28] != "0806"]


def test_fields_on_the_wire(tmp_path):
    n_frames = 0
    with side_by_side(tmp_path, "--enable-dummy", "--disable-system") as both:
        ours, theirs = (Side(switch, tmp_path) for switch in both)
        for settings, port in CASES:
            wanted = theirs.outcome(settings, port)
            assert ours.outcome(settings, port) == wanted, (settings, port)
            n_frames += len(wanted[2])
    assert n_frames == 11  # of the cases but those that are refused or have no header
