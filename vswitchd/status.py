"""What the running switch says of itself in the database.

Each function gives {column: value} for one row, values in the form the `ovs` IDL takes (lists
for columns with at most one or any number of elements).  StatusWriter compares them with the
replica and sends the differences in one transaction at a time.
"""

import functools
from collections.abc import Callable
from typing import Any
from uuid import UUID

import ovs.db.idl
import ovs.vlog

from ofproto.handlers_multipart import dummy_custom
from ofproto.underlay import addresses
from ofproto.xlate.bridges.tunnel_config import KINDS
from pyvs.version import OVS_COMPATIBLE, VERSION
from vswitchd.bridge import Bridge
from vswitchd.database.columns import READ, Replica
from vswitchd.database.settings import NO_UUID
from vswitchd.devices.dummy import DATAPATH_TYPE as DUMMY_DATAPATH
from vswitchd.devices.dummy import TYPES as DUMMY_TYPES
from vswitchd.devices.iface import DEFAULT_MTU, FAULT, TYPES, Iface
from vswitchd.devices.link_counters import LinkCounters, link_counters
from vswitchd.devices.links import Links
from vswitchd.protocols.protocols import Protocols

vlog = ovs.vlog.Vlog("bridge")

DATAPATH_TYPES = ["netdev", "system"]

# What everything counts that has Interface.statistics: what is no device counts nothing else.
TRAFFIC = ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes")
STATISTICS = (
    *TRAFFIC,
    *("rx_dropped", "tx_dropped", "rx_errors", "tx_errors"),
    *("rx_frame_err", "rx_over_err", "rx_crc_err", "collisions"),
)

AF_XDP_COUNTERS = "xsk_queue_"  # of a port's sockets, by their queues

Rows = dict[tuple[str, UUID], dict[str, Any]]

_UP = {True: ["up"], False: ["down"]}

NO_INTERFACE = {
    "mac_in_use": [],
    "ifindex": [],
    "mtu": [],
    "admin_state": [],
    "link_state": [],
    "link_speed": [],
    "link_resets": [],
    "duplex": [],
    "status": {},
}


def switch_row(
    cur_cfg: int, db_version: str, statistics: dict[str, str], with_dummies: bool
) -> dict[str, Any]:
    types = sorted(TYPES if with_dummies else TYPES.keys() - DUMMY_TYPES)
    return {
        "cur_cfg": cur_cfg,
        "ovs_version": [OVS_COMPATIBLE],
        "db_version": [db_version],
        "datapath_types": [*([DUMMY_DATAPATH] if with_dummies else ()), *DATAPATH_TYPES],
        "iface_types": types,
        "statistics": statistics,
        "dpdk_initialized": False,
        "dpdk_version": ["none"],
    }


def bridge_row(bridge: Bridge) -> dict[str, Any]:
    return {
        "datapath_id": [f"{bridge.ofproto.datapath_id:016x}"],
        "datapath_version": VERSION,
    }


def _device_status(iface: Iface, bridge: Bridge, links: Links) -> dict[str, str]:
    if iface.type in KINDS:
        return _egress(iface, bridge, links)
    if iface.type == "patch" or iface.dummy is not None:
        return {}
    info = iface.driver
    if info is None:
        kind = iface.link.kind if iface.link else iface.type
        return {"driver_name": kind} if kind else {}
    return {
        "driver_name": info.driver,
        "driver_version": info.version,
        "firmware_version": info.firmware,
    }


def _egress(iface: Iface, bridge: Bridge, links: Links) -> dict[str, str]:
    """The device by which a tunnel's packets leave; one of no fixed end is told the default."""
    try:
        remote = addresses.from_text(iface.config.options.get("remote_ip", ""))
    except ValueError:
        remote = addresses.from_text("0.0.0.0")
    underlay = bridge.ofproto.xbridge.underlay
    route = underlay.routes.lookup(remote) if underlay is not None else None
    if route is None:
        return {}
    link = links.get(route.device)
    up = link is None or link.has_carrier  # a dummy is no device of the kernel's
    return {"tunnel_egress_iface": route.device, "tunnel_egress_iface_carrier": _UP[up][0]}


def _error(iface: Iface, bridge: Bridge) -> list[str]:
    """What is wrong with an interface."""
    if iface.has_fault:
        return [FAULT % iface.name]
    if iface.ofp_port is None:
        return [iface.error] if iface.error else []
    if iface.type != "patch" or iface.is_linked:
        return []
    peer, kind = iface.config.options.get("peer"), bridge.config.datapath_type or "system"
    return [f"No usable peer '{peer}' exists in '{kind}' datapath."]


