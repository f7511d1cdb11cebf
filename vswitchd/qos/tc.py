"""The queueing disciplines of QoS rows, as tc(8) has them: ovs-vswitchd.conf.db(5), "QoS TABLE".

Queue N of a classful discipline is class 1:(N+1), all of them below 1:fffe, which has the rate of
the whole; the datapath gives packets of a queue that class as their priority.  Queue 0 is the
default.

pyroute2 takes 0.3 s to be imported, in which a loop would stand still: see is_ready().
"""

import errno
import functools
import importlib
import struct
import threading
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from pyvs import containment
from vswitchd.qos import class_counters

if TYPE_CHECKING:
    from pyroute2 import IPRoute

HANDLE, ROOT_CLASS, ROOT = 0x10000, 0x1FFFE, 0xFFFFFFFF
DEFAULT_RATE = 100_000_000  # bit/s, of a device that does not tell
LEAST_RATE = 12_000  # bit/s: below, a full frame takes a second
MAX_QUEUE = 0xF000
# What the kernel has room for.  Times that it counts in ticks, 1/16 us or so; what a rate takes for
# a burst is such a time.
U32 = 0xFFFFFFFF
MOST_TIME = 200_000_000  # us
MOST_BURST_TIME = 200  # s
MOST_PRIORITY = 7


class Device(NamedTuple):
    ifindex: int
    mtu: int
    speed: int | None  # bit/s


Queues = tuple[tuple[int, dict[str, str]], ...]  # number, other_config


class _Import:
    """What waits for it are devices (ifindex) of which a discipline is to be taken."""

    lock = threading.Lock()
    waiting: list[int] = []
    is_done = False


@functools.cache
def _importing() -> threading.Thread:
    thread = threading.Thread(target=_import, daemon=True)
    thread.start()
    return thread


def _import() -> None:
    """Without the library, what is asked of it says so."""
    containment.call("import of pyroute2", "", importlib.import_module, "pyroute2")
    while True:
        with _Import.lock:  # which the loop may wait for
            if not _Import.waiting:
                _Import.is_done = True
                return
            ifindex = _Import.waiting.pop(0)
        containment.call("queueing discipline", f"of device {ifindex}", _clear, ifindex)


def is_ready() -> bool:
    """Whether replace() and counters() go at once.  The first call has a thread see to it."""
    _importing()
    return _Import.is_done


def clear(ifindex: int) -> None:
    """Have a device do as the kernel does by itself: before is_ready() what was there is taken away
    by its thread, and before anything else is done."""
    _importing()
    with _Import.lock:
        if not _Import.is_done:
            _Import.waiting.append(ifindex)
            return
    _clear(ifindex)


def _clear(ifindex: int) -> None:
    for _ in replace(Device(ifindex, 0, None), "", {}, ()):
        pass


def _pyroute2() -> tuple[type["IPRoute"], type[Exception]]:
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    return IPRoute, NetlinkError


def integer(options: dict[str, str], key: str, default: int, most: int = 8 * U32) -> int:
    text = options.get(key, "")
    if not (text.isascii() and text.isdecimal()):
        return default
    return min(int(text[-20:]), most) if len(text.lstrip("0")) <= 20 else most


