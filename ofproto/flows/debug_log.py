"""What is said of each upcall and each change of a datapath flow, where somebody asked for it.

`vlog/set dpif:dbg dpif_netdev:dbg` is how users of Open vSwitch look at what comes up and what
megaflow is made of it; the lines have the form that its userspace datapath gives them, which
scripts cut flows out of.
"""

from itertools import islice
from typing import Any

import ovs.vlog

from datapath import text
from datapath.actions.text import odp_text
from datapath.key import flow, key_text
from ofproto.text.packet_text import format_packet
from ofproto.xlate import trace
from pyvs import clock
from pyvs.log_limit import LimitedLog
from pyvs.process import logs

netdev_vlog = ovs.vlog.Vlog("dpif_netdev")
upcall_vlog = ovs.vlog.Vlog("ofproto_dpif_upcall")
dpif_vlog = ovs.vlog.Vlog("dpif")
_netdev_levels = logs.levels(netdev_vlog.name).values()
_dpif_levels = logs.levels(dpif_vlog.name).values()
PER_MINUTE, BURST = 600, 600  # of upcalls; as many of changes
UPCALLS = LimitedLog(netdev_vlog, PER_MINUTE, BURST)
ADDED = LimitedLog(netdev_vlog, PER_MINUTE, BURST)
CHANGED = LimitedLog(dpif_vlog, PER_MINUTE, BURST)
DUMPED = LimitedLog(dpif_vlog, PER_MINUTE, BURST)


def wanted() -> bool:
    """Whether anything is to be said; asked before any packet that comes up is looked at, and so
    without a call of the library."""
    return "dbg" in _netdev_levels or "dbg" in _dpif_levels


def upcall(kind: str, key: bytes, packet: bytes) -> None:
    """A packet came up; `kind`: miss or action."""
    if not netdev_vlog.dbg_is_enabled():
        return
    shown = key_text.format_key(key, flow.wildcards_for(key.ljust(flow.KEY_SIZE, b"\0")))
    name = text.datapath().partition("@")[2]
    UPCALLS.dbg(f"{name}: {kind} upcall:\n{shown}\n{format_packet(packet)}")


def added(ufid: bytes, key: bytes, mask: bytes, actions: bytes) -> None:
    """A flow goes into the datapath."""
    if netdev_vlog.dbg_is_enabled():
        name = text.format_ufid(ufid)
        shown = key_text.format_key(key, mask)
        ADDED.dbg(f"flow_add: ufid:{name} mega_ufid:{name} {shown}, {_actions(actions, key)}")
    changed("put[create]", ufid, key, mask, actions)


class Failures:
    """Packets that translation gave up on, each with its trace: one in EVERY ms at most, since
    the packet is translated once more for that."""

    EVERY = 5000
    STEPS = 1000  # some ms
    next_at = 0

    @classmethod
    def tell(cls, bridge: Any, key: bytes, error: str, recirc: Any) -> None:
        """`key`: KEY_SIZE bytes, in_port as OpenFlow port."""
        now = clock.msec()
        if now < cls.next_at or not upcall_vlog.info_is_enabled():
            return
        cls.next_at = now + cls.EVERY
        try:
            how = trace.Tracing(recirc, now=now, most_steps=cls.STEPS)
            steps = "".join(trace.trace_key(bridge, key, how))
        except trace.TraceError as gone:
            steps = str(gone)
        upcall_vlog.info(f"bridge {bridge.name}: {error}, packet is dropped:\n{steps}")


def changed(operation: str, ufid: bytes, key: bytes, mask: bytes, actions: Any = None) -> None:
    """What the datapath is asked for with a flow: put[create], put[modify] or delete."""
    if not dpif_vlog.dbg_is_enabled():
        return
    shown = key_text.format_key(key, mask, more=True)
    done = "" if actions is None else f", {_actions(actions, key)}"
    CHANGED.dbg(f"{text.datapath()}: {operation} ufid:{text.format_ufid(ufid)} {shown}{done}")


def dumped(flows: Any) -> None:
    """The revalidator has been through the datapath's flows; some of them are told."""
    if not dpif_vlog.dbg_is_enabled():
        return
    for info in map(flows.with_seen_key, islice(flows.dpif.flow_dump(), BURST)):
        shown = f"{text.format_match(info, None, True)}, {text.format_counters(info, clock.msec())}"
        DUMPED.dbg(f"{text.datapath()}: flow_dump {shown}, actions:{text.format_actions(info)}")


def _actions(actions: bytes, key: bytes) -> str:
    return f"actions:{odp_text.format_actions(actions, key)}"
