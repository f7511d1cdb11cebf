"""Which asynchronous messages a connection gets: a mask of reasons for each kind of message, one
as master or other and one as slave (OpenFlow 1.3.5 6.3.4 and 7.3.10; reasons are 1.4's)."""

from ofproto.codec.messages import R_CONFIG, R_EXPERIMENTER, R_MASTER_REQUEST
from ofproto.codec.numbers import (
    OF14,
    OFPPR_ADD,
    OFPPR_DELETE,
    OFPPR_MODIFY,
    OFPR_ACTION,
    OFPR_ACTION_SET,
    OFPR_GROUP,
    OFPR_INVALID_TTL,
    OFPR_NO_MATCH,
    OFPR_PACKET_OUT,
    OFPRR_DELETE,
    OFPRR_EVICTION,
    OFPRR_GROUP_DELETE,
    OFPRR_HARD_TIMEOUT,
    OFPRR_IDLE_TIMEOUT,
    OFPRR_METER_DELETE,
)

from .roles import ROLE_SLAVE

DEFAULT_MISS_SEND_LEN = 128


def _bits(*numbers: int) -> int:
    return sum(1 << number for number in numbers)


_PORT_REASONS = _bits(OFPPR_ADD, OFPPR_DELETE, OFPPR_MODIFY)
_ROLE_REASONS = _bits(R_MASTER_REQUEST, R_CONFIG, R_EXPERIMENTER)
# kind -> (as master or other, as slave)
_DEFAULT = {
    "packet_in": (
        _bits(OFPR_NO_MATCH, OFPR_ACTION, OFPR_ACTION_SET, OFPR_GROUP, OFPR_PACKET_OUT),
        0,
    ),
    "port_status": (_PORT_REASONS, _PORT_REASONS),
    "flow_removed": (
        _bits(
            OFPRR_IDLE_TIMEOUT, OFPRR_HARD_TIMEOUT, OFPRR_DELETE, OFPRR_GROUP_DELETE,
            OFPRR_METER_DELETE, OFPRR_EVICTION,
        ),
        0,
    ),
    # Who loses mastership is told as what it is then; Open vSwitch asks no mask for it.
    "role_status": (_ROLE_REASONS, _ROLE_REASONS),
    "table_status": (0, 0),
    "requestforward": (0, 0),
}  # fmt: skip


class AsyncMasks:
    """Of one connection.  `nothing`: it begins with none (enable_async_messages=false).

    `miss_send_len`: how much of a packet of a miss it gets; a service gets none of the messages
    before it has set one.
    """

    def __init__(self, primary: bool, nothing: bool):
        self.masks: dict[str, tuple[int, int]] = {
            kind: (0, 0) if nothing else masks for kind, masks in _DEFAULT.items()
        }
        self.miss_send_len = DEFAULT_MISS_SEND_LEN if primary else 0

    @property
    def invalid_ttl(self) -> bool:
        """Whether a master gets OFPR_INVALID_TTL: what SET_CONFIG's flag says and sets."""
        return bool(self.masks["packet_in"][0] >> OFPR_INVALID_TTL & 1)

    @invalid_ttl.setter
    def invalid_ttl(self, wanted: bool) -> None:
        master, slave = self.masks["packet_in"]
        bit = 1 << OFPR_INVALID_TTL
        self.masks["packet_in"] = (master | bit if wanted else master & ~bit, slave)

    def asked(self) -> None:
        """It has chosen its messages: a service gets them without a SET_CONFIG, too."""
        self.miss_send_len = self.miss_send_len or DEFAULT_MISS_SEND_LEN

    def wants(self, kind: str, reason: int, role: str, primary: bool, version: int) -> bool:
        """Whether a message is for a connection of this role and version."""
        if not primary and not self.miss_send_len:
            return False
        slave = role == ROLE_SLAVE
        reasons = self.masks.get(kind, (0, 0))[slave]
        if kind == "flow_removed" and reason == OFPRR_METER_DELETE and version < OF14:
            reasons |= reasons >> OFPRR_DELETE << reason  # the message will say that it was deleted
        return bool(reasons >> reason & 1)
