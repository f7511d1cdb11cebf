"""What the columns of a bridge mean, as values for its Ofproto: pure functions."""

import ipaddress
import os
import re
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

import ovs.vlog

from ofproto.codec.actions.base import parse_subfield
from ofproto.codec.match_text import TextError
from ofproto.peers.controller import ControllerConfig
from ofproto.tables.table_config import TableSettings
from ofproto.xlate.bridges.mcast_snooping import SnoopingSettings
from ovsdb.serving.listener import DEFAULT_PORT
from pyvs import rundir
from vswitchd.database.config import BridgeConfig, ControllerRow, InterfaceConfig, PortConfig

vlog = ovs.vlog.Vlog("bridge")

NO_UUID = UUID(int=0)

DEFAULT_MAC_AGING = 300  # s
DEFAULT_MAC_ENTRIES = 8192
MAX_VLANS = 2
_ACTIVE_IPV4 = re.compile(r"(?:tcp|ssl):([0-9.]{7,15})(?::([0-9]{1,5}))?")

# Names in the protocols column -> version byte on the wire.
OPENFLOW_VERSIONS = {
    "OpenFlow10": 1,
    "OpenFlow11": 2,
    "OpenFlow12": 3,
    "OpenFlow13": 4,
    "OpenFlow14": 5,
    "OpenFlow15": 6,
}


def versions(names: Iterable[str]) -> set[int]:
    """The protocols column as wire versions; {}: the switch's default, all of them."""
    return {OPENFLOW_VERSIONS[name] for name in names}


def parse_mac(text: str | None) -> str | None:
    """ "aa:bb:cc:dd:ee:ff" in lower case, None unless it is a usable unicast address."""
    if not text:
        return None
    parts = text.strip().split(":")
    try:
        octets = bytes(int(part, 16) for part in parts)
    except ValueError:
        return None
    if len(octets) != 6 or octets[0] & 1 or not any(octets):
        return None
    return octets.hex(":")


def own_mac(uuid: UUID) -> str:
    """A locally administered address, the same each time."""
    octets = bytearray(uuid.bytes[-6:])
    octets[0] = octets[0] & 0xFC | 0x02
    return octets.hex(":")


def datapath_id(config: BridgeConfig, mac: str) -> int:
    """other_config:datapath-id (16 hex digits, or 0x...), else 16 zero bits and the MAC."""
    text = config.other_config.get("datapath-id")
    if text:
        digits = text[2:] if text.lower().startswith("0x") else text
        try:
            value = int(digits, 16)
        except ValueError:
            value = 0
        complete = len(digits) == 16 or (digits is not text and len(digits) <= 16)
        if value and complete:
            return value
    return int(mac.replace(":", ""), 16)


def snooping(config: BridgeConfig) -> SnoopingSettings | None:
    """None where the bridge forwards multicast whoever wants it."""
    if not config.mcast_snooping_enable:
        return None
    other, usual = config.other_config, SnoopingSettings()
    return SnoopingSettings(
        integer(other, "mcast-snooping-aging-time", usual.aging, 15, 3600),
        integer(other, "mcast-snooping-table-size", usual.max_entries, 10, 1_000_000),
        other.get("mcast-snooping-disable-flood-unregistered") != "true",
    )


def integer(options: dict[str, str], key: str, default: int, low: int, high: int) -> int:
    try:
        value = int(options.get(key, default))
    except ValueError:
        return default
    return min(max(value, low), high)


def within(options: dict[str, str], key: str, default: int, low: int, high: int) -> int:
    """An option that counts only where it is in this range."""
    text = options.get(key, "")
    value = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else low - 1
    return value if low <= value <= high else default


def in_band_queue(options: dict[str, str]) -> int | None:
    """other_config:in-band-queue; a negative number is none."""
    queue = integer(options, "in-band-queue", -1, -1, (1 << 32) - 1)
    return None if queue < 0 else queue


