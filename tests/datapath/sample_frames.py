"""Frames of every protocol that the datapath parses, made by scapy."""

from functools import cache

from scapy.contrib.mpls import MPLS
from scapy.contrib.nsh import NSH
from scapy.layers.igmp import IGMP
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Timestamp
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.ipsec import AH, ESP
from scapy.layers.l2 import ARP, LLC, SNAP, Dot1AD, Dot1AH, Dot1Q, Dot3, Ether
from scapy.layers.sctp import SCTP, SCTPChunkData
from scapy.packet import Padding, Raw

ETH = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
PBB = Dot1AH(isid=0xABCDEF, prio=5, dei=1)
V4 = IP(src="10.0.0.1", dst="10.0.0.2", ttl=33, tos=0xB9, id=7)
V6 = IPv6(src="fd00::1", dst="fd00::2", hlim=44, tc=0xA6, fl=0xABCDE)
DATA = Raw(bytes(range(37)))  # odd, so that sums have a last half word


@cache
def frames() -> dict[str, bytes]:
    nd = ICMPv6ND_NS(tgt="fe80::7") / ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:09")
    na = ICMPv6ND_NA(tgt="fe80::7", R=1, S=1) / ICMPv6NDOptDstLLAddr(lladdr="02:00:00:00:00:08")
    tcp = TCP(sport=1000, dport=2000, flags="PACE", options=[("MSS", 1460)]) / DATA
    udp = UDP(sport=53, dport=5353) / DATA
    unsummed = UDP(sport=53, dport=5353, chksum=0) / DATA
    sctp = SCTP(sport=5, dport=6, tag=77) / SCTPChunkData(data=b"sctp!")
    made = {
        "nsh_md1": ETH / NSH(mdtype=1, spi=5, si=7, context_header=bytes(range(16))) / ETH,
        "nsh_md2": ETH / NSH(mdtype=2, nextproto=1, spi=0xABCDEF, ttl=63) / V4,
        "tcp4": ETH / V4 / tcp,
        "udp4": ETH / V4 / udp,
        "udp4_unsummed": ETH / V4 / unsummed,
        "sctp4": ETH / V4 / sctp,
        "icmp4": ETH / V4 / ICMP(type=8, id=3, seq=4) / DATA,
        "igmp": ETH / V4 / IGMP(type=0x16, gaddr="224.1.2.3"),
        "options4": ETH
        / IP(src="10.0.0.1", dst="10.0.0.2", options=[IPOption_Timestamp()])
        / udp,
        "gre4": ETH / IP(src="10.0.0.1", dst="10.0.0.2", proto=47) / DATA,
        "fragment4_first": ETH / IP(src="1.1.1.1", dst="2.2.2.2", flags="MF", proto=17) / udp,
        "fragment4_later": ETH / IP(src="1.1.1.1", dst="2.2.2.2", frag=5, proto=17) / DATA,
        "tcp6": ETH / V6 / tcp,
        "udp6": ETH / V6 / udp,
        "sctp6": ETH / V6 / sctp,
        "icmp6": ETH / V6 / ICMPv6EchoRequest(id=9, data=b"hello"),
        "nd_ns": ETH / V6 / nd,
        "nd_na": ETH / V6 / na,
        "ext6": ETH / V6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / udp,
        "routing6": ETH / V6 / IPv6ExtHdrRouting(addresses=["fd00::3"]) / tcp,
        "ah6": ETH / V6 / AH(nh=17, spi=9, seq=1) / udp,
        "fragment6_atomic": ETH / V6 / IPv6ExtHdrFragment(offset=0, m=0) / udp,
        "fragment6_first": ETH / V6 / IPv6ExtHdrFragment(offset=0, m=1) / udp,
        "fragment6_later": ETH / V6 / IPv6ExtHdrFragment(offset=4, m=1, nh=17) / DATA,
        "ext6_all": ETH / V6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt()
        / IPv6ExtHdrRouting(addresses=["fd00::3"]) / IPv6ExtHdrFragment(m=0)
        / AH(nh=60, spi=9, seq=1) / IPv6ExtHdrDestOpt() / tcp,
        "ext6_repeated": ETH / V6 / IPv6ExtHdrRouting(addresses=["fd00::3"])
        / IPv6ExtHdrRouting(addresses=["fd00::4"]) / udp,
        "ext6_unordered": ETH / V6 / IPv6ExtHdrDestOpt() / IPv6ExtHdrHopByHop() / udp,
        "nonext6": ETH / V6 / IPv6ExtHdrHopByHop(nh=59) / DATA,
        "esp6": ETH / V6 / ESP(spi=1, seq=2, data=bytes(DATA)),
        "pbb": ETH / PBB / Ether(src=ETH.src, dst=ETH.dst) / Dot1Q(vlan=5) / V4 / tcp,
        "pbb_tagged": ETH / Dot1AD(vlan=6) / PBB / Ether() / V6 / udp,
        "pbb_padded": ETH / PBB / Ether() / ARP() / Padding(b"\0" * 18),
        "arp": ETH / ARP(op=2, psrc="10.0.0.1", pdst="10.0.0.2", hwsrc="02:00:00:00:00:01"),
        "rarp": Ether(type=0x8035) / ARP(op=3, psrc="10.0.0.1"),
        "vlan": ETH / Dot1Q(vlan=5, prio=3) / V4 / tcp,
        "qinq": ETH / Dot1AD(vlan=6) / Dot1Q(vlan=7, prio=2) / V6 / udp,
        "vlan9100": Ether(type=0x9100) / Dot1Q(vlan=8) / V4 / udp,
        "vlan3": ETH / Dot1Q(vlan=1) / Dot1Q(vlan=2) / Dot1Q(vlan=3) / V4 / udp,
        "mpls1": ETH / MPLS(label=100, cos=5, s=1, ttl=9) / V4 / udp,
        "mpls2": ETH / Dot1Q(vlan=5) / MPLS(label=100, s=0) / MPLS(label=2, s=1) / V6 / tcp,
        "mpls4": ETH / MPLS(label=1, s=0) / MPLS(label=2, s=0) / MPLS(label=3, s=0)
        / MPLS(label=4, s=1) / V4 / udp,
        "snap": Dot3(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        / LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0, code=0x800) / V4 / udp,
        "stp": Dot3() / LLC(dsap=0x42, ssap=0x42, ctrl=3) / DATA,
        "lldp": Ether(type=0x88CC) / DATA,
    }  # fmt: skip
    found = {name: bytes(packet) for name, packet in made.items()}
    found["padded"] = bytes(ETH / V4 / UDP(sport=1, dport=2) / b"x") + b"\xee" * 17
    return found
