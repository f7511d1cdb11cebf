"""The configuration as plain values, read from the database replica in one go.

Rows of the replica change under the reader and vanish when the connection is renewed, so
everything else works on these immutable records; equal records mean that nothing is to do.
Sets of at most one element become the value or None.
"""

from typing import Any, NamedTuple
from uuid import UUID

from vswitchd.columns import Replica


class InterfaceConfig(NamedTuple):
    uuid: UUID
    name: str
    type: str  # as in the database, "" for system
    options: dict[str, str]
    ofport_request: int | None
    mac: str | None
    mtu_request: int | None
    policed: bool  # whether ingress policing is asked for
    other_config: dict[str, str]


class PortConfig(NamedTuple):
    uuid: UUID
    name: str
    interfaces: tuple[InterfaceConfig, ...]
    vlan_mode: str | None
    tag: int | None
    trunks: tuple[int, ...]
    cvlans: tuple[int, ...]
    bond_mode: str | None
    lacp: str | None
    has_qos: bool
    fake_bridge: bool
    other_config: dict[str, str]


class ControllerRow(NamedTuple):
    uuid: UUID
    target: str
    max_backoff: int | None  # ms
    inactivity_probe: int | None  # ms, 0 for none
    connection_mode: str | None
    enable_async_messages: bool | None
    rate_limit: int | None  # packet-ins per second
    burst_limit: int | None
    queue_size: int | None


class BridgeConfig(NamedTuple):
    uuid: UUID
    name: str
    datapath_type: str
    ports: tuple[PortConfig, ...]
    controllers: tuple[ControllerRow, ...]
    fail_mode: str | None
    protocols: tuple[str, ...]
    other_config: dict[str, str]
    flood_vlans: tuple[int, ...]
    unsupported: tuple[str, ...]  # columns that ask for what is not there


class SwitchConfig(NamedTuple):
    uuid: UUID
    next_cfg: int
    other_config: dict[str, str]
    external_ids: dict[str, str]
    bridges: tuple[BridgeConfig, ...]


UNSUPPORTED_COLUMNS = (
    "stp_enable",
    "rstp_enable",
    "mcast_snooping_enable",
    "mirrors",
    "netflow",
    "sflow",
    "ipfix",
)


def _one(values: Any) -> Any:
    """The element of an optional column, or None."""
    return values[0] if values else None


def _by_name(rows: Any) -> list[Any]:
    return sorted(rows, key=lambda row: row.name)


def _interface(row: Any) -> InterfaceConfig:
    return InterfaceConfig(
        uuid=row.uuid,
        name=row.name,
        type=row.type,
        options=row.options,
        ofport_request=_one(row.ofport_request),
        mac=_one(row.mac),
        mtu_request=_one(row.mtu_request),
        policed=bool(row.ingress_policing_rate or row.ingress_policing_kpkts_rate),
        other_config=row.other_config,
    )


def _port(row: Any, interfaces: tuple[InterfaceConfig, ...]) -> PortConfig:
    return PortConfig(
        uuid=row.uuid,
        name=row.name,
        interfaces=interfaces,
        vlan_mode=_one(row.vlan_mode),
        tag=_one(row.tag),
        trunks=tuple(row.trunks),
        cvlans=tuple(row.cvlans),
        bond_mode=_one(row.bond_mode),
        lacp=_one(row.lacp),
        has_qos=bool(row.qos),
        fake_bridge=row.fake_bridge,
        other_config=row.other_config,
    )


def _controller(row: Any) -> ControllerRow:
    return ControllerRow(
        uuid=row.uuid,
        target=row.target,
        max_backoff=_one(row.max_backoff),
        inactivity_probe=_one(row.inactivity_probe),
        connection_mode=_one(row.connection_mode),
        enable_async_messages=_one(row.enable_async_messages),
        rate_limit=_one(row.controller_rate_limit),
        burst_limit=_one(row.controller_burst_limit),
        queue_size=_one(row.controller_queue_size),
    )


class Reader:
    """Reads the configuration, of rows that did not change only once."""

    def __init__(self, idl: Replica):
        self._idl = idl
        self._ports: dict[UUID, PortConfig] = {}

    def read(self) -> SwitchConfig | None:
        """The whole configuration; None when the database has no Open_vSwitch row."""
        self._forget_changed()
        for row in self._idl.tables["Open_vSwitch"].rows.values():
            return SwitchConfig(
                uuid=row.uuid,
                next_cfg=row.next_cfg,
                other_config=row.other_config,
                external_ids=row.external_ids,
                bridges=tuple(self._bridge(each) for each in _by_name(row.bridges)),
            )
        return None

    def _forget_changed(self) -> None:
        changed = self._idl.config_changed
        if not changed:
            return
        self._ports = {
            uuid: port
            for uuid, port in self._ports.items()
            if uuid not in changed
            and not any(interface.uuid in changed for interface in port.interfaces)
        }
        changed.clear()

    def _port(self, row: Any) -> PortConfig:
        known = self._ports.get(row.uuid)
        if known is None:
            interfaces = tuple(_interface(each) for each in _by_name(row.interfaces))
            known = self._ports[row.uuid] = _port(row, interfaces)
        return known

    def _bridge(self, row: Any) -> BridgeConfig:
        ports = sorted((self._port(each) for each in row.ports), key=lambda port: port.name)
        controllers = sorted(row.controller, key=lambda each: each.target)
        return BridgeConfig(
            uuid=row.uuid,
            name=row.name,
            datapath_type=row.datapath_type,
            ports=tuple(ports),
            controllers=tuple(_controller(each) for each in controllers),
            fail_mode=_one(row.fail_mode),
            protocols=tuple(row.protocols),
            other_config=row.other_config,
            flood_vlans=tuple(row.flood_vlans),
            unsupported=tuple(name for name in UNSUPPORTED_COLUMNS if getattr(row, name)),
        )


def known_ofport(idl: Replica, interface: UUID) -> int | None:
    """The port number of an interface when a vswitchd last wrote its status."""
    row = idl.tables["Interface"].rows.get(interface)
    number = _one(row.ofport) if row is not None else None
    return number if number and number > 0 else None
