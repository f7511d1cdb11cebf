"""Dumps of flows for those who read them: Open vSwitch's parser (PyPI: ovs), and `--tree`."""

import pytest

pytest.importorskip("pyparsing", reason="ovs.flow needs pyparsing")
pytest.importorskip("netaddr", reason="ovs.flow needs netaddr")

from ovs.flow.odp import ODPFlow
from ovs.flow.ofp import OFPFlow

from tests.ovs_names import Names

pytestmark = pytest.mark.system

BRIDGE = (
    "add-br br0 -- set bridge br0 datapath_type=dummy fail-mode=secure"
    " -- add-port br0 p1 -- set interface p1 type=dummy ofport_request=1"
    " -- add-port br0 p2 -- set interface p2 type=dummy ofport_request=2"
    " -- add-port br0 v1 -- set interface v1 type=vxlan options:remote_ip=192.0.2.4 options:key=7"
)
FLOWS = """\
priority=100,in_port=1,tcp actions=ct(table=10,zone=5)
priority=90,udp,nw_src=10.0.0.0/8 actions=clone(resubmit(,20),output:2),resubmit(,10)
priority=80,in_port=2,dl_vlan=5 actions=strip_vlan,load:0x5->NXM_NX_REG1[],resubmit(,20)
priority=1 actions=drop
table=10,ct_state=+new+trk,tcp actions=ct(commit,zone=5,nat(src=1.1.1.1-1.1.1.9:100-200),\
exec(load:1->NXM_NX_CT_MARK[])),output:2
table=10,ct_state=+est+trk,tcp6,ipv6_dst=fe80::/64 actions=learn(table=30,hard_timeout=10,\
NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),resubmit(,30)
table=20,arp,arp_tpa=1.2.3.4,arp_op=1 actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],IN_PORT
table=20,priority=5,ip,nw_ttl=3 actions=controller(max_len=100,reason=invalid_ttl,id=4),\
check_pkt_larger(100)->NXM_NX_REG0[0],set_queue:5,dec_ttl,set_field:0x9->tun_id,NORMAL,output:3
table=40,tun_id=5,tun_src=1.2.3.4,metadata=0x5/0xff,reg5=7,icmp6,icmp_type=135 actions=output:1
table=50,mpls,mpls_label=5 actions=resubmit(,50),resubmit(,60)
"""
STATIONS = "eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07)"
VLAN_5 = f"in_port(2),{STATIONS},eth_type(0x8100),vlan(vid=5,pcp=0),"
PACKETS = {
    "p2": VLAN_5 + "encap(eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.1.0.2,proto=17,tos=0,ttl=3,"
    "frag=no),udp(src=5,dst=6))",
    "p1": f"in_port(1),{STATIONS},eth_type(0x0800),"
    "ipv4(src=10.0.0.1,dst=10.1.0.2,proto=6,tos=0,ttl=64,frag=no),tcp(src=5,dst=6),tcp_flags(syn)",
}
TREE = """\
table 0
├── priority=100,tcp,in_port=1 actions=ct(table=10,zone=5)
│   └── table 10
│       ├── table=10, ct_state=+new+trk,tcp actions=ct(commit,zone=5,\
nat(src=1.1.1.1-1.1.1.9:100-200),exec(load:0x1->NXM_NX_CT_MARK[])),output:2
│       └── table=10, ct_state=+est+trk,tcp6,ipv6_dst=fe80::/64 actions=learn(table=30,\
hard_timeout=10,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),\
resubmit(,30)
│           └── table 30: no flows
├── priority=90,udp,nw_src=10.0.0.0/8 actions=clone(resubmit(,20),output:2),resubmit(,10)
│   ├── table 20
│   │   ├── table=20, arp,arp_tpa=1.2.3.4,arp_op=1 actions=\
move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],IN_PORT
│   │   └── table=20, priority=5,ip,nw_ttl=3 actions=\
controller(reason=invalid_ttl,max_len=100,id=4),check_pkt_larger(100)->NXM_NX_REG0[0],set_queue:5,\
dec_ttl,load:0x9->NXM_NX_TUN_ID[],NORMAL,output:3
│   └── table 10: see above
├── priority=80,in_port=2,dl_vlan=5 actions=strip_vlan,load:0x5->NXM_NX_REG1[],resubmit(,20)
│   └── table 20: see above
└── priority=1 actions=drop
table 40
└── table=40, icmp6,reg5=0x7,tun_id=0x5,tun_src=1.2.3.4,metadata=0x5/0xff,icmp_type=135\
 actions=output:1
table 50
└── table=50, mpls,mpls_label=5 actions=resubmit(,50),resubmit(,60)
    ├── table 50: see above
    └── table 60: no flows
"""


@pytest.fixture(scope="module")
def switch(tmp_path_factory):
    made = Names(tmp_path_factory.mktemp("dumps"))
    try:
        made.start("--enable-dummy", "--disable-system")
        made.run("ovs-vsctl", *BRIDGE.split())
        (made.rundir / "flows").write_text(FLOWS)
        made.run("ovs-ofctl", "add-flows", "br0", str(made.rundir / "flows"))
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("options", [(), ("--names",), ("-OOpenFlow13",), ("-OOpenFlow15",)])
def test_ovs_reads_openflow_flows(switch, options):
    lines = switch.run("ovs-ofctl", *options, "dump-flows", "br0").splitlines()
    # This flag Open vSwitch prints, too, and its parser does not know it.
    lines = [line.strip().replace("reset_counts ", "") for line in lines]
    flows = [OFPFlow(line) for line in lines if "actions" in line]
    assert len(flows) == FLOWS.count("\n")
    assert all("n_packets" in flow.info for flow in flows)
    tables = [flow.info["table"] for flow in flows]
    assert [tables.count(n) for n in (0, 10, 20, 40, 50)] == [4, 2, 2, 1, 1]
    matched = next(flow for flow in flows if flow.info["table"] == 40).match
    assert (matched["reg5"].value, str(matched["tun_src"])) == (7, "1.2.3.4/32")
    assert sum("learn" in flow.actions_kv[0].meta.kstring for flow in flows) == 1


# With -m the last one has a layout that its parser does not read, of Open vSwitch's own, too.
@pytest.mark.parametrize(
    "command", [("dpctl/dump-flows",), ("dpctl/dump-flows", "-m"), ("dpif/dump-flows", "br0")]
)
def test_ovs_reads_datapath_flows(switch, command):
    for port, packet in PACKETS.items():
        switch.run("ovs-appctl", "netdev-dummy/receive", port, packet)
    lines = switch.run("ovs-appctl", *command).splitlines()
    flows = [ODPFlow(line) for line in lines if "actions:" in line]
    assert len(flows) >= len(PACKETS)
    assert any("ct" in action.key for flow in flows for action in flow.actions_kv)
    assert all("eth_type" in flow.match and "packets" in flow.info for flow in flows)


def test_tree(switch):
    assert switch.run("ovs-ofctl", "--no-stats", "--tree", "dump-flows", "br0") == TREE


def test_tree_is_text(switch):
    refused = switch.run("ovs-ofctl", "--tree", "-f", "json", "dump-flows", "br0", check=False)
    assert not refused
