"""Single packets through the tracker: states, translation; checksums are as scapy has them."""

import pytest
from scapy.all import ICMP, IP, TCP, UDP, Ether, IPerror, IPv6, TCPerror, UDPerror
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest
from scapy.packet import Raw

from datapath.actions.text import ct_text
from datapath.conntrack.connections import Connections
from datapath.conntrack.policies import DEFAULTS

NEW, EST, REL, RPL, INV, TRK, SNAT, DNAT = (1 << i for i in range(8))
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
A, B = "10.0.0.1", "10.0.0.2"


class Peers:
    """A table, a clock, and packets through them."""

    def __init__(self):
        self.table = Connections()
        self.now = 1_000_000

    def send(self, packet, action="commit", ct=None, random=0):
        """The packet (or Ethernet frame's IP part) after the action, its state, the loss."""
        frame = bytes(ETHER / packet)
        body = ct_text.parse_ct(action)
        out, told, lost = self.table.track(frame, body, self.now, ct, None, random)
        got = Ether(out).payload
        assert bytes(type(got)(bytes(got))) == bytes(fresh(got)), "checksums"
        self.told = told
        return got, told["state"], lost

    def rows(self, zone=None):
        return self.table.dump(0, 1 << 20, zone, self.now)[0]


def fresh(packet):
    """The same packet with checksums that scapy computes."""
    copy = packet.copy()
    layer = copy
    while layer:
        for field in ("chksum", "cksum"):
            if field in layer.fields and not isinstance(layer, IPerror | TCPerror | UDPerror):
                del layer.fields[field]
        layer = layer.payload
    return type(packet)(bytes(copy))


@pytest.fixture
def peers():
    return Peers()


def handshake(peers, action="commit", src=A, dst=B, sport=1000, dport=80):
    up = IP(src=src, dst=dst) / TCP(sport=sport, dport=dport, flags="S", seq=100, window=1000)
    out, state, _ = peers.send(up, action)
    assert state == NEW | TRK | state & (SNAT | DNAT)
    back = IP(src=out.dst, dst=out.src) / TCP(
        sport=out[TCP].dport, dport=out[TCP].sport, flags="SA", seq=500, ack=101, window=1000
    )
    answer, state, _ = peers.send(back, action)
    assert state & ~(SNAT | DNAT) == EST | RPL | TRK
    third = up.copy()
    third[TCP].flags, third[TCP].seq, third[TCP].ack = "A", 101, 501
    _, state, _ = peers.send(third, action)
    assert state & ~(SNAT | DNAT) == EST | TRK
    return out, answer


def test_tcp_from_beginning_to_end(peers):
    handshake(peers)
    (row,) = peers.rows()
    assert row["timeout"] == DEFAULTS["tcp_established"]
    up = IP(src=A, dst=B) / TCP(sport=1000, dport=80, flags="FA", seq=101, ack=501, window=1000)
    down = IP(src=B, dst=A) / TCP(sport=80, dport=1000, flags="FA", seq=501, ack=102, window=1000)
    last = IP(src=A, dst=B) / TCP(sport=1000, dport=80, flags="A", seq=102, ack=502, window=1000)
    for packet, timeout in ((up, "tcp_fin_wait"), (down, "tcp_time_wait"), (last, "tcp_close")):
        assert peers.send(packet)[1] & EST
        assert peers.rows()[0]["timeout"] == DEFAULTS[timeout]
    again = IP(src=A, dst=B) / TCP(sport=1000, dport=80, flags="S", seq=9000)
    assert peers.send(again)[1] == NEW | TRK
    assert len(peers.rows()) == 1
    peers.now += DEFAULTS["tcp_syn_sent"] * 1000
    assert peers.rows() == [] and len(peers.table) == 1
    assert peers.table.sweep(10, peers.now) == 1 and len(peers.table) == 0


