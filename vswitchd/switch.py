"""The whole switch: database, devices and datapath brought together.

run() is one round: take in what the database, the kernel and the datapath tell; reconcile when
the configuration or the set of devices changed; let the bridges work; write status back.

    config.read   ->  Bridge.remove_unwanted / add_wanted / configure  ->  status.bridge_rows
    (database)        (Ofproto, Backer)                                    (database)

While the database is away, or another vswitchd has its lock, forwarding goes on with the
configuration as last known.
"""

from collections.abc import Callable
from typing import Any

import ovs.vlog

from pyvs import clock
from vswitchd import columns, config, status
from vswitchd.bridge import Bridge
from vswitchd.config import BridgeConfig, SwitchConfig
from vswitchd.links import Links

vlog = ovs.vlog.Vlog("switch")

STATS_INTERVAL_MS = 5000
RETRY_MS = 50  # for a datapath process that is about to come up


class Switch:
    """Reconciles; owns bridges and Backer.

    `open_datapath()` gives a connected dpif or raises ConnectionError.  `make_backer(dpif,
    reopen)` and `make_ofproto(name, backer, datapath_id)` are Backer and Ofproto.
    """

    def __init__(
        self,
        idl: columns.Replica,
        links: Links,
        open_datapath: Callable[[], Any],
        make_backer: Callable[..., Any],
        make_ofproto: Callable[..., Any],
    ):
        self.idl = idl
        self.links = links
        self.bridges: dict[str, Bridge] = {}
        self.backer: Any = None
        self.config: SwitchConfig | None = None
        self._open_datapath = open_datapath
        self._make_backer = make_backer
        self._make_ofproto = make_ofproto
        self._reader = config.Reader(idl)
        self._writer = status.StatusWriter(idl)
        # The connection that the present ports were made on; before there is a Backer, the
        # one that waits for it: packets are not answered before there is a configuration.
        self._dpif: Any = None
        self._config_seqno: int | None = None
        self._links_seqno = links.change_seqno
        self._must_reconcile = False
        self._reconciled = False  # at least once
        self.n_reconciled = 0
        self._realised_cfg = 0
        self._status_due = False
        self._statistics_at = 0  # ms; 0: at once
        self._controllers: Any = None  # what was last written of their states
        self._next_open = 0
        self._contended = False

    # --- the daemon's rhythm

    @property
    def is_ready(self) -> bool:
        """Whether a configuration has been realised and reported."""
        return self._reconciled and not self._writer.busy and not self._status_due

    def run(self) -> None:
        now = clock.msec()
        if self.backer is not None:
            self.backer.run(now)
        self.idl.run()
        self.links.run()
        self._connect_datapath(now)
        self._follow()
        for bridge in self.bridges.values():
            bridge.ofproto.run(now)
        self._write_status(now)

    def wait(self, poller: Any) -> None:
        self.idl.wait(poller)
        self.links.wait(poller)
        if self.backer is not None:
            self.backer.wait(poller)
        elif self._dpif is None and self.idl.has_ever_connected():
            poller.timer_wait_until(self._next_open)
        for bridge in self.bridges.values():
            bridge.ofproto.wait(poller)
        if self._reconciled and self.idl.has_lock:
            poller.timer_wait_until(self._statistics_at)

    def _release(self, delete: bool = False) -> None:
        """Leave the datapath to another vswitchd; `delete`: empty."""
        for bridge in self.bridges.values():
            bridge.destroy(delete)
        self.bridges.clear()
        if self.backer is not None:
            self.backer.close(keep=not delete)
        elif self._dpif is not None:
            self._dpif.close()
        self.backer = self._dpif = self.config = None
        self._config_seqno = None
        self._reconciled = False

    def close(self, delete: bool = False) -> None:
        """End.  `delete` takes bridges and ports away, else the datapath keeps forwarding."""
        self._release(delete)
        self.idl.close()
        self.links.close()

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
        """Notice that the Backer has a new datapath process."""
        if self.backer.dpif is None or self.backer.dpif is self._dpif:
            return
        self._dpif = self.backer.dpif
        self.links.run()
        for bridge in self.bridges.values():
            bridge.devices_renewed()
        self._must_reconcile = True

    def _datapath_ready(self) -> bool:
        """Whether ports can be made; makes the Backer when it is time."""
        if self.backer is None and self._dpif is not None and self.config is not None:
            try:
                self.backer = self._make_backer(self._dpif, self._open_datapath)
            except OSError as error:  # it died meanwhile
                vlog.warn(f"lost the datapath process ({error})")
                self._dpif = None
        return self.backer is not None and self.backer.dpif is not None

    def _follow(self) -> None:
        """Reconcile if the configuration or the devices ask for it."""
        if self._is_contended():
            return
        if self._read_config():
            self._must_reconcile = True
        if not self._datapath_ready():
            return
        if self.links.change_seqno != self._links_seqno:
            self._links_seqno = self.links.change_seqno
            if any(bridge.needs_reconcile(self.links) for bridge in self.bridges.values()):
                self._must_reconcile = True
            for bridge in self.bridges.values():
                if bridge.links_changed(self.links):
                    self._status_due = True
        if self._must_reconcile:
            self._must_reconcile = False
            self._reconcile(self.config)

    def _is_contended(self) -> bool:
        contended = self.idl.is_lock_contended
        if contended and not self._contended:
            vlog.err("another vswitchd has the lock of this database; waiting until it goes away")
            self._release()
        self._contended = contended
        return contended

    def _read_config(self) -> bool:
        """Take over the configuration if it is new and whole.  Returns whether it is."""
        idl = self.idl
        if not idl.has_lock or not idl.has_ever_connected():
            return False
        if idl.config_seqno == self._config_seqno:
            return False
        self._config_seqno = idl.config_seqno
        read = self._reader.read()
        if read is None:
            if self.config is None:
                vlog.info("the database has no Open_vSwitch row yet")
            return False
        # Whatever was written may be lost with the connection: status is compared again.
        self._status_due = True
        if read == self.config:
            return False
        self.config = read
        return True

    # --- reconciliation

    def _reconcile(self, wanted: SwitchConfig) -> None:
        self.n_reconciled += 1
        configs = {each.name: each for each in wanted.bridges}
        for name, bridge in list(self.bridges.items()):
            if name not in configs or bridge.config.uuid != configs[name].uuid:
                vlog.info(f"bridge {name}: deleted")
                bridge.destroy(delete=True)
                del self.bridges[name]
        for name, each in configs.items():
            if name not in self.bridges:
                self._make_bridge(each)
        for name, bridge in self.bridges.items():
            bridge.remove_unwanted(configs[name], self.links)
        for bridge in self.bridges.values():
            bridge.add_wanted(self.links)
        for bridge in self.bridges.values():
            bridge.configure()
            bridge.update_devices(self.links)
        if not self._reconciled:
            self._reconciled = True
            self.backer.first_reconcile_done()
        self._links_seqno = self.links.change_seqno
        self._realised_cfg = wanted.next_cfg
        self._status_due = True
        self._statistics_at = 0  # new ports show theirs at once

    def _make_bridge(self, wanted: BridgeConfig) -> None:
        if wanted.datapath_type not in ("", *status.DATAPATH_TYPES):
            vlog.warn(
                f"bridge {wanted.name}: datapath type {wanted.datapath_type} is not known,"
                " using the one there is"
            )
        bridge = Bridge(
            wanted,
            make_ofproto=lambda name, dpid: self._make_ofproto(name, self.backer, dpid),
            known_ofport=lambda interface: config.known_ofport(self.idl, interface),
        )
        self.bridges[wanted.name] = bridge
        vlog.info(f"bridge {wanted.name}: added, datapath id {bridge.ofproto.datapath_id:016x}")

    # --- status

    def _interval(self) -> int:
        text = self.config.other_config.get("stats-update-interval", "") if self.config else ""
        return max(STATS_INTERVAL_MS, int(text)) if text.isdecimal() else STATS_INTERVAL_MS

    def _write_status(self, now: int) -> None:
        if not self._reconciled or self.config is None:
            return
        if not self._writer.run():
            self._status_due = True
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
        statistics = now >= self._statistics_at
        if not (statistics or self._status_due) or not self._may_write():
            if statistics:
                self._statistics_at = now + STATS_INTERVAL_MS
            return
        self._status_due = False
        if statistics:
            self._statistics_at = now + self._interval()
        if not self._writer.write(self._rows(statistics)):
            self._status_due = True

    def _may_write(self) -> bool:
        return self.idl.has_lock and not self._writer.busy

    def _rows(self, statistics: bool) -> status.Rows:
        rows: status.Rows = {}
        for bridge in self.bridges.values():
            rows.update(status.bridge_rows(bridge, statistics))
        rows["Open_vSwitch", self.config.uuid] = status.switch_row(
            self._realised_cfg, columns.SCHEMA_VERSION
        )
        return rows
