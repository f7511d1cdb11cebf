"""One bridge: makes an Ofproto what a BridgeConfig and PortConfigs say, by the differences.

The Switch calls, for all bridges in turn, so that an interface can move from one to another:
remove_unwanted(), add_wanted(), configure(), update_devices().  In between, links_changed()
takes over what the kernel tells of devices.  The work is that of the ports, interfaces and
devices that changed.  No call blocks; errors of one interface go to its `error` column.
"""

import errno
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

import ovs.vlog

from datapath.ipc.dpif import DpifError
from ofproto.port_order import in_name_order
from ofproto.xlate.bridges.tunnel_config import KINDS, RESERVED
from pyvs import clock, containment
from pyvs.once import Once
from vswitchd.bonding.bundles import Bundles
from vswitchd.database import not_followed, settings
from vswitchd.database.config import BridgeConfig, InterfaceConfig, PortConfig
from vswitchd.devices.devices import Devices, octets
from vswitchd.devices.dummy import PCAP_OPTIONS, Dummies
from vswitchd.devices.dummy import TYPES as DUMMY_TYPES
from vswitchd.devices.iface import FAULT, Iface, open_error
from vswitchd.devices.links import Link, Links
from vswitchd.devices.local_address import LocalPort
from vswitchd.devices.local_mac import LocalMac
from vswitchd.devices.next_hop import next_hop
from vswitchd.keeper import Keeper
from vswitchd.kept_groups import KeptGroups
from vswitchd.kept_neighbours import KeptNeighbours
from vswitchd.monitoring.exports import Exports
from vswitchd.monitoring.mirrors import MirrorRows
from vswitchd.port_numbers import Requests, WantedNumbers
from vswitchd.protocols.protocols import Protocols
from vswitchd.qos.ports import PortsQos
from vswitchd.tunnels import ports as tunnel_ports

vlog = ovs.vlog.Vlog("bridge")

_RESERVED = "could not create interface %s, name is reserved"  # scripts wait for it

LOCAL = 0xFFFE


