"""Plays QEMU with a guest: python -m tests.qemu_tap DEVICE PID MAC

DEVICE is a TAP here, opened as QEMU opens one for virtio-net (IFF_VNET_HDR, offloads by
TUNSETOFFLOAD); the guest is the network namespace of process PID, whose eth0 is the other side.
Frames are handed over with their virtio_net_hdr as they are, as vhost does it: segments of TCP that
are still whole, and checksums that nobody has computed.  linux/if_tun.h, virtio_net.h.
"""

import ctypes
import fcntl
import os
import select
import struct
import sys

TUNSETIFF, TUNSETOFFLOAD, TUNSETVNETHDRSZ = 0x400454CA, 0x400454D0, 0x400454D8
IFF_TAP, IFF_NO_PI, IFF_ONE_QUEUE, IFF_VNET_HDR = 0x0002, 0x1000, 0x2000, 0x4000
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_TSO_ECN = 1, 2, 4, 8
CLONE_NEWNET = 0x40000000
HEADER = 12  # virtio_net_hdr_mrg_rxbuf


def tap(name):
    """A descriptor of the TAP, made where it is not there."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    fcntl.ioctl(fd, TUNSETVNETHDRSZ, struct.pack("i", HEADER))
    fcntl.ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)
    return fd


def hand_over(source, target):
    """All frames that wait; returns the longest."""
    longest = 0
    while True:
        try:
            frame = os.read(source, 1 << 17)
            longest = max(longest, len(frame) - HEADER)
            os.write(target, frame)
        except BlockingIOError:
            return longest
        except OSError:
            continue  # the other side is down


def main():
    name, pid, mac = sys.argv[1:]
    outer = tap(name)
    with open(f"/proc/{pid}/ns/net") as guest:
        if ctypes.CDLL(None, use_errno=True).setns(guest.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    inner = tap("eth0")
    os.system(f"ip link set eth0 address {mac} up")
    print("ready", flush=True)
    longest = {outer: 0, inner: 0}
    other = {outer: inner, inner: outer}
    while True:
        for fd in select.select([outer, inner], [], [])[0]:
            found = hand_over(fd, other[fd])
            if found > longest[fd]:
                longest[fd] = found
                # of the frames to and from the guest
                print(longest[outer], longest[inner], flush=True)


if __name__ == "__main__":
    main()
