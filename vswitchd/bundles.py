"""The bundles of a bridge: a Port of the database is one interface or a bond of several.

A bond is active-backup whatever mode it asks for: one interface at a time carries it.
"""

from typing import Any, NamedTuple

import ovs.vlog

from vswitchd.config import PortConfig
from vswitchd.iface import Iface

vlog = ovs.vlog.Vlog("bridge")


class Given(NamedTuple):
    """What the Ofproto was told of a bundle."""

    ofp_ports: list[int]
    arguments: tuple
    more: dict[str, Any]


class Bundles:
    """Keeps an Ofproto's bundles as the PortConfigs say, named as the ports."""

    def __init__(self, ofproto: Any):
        self._ofproto = ofproto
        self._given: dict[str, Given] = {}
        self._names: dict[int, str] = {}  # port number -> bundle

    def set(self, port: PortConfig, members: list[Iface]) -> None:
        """Make or change the bundle of `port`; without a usable member there is none."""
        ofp_ports = self._choose(port, members)
        if not ofp_ports:
            self.drop(port.name)
            return
        trunks = list(port.trunks) or None
        priority_tags = port.other_config.get("priority-tags")
        more = {}
        if port.vlan_mode == "dot1q-tunnel":
            more["cvlans"] = list(port.cvlans) or None
            if "qinq-ethtype" in port.other_config:
                more["qinq_ethtype"] = port.other_config["qinq-ethtype"]
        arguments = (port.vlan_mode, port.tag, trunks, priority_tags)
        given = Given(ofp_ports, arguments, more)
        if self._given.get(port.name) != given:
            self._ofproto.bundle_set(port.name, port.name, ofp_ports, *arguments, **more)
            self._forget(port.name)
            self._given[port.name] = given
            self._names.update(dict.fromkeys(ofp_ports, port.name))

    def _choose(self, port: PortConfig, members: list[Iface]) -> list[int]:
        """The port numbers that make the bundle; of a bond, that of the active member.

        The active member stays so while it is up; else the first that is up takes over.
        """
        attached = [iface for iface in members if iface.ofp_port is not None]
        if len(attached) < 2:
            return [iface.ofp_port for iface in attached]
        active = self.port(port.name)
        usable = [iface for iface in attached if iface.is_up()] or attached
        if active not in [iface.ofp_port for iface in usable]:
            active = usable[0].ofp_port
            vlog.info(f"bond {port.name}: active interface is now {usable[0].name}")
        return [active]

    def port(self, name: str) -> int | None:
        """The OpenFlow number of a bundle's port; None when there is no such bundle."""
        return self._given[name].ofp_ports[0] if name in self._given else None

    def drop_with(self, ofp_port: int) -> None:
        """The port goes: end its bundle."""
        if ofp_port in self._names:
            self.drop(self._names[ofp_port])

    def drop(self, name: str) -> None:
        """End a bundle, if there is one of this name."""
        if self._forget(name):
            self._ofproto.bundle_del(name)

    def _forget(self, name: str) -> bool:
        given = self._given.pop(name, None)
        for number in given.ofp_ports if given else ():
            if self._names.get(number) == name:
                del self._names[number]
        return given is not None
