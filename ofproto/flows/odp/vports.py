"""Datapath ports that tunnel ports share: one of each type, or of each type and UDP port.

    gre_sys  vxlan_sys_4789  genev_sys_6081 ...

It comes with the first tunnel port that needs it and goes with the last.
"""

import errno
from typing import Any

from datapath.ipc.dpif import DpifError
from ofproto.xlate.bridges.tunnel_config import TunnelConfig


class Vport:
    """A datapath port, and how many tunnel ports are on it."""

    __slots__ = ("config", "number", "users")

    def __init__(self, number: int, config: TunnelConfig):
        self.number = number
        self.config = config  # of the first of them
        self.users = 0

    @property
    def name(self) -> str:
        return self.config.device


class Vports:
    """Of an OdpPorts.  `by_name` has them by name."""

    def __init__(self, ports: Any):
        self.by_name: dict[str, Vport] = {}
        self._by_number: dict[int, Vport] = {}
        self._ports = ports

    def take(self, config: TunnelConfig) -> int:
        """The number of the datapath port for a tunnel port, which is one more on it.
        Raises DpifError."""
        vport = self.by_name.get(config.device)
        if vport is None:
            number = self._ports.add(config.device, config.kind, config.device_options)
            vport = self.by_name[config.device] = Vport(number, config)
            self._by_number[number] = vport
        elif "gbp" in vport.config.exts ^ config.exts:
            raise DpifError(errno.EEXIST, f"{vport.name} is in use with other extensions")
        vport.users += 1
        return vport.number

    def release(self, number: int) -> bool:
        """One tunnel port less; whether others need the datapath port.  False, too, where it is not
        one that is shared."""
        vport = self._by_number.get(number)
        if vport is None:
            return False
        vport.users -= 1
        if vport.users > 0:
            return True
        del self.by_name[vport.name], self._by_number[number]
        return False
