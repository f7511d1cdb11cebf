"""Tunnel ports: what they are."""

from typing import TYPE_CHECKING, Any

from ofproto.xlate.bridges.tunnel_config import TunnelConfig

if TYPE_CHECKING:
    from vswitchd.switch import Switch


def _key(key: int | str | None, absent: str) -> str:
    if key is None:
        return absent
    return key if isinstance(key, str) else f"{key:#x}" if key else "0"


def _line(port: Any) -> str:
    config: TunnelConfig = port.tunnel
    parts = [
        f"{config.local or '::'}->{config.remote}",
        f"key={_key(config.in_key, '0')}",
        config.packet_type,
        f"dp port={port.odp_port}",
    ]
    if config.out_key != config.in_key:
        parts.append(f"out_key={_key(config.out_key, 'none')}")
    parts.append(f"ttl={'inherit' if config.ttl_inherit else config.ttl}")
    if config.tos_inherit or config.tos:
        parts.append(f"tos={'inherit' if config.tos_inherit else hex(config.tos)}")
    parts += ["df=false"] * (not config.df) + ["csum=true"] * config.csum
    return f"port {port.odp_port}: {port.name} ({config.kind}: {', '.join(parts)})\n"


def list_tunnels(switch: "Switch", _args: list[str]) -> str:
    ports = [
        port
        for bridge in switch.bridges.values()
        for port in bridge.ofproto.ports.values()
        if port.tunnel is not None
    ]
    return "".join(_line(port) for port in sorted(ports, key=lambda p: (p.odp_port, p.name)))


# name, usage, least and most arguments, function
COMMANDS = [
    ("ofproto/list-tunnels", "", 0, 0, list_tunnels),
]
