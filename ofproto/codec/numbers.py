"""The numbers of OpenFlow that more than one room needs; numbers.pxd has those that C code needs.

Port numbers are those of OpenFlow 1.0, in 16 bits; 1.1 and later have 0xffff in front of the
reserved ones (`port_to_32`, `port_from_32`).  Sources: OpenFlow 1.0.0 to 1.5.1, section
"The OpenFlow Protocol" (A in the older ones).
"""

# Wire versions
OF10, OF11, OF12, OF13, OF14, OF15 = range(1, 7)

# Tables; the last one holds rules of the switch itself, which controllers do not see.
N_TABLES = 255
N_VISIBLE_TABLES = TABLE_INTERNAL = 254
TABLE_ALL = 255

# ofp_port_no
OFPP_MAX = 0xFF00  # the first reserved number
OFPP_UNSET = 0xFFF7
OFPP_IN_PORT = 0xFFF8
OFPP_TABLE = 0xFFF9
OFPP_NORMAL = 0xFFFA
OFPP_FLOOD = 0xFFFB
OFPP_ALL = 0xFFFC
OFPP_CONTROLLER = 0xFFFD
OFPP_LOCAL = 0xFFFE
OFPP_NONE = OFPP_ANY = 0xFFFF
PORT_NAMES = {
    OFPP_IN_PORT: "IN_PORT",
    OFPP_TABLE: "TABLE",
    OFPP_NORMAL: "NORMAL",
    OFPP_FLOOD: "FLOOD",
    OFPP_ALL: "ALL",
    OFPP_CONTROLLER: "CONTROLLER",
    OFPP_LOCAL: "LOCAL",
    OFPP_NONE: "ANY",
    OFPP_UNSET: "UNSET",
}
PORT_NUMBERS = {name: number for number, name in PORT_NAMES.items()} | {"NONE": OFPP_NONE}

# ofp_port_config as in 1.0; 1.1 and later have PORT_DOWN, NO_RECV, NO_FWD, NO_PACKET_IN of these.
OFPPC_PORT_DOWN = 1 << 0
OFPPC_NO_STP = 1 << 1
OFPPC_NO_RECV = 1 << 2
OFPPC_NO_RECV_STP = 1 << 3
OFPPC_NO_FLOOD = 1 << 4
OFPPC_NO_FWD = 1 << 5
OFPPC_NO_PACKET_IN = 1 << 6

# ofp_port_state: LINK_DOWN has the same value in each version, LIVE is 1.1+.
OFPPS_LINK_DOWN = 1 << 0
OFPPS_BLOCKED = 1 << 1
OFPPS_LIVE = 1 << 2
OFPPS_STP_MASK = 3 << 8  # 1.0 only: a number
OFPPS_STP_LISTEN, OFPPS_STP_LEARN, OFPPS_STP_FORWARD, OFPPS_STP_BLOCK = (n << 8 for n in range(4))

# ofp_port_features of 1.1+ (1.0 has no 40, 100 Gb, 1 Tb and OTHER, and shifts the ones behind).
OFPPF_10MB_HD = 1 << 0
OFPPF_10MB_FD = 1 << 1
OFPPF_100MB_HD = 1 << 2
OFPPF_100MB_FD = 1 << 3
OFPPF_1GB_HD = 1 << 4
OFPPF_1GB_FD = 1 << 5
OFPPF_10GB_FD = 1 << 6
OFPPF_40GB_FD = 1 << 7
OFPPF_100GB_FD = 1 << 8
OFPPF_1TB_FD = 1 << 9
OFPPF_OTHER = 1 << 10
OFPPF_COPPER = 1 << 11
OFPPF_FIBER = 1 << 12
OFPPF_AUTONEG = 1 << 13

# ofp_packet_in_reason, ofp_flow_removed_reason, ofp_port_reason
OFPR_NO_MATCH, OFPR_ACTION, OFPR_INVALID_TTL, OFPR_ACTION_SET, OFPR_GROUP, OFPR_PACKET_OUT = range(
    6
)
(
    OFPRR_IDLE_TIMEOUT,
    OFPRR_HARD_TIMEOUT,
    OFPRR_DELETE,
    OFPRR_GROUP_DELETE,
    OFPRR_METER_DELETE,
    OFPRR_EVICTION,
) = range(6)
OFPPR_ADD, OFPPR_DELETE, OFPPR_MODIFY = range(3)


def port_from_32(number: int) -> int | None:
    """The 16-bit port of a 32-bit one; None when it has none (0xff00 .. 0xfffffeff)."""
    if number < OFPP_MAX:
        return number
    if number >= 0xFFFF0000 + OFPP_MAX:
        return number & 0xFFFF
    return None


def port_to_32(port: int) -> int:
    """The 32-bit number of a 16-bit port."""
    return port if port < OFPP_MAX else port | 0xFFFF0000
