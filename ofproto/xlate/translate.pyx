"""Translation as Python has it, for trace and tests: a key in, an object out."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from datapath.key.flow cimport KEY_SIZE, flow_key
from ofproto.rules.program cimport Program
from ofproto.xlate.bridges.xbridge cimport XBridge
from ofproto.xlate.state.commit cimport hide_inner_vlan
from ofproto.xlate.state.context cimport MAX_STEPS, XlateContext
from ofproto.xlate.state.recirc cimport FrozenState, RecircTable
from ofproto.xlate.xlate cimport xlate_packet, xlate_program, xlate_resume, xlate_unknown

cdef extern from "arpa/inet.h" nogil:
    uint16_t ntohs(uint16_t)
    uint32_t ntohl(uint32_t)


class XlateResult:
    """What translation found out about a flow: see translate.pyi."""

    __slots__ = ("actions", "mask", "slow", "error", "final_key", "trace", "forked")

    def __init__(self, XlateContext x):
        self.actions = x.out.data[:x.out.length] if x.out.length else b""
        self.mask = (<char *> &x.wc)[:KEY_SIZE]
        self.slow = x.slow
        self.error = x.error
        self.final_key = (<char *> &x.flow)[:KEY_SIZE]
        self.trace = x.steps
        self.forked = x.forked


def within_vlan_limit(XBridge bridge, bytes key):
    """The key as translation sees it."""
    cdef flow_key seen
    if bridge.features.vlan_limit != 1:
        return key
    memcpy(&seen, <const char *> key, KEY_SIZE)
    hide_inner_vlan(&seen)
    return (<char *> &seen)[:KEY_SIZE]


# How a trace fails of whose recirc_id nothing is known
NO_CONTEXT = "No recirculation context"


def translate(XBridge bridge, const uint8_t[::1] key, *, RecircTable recirc=None,
              Program program=None, int packet_size=0, bint side_effects=False,
              bint learn=False, int64_t now=0,
              bint trace=False, int most_steps=0):
    """Translates `key` (KEY_SIZE bytes, in_port as OpenFlow port); for tests and trace.

    With `program`, runs that instead of table 0.  `side_effects` counts and learns one packet of
    `packet_size` bytes; `learn` has it learned only.  `recirc` is the table of frozen states to
    resume from and add to.  `trace` keeps `most_steps` (0: MAX_STEPS) at the most, and how it failed.
    Raises LookupError when the key's recirc_id is unknown; a trace tells that as its failure.
    """
    cdef XlateContext x = XlateContext()
    cdef FrozenState state
    cdef const flow_key *flow
    if key.shape[0] != KEY_SIZE:
        raise ValueError(f"a key has {KEY_SIZE} bytes")
    flow = <const flow_key *> &key[0]
    x.side_effects = side_effects or learn
    if recirc is not None:
        x.recirc = recirc
    if trace:
        x.trace = x.steps = []
        x.most_steps = most_steps or MAX_STEPS
        x.forked = []
    if program is not None:
        xlate_program(x, bridge, flow, program, now)
    elif flow.recirc_id:
        state = x.recirc.get(ntohl(flow.recirc_id))
        if state is not None:
            xlate_resume(x, state, flow, now)
        elif trace:
            xlate_unknown(x, bridge, flow, NO_CONTEXT, now)
        else:
            raise LookupError(f"no recirculation data for recirc_id {ntohl(flow.recirc_id):#x}")
    else:
        xlate_packet(x, bridge, flow, now)
    if side_effects:
        x.cache.credit(1, packet_size, now)
        x.cache.finish_tcp(ntohs(flow.tcp_flags))
    elif learn:
        x.cache.learn(now)
    return XlateResult(x)
