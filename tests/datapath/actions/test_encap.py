"""Headers put in front of a packet and taken off: bytes by scapy, what each layer must be, text."""

import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.contrib.mpls import MPLS
from scapy.contrib.nsh import NSH
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from datapath.actions import odp
from datapath.actions.text import odp_text
from datapath.key import flow, key_text
from tests.datapath import naive_key
from tests.datapath.sample_frames import frames
from tests.native.recorder import Recorder

ETHERTYPE = 1 << 16


def run(frame, text, **more):
    actions = odp_text.parse_actions(text)
    assert odp_text.format_actions(actions) == text
    return Recorder().run(frame, actions, **more)


def sent(frame, text):
    return [event[2] for event in run(frame, text) if event[0] == "output"]


def key_of(event):
    return {
        name: int.from_bytes(event[4][at : at + size], "big")
        for name, (at, size) in flow.MEMBERS.items()
        if any(event[4][at : at + size])
    }


MD1 = (
    "push_nsh(flags=2,ttl=30,mdtype=1,np=3,spi=0x123456,si=254,c1=0x11223344,c2=0x0,c3=0x5,c4=0x6)"
)
ETH = "push_eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02)"


def test_nsh_of_both_kinds_in_front_of_a_frame():
    frame = frames()["vlan"]
    [got] = sent(frame, f"{MD1},{ETH},1")
    made = Ether(got)
    assert (made.src, made.dst, made.type) == ("02:00:00:00:00:01", "02:00:00:00:00:02", 0x894F)
    nsh = made[NSH]
    assert (nsh.ttl, nsh.mdtype, nsh.nextproto, nsh.spi, nsh.si) == (30, 1, 3, 0x123456, 254)
    assert bytes(nsh)[:2] == struct.pack("!H", 2 << 12 | 30 << 6 | 6)
    assert bytes(nsh)[8:24] == struct.pack("!4I", 0x11223344, 0, 5, 6)
    assert got[14 + 24 :] == frame
    options = "10000a041234567820001408fedcba9876543210"
    md2 = f"push_nsh(flags=0,ttl=63,mdtype=2,np=3,spi=0x1,si=255,md2=0x{options})"
    [got] = sent(frame, f"{md2},{ETH},1")
    nsh = Ether(got)[NSH]
    assert (nsh.mdtype, nsh.length) == (2, 7)
    assert [(tlv.type, bytes(tlv)[:2]) for tlv in nsh.vlch] == [(10, b"\x10\0"), (20, b"\x20\0")]
    assert got[14 + 28 :] == frame


def test_what_is_put_on_comes_off_again():
    frame = frames()["tcp6"]
    pops = "pop_eth,pop_nsh(),pop_nsh(),2"
    assert sent(frame, f"{MD1},{MD1.replace('np=3', 'np=4')},{ETH},1,{pops}")[1] == frame
    # a network protocol without its frame
    nsh = MD1.replace("np=3", "np=2")
    [outer, inner] = sent(frame, f"pop_eth,{nsh},{ETH},1,pop_eth,pop_nsh(),{ETH},2")
    assert IPv6 in Ether(inner) and inner[14:] == frame[14:]
    assert outer[14 + 24 :] == frame[14:]


def test_the_key_says_the_packet_type():
    up = "userspace(pid=0,slow_path(action))"
    [event] = run(frames()["tcp4"], f"pop_eth,{up}")
    found = key_of(event)
    assert found["packet_type"] == ETHERTYPE | 0x800 and found["eth_type"] == 0x800
    assert "eth_src" not in found and found["nw_proto"] == 6 and found["tp_dst"]
    [event] = run(frames()["tcp4"], f"{MD1},{up}")
    found = key_of(event)
    assert found == {
        "packet_type": ETHERTYPE | 0x894F, "eth_type": 0x894F, "nsh_flags": 2, "nsh_ttl": 30,
        "nsh_mdtype": 1, "nsh_np": 3, "nsh_path_hdr": 0x123456FE, "nsh_context0": 0x11223344,
        "nsh_context2": 5, "nsh_context3": 6,
    }  # fmt: skip


def test_labels_in_front_of_a_frame_and_behind_its_header():
    frame = frames()["tcp4"]
    label = "(label=7,tc=1,ttl=9,bos=1,eth_type=0x8847)"
    [got] = sent(frame, f"add_mpls{label},{ETH},1")
    assert got[12:14] == b"\x88\x47" and got[18:] == frame
    assert MPLS(got[14:18]).label == 7
    # 0x6558: what is below is a frame again
    pops = "pop_eth,pop_mpls(eth_type=0x6558)"
    assert sent(frame, f"add_mpls{label},{ETH},{pops},1") == [frame]
    [got] = sent(
        frame, f"pop_eth,push_mpls{label},add_mpls{label.replace('bos=1', 'bos=0')},{ETH},1"
    )
    assert got[12:14] == b"\x88\x47" and got[22:] == frame[14:]
    # the labels of a frame are its own
    assert sent(frame, f"push_mpls{label},pop_mpls(eth_type=0x800),1") == [frame]


@pytest.mark.parametrize(
    "text",
    [
        f"{ETH},1",  # there is a header already
        "pop_nsh(),1",
        "pop_eth,1",  # no port takes that
        "pop_eth,pop_eth,1",
        MD1.replace("np=3", "np=5") + ",pop_nsh(),1",  # nobody knows what is inside
        f"{MD1},push_pbb(isid=3,pcp=0),1",
    ],
)
def test_what_does_not_fit_is_a_counted_drop(text):
    assert run(frames()["udp4"], text) == [("drop", "wrong_packet_type")]


