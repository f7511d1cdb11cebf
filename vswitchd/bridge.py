"""One bridge: makes an Ofproto what a BridgeConfig and PortConfigs say, by the differences.

The Switch calls, for all bridges in turn, so that an interface can move from one to another:
remove_unwanted(), add_wanted(), configure(), update_devices().  In between, links_changed()
takes over what the kernel tells of devices.  The work is that of the ports, interfaces and
devices that changed.  No call blocks; errors of one interface go to its `error` column.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

import ovs.vlog

from vswitchd import netdev, settings
from vswitchd.bundles import Bundles
from vswitchd.config import BridgeConfig, InterfaceConfig, PortConfig
from vswitchd.iface import Iface, effective_type, open_error
from vswitchd.links import Link, Links
from vswitchd.port_numbers import WantedNumbers

vlog = ovs.vlog.Vlog("bridge")

LOCAL = 0xFFFE

BOND_MODES = (None, "active-backup")


class Bridge:
    """A bridge and its interfaces: `ifaces` by name, `config` as last realised.

    `news` are the names of interfaces whose status may differ from what was last told, `has_news`
    says the same of the bridge itself.
    """

    def __init__(
        self,
        config: BridgeConfig,
        make_ofproto: Callable[[str, int], Any],
        known_ofport: Callable[[UUID], int | None],
    ):
        """`make_ofproto(name, datapath_id)` makes the Ofproto, which then is this object's.

        `known_ofport(uuid)` is the number that an interface had before this process, or None.
        """
        self._known_ofport = known_ofport
        self.config = config
        self.name = config.name
        self.mac = settings.bridge_mac(config)
        self.ofproto = make_ofproto(self.name, settings.datapath_id(config, self.mac))
        self.ofproto.set_device_up = self._set_device_up
        self.ifaces: dict[str, Iface] = {}
        self.news: set[str] = set()
        self.has_news = True
        self._ports: dict[str, PortConfig] = {}
        # Interface -> port -> what that port says of it.
        self._wanted: dict[str, dict[str, InterfaceConfig]] = {}
        self.bundles = Bundles(self.ofproto)
        self._settings: dict[str, Any] = {}  # setter -> what it was given
        self._warned: set[str] = set()
        # Of interfaces that are gone or not back yet, too: nobody else gets their numbers.
        self._numbers = WantedNumbers()
        self._missing: set[str] = set()  # interfaces that are no port
        # What the reconciliation that is under way has to look at.
        self._touched: set[str] = set()  # interfaces
        self._stale: set[str] = set()  # ports

    @property
    def lacks_ports(self) -> bool:
        """Whether some interface is not a port, for whatever reason."""
        return bool(self._missing)

    # --- reconciliation

    def remove_unwanted(
        self, config: BridgeConfig, ports: Mapping[str, PortConfig | None], links: Links
    ) -> None:
        """Take over `config` and these ports (None: gone), and drop what is not wanted as it is."""
        self.config = config
        mac = settings.bridge_mac(config)
        if mac != self.mac:
            self.mac = mac
            self._touched.add(self.name)
        changed = dict(ports)
        if changed.get(self.name) is None and (self.name in changed or not self._ports):
            changed[self.name] = settings.local_port(self.name)
        self._stale.update(changed)
        for name in sorted(changed):
            self._touched |= self._take_port(name, changed[name])
        for name in sorted(self._touched):
            self._take_interface(name, links)

    def _take_port(self, name: str, port: PortConfig | None) -> set[str]:
        """Replace what is known of a port; returns the interfaces that it has or had."""
        names = set()
        old = self._ports.pop(name, None)
        for interface in old.interfaces if old else ():
            users = self._wanted[interface.name]
            del users[name]
            if not users:
                del self._wanted[interface.name]
            names.add(interface.name)
        if port is None:
            self.bundles.drop(name)
            return names
        self._ports[name] = port
        for interface in port.interfaces:
            self._wanted.setdefault(interface.name, {})[name] = interface
            names.add(interface.name)
        return names

    def _take_interface(self, name: str, links: Links) -> None:
        iface = self.ifaces.get(name)
        config = next(iter(self._wanted.get(name, {}).values()), None)
        if config is None:
            if iface is not None:
                self._detach(iface)
                self._forget(iface)
            return
        type_ = effective_type(config, self.name)
        if iface is None:
            known = self._known_ofport(config.uuid)
            iface = self.ifaces[name] = Iface(config, type_, known)
            self._missing.add(name)
        elif self._must_go(iface, config) or self._replaced(iface, links):
            self._detach(iface)
        iface.config = config
        iface.type = type_
        number = iface.wanted_ofport()
        if number:
            self._numbers.set(name, number)

    def _must_go(self, iface: Iface, config: InterfaceConfig) -> bool:
        """Whether a port has to be made anew to be as `config` says."""
        request = config.ofport_request
        return (
            effective_type(config, self.name) != iface.type
            or config.options != iface.config.options
            or (
                request is not None
                and iface.name != self.name
                and request not in (iface.config.ofport_request, iface.ofp_port)
            )
        )

    def _forget(self, iface: Iface) -> None:
        name = iface.name
        del self.ifaces[name]
        self._numbers.drop(name)
        self._missing.discard(name)
        self._touched.discard(name)
        self.news.discard(name)

    def add_wanted(self, links: Links) -> None:
        """Make a port of every interface that is none yet, if it can be had."""
        missing = [self.ifaces[name] for name in sorted(self._missing)]
        # Who asks for a number, or had one, comes before those who take any.
        missing.sort(key=lambda each: (each.name != self.name, each.wanted_ofport() is None))
        for iface in missing:
            self._attach(iface, links)

    def configure(self) -> None:
        """Bundles, controllers and everything else, where it differs from before."""
        self.has_news = True
        stale, self._stale = self._stale & self._ports.keys(), set()
        ports = [self._ports[name] for name in sorted(stale)]
        self._warn_unsupported(ports)
        for port in ports:
            self._set_bundle(port)
        config = self.config
        other = config.other_config
        self._set("set_datapath_id", settings.datapath_id(config, self.mac))
        self._set("set_fail_mode", config.fail_mode or "standalone")
        self._set("set_protocols", self._versions())
        self._set(
            "set_mac_table",
            settings.integer(other, "mac-aging-time", settings.DEFAULT_MAC_AGING, 15, 3600),
            settings.integer(other, "mac-table-size", settings.DEFAULT_MAC_ENTRIES, 10, 1_000_000),
        )
        self._set("set_desc", None, None, None, other.get("dp-sn"), other.get("dp-desc"))
        self._set("set_forward_bpdu", other.get("forward-bpdu") == "true")
        self._set("set_controllers", [settings.controller(row) for row in config.controllers])

    def _versions(self) -> set[int]:
        return {settings.OPENFLOW_VERSIONS[name] for name in self.config.protocols}

    def _set_bundle(self, port: PortConfig) -> None:
        self.bundles.set(port, [self.ifaces[interface.name] for interface in port.interfaces])

    def _set(self, setter: str, *values: Any) -> None:
        if self._settings.get(setter) != values:
            self._settings[setter] = values
            getattr(self.ofproto, setter)(*values)

    # --- ports

    def _replaced(self, iface: Iface, links: Links) -> bool:
        """Whether the device of a port is not the one that is there now."""
        kind = iface.kind
        if iface.ofp_port is None or kind is None or not kind.is_device or iface.link is None:
            return False
        link = links.get(iface.name)
        return link is None or link.ifindex != iface.link.ifindex

    def _attach(self, iface: Iface, links: Links) -> None:
        self._touched.add(iface.name)
        self._stale.update(self._wanted[iface.name])
        link = links.get(iface.name)
        problem = self._problem(iface, link)
        if problem is None:
            problem = self._port_add(iface)
        if problem is not None:
            if problem != iface.error:
                vlog.warn(f"bridge {self.name}: {problem}")
            iface.failed(problem, link)
            return
        if iface.kind.is_ours:
            links.run()  # the device is new
        iface.attached(iface.ofp_port, links.get(iface.name) if iface.kind.is_device else None)
        self._missing.discard(iface.name)
        self._numbers.set(iface.name, iface.ofp_port)
        vlog.info(f"bridge {self.name}: added interface {iface.name} on port {iface.ofp_port}")
        self._set_up_device(iface, links)
        self._tell_link(iface)

    def _problem(self, iface: Iface, link: Link | None) -> str | None:
        """Why the interface cannot become a port, as far as can be told before trying."""
        kind = iface.kind
        if kind is None:
            return (
                f"could not open network device {iface.name}"
                f" (interface type {iface.type} is unsupported)"
            )
        if kind.needs_device and link is None:
            return f"could not open network device {iface.name} (No such device)"
        if iface.type == "patch":
            peer = iface.config.options.get("peer")
            if not peer:
                return f"{iface.name}: patch type requires valid 'peer' argument"
            if peer == iface.name:
                return f"{iface.name}: patch peer must not be self"
        return None

    def _port_add(self, iface: Iface) -> str | None:
        """Have the port made; its number goes to iface.ofp_port.  Returns the error."""
        name, numbers = iface.name, self._numbers
        request = None if name == self.name else iface.wanted_ofport()
        own = iface.config.ofport_request
        if request is not None and not own and numbers.others_want(name, request):
            request = None  # somebody asks for the number that this one had
        try:
            iface.ofp_port = self.ofproto.port_add(
                name, iface.type, request, iface.config.options, numbers
            )
        except ValueError as error:
            return str(error)
        except OSError as error:
            return open_error(iface.name, error.errno or 0)
        except Exception as error:
            code = getattr(error, "errno", None)
            if code is None:  # not the datapath's
                raise
            return open_error(iface.name, code)
        return None

    def _detach(self, iface: Iface) -> None:
        if iface.ofp_port is None:
            return
        vlog.info(f"bridge {self.name}: deleted interface {iface.name} on port {iface.ofp_port}")
        self.bundles.drop_with(iface.ofp_port)
        self.ofproto.port_del(iface.ofp_port)
        iface.detached()
        self._missing.add(iface.name)
        self._stale.update(self._wanted.get(iface.name, ()))

    # --- devices

    def _set_up_device(self, iface: Iface, links: Links) -> None:
        """Give a device the address and MTU that the configuration has for it."""
        if iface.link is None:
            return
        mac = settings.parse_mac(iface.config.mac)
        if iface.name == self.name:
            mac = self.mac
        elif not iface.kind.is_ours:
            mac = None  # OVS, too, leaves the address of somebody else's device
        mtu = iface.config.mtu_request
        new_mac, new_mtu = mac and mac != iface.link.mac, mtu and mtu != iface.link.mtu
        try:
            if new_mac:
                netdev.set_mac(iface.name, mac)
            if new_mtu:
                netdev.set_mtu(iface.name, mtu)
        except OSError as error:
            vlog.warn(f"{iface.name}: setting MAC or MTU of the device failed ({error.strerror})")
        if new_mac or new_mtu:
            links.run()
        self._take_link(iface, links)

    def _take_link(self, iface: Iface, links: Links) -> None:
        link = links.get(iface.name)
        if link is not None and (iface.link is None or iface.link.ifindex == link.ifindex):
            iface.link = link

    def update_devices(self, links: Links) -> None:
        """After a change of configuration: address and MTU of devices that stay."""
        touched, self._touched = self._touched, set()
        for name in sorted(touched):
            iface = self.ifaces[name]
            if iface.ofp_port is not None and iface.link is not None:
                self._set_up_device(iface, links)
        if touched:
            self._follow_mtu(links)
        self.news |= touched

    def _follow_mtu(self, links: Links) -> None:
        """Internal ports get the smallest MTU of the bridge's other devices, as in OVS."""
        attached = [i for i in self.ifaces.values() if i.ofp_port is not None and i.link]
        others = [i.link.mtu for i in attached if not i.kind.is_ours]
        if not others:
            return
        mtu = min(others)
        for iface in attached:
            ours = iface.kind.is_ours and not iface.config.mtu_request
            if not ours or iface.link.mtu == mtu:
                continue
            try:
                netdev.set_mtu(iface.name, mtu)
            except OSError as error:
                vlog.warn(f"{iface.name}: could not set MTU {mtu} ({error.strerror})")
            links.run()
            self._take_link(iface, links)
            self._tell_link(iface)
            self.news.add(iface.name)

    def _tell_link(self, iface: Iface) -> None:
        """Hand the state of the device to the OpenFlow switch."""
        link = iface.link
        if link is None:
            # No device behind it: always up.
            mac = settings.parse_mac(iface.config.mac)
            self.ofproto.port_update(
                iface.name,
                mac=bytes.fromhex(mac.replace(":", "")) if mac else None,
                admin_up=True,
                link_up=True,
            )
            return
        iface.link_mode = netdev.link_mode(iface.name)
        iface.driver = netdev.driver_info(iface.name)
        mode = iface.link_mode
        self.ofproto.port_update(
            iface.name,
            mac=bytes.fromhex(link.mac.replace(":", "")) if link.mac else None,
            admin_up=link.is_up,
            link_up=link.has_carrier,
            speed=mode.speed // 1_000_000 if mode and mode.speed else None,
            full_duplex=not mode or mode.duplex != "half",
            copper=bool(mode and mode.copper),
            mtu=link.mtu,
        )

    def ports_to_redo(self, devices: Iterable[str], links: Links) -> set[str]:
        """Of devices that changed: the ports with an interface that waits for one which is
        there now, or whose device went or was replaced."""
        found: set[str] = set()
        for name in devices:
            iface = self.ifaces.get(name)
            if iface is not None and (self._replaced(iface, links) or self._arrived(iface, links)):
                found.update(self._wanted[name])
        return found

    def _arrived(self, iface: Iface, links: Links) -> bool:
        """Whether there is another device for an interface that is no port for want of one."""
        if iface.ofp_port is not None or not (iface.kind and iface.kind.needs_device):
            return False
        link = links.get(iface.name)
        before = iface.link.ifindex if iface.link else None
        return (link.ifindex if link else None) != before

    def links_changed(self, devices: Iterable[str], links: Links) -> bool:
        """Take over changes of devices that stay.  Returns whether there were any."""
        changed = [
            iface
            for iface in map(self.ifaces.get, devices)
            if iface is not None and self._follow_link(iface, links)
        ]
        if not changed:
            return False
        self._follow_mtu(links)
        for iface in changed:
            self.news.add(iface.name)
            for name in self._wanted[iface.name]:
                if len(self._ports[name].interfaces) > 1:
                    self._set_bundle(self._ports[name])  # a bond may have to fail over
        return True

    def _follow_link(self, iface: Iface, links: Links) -> bool:
        """Returns whether the device of a port is another than it was told of."""
        if iface.ofp_port is None or not iface.kind.is_device:
            return False
        before = iface.link
        self._take_link(iface, links)
        if iface.link == before:
            return False
        self._tell_link(iface)
        return True

    def devices_renewed(self) -> None:
        """The datapath process is a new one: devices that it makes are new, too.

        They are to be told as changed with the next links_changed().
        """
        for iface in self.ifaces.values():
            if iface.kind and iface.kind.is_ours:
                iface.link = None

    def _set_device_up(self, name: str, up: bool) -> None:
        """A controller turns a port on or off (PORT_MOD).  Raises OSError."""
        iface = self.ifaces.get(name)
        if iface is not None and iface.link is not None:
            netdev.set_up(name, up)

    # --- what is not there

    def _warn_unsupported(self, ports: Iterable[PortConfig]) -> None:
        """Say once per cause what the configuration asks for in vain."""
        for column in self.config.unsupported:
            self._warn(f"bridge {self.name}: {column} is not supported")
        for port in ports:
            if len(port.interfaces) > 1 and port.bond_mode not in BOND_MODES:
                self._warn(
                    f"port {port.name}: bond mode {port.bond_mode} is not supported,"
                    " using active-backup"
                )
            if port.lacp in ("active", "passive"):
                self._warn(f"port {port.name}: LACP is not supported")
            if port.has_qos:
                self._warn(f"port {port.name}: QoS is not supported")
            for interface in port.interfaces:
                if interface.policed:
                    self._warn(f"interface {interface.name}: policing is not supported")

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            vlog.warn(text)

    # --- end

    def destroy(self, delete: bool) -> None:
        """`delete`: the bridge is gone; else the datapath keeps its ports and flows."""
        self.ofproto.destroy(delete)
        self.ifaces.clear()
