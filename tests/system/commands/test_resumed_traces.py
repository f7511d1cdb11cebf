"""ofproto/trace of packets that were sent round: what waited is told, as in Open vSwitch 3.1."""

import re

import pytest

from tests.ofproto.ovs_peer import peer_marks
from tests.ovs_names import side_by_side

pytestmark = [pytest.mark.system, *peer_marks]

NSH = "nsh_mdtype=1,nsh_spi=0x1234,nsh_c1=0x11223344"
ENCAP = "encap(nsh(md_type=1)),set_field:0x1234->nsh_spi,set_field:0x11223344->nsh_c1"
FRAME = (
    "in_port=1,icmp,dl_src=00:11:22:33:44:55,dl_dst=66:77:88:99:aa:bb,nw_src=1.1.1.1,nw_dst=2.2.2.2"
)
INSIDE = f"packet_type=(1,0x894f),nsh_np=3,{NSH}"
# Rules; then what is traced, each behind the former.
CASES = {
    "decap": (
        [f"in_port=1,ip,actions={ENCAP},decap(),set_field:7->reg1,output:2,output:3"],
        [FRAME, "recirc_id={},in_port=1,ip"],
    ),
    "tables": (
        [
            f"in_port=1,ip,actions={ENCAP},goto_table:1",
            f"table=1,cookie=9,{INSIDE},actions=set_field:5->reg2,decap(),goto_table:4",
            "table=4,reg2=5,ip,actions=dec_ttl,output:2",
        ],
        [FRAME, "recirc_id={},in_port=1,ip,nw_ttl=9"],
    ),
    "nested": (
        [
            f"in_port=1,ip,actions={ENCAP},encap(nsh(md_type=2)),set_field:0x99->nsh_spi,"
            "encap(ethernet),set_field:11:22:33:44:55:66->dl_dst,output:20",
            "table=0,in_port=21,dl_type=0x894f,nsh_mdtype=2,nsh_spi=0x99,"
            "actions=decap(),decap(),write_actions(output:2),goto_table:1",
            "table=1,packet_type=(1,0x894f),nsh_mdtype=1,nsh_spi=0x1234,actions=decap(),goto_table:2",
        ],
        [FRAME, f"recirc_id={{}},in_port=21,{INSIDE}", "recirc_id={},in_port=21,ip"],
    ),
    "resubmits": (
        [
            f"in_port=1,ip,actions={ENCAP},resubmit(,3),output:3",
            f"table=3,cookie=3,{INSIDE},actions=decap(),output:2,resubmit(,4),controller",
            "table=4,ip,actions=dec_ttl,output:4",
        ],
        [FRAME, "recirc_id={},in_port=1,ip,nw_ttl=7"],
    ),
    "group": (
        [f"in_port=1,ip,actions={ENCAP},group:7", f"table=1,{INSIDE},actions=drop"],
        [FRAME, "recirc_id={},in_port=1,ip"],
    ),
    "label": (
        [
            "in_port=1,mpls,actions=pop_mpls:0x0800,dec_ttl,set_field:9.9.9.9->ip_dst,goto_table:6",
            "table=6,ip,actions=output:2",
        ],
        ["in_port=1,mpls,mpls_label=5,mpls_bos=1", "recirc_id={},in_port=1,tcp,nw_ttl=8"],
    ),
    "ct": (
        ["in_port=1,tcp,actions=ct(table=5),output:2", "table=5,tcp,actions=output:3"],
        ["in_port=1,tcp", "recirc_id={},in_port=1,tcp,ct_state=trk|new"],
    ),
}
SET_UP = """add-br br0 -- set bridge br0 datapath_type=dummy fail_mode=secure
    protocols=OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15 other_config:hwaddr=aa:55:aa:55:00:00
    -- add-port br0 v20 -- set interface v20 type=patch options:peer=v21 ofport_request=20
    -- add-port br0 v21 -- set interface v21 type=patch options:peer=v20 ofport_request=21"""


def traces(switch, rules, flows):
    switch.run("ovs-ofctl", "-OOpenFlow15", "del-flows", "br0")
    for rule in rules:
        switch.run("ovs-ofctl", "-OOpenFlow15", "add-flow", "br0", rule)
    told, number = [], None
    for flow in flows:
        text = switch.run("ovs-appctl", "ofproto/trace", "br0", flow.format(number))
        number = (re.findall(r"recirc\((0x[0-9a-f]+)\)", text) or [number])[-1]
        # Open vSwitch says the cookie in the other byte order there.
        text = re.sub(r"(restored state: table=\d+, cookie=).*", r"\1", text)
        told.append(re.sub(r"recirc(_id=|\()0x[0-9a-f]+", r"recirc\1ID", text).splitlines())
    return told


def test_what_waited_goes_on(tmp_path):
    with side_by_side(tmp_path, "--enable-dummy", "--disable-system") as both:
        for switch in both:
            switch.run("ovs-vsctl", *SET_UP.split())
            for number in range(1, 5):
                switch.run(
                    *("ovs-vsctl", "add-port", "br0", f"p{number}", "--", "set", "interface"),
                    *(f"p{number}", "type=dummy", f"ofport_request={number}"),
                )
            bucket = "bucket=actions=decap(),output:2"
            switch.run(
                "ovs-ofctl", "-OOpenFlow15", "add-group", "br0", f"group_id=7,type=all,{bucket}"
            )
        for name, case in CASES.items():
            ours, theirs = (traces(switch, *case) for switch in both)
            assert ours == theirs, name
