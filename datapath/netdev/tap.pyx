"""Interfaces that the switch makes for the host: type "internal" and "tap".

A TAP with virtio-net headers, so that offloads work as on AF_PACKET.  It goes when nobody has its
descriptor any more: the process, and who asked it for a copy.  The device may be moved to another network namespace or renamed: it stays the port, which
then has no ifindex here, or another name than its device.  Where /dev/net/tun is closed to us (in user namespaces), an internal port is a veth pair:
the inner end has the port's name (as much as a device's name takes), the outer one is received from as from any interface.
"""

import errno as errors
import fcntl
import os
import struct
import zlib

from libc.errno cimport EAGAIN, EINTR, EIO, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy
from posix.unistd cimport read, write

from datapath.base.clock cimport kernel_ns
from datapath.base.drops cimport DROP_RX_INVALID, DROP_RX_OVERSIZE
from datapath.netdev.netdev cimport (
    BIG_BUFFERS,
    BIG_SIZE,
    BURST,
    LARGEST_FRAME,
    VNET_SIZE,
    Netdev,
    drop_of_errno,
    mmsghdr,
    netdev,
    rxq,
    worker_port,
    rx_burst,
)
from datapath.netdev.af_packet cimport PacketNetdev
from datapath.base.packet cimport PACKET_HEADROOM, packet, packet_init
from pyvs.device_names import IFNAMSIZ, made_for

cdef extern from "<errno.h>" nogil:
    int EBADFD

cdef extern from "<sys/ioctl.h>":      # what the numbers in if_tun.h are made with
    pass

cdef extern from "<linux/if_tun.h>" nogil:
    unsigned int TUNSETIFF, TUNGETIFF, TUNSETOFFLOAD, TUNSETVNETHDRSZ, TUNGETDEVNETNS
    int IFF_TAP, IFF_NO_PI, IFF_VNET_HDR
    int TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_TSO_ECN

cdef enum:
    LEFT_DOWN = 1000000     # ns for which an interface that was down is not tried again

TUN_DEVICE = "/dev/net/tun"


cdef uint32_t tap_receive(rxq *q, rx_burst *burst, worker_port *port) noexcept nogil:
    cdef int fd = q.fd
    cdef packet *p
    cdef uint8_t *base
    cdef ssize_t n
    cdef uint32_t taken = 0
    while burst.n < BURST and burst.big_used < BIG_BUFFERS:
        base = burst.big + <size_t> burst.big_used * BIG_SIZE
        n = read(fd, base + PACKET_HEADROOM - VNET_SIZE, BIG_SIZE - PACKET_HEADROOM)
        if n < 0:
            if errno == EINTR:
                continue
            if errno == EBADFD:
                q.dev.dead = True   # the interface was deleted
            break
        taken += 1
        (<tap_io *> q.dev.private).down_since = 0
        if n < VNET_SIZE + 14:
            port.drops[DROP_RX_INVALID] += 1
            continue
        if n > LARGEST_FRAME + VNET_SIZE:
            port.drops[DROP_RX_OVERSIZE] += 1
            continue
        p = &burst.packets[burst.n]
        packet_init(p, base, BIG_SIZE, PACKET_HEADROOM, <uint32_t> (n - VNET_SIZE))
        memcpy(&p.vnet, p.data - VNET_SIZE, VNET_SIZE)
        port.rx_packets += 1
        port.rx_bytes += p.size
        burst.n += 1
        burst.big_used += 1
    return taken


cdef void tap_release(rxq *q) noexcept nogil:
    pass


cdef bint is_left_down(const tap_io *io) noexcept nogil:
    """A bridge's own port is mostly down and gets all that floods: no system call for each frame."""
    return io.down_since and kernel_ns() - io.down_since < LEFT_DOWN


cdef void tap_send(netdev *dev, mmsghdr *messages, uint32_t n, worker_port *port) noexcept nogil:
    cdef tap_io *io = <tap_io *> dev.private
    cdef uint32_t i = 0
    if is_left_down(io):
        port.drops[drop_of_errno(EIO)] += n
        return
    io.down_since = 0
    while i < n:
        if write(io.fd, messages[i].msg_hdr.msg_iov.iov_base, messages[i].msg_hdr.msg_iov.iov_len) >= 0:
            port.tx_packets += 1
            port.tx_bytes += messages[i].msg_hdr.msg_iov.iov_len - VNET_SIZE
        elif errno == EINTR:
            continue
        else:
            if errno == EIO:
                io.down_since = kernel_ns()
            port.drops[drop_of_errno(errno)] += 1
        i += 1


cdef void tap_link_error(rxq *q) noexcept nogil:
    q.dev.link_errors += 1
    # A read tells whether the interface is still there; a frame that it takes is lost with it.
    if read(q.fd, NULL, 0) < 0 and errno == EBADFD:
        q.dev.dead = True


TAP_FLAGS = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR


def _device_name(str name):
    """Of a new device for a port."""
    if not name or "/" in name:
        raise ValueError(f"{name}: not a valid interface name")
    return made_for(name)


def _index(str name):
    """The ifindex of a device of this network namespace; 0: there is none."""
    import socket

    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def _is_here(int namespace):
    """Whether a descriptor of a network namespace is that of our own."""
    return os.fstat(namespace).st_ino == os.stat("/proc/self/ns/net").st_ino


