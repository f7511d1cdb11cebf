"""Frames that lie, into ports of bridges that forward by NORMAL and by flows that rewrite.

The frames are of every protocol that key extraction knows; then headers are put in again and
again, lengths and types become others, and what is behind is cut off.
"""

import contextlib
import struct

from datapath.ipc.dpif import Dpif, DpifError
from ofproto.protocols import bfd, bfd_packet, cfm, lacp
from tests import daemons
from tests.datapath.dp_process import frame as sample_frame
from tests.datapath.sample_frames import frames
from tests.hostile.campaign import SwitchCampaign, frames_and_answers
from tests.ofproto import group_messages as g


def _of_protocols():
    """Frames of the protocols that listen on ports."""
    known = lacp.Info(1, bytes([2, 0, 0, 0, 0, 9]), 1, 1, 1, 0x3D)
    marker = bytes((2, 1, 1, 16)) + bytes(106)
    hello = bfd.compose(bfd.Control(0, bfd.DOWN, 0, 3, 7, 0, 100_000, 100_000))
    yield from (lacp.ADDRESS + bytes(6) + b"\x88\x09" + each
                for each in (lacp.compose(known, lacp.NOBODY), marker))  # fmt: skip
    ccm = cfm.MaintenancePoint(cfm.Settings(9), 0).run(0, 0)
    yield cfm.ADDRESS + bytes(6) + b"\x89\x02" + ccm
    yield bfd_packet.compose(bfd_packet.Addresses(bytes(6)), 50000, hello)


def _of_groups():
    """What hosts and routers say of multicast groups."""
    yield from (g.igmp(g.QUERY), g.igmp(g.LEAVE, "224.1.1.1"), g.mld(g.MLD_QUERY))
    yield g.igmpv3(*((kind, f"232.1.1.{kind}", ("10.0.0.1",) * kind, 0) for kind in range(7)))
    yield g.mldv2(*((kind, f"ff0e::{kind}", ("fe80::1",) * kind, 0) for kind in range(7)))


def another_group(rng):
    """Of more groups, VLANs and routers than a table keeps; checksums are right."""
    vlan = rng.choice((None, rng.randrange(4096)))
    v6 = f"ff0e::{rng.randrange(65536):x}"
    v4 = f"232.{rng.randrange(256)}.{rng.randrange(256)}.1"
    return rng.choice(
        (
            *(g.igmp(g.REPORT, v4, vlan=vlan), g.mld(g.MLD_REPORT, v6, vlan=vlan)),
            *(g.igmp(g.QUERY, vlan=vlan), g.igmpv3(*[(4, v4, (), 255)] * rng.choice((1, 60)))),
        )
    )


LISTENED = (*_of_protocols(), *_of_groups())
SAMPLES = (*frames().values(), *LISTENED * 3)
TYPES = (0x0800, 0x0806, 0x86DD, 0x8100, 0x88A8, 0x9100, 0x8847, 0x8848, 0x88E7, 0x894F, 0x8809)
TYPES += (0x88CC, 0x8902, 0x8035, 0x05FF, 0x0600, 0)
# Next headers that key extraction follows or reads, and some that it does not.
PROTOCOLS = (0, 1, 2, 4, 6, 17, 41, 43, 44, 47, 50, 51, 58, 59, 60, 132, 135, 255)
NUMBERS = (0, 1, 3, 4, 5, 7, 8, 19, 20, 0x7FFF, 0x8000, 0xFFFF)
COUNTS = (1, 1, 2, 3, 4, 8, 100, 5000)
MOST = 65535
# 802.1D, 802.3 slow protocols, LLDP, CFM, multicast of IPv4 and IPv6, broadcast
DESTINATIONS = tuple(
    bytes.fromhex(each)
    for each in (
        *("0180c2000000", "0180c2000002", "0180c200000e", "0180c2000030", "01005e010203"),
        *("33330000ff01", "ffffffffffff", "020000000002", "000000000000"),
    )
)


