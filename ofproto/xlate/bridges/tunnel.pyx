"""Tunnel ports as translation has them, and which of them a packet came by.

Ports of one type (and UDP port) share a datapath port: key and outer addresses tell them apart.
A port names some of these, and takes any value of the others; of several that fit a packet, the
one that names most gets it: in the order of SHAPES, as in Open vSwitch.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from datapath.key.flow cimport flow_key

from datapath.netdev.tunnel import KINDS
from ofproto.xlate.bridges.tunnel_config import FLOW, PACKET_TYPES

cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)
    uint32_t htonl(uint32_t)
    uint32_t ntohl(uint32_t)

cdef uint8_t IPV4_PREFIX[12]
IPV4_PREFIX[:] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]

# By packet_types_t; a port that takes all packets comes behind those that take only one sort.
LAYERS = (b"2", b"3", b"*")

# What a port names of a packet: its key; the address that it came from; the local address.  The
# latter may also be expected to be looked at in the tables ("flow"), which comes last.
SHAPES = [
    (key, remote, local)
    for key in (True, False)
    for remote in (True, False)
    for local in ("given", "any", FLOW)
]


cdef void mapped(uint32_t ipv4, const uint8_t *ipv6, uint8_t *out) noexcept nogil:
    if ipv4:
        memcpy(out, IPV4_PREFIX, 12)
        memcpy(out + 12, &ipv4, 4)
    else:
        memcpy(out, ipv6, 16)


cdef int take_address(address, uint8_t *out) except -1:
    cdef bytes packed
    if address is None or address == FLOW:
        memset(out, 0, 16)
        return 0
    packed = address.packed
    if len(packed) == 4:
        memcpy(out, IPV4_PREFIX, 12)
        memcpy(out + 12, <const char *> packed, 4)
    else:
        memcpy(out, <const char *> packed, 16)
    return 0


cdef int take_key(uint64_t *out, key) except -1:
    cdef bytes octets
    if isinstance(key, int):
        octets = key.to_bytes(8, "big")
        memcpy(out, <const char *> octets, 8)
    else:
        out[0] = 0
    return 0


def _number(value):
    return 0 if value == FLOW else value


cdef class Tunnel:
    """Made of a TunnelConfig; it does not change."""

    def __init__(self, config):
        cdef tunnel_config *c = &self.c
        self.config = config
        memset(c, 0, sizeof(tunnel_config))
        c.kind = KINDS[config.kind]
        c.packet_types = PACKET_TYPES.index(config.packet_type)
        take_address(config.local, c.local)
        take_address(config.remote, c.remote)
        c.local_flow = config.local == FLOW
        c.remote_flow = config.remote == FLOW
        take_key(&c.out_key, config.out_key)
        c.out_key_flow = config.out_key == FLOW
        c.has_out_key = config.out_key is not None
        c.dst_port = htons(config.dst_port)
        c.tos, c.tos_inherit = config.tos, config.tos_inherit
        c.ttl, c.ttl_inherit = config.ttl, config.ttl_inherit
        c.df, c.csum, c.seq = config.df, config.csum, config.seq
        c.has_egress_mark = config.egress_mark is not None
        c.egress_mark = htonl(config.egress_mark or 0)
        c.gbp, c.gpe = "gbp" in config.exts, "gpe" in config.exts
        self.take_erspan(config)

    def take_erspan(self, config):
        cdef tunnel_config *c = &self.c
        c.ver_flow, c.erspan_ver = config.erspan_ver == FLOW, _number(config.erspan_ver)
        c.idx_flow, c.erspan_idx = config.erspan_idx == FLOW, htonl(_number(config.erspan_idx))
        c.dir_flow, c.erspan_dir = config.erspan_dir == FLOW, _number(config.erspan_dir)
        c.hwid_flow, c.erspan_hwid = config.erspan_hwid == FLOW, _number(config.erspan_hwid)


cdef bytes identity_of(Tunnel tunnel):
    """What tells packets for this port from those for others, as 41 bytes: the last one, whether
    they have an Ethernet header."""
    cdef uint64_t key
    take_key(&key, tunnel.config.in_key)
    return ((<char *> &key)[:8] + (<char *> tunnel.c.local)[:16] + (<char *> tunnel.c.remote)[:16]
            + LAYERS[tunnel.c.packet_types])


cdef tuple layers_of(const flow_key *key):
    """Of LAYERS, those that a port may have by which the packet came, the likeliest first."""
    cdef int likely = TAKES_L3 if key.packet_type else TAKES_FRAMES
    cdef int other = TAKES_FRAMES if key.packet_type else TAKES_L3
    if key.recirc_id:
        return LAYERS[likely], LAYERS[TAKES_ALL], LAYERS[other]
    return LAYERS[likely], LAYERS[TAKES_ALL]


cdef int shape_of(config) except -1:
    """Its place in SHAPES."""
    local = {None: "any", FLOW: FLOW}.get(config.local, "given")
    return SHAPES.index((config.in_key != FLOW, config.remote != FLOW, local))


cdef class TunnelTable:
    """The tunnel ports of a datapath."""

    def __cinit__(self):
        self.ports = {}
        self.shapes = [None] * len(SHAPES)

    def owner(self, uint32_t odp_port, Tunnel tunnel):
        """The port that gets the packets which `tunnel` would get, or None."""
        ports = self.shapes[shape_of(tunnel.config)]
        return None if ports is None else ports.get((odp_port, identity_of(tunnel)))

    def add(self, uint32_t odp_port, Tunnel tunnel, port):
        """ValueError where another port is the same to a packet."""
        shape = shape_of(tunnel.config)
        name = odp_port, identity_of(tunnel)
        if self.shapes[shape] is None:
            self.shapes[shape] = {}
        if self.shapes[shape].setdefault(name, port) is not port:
            raise ValueError("another tunnel port has the same key and addresses")
        self.ports[port] = shape, name

    def remove(self, port):
        """No error when it is not there."""
        shape, name = self.ports.pop(port, (None, None))
        if shape is None:
            return
        del self.shapes[shape][name]
        if not self.shapes[shape]:
            self.shapes[shape] = None

    def __len__(self):
        return len(self.ports)

    cdef object find(self, const flow_key *key):
        """The port that the packet came by.  One that was sent round may have gained or lost its
        Ethernet header since, so that it need not look like what its port takes."""
        cdef uint8_t local[16]
        cdef uint8_t remote[16]
        cdef uint32_t odp_port = ntohl(key.in_port)
        cdef int at
        cdef bytes key_part, local_part, remote_part, nothing = bytes(16)
        mapped(key.tun_dst, key.tun_ipv6_dst, local)
        mapped(key.tun_src, key.tun_ipv6_src, remote)
        key_part = (<char *> &key.tun_id)[:8]
        local_part = (<char *> local)[:16]
        remote_part = (<char *> remote)[:16]
        for at, (by_key, by_remote, by_local) in enumerate(SHAPES):
            ports = self.shapes[at]
            if ports is None:
                continue
            name = ((key_part if by_key else nothing[:8])
                    + (local_part if by_local == "given" else nothing)
                    + (remote_part if by_remote else nothing))
            for layer in layers_of(key):
                found = ports.get((odp_port, name + <bytes> layer))
                if found is not None:
                    return found
        return None

    def lookup(self, const uint8_t[::1] key):
        """find() for a key of KEY_DP_SIZE bytes at least; its in_port is the datapath's."""
        return self.find(<const flow_key *> &key[0])


def came_by_tunnel(const uint8_t[::1] key):
    """Whether a packet with this key, KEY_DP_SIZE bytes at least, came through a tunnel."""
    return has_tunnel(<const flow_key *> &key[0])