cdef class TapNetdev(Netdev):
    """type "internal" or "tap" (the same); the interface is made down, with a random address."""

    def __init__(self, str name, dict options, uint32_t n_workers, str type="internal",
                 int device=-1):
        """`device`: a descriptor of the TAP that another process made."""
        self.type = type
        self.io.fd = -1
        if device < 0:
            self._make(_device_name(name))
        else:
            self._take(name, device)
        self.dev.receive = tap_receive
        self.dev.release = tap_release
        self.dev.send = tap_send
        self.dev.into_stack = True
        self.dev.link_error = tap_link_error
        self.dev.private = &self.io
        self.make_queues(1)
        self.dev.queues[0].fd = self.io.fd

    def _take(self, str name, int device):
        """As it is, whatever its name and wherever it was moved."""
        try:
            request = fcntl.ioctl(device, TUNGETIFF, bytes(40))
        except OSError as error:
            raise OSError(error.errno, "not a TAP") from None
        known, flags = struct.unpack_from("16sH", request)
        if flags & TAP_FLAGS != TAP_FLAGS or fcntl.fcntl(device, fcntl.F_GETFL) & os.O_NONBLOCK == 0:
            raise ValueError(f"{name}: not a TAP of ours")
        self.io.fd = os.dup(device)
        self.ifindex = _index(known.partition(b"\0")[0].decode())
        self.refresh()

    def _make(self, str device):
        import socket

        self.io.fd = os.open(TUN_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            request = struct.pack("16sH22x", device.encode(), TAP_FLAGS)
            fcntl.ioctl(self.io.fd, TUNSETIFF, request)
            fcntl.ioctl(self.io.fd, TUNSETVNETHDRSZ, struct.pack("i", VNET_SIZE))
            fcntl.ioctl(self.io.fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)
            self.ifindex = socket.if_nametoindex(device)
        except OSError:
            self.close()
            raise

    cpdef refresh(self):
        if self.io.fd < 0 or self.dev.dead:
            return
        try:
            answer = fcntl.ioctl(self.io.fd, TUNGETIFF, bytes(40))
        except OSError as error:
            self.dev.dead = error.errno == errors.EBADFD
            return
        self.ifindex = self._index_here(answer[:IFNAMSIZ].partition(b"\0")[0].decode())

    def _index_here(self, str device):
        """The device's ifindex; 0 where it is in another network namespace."""
        try:
            namespace = fcntl.ioctl(self.io.fd, TUNGETDEVNETNS)
        except OSError as error:
            if error.errno == errors.EPERM:         # it is in one that is not for us
                return 0
            # A kernel before 5.2: it is here if what has the name is what it was.
            return self.ifindex if _index(device) == self.ifindex else 0
        try:
            return _index(device) if _is_here(namespace) else 0
        finally:
            os.close(namespace)

    def close(self):
        if self.io.fd >= 0:
            os.close(self.io.fd)
        self.io.fd = -1


def outer_name(name):
    """The name of our end of the veth pair that stands for an internal port."""
    return f"pv{zlib.crc32(name.encode()):08x}"


cdef class VethNetdev(PacketNetdev):
    """type "internal" where TAPs cannot be made."""

    def __init__(self, str name, dict options, uint32_t n_workers, str type="internal"):
        import socket

        self.type = type
        self.inner = _device_name(name)
        self.outer = outer_name(name)   # of the whole name: another port's pair is not ours
        self._make_pair()
        self.open_device(self.outer)
        self.ifindex = socket.if_nametoindex(self.inner)

    def _make_pair(self):
        """Make the pair, or take over the one that a killed datapath process left."""
        from pyroute2 import IPRoute
        from pyroute2.netlink.exceptions import NetlinkError

        with IPRoute() as netlink:
            try:
                netlink.link("add", ifname=self.outer, kind="veth", peer={"ifname": self.inner})
            except NetlinkError as error:
                ours = netlink.link_lookup(ifname=self.outer)
                if error.code != errors.EEXIST or not ours or not netlink.link_lookup(
                    ifname=self.inner
                ):
                    raise OSError(error.code, os.strerror(error.code)) from None
            outer = netlink.link_lookup(ifname=self.outer)[0]
            netlink.link("set", index=outer, state="up")

    cpdef refresh(self):
        PacketNetdev.refresh(self)
        if not self.dev.dead and (not self.ifindex or _index(self.inner) != self.ifindex):
            self.ifindex = self._inner_index()

    def _inner_index(self):
        """What the inner end has here; 0 where it is in another network namespace."""
        from pyroute2 import IPRoute

        with IPRoute() as netlink:
            for link in netlink.get_links(ifname=self.outer):
                if link.get_attr("IFLA_LINK_NETNSID") is None:
                    return link.get_attr("IFLA_LINK") or 0
        return 0

    def close(self):
        super().close()
        if self.outer is None:
            return
        from pyroute2 import IPRoute
        from pyroute2.netlink.exceptions import NetlinkError

        with IPRoute() as netlink:
            for index in netlink.link_lookup(ifname=self.outer):
                try:
                    netlink.link("del", index=index)
                except NetlinkError as error:
                    if error.code != errors.ENODEV:
                        raise OSError(error.code, os.strerror(error.code)) from None
        self.outer = None


def open_internal(name, options, n_workers, type="internal", device=-1):
    """A TAP, or for "internal" a veth pair where /dev/net/tun is not for us."""
    try:
        return TapNetdev(name, options, n_workers, type, device)
    except OSError as error:
        closed = (errors.EACCES, errors.EPERM, errors.ENOENT, errors.ENODEV, errors.ENXIO)
        if type != "internal" or device >= 0 or error.errno not in closed:
            raise
    return VethNetdev(name, options, n_workers, type)
