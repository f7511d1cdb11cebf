"""The whole switch: database, devices and datapath brought together.

run() is one round: take in what the database, the kernel and the datapath tell; reconcile what
is asked for by changes of the configuration or of devices; let the bridges work; write status
back.

    Reader.read   ->  Bridge.remove_unwanted / add_wanted / configure  ->  status.interface_rows
    (database)        (Ofproto, Backer)                                    (database)

All three follow the changes; only statistics, every few seconds, are those of everything.

While the database is away, or another vswitchd has its lock, forwarding goes on with the
configuration as last known.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

import ovs.vlog

from ofproto.changes.bundles import IDLE_SECONDS
from ofproto.ofproto import FIRST_RESTORE_SECONDS, LEAST_RESTORE_SECONDS
from pyvs import clock, collector, containment
from pyvs.once import Once
from pyvs.streams import tls_stream
from vswitchd import leftovers, status
from vswitchd.bridge import Bridge
from vswitchd.database import columns, config, datapaths, not_followed, settings
from vswitchd.database.config import (
    BridgeConfig,
    Changes,
    Configuration,
    PortConfig,
    SwitchConfig,
    TlsConfig,
)
from vswitchd.database.config_reader import Reader
from vswitchd.devices.dummy import DATAPATH_TYPE, Dummies, choose_number
from vswitchd.devices.links import Links
from vswitchd.host_statistics import HostStatistics
from vswitchd.pmds import cpus
from vswitchd.pmds.pmds import Pmds, PolledPort
from vswitchd.tunnels.ways import Ways

vlog = ovs.vlog.Vlog("bridge")

STATS_INTERVAL_MS = 5000
# How often the datapath is asked for devices that went in other network namespaces.
AWAY_INTERVAL_MS = 1000
RETRY_MS = 50  # for a datapath process that is about to come up
RETRY_FAULT_MS = 1000  # of what a fault of ours kept from being realised, or, at first, read
LONGEST_RETRY_MS = 60_000  # of what it still keeps from being read
DISCIPLINES_MS = 5000  # that disciplines may be late, before others' changes are told to be there
GONE_FOR = 1000  # ms after which nobody refers to a bridge any more that was deleted


class Switch:
    """Reconciles; owns bridges and Backer.

    `open_datapath()` gives a connected dpif or raises ConnectionError.  `make_backer(dpif,
    reopen)` and `make_ofproto(name, backer)` are Backer and Ofproto, the latter not `at_once`.
    """

    def __init__(
        self,
        idl: columns.Replica,
        links: Links,
        open_datapath: Callable[[], Any],
        make_backer: Callable[..., Any],
        make_ofproto: Callable[..., Any],
        dummies: Dummies | None = None,
        follow_routes: bool = True,
        pmds: Pmds | None = None,
        keep_in: Callable[[str], str | None] = lambda name: None,
    ):
        """`keep_in(name)` is the path of a file with what outlives the process."""
        self.idl = idl
        self.links = links
        self.dummies = dummies or Dummies()
        self.ways = Ways(links, self.dummies, follow_routes, keep_in("tunnels.routes"))
        self.pmds = pmds or Pmds(cpus.of_machine(), pinned=True)
        self.bridges: dict[str, Bridge] = {}
        # Of bridges to come: their Ofprotos, which take over flows of an earlier process.
        self._restoring: dict[str, tuple[UUID, Any]] = {}
        self._restore_until = 0.0  # of time.thread_time(): for all that begin in one round
        self._unmade: set[str] = set()  # bridges that could not be made of such an Ofproto
        self.backer: Any = None
        self._open_datapath = open_datapath
        self._make_backer = make_backer
        self._make_ofproto = make_ofproto
        self._keep_in = keep_in
        self._reader = Reader(idl)
        self._writer = status.StatusWriter(idl)
        # The connection that the present ports were made on; before there is a Backer, the
        # one that waits for it: packets are not answered before there is a configuration.
        self._dpif: Any = None
        self._renewed = 0  # as the Backer counts it
        self._unclaimed = False  # the datapath may have ports that nobody wants
        self._idl_seqno: int | None = None
        self._changes = Changes()  # not reconciled yet
        self._faulty = Changes()  # reconciled, with a fault
        self._new_bridges: list[str] = []  # of which the log does not tell yet
        self._failed: set[str] = set()  # bridges whose turn, in this round, ended with a fault
        self._retry_at = 0
        self._reread_at = 0  # ms, where the reader is behind
        self._reread_pause = RETRY_FAULT_MS
        self._tls: TlsConfig | None = None  # as last taken over
        self._tuning: settings.FlowTuning | None = None
        self._reconciled = False  # at least once
        # Whether somebody is about to restore the flows; once not, what the database says of it
        # counts no more.
        self._held = True
        self.n_reconciled = 0
        self._reconciled_cfg = self._realised_cfg = 0
        self._disciplines_until = 0  # ms, how long those are waited for
        self._status_due = False  # of what the bridges have news of
        self._all_due = False  # status of everything
        self._statistics_at = 0  # ms; 0: at once
        self._last_interval = 0  # that was configured
        self._host = HostStatistics()
        self._controllers: Any = None  # what was last written of their states
        self._next_open = 0
        self._next_away = 0
        self._contended = False
        self._warned = Once()
        self._gone_at: int | None = None  # ms, when a bridge was deleted

    @property
    def config(self) -> Configuration | None:
        """The configuration as read; not yet realised in all."""
        return self._reader.configuration

    # --- the daemon's rhythm

    @property
    def is_ready(self) -> bool:
        """Whether a configuration has been realised and reported."""
        return self._reconciled and not (self._writer.busy or self._status_due or self._all_due)

    def run(self) -> None:
        now = clock.msec()
        if self.backer is not None:
            containment.call("datapath connection", "", self.backer.run, now)
        containment.call("database connection", "", self.idl.run)
        containment.call("kernel links", "", self.links.run)
        containment.call("datapath connection", "", self._connect_datapath, now)
        containment.call("journal replay", "", self._restore_some)
        containment.call("reconfiguration", "", self._follow, now)
        containment.call("tunnels", "", self._run_ways, now)
        for name, bridge in self.bridges.items():
            containment.call("bridge", name, self._run_bridge, bridge, now)
        containment.call("workers", "", self._run_pmds, now)
        containment.call("status", "", self._write_status, now)
        if self._gone_at is not None and now >= self._gone_at + GONE_FOR:
            self._gone_at = None
            collector.look_at_all()

    def _restore_some(self) -> None:
        """Go on with one of those that take over flows, each in its turn; a bridge is made when it
        is done."""
        for name, (_, ofproto) in self._restoring.items():
            if ofproto.restoring:
                self._restoring[name] = self._restoring.pop(name)  # behind the others
                try:
                    ofproto.restore_some()
                finally:
                    if not ofproto.restoring:
                        self._changes.bridges.add(name)  # in this round: nothing else wakes us
                return

    def _run_ways(self, now: int) -> None:
        self.ways.run(now, self.backer.ports.vports.by_name if self.backer is not None else {})

    def _run_pmds(self, now: int) -> None:
        if self.backer is not None and self.backer.dpif is not None:
            self.backer.attempt(lambda: self.pmds.run(self.backer, now))

    def _run_bridge(self, bridge: Bridge, now: int) -> None:
        bridge.run_protocols(now)
        bridge.bundles.run(now)
        bridge.exports.run(now)
        faults = bridge.run_qos()
        news = bridge.bundles.bonds_changed or bridge.protocols.has_news
        self._status_due |= news or faults or bool(bridge.news)  # as of a PORT_MOD
        bridge.keeper.run(now, news or bridge.neighbours.has_news)
        bridge.ofproto.run(now)

    def wait(self, poller: Any) -> None:
        self.idl.wait(poller)
        self.links.wait(poller)
        self.ways.wait(poller)
        if any(ofproto.restoring for _, ofproto in self._restoring.values()):
            poller.immediate_wake()
        if self.backer is not None:
            self.backer.wait(poller)
        elif self._dpif is None and self.idl.has_ever_connected():
            poller.timer_wait_until(self._next_open)
        for name, bridge in self.bridges.items():
            containment.call("bridge", name, self._wait_bridge, bridge, poller)
        if self._is_any_away():
            poller.timer_wait_until(self._next_away)
        if self._faulty:
            poller.timer_wait_until(self._retry_at)
        if self._reader.is_behind:
            poller.timer_wait_until(self._reread_at)
        self.pmds.wait(self.backer, poller)
        if self._writer.has_more:
            poller.immediate_wake()
        if self._reconciled and self.idl.has_lock:
            poller.timer_wait_until(self._statistics_at)

    @staticmethod
    def _wait_bridge(bridge: Bridge, poller: Any) -> None:
        bridge.ofproto.wait(poller)
        for part in (bridge.bundles, bridge.protocols, bridge.exports, bridge.qos):
            when = part.next_run()
            if when is not None:
                poller.timer_wait_until(when)
        wait = bridge.keeper.wait_ms()
        if wait is not None:
            poller.timer_wait(wait)

    def _release(self, delete: bool = False) -> None:
        """Leave the datapath to another vswitchd; `delete`: empty."""
        for bridge in self.bridges.values():
            bridge.destroy(delete)
        self.bridges.clear()
        for _, ofproto in self._restoring.values():
            ofproto.destroy(delete)
        self._restoring.clear()
        self._unmade.clear()
        if self.backer is not None:
            self.backer.close(keep=not delete)
        elif self._dpif is not None:
            self._dpif.close()
        self.backer = self._dpif = None
        self._reader = Reader(self.idl)
        self._idl_seqno = None
        self._changes, self._faulty = Changes(), Changes()
        self._reconciled = False

    def close(self, delete: bool = False) -> None:
        """End.  `delete` takes bridges and ports away, else the datapath keeps forwarding."""
        self._release(delete)
        self.idl.close()
        self.links.close()
        self.ways.close(delete)

    # --- what happens outside

    def _connect_datapath(self, now: int) -> None:
        if self.backer is not None:
            self._follow_datapath()
        elif self._may_open(now):
            self._next_open = now + RETRY_MS
            try:
                self._dpif = self._open_datapath()
            except ConnectionError as error:
                vlog.dbg(f"waiting for the datapath process ({error})")

    def _may_open(self, now: int) -> bool:
        """Not without a database: who mistyped its name gets no datapath process to clean up."""
        return self._dpif is None and now >= self._next_open and self.idl.has_ever_connected()

    def _follow_datapath(self) -> None:
        """Notice that the Backer has a new datapath process, or one whose ports are in doubt."""
        known = self._dpif, self._renewed
        if self.backer.dpif is None or known == (self.backer.dpif, self.backer.ports.renewed):
            return
        self._dpif, self._renewed = self.backer.dpif, self.backer.ports.renewed
        self._unclaimed = True
        self.links.run()
        for bridge in self.bridges.values():
            bridge.devices.renewed()
            self.links.changed.update(bridge.ifaces)
        if self.config is not None:
            self._changes.add_all(self.config)

    def _datapath_ready(self) -> bool:
        """Whether ports can be made; makes the Backer when it is time."""
        if self.backer is None and self._dpif is not None and self.config is not None:
            try:
                self.backer = self._make_backer(self._dpif, self._open_datapath, self._held)
                self.backer.flows.set_underlay(self.ways.underlay)
                if self._held:
                    vlog.info("flow-restore-wait: packets and controllers wait for the flows")
                if self.dummies.enabled:
                    self.backer.ports.choose_number = choose_number
                    self.backer.flows.recirc.counting = True
                    self.backer.flows.features.set_arp = False  # as Open vSwitch's datapaths
            except OSError as error:  # it died meanwhile; there is another soon
                vlog.info(f"lost the datapath process ({error})")
                self._dpif = None
        return self.backer is not None and self.backer.dpif is not None

    def _follow(self, now: int) -> None:
        """Reconcile what the configuration or the devices ask for."""
        if self._is_contended():
            return
        self._read_config(now)
        self._follow_restoration()
        if not self._datapath_ready():
            return
        self._follow_devices(now)
        if self._changes or (self._faulty and now >= self._retry_at):
            self._realise(now)

    def _is_any_away(self) -> bool:
        return any(bridge.devices.elsewhere for bridge in self.bridges.values())

    def _follow_devices(self, now: int) -> None:
        devices = self.links.take_changed()
        if self._is_any_away() and now >= self._next_away:
            # The kernel tells us of the devices of our own namespace only.
            self._next_away = now + AWAY_INTERVAL_MS
            devices |= set(self.backer.ports.dead())
        if not devices:
            return
        for name, bridge in self.bridges.items():
            ports = bridge.ports_to_redo(devices, self.links)
            if ports:
                self._changes.add_ports(name, ports)
            if bridge.links_changed(devices, self.links):
                self._status_due = True

    def _is_contended(self) -> bool:
        contended = self.idl.is_lock_contended
        if contended and not self._contended:
            vlog.err(
                "another ovs-vswitchd process is running, disabling this process until it goes away"
            )
            self._release()
        self._contended = contended
        return contended

    def _read_config(self, now: int) -> None:
        """Take over what is new of the configuration, if it is whole, and what a fault kept from
        being read before."""
        idl = self.idl
        if not idl.has_lock or not idl.has_ever_connected():
            return
        if idl.change_seqno == self._idl_seqno and not self._is_to_be_reread(now):
            return
        self._idl_seqno = idl.change_seqno
        try:
            changes = self._reader.read()
        finally:
            self._pace_rereading(now)
        if self.config is None:
            vlog.dbg("the database has no Open_vSwitch row yet")
        self._changes.add(changes)

    def _follow_restoration(self) -> None:
        """Packets, controllers and old flows wait from the start on until the flows are there."""
        if not self._held or self.config is None:
            return
        self._held = settings.flow_restore_wait(self.config.switch.other_config)
        if self._held or self.backer is None:
            return
        vlog.info("flow-restore-wait is over: packets and controllers are served")
        self.backer.release()
        for name, bridge in self.bridges.items():
            self._guarded(name, bridge.ofproto.connect_controllers)
        self._unclaimed = self._reconciled

    def _is_to_be_reread(self, now: int) -> bool:
        return self._reader.is_behind and now >= self._reread_at

    def _pace_rereading(self, now: int) -> None:
        """After read(): each time that a fault comes again, it is tried again later."""
        if not self._reader.is_behind:
            self._reread_pause = RETRY_FAULT_MS
            return
        self._reread_at = now + self._reread_pause
        self._reread_pause = min(2 * self._reread_pause, LONGEST_RETRY_MS)

    # --- reconciliation

    def _realise(self, now: int) -> None:
        """Reconcile.  What a fault kept from being realised has another turn later; until then
        nobody is told that it is done."""
        changes, self._changes = self._changes, Changes()
        changes.add(self._faulty)
        self._faulty = Changes()
        self._failed.clear()
        try:
            self._reconcile(changes)
        except Exception:
            self._faulty.add(changes)
            raise
        finally:
            for name in self._failed:
                self._faulty.bridges.add(name)
                self._faulty.add_ports(name, self.config.ports.get(name, ()))
            self._retry_at = now + RETRY_FAULT_MS

    def _reconcile(self, changes: Changes) -> None:
        self.n_reconciled += 1
        wanted = self.config
        self._take_tls(wanted.switch.tls)
        self._set_up_datapath(wanted.switch)
        self._warn_of(wanted.switch.in_vain)
        self._restore_until = time.thread_time() + FIRST_RESTORE_SECONDS
        for name in sorted(changes.bridges):
            self._guarded(name, self._remake_bridge, name, wanted.bridges.get(name), changes)
        bridges = self._reconcile_bridges(wanted, changes)
        self._tell_new_bridges()
        self._tell_all_bridges(wanted.switch)
        # (Nobody waits for those that fail again and again.)
        if self._unmade >= self._restoring.keys():
            self._reconciled_all(wanted)
        elif bridges:
            self.backer.some_bridges_done()
        self._status_due = True

    def _set_up_datapath(self, wanted: SwitchConfig) -> None:
        """What is of all bridges in the datapath, and in what vswitchd knows of its flows."""
        other = wanted.other_config
        self._tune_flows(settings.flow_tuning(other))
        # With dummies only when asked for: the kernel has no part in these, nor in what is shown.
        cached = settings.kernel_cache(other, by_default=not self.dummies.enabled)
        self.backer.set_kernel_cache(cached)
        self.backer.set_lookup(*settings.lookup(other))
        self.backer.set_measuring(other.get("pmd-perf-metrics") == "true")
        self.backer.set_vlan_limit(settings.vlan_limit(other))
        if self.backer.timeouts.set(datapaths.all_zones(wanted.datapaths)):
            self.backer.need_revalidate()

    def _warn_of(self, in_vain: Iterable[str]) -> None:
        for text in in_vain:
            if self._warned.is_new(text):
                log = vlog.info if not_followed.is_harmless(text) else vlog.warn
                log(f"Open_vSwitch: {text} is not followed yet")

    def _reconcile_bridges(self, wanted: Configuration, changes: Changes) -> dict[str, Bridge]:
        """Ports that go, in all bridges, before those that come: they may have the same numbers.
        Returns the bridges that had something to do."""
        names = (changes.bridges | changes.ports.keys()) & self.bridges.keys()
        for name in sorted(names):
            ports = _look_up(changes.ports.get(name, ()), wanted.ports[name])
            bridge = self.bridges[name]
            self._guarded(name, bridge.remove_unwanted, wanted.bridges[name], ports, self.links)
        # Who has nothing to change may have waited for what others gave up just now.
        bridges = {
            name: bridge
            for name, bridge in self.bridges.items()
            if name in names or bridge.lacks_ports
        }
        for name, bridge in bridges.items():
            self._guarded(name, bridge.add_wanted, self.links)
            if not self.dummies.enabled:
                self._guarded(name, bridge.settle_new, self.links)
        for name, bridge in bridges.items():
            self._guarded(name, bridge.configure)
            self._guarded(name, bridge.update_devices, self.links)
            faulty = bridge.take_faulty()
            if faulty:
                self._faulty.add_ports(name, faulty)
        return bridges

    def _tell_all_bridges(self, wanted: SwitchConfig) -> None:
        """What the switch's own row says to each bridge, and where its patch ports end."""
        seconds = settings.integer(
            wanted.other_config, "bundle-idle-timeout", IDLE_SECONDS, 1, 1 << 31
        )
        managers = settings.in_band_managers(wanted.managers)
        for name, bridge in self.bridges.items():
            self._guarded(name, bridge.ofproto.set_bundle_timeout, seconds)
            self._guarded(name, bridge.ofproto.set_in_band_managers, managers)
        for name, bridge in self.bridges.items():  # a peer may be in any
            self._guarded(name, bridge.follow_patches)

    def _reconciled_all(self, wanted: Configuration) -> None:
        """Every bridge that there is to be has what it asks for."""
        if wanted.bridges or self.pmds.tuning is not None:
            self.pmds.configure(wanted.switch.other_config)
            self.backer.attempt(lambda: self.pmds.follow(self.backer, self._polled_ports()))
        if not self._reconciled:
            self._reconciled = self._all_due = self._unclaimed = True
            settle, vports = self.ways.settle, self.backer.ports.vports.by_name
            containment.call("tunnels", "", settle, clock.msec(), vports)
            containment.call("leftovers", "", leftovers.remove, wanted.bridges)
        if self._unclaimed:
            self.backer.first_reconcile_done()
            self._unclaimed = False  # behind it: a fault there leaves it to be done once more
        if not (self._failed or self._restoring or self._reader.is_behind):
            if self._realised_cfg == self._reconciled_cfg:
                self._disciplines_until = clock.msec() + DISCIPLINES_MS
            self._reconciled_cfg = wanted.switch.next_cfg

    def _tell_new_bridges(self) -> None:
        names, self._new_bridges = self._new_bridges, []
        for name in names:
            if name in self.bridges:
                number = self.bridges[name].ofproto.datapath_id
                vlog.info(f"bridge {name}: using datapath ID {number:016x}")

    def _polled_ports(self) -> Iterable[PolledPort]:
        for bridge in self.bridges.values():
            for iface in bridge.ifaces.values():
                port = bridge.ofproto.port_by_name(iface.name)
                if port is None or port.odp_port is None:
                    continue
                node = settings.integer(iface.config.options, "numa_id", 0, 0, 1 << 16)
                affinity = iface.config.other_config.get("pmd-rxq-affinity", "")
                yield PolledPort(iface.name, port.odp_port, iface.type, node, affinity)

    def _guarded(self, name: str, step: Callable[..., Any], *args: Any) -> None:
        """A fault with one bridge's configuration leaves the others' to be realised."""
        try:
            step(*args)
        except Exception:
            containment.caught("bridge configuration", name)
            self._failed.add(name)

    def _take_tls(self, wanted: TlsConfig | None) -> None:
        """Connections that stand keep theirs; without a row, the command line's counts."""
        if wanted is None or wanted == self._tls:
            return
        self._tls = wanted
        tls_stream.configure(*wanted)

    def _tune_flows(self, wanted: settings.FlowTuning) -> None:
        """What upcall/set-flow-limit said stays until the configuration says something else."""
        if wanted == self._tuning:
            return
        self._tuning = wanted
        self.backer.tune(*wanted)

    def _remake_bridge(self, name: str, wanted: BridgeConfig | None, changes: Changes) -> None:
        """Have a bridge that there must be, and none that there must not."""
        bridge = self.bridges.get(name)
        problem = None if wanted is None else self._refusal(wanted)
        if bridge is not None and (wanted is None or problem or wanted.uuid != bridge.config.uuid):
            vlog.info(f"bridge {name}: deleted")
            bridge.destroy(delete=True)
            del self.bridges[name]
            self._gone_at = clock.msec()
        if problem is not None:
            vlog.err(f"failed to create bridge {name}: {problem}")
            wanted = None
        if wanted is None:
            self._unmade.discard(name)
        begun = self._restoring.get(name)
        if begun is not None and (wanted is None or wanted.uuid != begun[0]):
            vlog.info(f"bridge {name}: deleted")
            del self._restoring[name]
            begun[1].destroy(delete=True)
            self._gone_at = clock.msec()
        if wanted is not None and name not in self.bridges:
            self._begin_bridge(wanted, changes)

    def _begin_bridge(self, wanted: BridgeConfig, changes: Changes) -> None:
        """Make a bridge, or its Ofproto first, where that takes over many flows: packets, peers and
        the datapath's flows meet all of them or wait."""
        name = wanted.name
        if name not in self._restoring:
            ofproto = self._make_ofproto(name, self.backer)
            self._restoring[name] = wanted.uuid, ofproto
            # (Not for one that fails again and again: each time the others would wait.)
            if ofproto.restoring and name not in self._unmade:
                left = self._restore_until - time.thread_time()
                ofproto.restore_some(max(LEAST_RESTORE_SECONDS, left))
        ofproto = self._restoring[name][1]
        if not ofproto.restoring:
            del self._restoring[name]
            try:
                self._make_bridge(wanted, ofproto)
            except Exception:
                self._unmade.add(name)
                ofproto.destroy(keep_journal=True)  # what there is, is restored once more
                raise
            self._unmade.discard(name)
            changes.add_ports(name, self.config.ports[name])

    def _refusal(self, wanted: BridgeConfig) -> str | None:
        """Why there cannot be such a bridge."""
        known = ("", *status.DATAPATH_TYPES, *((DATAPATH_TYPE,) if self.dummies.enabled else ()))
        if wanted.datapath_type not in known:
            return f"there are no datapaths of type {wanted.datapath_type}"
        return None

    def _make_bridge(self, wanted: BridgeConfig, ofproto: Any) -> None:
        bridge = Bridge(
            wanted,
            ofproto,
            known_ofport=lambda interface: config.known_ofport(self.idl, interface),
            known_active=lambda port: config.known_active(self.idl, port),
            dummies=self.dummies,
            keep_in=self._keep_in(f"{wanted.name}.protocols"),
        )
        self.bridges[wanted.name] = bridge
        self._new_bridges.append(wanted.name)

    # --- status

    def _interval(self) -> int:
        return settings.integer(
            self.config.switch.other_config,
            *("stats-update-interval", STATS_INTERVAL_MS, STATS_INTERVAL_MS, (1 << 31) - 1),
        )

    def _write_status(self, now: int) -> None:
        if not self._reconciled or self.config is None:
            return
        if not self._writer.run():
            self._all_due = True
        controllers = [
            [
                (each.target, each.is_connected, each.role, each.status.get("state"))
                for each in bridge.ofproto.controller_status()
            ]
            for bridge in self.bridges.values()
            if bridge.config.controllers
        ]
        if controllers != self._controllers:
            self._controllers = controllers
            self._status_due = True
        if self._writer.has_foreign():
            self._all_due = True
        self._follow_disciplines(now)
        if self._interval() != self._last_interval:
            self._last_interval = self._interval()
            self._statistics_at = now
        statistics = now >= self._statistics_at
        if not (statistics or self._status_due or self._all_due) or not self._may_write():
            if statistics:
                self._statistics_at = now + STATS_INTERVAL_MS
            return
        if statistics:
            self._statistics_at = now + self._interval()
        rows = self._rows(everything=statistics or self._all_due)
        self._status_due = self._all_due = False
        if not self._writer.write(rows):
            self._all_due = True

    def _follow_disciplines(self, now: int) -> None:
        """What was asked for is there once the kernel has the queueing disciplines."""
        if self._realised_cfg == self._reconciled_cfg:
            return
        if now >= self._disciplines_until or not any(
            bridge.qos.next_run() is not None for bridge in self.bridges.values()
        ):
            self._realised_cfg = self._reconciled_cfg
            self._status_due = True

    def _wants_host(self) -> bool:
        return self.config.switch.other_config.get("enable-statistics") == "true"

    def _may_write(self) -> bool:
        return self.idl.has_lock and not self._writer.busy

    def _rows(self, everything: bool) -> status.Rows:
        """Status and statistics: all, or what there is news of."""
        rows: status.Rows = {}
        for bridge in self.bridges.values():
            status.join(rows, status.bridge_rows(bridge, everything, self.links))
        rows["Open_vSwitch", self.config.switch.uuid] = status.switch_row(
            *(self._realised_cfg, columns.SCHEMA_VERSION),
            self._host.get(self._wants_host()) if everything else self._host.told,
            self.dummies.enabled,
        )
        for each in self.config.switch.datapaths.values():
            rows["Datapath", each.uuid] = {"capabilities": datapaths.CAPABILITIES}
        return rows


def _look_up(names: Iterable[str], ports: dict[str, PortConfig]) -> dict[str, PortConfig | None]:
    return {name: ports.get(name) for name in names}
