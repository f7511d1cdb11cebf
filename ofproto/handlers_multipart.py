"""Answers to multipart requests (OpenFlow 1.0: statistics): functions as in handlers.

Lists are encoded as the peer reads them, from a snapshot of what there was at the request.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ofproto.codec import messages
from ofproto.codec.errors import OFError
from ofproto.codec.numbers import N_VISIBLE_TABLES
from ofproto.tables import group, meter
from ofproto.tables.flow_rows import FlowRows
from ofproto.tables.flow_table import drain, flow_filter
from ofproto.tables.table_features import features, in_stats, offered_actions


def reply_list(peer: Any, request: Any, kind: type, items: Iterable[Any], **form: Any) -> None:
    peer.connection.send_long(messages.multipart(kind, items, peer.version, request.xid, **form))


def desc(ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    peer.reply(request, messages.DescReply(**ofproto.desc))


# --- flows


def flow_stats_of(rule: Any, now: int) -> Any:
    """A Rule as statistics show it."""
    age = max(0, now - rule.created)
    # By position: that is what most of a dump's time would go to else.
    return messages.FlowStats(
        rule.match, rule.priority, rule.table_id, rule.cookie,
        age // 1000, age % 1000 * 1_000_000, rule.idle_timeout, rule.hard_timeout,
        max(0, now - rule.used) // 1000, max(0, now - rule.modified) // 1000,
        rule.flags, rule.importance, rule.n_packets, rule.n_bytes, rule.actions,
    )  # fmt: skip


SLICE = 500  # flows looked at in one step


def _select(
    ofproto: Any, peer: Any, request: Any, then: Callable[[list[Any]], Iterator[None]]
) -> None:
    """Have `then` go on, in steps, with the flows that a request means."""
    pieces = ofproto.tables.select_in_pieces(request.match, request.table_id)
    passes = flow_filter(request)

    def steps() -> Iterator[None]:
        rules: list[Any] = []
        for some in pieces:
            rules += some if passes is None else filter(passes, some)
            yield
        yield from then(rules)

    peer.work = steps()


def flow_stats(ofproto: Any, peer: Any, request: Any, now: int) -> None:
    def answer(found: list[Any]) -> Iterator[None]:
        kind, version = messages.FlowStatsReply, peer.version
        write = messages.item_writer(kind, version, nxm=request.nxm)
        rows = FlowRows(version, request.nxm, now, lambda rule: write(flow_stats_of(rule, now)))
        encoded = (rows.row(rule) for some in drain(found, SLICE) for rule in some)
        peer.connection.send_long(
            messages.multipart_rows(kind, encoded, version, request.xid, nxm=request.nxm)
        )
        yield

    _select(ofproto, peer, request, answer)


def aggregate(ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    def answer(found: list[Any]) -> Iterator[None]:
        n_packets, n_bytes, n_flows = 0, 0, len(found)
        for some in drain(found, SLICE):
            n_packets += sum(rule.n_packets for rule in some)
            n_bytes += sum(rule.n_bytes for rule in some)
            yield
        answer = messages.AggregateReply(
            n_packets=n_packets, n_bytes=n_bytes, n_flows=n_flows, nxm=request.nxm
        )
        peer.reply(request, answer)

    _select(ofproto, peer, request, answer)


def table_stats(ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    tables, version = ofproto.tables, peer.version
    items = [_table(tables, number, version) for number in range(N_VISIBLE_TABLES)]
    reply_list(peer, request, messages.TableStatsReply, items)


def _table(tables: Any, number: int, version: int) -> Any:
    configs, table = tables.configs, tables.xbridge.tables[number]
    wildcards, more = in_stats(number, version)
    return messages.TableStats(
        table_id=number,
        name=configs.name(number),
        wildcards=wildcards,
        features=more | {"config": configs.miss(number)},
        max_entries=configs.limit(number),
        active=tables.n_rules(number),
        lookups=0 if table is None else table.n_lookup,
        matched=0 if table is None else table.n_matched,
    )


def table_features(ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    """Of all tables; or, as Open vSwitch has it, gives tables other names and nothing else."""
    configs, version = ofproto.tables.configs, peer.version
    for each in request.tables or ():
        configs.check_name(each.table_id, each.name)
        if each.properties not in ({}, features(each.table_id, version).properties):
            raise OFError("OFPTFFC_EPERM", "tables cannot have other features")
    for each in request.tables or ():
        configs.set_name(each.table_id, each.name)
    if request.more:
        return
    items = (
        features(number, version, configs.name(number), configs.limit(number))
        for number in range(N_VISIBLE_TABLES)
    )
    reply_list(peer, request, messages.TableFeaturesReply, items)


def table_desc(ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    items = [ofproto.tables.configs.describe(number) for number in range(N_VISIBLE_TABLES)]
    reply_list(peer, request, messages.TableDescReply, items)


# --- ports and queues


def _ports(ofproto: Any, port_no: int | None) -> list[Any]:
    """All ports, or one; none where there is none of that number, as Open vSwitch has it."""
    if port_no is None:
        return ofproto.ports_in_order()
    return [ofproto.ports[port_no]] if port_no in ofproto.ports else []


def port_stats(ofproto: Any, peer: Any, request: Any, now: int) -> None:
    counted = ofproto.all_port_stats()
    items = [
        _port_counters(port, counted.get(port.number, {}), now)
        for port in _ports(ofproto, request.port_no)
    ]
    reply_list(peer, request, messages.PortStatsReply, items)


COUNTERS = (
    *("rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_dropped", "tx_dropped"),
    *("rx_errors", "tx_errors", "rx_frame_err", "rx_over_err", "rx_crc_err", "collisions"),
)


# What a dummy counts: there is nothing that could go wrong with it.
DUMMY_COUNTERS = COUNTERS[:4]


def _port_counters(port: Any, counted: dict[str, int], now: int) -> Any:
    known = DUMMY_COUNTERS if port.is_dummy else COUNTERS
    custom = dummy_custom(counted) if port.is_dummy else {}
    age = max(0, now - port.created)
    return messages.PortStats(
        port_no=port.number,
        duration_sec=age // 1000,
        duration_nsec=age % 1000 * 1_000_000,
        **{name: counted.get(name) for name in known},
        custom=custom,
    )


def dummy_custom(counted: dict[str, int]) -> dict[str, int]:
    """What Open vSwitch's dummies count beside: packets received, twice, and of their one queue."""
    packets = counted.get("rx_packets", 0)
    return {
        "rx_custom_packets_1": packets,
        "rx_custom_packets_2": packets,
        **{
            f"{side}_q0_{unit}": counted.get(f"{side}_{unit}", 0)
            for side in ("rx", "tx")
            for unit in ("bytes", "packets")
        },
    }


