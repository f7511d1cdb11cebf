"""Tunnels between dummies, by commands: what datapath flows there are, and what goes out."""

import pytest

from tests.daemons import wait_until
from tests.ovs_names import Names

pytestmark = pytest.mark.system

MAC, PEER = "aa:55:aa:55:00:00", "f8:bc:12:44:34:b6"
ETH = f"eth(dst={PEER},src={MAC},dl_type=0x0800)"
IP = "ipv4(src=1.1.2.88,dst=1.1.2.92,proto={},tos=0,ttl=64,frag=0x4000)"
ARP = (
    "in_port(1),eth(src={mac},dst=ff:ff:ff:ff:ff:ff),eth_type(0x0806),"
    "arp(sip={sip},tip={tip},op={op},sha={mac},tha=00:00:00:00:00:00)"
)
REPLY = ARP.format(mac=PEER, sip="1.1.2.92", tip="1.1.2.88", op=2)


SETUP = """
    ovs-vsctl add-br br0 -- set bridge br0 datapath_type=dummy fail-mode=secure
    other-config:hwaddr={mac} -- set interface br0 other-config:hwaddr={mac}
    -- add-port br0 p1 -- set interface p1 type=dummy ofport_request=1
    options:tx_pcap={rundir}/p1.pcap
    -- add-br int -- set bridge int datapath_type=dummy fail-mode=secure
    -- add-port int p7 -- set interface p7 type=dummy ofport_request=7
"""


@pytest.fixture
def under(tmp_path):
    """br0, with an address, is the underlay of int."""
    made = Names(tmp_path)
    made.start("--enable-dummy", "--disable-system", "--disable-system-route")
    made.run(*SETUP.format(mac=MAC, rundir=made.rundir).split())
    made.run("ovs-appctl", "netdev-dummy/ip4addr", "br0", "1.1.2.88/24")
    made.run("ovs-appctl", "ovs/route/add", "1.1.2.92/24", "br0")
    made.run("ovs-ofctl", "add-flow", "br0", "actions=normal")
    yield made
    made.close()


def add_tunnel(under, number, kind, *options):
    under.run(
        *f"ovs-vsctl add-port int t{number} -- set interface t{number} type={kind}".split(),
        *f"ofport_request={number}".split(),
        *(f"options:{option}" for option in options),
    )


def receive(under, port, packet):
    under.run("ovs-appctl", "netdev-dummy/receive", port, packet)


def actions(under, bridge="int", flow="in_port=7"):
    trace = under.run("ovs-appctl", "ofproto/trace", bridge, flow)
    return trace.rpartition("Datapath actions: ")[2].strip()


def sent(under):
    data = (under.rundir / "p1.pcap").read_bytes()[24:]
    found = []
    while data:
        size = int.from_bytes(data[8:12], "little")
        found.append(data[16 : 16 + size])
        data = data[16 + size :]
    return found


FRAME = bytes.fromhex("50540000000a5054000000091234")


def test_the_first_packet_asks_and_the_second_goes(under):
    add_tunnel(under, 2, "vxlan", "remote_ip=1.1.2.92", "key=123")
    under.run("ovs-ofctl", "add-flow", "int", "in_port=7,actions=2")
    receive(under, "p7", FRAME.hex())
    [asked] = sent(under)
    assert asked.hex() == (
        "ffffffffffffaa55aa55000008060001080006040001aa55aa550000010102580000000000000101025c"
    )
    receive(under, "p1", REPLY)
    assert "1.1.2.92 " in under.run("ovs-appctl", "tnl/neigh/show")
    receive(under, "p7", FRAME.hex())
    wait_until(lambda: len(sent(under)) == 2, what="the packet")
    outer = sent(under)[1]
    assert outer.endswith(FRAME) and outer[:12] == bytes.fromhex("f8bc124434b6aa55aa550000")
    under.run("ovs-ofctl", "packet-out", "int", "controller", "2", FRAME.hex())
    wait_until(lambda: len(sent(under)) == 3, what="the controller's packet")
    under.run("ovs-appctl", "revalidator/wait")
    counted = under.run("ovs-ofctl", "dump-ports", "int", "2")
    assert f"tx pkts=3, bytes={3 * len(FRAME)}," in counted  # one was lost behind it
    flows = under.run("ovs-ofctl", "dump-flows", "br0")
    # The question, its answer, and two packets that are longer by the header.
    assert f"n_packets=4, n_bytes={2 * 42 + 2 * (50 + len(FRAME))}," in flows