@pytest.mark.parametrize("check", [True, False])
def test_windows(peers, check):
    """What lies outside of the window is invalid, unless nobody looks."""
    handshake(peers)
    peers.table.tcp_seq_chk = check
    wild = IP(src=A, dst=B) / TCP(sport=1000, dport=80, flags="A", seq=101 + (1 << 20), ack=501)
    state = peers.send(wild / Raw(b"x" * 100))[1]
    assert state == (INV | TRK if check else EST | TRK)
    reset = IP(src=B, dst=A) / TCP(sport=80, dport=1000, flags="R", seq=900)
    assert peers.send(reset)[1] == (INV | TRK if check else EST | RPL | TRK)


def test_what_begins_nothing(peers):
    base = IP(src=A, dst=B)
    for packet in (
        base / TCP(flags="SA"),
        base / TCP(flags="SF"),
        base / TCP(flags=""),
        base / TCP(flags="F"),
        base / UDP(sport=0, dport=1),
        base / ICMP(type=0),
        base / ICMP(type=3) / IPerror(src=B, dst=A) / UDPerror(sport=1, dport=2) / Raw(b"1234"),
        base / TCP(flags="S", chksum=1),
        base / UDP(sport=1, dport=2, chksum=1),
        IP(src=A, dst=B, frag=1) / Raw(b"12345678"),
    ):
        frame = bytes(ETHER / packet)
        _, told, lost = peers.table.track(frame, ct_text.parse_ct("commit"), peers.now)
        assert (told["state"], lost) == (INV | TRK, None), packet
    assert peers.rows() == []
    arp = Ether(src=ETHER.src, dst=ETHER.dst, type=0x806) / Raw(bytes(28))
    assert peers.table.track(bytes(arp), ct_text.parse_ct(""), 1)[1]["state"] == INV | TRK


@pytest.mark.parametrize("v6", [False, True])
def test_udp_and_icmp(peers, v6):
    def ip(src, dst):
        return IPv6(src=f"fd00::{src}", dst=f"fd00::{dst}") if v6 else IP(src=src, dst=dst)

    a, b = ("1", "2") if v6 else (A, B)
    ask = ICMPv6EchoRequest(id=5) if v6 else ICMP(id=5)
    answer = ICMPv6EchoReply(id=5) if v6 else ICMP(type=0, id=5)
    for up, down in (
        (UDP(sport=1, dport=2), UDP(sport=2, dport=1)),
        (ask, answer),
    ):
        assert peers.send(ip(a, b) / up / Raw(b"abc"))[1] == NEW | TRK
        assert peers.send(ip(a, b) / up)[1] == NEW | TRK
        assert peers.send(ip(b, a) / down)[1] == EST | RPL | TRK
        assert peers.send(ip(a, b) / up)[1] == EST | TRK
    assert len(peers.rows()) == 2


SNAT_ACTION = "commit,nat(src=192.0.2.1-192.0.2.9:5000-5009)"


def test_snat(peers):
    out, answer = handshake(peers, SNAT_ACTION)
    assert out.src.startswith("192.0.2.") and 5000 <= out[TCP].sport <= 5009
    assert (answer.src, answer.dst, answer[TCP].dport) == (B, A, 1000)
    assert peers.told["state"] == EST | TRK | SNAT


def test_dnat_v6_and_the_second_pass(peers):
    """Translated already: the same zone knows it, and does not translate again."""
    packet = IPv6(src="fd00::1", dst="fd00::ff") / UDP(sport=9, dport=53) / Raw(b"q")
    out, state, _ = peers.send(packet, "commit,zone=7,nat(dst=[fd00::2]:5353)")
    assert (out.dst, out[UDP].dport, state) == ("fd00::2", 5353, NEW | TRK | DNAT)
    again, state, _ = peers.send(out, "zone=7,nat", peers.told)
    assert bytes(again) == bytes(out) and state == NEW | TRK | DNAT
    back = IPv6(src="fd00::2", dst="fd00::1") / UDP(sport=5353, dport=9) / Raw(b"a")
    answer, state, _ = peers.send(back, "zone=7,nat")
    assert (answer.src, answer[UDP].sport) == ("fd00::ff", 53)
    assert state == EST | RPL | TRK | SNAT
    assert peers.send(packet, "zone=8")[1] == NEW | TRK
    (row,) = peers.rows()
    assert row["reply"] == {
        "src": "fd00::2", "dst": "fd00::1", "proto": 17, "src_port": 5353, "dst_port": 9
    }  # fmt: skip


