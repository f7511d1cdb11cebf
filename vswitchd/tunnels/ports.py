"""What a tunnel interface is to be, from its options and from the tunnel ports that are there."""

from collections.abc import Mapping
from typing import Any

import ovs.vlog

from ofproto.xlate.bridges.tunnel_config import TunnelConfig
from vswitchd.tunnels import options

vlog = ovs.vlog.Vlog("netdev_vport")


def wanted(
    name: str, kind: str, given: Mapping[str, str], vports: Mapping[str, Any]
) -> tuple[TunnelConfig | None, str]:
    """The configuration of interface `name`, or None and what the error column says.

    `vports` are the datapath ports of tunnels by name, each with the `config` that it was made for.
    """
    config, told = options.parse(name, kind, given)
    if config is not None:
        if told:
            vlog.warn(told)
        told = _conflict(name, config, vports)
        if not told:
            return config, ""
        vlog.warn(f"{name}: could not set configuration (File exists)")
    return None, told


def _conflict(name: str, config: TunnelConfig, vports: Mapping[str, Any]) -> str:
    """By the UDP port receivers tell whether packets have GBP; GPE's header says so itself."""
    there = vports.get(config.device)
    for ext in (config.exts ^ there.config.exts) & {"gbp"} if there is not None else ():
        what = f"VXLAN-{ext.upper()}"
        return f"{name}: {what}, and non-{what} tunnels can't be configured on the same dst_port"
    return ""
