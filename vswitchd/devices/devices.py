"""The network devices behind a bridge's ports: which device is whose, what each is told and tells.

An interface of somebody else's ("system") is the device that has its name.  A device that the
datapath made (internal, tap) stays the port's wherever it is moved and whatever it is called:
the datapath tells which one it is, as its ifindex in this network namespace.  While it is in
another one it has no Link here, and counts as up: nobody tells us of its state.
"""

from collections.abc import Iterable, MutableMapping
from typing import Any

import ovs.vlog

from ofproto.xlate.bridges.tunnel_config import KINDS
from pyvs.device_names import made_for
from vswitchd.database import settings
from vswitchd.devices import netdev
from vswitchd.devices.dummy import TYPES as DUMMY_TYPES
from vswitchd.devices.dummy import Device, Dummies
from vswitchd.devices.iface import DEFAULT_MTU, Iface
from vswitchd.devices.links import Links

vlog = ovs.vlog.Vlog("bridge")


class Devices:
    """Of the bridge `name`, whose interfaces are `ifaces`.

    `mac` is the address of the bridge's own port; `news` collects the names of interfaces whose
    status changed.
    """

    def __init__(
        self,
        name: str,
        mac: str,
        ifaces: MutableMapping[str, Iface],
        ofproto: Any,
        news: set[str],
        dummies: Dummies,
    ):
        self.mac = mac
        self.fakes: dict[str, str] = {}  # interfaces of fake bridges that have no address -> theirs
        self.news = news
        # Interfaces of ours whose device is in another namespace, or has another name than they.
        self.elsewhere: set[str] = set()
        self._cut: dict[str, str] = {}  # devices whose port has a longer name than they -> it
        self.lost_one = False  # the smallest MTU may have gone with a port
        self._name = name
        self._ifaces = ifaces
        self._ofproto = ofproto
        self._dummies = dummies

    # --- which device it is

    def attached(self, iface: Iface, links: Links) -> None:
        """An interface became a port: find, set up and report its device."""
        if iface.kind.is_device:
            if iface.kind.is_ours:
                links.run()  # the device is new
            self._take_link(iface, links)
        if iface.device != iface.name:
            self._cut[iface.device] = iface.name
        if iface.type in DUMMY_TYPES:
            iface.dummy = self._dummies.attach(iface.name, self._wanted_mac(iface))
        iface.begin_counting()
        self.set_up(iface, links)
        self.tell_link(iface)

    def _wanted_mac(self, iface: Iface) -> str | None:
        if iface.name == self._name:
            return self.mac
        return settings.parse_mac(iface.config.mac) or self.fakes.get(iface.name)

    def detached(self, name: str) -> None:
        self._dummies.detach(name)
        self.elsewhere.discard(name)
        if self._cut.get(made_for(name)) == name:
            del self._cut[made_for(name)]
        self.lost_one = True

    def replaced(self, iface: Iface, links: Links) -> bool:
        """Whether the device of a port is gone, or is not the one that is there now."""
        kind = iface.kind
        if iface.ofp_port is None or kind is None or not kind.is_device:
            return False
        if kind.is_ours:
            if iface.link is not None and links.by_index(iface.link.ifindex) is not None:
                return False
            return self._ofproto.port_ifindex(iface.ofp_port) is None
        if iface.link is None:
            return False
        link = links.get(iface.name)
        return link is None or link.ifindex != iface.link.ifindex

    def arrived(self, iface: Iface, links: Links) -> bool:
        """Whether there is another device for an interface that is no port for want of one."""
        if iface.ofp_port is not None or not (iface.kind and iface.kind.needs_device):
            return False
        link = links.get(iface.name)
        before = iface.link.ifindex if iface.link else None
        return (link.ifindex if link else None) != before

    def to_redo(self, devices: Iterable[str], links: Links) -> list[str]:
        """Of devices that changed: interfaces that wait for one which is there now, or whose
        device went or was replaced."""
        return [
            iface.name
            for iface in self._concerned(devices)
            if self.replaced(iface, links) or self.arrived(iface, links)
        ]

    def _concerned(self, devices: Iterable[str]) -> list[Iface]:
        cut = {self._cut[device] for device in self._cut.keys() & set(devices)}
        names = {*devices, *self.elsewhere, *cut}
        return [self._ifaces[name] for name in sorted(names & self._ifaces.keys())]

    def _take_link(self, iface: Iface, links: Links) -> None:
        """Take over what the kernel says of a port's device."""
        if not iface.kind.is_ours:
            link = links.get(iface.name)
            if link is not None and (iface.link is None or iface.link.ifindex == link.ifindex):
                iface.link = link
            return
        link = links.by_index(iface.link.ifindex) if iface.link is not None else None
        if link is None:
            ifindex = self._ofproto.port_ifindex(iface.ofp_port)
            link = links.by_index(ifindex) if ifindex else None
        iface.link = link
        if link is not None and link.name == iface.device:
            self.elsewhere.discard(iface.name)
        else:
            self.elsewhere.add(iface.name)

    def renewed(self) -> None:
        """The datapath process is a new one: devices that it makes are new, too.

        They are to be told as changed with the next changed().
        """
        for iface in self._ifaces.values():
            if iface.kind and iface.kind.is_ours:
                iface.link = None

    # --- what it is told

    def set_up(self, iface: Iface, links: Links) -> None:
        """Give a device the address and MTU that the configuration has for it."""
        if iface.dummy is not None:
            self.tell_link(iface)
        if iface.link is None:
            return
        before = iface.link
        mac = self._wanted_mac(iface)
        if iface.name != self._name and not iface.kind.is_ours:
            mac = None  # OVS, too, leaves the address of somebody else's device
        mtu = iface.config.mtu_request
        new_mac, new_mtu = mac and mac != iface.link.mac, mtu and mtu != iface.link.mtu
        try:
            if new_mac:
                netdev.set_mac(iface.link.name, mac)
            if new_mtu:
                netdev.set_mtu(iface.link.name, mtu)
                iface.given_mtu, iface.own_mtu = mtu, None
        except OSError as error:
            vlog.warn(f"{iface.name}: setting MAC or MTU of the device failed ({error.strerror})")
        if new_mac or new_mtu:
            links.run()
        self._take_link(iface, links)
        if iface.link != before:
            self.tell_link(iface)  # changed() will find nothing new

    def follow_mtu(self, links: Links) -> None:
        """Internal ports get the smallest MTU of the bridge's other devices, as in OVS.

        A smaller one that somebody gave such a device himself stays.
        """
        self.lost_one = False
        attached = [i for i in self._ifaces.values() if i.ofp_port is not None and i.link]
        following = [iface for iface in attached if iface.follows_mtu]
        others = [iface.link.mtu for iface in attached if not iface.follows_mtu]
        smallest = min(others, default=DEFAULT_MTU)
        for iface in following:
            mtu = iface.mtu_for(smallest)
            if iface.link.mtu == mtu:
                continue
            try:
                netdev.set_mtu(iface.link.name, mtu)
                iface.given_mtu = mtu
            except OSError as error:
                vlog.warn(f"{iface.name}: could not set MTU {mtu} ({error.strerror})")
            links.run()
            self._take_link(iface, links)
            self.tell_link(iface)
            self.news.add(iface.name)

    def set_device_up(self, name: str, up: bool) -> None:
        """A controller turns a port on or off (PORT_MOD).  Raises OSError."""
        iface = self._ifaces.get(name)
        if iface is None:
            return
        if iface.dummy is not None:
            iface.dummy.up = up
            self.tell_link(iface)
            self.news.add(name)
        elif iface.link is not None:
            netdev.set_up(iface.link.name, up)

    # --- what it tells

    def changed(self, devices: Iterable[str], links: Links) -> list[str]:
        """Take over changes of devices that stay; the interfaces that they are of."""
        changed = [iface for iface in self._concerned(devices) if self._follow(iface, links)]
        if changed:
            self.follow_mtu(links)
        names = [iface.name for iface in changed]
        self.news.update(names)
        return names

    def _follow(self, iface: Iface, links: Links) -> bool:
        """Returns whether the device of a port is another than it was told of."""
        if iface.ofp_port is None or not iface.kind.is_device:
            return False
        before = iface.link
        self._take_link(iface, links)
        if iface.link == before:
            return False
        self.tell_link(iface)
        return True

    def tell_link(self, iface: Iface) -> None:
        """Hand the state of the device to the OpenFlow switch."""
        link = iface.link
        if iface.dummy is not None:
            self._tell_dummy(iface, iface.dummy)
            return
        if link is None:
            self._tell_always_up(iface)
            return
        iface.link_mode = netdev.link_mode(link.name)
        iface.driver = netdev.driver_info(link.name)
        mode = iface.link_mode
        self._ofproto.port_update(
            iface.name,
            mac=octets(link.mac),
            admin_up=link.is_up,
            link_up=link.has_carrier,
            speed=mode.speed // 1_000_000 if mode and mode.speed else None,
            full_duplex=not mode or mode.duplex != "half",
            copper=bool(mode and mode.copper),
            mtu=link.mtu,
        )

    def _tell_dummy(self, iface: Iface, dummy: Device) -> None:
        dummy.mac = self._wanted_mac(iface) or dummy.mac
        self._ofproto.port_update(
            iface.name,
            mac=octets(dummy.mac),
            admin_up=dummy.up,
            link_up=dummy.up,
            mtu=iface.config.mtu_request or DEFAULT_MTU,
        )

    def dummy_changed(self, name: str) -> None:
        """A command changed the state of a dummy."""
        self.tell_link(self._ifaces[name])
        self.news.add(name)

    def _tell_always_up(self, iface: Iface) -> None:
        """There is no device, or none in this namespace."""
        mac = settings.parse_mac(iface.config.mac)
        if iface.type in KINDS or iface.type == "patch":
            mac = settings.own_mac(iface.config.uuid)
        self._ofproto.port_update(iface.name, mac=octets(mac), admin_up=True, link_up=True)


def octets(mac: str | None) -> bytes | None:
    return bytes.fromhex(mac.replace(":", "")) if mac else None
