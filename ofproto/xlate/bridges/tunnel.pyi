from typing import Any

from ofproto.xlate.bridges.tunnel_config import TunnelConfig

class Tunnel:
    """Made of a TunnelConfig; it does not change."""

    config: TunnelConfig
    def __init__(self, config: TunnelConfig): ...

class TunnelTable:
    """The tunnel ports of a datapath; `ports` has the XPorts as keys."""

    ports: dict[Any, Any]
    def __len__(self) -> int: ...
    def owner(self, odp_port: int, tunnel: Tunnel) -> Any:
        """The port that gets the packets which `tunnel` would get, or None."""
    def add(self, odp_port: int, tunnel: Tunnel, port: Any) -> None:
        """ValueError where another port is the same to a packet."""
    def remove(self, port: Any) -> None:
        """No error when it is not there."""
    def lookup(self, key: bytes) -> Any:
        """The XPort of a packet with this datapath key, or None."""

def came_by_tunnel(key: bytes) -> bool:
    """Whether a packet with this key, KEY_DP_SIZE bytes at least, came through a tunnel."""
