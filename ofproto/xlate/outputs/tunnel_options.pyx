"""The options of a packet that goes out by a tunnel."""

from ofproto.xlate.bridges.option_keys cimport packed
from ofproto.xlate.bridges.tunnel cimport has_tunnel
from ofproto.xlate.state.context cimport XlateContext


cdef bytes options_of(XlateContext x):
    """What a packet brought goes on with it, so the flow is one of packets with the same options.
    ValueError: they are more than a header has room for."""
    cdef bint own = has_tunnel(x.came) and not x.tunnel_hidden
    if own:
        x.wc.tun_opts_size = 0xff       # that it brought none, too
    return packed(x.bridge.options, &x.flow, &x.wc if own else NULL)
