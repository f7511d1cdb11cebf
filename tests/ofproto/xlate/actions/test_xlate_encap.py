"""encap and decap: translated, executed on real frames, and compared with a plain twin on bytes."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.contrib.mpls import MPLS
from scapy.contrib.nsh import NSH
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether

from datapath.actions.text.odp_text import format_actions
from datapath.key import flow
from datapath.key.key_text import format_key
from ofproto.codec.instructions import parse_instructions
from ofproto.codec.match_text import parse_match
from ofproto.xlate.state.recirc import RecircTable
from ofproto.xlate.trace import trace_flow
from ofproto.xlate.translate import translate
from tests.native.recorder import Recorder
from tests.ofproto.xlate_world import ODP_BASE, World, key_of

NSH_TYPE, MPLS_TYPE = 0x894F, 0x8847
TYPE_AT = flow.MEMBERS["packet_type"][0]
INNER = {1: 1 << 16 | 0x800, 2: 1 << 16 | 0x86DD, 3: 0, 4: 1 << 16 | NSH_TYPE}
SAMPLES = [
    Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / layer
    for layer in (
        IP(src="10.0.0.1", dst="10.0.0.2", ttl=9, tos=0x20) / UDP(dport=53),
        IPv6(src="fd00::1", dst="fd00::2", hlim=7) / UDP(dport=53),
        Dot1Q(vlan=5) / IP(dst="10.0.0.2"),
        NSH(mdtype=1, nextproto=3, ttl=2, spi=5, si=6) / Ether() / IP() / UDP(),
        NSH(mdtype=2, nextproto=1, ttl=1, spi=5, si=6) / IP(dst="10.0.0.9"),
        NSH(mdtype=1, nextproto=4, spi=5, si=6) / NSH(mdtype=1, nextproto=2) / IPv6(),
        NSH(mdtype=1, nextproto=5, spi=5, si=6) / MPLS(s=1) / IP(),
        MPLS(label=17, ttl=9, s=1) / IP(ttl=4),
        MPLS(label=17, ttl=9, s=0) / MPLS(label=18, ttl=8, s=1) / IP(ttl=4),
    )
]


def world_of(*flows):
    """A bridge of four ports with flows given as (table, match, actions)."""
    world = World(4)
    for priority, (table, matching, actions) in enumerate(flows):
        made = parse_instructions(actions)
        world.rule((), parse_match(matching), 100 - priority, table, made)
    return world


def outputs(world, frame, in_port=1):
    """(port, frame) of all that comes out, sent round as often as it wants."""
    recirc, found = RecircTable(), []
    waiting = [(key_of(frame, in_port), frame)]
    while waiting:
        key, data = waiting.pop()
        result = translate(world.bridge, key, recirc=recirc)
        kind = int.from_bytes(key[TYPE_AT : TYPE_AT + 4], "big")
        recorder = Recorder()
        for event in recorder.run(
            data, result.actions, in_port=in_port + ODP_BASE, packet_type=kind, headroom=512
        ):
            if event[0] == "output":
                found.append((event[1] - ODP_BASE, event[2]))
            elif event[0] == "recirculate":
                waiting.append((event[3], event[2]))
            else:  # nothing came out, or a TTL's end is told to the controller
                assert event[0] == "userspace" or event == ("drop", "action_drop"), event
    return found


class Unsupported(Exception):
    pass


class Twin:
    """A packet as type and bytes; each method does what one action says."""

    def __init__(self, frame):
        self.kind, self.data = 0, frame
        self.sent, self.safe = [], 0

    def run(self, steps):
        try:
            for name, *arguments in steps:
                if getattr(self, name)(*arguments) == "end":
                    break
        except Unsupported:
            del self.sent[self.safe :]  # what was translated together is dropped together
        return self.sent

    def _ethertype(self):
        if self.kind:
            return self.kind & 0xFFFF if self.kind >> 16 == 1 else 0
        return int.from_bytes(self.data[12:14], "big")

    def _start(self):
        """Where the header behind Ethernet is."""
        return 0 if self.kind else 14

    def output(self):
        if self.kind == 0:
            self.sent.append(self.data)

    def encap_ethernet(self):
        if self.kind >> 16 != 1:
            raise Unsupported
        self.data = bytes(12) + struct.pack("!H", self.kind & 0xFFFF) + self.data
        self.kind = 0

    def encap_nsh(self, options):
        inner = [np for np, kind in INNER.items() if kind == self.kind]
        if not inner:
            raise Unsupported
        rest = bytes(16) if options is None else options
        words = 2 + len(rest) // 4
        head = struct.pack("!HBBI", 63 << 6 | words, 1 if options is None else 2, inner[0], 255)
        self.data = head + rest + self.data
        self.kind = 1 << 16 | NSH_TYPE

    def decap(self):
        if self.kind == 0:
            if self._ethertype() in (0x8100, 0x88A8):
                raise Unsupported
            self.kind, self.data = 1 << 16 | self._ethertype(), self.data[14:]
        elif self.kind == 1 << 16 | NSH_TYPE:
            if self.data[3] not in INNER:
                raise Unsupported
            self.kind, self.data = INNER[self.data[3]], self.data[(self.data[1] & 63) * 4 :]
            self.safe = len(self.sent)
        elif self.kind == 1 << 16 | MPLS_TYPE:
            if self.data[2] & 1:
                raise Unsupported  # nobody says what is inside
            self.data = self.data[4:]
        else:
            raise Unsupported

    def set_eth_dst(self, value):
        if self.kind == 0:
            self.data = value.to_bytes(6, "big") + self.data[6:]

    def _nsh(self):
        at = self._start()
        return at if self._ethertype() == NSH_TYPE else None

    def _put(self, at, new):
        self.data = self.data[:at] + new + self.data[at + len(new) :]

    def set_nsh_path(self, spi):
        at = self._nsh()
        if at is not None:
            self._put(at + 4, spi.to_bytes(3, "big"))

    def set_nsh_c1(self, value):
        at = self._nsh()
        if at is not None and self.data[at + 2] == 1:
            self._put(at + 8, value.to_bytes(4, "big"))

    def dec_nsh_ttl(self):
        at = self._nsh()
        if at is None:
            return None
        word = int.from_bytes(self.data[at : at + 2], "big")
        if word >> 6 & 63 <= 1:
            return "end"
        self._put(at, (word - 64).to_bytes(2, "big"))
        return None


OPTIONS = bytes.fromhex("10000a0412345678")
WORDS = {
    "output": "output:2",
    "encap_ethernet": "encap(ethernet)",
    "decap": "decap()",
    "dec_nsh_ttl": "dec_nsh_ttl",
    "set_nsh_path": "set_field:{0:#x}->nsh_spi",
    "set_nsh_c1": "set_field:{0:#x}->nsh_c1",
    "set_eth_dst": "set_field:{0:012x}->eth_dst",
}


def text_of(step):
    name, *arguments = step
    if name == "encap_nsh":
        if arguments[0] is None:
            return "encap(nsh)"
        return "encap(nsh(md_type=2,tlv(0x1000,10,0x12345678)))"
    text = WORDS[name].format(*arguments)
    if name == "set_eth_dst":
        mac = arguments[0].to_bytes(6, "big").hex(":")
        text = f"set_field:{mac}->eth_dst"
    return text


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["output", "encap_ethernet", "decap", "decap", "dec_nsh_ttl"])),
        st.tuples(st.just("encap_nsh"), st.sampled_from([None, None, OPTIONS])),
        st.tuples(st.just("set_nsh_path"), st.integers(0, (1 << 24) - 1)),
        st.tuples(st.just("set_nsh_c1"), st.integers(0, (1 << 32) - 1)),
        st.tuples(st.just("set_eth_dst"), st.integers(0, (1 << 48) - 1)),
    ),
    max_size=12,
)


@given(st.sampled_from(SAMPLES), STEPS)
@settings(max_examples=400, deadline=None)
def test_any_list_of_headers_equals_the_twin(sample, steps):
    """Also what a clone does to its copy leaves the packet behind it alone."""
    frame = bytes(sample)
    steps = [*steps, ("output",)]
    words = ",".join(map(text_of, steps))
    want = Twin(frame).run(steps)
    assert [data for _, data in outputs(world_of((0, "", words)), frame)] == want
    if all(not word.startswith("dec_nsh") for word in words.split(",")):
        cloned = [data for _, data in outputs(world_of((0, "", f"clone({words}),output:3")), frame)]
        assert sorted(cloned) == sorted([*want, frame]) or not want


MD1 = "encap(nsh(md_type=1)),set_field:0x1234->nsh_spi,set_field:0x11223344->nsh_c1"


def test_the_megaflow_matches_what_was_looked_at():
    world = world_of(
        (0, "ip", f"{MD1},encap(ethernet),set_field:11:22:33:44:55:66->dl_dst,output:2"),
        (0, "dl_type=0x894f,nsh_mdtype=1,nsh_spi=0x1234", "decap(),decap(),output:3"),
    )
    key = key_of(SAMPLES[0], 1)
    result = translate(world.bridge, key)
    assert format_key(key, result.mask) == (
        "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(dst=02:00:00:00:00:02),"
        "eth_type(0x0800),ipv4(frag=no)"
    )
    assert format_actions(result.actions, key) == (
        "push_nsh(flags=0,ttl=63,mdtype=1,np=3,spi=0x1234,si=255,c1=0x11223344,c2=0x0,c3=0x0,"
        "c4=0x0),push_eth(src=00:00:00:00:00:00,dst=11:22:33:44:55:66),12"
    )
    key = key_of(Ether() / NSH(mdtype=1, nextproto=3, spi=0x1234) / Ether(), 1)
    recirc = RecircTable()
    result = translate(world.bridge, key, recirc=recirc)
    assert format_actions(result.actions, key).startswith("pop_eth,pop_nsh(),recirc(")
    assert format_key(key, result.mask).endswith("eth_type(0x894f),nsh(mdtype=1,np=3,spi=0x1234)")


def test_packets_match_by_their_type():
    """A match on headers is one on Ethernet, one with a packet type on that, one on neither on
    all."""
    pop = "decap(),decap(),resubmit(,1)"
    world = world_of(
        (0, "dl_type=0x894f", pop),
        (1, "ip,nw_dst=10.0.0.9", "set_field:1->reg0,resubmit(,2)"),
        (1, "packet_type=(1,0x800),nw_dst=10.0.0.9", "encap(ethernet),output:2"),
        (1, "dl_dst=00:00:00:00:00:00", "output:3"),
        (1, "", "encap(ethernet),output:4"),
    )
    assert [port for port, _ in outputs(world, bytes(SAMPLES[4]))] == [2]
    other = Ether() / NSH(mdtype=2, nextproto=1) / IP(dst="10.0.0.8")
    assert [port for port, _ in outputs(world, bytes(other))] == [4]


def test_labels_in_front_of_the_ethernet_header():
    frame = bytes(SAMPLES[0])
    there = world_of((0, "", "encap(mpls),set_field:7->mpls_label,encap(ethernet),output:2"))
    [(_, got)] = outputs(there, frame)
    assert got[:14] == bytes(12) + b"\x88\x47" and got[18:] == frame
    label = MPLS(got[14:18])
    assert (label.label, label.s, label.ttl) == (7, 1, 64)
    back = world_of((0, "mpls", "decap(),decap(packet_type(ns=0,type=0)),output:3"))
    assert outputs(back, got) == [(3, frame)]
    twice = world_of((0, "", "encap(mpls),encap(mpls_mc),encap(ethernet),output:2"))
    [(_, got)] = outputs(twice, frame)
    assert got[12:14] == b"\x88\x48" and got[22:] == frame and [got[16] & 1, got[20] & 1] == [0, 1]


@pytest.mark.parametrize("ip", [IP(src="10.0.0.1", dst="10.0.0.2", ttl=32), IPv6(hlim=32)])
def test_the_ttl_goes_between_a_label_and_ip(ip):
    frame = bytes(Ether() / MPLS(label=100, ttl=64, s=1) / ip / UDP())
    [(_, got)] = outputs(world_of((0, "mpls", "copy_ttl_out,output:2")), frame)
    assert got == frame[:17] + b"\x20" + frame[18:]
    [(_, got)] = outputs(world_of((0, "mpls", "copy_ttl_in,output:2")), frame)
    inner = ip.copy()
    inner.ttl = inner.hlim = 64
    want = ip.__class__(bytes(ip / UDP()))
    setattr(want, "ttl" if isinstance(ip, IP) else "hlim", 64)
    if isinstance(ip, IP):
        want.chksum = None
    assert got == frame[:18] + bytes(want)
    # what was copied is matched in what follows
    world = world_of(
        (0, "mpls", "copy_ttl_out,resubmit(,1)"), (1, "mpls,mpls_ttl=32", "output:3"),
    )  # fmt: skip
    assert [port for port, _ in outputs(world, frame)] == [3]
    # a label just pushed has one from behind it, too
    world = world_of(
        (0, "", "push_mpls:0x8847,set_mpls_ttl(5),copy_ttl_in,pop_mpls:0x800,output:2")
    )
    [(_, got)] = outputs(world, bytes(SAMPLES[0]))
    assert Ether(got)[IP].ttl == 5


def test_a_new_tag_has_what_the_one_behind_it_has():
    frame = bytes(Ether() / Dot1Q(vlan=100, prio=3) / IP())
    [(_, got)] = outputs(world_of((0, "", "push_vlan:0x88a8,output:2")), frame)
    assert got == frame[:12] + b"\x88\xa8\x60\x64" + frame[12:]


def test_trace_says_why_a_packet_is_dropped():
    world = world_of((0, "", "encap(ethernet),output:2"))
    report = trace_flow(world.bridge, "in_port=1,ip")
    assert "Translation failed (Unsupported packet type), packet is dropped." in report
    assert "Datapath actions: drop" in report
    world = world_of((0, "", "decap(),output:2"))
    report = trace_flow(world.bridge, "in_port=1,ip")
    assert "Trying to send non-Ethernet packet through legacy L2 port. Dropping packet." in report
