"""What is said of each upcall and each change of a datapath flow, where somebody asked for it.

`vlog/set dpif:dbg dpif_netdev:dbg` is how users of Open vSwitch look at what comes up and what
megaflow is made of it; the lines have the form that its userspace datapath gives them, which
scripts cut flows out of.
"""

from typing import Any

import ovs.vlog

from datapath import text
from datapath.actions import odp_text
from datapath.key import flow, key_text
from ofproto.text.packet_text import format_packet
from pyvs.log_limit import LimitedLog

netdev_vlog = ovs.vlog.Vlog("dpif_netdev")
dpif_vlog = ovs.vlog.Vlog("dpif")
PER_MINUTE, BURST = 600, 600  # of upcalls; as many of changes
UPCALLS = LimitedLog(netdev_vlog, PER_MINUTE, BURST)
ADDED = LimitedLog(netdev_vlog, PER_MINUTE, BURST)
CHANGED = LimitedLog(dpif_vlog, PER_MINUTE, BURST)


def wanted() -> bool:
    """Whether anything is to be said; asked once for many upcalls."""
    return bool(netdev_vlog.dbg_is_enabled() or dpif_vlog.dbg_is_enabled())


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


def changed(operation: str, ufid: bytes, key: bytes, mask: bytes, actions: Any = None) -> None:
    """What the datapath is asked for with a flow: put[create], put[modify] or delete."""
    if not dpif_vlog.dbg_is_enabled():
        return
    shown = key_text.format_key(key, mask, more=True)
    done = "" if actions is None else f", {_actions(actions, key)}"
    CHANGED.dbg(f"{text.datapath()}: {operation} ufid:{text.format_ufid(ufid)} {shown}{done}")


def _actions(actions: bytes, key: bytes) -> str:
    return f"actions:{odp_text.format_actions(actions, key)}"