HEADERS = [
    ("vxlan", ("key=123",), 50, f"type=4,{ETH},{IP.format(17)},udp(src=0,dst=4789,csum=0x0),"
     "vxlan(flags=0x8000000,vni=0x7b)"),
    ("gre", ("key=456", "seq=true"), 46, f"type=3,{ETH},{IP.format(47)},"
     "gre((flags=0x3000,proto=0x6558),key=0x1c8,seq=0x0)"),
    ("erspan", ("key=123", "erspan_ver=1", "erspan_idx=3"), 50,
     f"type=107,{ETH},{IP.format(47)},erspan(ver=1,sid=0x7b,idx=0x3)"),
    ("erspan", ("key=567", "erspan_ver=2", "erspan_dir=1", "erspan_hwid=0x7"), 54,
     f"type=107,{ETH},{IP.format(47)},erspan(ver=2,sid=0x237,dir=1,hwid=0x7)"),
    ("geneve", ("key=5", "csum=true", "dst_port=7000"), 50,
     f"type=5,{ETH},{IP.format(17)},udp(src=0,dst=7000,csum=0xffff),geneve(vni=0x5)"),
]  # fmt: skip


def test_headers_and_clones(under):
    receive(under, "p1", REPLY)
    for kind, options, size, header in HEADERS:
        add_tunnel(under, 2, kind, "remote_ip=1.1.2.92", *options)
        [port] = [
            line.partition("(")[2].partition(")")[0]
            for line in under.run("ovs-appctl", "tnl/ports/show").splitlines()[1:]
        ]
        push = f"tnl_push(tnl_port({port}),header(size={size},{header}),out_port(100)),1"
        under.run("ovs-ofctl", "add-flow", "int", "in_port=7,actions=2")
        assert actions(under) == push
        under.run("ovs-ofctl", "add-flow", "int", "in_port=7,actions=2,in_port")
        assert actions(under) == f"clone({push}),7"
        under.run("ovs-vsctl", "del-port", "int", "t2")
    assert under.run("ovs-appctl", "tnl/ports/show") == "Listening ports:\n"


def test_where_encryption_is_asked_for_no_clear_text_is_sent(under):
    """Neither by a port that begins with it nor by one that was in clear text before."""
    under.run("ovs-ofctl", "add-flow", "int", "in_port=7,actions=2")
    receive(under, "p1", REPLY)
    add_tunnel(under, 2, "vxlan", "remote_ip=1.1.2.92")
    assert "tnl_push" in actions(under)
    for set_it in ("set", "remove"):
        what = "options:psk=secret" if set_it == "set" else "options psk"
        under.run("ovs-vsctl", set_it, "interface", "t2", *what.split())
        encrypted = set_it == "set"
        error = under.run("ovs-vsctl", "get", "interface", "t2", "error")
        assert ("IPsec is not supported ('psk')" in error) == encrypted
        assert ("tnl_push" in actions(under)) != encrypted
    receive(under, "p7", FRAME.hex())
    wait_until(lambda: len(sent(under)) == 1, what="the packet")


# A GPE header: VXLAN's flags are 0x0c, what follows is a frame.
ENCAPSULATED = (
    "aa55aa550000f8bc1244cafe08004500004e00010000401173e90101025c01010258c85312b5003a8cd4"
    "0c00000300007b00ffffffffffff00000000000008004500001c0001000040117cce7f0000017f000001"
    "0035003500080172"
)


def test_what_comes_for_a_tunnel(under):
    for number, kind in enumerate(("vxlan", "gre", "geneve"), 2):
        add_tunnel(under, number, kind, "remote_ip=1.1.2.92", "key=123")
    inner = f"dl_src={PEER},dl_dst={MAC},nw_dst=1.1.2.88"
    ports = dict(
        line.partition(" (")[::2]
        for line in under.run("ovs-appctl", "tnl/ports/show").splitlines()[1:]
    )
    number = {name: text.partition(")")[0] for name, text in ports.items()}
    found = actions(under, "br0", f"in_port=1,udp,{inner},udp_dst=4789")
    assert found == f"tnl_pop({number['vxlan_sys_4789']})"
    found = actions(under, "br0", f"in_port=1,ip,{inner},nw_proto=47")
    assert found == f"tnl_pop({number['gre_sys']})"
    assert actions(under, "br0", f"in_port=1,udp,{inner},udp_dst=4788") == "100"
    pops = {name: f"tnl_pop({each})" for name, each in number.items()}
    udp = f"udp(4789,{pops['vxlan_sys_4789']}),udp(6081,{pops['genev_sys_6081']})"
    collected = f"tnl_defrag(out_port(100),{udp},ip(47,{pops['gre_sys']}))"
    for proto, frag, wanted in (
        (47, "first", collected), (17, "later", collected), (17, "first", collected),
        (6, "first", "100"),
    ):  # fmt: skip
        fragment = f"in_port=1,ip,{inner},nw_proto={proto},nw_frag={frag}"
        assert actions(under, "br0", fragment) == wanted, fragment
    receive(under, "p1", ENCAPSULATED)
    under.run("ovs-appctl", "revalidator/wait")
    assert "rx pkts=1, bytes=42," in under.run("ovs-ofctl", "dump-ports", "int", "2")
    assert "f8:bc:12:44:ca:fe" in under.run("ovs-appctl", "tnl/neigh/show")
    receive(under, "p1", ENCAPSULATED.replace("73e9", "73e8"))  # IPv4's checksum
    read = ("ovs-appctl", "coverage/read-counter", "datapath_drop_tunnel_pop_error")
    wait_until(lambda: under.run(*read) == "1\n", what="the drop")


