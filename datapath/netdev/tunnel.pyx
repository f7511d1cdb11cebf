"""Tunnel ports of the datapath: what an encapsulated packet is sent round as.

One port for each kind and UDP port, shared by all tunnels of OpenFlow's that have these.  Nothing
is received or sent here: packets come by tnl_pop(N), which sends them round as the port's, and
leave by tnl_push(...) and an output to a port of the underlay.  What is output to such a port
without a header is discarded.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memset

from datapath.base.drops cimport DROP_TUNNEL_NO_HEADER
from datapath.base.protocols cimport *
from datapath.netdev.netdev cimport Netdev, mmsghdr, netdev, rx_burst, rxq, worker_port

# Name -> number; the numbers are those of Open vSwitch's vport types, which `type=` of a
# tnl_push()'s header shows.
KINDS = {
    "gre": TUNNEL_GRE,
    "vxlan": TUNNEL_VXLAN,
    "geneve": TUNNEL_GENEVE,
    "erspan": TUNNEL_ERSPAN,
    "ip6erspan": TUNNEL_IP6ERSPAN,
    "ip6gre": TUNNEL_IP6GRE,
    "gtpu": TUNNEL_GTPU,
    "srv6": TUNNEL_SRV6,
    # No header is made or taken off for these: they are there as in Open vSwitch.
    "lisp": TUNNEL_LISP,
    "stt": TUNNEL_STT,
    "bareudp": TUNNEL_BAREUDP,
}
TYPES = tuple(KINDS)


cdef uint32_t tunnel_receive(rxq *q, rx_burst *burst, worker_port *port) noexcept nogil:
    return 0


cdef void tunnel_release(rxq *q) noexcept nogil:
    pass


cdef void tunnel_send(netdev *dev, mmsghdr *messages, uint32_t n, worker_port *port) noexcept nogil:
    port.drops[DROP_TUNNEL_NO_HEADER] += n


cdef void tunnel_link_error(rxq *q) noexcept nogil:
    pass


cdef class TunnelNetdev(Netdev):
    """`type` is one of TYPES.  Options are translation's business."""

    def __init__(self, str name, dict options, uint32_t n_workers, str type):
        self.type = type
        self.dev.tunnel_kind = KINDS[type]
        self.dev.receive = tunnel_receive
        self.dev.release = tunnel_release
        self.dev.send = tunnel_send
        self.dev.link_error = tunnel_link_error
