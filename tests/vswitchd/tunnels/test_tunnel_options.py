"""Options of tunnel interfaces, against what Open vSwitch 3.1 says of them in the error column and
in dpif/show."""

import pytest

from vswitchd.tunnels.options import parse

# type and options -> what dpif/show shows of it, or the error column
SHOWN = {
    "gre remote_ip=1.1.1.1": "remote_ip=1.1.1.1",
    "gre remote_ip=2001::1": "remote_ip=2001::1",
    "gre remote_ip=1.1.1.1 local_ip=x": "remote_ip=1.1.1.1",
    "gre remote_ip=flow local_ip=flow": "local_ip=flow, remote_ip=flow",
    "gre remote_ip=flow local_ip=2001::2": "local_ip=2001::2, remote_ip=flow",
    "gre remote_ip=1.1.1.1 foo=bar dst_port=3": "remote_ip=1.1.1.1",
    "gre remote_ip=1.1.1.1 key=abc": "key=0, remote_ip=1.1.1.1",
    "gre remote_ip=1.1.1.1 key=0x10": "key=16, remote_ip=1.1.1.1",
    "gre remote_ip=1.1.1.1 key=12abc tos=inherit ttl=inherit": (
        "key=12, remote_ip=1.1.1.1, tos=inherit, ttl=inherit"
    ),
    "gre remote_ip=1.1.1.1 in_key=flow out_key=7": "in_key=flow, out_key=7, remote_ip=1.1.1.1",
    "gre remote_ip=1.1.1.1 key=flow in_key=3": "in_key=3, out_key=flow, remote_ip=1.1.1.1",
    "gre remote_ip=1.1.1.1 key=4294967296": "key=4294967296, remote_ip=1.1.1.1",
    "gre remote_ip=1.1.1.1 tos=300": "remote_ip=1.1.1.1",
    "gre remote_ip=1.1.1.1 tos=0x10": "remote_ip=1.1.1.1, tos=0x10",
    "gre remote_ip=1.1.1.1 tos=7": "remote_ip=1.1.1.1",
    "gre remote_ip=1.1.1.1 ttl=300": "remote_ip=1.1.1.1, ttl=44",
    "gre remote_ip=1.1.1.1 ttl=0": "remote_ip=1.1.1.1",
    "gre remote_ip=1.1.1.1 df_default=false": "df_default=false, remote_ip=1.1.1.1",
    "gre remote_ip=1.1.1.1 csum=true seq=true": "csum=true, remote_ip=1.1.1.1, seq=true",
    "gre remote_ip=1.1.1.1 packet_type=ptap": "packet_type=ptap, remote_ip=1.1.1.1",
    "gre remote_ip=1.1.1.1 egress_pkt_mark=0xff": "egress_pkt_mark=0, remote_ip=1.1.1.1",
    "gre remote_ip=0.0.0.0": "remote_ip=::ffff:0.0.0.0",
    "vxlan remote_ip=1.1.1.1 exts=gbp,gpe": "remote_ip=1.1.1.1",
    "vxlan remote_ip=1.1.1.1 exts=gpe packet_type=legacy_l3": (
        "packet_type=legacy_l3, remote_ip=1.1.1.1"
    ),
    "vxlan remote_ip=1.1.1.1 dst_port=0": "remote_ip=1.1.1.1",
    "vxlan remote_ip=1.1.1.1 dst_port=70000": "dst_port=4464, remote_ip=1.1.1.1",
    "geneve remote_ip=1.1.1.1 seq=true csum=yes": "remote_ip=1.1.1.1",
    "gtpu remote_ip=1.1.1.1 packet_type=legacy_l3": "remote_ip=1.1.1.1",
    "gtpu remote_ip=1.1.1.1 csum=true": "remote_ip=1.1.1.1",
    "stt remote_ip=1.1.1.1 csum=true": "csum=true, remote_ip=1.1.1.1",
    "gtpu remote_ip=1.1.1.1 packet_type=ptap": "packet_type=ptap, remote_ip=1.1.1.1",
    "erspan remote_ip=1.1.1.1": "erspan_ver=0, remote_ip=1.1.1.1",
    "erspan remote_ip=1.1.1.1 key=1 erspan_idx=5": "erspan_ver=0, key=1, remote_ip=1.1.1.1",
    "erspan remote_ip=1.1.1.1 erspan_ver=1": "erspan_idx=0x0, erspan_ver=1, remote_ip=1.1.1.1",
    "erspan remote_ip=1.1.1.1 erspan_ver=1 erspan_idx=10": (
        "erspan_idx=0x10, erspan_ver=1, remote_ip=1.1.1.1"
    ),
    "erspan remote_ip=1.1.1.1 erspan_ver=2 erspan_hwid=10 erspan_dir=flow": (
        "erspan_dir=flow, erspan_hwid=0x10, erspan_ver=2, remote_ip=1.1.1.1"
    ),
    "erspan remote_ip=1.1.1.1 erspan_ver=flow": (
        "erspan_dir=flow, erspan_hwid=flow, erspan_idx=flow, erspan_ver=flow, remote_ip=1.1.1.1"
    ),
}
REFUSED = {
    **{
        f"vxlan remote_ip=1.1.1.1 {option}=x": f"p: IPsec is not supported ('{option}'), "
        "and clear text is not sent instead"
        for option in ("psk", "remote_cert", "remote_name")
    },
    "gre": "p: gre type requires valid 'remote_ip' argument",
    "gre remote_ip=abc": (
        "p: bad gre 'remote_ip'\np: gre type requires valid 'remote_ip' argument"
    ),
    "vxlan remote_ip=224.0.0.1": "p: multicast remote_ip=224.0.0.1 not allowed",
    "vxlan remote_ip=ff02::1": "p: multicast remote_ip=ff02::1 not allowed",
    "gre remote_ip=1.1.1.1 local_ip=flow": (
        "p: gre type requires 'remote_ip=flow' with 'local_ip=flow'"
    ),
    "gre remote_ip=1.1.1.1 local_ip=2001::2": (
        "p: 'remote_ip' and 'local_ip' has to be of the same address family"
    ),
    "gre remote_ip=1.1.1.1 packet_type=junk": "p: unknown packet_type 'junk'",
    "vxlan remote_ip=1.1.1.1 packet_type=legacy_l3": (
        "p: legacy_l3 configured on VXLAN (without GPE) tunnel that cannot carry L3 traffic"
    ),
    "geneve remote_ip=1.1.1.1 packet_type=legacy_l3": (
        "p: legacy_l3 configured on geneve tunnel that cannot carry L3 traffic"
    ),
    "gtpu remote_ip=1.1.1.1 packet_type=legacy_l2": (
        "p: legacy_l2 configured on gtpu tunnel that cannot carry L2 traffic"
    ),
    "erspan remote_ip=1.1.1.1 erspan_ver=3": "p: invalid erspan version: 3",
    "erspan remote_ip=1.1.1.1 erspan_ver=0x1": "p: invalid erspan version: 0x1",
    "erspan remote_ip=1.1.1.1 erspan_ver=1 erspan_idx=0x1fffff": (
        "p: invalid erspan index: 0x1fffff"
    ),
    "erspan remote_ip=1.1.1.1 erspan_ver=2 erspan_dir=7": "p: invalid erspan direction: 7",
    "erspan remote_ip=1.1.1.1 erspan_ver=2 erspan_hwid=0x140": (
        "p: invalid erspan hardware ID: 0x140"
    ),
}


