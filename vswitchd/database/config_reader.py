"""Keeps a Configuration as the database replica has it: what changed is read, nothing else.

The replica names the rows that changed.  A row is part of what refers to it: an interface of its
port, a controller of its bridge; so the reader remembers, for each row that it has read, the rows
that refer to it.  The work of a read() is that of the rows that changed, plus, where the list
of a bridge's ports changed, one look at each of its UUIDs.

A fault with one row is contained: what was known of it stays.
"""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import ovs.vlog

from pyvs import containment
from pyvs.log_limit import LimitedLog
from vswitchd.database.columns import Replica
from vswitchd.database.committed import Committed
from vswitchd.database.config import (
    BridgeConfig,
    Changes,
    Configuration,
    PortConfig,
    bridge_config,
    faulty_port,
    port_config,
    switch_config,
)

_names = LimitedLog(ovs.vlog.Vlog("bridge"), 1, 5)

# Columns of a bridge that refer to rows which are read with it.
BRIDGE_PARTS = ("controller", "flow_tables", "mirrors", "ipfix", "sflow", "netflow", "auto_attach")
PORT_PARTS = ("Interface", "QoS", "Queue")
# A table whose rows refer to bridges: with each change all of these are read.
REFERRING = "Flow_Sample_Collector_Set"
# Tables whose rows, a few at most, are read with the switch.
WITH_ROOT = ("SSL", "Manager", "Datapath", "CT_Zone", "CT_Timeout_Policy")
OF_ROOT = ("Open_vSwitch", *WITH_ROOT)


