"""Which packets for a local address are a tunnel's: by protocol and UDP port."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from datapath.base.protocols import PROTO_GRE, PROTO_IPIP, PROTO_IPV6, PROTO_UDP
from ofproto.underlay import addresses

PROTOCOLS = {
    **dict.fromkeys(("vxlan", "geneve", "gtpu"), (PROTO_UDP,)),
    **dict.fromkeys(("gre", "ip6gre", "erspan", "ip6erspan"), (PROTO_GRE,)),
    "srv6": (PROTO_IPIP, PROTO_IPV6),
}


class Listener(NamedTuple):
    """`port`: the tunnels' datapath port; `udp_port` 0: not by UDP; `users`: how many tunnels."""

    name: str
    port: int
    protocol: int
    udp_port: int
    users: int

    def text(self, mac: bytes, address: int) -> str:
        """What it takes of one address's packets, as tnl/ports/show -v has it."""
        ipv4 = addresses.is_ipv4(address)
        kind, name = ("0x0800", "ipv4") if ipv4 else ("0x86dd", "ipv6")
        udp = f",udp(dst={self.udp_port})" if self.udp_port else ""
        return (
            f"eth(dst={mac.hex(':')}),eth_type({kind}),"
            f"{name}(dst={addresses.text(address)},proto={self.protocol},frag=no){udp}"
        )


def listeners(vports: Iterable[Any]) -> list[Listener]:
    """Of datapath ports that tunnels share (Vport); a kind that is not decapsulated has none."""
    return [
        Listener(each.name, each.number, protocol, each.config.dst_port, each.users)
        for each in vports
        for protocol in PROTOCOLS.get(each.config.kind, ())
    ]
