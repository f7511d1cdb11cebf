"""IPFIX (RFC 7011): flows that are made of samples, cached, and exported when they are old.

One exporter has one cache and one message stream for its observation domain. Times are in
microseconds of the caller's clock, and `epoch` is what to add for those since 1970. Elements are
those of IANA's registry, and VMware's (6876) for the virtual observation id; templates and records
are laid out as Open vSwitch's, so that collectors that know the one know the other. Not filled:
what was dropped.
"""

import struct
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from datapath.base.protocols import (
    ETH_IP,
    ETH_IPV6,
    PROTO_GRE,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
)
from pyvs import coverage

VERSION = 10
TEMPLATES_EVERY = 600_000_000  # us
FULL = 1024  # bytes of a message of templates to which no further one is added
FIRST_TEMPLATE, OPTIONS_TEMPLATE = 256, 462
VMWARE = 6876
MAX_FLOWS = 65536  # in a cache for which the configuration has no bound
MOST_FLOWS = 4 * MAX_FLOWS  # whatever the configuration says
AT_ONCE = 256  # records that end in one turn
COUNT = (1 << 64) - 1  # counts go round
IDLE, ACTIVE, FORCED, LACK_OF_RESOURCES = 1, 2, 4, 5  # flowEndReason

# Elements: (number, bytes, enterprise); 65535 bytes: of variable length.
_VAR = 65535
_COMMON = ((138, 4), (61, 1), (56, 6), (80, 6), (256, 2), (240, 1))
_INPUT = ((10, 4), (368, 4), (82, _VAR), (83, _VAR))
_OUTPUT = ((14, 4), (369, 4), (82, _VAR), (83, _VAR))
_VLAN = ((58, 2), (243, 2), (244, 1))
_IP = ((60, 1), (192, 1), (4, 1), (195, 1), (196, 1), (5, 1))
_L3 = ((), (*_IP, (8, 4), (12, 4)), (*_IP, (27, 16), (28, 16), (31, 4)))
_PORTS = ((7, 2), (11, 2))
_ICMP = ((), ((176, 1), (177, 1)), ((178, 1), (179, 1)))
_TUNNEL = (
    *((893, 4, VMWARE), (894, 4, VMWARE), (895, 1, VMWARE), (896, 2, VMWARE), (897, 2, VMWARE)),
    *((891, 1, VMWARE), (892, _VAR, VMWARE)),
)
# Kind of tunnel -> its number in records, the outer header's protocol, bytes of a key there.
TUNNELS = {
    "vxlan": (1, PROTO_UDP, 3),
    "gre": (2, PROTO_GRE, 4),
    "lisp": (3, PROTO_UDP, 3),
    "stt": (4, PROTO_TCP, 8),
    "geneve": (7, 0, 3),  # Open vSwitch names no protocol there
}
_VIRTUAL = ((898, _VAR, VMWARE),)
_COUNTS = (
    *((158, 4), (159, 4), (133, 8), (135, 8), (2, 8), (86, 8), (354, 8), (355, 8), (356, 8)),
    *((357, 8), (358, 8), (19, 8), (174, 8), (352, 8), (353, 8), (136, 1)),
)
_IP_COUNTS = (
    *((132, 8), (134, 8), (1, 8), (85, 8), (198, 8), (199, 8), (25, 8), (26, 8), (20, 8), (175, 8)),
)
_TCP_COUNTS = ((222, 8), (219, 8), (221, 8), (220, 8), (218, 8), (223, 8))
_TCP_BITS = (0x10, 0x01, 0x08, 0x04, 0x02, 0x20)  # as in _TCP_COUNTS
_L4_UNKNOWN, _L4_TCP, _L4_UDP, _L4_SCTP, _L4_ICMP = range(5)
_L4 = {PROTO_TCP: _L4_TCP, PROTO_UDP: _L4_UDP, PROTO_SCTP: _L4_SCTP}

no_room = coverage.counter("ipfix_no_room")


class Port(NamedTuple):
    """An interface in records."""

    index: int
    name: str


@dataclass(slots=True)
class Packet:
    """What a record tells of a packet; numbers in host order.  `vlan`: a tag's TCI, or None."""

    eth_src: bytes
    eth_dst: bytes
    eth_type: int
    size: int  # of the frame, bytes
    vlan: int | None = None
    l3_size: int = 0  # behind the Ethernet header and tags, padding included, bytes
    proto: int = 0
    tos: int = 0
    ttl: int = 0
    src: bytes = b""
    dst: bytes = b""
    label: int = 0
    tp_src: int = 0
    tp_dst: int = 0
    tcp_flags: int = 0


