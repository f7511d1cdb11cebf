"""The OpenFlow switch of one bridge.

vswitchd makes one Ofproto per bridge, tells it ports, bundles and controllers, and calls run()
and wait().  Everything an OpenFlow peer can ask goes through connmgr (connections) and handlers
(one function per message) to the parts that are put together here:

    tables     flow_table   what FLOW_MODs do; translation reads the same tables
    groups     group        the same of GROUP_MODs
    bonds      bonds        which port of a bundle carries what
    mirrors    mirrors      copies of packets
    ports      ports        OpenFlow ports, bundles, the datapath's ports
    connmgr    connmgr      connections, roles
    table_work table_work   what is done to the tables slice by slice
    bundles    bundles      messages to be executed together
    monitors   monitors     who is told of changes to flows
    fail_mode  fail_mode    what happens without a controller
    log        flow_log     flows on disk, so that they outlive vswitchd
"""

import time
from collections.abc import Callable, Collection, Container, Generator, Iterator
from functools import partial
from typing import Any

import ovs.vlog

from ofproto import async_messages, frames, handlers
from ofproto.bonds import Bonds
from ofproto.changes.bundles import Bundles
from ofproto.changes.long_mods import LongMods
from ofproto.changes.monitors import FlowMonitors
from ofproto.changes.table_work import TableWork
from ofproto.codec.instructions import format_instructions
from ofproto.codec.match_text import format_match
from ofproto.codec.messages import PortDesc, PortStatus, TableDesc, TableStatus
from ofproto.codec.numbers import (
    OF13,
    OF14,
    OFPP_LOCAL,
    OFPR_NO_MATCH,
    OFPRR_EVICTION,
    OFPRR_HARD_TIMEOUT,
    OFPRR_IDLE_TIMEOUT,
)
from ofproto.fail_mode import FailMode
from ofproto.flows.packet_outs import PacketOuts
from ofproto.flows.serving import REVALIDATED_IN
from ofproto.in_band import InBand
from ofproto.mirrors import Mirrors
from ofproto.peers import streams
from ofproto.peers.connmgr import ConnMgr
from ofproto.peers.controller import ControllerConfig, ControllerStatus
from ofproto.peers.peer import is_primary
from ofproto.port import OfPort, TreeState
from ofproto.ports import Ports
from ofproto.tables import tlv_table
from ofproto.tables.flow_log import FlowLog
from ofproto.tables.flow_table import SEND_FLOW_REM, FlowTables
from ofproto.tables.group import GroupTable
from ofproto.tables.meter import meter_mod
from ofproto.tables.mod_plan import ModPlans
from ofproto.tables.table_config import TableSettings
from ofproto.xlate.bridges.mcast_snooping import McastSnooping, SnoopingSettings
from ofproto.xlate.bridges.tunnel_config import TunnelConfig
from ofproto.xlate.bridges.xbridge import XBridge
from pyvs import clock, containment, rundir
from pyvs.poller import QUICK
from pyvs.version import OVS_DRIVER, VERSION

vlog = ovs.vlog.Vlog("ofproto")

# Controllers choose drivers by manufacturer, hardware and a software version of 2.x.
DEFAULT_DESC = {
    "mfr": "Nicira, Inc.",
    "hw": "Open vSwitch",
    "sw": f"{OVS_DRIVER} (pyvs {VERSION})",
    "serial": "None",
    "dp": "None",
}

RESTORE_SECONDS = 0.01  # of the loop at a time, for what an earlier process left
# The same at first: a bridge that is there with this loses none of the packets that wait for it.
FIRST_RESTORE_SECONDS = 0.1
LEAST_RESTORE_SECONDS = 0.003  # of each bridge: one of few flows does not wait for a large one

# Why flows go without a message that the journal has.
NO_MESSAGE = (OFPRR_IDLE_TIMEOUT, OFPRR_HARD_TIMEOUT, OFPRR_EVICTION)