def test_tags_do_not_come_off_with_the_header():
    assert run(frames()["vlan"], "pop_eth,1") == [("drop", "wrong_packet_type")]
    assert run(frames()["lldp"][:14], "pop_eth,pop_vlan,1") == [("drop", "wrong_packet_type")]
    frame = frames()["udp4"]
    assert sent(frame, "pop_eth,push_vlan(vid=1,pcp=0),1") == []
    assert Recorder().run(frame, odp_text.parse_actions(f"{MD1},1"), headroom=0) == [
        ("drop", "no_headroom")
    ]


def test_fields_of_nsh_are_set_in_its_bytes():
    frame = bytes(Ether() / NSH(mdtype=1, nextproto=3, spi=5, si=6) / Ether())
    text = "set(nsh(flags=1,ttl=63,spi=0xabcdef,si=7,c1=0x1,c4=0xffffffff)),1"
    [got] = sent(frame, text)
    assert got[14:16] == struct.pack("!H", 1 << 12 | 63 << 6 | 6) and got[16:18] == frame[16:18]
    assert got[18:22] == bytes.fromhex("abcdef07") and got[22:26] == bytes((0, 0, 0, 1))
    assert got[34:38] == b"\xff" * 4 and got[26:34] == frame[26:34] and got[38:] == frame[38:]
    [got] = sent(frame, "set(nsh(spi=0x100/0xf00)),1")
    assert got[18:22] == bytes.fromhex("00010506")
    second = bytes(Ether() / NSH(mdtype=2, nextproto=3, spi=5, si=6) / Ether())
    assert sent(second, "set(nsh(c1=0x1)),1") == [second]


def test_segmentation_finds_tcp_behind_nsh():
    frame = bytes(Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(dport=80) / (b"x" * 100))
    [got] = sent(frame, f"{MD1},{ETH},1")
    from datapath.actions import offload

    vnet = {"flags": 1, "gso_type": 1, "hdr_len": 92, "gso_size": 40, "csum_start": 72,
            "csum_offset": 16}  # fmt: skip
    made = offload.segments(got, vnet)
    assert [len(part) for part, _ in made] == [92 + 40, 92 + 40, 92 + 20]
    for part, _ in made:
        inner = Ether(part[38:])
        sums = inner[IP].chksum, inner[TCP].chksum
        inner[IP].chksum = inner[TCP].chksum = None
        again = Ether(bytes(inner))
        assert sums == (again[IP].chksum, again[TCP].chksum)


NSH_BYTES = st.one_of(
    st.binary(max_size=40),
    st.builds(
        lambda head, size, kind, rest: head[:1] + bytes((size, kind)) + rest,
        st.binary(min_size=1, max_size=1),
        st.integers(0, 63),
        st.sampled_from([0, 1, 2, 3]),
        st.binary(max_size=64),
    ),
)


@given(NSH_BYTES)
@settings(max_examples=300)
def test_headers_that_lie_are_as_the_naive_twin_reads_them(data):
    frame = bytes(12) + b"\x89\x4f" + data
    key = flow.extract(frame)
    found = {
        name: int.from_bytes(key[at : at + size], "big")
        for name, (at, size) in flow.MEMBERS.items()
    }
    assert {n: v for n, v in found.items() if v} == naive_key.extract(frame)
    mask = flow.wildcards_for(key)
    assert (
        key_text.parse_key(key_text.format_key(key, mask))[0][: flow.KEY_DP_SIZE]
        == (key[: flow.KEY_DP_SIZE])
    )
    # Whatever it is: what comes off and what is set leaves no hole.
    for text in ("set(nsh(flags=1,ttl=1,spi=0x1,si=1,c1=0x1)),1", "pop_eth,pop_nsh(),1"):
        Recorder().run(frame, odp_text.parse_actions(text))


@pytest.mark.parametrize(
    "text",
    [
        "push_nsh(mdtype=3)", "push_nsh(flags=4)", "push_nsh(spi=0x1000000)", "push_eth(src=1)",
        "push_nsh(mdtype=2,md2=0x" + "00" * 248 + ")", "push_eth()", "push_nsh(c5=0x1)",
    ],
)  # fmt: skip
def test_text_that_is_refused(text):
    with pytest.raises(ValueError):
        odp_text.parse_actions(text)


@pytest.mark.parametrize("words", [("clone(", ")"), ("sample(sample=50%,actions(", "))")])
def test_nested_text_ends_soon(words):
    """As much of it as a request to a daemon may have."""
    began, (opened, closed) = time.thread_time(), words
    inside = odp_text.parse_actions("1")
    for depth in (odp.NESTING, 1000, 50_000):
        text = opened * depth + "1" + closed * depth
        if depth == odp.NESTING:
            assert odp_text.parse_actions(text).endswith(inside)
            continue
        with pytest.raises(ValueError):
            odp_text.parse_actions(text)
    assert time.thread_time() - began < 1


@pytest.mark.parametrize(
    "payload", [b"", bytes(8), bytes((0, 6, 1, 3)) + bytes(16), b"\xc0\x02" + bytes(6)]
)
def test_headers_that_are_refused(payload):
    with pytest.raises(ValueError, match="push_nsh"):
        odp.check_actions(odp_text.attribute(odp.PUSH_NSH, payload))