def test_ports_run_out(peers):
    """Each gets a port of its own; the one too many is lost, by name."""
    action = "commit,nat(src=192.0.2.1:5000-5003)"
    ports = set()
    for i in range(5):
        out, state, lost = peers.send(IP(src=A, dst=B) / UDP(sport=100 + i, dport=53), action)
        if i < 4:
            ports.add(out[UDP].sport)
            assert (state, lost) == (NEW | TRK | SNAT, None)
    assert ports == {5000, 5001, 5002, 5003} and lost == "ct_nat_exhausted"
    assert len(peers.table) == 4 and peers.table.stats()["exhausted"] == 1


def test_the_same_port_of_two_hosts(peers):
    """Without a range of ports each keeps its own where that is free; all-zero: its address."""
    for action in ("commit,zone=1,nat(src=192.0.2.1)", "commit,zone=2,nat(src=0.0.0.0)"):
        seen = []
        for host in (A, "10.0.0.3"):
            out, _, lost = peers.send(IP(src=host, dst=B) / UDP(sport=3000, dport=53), action)
            seen.append((out.src, out[UDP].sport))
            assert lost is None
        assert len(set(seen)) == 2 and seen[0][1] == 3000
        if "0.0.0.0" in action:
            assert seen == [(A, 3000), ("10.0.0.3", 3000)]


def test_an_error_of_a_translated_connection(peers):
    """Unreachable: related, and both the error and what is in it are translated back."""
    sent, _, _ = peers.send(IP(src=A, dst=B) / UDP(sport=7, dport=53) / Raw(b"q" * 8), SNAT_ACTION)
    error = IP(src="10.9.9.9", dst=sent.src) / ICMP(type=3, code=3) / bytes(sent)
    got, state, _ = peers.send(error, "nat")
    assert state == REL | RPL | TRK | DNAT
    assert (got.src, got.dst) == ("10.9.9.9", A)
    inner = got[IPerror]
    assert (inner.src, inner.dst) == (A, B)
    assert (inner[UDPerror].sport, inner[UDPerror].dport) == (7, 53)
    plain = IP(bytes(inner))
    assert bytes(plain) == bytes(fresh(plain)), "checksums inside"
    foreign = IP(src="10.9.9.9", dst=B) / ICMP(type=3, code=3) / bytes(sent)
    assert peers.send(foreign, "nat")[1] == INV | TRK


def test_an_error_of_v6(peers):
    packet = IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=7, dport=53) / Raw(b"q" * 8)
    sent, _, _ = peers.send(packet, "commit,nat(src=fd00::99)")
    error = IPv6(src="fd00::aa", dst="fd00::99") / ICMPv6DestUnreach(code=4) / bytes(sent)
    got, state, _ = peers.send(error, "nat")
    assert state == REL | RPL | TRK | DNAT and got.dst == "fd00::1"
    assert IPv6(bytes(got)[48:]).src == "fd00::1"


def test_mark_label_force_and_zones(peers):
    packet = IP(src=A, dst=B) / UDP(sport=7, dport=53)
    peers.send(packet, "commit,zone=3,mark=0x5/0xf,label=0x70/0xf0")
    assert (peers.told["mark"], int(peers.told["label"], 16)) == (5, 0x70)
    peers.send(packet, "commit,zone=3,mark=0x10/0xf0")
    assert peers.told["mark"] == 0x15
    back = IP(src=B, dst=A) / UDP(sport=53, dport=7)
    assert peers.send(back, "zone=3")[1] == EST | RPL | TRK
    assert peers.send(back, "force_commit,zone=3")[1] == NEW | TRK
    (row,) = peers.rows(3)
    assert row["orig"]["src"] == B and row["mark"] == 0
    assert peers.rows(4) == []