class Ofproto:
    """One bridge's switch.

    `backer` is the shared Backer.  `journal` False: flows are not kept over a crash; `at_once`
    False: those that an earlier process left are taken over by restore_some(), before which the
    bridge has no ports and nobody is connected.
    `set_device_up(name, up)`, when given, sets whether a network device is up (PORT_MOD); it
    raises OSError.
    """

    def __init__(
        self,
        name: str,
        backer: Any,
        datapath_id: int = 0,
        *,
        journal: bool = True,
        at_once: bool = True,
    ):
        self.name = name
        self.backer = backer
        self.desc = dict(DEFAULT_DESC)
        self.set_device_up: Callable[[str, bool], None] | None = None
        # Of whoever exports: the statistics of a collector set, or of the bridge's own (None).
        self.ipfix_stats: Callable[[int | None], list[Any]] = lambda number: []
        self.collector_sets: tuple[int, ...] = ()
        # Counters of the queues of a device, by number.
        self.queue_counters: Callable[[str], Generator[Any, None, dict[int, dict[str, int]]]] = (
            _nothing_counted
        )
        self._datapath_id = datapath_id
        self._controllers: list[ControllerConfig] = []
        self._now = clock.msec()
        self._make_tables(rundir.path(f"{name}.flows") if journal else None)
        self._make_outputs()
        self._make_changes()
        self._parts = self._of_each_round()
        backer.flows.add_bridge(self.xbridge)
        backer.bridges[name] = self
        self._restoring: Iterator[None] | None = self.log.restoring(clock.msec)
        while at_once and self.restoring:
            self.restore_some()

    def _make_tables(self, path: str | None) -> None:
        """What packets go through, with its journal at `path`, and who puts rules of the switch's
        own there."""
        self.xbridge = XBridge(self.name, self.backer.flows.generation)
        self.xbridge.packet_in = self._packet_in
        self.xbridge.ct_timeouts = self.backer.timeouts.names
        self.tables = FlowTables(self.xbridge, self._flow_removed)
        self.tables.configs.status = self._table_status
        self.tables.dispose = self.backer.disposal.add
        self.mod_plans = ModPlans(self.tables)
        self.packet_outs = PacketOuts()
        self.groups = GroupTable(self.tables)
        self.tlv_table = tlv_table.of_bridge(self.tables, self.mod_plans)
        self._put_back(True)
        self.log = FlowLog(path, self.tables, self.groups, self.tlv_table, self.mod_plans)
        self.tables.learned.changed = self._flow_taught
        self.fail_mode = FailMode(self.name, self.tables, self.log)
        self.in_band = InBand(self.tables)

    def _make_outputs(self) -> None:
        """Where packets leave."""
        self.port_set = Ports(self.xbridge, self.backer, self._port_status)
        self.bonds = Bonds(self.xbridge, self.backer, self.port_set)
        self.mirrors = Mirrors(self.xbridge, self.port_set)

    def _make_changes(self) -> None:
        """Who changes tables, and whom that is told."""
        self.table_work = TableWork(self.log)
        self.long_mods = LongMods(self.tables, self.log, self.table_work)
        self.bundles = Bundles(self)
        self.monitors = FlowMonitors(self.tables, self.table_work)
        self.connmgr = ConnMgr(
            *(self.name, self._handle, self._peer_closed, self.log.flush),
            self.backer.serve_waiting,
        )

    def _of_each_round(self) -> tuple[tuple[str, Callable[[], Any]], ...]:
        """What runs in each round, in guards of their own."""
        return (
            ("new ports", self.port_set.tell_new),
            ("bonds", self.bonds.run),
            ("connections", self.connmgr.run),
            ("bundles", self.bundles.run),
            ("work on tables", self.table_work.run),
            ("flow expiry", self._expire),
            ("fail mode", self._follow_controllers),
            ("in-band control", self._follow_remotes),
            ("flow monitors", self.monitors.run),
            ("journal", self.log.run),
        )

    # --- what an earlier process left

    @property
    def restoring(self) -> bool:
        """Whether restore_some() has more to do."""
        return self._restoring is not None

    def restore_some(self, seconds: float = RESTORE_SECONDS) -> None:
        """A slice of what takes over flows, groups and meters: a step, or so many seconds of a
        processor.
        """
        end = time.thread_time() + seconds
        for _ in self._restoring or ():
            if time.thread_time() >= end:
                return
        self._restoring = None
        self._put_back(self.backer.held)
        self._restored(clock.msec())

    def _put_back(self, whether: bool) -> None:
        """Whether what is added may be there: from the journal, while somebody restores what he had
        saved (flow-restore-wait), who does not know that there is one."""
        self.groups.adds_replace = self.tlv_table.adds_again = whether

    def _restored(self, now: int) -> None:
        """All that there was is there; without anything the bridge starts with the default."""
        if self.log.lacks_state:
            self.fail_mode.restored_without_state()
        elif self.log.state is None:
            self.fail_mode.flush(now)
        else:
            self.fail_mode.restored(self.log.state, now)
        self.tables.meters.connect(self.backer.meters)
        self.tables.remove_many = self.long_mods.remove
        self.connmgr.set_management([f"punix:{rundir.mgmt_sock(self.name)}"], now)
        self.connmgr.set_snoops([f"punix:{rundir.path(f'{self.name}.snoop')}"], now)

    # --- ports

    def port_add(
        self,
        name: str,
        type_: str,
        ofport_request: int | None = None,
        options: dict[str, str] | None = None,
        avoid: Container[int] = (),
        tunnel: TunnelConfig | None = None,
    ) -> int:
        """Add a port; returns its OpenFlow number (0xfffe for the one named as the bridge).

        `type_`: system, internal, tap, dummy, patch (options: peer), or that of a tunnel, with what
        it is as `tunnel`.  `ofport_request` is
        honoured when free; pass the last known number to keep it.  `avoid`: numbers that ports
        still to come ask for.  Raises DpifError, or ValueError with a text for the error column.
        """
        now = clock.msec()
        return self.port_set.add(
            name, type_, ofport_request, options or {}, avoid, now, tunnel
        ).number

    def port_del(self, ofp_port: int) -> None:
        """Remove a port and its datapath port; no error when there is none."""
        self.port_set.delete(ofp_port)

    def port_set_aside(self, ofp_port: int) -> None:
        """As port_del(), but port_add() under the same name finds its datapath port again."""
        self.port_set.set_aside(ofp_port)

    def drop_set_aside(self) -> None:
        """Nobody adds again what was set aside and is not there."""
        self.port_set.drop_set_aside()

    def port_update(
        self,
        name: str,
        *,
        mac: bytes | None = None,
        admin_up: bool | None = None,
        link_up: bool | None = None,
        speed: int | None = None,
        full_duplex: bool = True,
        copper: bool = False,
        mtu: int | None = None,
    ) -> None:
        """Take over what the network device says; tells controllers when something changed.

        `speed` in Mbit/s; `copper`: the medium is a twisted pair.  None leaves a value as it is.
        """
        port = self.port_by_name(name)
        if port is not None:
            self.port_set.update(port, mac, admin_up, link_up, speed, full_duplex, copper, mtu)

    def send_frame(self, ofp_port: int, frame: bytes, now: int, oam: bool = False) -> None:
        """Send a frame of the switch's own out of a port; see ofproto.frames."""
        frames.send(self.backer, self.xbridge, ofp_port, frame, now, oam)

    def port_verdict(self, ofp_port: int, who: str, live: bool | None) -> None:
        """What a protocol finds of a port: one that some find dead is not live for groups and
        controllers.  None: no more."""
        port = self.ports.get(ofp_port)
        if port is not None:
            self.port_set.judge(port, who, live)

    def set_spanning(self, kind: str | None) -> None:
        """ "STP" or "RSTP", where the bridge has one of them."""
        if self.xbridge.spanning != kind:
            self.xbridge.spanning = kind
            self.xbridge.touch()

    def set_tree_state(self, ofp_port: int, state: TreeState) -> None:
        """See Ports.set_tree_state(); no error when there is no such port."""
        port = self.ports.get(ofp_port)
        if port is not None:
            self.port_set.set_tree_state(port, state)

    def forget_stations(self, ofp_ports: Collection[int] | None) -> None:
        """What was learned on these ports, or on all of them, is not true any more."""
        if ofp_ports is None:
            self.xbridge.mac.flush()
            self.flush_groups()
        else:
            self.port_set.forget_stations(ofp_ports)

    @property
    def ports(self) -> dict[int, OfPort]:
        """The ports by OpenFlow number."""
        return self.port_set.by_number

    def ports_in_order(self) -> list[OfPort]:
        """As replies list them."""
        return self.port_set.in_order()

    def port_by_name(self, name: str) -> OfPort | None:
        """The OfPort of that name, or None."""
        return self.port_set.by_name.get(name)

    def port_stats(self, ofp_port: int) -> dict[str, int]:
        """Counters under the OpenFlow names; {} when there is no such port."""
        return self.port_set.stats_of(ofp_port)

    def all_port_stats(self) -> dict[int, dict[str, int]]:
        """The same for all ports at once, by number."""
        return self.port_set.stats()

    def port_ifindex(self, ofp_port: int) -> int | None:
        """See OdpPorts.ifindex; 0 for a port without a device."""
        odp_port = self.ports[ofp_port].odp_port
        return 0 if odp_port is None else self.backer.ports.ifindex(odp_port)

    def patch_is_linked(self, ofp_port: int) -> bool:
        """Whether a patch port has found the port that it names."""
        return self.ports[ofp_port].xport.peer is not None

    def port_set_options(self, ofp_port: int, options: dict[str, str]) -> None:
        """A dummy port gets its frames copied to other files, and stays.  Raises DpifError."""
        self.port_set.set_options(self.ports[ofp_port], options)

    def patch_set_peer(self, ofp_port: int, options: dict[str, str]) -> None:
        """A patch port gets other options: the other end that they name, if that is there."""
        self.port_set.set_peer(self.ports[ofp_port], options)

    def port_config(self, port: OfPort, config: int) -> None:
        """Give a port other config bits (PC_*)."""
        self.port_set.configure(port, config)

    def turn_device(self, port: OfPort, up: bool) -> None:
        """Set the network device of a port up or down, where it has one."""
        if self.set_device_up is None:
            return
        try:
            self.set_device_up(port.name, up)
        except OSError as error:
            vlog.warn(f"{port.name}: could not be set {'up' if up else 'down'} ({error.strerror})")

    # --- bundles (a Port of the database: one or more interfaces)

    def bundle_set(
        self, key: Any, name: str, ofp_ports: list[int], *vlan: Any, **more: Any
    ) -> None:
        """Make or change the bundle `key` (any hashable, the caller's): see Ports.bundle_set."""
        self.port_set.bundle_set(key, name, ofp_ports, *vlan, **more)
        self.mirrors.stale = True

    def bundle_del(self, key: Any) -> None:
        """Remove a bundle; no error when there is none."""
        self.port_set.bundle_del(key)
        self.mirrors.stale = True

    # --- quality of service

    def set_queues(
        self, ofp_port: int, dscp: dict[int, int] | None, queues: tuple[int, ...] | None
    ) -> None:
        """The queues of a port (None: as its device has them), and what DSCP they mark."""
        self.port_set.set_queues(self.ports[ofp_port], dscp, queues)

    def set_policers(
        self, ofp_port: int, meters: dict[str, tuple[int, list[tuple[int, ...]]]]
    ) -> None:
        """What comes in by a port passes meters of these flags and bands (see DatapathMeters)."""
        self.port_set.set_policers(self.ports[ofp_port], meters, clock.msec())

    # --- configuration

    def set_controllers(self, controllers: list[ControllerConfig]) -> None:
        """Make these the controllers; unchanged ones keep their connections.

        With the first one, and with the last one's end, flows and meters are deleted, as in Open
        vSwitch: others rule now.  While the Backer is held they are not connected, but rule:
        flows that are restored meanwhile stay when they are.
        """
        now = clock.msec()
        self._controllers = controllers
        self.connmgr.set_controllers([] if self.backer.held else controllers, now)
        rulers = any(is_primary(each) for each in controllers if streams.kind(each.target))
        if self.fail_mode.follow("has_controllers", rulers, now):
            self.fail_mode.since = None
            self.fail_mode.flush(now)

    def connect_controllers(self) -> None:
        """The Backer is held no longer."""
        self._put_back(False)
        self.set_controllers(self._controllers)

    def controller_status(self) -> list[ControllerStatus]:
        """One entry per configured target, in the order of set_controllers."""
        now = clock.msec()
        return [
            ControllerStatus(target, each.is_connected, each.role, each.status(now))
            for target, each in self.connmgr.controllers.items()
        ]

    def set_fail_mode(self, mode: str | None) -> None:
        """ "standalone" (also None) or "secure"."""
        mode = mode or "standalone"
        now = clock.msec()
        if not self.fail_mode.follow("mode", mode, now):
            return
        if self.fail_mode.has_controllers:
            self.log.note(self.fail_mode.state, now)
        else:
            self.fail_mode.flush(now)

    def set_protocols(self, versions: set[int]) -> None:
        """Allowed OpenFlow wire versions (1: 1.0, 4: 1.3 ...); empty: the default set."""
        self.connmgr.set_versions(versions, clock.msec())

    def set_mac_table(self, aging_time: int = 300, size: int = 8192) -> None:
        """Ageing time in seconds, entries at most."""
        self.xbridge.mac.set_aging(aging_time)
        self.xbridge.mac.set_max_entries(size)

    def set_snooping(self, settings: SnoopingSettings | None) -> None:
        """Whether NORMAL goes by the multicast groups that it hears of."""
        snooping = self.xbridge.snooping
        if settings is None:
            return self.xbridge.snooping_set(None)
        if snooping is None:  # without groups it is false, and may know routers
            snooping = McastSnooping()
        snooping.configure(settings)
        self.xbridge.snooping_set(snooping)

    def flush_groups(self) -> None:
        """Forgets all multicast groups and routers."""
        if self.xbridge.snooping is not None and self.xbridge.snooping.flush():
            self.xbridge.touch("mcast_snooping")

    def set_bundle_timeout(self, seconds: int) -> None:
        """How long an OpenFlow bundle may be left alone (other_config:bundle-idle-timeout)."""
        self.bundles.idle_ms = seconds * 1000

    def set_tables(self, settings: dict[int, TableSettings]) -> None:
        """Flow_Table rows by number of the table."""
        self.tables.configure(settings)

    def set_flood_vlans(self, vlans: frozenset[int]) -> None:
        """VLANs in which NORMAL learns no addresses."""
        self.xbridge.mac.set_flood_vlans(set(vlans))
        self.xbridge.touch()

    def set_forward_bpdu(self, forward: bool) -> None:
        """Whether NORMAL forwards frames to reserved addresses."""
        if self.xbridge.forward_bpdu != forward:
            self.xbridge.forward_bpdu = forward
            self.xbridge.touch()

    def set_in_band(
        self, enabled: bool, queue: int | None, next_hop: Callable[[str], str | None]
    ) -> None:
        """Whether controllers are reached through the bridge, and the queue of what is sent there
        (other_config:disable-in-band, in-band-queue); `next_hop` as in InBand."""
        self.in_band.enabled, self.in_band.queue = enabled, queue
        self.in_band.next_hop = next_hop

    def set_in_band_managers(self, managers: tuple[tuple[str, int], ...]) -> None:
        """IPv4 address and port of each manager that is reached through the bridge, too."""
        self.in_band.managers = managers

    def set_datapath_id(self, datapath_id: int) -> None:
        """Change the datapath id; connected controllers are disconnected, as in Open vSwitch."""
        if datapath_id != self._datapath_id:
            self._datapath_id = datapath_id
            self.connmgr.reconnect(clock.msec())

    def set_desc(self, mfr=None, hw=None, sw=None, serial=None, dp_desc=None) -> None:
        """Texts of the DESC reply; None: the default."""
        given = {"mfr": mfr, "hw": hw, "sw": sw, "serial": serial, "dp": dp_desc}
        self.desc = {
            name: DEFAULT_DESC[name] if text is None else text for name, text in given.items()
        }

    @property
    def datapath_id(self) -> int:
        """The 64-bit datapath id."""
        return self._datapath_id

    # --- flows

    def flow_mod(self, mod: Any, version: int, now: int) -> None:
        """Execute a messages.FlowMod of that OpenFlow version.  Raises OFError."""
        self.tables.flow_mod(mod, version, now)

    def meter_mod(self, mod: Any, now: int) -> None:
        """Execute a messages.MeterMod.  Raises OFError."""
        meter_mod(self.tables, mod, now)

    def flush_flows(self) -> None:
        """Delete every flow and every meter, and restore the default flow where fail-mode wants."""
        self.fail_mode.flush(clock.msec())

    def dump_flows(self, hidden: bool = False) -> Iterator[str]:
        """Flows as text, for bridge/dump-flows (`hidden`: with those that OpenFlow hides); pieces
        of it, some of them empty, of which each is little work."""
        now = clock.msec()
        for _, table in self.tables.tables():
            by_priority: dict[int, list[Any]] = {}
            for rule in table:
                by_priority.setdefault(rule.priority, []).append(rule)
                yield ""
            for priority in sorted(by_priority, reverse=True):
                for rule in by_priority[priority]:
                    told = not rule.hidden or (hidden and rule is not self.in_band.answer)
                    yield f"{flow_line(rule, now)}\n" if told else ""
        if hidden:
            yield from (f"{flow_line(rule, now)}\n" for rule in self.xbridge.internal_rules)

    def reconnect_controllers(self) -> None:
        """Drop the controller connections; they come back at once (bridge/reconnect)."""
        self.connmgr.reconnect(clock.msec())

    # --- what the parts tell

    def _handle(self, peer: Any, raw: bytes) -> None:
        handlers.handle(self, peer, raw, self._now)

    def _peer_closed(self, peer: Any) -> None:
        self.bundles.closed(peer)
        self.monitors.closed(peer)

    def _packet_in(self, event: Any) -> None:
        async_messages.send_packet_in(self.connmgr.peers(), event, clock.msec())

    def _port_status(self, reason: int, port: OfPort) -> None:
        message = PortStatus(reason, PortDesc.of_port(port))
        self.connmgr.broadcast("port_status", reason, message.encode)

    def _table_status(self, reason: int, table: TableDesc) -> None:
        message = TableStatus(reason, table)

        def encode(version: int) -> bytes | None:
            return message.encode(version) if version >= OF14 else None

        self.connmgr.broadcast("table_status", reason, encode)

    def _flow_taught(self, rule: Any) -> None:
        self.log.added(rule, clock.msec())
        self.long_mods.note_taught(rule)

    def _flow_removed(self, rule: Any, reason: int | None) -> None:
        if reason in NO_MESSAGE or (reason is not None and self.long_mods.was_taught(rule)):
            self.log.deleted(rule, clock.msec())
        if reason is None or not rule.flags & SEND_FLOW_REM:
            return
        now = clock.msec()
        if rule.n_flows:  # the datapath counts for it still
            self.backer.settle(lambda: self._send_flow_removed(rule, reason, now))
        else:
            self._send_flow_removed(rule, reason, now)

    def _send_flow_removed(self, rule: Any, reason: int, now: int) -> None:
        message = async_messages.flow_removed(rule, reason, now)
        self.connmgr.broadcast("flow_removed", reason, message.encode)

    # --- the daemon's rhythm

    def run(self, now: int | None = None) -> None:
        """Connections, messages, expiry, fail-mode, journal."""
        self._now = now = clock.msec() if now is None else now
        for part, run in self._parts:
            containment.call(part, self.name, run, now)

    def _expire(self, now: int) -> None:
        if not self.backer.held:
            self.tables.expire(now)

    def _follow_controllers(self, now: int) -> None:
        if self.backer.held:
            return
        self.fail_mode.run(self.connmgr.any_connected(), self.connmgr.longest_probe(), now)
        self._follow_misses()

    def _follow_remotes(self, now: int) -> None:
        local = self.ports.get(OFPP_LOCAL)
        mac = local.hw_addr.hex(":") if local else None
        self.in_band.run(self.connmgr.in_band_remotes(), mac, now)

    def _follow_misses(self) -> None:
        """Whether a miss goes to the controllers: where one speaks a version before 1.3."""
        wanted = any(
            peer.running and peer.version < OF13 and peer.wants("packet_in", OFPR_NO_MATCH)
            for peer in self.connmgr.peers()
        )
        if wanted != self.xbridge.miss_to_controller:
            self.xbridge.miss_to_controller = wanted
            self.xbridge.touch()

    def _serve(self, peer: Any) -> float:
        """See Poller.quick()."""
        self._now = clock.msec()
        quiet = self.connmgr.serve(peer, self._now)
        if peer.version is None or peer.version < OF13:
            self._follow_misses()
        if not quiet or self.table_work.busy or self.port_set.has_news:
            return 0
        return QUICK if self.backer.is_settled else REVALIDATED_IN

    def send_queued(self, now: int) -> bool:
        """Between rounds: what packets have made for peers, and for the journal.  Returns whether
        that was all."""
        self.log.flush()
        return self.connmgr.send_queued(now)

    def wait(self, poller: Any) -> None:
        """Wake up for any of these."""
        self.connmgr.wait(poller, clock.msec())
        if hasattr(poller, "quick"):  # that of the daemon's main loop
            for peer in self.connmgr.peers():
                if peer.is_quiet and peer.handshake_done:
                    poller.quick(peer.fileno(), partial(self._serve, peer))
        self.log.wait(poller)
        self.table_work.wait(poller)
        if self.port_set.has_news or self.bonds.has_news:
            poller.immediate_wake()
        for when in (
            None if self.backer.held else self.tables.next_expiry(),
            self.fail_mode.next_change(self.connmgr.longest_probe()),
            self.bundles.next_expiry(),
        ):
            if when is not None:
                poller.timer_wait_until(when)

    def destroy(self, delete: bool = True, keep_journal: bool = False) -> None:
        """Close connections and sockets.

        `delete`: the bridge is gone, so are its ports, flows and, without `keep_journal`, its
        journal.  Else (the daemon ends and is to come back) the datapath keeps ports and flows.
        """
        self._restoring = None  # which has the whole journal
        if keep_journal:
            self.log.close()  # before it notes what goes
        self.table_work.close()
        if delete:
            for number in list(self.ports):
                self.port_del(number)
            self.backer.flows.remove_bridge(self.xbridge)
        self.backer.bridges.pop(self.name, None)
        self.connmgr.close()
        if delete:
            self.tables.clear(clock.msec())
        self.log.close(delete and not keep_journal)
        self._part_with_parts()

    def _part_with_parts(self) -> None:
        """None of them refers to the bridge any more: such circles would stay where Python's
        collector does not look.  Who reads the bridge yet still finds all of its parts."""
        self._parts = ()
        self.xbridge.packet_in = None
        self.port_set.close()
        self.bundles.close()
        self.tables.close()


def _nothing_counted(_port: str) -> Generator[None, None, dict[int, dict[str, int]]]:
    return {}
    yield


def flow_line(rule: Any, now: int) -> str:
    """A flow as ovs-vswitchd(8) has it in bridge/dump-flows."""
    parts = [f"table_id={rule.table_id}"] if rule.table_id else []
    parts += [
        f"duration={max(0, now - rule.created) // 1000}s",
        f"n_packets={rule.n_packets}",
        f"n_bytes={rule.n_bytes}",
    ]
    shown = format_match(rule.match, priority=rule.priority)
    return f"{', '.join(parts)}, {shown},actions={format_instructions(rule.actions)}"
