"""Nicira's statistics of IPFIX exporters."""

from pyvs.record import field, record

from .base import (
    ANY,
    EMPTY,
    NX_REPLY,
    NX_REQUEST,
    Items,
    Layout,
    Message,
    row,
    wire,
)

_COLUMNS = (
    "flows:u64 current_flows:u64 packets:u64 ipv4:u64 ipv6:u64 errors:u64 ipv4_errors:u64"
    " ipv6_errors:u64 tx_packets:u64 tx_errors:u64 collector_set:u32 pad:4"
)


@record
class IpfixStats:
    """`errors`: packets that were of neither protocol."""

    flows: int = 0
    current_flows: int = 0
    packets: int = 0
    ipv4: int = 0
    ipv6: int = 0
    errors: int = 0
    ipv4_errors: int = 0
    ipv6_errors: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    collector_set: int = 0


@wire(row(ANY, NX_REQUEST, 3, EMPTY))
@record
class IpfixBridgeRequest(Message):
    pass


class _One(Items):
    """Exactly one item."""

    def __init__(self, *args):
        Items.__init__(self, *args)
        self.size, self.step = self.item.size, 0

    def read(self, cls, data, version):
        return cls([self.item.read(self.item_class, data, version)])


@wire(row(ANY, NX_REPLY, 3, _One("stats", IpfixStats, Layout(_COLUMNS))))
@record
class IpfixBridgeReply(Message):
    stats: list[IpfixStats] = field(default_factory=list)


@wire(row(ANY, NX_REQUEST, 4, EMPTY))
@record
class IpfixFlowRequest(Message):
    pass


@wire(row(ANY, NX_REPLY, 4, Items("stats", IpfixStats, Layout(_COLUMNS))))
@record
class IpfixFlowReply(Message):
    stats: list[IpfixStats] = field(default_factory=list)
    more: bool = False
