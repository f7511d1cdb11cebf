"""What the switch asks of and sets on one network device by name, through ioctls.

netdevice(7) and <linux/ethtool.h> define requests and layouts.  Everything here concerns the
network namespace of this process.  Queries answer None where a device cannot say; setters
raise OSError.
"""

import contextlib
import fcntl
import socket
import struct
from typing import NamedTuple

from pyvs.device_names import IFNAMSIZ

# <linux/sockios.h>
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
SIOCADDRT = 0x890B
SIOCSIFADDR = 0x8916
SIOCSIFNETMASK = 0x891C
SIOCSIFMTU = 0x8922
SIOCSIFHWADDR = 0x8924
SIOCETHTOOL = 0x8946
SIOCGMIIPHY = 0x8947
SIOCGMIIREG = 0x8948

# <linux/mii.h>
MII_BMSR = 1
BMSR_LSTATUS = 0x0004

# <linux/ethtool.h>
ETHTOOL_GLINK = 0xA
ETHTOOL_GSET = 0x1
ETHTOOL_GDRVINFO = 0x3
SPEED_UNKNOWN = (0, 0xFFFF, 0xFFFFFFFF)
PORT_TP = 0
DUPLEX = {0: "half", 1: "full"}

# <linux/route.h>: struct rtentry
_ROUTE = struct.Struct("@L16s16s16sHhLPhPLLH6x")
RTF_UP, RTF_GATEWAY = 1, 2

ARPHRD_ETHER = 1
IFF_UP = 1

_socket: socket.socket | None = None


class DriverInfo(NamedTuple):
    driver: str
    version: str
    firmware: str


class LinkMode(NamedTuple):
    speed: int | None  # bits per second
    duplex: str | None  # "half" or "full"
    copper: bool = False  # the port is a twisted pair


def _control() -> socket.socket:
    global _socket
    if _socket is None:
        _socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    return _socket


def _name(name: str) -> bytes:
    encoded = name.encode("utf-8", "surrogateescape")
    if len(encoded) >= IFNAMSIZ:
        raise OSError(19, "No such device")
    return encoded


def set_mtu(name: str, mtu: int) -> None:
    request = struct.pack("16si20x", _name(name), mtu)
    fcntl.ioctl(_control(), SIOCSIFMTU, request)


def set_up(name: str, up: bool) -> None:
    """Set the device administratively up or down."""
    ifreq = struct.pack("16sh22x", _name(name), 0)
    flags = struct.unpack_from("16xh", fcntl.ioctl(_control(), SIOCGIFFLAGS, ifreq))[0]
    flags = flags | IFF_UP if up else flags & ~IFF_UP
    fcntl.ioctl(_control(), SIOCSIFFLAGS, struct.pack("16sh22x", _name(name), flags))


def set_mac(name: str, mac: str) -> None:
    """`mac` as "aa:bb:cc:dd:ee:ff"."""
    address = bytes.fromhex(mac.replace(":", ""))
    request = struct.pack("16sH6s16x", _name(name), ARPHRD_ETHER, address)
    fcntl.ioctl(_control(), SIOCSIFHWADDR, request)


def _sockaddr(address: bytes) -> bytes:
    """struct sockaddr_in of an IPv4 address, in network byte order."""
    return struct.pack("HH4s8x", socket.AF_INET, 0, address)


def set_ip(name: str, address: bytes, netmask: bytes) -> None:
    """The device's first IPv4 address; network byte order."""
    for request, value in ((SIOCSIFADDR, address), (SIOCSIFNETMASK, netmask)):
        fcntl.ioctl(_control(), request, struct.pack("16s16s8x", _name(name), _sockaddr(value)))


def add_gateway(name: str, gateway: bytes) -> None:
    """A default route by this neighbour of the device; none is added where it is there."""
    import ctypes

    device = ctypes.create_string_buffer(_name(name))
    anything = _sockaddr(bytes(4))
    flags, at = RTF_UP | RTF_GATEWAY, ctypes.addressof(device)
    places = (anything, _sockaddr(gateway), anything)
    with contextlib.suppress(FileExistsError):
        fcntl.ioctl(_control(), SIOCADDRT, _ROUTE.pack(0, *places, flags, 0, 0, 0, 0, at, 0, 0, 0))


def _ethtool(name: str, command: bytes) -> bytes | None:
    """Run an ethtool request; the kernel writes its answer over `command`."""
    import ctypes  # only daemons that meet devices pay for it

    buffer = ctypes.create_string_buffer(command, len(command))
    try:
        request = struct.pack("16sP16x", _name(name), ctypes.addressof(buffer))
        fcntl.ioctl(_control(), SIOCETHTOOL, request)
    except OSError:
        return None
    return buffer.raw


def driver_info(name: str) -> DriverInfo | None:
    answer = _ethtool(name, struct.pack("=I192x", ETHTOOL_GDRVINFO))
    if answer is None:
        return None
    fields = struct.unpack_from("=4x32s32s32s", answer)
    return DriverInfo(*(field.partition(b"\0")[0].decode("ascii", "replace") for field in fields))


def mii_link(name: str) -> bool | None:
    """Whether the device's MII says that there is a link; of one without MII, its driver."""
    try:
        ifreq = fcntl.ioctl(_control(), SIOCGMIIPHY, struct.pack("16s16x8x", _name(name)))
        (phy,) = struct.unpack_from("=16xH", ifreq)
        request = struct.pack("=16sHHHH16x", _name(name), phy, MII_BMSR, 0, 0)
        answer = fcntl.ioctl(_control(), SIOCGMIIREG, request)
        return bool(struct.unpack_from("=22xH", answer)[0] & BMSR_LSTATUS)
    except OSError:
        found = _ethtool(name, struct.pack("=II", ETHTOOL_GLINK, 0))
    return None if found is None else bool(struct.unpack_from("=4xI", found)[0])


def link_mode(name: str) -> LinkMode | None:
    answer = _ethtool(name, struct.pack("=I40x", ETHTOOL_GSET))
    if answer is None:
        return None
    speed_low, duplex, port = struct.unpack_from("=12xHBB", answer)
    (speed_high,) = struct.unpack_from("=28xH", answer)
    megabits = speed_high << 16 | speed_low
    speed = None if megabits in SPEED_UNKNOWN else megabits * 1_000_000
    return LinkMode(speed, DUPLEX.get(duplex), port == PORT_TP)