def interface_row(iface: Iface, bridge: Bridge, links: Links) -> dict[str, Any]:
    """All but the statistics."""
    if iface.ofp_port is None:
        return {
            **NO_INTERFACE,
            "ofport": [-1],
            "error": _error(iface, bridge),
            "statistics": {},
        }
    row = {**NO_INTERFACE, "ofport": [iface.ofp_port], "error": _error(iface, bridge)}
    row["status"] = _device_status(iface, bridge, links)
    link, mode = iface.link, iface.link_mode
    if link is None:
        port = bridge.ofproto.port_by_name(iface.name)
        row["admin_state"] = row["link_state"] = _UP[iface.dummy is None or iface.dummy.up]
        if iface.dummy is not None:
            row["mtu"] = [iface.config.mtu_request or DEFAULT_MTU]
        row["ifindex"] = [0]
        row["link_resets"] = [0]
        if port is not None and any(port.hw_addr):
            row["mac_in_use"] = [port.hw_addr.hex(":")]
        return row
    row["mac_in_use"] = [link.mac] if link.mac else []
    row["ifindex"] = [link.ifindex]
    row["mtu"] = [link.mtu]
    row["admin_state"] = _UP[link.is_up]
    row["link_state"] = _UP[link.has_carrier]
    row["link_resets"] = [iface.link_resets]
    if mode is not None:
        row["link_speed"] = [mode.speed] if mode.speed else []
        row["duplex"] = [mode.duplex] if mode.duplex else []
    return row


def interface_statistics(
    iface: Iface, counted: dict[str, int], devices: Callable[[], dict[int, LinkCounters]]
) -> dict[str, int]:
    """What OpenFlow counts of a port, under the same names; of a device of this namespace what the
    kernel counts, too (`devices()` gives it, by ifindex)."""
    if iface.type in DUMMY_TYPES:
        return {name: counted[name] for name in TRAFFIC if name in counted} | dummy_custom(counted)
    if not iface.kind.is_device:
        return {name: counted[name] for name in TRAFFIC if name in counted}
    told = {
        name: value
        for name, value in counted.items()
        if name in STATISTICS or name.startswith(AF_XDP_COUNTERS)
    }
    of_device = devices().get(iface.link.ifindex) if iface.link is not None else None
    if told and of_device is not None:
        told["rx_missed_errors"] = of_device.rx_missed
        # A device that the datapath made counts what it is given as received by others.
        told["rx_multicast_packets"] = 0 if iface.kind.is_ours else of_device.rx_multicast
    return told


def controller_rows(bridge: Bridge) -> Rows:
    uuids = {row.target: row.uuid for row in bridge.config.controllers}
    rows: Rows = {}
    for status in bridge.ofproto.controller_status():
        if status.target in uuids:
            rows["Controller", uuids[status.target]] = {
                "is_connected": status.is_connected,
                "role": [status.role] if status.role else [],
                "status": status.status,
            }
    return rows


def bond_rows(bridge: Bridge) -> Rows:
    return {
        ("Port", bridge.port_uuid(name)): {"bond_active_slave": [bond.active_mac]}
        for name, bond in bridge.bundles.bonds.items()
    }


def mirror_rows(bridge: Bridge) -> Rows:
    return {
        ("Mirror", uuid): {"statistics": {"tx_packets": packets, "tx_bytes": n_bytes}}
        for uuid, (packets, n_bytes) in bridge.ofproto.mirrors.counts().items()
    }


def bridge_rows(bridge: Bridge, everything: bool, links: Links) -> Rows:
    """The rows of a bridge, its controllers, and its interfaces: all, or those with news."""
    rows = controller_rows(bridge) if bridge.config.controllers else {}
    if everything or bridge.has_news:
        rows["Bridge", bridge.config.uuid] = bridge_row(bridge)
    if everything or bridge.bundles.bonds_changed:
        rows.update(bond_rows(bridge))
        bridge.bundles.bonds_changed = False
    if everything:
        rows.update(mirror_rows(bridge))
    news = set(bridge.news)
    bridge.news.clear()
    bridge.has_news = False
    ofproto = bridge.ofproto
    counted = ofproto.all_port_stats() if everything else None
    devices = functools.cache(link_counters)
    for name in bridge.ifaces if everything else news:
        iface = bridge.ifaces[name]
        uuid = iface.config.uuid
        if uuid == NO_UUID:
            continue
        row = rows["Interface", uuid] = interface_row(iface, bridge, links)
        if everything or iface.ofp_port is None:
            # A process before this one may have had something to say.
            row.update(Protocols.NOTHING)
        if iface.ofp_port is not None:
            number = iface.ofp_port
            stats = counted.get(number, {}) if everything else ofproto.port_stats(number)
            row["statistics"] = interface_statistics(iface, stats, devices)
    for key, columns in bridge.protocols.rows(bridge.config.uuid, everything).items():
        rows.setdefault(key, {}).update(columns)
    return rows