class Bridge:
    """A bridge and its interfaces: `ifaces` by name, `config` as last realised.

    `news` are the names of interfaces whose status may differ from what was last told, `has_news`
    says the same of the bridge itself.
    """

    def __init__(
        self,
        config: BridgeConfig,
        ofproto: Any,
        known_ofport: Callable[[UUID], int | None],
        known_active: Callable[[UUID], str | None],
        dummies: Dummies,
        keep_in: str | None = None,
    ):
        """`ofproto` is this object's from now on.

        `known_ofport(uuid)` is the number that an interface had before this process, or None;
        `known_active(uuid)` the address of a bond's active member; `keep_in` names the file of
        what protocols know.
        """
        self._known_ofport = known_ofport
        self._dummies = dummies
        self.config = config
        self.name = config.name
        self._local_mac = LocalMac(config.name)
        mac = self._local_mac.choose(config, ())
        self.ofproto = ofproto
        ofproto.set_datapath_id(settings.datapath_id(config, mac))
        self.ifaces: dict[str, Iface] = {}
        self.news: set[str] = set()
        self.devices = Devices(self.name, mac, self.ifaces, self.ofproto, self.news, dummies)
        self.ofproto.set_device_up = self.devices.set_device_up
        self.has_news = True
        self._ports: dict[str, PortConfig] = {}
        # Interface -> port -> what that port says of it.
        self._wanted: dict[str, dict[str, InterfaceConfig]] = {}
        self.protocols = Protocols(self.ofproto, self.name)
        self._mirrors = MirrorRows(self.name)
        self.bundles = Bundles(
            self.ofproto, known_active, self.protocols.lacp.of_bond, self.protocols.link_changed
        )
        self._groups = KeptGroups(self.ofproto)
        self.neighbours = KeptNeighbours(self.ofproto)
        known = self.protocols.by_name.values()
        parts = [*known, self.bundles, self._groups, self.neighbours]
        self.keeper = Keeper(keep_in, parts)
        self.keeper.recall(clock.msec())
        self.exports = Exports(self.ofproto, self.protocols.lacp.counted)
        self.qos = PortsQos(self.name, self.ofproto)
        self._qos_due: set[str] = set()  # ports
        self._settings: dict[str, Any] = {}  # setter -> what it was given
        self._warned = Once()
        # Of interfaces that are gone or not back yet, too: nobody else gets their numbers.
        self._numbers = WantedNumbers()
        self._local_port = LocalPort(config.name)
        self._requests = Requests()
        self._holders: dict[int, str] = {}  # port number -> the interface that has it
        self._missing: set[str] = set()  # interfaces that are no port
        self._linked: dict[str, bool] = {}  # patch port -> whether it has another end
        # What the reconciliation that is under way has to look at.
        self._touched: set[str] = set()  # interfaces
        self._stale: set[str] = set()  # ports
        self._faulty: set[str] = set()  # interfaces with which that met a fault

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
        changed = dict(ports)
        if changed.get(self.name) is None and (self.name in changed or not self._ports):
            changed[self.name] = settings.local_port(self.name)
        self._stale.update(changed)
        for name in sorted(changed):
            self._touched |= self._take_port(name, changed[name])
        for name in sorted(self._touched):
            self._guarded((name,), self._take_interface, name, links)
        self._follow_address(changed, links)
        self._settle_requests(links)

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
            self.bundles.drop(name, clock.msec())
            self._local_mac.drop_port(name)
            self.protocols.drop_port(name, clock.msec())
            return names
        self._ports[name] = port
        for interface in port.interfaces:
            self._wanted.setdefault(interface.name, {})[name] = interface
            names.add(interface.name)
        return names

    def take_faulty(self) -> set[str]:
        """The ports with whose interfaces this reconciliation met a fault; tell it of all."""
        faulty, self._faulty = self._faulty, set()
        self._tell_faulty(faulty)
        return self.ports_of(faulty)

    def _tell_faulty(self, faulty: set[str]) -> None:
        for name, iface in self.ifaces.items():
            has_fault = (
                name in faulty or iface.config.is_faulty or name in self.qos.faulty
            ) or any(self._ports[port].has_faulty_qos for port in self._wanted.get(name, ()))
            if iface.has_fault != has_fault:
                iface.has_fault = has_fault
                self.news.add(name)

    def run_qos(self) -> bool:
        """Go on with disciplines; whether a fault with one is to be told."""
        known = len(self.qos.faulty)
        self.qos.run()
        if len(self.qos.faulty) == known:
            return False
        self._tell_faulty(set())
        return True

    def _guarded(self, interfaces: Iterable[str], step: Callable[..., Any], *args: Any) -> None:
        """A fault with one interface, or with those of one port, leaves the others to be
        configured; the column `error` tells it."""
        try:
            step(*args)
        except Exception:
            names = tuple(interfaces)
            containment.caught("interface configuration", ", ".join(names))
            self._faulty.update(names)

    def _take_interface(self, name: str, links: Links) -> None:
        iface = self.ifaces.get(name)
        config = next(iter(self._wanted.get(name, {}).values()), None)
        if config is None:
            if iface is not None:
                self._detach(iface)
                self._forget(iface)
            return
        type_ = self._type(config)
        self._requests.ask(name, None if name == self.name else config.ofport_request)
        if iface is None:
            known = self._known_ofport(config.uuid)
            iface = self.ifaces[name] = Iface(config, type_, known)
            self._missing.add(name)
        elif self._must_go(iface, config) or self.devices.replaced(iface, links):
            self._detach(iface)
        elif iface.ofp_port is not None and _told(config) != _told(iface.config):
            self._set_options(iface, config)
        iface.config = config
        iface.type = type_
        number = iface.wanted_ofport()
        if number:
            self._numbers.set(name, number)

    def _follow_address(self, ports: Iterable[str], links: Links) -> bool:
        """These ports may stand for other addresses than before.  Returns whether the bridge's is
        another now; _take_address() is to follow."""
        for name in ports:
            port = self._ports.get(name)
            if port is not None:
                self._local_mac.set_port(port, map(self._type, port.interfaces), links)
        fakes = self._local_mac.of_fakes(self.config, self._ports)
        changed = {name for name, mac in fakes.items() if self.devices.fakes.get(name) != mac}
        self._touched |= changed & self.ifaces.keys()
        self.devices.fakes = fakes
        mac = self._local_mac.choose(self.config, self._ports)
        if mac == self.devices.mac:
            return bool(changed)
        self.devices.mac = mac
        self._touched.add(self.name)
        return True

    def _take_address(self) -> None:
        """The bridge's address is also part of its ID, and that of its protocols."""
        mac = self.devices.mac
        self.protocols.configure(self.config, octets(mac), clock.msec())
        self._set("set_datapath_id", settings.datapath_id(self.config, mac))

    def _type(self, config: InterfaceConfig) -> str:
        return self._dummies.effective_type(config, self.name, self.config.datapath_type)

    def _must_go(self, iface: Iface, config: InterfaceConfig) -> bool:
        """Whether a port has to be made anew to be as `config` says."""
        kind = self._type(config)
        if kind == iface.type == "patch" and config.options.get("peer") not in (None, iface.name):
            return False  # it gets another peer, and stays
        if kind != iface.type:
            return True
        now, then = _told(config), _told(iface.config)
        differ = {name for name in now | then if now.get(name) != then.get(name)}
        return bool(
            differ - {settings.EXACT_CACHE} - (PCAP_OPTIONS if kind in DUMMY_TYPES else set())
        )

    def _set_options(self, iface: Iface, config: InterfaceConfig) -> None:
        """Of a port that stays; one that cannot have them is made anew, and says why."""
        if iface.type == "patch":
            self.ofproto.patch_set_peer(iface.ofp_port, config.options)
            return
        try:
            self.ofproto.port_set_options(iface.ofp_port, _told(config))
        except DpifError:
            self._detach(iface)

    def _settle_requests(self, links: Links) -> bool:
        """Who asks for a port number gets it, from whoever has it without asking.  Returns whether
        ports were set aside for that.

        Of several who ask for the same, the one that has it, or had it, keeps it.  As in Open
        vSwitch, one that is no port yet takes it from nobody: it gets another first, and the
        number that it asks for when this is called again.
        """
        moved = False
        for number, names in self._requests.by_number.items():
            asking = [self.ifaces[name] for name in names]
            iface = min(
                asking, key=lambda i: (i.ofp_port != number, i.last_ofport != number, i.name)
            )
            holder = self._holders.get(number)
            if iface.ofp_port == number or not self._may_attach(iface, links):
                continue
            if iface.ofp_port is None and holder is not None:
                continue
            for each in (self.ifaces[holder] if holder else None, iface):
                if each is not None and each.ofp_port is not None:
                    self._touched.add(each.name)
                    self._set_aside(each)
                    moved = True
        return moved

    @staticmethod
    def _may_attach(iface: Iface, links: Links) -> bool:
        kind = iface.kind
        return kind is not None and (not kind.needs_device or links.get(iface.name) is not None)

    def _forget(self, iface: Iface) -> None:
        name = iface.name
        del self.ifaces[name]
        self._numbers.drop(name)
        self._requests.ask(name, None)
        self._missing.discard(name)
        self._touched.discard(name)
        self.news.discard(name)

    def add_wanted(self, links: Links) -> None:
        """Make a port of every interface that is none yet, if it can be had: in Open vSwitch's
        order those that ask for a number, so that the datapath's numbers are the same, and by
        name those that get one."""

        def rank(iface: Iface) -> tuple[bool, int, str]:
            asks = iface.config.ofport_request is not None
            return iface.name != self.name, iface.precedence(), "" if asks else iface.name

        missing = [self.ifaces[name] for name in in_name_order(self._missing, len(self._ports))]
        for iface in sorted(missing, key=rank):
            self._guarded((iface.name,), self._attach, iface, links)
        self.ofproto.drop_set_aside()

    def settle_new(self, links: Links) -> None:
        """New ports get the numbers that they ask for.  (Open vSwitch reconfigures when the devices
        of new ports change; those of dummies, which the kernel does not have, it lets wait.)"""
        if self._settle_requests(links):
            self.add_wanted(links)

    def configure(self) -> None:
        """Bundles, controllers and everything else, where it differs from before."""
        self.has_news = True
        stale, self._stale = self._stale & self._ports.keys(), set()
        ports = [self._ports[name] for name in sorted(stale)]
        self._warn_in_vain(ports)
        self._take_address()
        for port in ports:
            self._guarded(_names(port), self._set_bundle, port)
        self._qos_due |= stale
        config = self.config
        other = config.other_config
        self._set("set_fail_mode", config.fail_mode or "standalone")
        self._set("set_protocols", settings.versions(config.protocols))
        self._set(
            "set_mac_table",
            settings.integer(other, "mac-aging-time", settings.DEFAULT_MAC_AGING, 15, 3600),
            settings.integer(other, "mac-table-size", settings.DEFAULT_MAC_ENTRIES, 10, 1_000_000),
        )
        self._set("set_snooping", settings.snooping(config))
        self._set("set_tables", settings.tables(config))
        self._set("set_desc", None, None, None, other.get("dp-sn"), other.get("dp-desc"))
        self._set("set_flood_vlans", frozenset(config.flood_vlans))
        self._set("set_forward_bpdu", other.get("forward-bpdu") == "true")
        in_band = other.get("disable-in-band") != "true"
        self._set("set_in_band", in_band, settings.in_band_queue(other), next_hop)
        self.ofproto.mirrors.set(self._mirrors.settings(config, self._ports))
        self.exports.configure(config)
        containment.call("keeping", self.name, self._groups.apply, clock.msec())
        self._set("set_controllers", settings.controllers(config))

    def _set_bundle(self, port: PortConfig) -> None:
        members = [self.ifaces[name] for name in _names(port)]
        now = clock.msec()
        attached = [iface for iface in members if iface.ofp_port is not None]
        self.protocols.set_port(port, attached, now)
        self.bundles.set(port, members, now)

    def _set(self, setter: str, *values: Any) -> None:
        if self._settings.get(setter) != values:
            self._settings.pop(setter, None)  # should it fail, it is done another time
            getattr(self.ofproto, setter)(*values)
            self._settings[setter] = values

    # --- ports

    def _attach(self, iface: Iface, links: Links) -> None:
        self._touched.add(iface.name)
        self._stale.update(self._wanted[iface.name])
        link = links.get(iface.device)
        problem = self._problem(iface, link)
        if problem is None:
            problem = self._port_add(iface)
        if problem is not None:
            if problem != iface.error:
                what = f"bridge {self.name}: {problem}" if problem else _RESERVED % iface.name
                vlog.warn(what)
                if iface.kind is None:
                    vlog.info(f"{iface.name}: interfaces of type {iface.type} are not supported")
            iface.failed(problem, link)
            return
        iface.attached(iface.ofp_port)
        self._missing.discard(iface.name)
        self._numbers.set(iface.name, iface.ofp_port)
        self._holders[iface.ofp_port] = iface.name
        vlog.info(f"bridge {self.name}: added interface {iface.name} on port {iface.ofp_port}")
        self.devices.attached(iface, links)

    def _problem(self, iface: Iface, link: Link | None) -> str | None:
        """Why the interface cannot become a port, as far as can be told before trying."""
        kind = iface.kind
        if iface.config.is_faulty:
            return FAULT % iface.name
        if iface.name.startswith(RESERVED) and self._dummies.mode != "override":
            return ""  # as of Open vSwitch, the database has no text
        if kind is None or not self._dummies.has_type(iface.type):
            return open_error(iface, errno.EAFNOSUPPORT)
        if kind.needs_device:
            if link is None:
                return open_error(iface, errno.ENODEV)
            if not link.can_be_port:
                return open_error(iface, errno.EINVAL)
        if iface.type == "patch":
            peer = iface.config.options.get("peer")
            if not peer:
                return f"{iface.name}: patch type requires valid 'peer' argument"
            if len(iface.config.options) > 1:
                return f"{iface.name}: patch type takes only a 'peer' argument"
            if peer == iface.name:
                return f"{iface.name}: patch peer must not be self"
        return None

    def _port_add(self, iface: Iface) -> str | None:
        """Have the port made; its number goes to iface.ofp_port.  Returns the error."""
        name, numbers = iface.name, self._numbers
        request = None if name == self.name else iface.config.ofport_request
        if request is None or request in self._holders:
            request = iface.last_ofport
            if request is not None and numbers.others_want(name, request):
                request = None  # somebody asks for the number that this one had
        tunnel = None
        if iface.type in KINDS:
            vports = self.ofproto.backer.ports.vports.by_name
            tunnel, told = tunnel_ports.wanted(name, iface.type, iface.config.options, vports)
            if tunnel is None:
                return told
        try:
            iface.ofp_port = self.ofproto.port_add(
                name, iface.type, request, _told(iface.config), numbers, tunnel
            )
        except ValueError as error:
            return str(error)
        except OSError as error:
            return open_error(iface, error.errno or 0)
        return None

    def _detach(self, iface: Iface) -> None:
        if iface.ofp_port is None:
            return
        vlog.info(f"bridge {self.name}: deleted interface {iface.name} on port {iface.ofp_port}")
        self._leave(iface)
        self.qos.forget(iface)
        self.ofproto.port_del(iface.ofp_port)
        self.devices.detached(iface.name)
        self._has_no_port(iface)

    def _set_aside(self, iface: Iface) -> None:
        """It gets another number in this reconciliation; its device stays what it is."""
        vlog.info(f"bridge {self.name}: interface {iface.name} leaves port {iface.ofp_port}")
        self._leave(iface)
        self.ofproto.port_set_aside(iface.ofp_port)
        self._has_no_port(iface)

    def _leave(self, iface: Iface) -> None:
        now = clock.msec()
        self.protocols.leave(iface, now)
        self.bundles.leave(iface, now)

    def _has_no_port(self, iface: Iface) -> None:
        del self._holders[iface.ofp_port]
        iface.detached()
        self._missing.add(iface.name)
        self._stale.update(self._wanted.get(iface.name, ()))

    def port_uuid(self, name: str) -> UUID:
        """The row of a port that there is."""
        return self._ports[name].uuid

    # --- patch ports

    def follow_patches(self) -> None:
        """Note which patch ports have found, or lost, their other end since the last time."""
        linked = {
            name: self.ofproto.patch_is_linked(iface.ofp_port)
            for name, iface in self.ifaces.items()
            if iface.type == "patch" and iface.ofp_port is not None
        }
        for name in linked.keys() | self._linked.keys():
            if linked.get(name) != self._linked.get(name) and name in linked:
                self.ifaces[name].is_linked = linked[name]
                self.news.add(name)
        self._linked = linked

    # --- devices

    def update_devices(self, links: Links) -> None:
        """After a change of configuration: address and MTU of devices that stay."""
        touched, self._touched = self._touched, set()
        for name in sorted(touched & self.ifaces.keys()):
            iface = self.ifaces[name]
            if iface.ofp_port is not None:
                self._guarded((name,), self.devices.set_up, iface, links)
        due, self._qos_due = self._qos_due & self._ports.keys(), set()
        for name in sorted(due):
            port = self._ports[name]
            self._guarded(_names(port), self._set_qos, port, links)
        if touched or self.devices.lost_one:
            self.devices.follow_mtu(links)
        self.news |= touched
        self._local_port.configure(self.config)
        self._give_local_address()

    def _give_local_address(self) -> None:
        local = self.ifaces.get(self.name)
        self._local_port.give(local.link if local is not None else None)

    def _set_qos(self, port: PortConfig, links: Links) -> None:
        self.qos.configure(port, [self.ifaces[name] for name in _names(port)], links)

    def ports_to_redo(self, devices: Iterable[str], links: Links) -> set[str]:
        """Ports of interfaces whose device went, was replaced, or is there now."""
        return self.ports_of(self.devices.to_redo(devices, links))

    def ports_of(self, interfaces: Iterable[str]) -> set[str]:
        """The ports that have these interfaces."""
        return {port for name in interfaces for port in self._wanted.get(name, ())}

    def links_changed(self, devices: Iterable[str], links: Links) -> bool:
        """Take over changes of devices that stay.  Returns whether there were any."""
        changed = self.devices.changed(devices, links)
        self._follow_members(changed)
        self._give_local_address()
        if changed and self._follow_address(self.ports_of(changed), links):
            self._take_address()
            self.update_devices(links)
            self.has_news = True
        return bool(changed)

    def dummy_changed(self, name: str) -> None:
        """A command changed the state of a dummy."""
        self.devices.dummy_changed(name)
        self._follow_members([name])

    def run_protocols(self, now: int) -> None:
        """Protocols, and the bonds whose members they judge."""
        self.protocols.run(now)
        judged = self.protocols.take_judged()
        if judged:
            self.bundles.members_changed(self.ports_of(judged), now)

    def _follow_members(self, changed: Iterable[str]) -> None:
        """Bonds of these interfaces may have to fail over."""
        for name in changed:
            iface = self.ifaces.get(name)
            if iface is not None and iface.ofp_port is not None:
                self.protocols.link_changed(iface, clock.msec())
        self.bundles.members_changed(self.ports_of(changed), clock.msec())

    # --- what is not there

    def _warn_in_vain(self, ports: Iterable[PortConfig]) -> None:
        """Say once what the configuration asks for in vain."""
        records = [(f"bridge {self.name}", self.config)]
        records += [(f"controller {row.target}", row) for row in self.config.controllers]
        for port in ports:
            records.append((f"port {port.name}", port))
            records += [(f"interface {each.name}", each) for each in port.interfaces]
        for name, record in records:
            for text in record.in_vain:
                log = vlog.info if not_followed.is_harmless(text) else vlog.warn
                self._tell_once(f"{name}: {text} is not followed yet", log)

    def _tell_once(self, text: str, log: Callable[[str], None]) -> None:
        if self._warned.is_new(text):
            log(text)

    # --- end

    def destroy(self, delete: bool) -> None:
        """`delete`: the bridge is gone; else the datapath keeps its ports and flows."""
        self.keeper.close(delete, clock.msec())
        self.protocols.close()
        self.exports.close()
        if delete:
            for iface in self.ifaces.values():
                self.qos.forget(iface)
        self.ofproto.destroy(delete)
        self.ifaces.clear()


_told = settings.device_options


def _names(port: PortConfig) -> tuple[str, ...]:
    return tuple(interface.name for interface in port.interfaces)