class Reader:
    """`configuration` is None until the database has an Open_vSwitch row."""

    def __init__(self, idl: Replica):
        self.configuration: Configuration | None = None
        self.is_behind = False  # a fault kept it from reading all that there is
        self._idl = idl
        self._root: Any = None  # the row object
        self._forget()

    def _forget(self) -> None:
        self._bridges: dict[UUID, BridgeConfig] = {}
        self._unread: set[UUID] = set()  # bridges with which reading met a fault
        self._ports: dict[UUID, PortConfig] = {}
        self._ports_of: dict[UUID, set[UUID]] = {}  # bridge -> ports
        self._parts_of: dict[UUID, set[UUID]] = {}  # port -> interfaces, bridge -> controllers
        self._users: dict[UUID, set[UUID]] = defaultdict(set)  # the other way round, for all

    def read(self) -> Changes:
        """Take over what changed since the last time.  A fault that is not of one row leaves the
        rest to the next time, when all is read anew."""
        root = next(iter(self._idl.tables["Open_vSwitch"].rows.values()), None)
        self.is_behind = False
        if root is None:
            return Changes()
        self.is_behind = True
        found = self._read(root)
        self.is_behind = self._root is None
        return found

    def _read(self, root: Any) -> Changes:
        changed, self._idl.config_changed = self._idl.config_changed, {}
        known, self._root = self._root, None
        if root is not known:  # the first time, or everything was sent anew
            return self._read_all(root)
        found = Changes()
        try:
            self._read_changed(root, changed, found)
            self._root = root
        except Exception:
            containment.caught("database", "changes")
        return found

    def _read_all(self, root: Any) -> Changes:
        """Read everything; what equals its record of before is no change."""
        switch = switch_config(Committed(root))
        before = self.configuration
        self._forget()
        after = self.configuration = Configuration(switch)
        try:
            self._read_bridges(root, Changes())
        except Exception:
            self.configuration = before
            raise
        self._root = root
        return _differences(before, after)

    def _read_changed(
        self, root: Any, changed: dict[tuple[str, UUID], set[str] | None], found: Changes
    ) -> None:
        configuration = self.configuration
        of_root = changed.get(("Open_vSwitch", root.uuid), ())
        if of_root is None or of_root or any(table in WITH_ROOT for table, _ in changed):
            switch = _read_row(switch_config, root) or configuration.switch
            found.switch = switch != configuration.switch
            configuration.switch = switch
            if of_root is None or "bridges" in of_root:
                self._read_bridges(root, found)
        bridges: dict[UUID, set[str] | None] = {}
        ports: set[UUID] = set()
        if any(table in (REFERRING, "IPFIX") for table, _ in changed):
            bridges = {uuid: set() for uuid in self._bridges}
        for (table, uuid), columns in changed.items():
            if table == "Bridge":
                bridges[uuid] = columns
            elif table == "Port":
                ports.add(uuid)
            elif table in PORT_PARTS:
                ports |= self._users.get(uuid, set())
            elif table not in OF_ROOT:
                for user in self._users.get(uuid, ()):
                    bridges.setdefault(user, set())
        for uuid, columns in bridges.items():
            if uuid in self._bridges or uuid in self._unread:
                with_ports = columns is None or "ports" in columns or uuid in self._unread
                self._read_bridge(uuid, with_ports, found)
        for uuid in ports:
            if uuid in self._ports:
                self._read_port(uuid, found)

    # --- bridges

    def _read_bridges(self, root: Any, found: Changes) -> None:
        wanted = {uuid for uuid in _references(root, "bridges") if self._has_usable_name(uuid)}
        self._unread &= wanted
        for uuid in self._bridges.keys() - wanted:
            self._drop_bridge(uuid, found)
        for uuid in wanted - self._bridges.keys():
            self._read_bridge(uuid, True, found)

    def _has_usable_name(self, uuid: UUID) -> bool:
        """A bridge's name is part of its sockets', which are to stay in the run directory."""
        row = self._idl.tables["Bridge"].rows.get(uuid)
        if row is None or not any(each in row.name for each in "/\\"):
            return True
        _names.warn(f"ignoring bridge with invalid name {row.name!r}")
        return False

    def _read_bridge(self, uuid: UUID, with_ports: bool, found: Changes) -> None:
        row = self._idl.tables["Bridge"].rows.get(uuid)
        if row is None:
            return
        read = _read_row(bridge_config, row) or self._bridges.get(uuid)
        if read is None:
            self._unread.add(uuid)
            return
        self._unread.discard(uuid)
        if read != self._bridges.get(uuid):
            self._bridges[uuid] = self.configuration.bridges[read.name] = read
            self.configuration.ports.setdefault(read.name, {})
            found.bridges.add(read.name)
        parts = set().union(*(_references(row, column) for column in BRIDGE_PARTS))
        self._set_parts(uuid, parts)
        if with_ports:
            self._read_ports(row, found)

    def _drop_bridge(self, uuid: UUID, found: Changes) -> None:
        name = self._bridges.pop(uuid).name
        for port in self._ports_of.pop(uuid, set()):
            self._drop_port(port, uuid, name, found)
        self._set_parts(uuid, set())
        del self.configuration.bridges[name], self.configuration.ports[name]
        found.bridges.add(name)

    # --- ports

    def _read_ports(self, bridge: Any, found: Changes) -> None:
        """Take over which ports a bridge has; the new ones are read."""
        name = bridge.name
        wanted = _references(bridge, "ports")
        known = self._ports_of.get(bridge.uuid, set())
        self._ports_of[bridge.uuid] = wanted
        for uuid in known - wanted:
            self._drop_port(uuid, bridge.uuid, name, found)
        for uuid in wanted - known:
            self._users[uuid].add(bridge.uuid)
            if uuid in self._ports:  # another bridge has it, too
                port = self._ports[uuid]
                self.configuration.ports[name][port.name] = port
                found.add_ports(name, (port.name,))
            else:
                self._read_port(uuid, found)

    def _read_port(self, uuid: UUID, found: Changes) -> None:
        row = self._idl.tables["Port"].rows.get(uuid)
        if row is None:
            return
        known = self._ports.get(uuid)
        read = _read_row(port_config, row) or _read_row(partial(faulty_port, known=known), row)
        if read is None:
            return
        if read.has_faulty_qos and known is not None:
            read = read._replace(qos=known.qos)
        parts = {interface.uuid for interface in read.interfaces} | _references(row, "qos")
        self._set_parts(uuid, parts | (read.qos.parts if read.qos else set()))
        if read == self._ports.get(uuid):
            return
        self._ports[uuid] = read
        for bridge in self._users[uuid]:
            name = self._bridges[bridge].name
            self.configuration.ports[name][read.name] = read
            found.add_ports(name, (read.name,))

    def _drop_port(self, uuid: UUID, bridge: UUID, bridge_name: str, found: Changes) -> None:
        port = self._ports.get(uuid)
        if port is None:
            return
        ports = self.configuration.ports[bridge_name]
        known = ports.get(port.name)
        if known is not None and known.uuid == uuid:
            del ports[port.name]
        found.add_ports(bridge_name, (port.name,))
        users = self._users[uuid]
        users.discard(bridge)
        if not users:
            del self._users[uuid], self._ports[uuid]
            self._set_parts(uuid, set())

    # --- what refers to what

    def _set_parts(self, uuid: UUID, parts: set[UUID]) -> None:
        """`uuid` is read together with these rows from now on."""
        known = self._parts_of.pop(uuid, set())
        if parts:
            self._parts_of[uuid] = parts
        for part in known - parts:
            users = self._users[part]
            users.discard(uuid)
            if not users:
                del self._users[part]
        for part in parts - known:
            self._users[part].add(uuid)


def _read_row(read: Callable[[Any], Any], row: Any) -> Any:
    """None where that met a fault."""
    return containment.call("database row", f"{row._table.name} {row.uuid}", read, Committed(row))


def _references(row: Any, column: str) -> set[UUID]:
    """The rows that a column refers to, without making row objects of them."""
    found = row._data[column].values
    return {atom.value for atom in (found.values() if row._data[column].type.is_map() else found)}


def _differences(before: Configuration | None, after: Configuration) -> Changes:
    found = Changes(switch=True)
    if before is None:
        found.add_all(after)
        return found
    found.switch = before.switch != after.switch
    found.bridges = _differing(before.bridges, after.bridges)
    for bridge in before.ports.keys() | after.ports.keys():
        ports = _differing(before.ports.get(bridge, {}), after.ports.get(bridge, {}))
        if ports:
            found.ports[bridge] = ports
    return found


def _differing(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """The keys that one of them lacks, or that have other values."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
