"""The queueing disciplines of QoS rows, as tc(8) has them: ovs-vswitchd.conf.db(5), "QoS TABLE".

Queue N of a classful discipline is class 1:(N+1), all of them below 1:fffe, which has the rate of
the whole; the datapath gives packets of a queue that class as their priority.  Queue 0 is the
default.
"""

import errno
from collections.abc import Callable
from typing import Any, NamedTuple

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

HANDLE, ROOT_CLASS, ROOT = 0x10000, 0x1FFFE, 0xFFFFFFFF
DEFAULT_RATE = 100_000_000  # bit/s, of a device that does not tell
LEAST_RATE = 12_000  # bit/s: below, a full frame takes a second
MAX_QUEUE = 0xF000


class Device(NamedTuple):
    ifindex: int
    mtu: int
    speed: int | None  # bit/s


Queues = tuple[tuple[int, dict[str, str]], ...]  # number, other_config


def integer(options: dict[str, str], key: str, default: int) -> int:
    text = options.get(key, "")
    return int(text) if text.isdecimal() else default


def _max_rate(device: Device, options: dict[str, str]) -> int:
    """Bytes per second, of the whole."""
    return (integer(options, "max-rate", 0) or device.speed or DEFAULT_RATE) // 8


def _burst(device: Device, options: dict[str, str]) -> int:
    """Bytes; a full frame at least."""
    return max(integer(options, "burst", 0) // 8, device.mtu + 64)


def _htb(ip: IPRoute, device: Device, options: dict[str, str], queues: Queues) -> None:
    whole = _max_rate(device, options)
    ip.tc("add", "htb", device.ifindex, HANDLE, default=1)

    def add(handle: int, parent: int, rate: int, ceil: int, burst: int, prio: int) -> None:
        ip.tc(
            "add-class", "htb", device.ifindex, handle, parent=parent, rate=rate, ceil=ceil,
            burst=burst, cburst=burst, prio=prio,
        )  # fmt: skip

    add(ROOT_CLASS, HANDLE, whole, whole, _burst(device, {}), 0)
    for number, given in queues:
        ceil = min(integer(given, "max-rate", 0) // 8 or whole, whole)
        rate = min(max(integer(given, "min-rate", 0), LEAST_RATE) // 8, ceil)
        priority = integer(given, "priority", 0)
        add(HANDLE + number + 1, ROOT_CLASS, rate, ceil, _burst(device, given), priority)


def _hfsc(ip: IPRoute, device: Device, options: dict[str, str], queues: Queues) -> None:
    whole = _max_rate(device, options)
    ip.tc("add", "hfsc", device.ifindex, HANDLE, default=1)

    def add(handle: int, parent: int, rate: int, ceil: int) -> None:
        curves = {"fsc": {"m2": rate}, "usc": {"m2": ceil}}
        ip.tc("add-class", "hfsc", device.ifindex, handle, parent=parent, **curves)

    add(ROOT_CLASS, HANDLE, whole, whole)
    for number, given in queues:
        ceil = min(integer(given, "max-rate", 0) // 8 or whole, whole)
        rate = min(max(integer(given, "min-rate", 0), LEAST_RATE) // 8, ceil)
        add(HANDLE + number + 1, ROOT_CLASS, rate, ceil)


def _policer(ip: IPRoute, device: Device, options: dict[str, str], queues: Queues) -> None:
    """cir (bytes per second of IP) and cbs (bytes): what is more is dropped, nothing waits."""
    rate, burst = integer(options, "cir", 0), integer(options, "cbs", 0)
    if not rate:
        raise ValueError("egress-policer without cir")
    burst = max(burst, device.mtu + 64)
    ip.tc("add", "tbf", device.ifindex, HANDLE, rate=rate, burst=burst, limit=burst)


def _plain(kind: str, names: dict[str, tuple[str, int]]) -> Callable[..., None]:
    """A discipline without classes; `names`: option -> tc's parameter, and its default or 0."""

    def add(ip: IPRoute, device: Device, options: dict[str, str], queues: Queues) -> None:
        given = {
            parameter: integer(options, name, default)
            for name, (parameter, default) in names.items()
        }
        given = {parameter: value for parameter, value in given.items() if value}
        ip.tc("add", kind, device.ifindex, HANDLE, **given)

    return add


TYPES: dict[str, Callable[[IPRoute, Device, dict[str, str], Queues], None]] = {
    "linux-htb": _htb,
    "linux-hfsc": _hfsc,
    "linux-sfq": _plain("sfq", {"perturb": ("perturb", 10), "quantum": ("quantum", 0)}),
    "linux-codel": _plain(
        "codel",
        {
            "limit": ("cdl_limit", 1000),
            "target": ("cdl_target", 5000),
            "interval": ("cdl_interval", 100_000),
        },
    ),
    "linux-fq_codel": _plain(
        "fq_codel",
        {
            "limit": ("fqc_limit", 10240),
            "flows": ("fqc_flows", 1024),
            "target": ("fqc_target", 5000),
            "interval": ("fqc_interval", 100_000),
            "quantum": ("fqc_quantum", 0),
        },
    ),
    "linux-netem": _plain(
        "netem",
        {
            "latency": ("delay", 0),
            "jitter": ("jitter", 0),
            "limit": ("limit", 1000),
            "loss": ("loss", 0),
        },
    ),
    "egress-policer": _policer,
}
UNTOUCHED = "linux-noop"  # whatever is there is somebody else's
CLASSFUL = ("linux-htb", "linux-hfsc")


def replace(device: Device, kind: str, options: dict[str, str], queues: Queues) -> str | None:
    """Have the device do so, "": as the kernel does by itself.  Returns what went wrong."""
    try:
        with IPRoute() as ip:
            _remove(ip, device.ifindex)
            if kind:
                TYPES[kind](ip, device, options, queues)
    except (NetlinkError, OSError, ValueError) as error:
        return str(error)
    return None


def _remove(ip: IPRoute, ifindex: int) -> None:
    try:
        ip.tc("del", index=ifindex, parent=ROOT)
    except NetlinkError as error:
        if error.code not in (errno.ENOENT, errno.EINVAL, errno.ENODEV):  # there is none
            raise


def counters(ifindex: int) -> dict[int, dict[str, int]]:
    """Of the queues that there are, by number."""
    found = {}
    try:
        with IPRoute() as ip:
            for each in ip.get_classes(index=ifindex):
                if HANDLE < each["handle"] < ROOT_CLASS:
                    found[each["handle"] - HANDLE - 1] = _counted(each)
    except (NetlinkError, OSError):
        return {}
    return found


def _counted(each: Any) -> dict[str, int]:
    stats = each.get_attr("TCA_STATS2")
    basic, queue = stats.get_attr("TCA_STATS_BASIC"), stats.get_attr("TCA_STATS_QUEUE")
    return {
        "tx_bytes": basic["bytes"],
        "tx_packets": basic["packets"],
        "tx_errors": queue["drops"],
    }