def test_limits_and_flushing(peers):
    table = peers.table
    table.set_limit(None, 2)
    table.set_limit(5, 1)
    for i in range(4):
        for zone in (0, 5):
            packet = IP(src=A, dst=B) / UDP(sport=7 + i, dport=53)
            assert peers.send(packet, f"commit,zone={zone}")[1] == NEW | TRK
    assert table.limits([0, 5]) == (2, [(0, 2, 2), (5, 1, 1)])
    assert table.stats()["zone_full"] == 5
    with pytest.raises(ValueError, match="zone"):
        table.set_limit(65536, 1)
    orig = {"src": A, "src_port": 8, "proto": 17}
    assert table.flush(0, 100, {"orig": orig}) == (1, None)
    assert table.flush(0, 100, {"zone": 5, "reply": {"src": B}}) == (1, None)
    assert table.flush(0, 100, {"mark": [1, 1]}) == (0, None)
    assert table.flush(0, 100, {}) == (1, None) and len(table) == 0
    table.limit = 1
    for sport in (1, 2):
        peers.send(IP(src=A, dst=B) / UDP(sport=sport, dport=53))
    assert len(table) == 1 and table.stats()["full"] == 1


def test_policies(peers):
    peers.table.set_policy("short", {"udp_first": 3, "tcp_unack": 1})
    packet = IP(src=A, dst=B) / UDP(sport=7, dport=53)
    peers.send(packet, "commit,timeout=short")
    assert peers.rows()[0]["timeout"] == 3
    assert peers.table.policies()["short"]["udp_first"] == 3
    with pytest.raises(ValueError, match="no such timeout"):
        peers.table.set_policy("x", {"foo": 1})
    peers.table.delete_policy("short")
    peers.send(packet)
    assert peers.rows()[0]["timeout"] == DEFAULTS["udp_single"]


def test_another_process_takes_over(peers):
    """Connections, limits and policies lie in the memory that the descriptor names."""
    handshake(peers, SNAT_ACTION)
    peers.table.set_limit(9, 77)
    peers.table.set_policy("kept", {"udp_first": 3})
    before = peers.rows()
    successor = Peers()
    successor.table = Connections(peers.table.fd)
    del peers.table
    assert successor.rows() == before and len(successor.table) == 1
    assert successor.table.limits() == (0, [(9, 77, 0)])
    assert successor.table.policies()["kept"]["udp_first"] == 3
    data = IP(src=A, dst=B) / TCP(sport=1000, dport=80, flags="PA", seq=101, ack=501) / Raw(b"x")
    out, state, _ = successor.send(data, "nat")
    assert state == EST | TRK | SNAT and out.src.startswith("192.0.2.")


# ---- Helpers ----


def talk(peers, sport, way, text, action, seq, ack, src=A, dst=B, flags="PA"):
    """A segment of a control connection, as the host at the end of `way` sends it."""
    ports = {"sport": sport, "dport": 21} if way == 0 else {"sport": 21, "dport": sport}
    packet = IP(src=src, dst=dst) / TCP(flags=flags, seq=seq, ack=ack, window=2000, **ports)
    return peers.send(packet / Raw(text) if text else packet, action)[0]


