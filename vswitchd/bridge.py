"""One bridge: makes an Ofproto what a BridgeConfig says, by the differences.

The Switch calls, for all bridges in turn, so that an interface can move from one to another:
remove_unwanted(), add_wanted(), configure().  In between, links_changed() takes over what the
kernel tells of devices.  No call blocks; errors of one interface go to its `error` column.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import ovs.vlog

from vswitchd import netdev, settings
from vswitchd.bundles import Bundles
from vswitchd.config import BridgeConfig, InterfaceConfig, PortConfig
from vswitchd.iface import Iface, effective_type, open_error
from vswitchd.links import Link, Links

vlog = ovs.vlog.Vlog("bridge")

LOCAL = 0xFFFE

BOND_MODES = (None, "active-backup")


class Bridge:
    """A bridge and its interfaces: `ifaces` by name, `config` as last realised."""

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
        self._ports: dict[str, PortConfig] = {}
        self.bundles = Bundles(self.ofproto)
        self._settings: dict[str, Any] = {}  # setter -> what it was given
        self._warned: set[str] = set()
        # Numbers of interfaces that are gone or not back yet: nobody else gets them.
        self._numbers: dict[str, int] = {}

    # --- reconciliation

    def remove_unwanted(self, config: BridgeConfig, links: Links) -> None:
        """Take over `config`, and drop the ports that it does not want as they are."""
        self.config = config
        self.mac = settings.bridge_mac(config)
        self._ports = {port.name: port for port in config.ports}
        if self.name not in self._ports:
            self._ports[self.name] = settings.local_port(self.name)
        wanted = {
            interface.name: interface
            for port in self._ports.values()
            for interface in port.interfaces
        }
        self.bundles.keep_only(self._ports)
        for iface in list(self.ifaces.values()):
            self._keep_or_remove(iface, wanted.get(iface.name), links)
        for interface in wanted.values():
            self._take_interface(interface)

    def _keep_or_remove(self, iface: Iface, config: InterfaceConfig | None, links: Links) -> None:
        if config is None:
            self._detach(iface)
            del self.ifaces[iface.name]
            self._numbers.pop(iface.name, None)
            return
        changed = (
            effective_type(config, self.name) != iface.type
            or config.options != iface.config.options
            or (
                config.ofport_request is not None
                and iface.name != self.name
                and config.ofport_request != iface.config.ofport_request
                and config.ofport_request != iface.ofp_port
            )
        )
        if changed or self._replaced(iface, links):
            self._detach(iface)

    def _take_interface(self, config: InterfaceConfig) -> None:
        type_ = effective_type(config, self.name)
        iface = self.ifaces.get(config.name)
        if iface is None:
            known = self._known_ofport(config.uuid)
            iface = self.ifaces[config.name] = Iface(config, type_, known)
        iface.config = config
        iface.type = type_
        number = iface.wanted_ofport()
        if number:
            self._numbers[config.name] = number

    def add_wanted(self, links: Links) -> None:
        """Make a port of every interface that is none yet, if it can be had."""
        missing = [iface for iface in self.ifaces.values() if iface.ofp_port is None]
        # Who asks for a number, or had one, comes before those who take any.
        missing.sort(key=lambda each: (each.name != self.name, each.wanted_ofport() is None))
        for iface in missing:
            self._attach(iface, links)

    def configure(self) -> None:
        """Bundles, controllers and everything else, where it differs from before."""
        self._warn_unsupported()
        for port in self._ports.values():
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
        self._numbers[iface.name] = iface.ofp_port
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
        avoid = tuple(number for name, number in self._numbers.items() if name != iface.name)
        request = None if iface.name == self.name else iface.wanted_ofport()
        if request is not None and not iface.config.ofport_request and request in avoid:
            request = None  # somebody asks for the number that this one had
        try:
            iface.ofp_port = self.ofproto.port_add(
                iface.name, iface.type, request, iface.config.options, avoid
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
        try:
            if mac and mac != iface.link.mac:
                netdev.set_mac(iface.name, mac)
            if mtu and mtu != iface.link.mtu:
                netdev.set_mtu(iface.name, mtu)
        except OSError as error:
            vlog.warn(f"{iface.name}: setting MAC or MTU of the device failed ({error.strerror})")
        links.run()
        self._take_link(iface, links)

    def _take_link(self, iface: Iface, links: Links) -> None:
        link = links.get(iface.name)
        if link is not None and (iface.link is None or iface.link.ifindex == link.ifindex):
            iface.link = link

    def update_devices(self, links: Links) -> None:
        """After a change of configuration: address and MTU of devices that stay."""
        for iface in self.ifaces.values():
            if iface.ofp_port is not None and iface.link is not None:
                self._set_up_device(iface, links)
        self._follow_mtu(links)

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

    def needs_reconcile(self, links: Links) -> bool:
        """Whether a device appeared that an interface waits for, or one went or was replaced."""
        for iface in self.ifaces.values():
            if self._replaced(iface, links):
                return True
            if iface.ofp_port is None and iface.kind and iface.kind.needs_device:
                link = links.get(iface.name)
                before = iface.link.ifindex if iface.link else None
                if (link.ifindex if link else None) != before:
                    return True
        return False

    def links_changed(self, links: Links) -> bool:
        """Take over changes of devices that stay.  Returns whether there were any."""
        changed = False
        for iface in self.ifaces.values():
            if iface.ofp_port is None or not iface.kind.is_device:
                continue
            before = iface.link
            self._take_link(iface, links)
            if iface.link == before:
                continue
            self._tell_link(iface)
            changed = True
        if changed:
            self._follow_mtu(links)
            for port in self._ports.values():
                if len(port.interfaces) > 1:
                    self._set_bundle(port)  # a bond may have to fail over
        return changed

    def devices_renewed(self) -> None:
        """The datapath process is a new one: devices that it makes are new, too."""
        for iface in self.ifaces.values():
            if iface.kind and iface.kind.is_ours:
                iface.link = None

    def _set_device_up(self, name: str, up: bool) -> None:
        """A controller turns a port on or off (PORT_MOD).  Raises OSError."""
        iface = self.ifaces.get(name)
        if iface is not None and iface.link is not None:
            netdev.set_up(name, up)

    # --- what is not there

    def _warn_unsupported(self) -> None:
        """Say once per cause what the configuration asks for in vain."""
        for column in self.config.unsupported:
            self._warn(f"bridge {self.name}: {column} is not supported")
        for port in self._ports.values():
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
