"""The configuration as plain values.

Rows of the replica change under the reader and vanish when the connection is renewed, so
everything else works on these immutable records; equal records mean that nothing is to do.
Sets of at most one element become the value or None.  config_reader keeps a Configuration as
the replica has it, and says in Changes what differs.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from pyvs import containment, digits
from vswitchd.database import not_followed
from vswitchd.database.columns import Replica
from vswitchd.database.datapaths import DatapathRow, datapath_rows


class QueueRow(NamedTuple):
    dscp: int | None
    other_config: dict[str, str]


class QosRow(NamedTuple):
    uuid: UUID
    type: str
    other_config: dict[str, str]
    queues: tuple[tuple[int, QueueRow], ...]  # by number
    parts: frozenset[UUID]  # rows that this was read from


class InterfaceConfig(NamedTuple):
    uuid: UUID
    name: str
    type: str  # as in the database, "" for system
    options: dict[str, str]
    ofport_request: int | None
    mac: str | None
    mtu_request: int | None
    other_config: dict[str, str]
    in_vain: tuple[str, ...] = ()  # what it asks for that is not followed yet
    cfm_mpid: int | None = None
    bfd: dict[str, str] = {}
    lldp: dict[str, str] = {}
    # ingress_policing: kbit/s, burst in kbit, 1000 packets per second, burst in 1000 packets
    policing: tuple[int, int, int, int] = (0, 0, 0, 0)
    is_faulty: bool = False  # reading its row, or its port's, met a fault of ours


class PortConfig(NamedTuple):
    uuid: UUID
    name: str
    interfaces: tuple[InterfaceConfig, ...]
    vlan_mode: str | None
    tag: int | None
    trunks: tuple[int, ...]
    cvlans: tuple[int, ...]
    bond_mode: str | None
    bond_updelay: int  # ms
    bond_downdelay: int
    lacp: str | None
    protected: bool
    fake_bridge: bool
    other_config: dict[str, str]
    in_vain: tuple[str, ...] = ()
    qos: QosRow | None = None
    mac: str | None = None
    has_faulty_qos: bool = False  # reading that row met a fault of ours: `qos` is what was known


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
    type: str | None
    dscp: int | None
    local_ip: str | None
    local_netmask: str | None
    local_gateway: str | None
    in_vain: tuple[str, ...] = ()


class FlowTableRow(NamedTuple):
    name: str
    flow_limit: int | None
    evict: bool
    groups: tuple[str, ...]  # subfields, as in ovs-actions(7)
    prefixes: tuple[str, ...]


class MirrorRow(NamedTuple):
    uuid: UUID
    name: str
    select_all: bool
    src_ports: tuple[str, ...]
    dst_ports: tuple[str, ...]
    vlans: tuple[int, ...]
    output_port: str | None
    output_vlan: int | None
    snaplen: int | None


class IpfixRow(NamedTuple):
    uuid: UUID
    targets: tuple[str, ...]
    sampling: int | None  # one of so many packets
    obs_domain_id: int | None
    obs_point_id: int | None
    active_timeout: int | None  # s
    max_flows: int | None
    other_config: dict[str, str]


class SflowRow(NamedTuple):
    uuid: UUID
    targets: tuple[str, ...]
    agent: str | None
    header: int | None
    sampling: int | None
    polling: int  # s


class NetflowRow(NamedTuple):
    uuid: UUID
    targets: tuple[str, ...]
    engine_id: int | None
    engine_type: int | None
    active_timeout: int  # s; 0: the default, -1: none
    add_id_to_interface: bool


class AutoAttachRow(NamedTuple):
    """`mappings`: (I-SID, VLAN)."""

    system_name: str
    system_description: str
    mappings: tuple[tuple[int, int], ...]


class BridgeConfig(NamedTuple):
    uuid: UUID
    name: str
    datapath_type: str
    controllers: tuple[ControllerRow, ...]
    fail_mode: str | None
    protocols: tuple[str, ...]
    other_config: dict[str, str]
    flood_vlans: tuple[int, ...]
    in_vain: tuple[str, ...] = ()
    flow_tables: tuple[tuple[int, FlowTableRow], ...] = ()  # by number
    mirrors: tuple[MirrorRow, ...] = ()
    ipfix: IpfixRow | None = None
    sflow: SflowRow | None = None
    netflow: NetflowRow | None = None
    collector_sets: tuple[tuple[int, IpfixRow], ...] = ()  # by number
    stp_enable: bool = False
    rstp_enable: bool = False
    mcast_snooping_enable: bool = False
    auto_attach: AutoAttachRow | None = None


class TlsConfig(NamedTuple):
    """Names of files, and whether the CA's is written at first contact."""

    private_key: str
    certificate: str
    ca_cert: str
    bootstrap: bool