class Tunnel(NamedTuple):
    """The outer header that a packet came with; `kind`: of TUNNELS, addresses IPv4."""

    kind: str
    src: bytes
    dst: bytes
    tp_src: int
    tp_dst: int
    key: int


class Settings(NamedTuple):
    """Of one exporter; `active_timeout` in seconds, 0: each sample is exported at once;
    `max_flows` 0: no bound of its own."""

    active_timeout: int = 0
    max_flows: int = 0
    virtual_obs_id: str = ""


class Sample(NamedTuple):
    """A packet and where it was seen; each stands for `weight` of them."""

    packet: Packet
    domain: int
    point: int
    input: Port
    output: Port | None  # None: seen as it came in
    egress: bool
    weight: int
    tunnel: Tunnel | None = None


@dataclass(slots=True)
class Totals:
    """Since ever, of all flows, as records tell them."""

    packets: int = 0
    in_unicast: int = 0
    in_multicast: int = 0
    in_broadcast: int = 0
    out_unicast: int = 0
    out_broadcast: int = 0
    post_multicast: int = 0
    frames: int = 0  # bytes
    octets: int = 0
    squares: int = 0
    post_multicast_octets: int = 0
    tcp: list[int] = field(default_factory=lambda: [0] * len(_TCP_BITS))


@dataclass(slots=True)
class Flow:
    """An entry of the cache: totals are those of the exporter at its last packet."""

    start: int
    end: int = 0
    packets: int = 0
    post_multicast: int = 0
    frames: int = 0
    octets: int = 0
    squares: int = 0
    least: int = 0
    most: int = 0
    post_multicast_octets: int = 0
    totals: tuple[int, ...] = ()


@dataclass(slots=True)
class Counters:
    """As NXST_IPFIX_BRIDGE and NXST_IPFIX_FLOW tell them."""

    flows: int = 0
    packets: int = 0
    ipv4: int = 0
    ipv6: int = 0
    errors: int = 0
    ipv4_errors: int = 0
    ipv6_errors: int = 0
    tx_packets: int = 0
    tx_errors: int = 0


def _record_template(number: int, elements: tuple) -> bytes:
    made = struct.pack("!HH", number, len(elements))
    for kind, size, *enterprise in elements:
        made += struct.pack("!HH", kind | 0x8000 * bool(enterprise), size)
        made += struct.pack("!I", *enterprise) if enterprise else b""
    return made


def _template_id(vlan: bool, l3: int, l4: int, tunnel: bool, output: bool) -> int:
    return FIRST_TEMPLATE + ((vlan * 3 + l3) * 5 + l4) * 4 + tunnel * 2 + output


def _elements(vlan: bool, l3: int, l4: int, tunnel: bool, output: bool, virtual: bool) -> tuple:
    found = _COMMON + _INPUT + _OUTPUT * output + _VLAN * vlan + _L3[l3]
    if l4:
        found += _ICMP[l3] if l4 == _L4_ICMP else _PORTS
    found += _TUNNEL * tunnel + _VIRTUAL * virtual + _COUNTS
    return found + _IP_COUNTS * bool(l3) + _TCP_COUNTS * (l4 == _L4_TCP)


def _templates(virtual: bool) -> list[bytes]:
    return [
        _record_template(
            _template_id(vlan, l3, l4, tunnel, output),
            _elements(vlan, l3, l4, tunnel, output, virtual),
        )
        for vlan in (False, True)
        for l3 in range(3)
        for l4 in range(5 if l3 else 1)
        for tunnel in (False, True)
        for output in (False, True)
    ]


