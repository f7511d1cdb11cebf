"""Connections in a datapath process: through recirculation and upcalls, as pyvs-dpctl shows them,
in fragments, and after the process was killed."""

import os
import subprocess
import sys

import pytest
from scapy.all import IP, UDP, Ether, IPv6, defragment, fragment
from scapy.layers.inet6 import defragment6, fragment6
from scapy.packet import Raw

from datapath.actions.text import odp_text
from datapath.ipc.dpif import DpifError
from datapath.ipc.upcall_rings import answer_upcall
from datapath.key import key_text
from tests.datapath.dp_process import Process
from tests.datapath.ipc.test_dpif import take

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
A, B, OUT = "10.0.0.1", "10.0.0.2", "192.0.2.1"
UDP_LINE = (
    "udp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1000,dport=53),"
    "reply=(src=10.0.0.2,dst=192.0.2.1,sport=53,dport=1000),zone=4,mark=5,labels=0x6\n"
)
NAT_OUT = f"ct(commit,zone=4,mark=0x5/0xff,label=0x6/0xff,nat(src={OUT})),recirc(0x1)"
IP4 = "eth_type(0x0800),ipv4(frag=no)"


def udp(src=A, dst=B, sport=1000, dport=53, data=b"x"):
    return ETHER / IP(src=src, dst=dst) / UDP(sport=sport, dport=dport) / Raw(data)


def inject(process, port, packet):
    process.dpif.port_inject(port, bytes(packet))


@pytest.fixture
def three(shared):
    yield shared
    shared.dpif.flow_flush()
    shared.dpif.ct_flush()
    shared.dpif.ct_limits_set([(None, 0)])
    for number in (1, 2, 3):
        shared.dpif.port_drain(number)


def firewall(process, ip=IP4):
    """Port 1 is inside: it begins connections, which are translated; port 2 only answers."""
    process.flow(f"recirc_id(0),in_port(1),{ip}", NAT_OUT)
    process.flow(f"ct_state(+trk),ct_zone(0x4),recirc_id(0x1),in_port(1),{ip}", "2")
    process.flow(f"recirc_id(0),in_port(2),{ip}", "ct(zone=4,nat),recirc(0x2)")
    process.flow(f"ct_state(+est+rpl+trk),ct_mark(0x5),recirc_id(0x2),in_port(2),{ip}", "1")
    process.flow(f"ct_state(-est+trk),recirc_id(0x2),in_port(2),{ip}", "drop")


def test_a_firewall_with_nat(three):
    """Two ports, so of two workers where there are several."""
    firewall(three)
    inject(three, 2, udp(B, A, 53, 1000))
    inject(three, 1, udp())
    [out] = three.dpif.port_drain(2)
    assert (Ether(out)[IP].src, Ether(out)[UDP].sport) == (OUT, 1000)
    inject(three, 2, udp(B, OUT, 53, 1000, b"answer"))
    [back] = three.dpif.port_drain(1)
    assert (Ether(back)[IP].dst, bytes(Ether(back)[Raw])) == (A, b"answer")
    assert three.dpctl("dump-conntrack") == UDP_LINE
    assert three.dpctl("dump-conntrack", "zone=3") == ""
    assert ",timeout=" in three.dpctl("dump-conntrack", "-s")
    assert three.dpctl("ct-stats-show") == "Connections Stats:\n    Total: 1\n  UDP: 1\n"
    assert three.dpctl("ct-get-nconns") == "1\n"
    three.dpctl("flush-conntrack", "zone=4", "ct_nw_src=10.0.0.9,ct_nw_proto=17")
    assert three.dpctl("ct-get-nconns") == "1\n"
    for others in (("mark=6",), ("mark=1/3", "labels=0x5"), ("zone=4", "labels=1/1")):
        three.dpctl("flush-conntrack", *others)
        assert three.dpctl("ct-get-nconns") == "1\n"
    assert "mark" in three.dpctl("flush-conntrack", "mark=x", check=False)
    three.dpctl("flush-conntrack", "zone=4", "mark=0x5/0xf", "labels=0x6")
    assert three.dpctl("dump-conntrack") == ""
    inject(three, 1, udp())
    assert three.dpctl("dump-conntrack") == UDP_LINE
    three.dpctl("flush-conntrack", "ct_nw_src=10.0.0.1,ct_nw_proto=17,ct_tp_dst=53")
    assert three.dpctl("dump-conntrack") == ""
    one = "ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_nw_proto=17,ct_tp_src=1,ct_tp_dst=2"
    assert "failed to flush conntrack (No such file or directory)" in three.dpctl(
        "flush-conntrack", one, check=False
    )
    for words, said in (
        ("x=1", "invalid conntrack tuple field: x (Invalid argument)"),
        ("x", "field x missing value (Invalid argument)"),
        ("ct_nw_src=x", "failed to parse field ct_nw_src (Invalid argument)"),
    ):
        assert said in three.dpctl("flush-conntrack", words, check=False)