def test_answers_that_are_not_for_us_teach_nothing(under):
    add_tunnel(under, 2, "vxlan", "remote_ip=1.1.2.92")
    receive(under, "p1", REPLY)
    other = "f8:bc:12:44:34:c8"
    receive(under, "p1", ARP.format(mac=other, sip="1.1.2.92", tip="1.1.2.90", op=2))
    assert PEER in under.run("ovs-appctl", "tnl/neigh/show")
    receive(under, "p7", ARP.format(mac=other, sip="1.1.2.92", tip="1.1.2.88", op=2))
    assert PEER in under.run("ovs-appctl", "tnl/neigh/show")
    receive(under, "p1", ARP.format(mac=other, sip="1.1.2.92", tip="1.1.2.92", op=1))
    assert other in under.run("ovs-appctl", "tnl/neigh/show")
    assert under.run("ovs-appctl", "tnl/neigh/flush") == "OK\n"
    assert PEER not in under.run("ovs-appctl", "tnl/neigh/show")


def test_an_answer_that_does_not_come_up_is_heard_all_the_same(under):
    """Its flow is in the datapath: what it counts says so."""
    add_tunnel(under, 2, "vxlan", "remote_ip=1.1.2.92")

    def is_known():
        return PEER in under.run("ovs-appctl", "tnl/neigh/show")

    receive(under, "p1", REPLY)
    assert is_known()
    receive(under, "p1", REPLY)
    under.run("ovs-appctl", "revalidator/wait")
    assert under.run("ovs-appctl", "tnl/neigh/flush") == "OK\n"
    assert not is_known()
    receive(under, "p1", REPLY)
    under.run("ovs-appctl", "revalidator/wait")
    wait_until(is_known, what="the neighbour")


def test_access_ports_of_both_bridges(under):
    """The underlay's VLAN is one of its own."""
    add_tunnel(under, 2, "vxlan", "remote_ip=1.1.2.92")
    for port, tag in (("p1", 42), ("br0", 42), ("p7", 200)):
        under.run("ovs-vsctl", "set", "port", port, f"tag={tag}")
    receive(under, "p1", REPLY)
    under.run("ovs-ofctl", "add-flow", "int", "actions=normal")
    port = under.run("ovs-appctl", "tnl/ports/show").partition("(")[2].partition(")")[0]
    assert actions(under) == (
        f"push_vlan(vid=200,pcp=0),3,tnl_push(tnl_port({port}),header(size=50,type=4,{ETH},"
        f"{IP.format(17)},udp(src=0,dst=4789,csum=0x0),vxlan(flags=0x8000000,vni=0x0)),"
        "out_port(100)),1"
    ).replace(",3,", f",{int_port(under)},")


def int_port(under):
    shown = under.run("ovs-appctl", "dpif/show")
    return shown.partition("int 65534/")[2].partition(":")[0]


UDP = (
    "in_port(7),eth(src=50:54:00:00:00:01,dst=50:54:00:00:00:02),eth_type(0x0800),"
    "ipv4(src={},dst=10.0.1.2,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)"
)


def test_what_was_set_for_a_tunnel_outlives_being_sent_round(under):
    """And no packet goes by what another one's actions said."""
    add_tunnel(under, 2, "vxlan", "remote_ip=flow", "key=flow")
    receive(under, "p1", REPLY)
    under.run("ovs-appctl", "ovs/route/add", "1.1.2.92/32", "br0", "pkt_mark=5")
    for last, key, mark in ((1, 5, 0), (2, 6, 0), (3, 6, 5), (4, 6, 6)):
        set_it = f"set_field:{key}->tun_id,set_field:1.1.2.92->tun_dst,set_field:{mark}->pkt_mark"
        match = f"in_port=7,ip,nw_src=10.0.0.{last}"
        under.run("ovs-ofctl", "add-flow", "int", f"{match},actions={set_it},ct(table=1)")
    under.run("ovs-ofctl", "add-flow", "int", "table=1,actions=2")
    for last in (1, 2, 3, 4):  # no route has the mark of the last one's
        receive(under, "p7", UDP.format(f"10.0.0.{last}"))
    wait_until(lambda: len(sent(under)) == 3, what="the packets")
    assert [frame[46:49].hex() for frame in sent(under)] == ["000005", "000006", "000006"]
    wait_until(
        lambda: "used:never, actions:drop" in under.run("ovs-appctl", "dpctl/dump-flows"),
        what="the lost one",
    )
    assert len(sent(under)) == 3