def in_band_managers(targets: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """Address and port of those managers that are connected to, where the address is IPv4."""
    found = filter(None, map(_ACTIVE_IPV4.fullmatch, targets))
    remotes = ((match[1], int(match[2] or DEFAULT_PORT)) for match in found)
    return tuple((ip, port) for ip, port in remotes if port <= 0xFFFF and _is_ipv4(ip))


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


class FlowTuning(NamedTuple):
    """How many flows the datapath may have, and how long; times in ms."""

    limit: int
    max_idle: int
    max_revalidator: int


def flow_tuning(options: dict[str, str]) -> FlowTuning:
    """Open_vSwitch's other_config; defaults and least values are Open vSwitch's."""
    return FlowTuning(
        integer(options, "flow-limit", 200_000, 0, (1 << 32) - 1),
        integer(options, "max-idle", 10_000, 500, (1 << 31) - 1),
        integer(options, "max-revalidator", 500, 100, (1 << 31) - 1),
    )


def flow_restore_wait(other_config: dict[str, str]) -> bool:
    """Open_vSwitch's other_config: whether somebody is about to restore the flows."""
    return other_config.get("flow-restore-wait") == "true"


KERNEL_CACHE = "kernel-cache"  # in other_config of Open_vSwitch, and of an Interface


def kernel_cache(other_config: dict[str, str], by_default: bool = True) -> bool:
    """Open_vSwitch's other_config: whether the kernel is to forward by itself what it can.

    It is, unless somebody says no: where bpf(2) is not allowed the datapath goes on without."""
    return other_config.get(KERNEL_CACHE, "true" if by_default else "false") != "false"


def vlan_limit(other_config: dict[str, str]) -> int:
    """Open_vSwitch's other_config: how many VLAN headers are matched.  0 asks for as many as can
    be; where nothing is said it is one, as in Open vSwitch."""
    return integer(other_config, "vlan-limit", 1, 0, MAX_VLANS) or MAX_VLANS


def lookup(other_config: dict[str, str]) -> tuple[int, bool]:
    """Open_vSwitch's other_config: one in how many flows goes to the exact-match cache (0: none),
    and whether there is a signature match cache.

    Every flow does where nothing is said: that is cheap here, and Open vSwitch's 1 in 100 is for
    caches that many threads' flows displace."""
    inverse = integer(other_config, "emc-insert-inv-prob", 1, 0, (1 << 32) - 1)
    return inverse, other_config.get("smc-enable") == "true"


EXACT_CACHE = "emc-enable"  # in other_config of an Interface
# Keys of an Interface's other_config that the datapath is told, with the values that say something.
_TOLD_OF_DEVICES = {KERNEL_CACHE: ("false", "later"), EXACT_CACHE: ("false",)}


def device_options(config: InterfaceConfig) -> dict[str, str]:
    """What the datapath is told of an interface: its options, and that its frames are to stay out
    of the kernel cache, or its flows out of the exact-match cache."""
    other = config.other_config
    given = {key: other[key] for key, words in _TOLD_OF_DEVICES.items() if other.get(key) in words}
    return {**config.options, **given} if given else config.options


def controllers(config: BridgeConfig) -> list[ControllerConfig]:
    """The ofproto's form of the Controller rows, without those that would reach for sockets that
    are not the switch's: who may write to the database may be on another machine."""
    made = []
    queue_size = within(
        config.other_config, "controller-queue-size", ControllerConfig.controller_queue_size, 1, 512
    )
    for row in config.controllers:
        wrong = _reaches_out(config.name, row.target)
        if wrong:
            vlog.err(f"bridge {config.name}: {wrong}")
        else:
            made.append(controller(row, queue_size))
    return made


def _reaches_out(bridge: str, target: str) -> str | None:
    """What is wrong with a target that names a socket in the file system, if anything is."""
    method, _, path = target.partition(":")
    if method == "punix":
        allowed = f"{rundir.rundir()}/{bridge}."
        if path.startswith(allowed) and _is_ours(path):
            return (
                f'Not adding Unix domain socket controller "{target}", which is the switch\'s own'
            )
        if not path.startswith(allowed) or "/" in path.removeprefix(allowed):
            return (
                f'Not adding Unix domain socket controller "{target}", which could overwrite local '
                f'files: use "punix:{allowed}*", or connect to "unix:{rundir.mgmt_sock(bridge)}"'
            )
    if method == "unix" and "/" in path and not _is_within(path, rundir.rundir()):
        return (
            f'Not connecting to socket controller "{target}", which is not in "{rundir.rundir()}"'
        )
    return None


# How files end that the switch itself has beside such sockets.  A bridge may be called as a daemon
# is, or begin as another one does.
_OWN = (".mgmt", ".snoop", ".flows", ".protocols", ".protocols.new", ".ctl", ".pid")


def _is_ours(path: str) -> bool:
    return path.endswith(_OWN) or path in (rundir.db_sock(), rundir.datapath_sock())


def _is_within(path: str, folder: str) -> bool:
    return os.path.normpath(path).startswith(folder.rstrip("/") + "/")


def controller(row: ControllerRow, queue_size: int) -> ControllerConfig:
    """The ofproto's form of a Controller row; None there means ofproto's default, but for the size
    of the queue, of which the bridge says how large it is where the row does not."""
    given = {
        "max_backoff": row.max_backoff,
        "inactivity_probe": row.inactivity_probe,
        "connection_mode": row.connection_mode,
        "enable_async_messages": row.enable_async_messages,
        "controller_rate_limit": row.rate_limit,
        "controller_burst_limit": row.burst_limit,
        "controller_queue_size": queue_size if row.queue_size is None else row.queue_size,
        "dscp": row.dscp,
        "type": row.type,
    }
    return ControllerConfig(
        target=row.target, **{name: value for name, value in given.items() if value is not None}
    )


def tables(config: BridgeConfig) -> dict[int, TableSettings]:
    """The Flow_Table rows as the ofproto has them; what eviction cannot group by is left out."""
    return {
        number: TableSettings(
            row.name, row.flow_limit, row.evict, _subfields(row.groups), _tracked(row.prefixes)
        )
        for number, row in config.flow_tables
    }


_ALIASES = {"nw_src": "ip_src", "nw_dst": "ip_dst"}


def _tracked(prefixes: tuple[str, ...]) -> tuple[str, ...] | None:
    """Of which fields a table tracks prefixes; None where nothing is said."""
    if not prefixes:
        return None
    return tuple(_ALIASES.get(name, name) for name in prefixes if name != "none")


def _subfields(texts: Iterable[str]) -> tuple[tuple[str, int, int], ...]:
    found = []
    for text in texts:
        try:
            field, start, n_bits = parse_subfield(text)
        except TextError as error:
            vlog.warn(f"Flow_Table groups: {error}")
        else:
            found.append((field.name, start, n_bits))
    return tuple(found)


def local_port(name: str) -> PortConfig:
    """The bridge's own port, for a configuration that leaves it out."""
    interface = InterfaceConfig(NO_UUID, name, "internal", {}, None, None, None, {})
    return PortConfig(
        uuid=NO_UUID,
        name=name,
        interfaces=(interface,),
        vlan_mode=None,
        tag=None,
        trunks=(),
        cvlans=(),
        bond_mode=None,
        bond_updelay=0,
        bond_downdelay=0,
        lacp=None,
        protected=False,
        fake_bridge=False,
        other_config={},
    )
