"""Devices that are none: what --enable-dummy asks for, and their state.

For whoever tests a switch: packets come and go by commands (netdev-dummy/receive) and files (see
datapath/netdev/dummy.pyx), datapath and port numbers and addresses are predictable.
"""

import re
from collections.abc import Container
from dataclasses import dataclass, field

from vswitchd.database.config import InterfaceConfig

FIRST_MAC = 0xAA55AA550000
BRIDGE_BASE = 100  # brN has datapath port 100 + N
MTU = 1500

# Their options name files, which are overwritten, and sockets: not for whoever may write to the
# database of a switch that is no test's.
TYPES = ("dummy", "dummy-internal", "dummy-pmd")
PCAP_OPTIONS = {"pcap", "rxq_pcap", "tx_pcap"}  # files that get copies of frames
DATAPATH_TYPE = "dummy"
DATAPATH = "dummy@ovs-dummy"

# --enable-dummy's value -> interface types that become dummies
OVERRIDDEN = {
    "": (),
    "system": ("system",),
    "override": ("system", "tap", "internal"),
}


@dataclass
class Device:
    """A dummy's state; addresses as netdev-dummy/ip4addr and ip6addr give them, "ADDR/LEN"."""

    mac: str
    up: bool = True
    addresses: list[str] = field(default_factory=list)


class Dummies:
    """`mode`: the value of --enable-dummy, None without it; `has_system`: no --disable-system."""

    def __init__(self, mode: str | None = None, has_system: bool = True):
        self.mode = mode
        # What it disables is a datapath of the kernel, which is not here; only beside dummies
        # it keeps tests away from the host.
        self.has_system = has_system or mode is None
        self.devices: dict[str, Device] = {}
        self._made = 1  # the first address is that of the datapath's own port

    @property
    def enabled(self) -> bool:
        return self.mode is not None

    def has_type(self, type_: str) -> bool:
        """Whether there are interfaces of this type, as far as it depends on the options."""
        if type_ in TYPES:
            return self.enabled
        return type_ != "system" or self.has_system

    def overrides(self, datapath_type: str) -> bool:
        """Whether the datapath of a bridge is a dummy."""
        return self.enabled and (datapath_type == DATAPATH_TYPE or self.mode == "override")

    def effective_type(self, config: InterfaceConfig, bridge: str, datapath_type: str) -> str:
        """The type that counts: "" is system, a bridge's own port is internal, and what is real
        elsewhere may be a dummy."""
        type_ = "internal" if config.name == bridge else config.type or "system"
        if type_ == "internal" and self.overrides(datapath_type):
            return "dummy-internal"
        if self.enabled and type_ in OVERRIDDEN.get(self.mode or "", ()):
            return "dummy"
        return type_

    def attach(self, name: str, mac: str | None) -> Device:
        """The device of a port, with this address or one of its own; made when there is none."""
        device = self.devices.get(name)
        if device is None:
            device = self.devices[name] = Device(self._next_mac())
        device.mac = mac or device.mac
        return device

    def _next_mac(self) -> str:
        mac = (FIRST_MAC + self._made).to_bytes(6, "big").hex(":")
        self._made += 1
        return mac

    def detach(self, name: str) -> None:
        """The port goes; no error when it has no such device."""
        self.devices.pop(name, None)


def choose_number(name: str, used: Container[int]) -> int | None:
    """The datapath port number that a name asks for: pN has N, brN 100 + N; None: any."""
    digits = re.search(r"[0-9]+", name)
    if digits is None or len(digits[0]) > 9:
        return None
    number = int(digits[0]) + (BRIDGE_BASE if name.startswith("br") else 0)
    return number if 0 < number < 65536 and number not in used else None