class Exporter:
    """The datagrams that it has made since the last time are in `take()`."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.epoch = 0
        self.counters = Counters()
        self.totals = Totals()
        self._flows: dict[tuple, Flow] = {}  # in the order in which they began
        self._sequence = 1
        self._templates_at: dict[int, int] = {}  # domain -> when they were last sent
        self._datagrams: list[bytes] = []
        self._virtual = settings.virtual_obs_id.encode()[:254]
        self._room = min(settings.max_flows or MAX_FLOWS, MOST_FLOWS)

    @property
    def current_flows(self) -> int:
        return len(self._flows)

    def take(self) -> list[bytes]:
        """Datagrams for each collector."""
        made, self._datagrams = self._datagrams, []
        return made

    def sample(self, sample: Sample, now: int) -> None:
        key, outcome = self._key(sample)
        self._count(outcome)
        self._add_up(sample, outcome)
        flow = self._flows.get(key)
        if flow is None:
            self.counters.flows += 1
            flow = self._flows[key] = Flow(now)
        self._update(flow, sample, now)
        if not self.settings.active_timeout:
            self._end(key, ACTIVE, now)
        while len(self._flows) > self._room:
            no_room.count += not self.settings.max_flows
            self._end(next(iter(self._flows)), LACK_OF_RESOURCES, now)

    def run(self, now: int, at_once: int = AT_ONCE) -> None:
        """Export the flows that are old, so many; next_run() tells of the others."""
        limit = now - self.settings.active_timeout * 1_000_000
        for key, flow in list(islice(self._flows.items(), at_once)):
            if flow.start > limit:
                break
            self._end(key, ACTIVE, now)

    def next_run(self) -> int | None:
        """When run() has something to do, in us."""
        if not self.settings.active_timeout or not self._flows:
            return None
        return next(iter(self._flows.values())).start + self.settings.active_timeout * 1_000_000

    def close(self, now: int, at_once: int = AT_ONCE) -> bool:
        """Export flows however young, so many.  False: there are more."""
        for key in list(islice(self._flows, at_once)):
            self._end(key, FORCED, now)
        return not self._flows

    # --- counting

    def _count(self, outcome: tuple[int, int]) -> None:
        l3, l4 = outcome
        counters = self.counters
        counters.packets += 1
        if not l3:
            return
        fine = l4 != _L4_UNKNOWN
        name = ("ipv4" if l3 == 1 else "ipv6") + ("" if fine else "_errors")
        setattr(counters, name, getattr(counters, name) + 1)
        counters.errors += not fine

    def _add_up(self, sample: Sample, outcome: tuple[int, int]) -> None:
        packet, totals, n = sample.packet, self.totals, sample.weight
        totals.packets += n
        totals.frames += n * packet.size
        kind = _kind(packet.eth_dst)
        if sample.egress:
            totals.out_unicast += n * (kind == "unicast")
            totals.out_broadcast += n * (kind == "broadcast")
            totals.post_multicast += n * (kind == "multicast")
        else:
            totals.in_unicast += n * (kind == "unicast")
            totals.in_multicast += n * (kind == "multicast")
            totals.in_broadcast += n * (kind == "broadcast")
        if outcome[0]:
            totals.octets += n * packet.l3_size
            totals.squares += n * packet.l3_size**2
            totals.post_multicast_octets += (
                n * packet.l3_size * (sample.egress and kind == "multicast")
            )
        if outcome[1] == _L4_TCP:
            for i, bit in enumerate(_TCP_BITS):
                totals.tcp[i] += n * bool(packet.tcp_flags & bit)

    def _update(self, flow: Flow, sample: Sample, now: int) -> None:
        packet, totals, n = sample.packet, self.totals, sample.weight
        flow.end = now
        flow.packets += n
        flow.frames += n * packet.size
        flow.octets += n * packet.l3_size
        flow.squares += n * packet.l3_size**2
        flow.least = min(flow.least or packet.l3_size, packet.l3_size)
        flow.most = max(flow.most, packet.l3_size)
        if sample.egress and _kind(packet.eth_dst) == "multicast":
            flow.post_multicast += n
            flow.post_multicast_octets += n * packet.l3_size
        flow.totals = (
            totals.packets, totals.in_unicast, totals.in_multicast, totals.in_broadcast,
            totals.out_unicast, totals.out_broadcast, totals.post_multicast, totals.frames,
            totals.octets, totals.squares, totals.post_multicast_octets, *totals.tcp,
        )  # fmt: skip

    # --- records

    def _key(self, sample: Sample) -> tuple[tuple[int, int, bytes], tuple[int, int]]:
        """What names a flow, with the template of its record, and which protocols it has."""
        packet = sample.packet
        l3 = {ETH_IP: 1, ETH_IPV6: 2}.get(packet.eth_type, 0)
        l4 = _L4.get(packet.proto, _L4_UNKNOWN) if l3 else _L4_UNKNOWN
        if l3 and packet.proto == (PROTO_ICMP if l3 == 1 else PROTO_ICMPV6):
            l4 = _L4_ICMP
        has_vlan = packet.vlan is not None
        template = _template_id(
            has_vlan, l3, l4, sample.tunnel is not None, sample.output is not None
        )
        record = struct.pack("!IB", sample.point, sample.egress)
        record += packet.eth_src + packet.eth_dst
        record += struct.pack("!HB", packet.eth_type, 18 if has_vlan else 14)
        record += _port(sample.input) + (_port(sample.output) if sample.output else b"")
        if packet.vlan is not None:
            vid = packet.vlan & 0xFFF
            record += struct.pack("!HHB", vid, vid, packet.vlan >> 13)
        record += _network(packet, l3) + _transport(packet, l4)
        if sample.tunnel is not None:
            record += _tunnel(sample.tunnel)
        if self._virtual:
            record += bytes((len(self._virtual),)) + self._virtual
        return (sample.domain, template, record), (l3, l4)

    def _end(self, key: tuple, reason: int, now: int) -> None:
        flow = self._flows.pop(key)
        domain, template, record = key
        self._send_templates(domain, now)
        record += _counts(flow, template, reason, now)
        self._sequence += 1
        self._message(domain, now, struct.pack("!HH", template, 4 + len(record)) + record)

    def _message(self, domain: int, now: int, sets: bytes) -> None:
        head = struct.pack(
            "!HHIII", VERSION, 16 + len(sets), (now + self.epoch) // 1_000_000 & 0xFFFFFFFF,
            self._sequence & 0xFFFFFFFF, domain,
        )  # fmt: skip
        self._datagrams.append(head + sets)

    def _send_templates(self, domain: int, now: int) -> None:
        sent = self._templates_at.get(domain)
        if sent is not None and now < sent + TEMPLATES_EVERY:
            return
        if len(self._templates_at) >= 256:  # domains are the controllers' to choose
            self._templates_at.clear()
        self._templates_at[domain] = now
        made = b""
        for each in _templates(bool(self._virtual)):
            if 20 + len(made) >= FULL:
                self._message(domain, now, struct.pack("!HH", 2, 4 + len(made)) + made)
                made = b""
            made += each
        self._message(domain, now, struct.pack("!HH", 2, 4 + len(made)) + made)
        # The exporting process's own: how many packets were not sent.
        options = struct.pack("!HHH", OPTIONS_TEMPLATE, 2, 1) + struct.pack("!HHHH", 144, 4, 167, 8)
        self._message(0, now, struct.pack("!HH", 3, 4 + len(options)) + options)
        data = struct.pack("!IQ", 1, 0)
        self._message(0, now, struct.pack("!HH", OPTIONS_TEMPLATE, 4 + len(data)) + data)


def _kind(address: bytes) -> str:
    if address == b"\xff" * 6:
        return "broadcast"
    return "multicast" if address[0] & 1 else "unicast"


def _port(port: Port) -> bytes:
    name = port.name.encode()[:254]
    return struct.pack("!II", port.index, 0) + bytes((len(name),)) + name + b"\0"


def _network(packet: Packet, l3: int) -> bytes:
    if not l3:
        return b""
    version, tos = (4, 6)[l3 - 1], packet.tos
    made = bytes((version, packet.ttl, packet.proto, tos >> 2, tos >> 5, tos))
    made += packet.src + packet.dst
    return made + struct.pack("!I", packet.label) * (l3 == 2)


def _transport(packet: Packet, l4: int) -> bytes:
    if l4 == _L4_UNKNOWN:
        return b""
    if l4 == _L4_ICMP:
        return bytes((packet.tp_src & 0xFF, packet.tp_dst & 0xFF))
    return struct.pack("!HH", packet.tp_src, packet.tp_dst)


def _tunnel(tunnel: Tunnel) -> bytes:
    number, protocol, size = TUNNELS[tunnel.kind]
    made = tunnel.src + tunnel.dst
    made += struct.pack("!BHHBB", protocol, tunnel.tp_src, tunnel.tp_dst, number, size)
    return made + (tunnel.key & (1 << 8 * size) - 1).to_bytes(size, "big")


def _span(since: int, now: int) -> int:
    """Microseconds; clocks may be set back."""
    return min(max(now - since, 0), 0xFFFFFFFF)


def _counts(flow: Flow, template: int, reason: int, now: int) -> bytes:
    at = (template - FIRST_TEMPLATE) // 4
    l3, l4 = at // 5 % 3, at % 5
    (
        packets,
        in_unicast,
        in_multicast,
        in_broadcast,
        out_unicast,
        out_broadcast,
        post_multicast,
        frames,
        octets,
        squares,
        post_multicast_octets,
        *tcp,
    ) = (n & COUNT for n in flow.totals)
    made = struct.pack(
        "!II13QB", _span(flow.start, now), _span(flow.end, now), 0, 0, flow.packets & COUNT,
        packets, in_unicast, in_multicast, in_broadcast, out_unicast, out_broadcast,
        flow.post_multicast & COUNT, post_multicast, flow.frames & COUNT, frames, reason,
    )  # fmt: skip
    if l3:
        made += struct.pack(
            "!10Q", 0, 0, flow.octets & COUNT, octets, flow.squares & COUNT, squares, flow.least,
            flow.most, flow.post_multicast_octets & COUNT, post_multicast_octets,
        )  # fmt: skip
    return made + (struct.pack("!6Q", *tcp) if l4 == _L4_TCP else b"")
