"""Which Ethernet address a bridge has: that of its local port, and of its datapath ID.

As in ovs-vswitchd.conf.db(5), Interface, mac: other_config:hwaddr, else the lowest that one of the
bridge's ports stands for.  A port stands for its `mac` column, else for the device of its member
with the first name.  Addresses that somebody made up (locally administered ones: of internal
ports, veth, dummies) do not count, nor do ports that mirrors output to, nor the local port's own.
A fake bridge's port without an address of its own gets one in the same way, from the ports of its
VLAN.
"""

import re
from collections.abc import Container, Iterable

import ovs.vlog

from vswitchd.database.config import BridgeConfig, PortConfig
from vswitchd.database.settings import own_mac, parse_mac
from vswitchd.devices.iface import TYPES
from vswitchd.devices.links import Links

vlog = ovs.vlog.Vlog("bridge")

_LOCALLY_ADMINISTERED = 0x02  # IEEE 802, of the first byte


def _unusable(text: str) -> str | None:
    """Why an address is none that a bridge can have; None where it is no address at all."""
    if not re.fullmatch("(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}", text):
        return None
    return f"multicast address {text}" if int(text[:2], 16) & 1 else "zero"


class LocalMac:
    """Of one bridge, port by port: the work is that of the ports that changed."""

    def __init__(self, bridge: str):
        self._bridge = bridge
        self._of_ports: dict[str, str] = {}  # only addresses that count
        self._vlans: dict[str, int | None] = {}  # of the same ports
        self._fakes: dict[str, PortConfig] = {}  # fake bridges' ports without their own
        self._refused: str | None = None  # what hwaddr was when it was told of

    def set_port(self, port: PortConfig, types: Iterable[str], links: Links) -> None:
        """A port is new or changed, or a device of it did; `types`: of its interfaces, which are in
        order of their names."""
        self.drop_port(port.name)
        if port.fake_bridge and not any(parse_mac(each.mac) for each in port.interfaces):
            self._fakes[port.name] = port
        mac = parse_mac(port.mac) or self._first_device(port, types, links)
        if mac and not int(mac[:2], 16) & _LOCALLY_ADMINISTERED:
            self._of_ports[port.name] = mac
            self._vlans[port.name] = port.tag

    def drop_port(self, name: str) -> None:
        self._of_ports.pop(name, None)
        self._vlans.pop(name, None)
        self._fakes.pop(name, None)

    def choose(self, config: BridgeConfig, ports: Container[str]) -> str:
        """`ports`: names of those that there are.  Without an address that counts it is one made of
        the row's UUID: unique, and the same after every restart."""
        text = config.other_config.get("hwaddr")
        asked = parse_mac(text)
        if asked:
            return asked
        if text and text != self._refused and (why := _unusable(text)):
            vlog.warn(f"bridge {self._bridge}: cannot set MAC address to {why}")
        self._refused = text
        return self._lowest(config, ports).get(None) or own_mac(config.uuid)

    def of_fakes(self, config: BridgeConfig, ports: Container[str]) -> dict[str, str]:
        """The addresses of fake bridges' ports that have none of their own."""
        lowest = self._lowest(config, ports) if self._fakes else {}
        return {
            port.name: lowest.get(port.tag or None) or own_mac(config.uuid)
            for port in self._fakes.values()
        }

    def _lowest(self, config: BridgeConfig, ports: Container[str]) -> dict[int | None, str]:
        """The lowest address of each VLAN's ports, by None that of all."""
        outputs = {row.output_port for row in config.mirrors if row.output_port in ports}
        found: dict[int | None, str] = {}
        for name, mac in self._of_ports.items():
            if name not in outputs:
                for vlan in (self._vlans[name], None):
                    found[vlan] = min(mac, found.get(vlan, mac))
        return found

    def _first_device(self, port: PortConfig, types: Iterable[str], links: Links) -> str | None:
        """The address of the first member that is there, if it is known."""
        for interface, type_ in zip(port.interfaces, types, strict=True):
            kind, link = TYPES.get(type_), links.get(interface.name)
            if kind is None or (kind.needs_device and link is None):
                continue
            if interface.name == self._bridge:
                return None
            return parse_mac(link.mac if kind.needs_device else interface.mac)
        return None
