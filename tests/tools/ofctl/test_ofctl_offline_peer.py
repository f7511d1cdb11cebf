"""Commands of pyvs-ofctl that need no switch, beside those of ovs-ofctl: status and output."""

import random

import pytest

from ofproto.codec import errors
from ofproto.codec.errors import OFError
from ofproto.text.message_text import Style, format_raw
from tests.ofproto.codec.ofctl_texts import printed
from tests.ofproto.codec_samples import SAMPLES
from tests.tools.ofctl_peers import needs_ovs, ours, theirs

pytestmark = [needs_ovs, pytest.mark.peer]
HEADER = "02000800000001"  # of a message of 8 bytes, behind its version
COMMANDS = [
    ("compose-packet", "tcp"), ("compose-packet", "udp,nw_src=1.2.3.4", "aabbcc"),
    ("compose-packet", "icmp6", "aabb"), ("compose-packet", "sctp", "aabb"),
    ("compose-packet", "ip,nw_frag=later"), ("compose-packet", "dl_vlan=5,ip"),
    ("compose-packet", "mpls,mpls_label=5"), ("compose-packet", "arp,arp_op=1"),
    ("encode-error-reply", "OFPBRC_BAD_TYPE", "01bbccddeeff00112233"),
    ("-F", "", "parse-flow", "actions=1"), ("-FOpenFlow11", "parse-flow", "actions=1"),
]  # fmt: skip
FLOWS = [
    "actions=push_vlan:0x8100", "actions=clone(push_vlan:0x8100),output:2",
    "sctp,sctp_dst=5,actions=set_field:80->sctp_src", "in_port_oxm=5,actions=drop",
    "icmp,actions=set_field:1->icmp_type,set_field:2->icmp_code", "packet_type=(0,0),actions=drop",
    "actions=set_field:5->metadata", "vlan_tci=0x1123/0x1fff,actions=drop",
    "vlan_vid=0x1005/0x1fff,actions=drop", "dl_vlan=5,actions=set_field:5->vlan_vid",
    "actions=set_field:5->in_port,output:1", "reset_counts,actions=drop",
    "actions=write_metadata:5/0", "actions=write_metadata:0xff/0xf", "actions=enqueue:1q2",
    "actions=output:1:2", "actions=set_field:5->tun_ttl", "in_port=4294967296,actions=drop",
    "tcp,actions=set_field:1->nw_ecn", "actions=move:ct_state->reg0,push:ct_state[8..31]",
    # Open vSwitch prints no masks of ERSPAN's and GTP-U's fields, nor fields that another version
    # or type would have: a dump would not give the same flows back.
    "dl_type=0x894f,nsh_mdtype=1,nsh_c1=5,actions=drop", "tun_gtpu_flags=0x5,actions=drop",
    "dl_type=0x894f,nsh_flags=1/1,actions=drop",
    "tun_erspan_ver=1,tun_erspan_idx=0x5,actions=drop",
    "tun_erspan_ver=2,tun_erspan_dir=1,tun_erspan_hwid=3,actions=drop",
]  # fmt: skip


def same(*arguments, text=""):
    mine, other = (run(*arguments, text=text)[:2] for run in (ours, theirs))
    assert mine == other


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_commands(words):
    same(*words)


@pytest.mark.parametrize("version", ["OpenFlow10", "OpenFlow11", "OpenFlow13"])
@pytest.mark.parametrize("flow", FLOWS)
def test_flows(flow, version):
    same("-O", version, "parse-flow", flow)


@pytest.mark.parametrize(
    "flow", ["actions=load:1->in_port[0..7]", "mpls,actions=load:1->mpls_label[1]",
             "icmp,actions=load:1->icmp_type[0..3]"],
)  # fmt: skip
def test_a_part_of_what_is_matched_whole_is_loaded(flow):
    same("-O", "OpenFlow15", "parse-flow", flow)


def test_a_flow_without_table_among_others():
    same("parse-flows", "-", text="table=0,actions=drop\nmetadata=5,actions=dec_ttl\n")


@pytest.mark.parametrize("name", errors.ALL[::4])
def test_errors_that_a_version_cannot_say(name):
    same("print-error", name)
    for version in (1, 2, 3, 6):
        same("encode-error-reply", name, f"{version:02x}{HEADER}")


# Messages of which something is wrong

# Whose first words are about other things than the damage: what we have and Open vSwitch has not,
# and lists of which it looks at what stands behind a wrong length.
_OTHERS = ("PACKET_IN", "RESUME", "FLOW reply", "FLOW_MOD (OF1.1)", "TABLE_FEATURES", "AGGREGATE",
           "REQUESTFORWARD", "FLOW_MONITOR", "FLOW_REMOVED (OF1.5)", "TABLE_STATUS",
           "METER")  # fmt: skip


def _fixed(raw):
    return raw[:2] + len(raw).to_bytes(2, "big") + raw[4:]


def _damaged():
    chance = random.Random(7)
    for message, _versions, keywords in SAMPLES:
        for version in range(1, 7):
            try:
                raw = message.encode(version, 0x1234, **(keywords if version == 1 else {}))
            except (ValueError, OFError):
                continue
            if 8 < len(raw) < 700:
                yield from (_fixed(raw[: chance.randrange(8, len(raw))]) for _ in range(3))
                yield from (_fixed(raw + bytes(n)) for n in (1, 8))
                if raw[1] in (16, 17, 18, 19):  # flags of messages in several parts
                    yield raw[:10] + b"\x80\x01" + raw[12:]


def test_damaged_messages(tmp_path):
    found = sorted(set(_damaged()))
    assert len(found) >= 2000
    parts = printed(tmp_path, found)
    compared = 0
    for raw, other in zip(found, parts, strict=True):
        if any(word in other.partition("\n")[0] for word in _OTHERS):
            continue
        assert format_raw(raw, Style(more=2)) == other, raw.hex()
        compared += 1
    assert compared > 1500
