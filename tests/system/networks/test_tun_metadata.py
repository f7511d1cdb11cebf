"""Geneve options as tun_metadataN, by commands: what comes in, what tables see, what goes out."""

import pytest
from scapy.contrib.geneve import GENEVE, GeneveOptions
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from tests.daemons import wait_until
from tests.system.networks.test_native_tunnels import (
    FRAME,
    MAC,
    PEER,
    REPLY,
    actions,
    add_tunnel,
    receive,
    sent,
    under,  # noqa: F401
)

pytestmark = pytest.mark.system

# As OVN has it: the logical ports of a packet are in an option.
MAP = "{class=0x102,type=0x80,len=4}->tun_metadata0"
MORE = "{class=0xffff,type=1,len=8}->tun_metadata1,{class=0xffff,type=2,len=0}->tun_metadata63"


def option(kind, value=b"", option_class=0x102):
    return GeneveOptions(classid=option_class, type=kind, length=len(value) // 4, data=value)


def geneve(options=(), inner=FRAME, key=5):
    """A frame to the host, with options."""
    outer = (
        Ether(src=PEER, dst=MAC)
        / IP(src="1.1.2.92", dst="1.1.2.88", ttl=64, flags="DF")
        / UDP(sport=41000, dport=6081, chksum=0)
        / GENEVE(vni=key, proto=0x6558, options=list(options))
    )
    return bytes(outer / inner).hex()


def options_sent(under, n):  # noqa: F811
    """(class, type, value) of the options of the n-th frame that went out."""
    wait_until(lambda: len(sent(under)) >= n, what=f"frame {n}")
    header = Ether(sent(under)[n - 1])[GENEVE]
    return [(each.classid, each.type, each.data) for each in header.options]


@pytest.fixture
def tunnelled(under):  # noqa: F811
    add_tunnel(under, 2, "geneve", "remote_ip=flow", "key=flow")
    under.run("ovs-ofctl", "add-tlv-map", "int", MAP)
    receive(under, "p1", REPLY)
    return under


def counted(under, table, text):  # noqa: F811
    flows = under.run("ovs-ofctl", "dump-flows", "int", f"table={table}")
    return any(text in line and "n_packets=1," in line for line in flows.splitlines())


def test_out_and_in_as_ovn_does(tunnelled):
    flows = [
        "table=0,in_port=7,actions=load:0x3->NXM_NX_REG15[],load:0x8->NXM_NX_REG14[],"
        "set_field:1.1.2.92->tun_dst,set_field:5->tun_id,"
        "move:NXM_NX_REG15[0..15]->NXM_NX_TUN_METADATA0[0..15],"
        "move:NXM_NX_REG14[0..14]->NXM_NX_TUN_METADATA0[16..30],output:2",
        "table=0,in_port=2,actions=move:NXM_NX_TUN_METADATA0[16..30]->NXM_NX_REG14[0..14],"
        "move:NXM_NX_TUN_METADATA0[0..15]->NXM_NX_REG15[0..15],resubmit(,1)",
        "table=1,reg14=0x8,reg15=0x3,tun_metadata0=0x80003,actions=7",
    ]
    for flow in flows:
        tunnelled.run("ovs-ofctl", "add-flow", "int", flow)
    receive(tunnelled, "p7", FRAME.hex())
    assert options_sent(tunnelled, 1) == [(0x102, 0x80, b"\0\x08\0\x03")]
    assert sent(tunnelled)[0].endswith(FRAME) and len(sent(tunnelled)[0]) == 58 + len(FRAME)
    # What nobody maps is not in the way; a longer one of the same name is another one.
    receive(tunnelled, "p1", geneve([option(7, bytes(8)), option(0x80, b"\0\x08\0\x03")]))
    receive(tunnelled, "p1", geneve([option(0x80, b"\0\x08\0\x03" * 2)]))
    receive(tunnelled, "p1", geneve())
    wait_until(lambda: counted(tunnelled, 1, "tun_metadata0=0x80003"), what="the packet")
    shown = tunnelled.run("ovs-appctl", "dpctl/dump-flows")
    assert "geneve({class=0x102,type=0x7,len=8}{class=0x102,type=0x80,len=4,0x80003})" in shown
    assert "geneve()" in shown


def test_fields_of_all_lengths(tunnelled):
    tunnelled.run("ovs-ofctl", "add-tlv-map", "int", MORE)
    to = "set_field:1.1.2.92->tun_dst,set_field:0xa/0xf->tun_metadata0"
    eight = "set_field:0x123456789abcdef0->tun_metadata1,set_field:0->tun_metadata63"
    flow = f"in_port=7,actions={to},{eight},push:NXM_NX_TUN_METADATA1[32..63],"
    flow += "pop:NXM_NX_TUN_METADATA0[0..31],2,delete_field:tun_metadata1,2"
    tunnelled.run("ovs-ofctl", "add-flow", "int", flow)
    receive(tunnelled, "p7", FRAME.hex())
    value = bytes.fromhex("123456789abcdef0")
    whole = [(0x102, 0x80, value[:4]), (0xFFFF, 1, value), (0xFFFF, 2, b"")]
    assert options_sent(tunnelled, 1) == whole
    assert options_sent(tunnelled, 2) == [whole[0], whole[2]]
    assert "set_field:0xa/0xf->tun_metadata0" in tunnelled.run("ovs-ofctl", "dump-flows", "int")
    for text, table in (("tun_metadata63", 2), ("tun_metadata1=0xf0/0xff", 3), ("ip", 4)):
        tunnelled.run(
            "ovs-ofctl", "add-flow", "int", f"in_port=2,{text},actions=resubmit(,{table})"
        )
        tunnelled.run("ovs-ofctl", "add-flow", "int", f"table={table},actions=drop")
    flow = "in_port=2,tun_src=1.1.2.92,tun_dst=1.1.2.88,tun_metadata1=0x1f0"
    trace = tunnelled.run("ovs-appctl", "ofproto/trace", "int", flow)
    assert "tun_metadata1=0xf0/0xff,in_port=2, priority" in trace
    assert ",tun_metadata1=0xf0/0xff,tun_metadata63=NP," in trace


def test_from_one_tunnel_into_the_next(tunnelled):
    """Options go with the packet, and the flow is one of packets with the same."""
    flow = "in_port=2,actions=set_field:1.1.2.92->tun_dst,in_port"
    tunnelled.run("ovs-ofctl", "add-flow", "int", flow)
    for number, options in enumerate(([], [b"abcd"], [b"efgh"], []), 1):
        receive(tunnelled, "p1", geneve([option(0x80, value) for value in options]))
        assert options_sent(tunnelled, number) == [(0x102, 0x80, value) for value in options]


def test_what_is_in_use_stays(tunnelled):
    tunnelled.run("ovs-ofctl", "add-group", "-OOpenFlow13", "int",
                  "group_id=1,type=all,bucket=set_field:1->tun_metadata0,2")  # fmt: skip
    tunnelled.run("ovs-ofctl", "add-flow", "int", "tun_metadata0=1,actions=7")
    for words in ((), (MAP,)):
        with pytest.raises(Exception, match="NXTTMFC_INVALID_TLV_DEL"):
            tunnelled.run("ovs-ofctl", "del-tlv-map", "int", *words)
    tunnelled.run("ovs-ofctl", "--strict", "mod-flows", "int", "tun_metadata0=1,actions=drop")
    tunnelled.run("ovs-ofctl", "del-flows", "int", "tun_metadata0=1")
    with pytest.raises(Exception, match="NXTTMFC_INVALID_TLV_DEL"):
        tunnelled.run("ovs-ofctl", "del-tlv-map", "int", MAP)
    tunnelled.run("ovs-ofctl", "del-groups", "-OOpenFlow13", "int")
    tunnelled.run("ovs-ofctl", "del-tlv-map", "int", MAP)
    for flow in ("tun_metadata0=1,actions=7", "actions=set_field:1->tun_metadata0,7"):
        with pytest.raises(Exception, match="NXFMFC_INVALID_TLV_FIELD"):
            tunnelled.run("ovs-ofctl", "add-flow", "int", flow)


def test_flows_and_map_outlive_vswitchd(tunnelled):
    """And a bundle has them, too."""
    flows = tunnelled.rundir / "flows"
    flows.write_text("tun_metadata0=0x7/0xff,actions=set_field:0x5->tun_metadata0,7\n")
    tunnelled.run("ovs-ofctl", "--bundle", "add-flows", "int", str(flows))
    tunnelled.run("ovs-ofctl", "add-flow", "int", "tun_metadata0,actions=drop")
    before = tunnelled.run("ovs-ofctl", "--no-stats", "dump-flows", "int")
    assert "tun_metadata0=0x7/0xff actions=set_field:0x5->tun_metadata0,output:7" in before
    maps = tunnelled.run("ovs-ofctl", "dump-tlv-map", "int")
    tunnelled.restart_vswitchd()
    assert tunnelled.run("ovs-ofctl", "--no-stats", "dump-flows", "int") == before
    assert tunnelled.run("ovs-ofctl", "dump-tlv-map", "int") == maps
    assert (
        actions(tunnelled, flow="in_port=2,tun_src=1.1.2.92,tun_dst=1.1.2.88,tun_metadata0=7")
        == "7"
    )