class SwitchConfig(NamedTuple):
    uuid: UUID
    next_cfg: int
    other_config: dict[str, str]
    external_ids: dict[str, str]
    tls: TlsConfig | None
    in_vain: tuple[str, ...] = ()
    datapaths: dict[str, DatapathRow] = {}
    managers: tuple[str, ...] = ()  # their targets


@dataclass
class Configuration:
    """All of it; the dictionaries are by name, and change."""

    switch: SwitchConfig
    bridges: dict[str, BridgeConfig] = field(default_factory=dict)
    ports: dict[str, dict[str, PortConfig]] = field(default_factory=dict)  # of each bridge


@dataclass
class Changes:
    """What is to be looked at: it is new, gone, or differs.

    `bridges`: names of bridges whose own columns differ.  `ports`: names of ports, by bridge.
    """

    switch: bool = False
    bridges: set[str] = field(default_factory=set)
    ports: dict[str, set[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.switch or self.bridges or self.ports)

    def add_ports(self, bridge: str, names: Any) -> None:
        self.ports.setdefault(bridge, set()).update(names)

    def add(self, more: "Changes") -> None:
        self.switch |= more.switch
        self.bridges |= more.bridges
        for bridge, names in more.ports.items():
            self.add_ports(bridge, names)

    def add_all(self, configuration: Configuration) -> None:
        """Everything that there is now."""
        self.switch = True
        self.bridges.update(configuration.bridges)
        for bridge, ports in configuration.ports.items():
            self.add_ports(bridge, ports)


def in_vain(row: Any) -> tuple[str, ...]:
    """What a row of the replica asks for that is not followed yet."""
    return tuple(not_followed.asked(row.table, partial(getattr, row)))


def one(values: Any) -> Any:
    """The element of an optional column, or None."""
    return values[0] if values else None


def _contained(read: Callable[[Any], Any], rows: Iterable[Any]) -> list[Any]:
    """What `read` makes of each row that is part of another; a fault with one leaves the others."""
    found = (containment.call("database row", _name(row), read, row) for row in rows)
    return [each for each in found if each is not None]


def _name(row: Any) -> str:
    return f"{row.table} {row.uuid}"


def _contained_one(read: Callable[[Any], Any], values: Any) -> Any:
    """The same for an optional column."""
    return one(_contained(read, values))


def interface_config(row: Any) -> InterfaceConfig:
    """Of a row that cannot be read: that there is one."""
    read = containment.call("database row", _name(row), _interface_config, row)
    return read or InterfaceConfig(row.uuid, row.name, "", {}, None, None, None, {}, is_faulty=True)


def _interface_config(row: Any) -> InterfaceConfig:
    return InterfaceConfig(
        uuid=row.uuid,
        name=row.name,
        type=row.type,
        options=row.options,
        ofport_request=one(row.ofport_request),
        mac=one(row.mac),
        mtu_request=one(row.mtu_request),
        other_config=row.other_config,
        in_vain=in_vain(row),
        cfm_mpid=one(row.cfm_mpid),
        bfd=row.bfd,
        lldp=row.lldp,
        policing=tuple(
            getattr(row, f"ingress_policing_{each}")
            for each in ("rate", "burst", "kpkts_rate", "kpkts_burst")
        ),
    )


def _qos(row: Any) -> QosRow:
    queues = sorted(row.queues.items())
    return QosRow(
        uuid=row.uuid,
        type=row.type,
        other_config=row.other_config,
        queues=tuple((n, QueueRow(one(each.dscp), each.other_config)) for n, each in queues),
        parts=frozenset({row.uuid, *(each.uuid for _, each in queues)}),
    )


def port_config(row: Any) -> PortConfig:
    interfaces = sorted(row.interfaces, key=lambda each: each.name)
    qos = _contained_one(_qos, row.qos)
    return PortConfig(
        uuid=row.uuid,
        name=row.name,
        interfaces=tuple(interface_config(each) for each in interfaces),
        vlan_mode=one(row.vlan_mode),
        tag=one(row.tag),
        trunks=tuple(row.trunks),
        cvlans=tuple(row.cvlans),
        bond_mode=one(row.bond_mode),
        bond_updelay=row.bond_updelay,
        bond_downdelay=row.bond_downdelay,
        lacp=one(row.lacp),
        protected=row.protected,
        fake_bridge=row.fake_bridge,
        other_config=row.other_config,
        in_vain=in_vain(row),
        qos=qos,
        mac=one(row.mac),
        has_faulty_qos=bool(row.qos) and qos is None,
    )


def faulty_port(row: Any, known: PortConfig | None) -> PortConfig:
    """Of a row that cannot be read: as it was known, and its interfaces tell of it."""
    members = [interface_config(each) for each in row.interfaces]
    plain = known or PortConfig(
        row.uuid, row.name, tuple(members), None, None, (), (), None, 0, 0, None, False, False, {}
    )
    return plain._replace(
        interfaces=tuple(each._replace(is_faulty=True) for each in plain.interfaces)
    )


def _dscp(row: Any) -> int | None:
    return digits.number(row.other_config.get("dscp", ""), 63)


def _controller(row: Any) -> ControllerRow:
    return ControllerRow(
        uuid=row.uuid,
        target=row.target,
        max_backoff=one(row.max_backoff),
        inactivity_probe=one(row.inactivity_probe),
        connection_mode=one(row.connection_mode),
        enable_async_messages=one(row.enable_async_messages),
        rate_limit=one(row.controller_rate_limit),
        burst_limit=one(row.controller_burst_limit),
        queue_size=one(row.controller_queue_size),
        type=one(row.type),
        dscp=_dscp(row),
        local_ip=one(row.local_ip),
        local_netmask=one(row.local_netmask),
        local_gateway=one(row.local_gateway),
        in_vain=in_vain(row),
    )


def _flow_table(row: Any) -> FlowTableRow:
    return FlowTableRow(
        name=one(row.name) or "",
        flow_limit=one(row.flow_limit),
        evict=one(row.overflow_policy) == "evict",
        groups=tuple(row.groups),
        prefixes=tuple(sorted(row.prefixes)),
    )


def _mirror(row: Any) -> MirrorRow:
    output = one(row.output_port)
    return MirrorRow(
        uuid=row.uuid,
        name=row.name,
        select_all=row.select_all,
        src_ports=tuple(sorted(each.name for each in row.select_src_port)),
        dst_ports=tuple(sorted(each.name for each in row.select_dst_port)),
        vlans=tuple(row.select_vlan),
        output_port=output.name if output is not None else None,
        output_vlan=one(row.output_vlan),
        snaplen=one(row.snaplen),
    )


def _ipfix(row: Any) -> IpfixRow:
    return IpfixRow(
        uuid=row.uuid,
        targets=tuple(sorted(row.targets)),
        sampling=one(row.sampling),
        obs_domain_id=one(row.obs_domain_id),
        obs_point_id=one(row.obs_point_id),
        active_timeout=one(row.cache_active_timeout),
        max_flows=one(row.cache_max_flows),
        other_config=row.other_config,
    )


def _sflow(row: Any) -> SflowRow:
    polling = one(row.polling)
    return SflowRow(
        uuid=row.uuid,
        targets=tuple(sorted(row.targets)),
        agent=one(row.agent),
        header=one(row.header),
        sampling=one(row.sampling),
        polling=30 if polling is None else polling,
    )


def _auto_attach(row: Any) -> AutoAttachRow:
    texts = row.system_name, row.system_description
    return AutoAttachRow(*texts, tuple(sorted(row.mappings.items())))


def _netflow(row: Any) -> NetflowRow:
    return NetflowRow(
        uuid=row.uuid,
        targets=tuple(sorted(row.targets)),
        engine_id=one(row.engine_id),
        engine_type=one(row.engine_type),
        active_timeout=row.active_timeout,
        add_id_to_interface=row.add_id_to_interface,
    )


def _collector_sets(bridge: Any) -> tuple[tuple[int, IpfixRow], ...]:
    """They refer to the bridge, and not the other way round."""
    rows = bridge.rows_of("Flow_Sample_Collector_Set")
    found = [
        (row.id, _contained_one(_ipfix, row.ipfix))
        for row in rows
        if row.bridge.uuid == bridge.uuid
    ]
    return tuple(sorted((number, row) for number, row in found if row is not None))


def bridge_config(row: Any) -> BridgeConfig:
    controllers = sorted(row.controller, key=lambda each: each.target)
    return BridgeConfig(
        uuid=row.uuid,
        name=row.name,
        datapath_type=row.datapath_type,
        controllers=tuple(_contained(_controller, controllers)),
        fail_mode=one(row.fail_mode),
        protocols=tuple(row.protocols),
        other_config=row.other_config,
        flood_vlans=tuple(row.flood_vlans),
        in_vain=in_vain(row),
        flow_tables=tuple(
            (number, table)
            for number, each in sorted(row.flow_tables.items())
            for table in _contained(_flow_table, [each])
        ),
        mirrors=tuple(_contained(_mirror, sorted(row.mirrors, key=lambda each: each.name))),
        ipfix=_contained_one(_ipfix, row.ipfix),
        sflow=_contained_one(_sflow, row.sflow),
        netflow=_contained_one(_netflow, row.netflow),
        collector_sets=_collector_sets(row),
        stp_enable=row.stp_enable,
        rstp_enable=row.rstp_enable,
        mcast_snooping_enable=row.mcast_snooping_enable,
        auto_attach=_contained_one(_auto_attach, row.auto_attach),
    )


def _tls_config(row: Any) -> TlsConfig:
    return TlsConfig(row.private_key, row.certificate, row.ca_cert, row.bootstrap_ca_cert)


def switch_config(row: Any) -> SwitchConfig:
    return SwitchConfig(
        uuid=row.uuid,
        next_cfg=row.next_cfg,
        other_config=row.other_config,
        external_ids=row.external_ids,
        tls=_contained_one(_tls_config, row.ssl),
        in_vain=in_vain(row),
        datapaths=datapath_rows(row),
        managers=tuple(sorted(manager.target for manager in row.manager_options)),
    )


def known_ofport(idl: Replica, interface: UUID) -> int | None:
    """The port number of an interface when a vswitchd last wrote its status."""
    row = idl.tables["Interface"].rows.get(interface)
    number = one(row.ofport) if row is not None else None
    return number if number and number > 0 else None


def known_active(idl: Replica, port: UUID) -> str | None:
    """The address of a bond's active member when a vswitchd last wrote its status."""
    row = idl.tables["Port"].rows.get(port)
    return one(row.bond_active_slave) if row is not None else None