def read(line):
    kind, *words = line.split()
    return parse("p", kind, dict(word.split("=", 1) for word in words))


@pytest.mark.parametrize("line", SHOWN)
def test_what_can_be_a_port(line):
    config, _ = read(line)
    assert ", ".join(f"{name}={text}" for name, text in config.shown().items()) == SHOWN[line]


@pytest.mark.parametrize("line", REFUSED)
def test_what_cannot(line):
    assert read(line) == (None, REFUSED[line])


def test_warnings_do_not_refuse():
    config, told = read("gre remote_ip=1.1.1.1 dst_port=3 tos=7 local_ip=x")
    assert config is not None
    assert sorted(told.splitlines()) == [
        "p: bad gre 'local_ip'",
        "p: invalid TOS 7",
        "p: unknown gre argument 'dst_port'",
    ]
    assert read("bareudp remote_ip=1.1.1.1 csum=true")[1] == "p: unknown bareudp argument 'csum'"


@pytest.mark.parametrize("text", ["9" * 5000, "0x" + "f" * 5000, "\0", "flow,flow", "-1", "٣"])
def test_hostile_values(text):
    for option in ("key", "tos", "ttl", "dst_port", "egress_pkt_mark"):
        config, _ = parse("p", "vxlan", {"remote_ip": "1.1.1.1", option: text})
        assert 0 <= (config.in_key or 0) < 1 << 64
        assert 0 <= config.dst_port < 1 << 16
    for option in ("erspan_ver", "erspan_idx", "remote_ip", "local_ip", "exts", "packet_type"):
        given = {"remote_ip": "1.1.1.1", "erspan_ver": "1", option: text}
        parse("p", "erspan", given)