def port_desc(ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    ports = _ports(ofproto, request.port_no)
    items = [messages.PortDesc.of_port(port) for port in ports]
    reply_list(peer, request, messages.PortDescReply, items)


def queues(ofproto: Any, port_no: int | None, queue_id: int | None) -> list[tuple[Any, int]]:
    """(OfPort, queue) of one port or all (None), and one queue or all.  Raises OFError."""
    ports = _ports(ofproto, port_no)
    if port_no is not None and not ports:
        raise OFError("OFPQOFC_BAD_PORT", f"port {port_no}")
    found = [(port, queue) for port in ports for queue in port.queues]
    if queue_id is None:
        return found
    found = [(port, queue) for port, queue in found if queue == queue_id]
    if not found:
        raise OFError("OFPQOFC_BAD_QUEUE", f"queue {queue_id}")
    return found


def _queue_age(port: Any, queue: int, now: int) -> dict[str, int]:
    """Of one that is configured, and is the device's."""
    if port.is_dummy or queue not in port.queues_since:
        return {}
    age = now - port.queues_since[queue]
    return {"duration_sec": age // 1000, "duration_nsec": age % 1000 * 1_000_000}


def queue_stats(ofproto: Any, peer: Any, request: Any, now: int) -> None:
    """There may be 60,000 queues of a port."""
    found = queues(ofproto, request.port_no, request.queue_id)

    def steps() -> Iterator[Any]:
        counted: dict[str, dict[int, dict[str, int]]] = {}
        for name in {port.name: None for port, _ in found}:
            counted[name] = yield from ofproto.queue_counters(name)
        items = (
            messages.QueueStats(
                port.number,
                queue,
                **counted[port.name].get(queue, {}),
                **_queue_age(port, queue, now),
            )
            for port, queue in found
        )
        reply_list(peer, request, messages.QueueStatsReply, items)

    peer.work = steps()


def queue_desc(ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    found = queues(ofproto, request.port_no, request.queue_id)
    items = [messages.QueueDesc(port.number, queue) for port, queue in found]
    reply_list(peer, request, messages.QueueDescReply, items)


# --- groups


def group_stats(ofproto: Any, peer: Any, request: Any, now: int) -> None:
    found = ofproto.groups.select(request.group_id)
    items = [ofproto.groups.stats(group, now) for group in found]
    reply_list(peer, request, messages.GroupStatsReply, items)


def group_desc(ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    items = [group.describe(each) for each in ofproto.groups.select(request.group_id)]
    reply_list(peer, request, messages.GroupDescReply, items)


def group_features(_ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    actions = sum(1 << number for number in offered_actions(peer.version))
    answer = messages.GroupFeaturesReply(
        types=group.ALL_TYPES,
        capabilities=group.CAPABILITIES,
        max_groups=(group.OFPG_MAX,) * 4,
        actions=(actions,) * 4,
    )
    peer.reply(request, answer)


# --- meters


def meter_stats(ofproto: Any, peer: Any, request: Any, now: int) -> None:
    found = ofproto.tables.meters.stats(request.meter_id, now)
    reply_list(peer, request, messages.MeterStatsReply, found)


def meter_config(ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    found = [each.config for each in ofproto.tables.meters.select(request.meter_id)]
    reply_list(peer, request, messages.MeterConfigReply, found)


def meter_features(_ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    peer.reply(request, meter.features())


# --- exporters


def ipfix_bridge(ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    stats = ofproto.ipfix_stats(None)
    if not stats:
        raise OFError("NXST_NOT_CONFIGURED", "bridge IPFIX")
    peer.reply(request, messages.IpfixBridgeReply(stats))


def ipfix_flow(ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    stats = [each for number in ofproto.collector_sets for each in ofproto.ipfix_stats(number)]
    if not stats:
        raise OFError("NXST_NOT_CONFIGURED", "flow IPFIX")
    reply_list(peer, request, messages.IpfixFlowReply, stats)


HANDLERS: dict[type, Callable[[Any, Any, Any, int], None]] = {
    messages.DescRequest: desc,
    messages.FlowStatsRequest: flow_stats,
    messages.AggregateRequest: aggregate,
    messages.TableStatsRequest: table_stats,
    messages.TableFeaturesRequest: table_features,
    messages.TableDescRequest: table_desc,
    messages.PortStatsRequest: port_stats,
    messages.PortDescRequest: port_desc,
    messages.QueueStatsRequest: queue_stats,
    messages.QueueDescRequest: queue_desc,
    messages.GroupStatsRequest: group_stats,
    messages.GroupDescRequest: group_desc,
    messages.GroupFeaturesRequest: group_features,
    messages.MeterStatsRequest: meter_stats,
    messages.MeterConfigRequest: meter_config,
    messages.MeterFeaturesRequest: meter_features,
    messages.IpfixBridgeRequest: ipfix_bridge,
    messages.IpfixFlowRequest: ipfix_flow,
}

# The requests for what the datapath counts: it is asked before they are answered.
COUNTERS_OF = {
    messages.FlowStatsRequest,
    messages.AggregateRequest,
    messages.TableStatsRequest,
    messages.GroupStatsRequest,
    messages.MeterStatsRequest,
}
# And those that ask it themselves.
TOLD_BY_DATAPATH = {messages.PortStatsRequest}