def test_settings(three):
    assert three.dpctl("ct-get-maxconns") == "3000000\n"
    three.dpctl("ct-set-maxconns", "10")
    assert three.dpctl("ct-get-maxconns") == "10\n"
    most = three.dpif.ct_get()["capacity"]
    said = three.dpctl("ct-set-maxconns", "4294967295")
    assert said.splitlines() == [
        "setting maxconns successful",
        f"there will be {most} at most, for which there is room",
    ]
    assert three.dpctl("ct-get-maxconns") == "4294967295\n"
    assert three.dpctl("ct-set-maxconns", "3000000") == "setting maxconns successful\n"
    three.dpctl("ct-set-limits", "default=2", "zone=4,limit=7")
    wanted = "default limit=2\nzone=4,limit=7,count=0\n"
    assert three.dpctl("ct-get-limits") == wanted == three.dpctl("ct-get-limits", "zone=4")
    three.dpctl("ct-del-limits", "zone=4")
    assert three.dpctl("ct-get-limits") == "default limit=2\n"
    three.dpctl("ct-disable-tcp-seq-chk")
    assert three.dpctl("ct-get-tcp-seq-chk") == "TCP sequence checking: disabled\n"
    three.dpctl("ct-enable-tcp-seq-chk")
    three.dpctl("ct-set-sweep-interval", "1000")
    assert three.dpctl("ct-get-sweep-interval") == "1000\n"
    assert "v4 enabled: 1" in three.dpctl("ipf-get-status")
    assert three.dpctl("ct-bkts").startswith("Total Buckets: 256\nCurrent Connections: 0\n")
    with pytest.raises(DpifError):
        three.dpif.ct_set(maxconns=-1)
    with pytest.raises(DpifError):
        three.dpif.ct_adopt(os.open("/dev/null", os.O_RDONLY))


def test_what_the_tracker_said_comes_up_and_goes_down(three):
    """An upcall has it; a packet that comes back has it, too, and ct_clear takes it off."""
    handler = three.client()
    handler.upcall_register()
    three.flow(f"recirc_id(0),in_port(1),{IP4}", NAT_OUT)
    inject(three, 1, udp())
    up = take(handler)
    text = key_text.format_key(up.key)
    for part in (
        "ct_state(new|trk|snat)", "ct_zone(0x4)", "ct_mark(0x5)", "ct_label(0x6)",
        "ct_tuple4(src=10.0.0.1,dst=10.0.0.2,proto=17,tp_src=1000,tp_dst=53)",
    ):  # fmt: skip
        assert part in text
    assert answer_upcall(handler, up, odp_text.parse_actions("recirc(0x2),ct_clear,recirc(0x3)"))
    one, two = (key_text.format_key(take(handler).key) for _ in range(2))
    assert "ct_state(new|trk|snat)" in one and "ct_mark(0x5)" in one
    assert "ct_" not in two and "recirc_id(0x3)" in two
    handler.close()


@pytest.mark.parametrize("v6", [False, True])
def test_fragments(three, v6):
    """Put together for the tracker in any order, and sent on as fragments."""
    three.dpif.flow_flush()
    kind = "eth_type(0x86dd)" if v6 else "eth_type(0x0800)"
    address = "fd00::99" if v6 else OUT
    three.flow(f"recirc_id(0),in_port(1),{kind}", f"ct(commit,nat(src={address})),recirc(0x1)")
    three.flow(f"ct_state(+new+trk),recirc_id(0x1),in_port(1),{kind}", "2")
    if v6:
        from scapy.layers.inet6 import IPv6ExtHdrFragment

        whole = IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=1, dport=2) / Raw(b"ab" * 2000)
        pieces = fragment6(
            IPv6(src="fd00::1", dst="fd00::2")
            / IPv6ExtHdrFragment(id=9)
            / UDP(bytes(whole.payload)),
            1500,
        )
    else:
        whole = IP(src=A, dst=B, id=7) / UDP(sport=1, dport=2) / Raw(b"ab" * 2000)
        pieces = fragment(whole, 1400)
    assert len(pieces) > 2
    for piece in reversed(pieces):
        assert three.dpif.port_drain(2) == []
        inject(three, 1, ETHER / piece)
    frames = [Ether(data).payload for data in three.dpif.port_drain(2)]
    assert len(frames) == len(pieces)
    joined = defragment6(frames) if v6 else defragment(frames)[0]
    joined = type(whole)(bytes(joined))
    assert joined.src == address and bytes(joined[Raw]) == b"ab" * 2000
    again = joined.copy()
    del again[UDP].chksum
    assert bytes(joined[UDP]) == bytes(type(whole)(bytes(again))[UDP])


