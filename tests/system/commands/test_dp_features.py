"""dpif/set-dp-features: what translation does without a feature of the datapath, seen by trace."""

import pytest

from tests.ovs_names import Names

pytestmark = pytest.mark.system

PACKET = (
    "in_port(1),eth(src=50:54:00:00:00:01,dst=50:54:00:00:00:02),eth_type({}),"
    "ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)"
)
ARP = (
    "in_port(1),eth(src=50:54:00:00:00:01,dst=50:54:00:00:00:02),eth_type(0x0806),"
    "arp(sip=10.0.0.1,tip=10.0.0.2,op={},sha=50:54:00:00:00:01,tha=00:00:00:00:00:00)"
)
SLOW = "Uses action(s) not supported by datapath"
# actions, feature, value: with it, without it
CASES = [
    ("output(port=2,max_len=64)", "trunc", "false", "trunc(64),2", SLOW),
    ("clone(ct(commit)),2", "clone", "false", "clone(ct(commit)),2",
     "sample(sample=100.0%,actions(ct(commit))),2"),
    ("clone(ct(commit)),2", "sample_nesting", "3", "clone(ct(commit)),2", "clone(ct(commit)),2"),
    ("check_pkt_larger(100)->NXM_NX_REG0[0],2", "check_pkt_len", "false", "check_pkt_len", SLOW),
]  # fmt: skip


@pytest.fixture
def names(tmp_path):
    made = Names(tmp_path)
    made.start("--enable-dummy=override", "--disable-system")
    ports = [
        word
        for n in (1, 2)
        for word in ("--", "add-port", "br0", f"p{n}", "--", "set", "Interface", f"p{n}",
                     "type=dummy", f"ofport_request={n}")
    ]  # fmt: skip
    made.run("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure", *ports)
    yield made
    made.close()


def test_features_set_aside(names):
    def features(*words):
        return names.run("ovs-appctl", "dpif/set-dp-features", "br0", *words)

    def trace(packet):
        return names.run("ovs-appctl", "ofproto/trace", "ovs-dummy", packet)

    for actions, feature, value, with_it, without in CASES:
        names.run("ovs-ofctl", "add-flow", "br0", f"in_port=1,ip,actions={actions}")
        before = features(feature).split("[run time]:")[1].split(",")[0]
        assert with_it in trace(PACKET.format("0x0800"))
        features(feature, value)
        assert f"[run time]:{value}" in features(feature)
        told = trace(PACKET.format("0x0800"))
        assert without in told, (feature, told)
        features(feature, before)
    assert features("trunc", "3") == "Boolean value expected\n"
    assert features("max_hash_alg", "9") == "Can not set value beyond the datapath capability\n"
    assert features("nonsense", "true") == "Unexpected support field\n"
    with pytest.raises(Exception, match="not supported"):
        features("recirc", "false")


def test_whether_flows_are_dumped_by_their_ufid(names):
    def told():
        return "ufid enabled : true" in names.run("ovs-appctl", "upcall/show")

    assert told()
    for off, on in (
        ("upcall/disable-ufid", "upcall/enable-ufid"),
        ("dpif/set-dp-features br0 ufid false", "dpif/set-dp-features br0 ufid true"),
    ):
        names.run("ovs-appctl", *off.split())
        assert not told()
        names.run("ovs-appctl", *on.split())
        assert told()


def test_the_dummy_datapath_leaves_arp_to_vswitchd(names):
    """As Open vSwitch's datapaths do: tests of its users wait for the slow path."""
    names.run("ovs-ofctl", "add-flow", "br0", "in_port=1,arp,actions=set_field:10.0.0.9->arp_tpa,2")
    told = names.run("ovs-appctl", "ofproto/trace", "ovs-dummy", ARP.format(1))
    assert "set(arp(tip=10.0.0.9)),2" in told, told
    assert SLOW in told and "arp_op=1" in told, told
    told = names.run("ovs-appctl", "ofproto/trace", "ovs-dummy", ARP.format(0))
    assert SLOW not in told, told


def test_labels_of_a_copy_are_popped_behind_it(names):
    names.run("ovs-ofctl", "-O", "OpenFlow13", "add-group", "br0",
              "group_id=1,type=all,bucket=push_mpls:0x8847,output:2")  # fmt: skip
    flow = "in_port=1,ip,actions=group:1,output:2"
    names.run("ovs-ofctl", "-O", "OpenFlow13", "add-flow", "br0", flow)
    told = names.run("ovs-appctl", "ofproto/trace", "ovs-dummy", PACKET.format("0x0800"))
    pushed = "push_mpls(label=0,tc=0,ttl=64,bos=1,eth_type=0x8847),2,pop_mpls(eth_type=0x800),2"
    assert f"Datapath actions: {pushed}\n" in told, told