def test_what_a_controller_gets_has_what_was_set(under):
    add_tunnel(under, 2, "vxlan", "remote_ip=flow", "key=flow")
    words = ("int", "in_port=7,actions=set_field:5->tun_id,controller")
    under.run("ovs-ofctl", "add-flow", *words)
    told = under.rundir / "told"
    with told.open("w") as file:
        monitor = under.host.popen(
            str(under.bin / "ovs-ofctl"), "monitor", "int", "65534",
            env=under.environment, stderr=file,
        )  # fmt: skip
    try:
        wait_until(lambda: receive(under, "p7", FRAME.hex()) or told.read_text(), what="the packet")
        assert "tun_id=0x5,in_port=7 (via action)" in told.read_text()
    finally:
        monitor.kill()
        monitor.wait()


CONGESTED = (
    "tunnel(src=1.1.2.92,dst=1.1.2.88,tos=0x3,ttl=64),in_port({}),"
    "eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x0800),"
    "ipv4(src=192.168.0.1,dst=192.168.0.2,proto=6,tos={},ttl=64,frag=no),tcp(src=8,dst=9)"
)


@pytest.mark.parametrize(("tos", "done"), [(3, "7"), (1, "set(ipv4(tos=0x3/0x3)),7"), (0, "drop")])
def test_congestion_of_the_outer_header_is_the_packets(under, tos, done):
    """RFC 6040: one that cannot have the mark is lost.  As Open vSwitch 3.1 answers."""
    add_tunnel(under, 2, "gre", "remote_ip=1.1.2.92")
    under.run("ovs-ofctl", "add-flow", "int", "in_port=2,actions=7")
    port = under.run("ovs-appctl", "tnl/ports/show").partition("(")[2].partition(")")[0]
    trace = under.run("ovs-appctl", "ofproto/trace", "ovs-dummy", CONGESTED.format(port, tos))
    megaflow, found = trace.splitlines()[-2:]
    assert found == f"Datapath actions: {done}"
    assert "tun_dst=1.1.2.88,tun_tos=3," in megaflow and f",nw_ecn={tos}," in megaflow


def test_what_a_packet_brings_for_its_next_tunnel_is_looked_at(under):
    """And nothing that the next one's header has no place for."""
    add_tunnel(under, 2, "geneve", "remote_ip=1.1.2.92")
    add_tunnel(under, 3, "vxlan", "remote_ip=1.1.2.92", "exts=gbp")
    add_tunnel(under, 4, "geneve", "remote_ip=1.1.2.92", "key=5")
    receive(under, "p1", REPLY)
    megaflows = []
    for came, goes in ((2, 3), (3, 4)):
        under.run("ovs-ofctl", "add-flow", "int", f"in_port={came},actions={goes}")
        flow = f"in_port={came},tun_src=1.1.2.92,tun_dst=1.1.2.88,tun_flags=+oam"
        trace = under.run("ovs-appctl", "ofproto/trace", "int", flow)
        megaflows += [line for line in trace.splitlines() if line.startswith("Megaflow: ")]
    to_vxlan, to_geneve = megaflows
    assert "tun_gbp_id=0" in to_vxlan and "oam" not in to_vxlan
    assert "+oam" in to_geneve and "gbp" not in to_geneve


PATCHED = """
    ovs-vsctl add-br br2 -- set bridge br2 datapath_type=dummy fail-mode=secure
    -- add-port br2 q1 -- set interface q1 type=patch options:peer=q2
    -- add-port int q2 -- set interface q2 type=patch options:peer=q1 ofport_request=9
"""


def test_behind_a_patch_port_the_tunnel_stays_hidden(under):
    """Also from a packet that the datapath sends round there, with the key that it came with."""
    add_tunnel(under, 2, "vxlan", "remote_ip=1.1.2.92", "key=123")
    under.run(*PATCHED.split())
    under.run("ovs-ofctl", "add-flow", "int", "in_port=2,actions=9")
    under.run("ovs-ofctl", "add-flow", "br2", "ip,actions=ct(table=1)")
    for match in ("tun_id=0", "tun_id=123"):
        under.run("ovs-ofctl", "add-flow", "br2", f"table=1,{match},actions=local")
    receive(under, "p1", ENCAPSULATED)
    read = ("ovs-ofctl", "dump-flows", "br2", "table=1")
    wait_until(lambda: "n_packets=1," in under.run(*read), what="the packet")
    [counted] = [line for line in under.run(*read).splitlines() if "n_packets=1," in line]
    assert "tun_id=0 " in counted
