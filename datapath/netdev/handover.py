"""A packet socket that moves to another device, of which nothing is to be lost.

The kernel takes a socket off the one device, waits until nobody uses it there any more, which takes
milliseconds, and only then adds it to the other.
"""

import array
import contextlib
import fcntl
import socket
import struct

SOL_PACKET, PACKET_AUXDATA, PACKET_VNET_HDR = 263, 8, 15
ETH_P_ALL = 3
SO_RCVBUFFORCE, BUFFER = 33, 4 << 20
MOST, FRAME = 4096, 10 + (1 << 16)
# <linux/if_packet.h>: the part of tpacket_auxdata that is read, and its flag.
STATUS, TAG_IS_APART = struct.Struct("=I"), 0x10
AUXDATA = socket.CMSG_SPACE(20)
SIOCETHTOOL, ETHTOOL_GDRVINFO, DRVINFO = 0x8946, 3, 196  # <linux/ethtool.h>
IFREQ = struct.Struct("16sQ8x")


def _driver(device: str) -> str:
    """The name of a device's driver; "" where it has none."""
    info = array.array("B", struct.pack("=I", ETHTOOL_GDRVINFO) + bytes(DRVINFO - 4))
    asked = IFREQ.pack(device.encode(), info.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            fcntl.ioctl(sock, SIOCETHTOOL, asked)
        except OSError:
            return ""
    return bytes(info[4:36]).partition(b"\0")[0].decode(errors="replace")


@contextlib.contextmanager
def nothing_lost(device: str):
    """Around the move of another packet socket to an IFB: what that sends meanwhile is sent to it
    once more, when the socket hears it.  An IFB drops what was not redirected to it, so nobody else
    gets it.
    """
    if _driver(device) != "ifb":
        yield
        return
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as witness:
        for level, option, value in (
            (socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER),
            (SOL_PACKET, PACKET_VNET_HDR, 1),
            (SOL_PACKET, PACKET_AUXDATA, 1),
        ):
            witness.setsockopt(level, option, value)
        witness.setblocking(False)
        witness.bind((device, ETH_P_ALL))
        _heard(witness)  # the socket had it, on its way to the device
        yield
        for frame in _heard(witness):
            with contextlib.suppress(OSError):
                witness.send(frame)


def _heard(witness: socket.socket) -> list[bytes]:
    """Frames with their virtio_net_hdr.  A tag that the kernel keeps apart could not be sent so: a
    frame that has one is left out.  A device that is down yet (ENETDOWN) sends none."""
    frames = []
    with contextlib.suppress(OSError):
        while len(frames) < MOST:
            frame, about, _flags, _address = witness.recvmsg(FRAME, AUXDATA)
            statuses = [STATUS.unpack_from(data)[0] for _level, _type, data in about]
            if not any(status & TAG_IS_APART for status in statuses):
                frames.append(frame)
    return frames
