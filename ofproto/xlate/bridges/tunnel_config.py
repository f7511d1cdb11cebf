"""What a tunnel port is: its type, and its options as values.

Sources: ovs-vswitchd.conf.db(5), "Tunnel Options"; defaults are Open vSwitch's.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

Address = IPv4Address | IPv6Address

LEGACY_L2, LEGACY_L3, PTAP = PACKET_TYPES = ("legacy_l2", "legacy_l3", "ptap")
FLOW = "flow"  # an option's value is the packet's
DEFAULT_TTL = 64


class Kind(NamedTuple):
    """A tunnel type.  `device`: the datapath port that all ports of one type, or of one type and
    UDP port (`dst_port`: the default), share.  `layers`: of packets that it can carry, the default
    first."""

    device: str
    dst_port: int = 0
    layers: tuple[str, ...] = (LEGACY_L2,)


KINDS = {
    "gre": Kind("gre_sys", layers=(LEGACY_L2, LEGACY_L3)),
    "ip6gre": Kind("ip6gre_sys", layers=(LEGACY_L2, LEGACY_L3)),
    "erspan": Kind("erspan_sys"),
    "ip6erspan": Kind("ip6erspan_sys"),
    "vxlan": Kind("vxlan_sys_{}", 4789),
    "geneve": Kind("genev_sys_{}", 6081),
    "gtpu": Kind("gtpu_sys_{}", 2152, (LEGACY_L3,)),
    "srv6": Kind("srv6_sys", layers=(LEGACY_L3,)),
    "lisp": Kind("lisp_sys_{}", 4341, (LEGACY_L3,)),
    "stt": Kind("stt_sys_{}", 7471),
    "bareudp": Kind("bareudp_sys_{}", 0, (LEGACY_L3,)),
}
# How the names of datapath ports of tunnels begin, which no other interface may have
RESERVED = tuple(kind.device.removesuffix("_{}") for kind in KINDS.values())
# Those whose datapath port's number and name depend on a port number of UDP (or TCP).
WITH_PORT = tuple(name for name, kind in KINDS.items() if "{}" in kind.device)
ERSPAN = ("erspan", "ip6erspan")


@dataclass(frozen=True)
class TunnelConfig:
    """A tunnel port's options.  None: not given, or not of this type; FLOW: the packet's."""

    kind: str
    remote: Address | str  # or FLOW
    local: Address | str | None = None  # or FLOW
    in_key: int | str | None = None
    out_key: int | str | None = None
    dst_port: int = 0
    tos: int = 0
    tos_inherit: bool = False
    ttl: int = DEFAULT_TTL
    ttl_inherit: bool = False
    df: bool = True
    csum: bool = False
    seq: bool = False
    packet_type: str = LEGACY_L2
    egress_mark: int | None = None
    exts: frozenset[str] = frozenset()  # of gbp, gpe
    erspan_ver: int | str = 0
    erspan_idx: int | str = 0
    erspan_dir: int | str = 0
    erspan_hwid: int | str = 0
    srv6_segs: tuple[IPv6Address, ...] = ()
    srv6_flowlabel: str = "copy"

    @property
    def device(self) -> str:
        """The name of the datapath port that carries it."""
        return KINDS[self.kind].device.format(self.dst_port)

    @property
    def device_options(self) -> dict[str, str]:
        """What dpctl/show shows of the datapath port."""
        port = self._shown_port()
        return {"packet_type": PTAP, **({"dst_port": port} if port else {})}

    def shown(self) -> dict[str, str]:
        """The options that are not defaults, as dpif/show has them."""
        told = {
            "csum": "true" if self.csum else "",
            "df_default": "" if self.df else "false",
            "dst_port": self._shown_port(),
            "egress_pkt_mark": "" if self.egress_mark is None else str(self.egress_mark),
            **self._shown_erspan(),
            **self._shown_keys(),
            "local_ip": "" if self.local is None else _shown_address(self.local),
            "packet_type": self._shown_packet_type(),
            "remote_ip": _shown_address(self.remote),
            "seq": "true" if self.seq else "",
            "srv6_segs": ",".join(map(str, self.srv6_segs)),
            "tos": "inherit" if self.tos_inherit else f"{self.tos:#x}" if self.tos else "",
            "ttl": "inherit" if self.ttl_inherit else self._shown_ttl(),
        }
        return {name: text for name, text in sorted(told.items()) if text}

    def _shown_port(self) -> str:
        default = (0, KINDS[self.kind].dst_port)
        return "" if self.dst_port in default else str(self.dst_port)

    def _shown_ttl(self) -> str:
        return "" if self.ttl == DEFAULT_TTL else str(self.ttl)

    def _shown_packet_type(self) -> str:
        return "" if self.packet_type == KINDS[self.kind].layers[0] else self.packet_type

    def _shown_keys(self) -> dict[str, str]:
        if self.in_key == self.out_key:
            return {"key": "" if self.in_key is None else str(self.in_key)}
        return {
            name: "" if key is None else str(key)
            for name, key in (("in_key", self.in_key), ("out_key", self.out_key))
        }

    def _shown_erspan(self) -> dict[str, str]:
        if self.kind not in ERSPAN:
            return {}
        version = self.erspan_ver
        told = {"erspan_ver": str(version)}
        if version in (1, FLOW):
            told["erspan_idx"] = _hexadecimal(self.erspan_idx)
        if version in (2, FLOW):
            told["erspan_dir"] = str(self.erspan_dir)
            told["erspan_hwid"] = _hexadecimal(self.erspan_hwid)
        return told


def _hexadecimal(value: int | str) -> str:
    return value if isinstance(value, str) else f"{value:#x}"


def _shown_address(address: Address | str) -> str:
    # The mapped form of no address is not taken for an IPv4 one.
    return "::ffff:0.0.0.0" if str(address) == "0.0.0.0" else str(address)