def _number(rng, data):
    at = rng.randrange(max(1, len(data) // 2)) * 2
    data[at : at + 2] = rng.choice((*NUMBERS, *TYPES)).to_bytes(2, "big")


def _near_the_truth(rng, data):
    at = rng.randrange(max(1, min(len(data), 80)))
    data[at : at + 1] = bytes(
        [each + rng.choice((-8, -4, -1, 1, 4, 8)) & 0xFF for each in data[at : at + 1]]
    )


def _byte(rng, data):
    at = 12 + rng.randrange(max(1, min(len(data), 80) - 12))
    data[at : at + 1] = rng.choice((rng.randbytes(1), bytes([rng.choice(PROTOCOLS)])))


def _cut(rng, data):
    del data[rng.choice((14, 15, 16, 17, 18, rng.randrange(len(data) + 1))) :]


def _tags(rng, data):
    """VLAN tags, of either kind."""
    tag = rng.choice((0x8100, 0x88A8, 0x9100)).to_bytes(2, "big") + rng.randbytes(2)
    data[12:12] = tag * rng.choice(COUNTS)


def _labels(rng, data):
    """MPLS labels whose bottom is where it should be, or never comes."""
    bottom = rng.choice((b"", b"\0\0\x01\x40"))
    labels = b"\0\0\x10\x40" * rng.choice(COUNTS) + bottom
    data[12:14] = rng.choice((b"\x88\x47", b"\x88\x48")) + labels


def _backbone(rng, data):
    """PBB headers around it."""
    for _ in range(rng.choice((1, 1, 2, 20))):
        data[:0] = rng.choice(DESTINATIONS) + bytes(6) + b"\x88\xe7" + rng.randbytes(4)


def _extensions(rng, data):
    """An IPv6 header and extension headers of any kind and length."""
    chain = [rng.choice(PROTOCOLS[:16]) for _ in range(rng.choice((1, 2, 5, 50, 500)))]
    body = b"".join(
        struct.pack("!BBHI", kind, rng.choice((0, 0, 0, 1, 2, 255)), rng.choice(NUMBERS), 0)
        for kind in (*chain[1:], rng.choice(PROTOCOLS))
    )
    size = rng.choice((len(body), len(body) + len(data), 0, 1, 0xFFFF)) & 0xFFFF
    head = struct.pack("!IHBB", 6 << 28, size, chain[0], 64) + rng.randbytes(32)
    data[12:14] = b"\x86\xdd" + head + body


def _options(rng, data):
    """An IPv4 header of any length, with options, that claims any total length and offset."""
    words = rng.choice((0, 4, 5, 6, 10, 15))
    total = rng.choice((20, 4 * words, 4 * words + len(data), 0, 0xFFFF)) & 0xFFFF
    offset = rng.choice((0, 0, 0x4000, 0x2000, 0x2001, 0x1FFF))
    head = struct.pack(
        "!BBHHHBB", 0x40 | words, 0, total, 7, offset, 64, rng.choice(PROTOCOLS)
    ) + rng.randbytes(10)
    data[12:14] = b"\x08\x00" + head + rng.randbytes(4 * max(0, words - 5))


def _service_header(rng, data):
    """NSH (RFC 8300), with a length of its own choice."""
    length, kind = rng.choice((0, 1, 2, 6, 63)), rng.choice((0, 1, 2, 15))
    head = struct.pack("!HBB", length, kind, rng.choice((0, 1, 2, 3, 4, 5, 255)))
    data[12:14] = b"\x89\x4f" + head + rng.randbytes(rng.choice((4, 20, 248)))


def _address(rng, data):
    data[0:6] = rng.choice(DESTINATIONS)


def _splice(rng, data):
    other = rng.choice(SAMPLES)
    at = rng.randrange(len(data) + 1)
    data[at:] = other[rng.randrange(len(other)) :]


def _pad(rng, data):
    data += bytes(rng.choice((1, 46, 1500, 9000, MOST)))


CHANGES = (
    *(_number, _number, _near_the_truth, _near_the_truth, _byte, _byte, _cut, _tags, _labels),
    *(_backbone, _extensions, _options, _service_header, _address, _address, _splice, _pad),
)


def bend(rng, sample):
    """A frame with a few changes."""
    data = bytearray(sample)
    for _ in range(rng.choice((0, 1, 1, 2, 3, 6))):
        rng.choice(CHANGES)(rng, data)
        del data[MOST:]
    return bytes(data) if len(data) >= 14 else bytes(data).ljust(14, b"\0")


REWRITES = (
    "table=0,priority=9,ip,actions=dec_ttl,mod_nw_tos:32,mod_nw_dst:10.9.9.9,NORMAL",
    "table=0,priority=9,ipv6,actions=dec_ttl,NORMAL",
    "table=0,priority=12,tcp,actions=mod_tp_dst:99,mod_vlan_vid:5,NORMAL",
    "table=0,priority=12,udp6,actions=mod_tp_src:99,NORMAL",
    "table=0,priority=12,arp,actions=move:arp_spa->arp_tpa,in_port,NORMAL",
    "table=0,priority=7,mpls,actions=pop_mpls:0x0800,resubmit(,1)",
    "table=0,priority=7,vlan_tci=0x1000/0x1000,actions=pop_vlan,resubmit(,1)",
    "table=0,priority=12,icmp6,actions=controller(max_len=65535),NORMAL",
    "table=0,priority=0,actions=push_mpls:0x8847,NORMAL",
    "table=1,priority=0,actions=dec_ttl,NORMAL",
    "table=0,priority=8,dl_type=0x894f,actions=set_field:3->nsh_flags,set_field:5->nsh_c1,"
    "dec_nsh_ttl,clone(decap(),decap(),resubmit(,2)),NORMAL",
    "table=2,priority=9,packet_type=(1,0x894f),actions=decap(),resubmit(,2)",
    "table=2,priority=9,ip,actions=encap(nsh(md_type=2,tlv(1,2,0x11223344))),encap(ethernet),NORMAL",
    "table=2,priority=0,actions=encap(ethernet),NORMAL",
)


class FramesCampaign(SwitchCampaign):
    """A switch: br0 learns and snoops, br1 rewrites; br2 is the bystander's."""

    name = "frames"

    def __enter__(self):
        self._switch = daemons.Switch()
        try:
            self._switch.start(vswitchd=["--enable-dummy"])
            self._configure()
            path = self._switch.directory / "datapath.sock"
            self._attacker, self._good = Dpif(path), Dpif(path)
            self._ports = {port.name: port.port_no for port in self._good.port_dump()}
        except BaseException:
            self._switch.close()
            raise
        return self

    def _configure(self):
        bridges = {"br0": "abcd", "br1": "efg", "br2": "xy"}
        for bridge, ports in bridges.items():
            words = ["add-br", bridge]
            for port in ports:
                words += ["--", "add-port", bridge, port]
                words += ["--", "set", "interface", port, "type=dummy"]
            self._switch.vsctl(*words)
        self._switch.vsctl(
            *("set", "bridge", "br0", "mcast_snooping_enable=true", "rstp_enable=false"),
            *("--", "set", "port", "b", "tag=5", "--", "set", "port", "c", "tag=6"),
            *(
                "vlan_mode=native-tagged",
                "--",
                "set",
                "port",
                "d",
                "vlan_mode=dot1q-tunnel",
                "tag=7",
            ),
        )
        for port in ("a", "b", "f"):
            self._switch.vsctl(
                *("set", "port", port, "lacp=active", "--", "set", "interface", port),
                *("cfm_mpid=7", "bfd:enable=true", "bfd:forwarding_if_rx=true"),
            )
        for flow in REWRITES:
            self._switch.ofctl("add-flow", "br1", flow)

    def __exit__(self, *exc):
        for client in (self._attacker, self._good):
            client.close()
        self._switch.close()

    def bystander(self):
        return frames_and_answers(self._switch, "br2", self._good, self._ports, sample_frame())

    def attack(self, rng):
        sample = rng.choice(SAMPLES)
        for _ in range(rng.choice((1, 10, 30))):
            if rng.random() < 0.5:
                sample = rng.choice(SAMPLES)
            with contextlib.suppress(DpifError):
                port = self._ports[rng.choice("abcdefg")]
                frame = another_group(rng) if rng.random() < 0.1 else bend(rng, sample)
                self._attacker.port_inject(port, frame)
        with contextlib.suppress(DpifError):
            self._attacker.port_drain(self._ports[rng.choice("abcdefg")])