def _max_rate(device: Device, options: dict[str, str]) -> int:
    """Bytes per second, of the whole."""
    rate = integer(options, "max-rate", 0) or device.speed or DEFAULT_RATE
    return min(max(rate, LEAST_RATE) // 8, U32)


def _burst(device: Device, octets: int, rate: int) -> int:
    """Bytes; a full frame at least."""
    return min(max(octets, device.mtu + 64), rate * MOST_BURST_TIME, U32)


def _shares(given: dict[str, str], whole: int) -> tuple[int, int]:
    """What a queue is sure to get, and what at most: bytes per second."""
    ceil = max(min(integer(given, "max-rate", 0) // 8 or whole, whole), LEAST_RATE // 8)
    return min(max(integer(given, "min-rate", 0), LEAST_RATE) // 8, ceil), ceil


def _htb(ip: "IPRoute", device: Device, options: dict[str, str], queues: Queues) -> Iterator[None]:
    whole = _max_rate(device, options)
    ip.tc("add", "htb", device.ifindex, HANDLE, default=1)

    def add(handle: int, parent: int, rate: int, ceil: int, given: dict[str, str]) -> None:
        burst = _burst(device, integer(given, "burst", 0) // 8, rate)
        ip.tc(
            "add-class", "htb", device.ifindex, handle, parent=parent, rate=rate, ceil=ceil,
            burst=burst, cburst=burst, prio=integer(given, "priority", 0, MOST_PRIORITY),
        )  # fmt: skip

    add(ROOT_CLASS, HANDLE, whole, whole, {})
    for number, given in queues:
        yield
        add(HANDLE + number + 1, ROOT_CLASS, *_shares(given, whole), given)


def _hfsc(ip: "IPRoute", device: Device, options: dict[str, str], queues: Queues) -> Iterator[None]:
    whole = _max_rate(device, options)
    ip.tc("add", "hfsc", device.ifindex, HANDLE, default=1)

    def add(handle: int, parent: int, rate: int, ceil: int) -> None:
        curves = {"fsc": {"m2": rate}, "usc": {"m2": ceil}}
        ip.tc("add-class", "hfsc", device.ifindex, handle, parent=parent, **curves)

    add(ROOT_CLASS, HANDLE, whole, whole)
    for number, given in queues:
        yield
        add(HANDLE + number + 1, ROOT_CLASS, *_shares(given, whole))


def _policer(
    ip: "IPRoute", device: Device, options: dict[str, str], queues: Queues
) -> Iterator[None]:
    """cir (bytes per second of IP) and cbs (bytes): what is more is dropped, nothing waits."""
    rate = integer(options, "cir", 0, U32)
    if not rate:
        raise ValueError("egress-policer without cir")
    rate = max(rate, LEAST_RATE // 8)
    burst = _burst(device, integer(options, "cbs", 0, U32), rate)
    yield
    ip.tc("add", "tbf", device.ifindex, HANDLE, rate=rate, burst=burst, limit=burst)


def _plain(kind: str, names: dict[str, tuple[str, int, int]]) -> Callable[..., Iterator[None]]:
    """A discipline without classes; `names`: option -> tc's parameter, its default or 0, and its
    largest value."""

    def add(
        ip: "IPRoute", device: Device, options: dict[str, str], queues: Queues
    ) -> Iterator[None]:
        given = {
            parameter: integer(options, name, default, most)
            for name, (parameter, default, most) in names.items()
        }
        given = {parameter: value for parameter, value in given.items() if value}
        yield
        ip.tc("add", kind, device.ifindex, HANDLE, **given)

    return add


TYPES: dict[str, Callable[["IPRoute", Device, dict[str, str], Queues], Iterator[None]]] = {
    "linux-htb": _htb,
    "linux-hfsc": _hfsc,
    "linux-sfq": _plain(
        "sfq", {"perturb": ("perturb", 10, 1_000_000), "quantum": ("quantum", 0, 1 << 20)}
    ),
    "linux-codel": _plain(
        "codel",
        {
            "limit": ("cdl_limit", 1000, U32),
            "target": ("cdl_target", 5000, MOST_TIME),
            "interval": ("cdl_interval", 100_000, MOST_TIME),
        },
    ),
    "linux-fq_codel": _plain(
        "fq_codel",
        {
            "limit": ("fqc_limit", 10240, U32),
            "flows": ("fqc_flows", 1024, 65536),
            "target": ("fqc_target", 5000, MOST_TIME),
            "interval": ("fqc_interval", 100_000, MOST_TIME),
            "quantum": ("fqc_quantum", 0, 1 << 20),
        },
    ),
    "linux-netem": _plain(
        "netem",
        {
            "latency": ("delay", 0, MOST_TIME),
            "jitter": ("jitter", 0, MOST_TIME),
            "limit": ("limit", 1000, U32),
            "loss": ("loss", 0, 100),
        },
    ),
    "egress-policer": _policer,
}


def _of_htb(device: Device, whole: int, given: dict[str, str]) -> dict[str, int]:
    rate, ceil = _shares(given, whole)
    burst = _burst(device, integer(given, "burst", 0) // 8, rate)
    found = {"burst": burst * 8, **_told(rate, ceil)}
    priority = integer(given, "priority", 0, MOST_PRIORITY)
    return {**found, "priority": priority} if priority else found


def _of_hfsc(device: Device, whole: int, given: dict[str, str]) -> dict[str, int]:
    return _told(*_shares(given, whole))


def _told(rate: int, ceil: int) -> dict[str, int]:
    """Octets a second in bits; a queue that may have no more than its own is told once."""
    return {"min-rate": rate * 8} if rate == ceil else {"min-rate": rate * 8, "max-rate": ceil * 8}


_OF_QUEUES = {"linux-htb": _of_htb, "linux-hfsc": _of_hfsc}


def effective(
    device: Device, kind: str, options: dict[str, str], queues: Queues
) -> tuple[str, dict[str, Any], tuple[tuple[int, dict[str, Any]], ...]]:
    """What replace() makes of these options, in their units."""
    of_queue = _OF_QUEUES.get(kind)
    if of_queue is None:
        return kind, options, queues
    whole = _max_rate(device, options)
    told = tuple((number, of_queue(device, whole, given)) for number, given in queues)
    return kind, {"max-rate": whole * 8}, told


UNTOUCHED = "linux-noop"  # whatever is there is somebody else's
CLASSES_AT_ONCE = 200  # whose counters are read in one step
CLASSFUL = ("linux-htb", "linux-hfsc")


def replace(
    device: Device, kind: str, options: dict[str, str], queues: Queues
) -> Generator[None, None, str | None]:
    """Have the device do so, "": as the kernel does by itself; the numbers of `queues` are below
    MAX_QUEUE.  A step takes about a ms.  Returns what went wrong."""
    try:
        route, refusal = _pyroute2()
    except ImportError as error:
        return str(error)
    try:
        with route() as ip:
            _remove(ip, device.ifindex)
            if kind:
                yield from TYPES[kind](ip, device, options, queues)
    except (refusal, OSError, ValueError, ArithmeticError, struct.error) as error:
        return str(error)
    return None


def _remove(ip: "IPRoute", ifindex: int) -> None:
    _, refusal = _pyroute2()
    try:
        ip.tc("del", index=ifindex, parent=ROOT)
    except refusal as error:
        if error.code not in (errno.ENOENT, errno.EINVAL, errno.ENODEV):  # there is none
            raise


def counters(ifindex: int) -> Generator[str, None, dict[int, dict[str, int]]]:
    """Of the queues that there are, by number.  A step takes about a ms, as there may be many."""
    found = {}
    try:
        read = class_counters.read(ifindex)
        for number, (handle, (packets, octets, drops)) in enumerate(read, 1):
            if not number % CLASSES_AT_ONCE:
                yield ""
            if HANDLE < handle < ROOT_CLASS:
                counted = {"tx_packets": packets, "tx_bytes": octets, "tx_errors": drops}
                found[handle - HANDLE - 1] = counted
    except OSError:
        return {}
    return found
