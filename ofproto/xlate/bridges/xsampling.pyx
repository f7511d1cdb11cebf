"""Which packets of a bridge the exporters are told of.  xsampling.pyi has the Python view."""

from zlib import crc32


cdef class XSampling:
    def __init__(self, str bridge, receive=None):
        self.number = crc32(bridge.encode())    # the same after a restart of vswitchd
        self.tunnel_sets = self.tunnel_kinds = frozenset()
        self.ifindexes = {}
        self.receive = receive
