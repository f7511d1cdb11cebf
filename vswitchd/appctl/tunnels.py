"""Tunnel ports: what they are, and whether their headers are made here."""

from typing import TYPE_CHECKING, Any

from ofproto.xlate.bridges.tunnel_config import TunnelConfig
from pyvs.process.daemon import CommandError

if TYPE_CHECKING:
    from vswitchd.switch import Switch

NATIVE = "tnl_push_pop"
_BOOLEANS = {"true": True, "false": False}


def set_features(switch: "Switch", args: list[str]) -> str:
    """dpif/set-dp-features: what of the datapath translation makes use of; for tests."""
    if args[0] not in switch.bridges:
        raise CommandError("no such bridge")
    underlay = switch.ways.underlay
    if len(args) == 1:
        return f"{NATIVE}: {'true' if underlay.native else 'false'}\n"
    if args[1] != NATIVE:
        raise CommandError(f"{args[1]}: cannot be set")
    if len(args) != 3 or args[2] not in _BOOLEANS:
        raise CommandError(f"{args[1]}: true or false")
    underlay.native = _BOOLEANS[args[2]]
    underlay.told()
    return ""


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
    ("dpif/set-dp-features", "bridge [feature [value]]", 1, 3, set_features),
    ("ofproto/list-tunnels", "", 0, 0, list_tunnels),
]