def test_fragments_that_are_lost(datapath):
    """Overlapping, tiny, too many: each under its name, and nothing waits for ever."""
    for number in (1, 2):
        datapath.add(f"d{number}", "dummy", number)
    datapath.flow("recirc_id(0),in_port(1),eth_type(0x0800)", "ct,2")
    good = fragment(IP(src=A, dst=B, id=1) / UDP() / Raw(bytes(4000)), 1400)
    inject(datapath, 1, ETHER / good[0])
    wrong = good[1].copy()
    wrong.frag -= 1
    del wrong.chksum
    inject(datapath, 1, ETHER / wrong)
    assert datapath.drops() == {"frag_malformed": 2}
    inject(datapath, 1, ETHER / good[2])
    assert datapath.drops() == {"frag_malformed": 3}
    inject(datapath, 1, ETHER / fragment(IP(src=A, dst=B, id=2) / Raw(bytes(900)), 400)[0])
    assert datapath.drops() == {"frag_malformed": 3, "frag_too_small": 1}
    for number in range(200):
        piece = fragment(IP(src=A, dst=B, id=10 + number) / Raw(bytes(4000)), 1400)[0]
        inject(datapath, 1, ETHER / piece)
    drops = datapath.drops()
    assert drops["frag_limit"] == 200 - 127
    datapath.dpif.set_clock(None, 60 * 10**9)
    inject(datapath, 1, ETHER / good[0])
    assert datapath.drops()["frag_timeout"] == 127
    assert datapath.dpif.port_drain(2) == []
    datapath.dpctl("ipf-set-disabled", "v4")
    inject(datapath, 1, ETHER / good[0])
    assert datapath.dpif.port_drain(2) == [bytes(ETHER / good[0])]


def test_what_waits_is_shown(datapath):
    for number in (1, 2):
        datapath.add(f"d{number}", "dummy", number)
    datapath.flow("recirc_id(0),in_port(1),eth_type(0x0800)", "ct,2")
    assert datapath.dpctl("ipf-get-status", "-m").endswith("Fragment Lists:\n\n")
    for number, which in ((3, [0]), (4, [1]), (5, [2]), (6, [0, 2]), (7, [0, 1, 2])):
        pieces = fragment(IP(src=A, dst=B, id=number) / UDP() / Raw(bytes(4000)), 1400)
        inject(datapath, 1, ETHER / pieces[which[0]])
        for each in which[1:]:
            inject(datapath, 1, ETHER / pieces[each])
    waiting = datapath.dpctl("ipf-get-status", "-m").partition("Fragment Lists:\n\n")[2]
    assert sorted(waiting.splitlines()) == [
        f"(src={A},dst={B},recirc_id=0,ip_id={number},dl_type=0x800,zone=0,nw_proto=17,"
        f"num_fragments={n},state={state} frag)"
        for number, n, state in (
            (3, 1, "first"),
            (4, 1, "other"),
            (5, 1, "last"),
            (6, 2, "first/last"),
        )
    ]
    assert len(datapath.dpif.port_drain(2)) == 3


def test_the_process_is_killed():
    """Who holds the memory gives it to the next process: connections go on, translated."""
    process = Process()
    try:
        for number in (1, 2):
            process.add(f"d{number}", "dummy", number)
        firewall(process)
        inject(process, 1, udp())
        memory = process.dpif.ct_memory()
        assert process.dpif.ct_adopt(memory) == 1  # its own: nothing happens
        process.kill()
        process.start()
        assert process.dpif.ct_adopt(memory) == 1
        assert process.dpctl("dump-conntrack") == UDP_LINE
        for number in (1, 2):
            process.add(f"d{number}", "dummy", number)
        firewall(process)
        inject(process, 2, udp(B, OUT, 53, 1000, b"answer"))
        [back] = process.dpif.port_drain(1)
        assert Ether(back)[IP].dst == A
        os.close(memory)
        other = os.memfd_create("other")
        with pytest.raises(DpifError, match="connections already"):
            process.dpif.ct_adopt(other)
        os.close(other)
        process.check()
    finally:
        process.close()


def test_a_limit_on_the_length_of_files():
    """The table's memory has a descriptor, so `ulimit -f` counts: then it is as large as may be."""
    code = "from datapath.conntrack.connections import Connections\n"
    code += "a = Connections()\nprint(Connections(a.fd).limit)"
    words = ["sh", "-c", f'ulimit -f 8192; exec "{sys.executable}" -c "$0"', code]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.stdout == "3000000\n", done.stderr