def join(rows: Rows, more: Rows) -> None:
    """Have `more` in `rows`.  Of a row that is in both, an interface that moved between bridges,
    who has something to say says it."""
    for key, columns in more.items():
        known = rows.setdefault(key, {})
        known.update({name: each for name, each in columns.items() if each or name not in known})


PIECE = 50  # rows of one transaction: a row with statistics takes 0.2 ms


class StatusWriter:
    """Brings rows into the database: write() when idle, run() until then.

    Many rows go in several transactions, one behind the other, and the switch's own, which says
    that all is done, in the last.
    """

    def __init__(self, idl: Replica):
        self._idl = idl
        self._transaction: ovs.db.idl.Transaction | None = None
        # What the database has, of rows that nobody else changed since.
        self._written: Rows = {}
        self._writing: Rows = {}
        self._waiting: list[tuple[tuple[str, UUID], dict[str, Any]]] = []  # the next one last

    def has_foreign(self) -> bool:
        """Whether somebody else changed, or the server lost, what had been written."""
        if self.busy:
            return False
        changed, tables = self._idl.status_changed, self._idl.tables
        found = False
        for table, uuid in changed:
            was_written = self._written.pop((table, uuid), None) is not None
            found |= was_written and uuid in tables[table].rows  # else it was deleted
        changed.clear()
        return found

    @property
    def busy(self) -> bool:
        """Whether a transaction is on its way, or to follow one."""
        return self._transaction is not None or bool(self._waiting)

    @property
    def has_more(self) -> bool:
        """Whether run() has something to do at once: a transaction that changed nothing is over
        without a word from the server."""
        return self._transaction is None and bool(self._waiting)

    def run(self) -> bool:
        """Look after the transaction.  Returns False when one came to nothing: write again."""
        if self._transaction is not None and not self._take(self._transaction.commit()):
            self._waiting.clear()
            return False
        return self._transaction is not None or not self._waiting or self._write_piece()

    def write(self, rows: Rows) -> bool:
        """Start a transaction that makes `rows` so, where they differ; see run()."""
        news = [(key, columns) for key, columns in rows.items() if self._is_news(key, columns)]
        self._waiting = sorted(news, key=lambda row: row[0][0] != "Open_vSwitch")
        return not news or self._write_piece()

    def _write_piece(self) -> bool:
        news = dict(self._waiting.pop() for _ in range(min(PIECE, len(self._waiting))))
        transaction = self._transaction = ovs.db.idl.Transaction(self._idl)
        for key, columns in news.items():
            row = self._idl.tables[key[0]].rows.get(key[1])
            if row is not None:  # not deleted meanwhile
                _set_columns(row, columns)
        self._writing = news
        return self._take(transaction.commit())

    def _is_news(self, key: tuple[str, UUID], columns: dict[str, Any]) -> bool:
        """A column that is configuration, too, others may have changed without our looking."""
        written, shared = self._written.get(key), READ[key[0]]
        return written is None or any(
            c in shared or written.get(c) != value for c, value in columns.items()
        )

    def _take(self, status: str) -> bool:
        transaction = ovs.db.idl.Transaction
        if status == transaction.INCOMPLETE:
            return True
        finished, self._transaction = self._transaction, None
        if status == transaction.ERROR:
            vlog.warn(f"writing status failed: {finished.get_error()}")
            return True  # the same again would fail again
        if status not in (transaction.SUCCESS, transaction.UNCHANGED):
            return False
        # Our own changes came back by the replica, and are no reason to look again.
        for key, columns in self._writing.items():
            self._written[key] = {**self._written.get(key, {}), **columns}
            self._idl.status_changed.discard(key)
        return True


def _set_columns(row: Any, columns: dict[str, Any]) -> None:
    """Set what differs."""
    for column, value in columns.items():
        old = getattr(row, column)
        same = sorted(old) == sorted(value) if isinstance(value, list) else old == value
        if not same:
            setattr(row, column, value)