@pytest.mark.parametrize("extended", [False, True])
def test_ftp_active_through_snat(peers, extended):
    """PORT names the outside's address, and what comes there goes to the client; numbers that
    count bytes are shifted for both ends, selective acknowledgments included."""
    action = "commit,helper=ftp,nat(src=192.0.2.100)"
    out, _ = handshake(peers, action, dport=21)
    said = b"EPRT |1|10.0.0.1|5001|\r\n" if extended else b"PORT 10,0,0,1,19,137\r\n"
    want = b"EPRT |1|192.0.2.100|5001|\r\n" if extended else b"PORT 192,0,2,100,19,137\r\n"
    got = talk(peers, 1000, 0, said, action, 101, 501)
    assert bytes(got[TCP].payload) == want and got[TCP].seq == 101
    again = talk(peers, 1000, 0, said, action, 101, 501)
    assert bytes(again) == bytes(got)
    grown = len(want) - len(said)
    answer = IP(src=B, dst=out.src) / TCP(
        sport=21, dport=1000, flags="PA", seq=501, ack=101 + len(want), window=2000,
        options=[("NOP", None), ("NOP", None), ("SAck", (106 + len(want), 110 + len(want)))],
    ) / Raw(b"200 ok\r\n")  # fmt: skip
    back, state, _ = peers.send(answer, action)
    assert state & EST and back[TCP].ack == 101 + len(said)
    assert dict(back[TCP].options)["SAck"] == (106 + len(said), 110 + len(said))
    later = talk(peers, 1000, 0, b"RETR x\r\n", action, 101 + len(said), 509)
    assert later[TCP].seq == 101 + len(said) + grown and later[TCP].ack == 509
    data = IP(src=B, dst="192.0.2.100") / TCP(sport=20, dport=5001, flags="S", seq=1)
    _, state, _ = peers.send(data, "")
    assert state == NEW | REL | TRK
    got, state, _ = peers.send(data, "commit,nat")
    assert state == NEW | REL | TRK | DNAT and (got.dst, got[TCP].dport) == (A, 5001)
    reply = IP(src=A, dst=B) / TCP(sport=5001, dport=20, flags="SA", seq=1, ack=2)
    got, state, _ = peers.send(reply, "nat")
    assert got.src == "192.0.2.100" and state == EST | REL | RPL | TRK | SNAT
    assert [row["helper"] for row in peers.rows()] == ["ftp", None]
    assert peers.rows()[1]["related"] == peers.rows()[0]["orig"]


@pytest.mark.parametrize("extended", [False, True])
def test_ftp_passive_through_dnat(peers, extended):
    action = "commit,helper=ftp,nat(dst=10.0.0.9)"
    handshake(peers, action, dport=21)
    said = b"229 go (|||6000|)\r\n" if extended else b"227 go (10,0,0,9,23,112).\r\n"
    want = said if extended else b"227 go (10,0,0,2,23,112).\r\n"
    got = talk(peers, 1000, 1, said, action, 501, 101, src="10.0.0.9", dst=A)
    assert bytes(got[TCP].payload) == want and got.src == B
    data = IP(src=A, dst=B) / TCP(sport=4444, dport=6000, flags="S", seq=1)
    got, state, _ = peers.send(data, "commit,nat")
    assert state == NEW | REL | TRK | DNAT and (got.dst, got[TCP].dport) == ("10.0.0.9", 6000)
    # Once only, and nobody else.
    other = IP(src=A, dst=B) / TCP(sport=4445, dport=6000, flags="S", seq=1)
    assert peers.send(other, "")[1] == NEW | TRK


def test_ftp_that_lies(peers):
    """Addresses of others and nonsense announce nothing, and change nothing."""
    action = "commit,helper=ftp,nat(src=192.0.2.100)"
    handshake(peers, action, dport=21)
    seq = 101
    for text in (
        b"PORT 10,0,0,7,19,137\r\n",
        b"PORT 10,0,0,1,19\r\n",
        b"PORT 300,0,0,1,1,1\r\n",
        b"PORT 10,0,0,1,0,0\r\n",
        b"EPRT |2|10.0.0.1|5|\r\n",
        b"EPRT |1|10.0.0.1|99999|\r\n",
        b"EPRT |1|10.0.0.1|\r\n",
        b"EPRT ",
        b"PORT " + b"1" * 300,
        b"227 (10,0,0,1,1,1)",
    ):
        got = talk(peers, 1000, 0, text, action, seq, 501)
        assert bytes(got[TCP].payload) == text and got[TCP].seq == seq
        seq += len(text)
    for port in (5001, 1285):
        data = IP(src=B, dst="192.0.2.100") / TCP(sport=20, dport=port, flags="S", seq=1)
        assert peers.send(data, "")[1] == NEW | TRK


def test_tftp(peers):
    ask = IP(src=A, dst=B) / UDP(sport=1069, dport=69) / Raw(b"\0\1file\0octet\0")
    peers.send(ask, "commit,helper=tftp,nat(src=192.0.2.100)")
    data = IP(src=B, dst="192.0.2.100") / UDP(sport=3333, dport=1069) / Raw(b"\0\3")
    got, state, _ = peers.send(data, "commit,nat")
    assert state == NEW | REL | TRK | DNAT and got.dst == A
