"""The exporters of one bridge: IPFIX of the bridge, of collector sets, sFlow, and NetFlow.

The datapath sends up what the bridge's XSampling asks for; receive() gives it to its exporter at
once, which has its bounds; run() sends what is due.
"""

import fcntl
import resource
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import ovs.vlog

from datapath.actions import samples
from datapath.base.protocols import ETH_IP, ETH_IPV6
from datapath.key.flow import MEMBERS
from ofproto.codec.messages import IpfixStats
from ofproto.codec.numbers import (
    OFPP_LOCAL,
    OFPPF_1GB_HD,
    OFPPF_10MB_HD,
    OFPPF_100MB_HD,
    OFPPS_LINK_DOWN,
)
from ofproto.exports import ipfix, sflow, sflow_counters
from ofproto.handlers_multipart import DUMMY_COUNTERS
from ofproto.xlate.bridges.xsampling import XSampling
from pyvs import clock
from vswitchd.database.config import BridgeConfig, IpfixRow, SflowRow
from vswitchd.database.settings import within
from vswitchd.monitoring.collectors import Collectors
from vswitchd.monitoring.netflow import BridgeNetflow

vlog = ovs.vlog.Vlog("exports")

IPFIX_PORT, SFLOW_PORT = 4739, 6343
DEFAULT_SAMPLING = 400
_DATA = struct.Struct(samples.DATA_FORMAT)
CFI = 0x1000
U32 = 0xFFFFFFFF
HALF_DUPLEX = OFPPF_10MB_HD | OFPPF_100MB_HD | OFPPF_1GB_HD
MAX_IFINDEX = 0x3FFFFFFF  # of sFlow, whose two bits in front say more
RECORDS = 256  # that go in one turn, whatever the number of collectors
SLICE = 0.005  # s of a turn, for counter samples of sFlow: each takes 30 us
LAST_TURNS = 4  # of a bridge that goes, for what its exporters still have


