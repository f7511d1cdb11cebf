"""What other_config says of STP and RSTP, for a bridge and its ports: pure functions.

Defaults, ranges and names are those of ovs-vswitchd.conf.db(5).  As in Open vSwitch, what RSTP
cannot have counts as if it were not given; of STP's numbers, those bits count that fit.
"""

from ofproto.protocols import rstp, rstp_port, stp
from vswitchd.database.config import BridgeConfig
from vswitchd.database.settings import integer, parse_mac, within

DEFAULT_PRIORITY = 0x8000
DEFAULT_SPEED = 10_000  # Mbit/s, of a port that does not tell

Options = dict[str, str]

# 802.1D-1998 table 8-5 and 802.1D-2004 table 17-3 (with 16 Mbit/s and 10 Gbit/s): from this many
# Mbit/s on, the path cost.
STP_COSTS = ((10_000, 2), (1000, 4), (100, 19), (16, 62), (10, 100), (4, 250))
RSTP_COSTS = tuple((10**n, 2 * 10 ** (7 - n)) for n in range(7, -1, -1))


def _cost(table: tuple[tuple[int, int], ...], kbps: int) -> int:
    mbps = kbps // 1000 or DEFAULT_SPEED
    return next((cost for speed, cost in table if mbps >= speed), table[-1][1])


def _flag(options: Options, key: str, default: bool) -> bool:
    return options.get(key, str(default).lower()) == "true"


def _address(options: Options, key: str, mac: bytes) -> bytes:
    given = parse_mac(options.get(key))
    return bytes.fromhex(given.replace(":", "")) if given else mac


def _number(options: Options, key: str, low: int, high: int) -> int | None:
    """A number that a port asks for; None: none, or one that there is not."""
    found = integer(options, key, 0, 0, high)
    return found if found >= low else None


def _bits(options: Options, key: str, default: int, mask: int) -> int:
    return integer(options, key, default, -1 << 63, (1 << 64) - 1) & mask


# --- STP


def stp_bridge(config: BridgeConfig, mac: bytes) -> stp.Settings:
    """`mac` is the bridge's address."""
    options = config.other_config
    hello = integer(options, "stp-hello-time", 2, 1, 10)
    # What is needed of one another (802.1D-1998, 8.10.2) comes before what is asked for.
    max_age = integer(options, "stp-max-age", 20, max(2 * (hello + 1), 6), 40)
    delay = integer(options, "stp-forward-delay", 15, -(-max_age // 2) + 1, 30)
    return stp.Settings(
        _bits(options, "stp-priority", DEFAULT_PRIORITY, 0xFFFF),
        _address(options, "stp-system-id", mac),
        hello,
        max_age,
        delay,
    )


def stp_number(options: Options) -> int | None:
    return _number(options, "stp-port-num", 1, 255)


def stp_port(options: Options, number: int, kbps: int, mac: bytes) -> stp.PortSettings:
    """`kbps` is the link's speed, 0 when it is not known."""
    return stp.PortSettings(
        number,
        _bits(options, "stp-port-priority", 0x80, 0xFF),
        _bits(options, "stp-path-cost", _cost(STP_COSTS, kbps), 0xFFFF),
        mac,
    )


# --- RSTP


def rstp_bridge(config: BridgeConfig, mac: bytes) -> rstp.Settings:
    """`mac` is the bridge's address."""
    options = config.other_config
    priority = within(options, "rstp-priority", DEFAULT_PRIORITY, 0, 0xFFFF)
    version = integer(options, "rstp-force-protocol-version", 2, 0, 2)
    return rstp.Settings(
        priority & 0xF000,
        _address(options, "rstp-address", mac),
        2 if version else 0,
        *_rstp_times(options),
        within(options, "rstp-transmit-hold-count", 6, 1, 10),
    )


def _rstp_times(options: Options) -> tuple[int, int]:
    """Maximum age and forward delay: one that the other is too short or long for does not count
    (802.1D-2004, 17.14)."""
    age, delay = 20, 15
    wanted_age = within(options, "rstp-max-age", age, 6, 40)
    wanted_delay = within(options, "rstp-forward-delay", delay, 4, 30)
    for _ in range(2):  # either may have waited for the other
        if wanted_age <= 2 * (delay - 1):
            age = wanted_age
        if age <= 2 * (wanted_delay - 1):
            delay = wanted_delay
    return age, delay


def rstp_number(options: Options) -> int | None:
    return _number(options, "rstp-port-num", 1, 4095)


def rstp_port_settings(
    options: Options, number: int, kbps: int, mac: bytes
) -> rstp_port.PortSettings:
    """`kbps` as in stp_port()."""
    p2p = integer(options, "rstp-admin-p2p-mac", 1, 0, 2)  # 0: forced off, 1: on, 2: automatic
    return rstp_port.PortSettings(
        number,
        within(options, "rstp-port-priority", 0x80, 0, 240) & 0xF0,
        within(options, "rstp-path-cost", _cost(RSTP_COSTS, kbps), 1, 200_000_000),
        mac,
        admin_edge=_flag(options, "rstp-port-admin-edge", False),
        auto_edge=_flag(options, "rstp-port-auto-edge", True),
        mcheck=_flag(options, "rstp-port-mcheck", False),
        point_to_point=bool(p2p),
        enabled=_flag(options, "rstp-admin-port-state", True),
    )
