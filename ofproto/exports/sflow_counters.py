"""The records of sFlow's counter samples: (type, bytes), each type with its specification.

Types are format numbers with the enterprise in the upper 20 bits; all here are sFlow.org's own.
A counter that is not known is all ones, as sflow_version_5.txt has it.
"""

import struct
from typing import NamedTuple

UNKNOWN = 0xFFFFFFFF
# sflow_version_5.txt: generic interface, ethernet; sflow_lag.txt; sflow_openflow.txt: port, its
# name; sflow_application.txt: resources; sflow_ovs.txt: the datapath.
INTERFACE, ETHERNET, LACP, OPENFLOW_PORT, PORT_NAME = 1, 2, 7, 1004, 1005
APP_RESOURCES, OVS_DATAPATH = 2203, 2207
ETHERNET_TYPE = 6  # ifType of IANA
UNSAID_SPEED = 100_000_000  # bit/s, of a device that tells of none

Record = tuple[int, bytes]


class LacpPort(NamedTuple):
    """Of a member: addresses, states as LACP has them, LACPDUs counted."""

    actor: bytes
    partner: bytes
    aggregate: int
    admin: int  # states of 8 bits: as configured, as it is, and the partner's
    oper: int
    partner_oper: int
    received: int
    illegal: int
    sent: int


class Interface(NamedTuple):
    """A counter that is not in `counters`: it is not known."""

    index: int
    speed: int  # bit/s, 0: not known
    is_up: bool
    has_link: bool
    full_duplex: bool
    counters: dict[str, int]  # under OpenFlow's names
    name: str = ""
    ofp_port: int = 0
    datapath_id: int = 0
    lacp: LacpPort | None = None


class Switch(NamedTuple):
    """What is told of the whole: of the process, and of its datapath."""

    user_ms: int
    system_ms: int
    memory: int  # bytes, at most so far
    hits: int
    misses: int
    lost: int
    flows: int


def of_switch(switch: Switch) -> list[Record]:
    # Memory that there is, and counts of files and connections, are not told.
    used = struct.pack("!IIQ24x", _low(switch.user_ms), _low(switch.system_ms), switch.memory)
    counts = (switch.hits, switch.misses, switch.lost, UNKNOWN, switch.flows, UNKNOWN)
    return [(APP_RESOURCES, used), (OVS_DATAPATH, struct.pack("!6I", *map(_low, counts)))]


def of_interface(each: Interface) -> list[Record]:
    lacp = [(LACP, _lacp(each.lacp))] if each.lacp is not None else []
    return [
        (ETHERNET, _ethernet(each)),
        (OPENFLOW_PORT, struct.pack("!QI", each.datapath_id, each.ofp_port)),
        (PORT_NAME, _string(each.name)),
        *lacp,
        (INTERFACE, _generic(each)),
    ]


def _low(count: int) -> int:
    return count & UNKNOWN


def _string(text: str) -> bytes:
    """XDR's (RFC 4506, 4.11)."""
    octets = text.encode()
    return struct.pack("!I", len(octets)) + octets + bytes(-len(octets) % 4)


def _counted(each: Interface, *names: str) -> list[int]:
    return [_low(each.counters.get(name, UNKNOWN)) for name in names]


def _ethernet(each: Interface) -> bytes:
    """dot3Stats: alignment and FCS errors; nobody counts the other eleven."""
    return struct.pack("!13I", *_counted(each, "rx_frame_err", "rx_crc_err"), *[UNKNOWN] * 11)


def _lacp(each: LacpPort) -> bytes:
    """Of markers, nobody counts."""
    return struct.pack(
        "!6s2x6s2xI4B8I", each.actor, each.partner, each.aggregate,
        each.admin, each.oper, 0, each.partner_oper,
        each.received, UNKNOWN, UNKNOWN, UNKNOWN, each.illegal, each.sent, UNKNOWN, UNKNOWN,
    )  # fmt: skip


def _generic(each: Interface) -> bytes:
    """if_counters; direction: 1 full, 2 half duplex, 0 not known."""
    direction = (1 if each.full_duplex else 2) if each.speed else 0
    status = each.is_up | (each.is_up and each.has_link) << 1
    names = ("packets", "multicast", "broadcast", "dropped", "errors")
    head = (each.index, ETHERNET_TYPE, each.speed or UNSAID_SPEED, direction, status)
    received = _counted(each, *(f"rx_{name}" for name in names))
    sent = _counted(each, *(f"tx_{name}" for name in names))
    return struct.pack(
        "!IIQIIQ6IQ6I", *head, each.counters.get("rx_bytes", 0), *received, UNKNOWN,
        each.counters.get("tx_bytes", 0), *sent, 0,
    )  # fmt: skip