class Stream:
    """An exporter and its collectors."""

    def __init__(self, row: IpfixRow):
        settings = ipfix.Settings(
            row.active_timeout or 0, row.max_flows or 0, row.other_config.get("virtual_obs_id", "")
        )
        self.row = row
        self.exporter = ipfix.Exporter(settings)
        self._collectors = Collectors(row.targets, IPFIX_PORT)

    @property
    def tells_tunnels(self) -> bool:
        return self.row.other_config.get("enable-tunnel-sampling") != "false"

    def run(self, now: int) -> None:
        self._set_clock(now)
        self.exporter.run(now, self._at_once())
        self.send()

    def sample(self, sample: ipfix.Sample, now: int) -> int:
        """How many datagrams it tried to send."""
        self._set_clock(now)
        self.exporter.sample(sample, now)
        return self.send()

    def _set_clock(self, now: int) -> None:
        """Each time: the host's clock may be set long after we began."""
        self.exporter.epoch = time.time_ns() // 1000 - now

    def _at_once(self) -> int:
        return max(1, RECORDS // max(1, len(self._collectors)))

    def send(self) -> int:
        """How many it tried to send."""
        sent, failed = self._collectors.send(self.exporter.take())
        self.exporter.counters.tx_packets += sent
        self.exporter.counters.tx_errors += failed
        return sent + failed

    def stats(self, number: int) -> IpfixStats:
        counted = self.exporter.counters
        return IpfixStats(
            counted.flows, self.exporter.current_flows, counted.packets, counted.ipv4, counted.ipv6,
            counted.errors, counted.ipv4_errors, counted.ipv6_errors, counted.tx_packets,
            counted.tx_errors, number,
        )  # fmt: skip

    def close(self, now: int) -> bool:
        """Export some of what there is.  False: call it again."""
        self._set_clock(now)
        done = self.exporter.close(now, self._at_once())
        self.send()
        if done:
            self.drop()
        return done

    def drop(self) -> None:
        self._collectors.close()


class SflowStream:
    def __init__(self, row: SflowRow, agent: str, now: int):
        self.row = row
        settings = sflow.Settings(
            agent,
            _within(row.sampling, 1, U32, DEFAULT_SAMPLING),
            _within(row.polling, 0, U32, 30),
            min(_within(row.header, 1, U32, 128), sflow.HEADER),
        )
        self.agent = sflow.Agent(settings, now)
        self._collectors = Collectors(row.targets, SFLOW_PORT)

    def send(self) -> int:
        """How many it tried to send."""
        return sum(self._collectors.send(self.agent.take()))

    def close(self) -> None:
        self._collectors.close()


class Exports:
    def __init__(
        self,
        ofproto: Any,
        lacp_of: Callable[[str], sflow_counters.LacpPort | None] = lambda _name: None,
    ):
        """`lacp_of`: what an interface's LACP has counted."""
        self._ofproto = ofproto
        self._lacp_of = lacp_of
        self._bridge: Stream | None = None
        self._sets: dict[int, Stream] = {}
        self._closing: list[Stream] = []
        self._sflow: SflowStream | None = None
        self._counting: Iterator[None] | None = None  # counter samples that are being made
        self._netflow = BridgeNetflow(ofproto)
        self._wanted: tuple = (None, (), None)
        self._known: dict[int, ipfix.Port] = {}  # by datapath port
        ofproto.ipfix_stats = self._ipfix_stats

    # --- configuration

    def configure(self, config: BridgeConfig) -> None:
        self._known.clear()
        self._netflow.configure(config.netflow)
        wanted = (config.ipfix, config.collector_sets, config.sflow)
        if wanted != self._wanted:
            self._take(*wanted)
            self._wanted = wanted
        if self._sflow is not None:
            self._number_interfaces()

    def _take(self, ipfix_row: IpfixRow | None, sets: tuple, sflow_row: SflowRow | None) -> None:
        now = self._microseconds()
        self._bridge = self._stream(self._bridge, ipfix_row, now)
        rows = dict(sets)
        for number in self._sets.keys() | rows.keys():
            stream = self._stream(self._sets.pop(number, None), rows.get(number), now)
            if stream is not None:
                self._sets[number] = stream
        self._take_sflow(sflow_row)
        self._ofproto.collector_sets = tuple(sorted(self._sets))
        self._sample()

    def _stream(self, old: Stream | None, row: IpfixRow | None, now: int) -> Stream | None:
        if old is not None and old.row == row:
            return old
        if old is not None and not old.close(now):
            self._closing.append(old)
        return Stream(row) if row is not None and row.targets else None

    def _take_sflow(self, row: SflowRow | None) -> None:
        if self._sflow is not None and self._sflow.row == row:
            return
        if self._sflow is not None:
            self._sflow.close()
        self._sflow = self._counting = None
        if row is None:
            return
        agent = _agent_address(row)
        if agent is None:
            vlog.err(f"sFlow: no address for agent {row.agent}")
        else:
            self._sflow = SflowStream(row, agent, clock.msec())

    def _sample(self) -> None:
        """Have translation ask for what the exporters want."""
        xbridge = self._ofproto.xbridge
        if self._bridge is None and self._sflow is None and not self._sets:
            if xbridge.sampling is not None:
                xbridge.sampling = None
                xbridge.touch()
            return
        sampling = XSampling(self._ofproto.name, self.receive)
        if self._bridge is not None:
            other = self._bridge.row.other_config
            sampling.ipfix = U32 // (self._bridge.row.sampling or DEFAULT_SAMPLING)
            sampling.ipfix_input = other.get("enable-input-sampling") != "false"
            sampling.ipfix_output = other.get("enable-output-sampling") != "false"
            sampling.ipfix_tunnels = self._bridge.tells_tunnels
        if self._sflow is not None:
            sampling.sflow = U32 // self._sflow.agent.settings.sampling
        sampling.collectors = bool(self._sets)
        sampling.tunnel_sets = frozenset(
            number for number, each in self._sets.items() if each.tells_tunnels
        )
        sampling.tunnel_kinds = frozenset(ipfix.TUNNELS)
        xbridge.sampling = sampling
        xbridge.touch()

    def _ifindex(self, number: int, port: Any) -> int:
        """0: none.  A dummy has what its options say."""
        given = port.options if port.is_dummy else {}
        index = within(given, "ifindex", 0, 0, MAX_IFINDEX) or self._ofproto.port_ifindex(number)
        return min(max(index or 0, 0), MAX_IFINDEX)

    def _number_interfaces(self) -> None:
        found = {
            port.odp_port: index
            for number, port in self._ofproto.ports.items()
            if port.odp_port is not None and (index := self._ifindex(number, port))
        }
        sampling = self._ofproto.xbridge.sampling
        if sampling.ifindexes != found:
            sampling.ifindexes = found
            self._ofproto.xbridge.touch()

    # --- samples

    def _microseconds(self) -> int:
        return clock.msec() * 1000

    def receive(self, reason: int, packet: bytes, key: bytes, data: bytes) -> int:
        """A sample: see XSampling.  Returns how many datagrams that made."""
        _, output, number, domain, point, _, probability, tci, direction = _DATA.unpack(data)
        if reason == samples.SFLOW:
            return self._receive_sflow(packet, key, output, tci)
        if reason == samples.IPFIX:
            stream, weight = self._bridge, 0
            if stream is not None:
                domain, point = stream.row.obs_domain_id or 0, stream.row.obs_point_id or 0
                weight = stream.row.sampling or DEFAULT_SAMPLING
            egress = output != samples.NONE
        else:
            stream, weight = self._sets.get(number), 65535 // max(probability, 1)
            egress = direction == samples.EGRESS or (not direction and output != samples.NONE)
        if stream is None:
            return 0
        port = self._port(output) if output != samples.NONE else None
        sample = ipfix.Sample(
            _packet(packet, key), domain, point, self._port(_number(key, "in_port")), port, egress,
            weight, self._tunnel(key) if stream.tells_tunnels and output == samples.NONE else None,
        )  # fmt: skip
        return stream.sample(sample, self._microseconds())

    def _receive_sflow(self, packet: bytes, key: bytes, output: int, tci: int) -> int:
        if self._sflow is None:
            return 0
        ifindexes = self._ofproto.xbridge.sampling.ifindexes
        tag = int.from_bytes(key[slice(*_span("vlan0_tci"))], "big")
        out_tag = int.from_bytes(struct.pack("=H", tci), "big")
        sample = sflow.FlowSample(
            packet, ifindexes.get(_number(key, "in_port"), 0), output,
            tag & 0xFFF, tag >> 13, out_tag & 0xFFF, out_tag >> 13,
        )  # fmt: skip
        self._sflow.agent.sample(sample, clock.msec())
        return self._sflow.send()

    def _tunnel(self, key: bytes) -> ipfix.Tunnel | None:
        """That by which a packet came, where records can tell of it."""
        if not _number(key, "tun_dst"):
            return None
        port = self._ofproto.backer.flows.port_for(key)
        kind = port.tunnel.config.kind if port is not None and port.tunnel is not None else ""
        if kind not in ipfix.TUNNELS:
            return None
        return ipfix.Tunnel(
            kind, key[slice(*_span("tun_src"))], key[slice(*_span("tun_dst"))],
            _number(key, "tun_tp_src"), _number(key, "tun_tp_dst"), _number(key, "tun_id"),
        )  # fmt: skip

    def _port(self, odp_port: int) -> ipfix.Port:
        """Known until the next reconfiguration: the datapath is not asked for each sample."""
        found = self._known.get(odp_port)
        if found is None:
            found = self._known[odp_port] = self._look_up(odp_port)
        return found

    def _look_up(self, odp_port: int) -> ipfix.Port:
        for number, port in self._ofproto.ports.items():
            if port.odp_port == odp_port:
                return ipfix.Port(max(self._ofproto.port_ifindex(number) or 0, 0), port.name)
        return ipfix.Port(0, "")

    # --- the daemon's rhythm

    def run(self, now: int) -> None:
        self._netflow.run(now)
        for stream in filter(None, (self._bridge, *self._sets.values())):
            stream.run(now * 1000)
        self._closing = [each for each in self._closing if not each.close(self._microseconds())]
        if self._sflow is not None:
            self._count(self._sflow.agent, now)
            self._sflow.agent.run(now)
            self._sflow.send()

    def _count(self, agent: sflow.Agent, now: int) -> None:
        """Counter samples of all interfaces, when it is time, some of them in each turn."""
        if self._counting is None:
            if not agent.wants_counters(now):
                return
            self._counting = agent.poll(self._switch(), self._interfaces(), now)
        end = time.monotonic() + SLICE
        for _ in self._counting:
            if time.monotonic() >= end:
                return
        self._counting = None

    def next_run(self) -> int | None:
        """When run() has something to do, in ms."""
        if self._closing or self._counting is not None:
            return clock.msec()
        streams = filter(None, (self._bridge, *self._sets.values()))
        times = [each.exporter.next_run() for each in streams]
        times = [None if when is None else when // 1000 + 1 for when in times]
        if self._sflow is not None:
            times.append(self._sflow.agent.next_run())
        times.append(self._netflow.next_run())
        return min((when for when in times if when is not None), default=None)

    def _switch(self) -> sflow_counters.Switch | None:
        """None: there is no datapath to ask."""
        backer = self._ofproto.backer
        counted = backer.stats()
        if counted is None:
            return None
        used = resource.getrusage(resource.RUSAGE_SELF)
        return sflow_counters.Switch(
            int(used.ru_utime * 1000), int(used.ru_stime * 1000), used.ru_maxrss * 1024,
            counted["hits"], counted["misses"], counted["lost"], len(backer.flows),
        )  # fmt: skip

    def _interfaces(self) -> Iterator[sflow_counters.Interface]:
        """In Open vSwitch's order: the bridge's own port last."""
        ofproto = self._ofproto
        counted = ofproto.all_port_stats()
        numbers = sorted(ofproto.ports, key=lambda number: number == OFPP_LOCAL or -number)
        for number in numbers:
            made = self._interface(number, counted.get(number, {}))
            if made is not None:
                yield made

    def _interface(self, number: int, counted: dict[str, int]) -> sflow_counters.Interface | None:
        port = self._ofproto.ports.get(number)  # it may have gone meanwhile
        index = self._ifindex(number, port) if port is not None else 0
        if not index:
            return None
        if port.is_dummy:
            counted = {name: each for name, each in counted.items() if name in DUMMY_COUNTERS}
        return sflow_counters.Interface(
            index, port.curr_speed * 1000, port.device_up, not port.state & OFPPS_LINK_DOWN,
            not port.curr & HALF_DUPLEX, counted, port.name, number & 0xFFFF,
            self._ofproto.datapath_id, self._lacp_of(port.name),
        )  # fmt: skip

    def _ipfix_stats(self, number: int | None) -> list[IpfixStats]:
        stream = self._bridge if number is None else self._sets.get(number)
        return [] if stream is None else [stream.stats(number or 0)]

    def close(self) -> None:
        """What exporters have is exported as far as that is soon done."""
        self._netflow.configure(None)
        self._take(None, (), None)
        for each in self._closing:
            if not any(each.close(self._microseconds()) for _ in range(LAST_TURNS)):
                each.drop()
        self._closing = []


def _within(value: int | None, low: int, high: int, default: int) -> int:
    """What a column says that the schema does not bound."""
    return default if value is None or not low <= value <= high else value


def _span(member: str) -> tuple[int, int]:
    offset, size = MEMBERS[member]
    return offset, offset + size


def _number(key: bytes, member: str) -> int:
    return int.from_bytes(key[slice(*_span(member))], "big")


def _packet(frame: bytes, key: bytes) -> ipfix.Packet:
    kind = _number(key, "eth_type")
    tci = _number(key, "vlan0_tci")
    found = ipfix.Packet(
        key[slice(*_span("eth_src"))], key[slice(*_span("eth_dst"))], kind, len(frame),
        tci if tci & CFI else None,
    )  # fmt: skip
    if kind not in (ETH_IP, ETH_IPV6):
        return found
    n_tags = sum(bool(_number(key, name) & CFI) for name in ("vlan0_tci", "vlan1_tci"))
    l2_size = 0 if _number(key, "packet_type") else 14 + 4 * n_tags
    found.l3_size = max(0, len(frame) - l2_size)
    found.proto, found.tos = _number(key, "nw_proto"), _number(key, "nw_tos")
    found.ttl = _number(key, "nw_ttl")
    found.tp_src, found.tp_dst = _number(key, "tp_src"), _number(key, "tp_dst")
    found.tcp_flags = _number(key, "tcp_flags")
    if kind == ETH_IP:
        found.src, found.dst = key[slice(*_span("nw_src"))], key[slice(*_span("nw_dst"))]
    else:
        found.src, found.dst = key[slice(*_span("ipv6_src"))], key[slice(*_span("ipv6_dst"))]
        found.label = _number(key, "ipv6_label")
    return found


def _agent_address(row: SflowRow) -> str | None:
    """The address that `agent` is, or that its device has; else that by which the first target is
    reached."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, row.agent or "")
            return row.agent
        except (OSError, ValueError):
            continue
    if row.agent:
        return _device_address(row.agent)
    found = Collectors(row.targets[:1], SFLOW_PORT)
    try:
        return found.source()
    finally:
        found.close()


def _device_address(name: str) -> str | None:
    """The IPv4 address of a device (SIOCGIFADDR of netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as each:
        try:
            told = fcntl.ioctl(each.fileno(), 0x8915, struct.pack("256s", name.encode()[:15]))
        except (OSError, ValueError):
            return None
    return socket.inet_ntoa(told[20:24])
