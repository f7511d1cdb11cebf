"""Translation as Python has it: see translate.pyx."""

from typing import Any

from ofproto.rules.program import Program
from ofproto.xlate.bridges.xbridge import XBridge
from ofproto.xlate.state.recirc import RecircTable

NO_CONTEXT: str  # XlateResult.error of a trace with a recirc_id of which nothing is known

class XlateResult:
    """What translation found out about a flow."""

    actions: bytes
    mask: bytes  # KEY_SIZE bytes: the bits the result depends on
    slow: int  # reasons for vswitchd to see each packet of the flow: see odp_text.slow_paths()
    error: str | None  # why the packet is dropped whatever its actions were
    final_key: bytes
    trace: list[tuple[int, str, Any]] | None  # (level, kind, see state/steps.py)
    forked: list[Any] | None  # with trace: Fork (conntrack.pyx) of each packet that ct sent round

def within_vlan_limit(bridge: XBridge, key: bytes) -> bytes:
    """The key as translation sees it."""

def translate(
    bridge: XBridge,
    key: bytes,
    *,
    recirc: RecircTable | None = None,
    program: Program | None = None,
    packet_size: int = 0,
    side_effects: bool = False,
    learn: bool = False,
    now: int = 0,
    trace: bool = False,
    most_steps: int = 0,
) -> XlateResult:
    """Translates `key` (KEY_SIZE bytes, in_port as OpenFlow port); for tests and trace.

    With `program`, runs that instead of table 0 (packet-out).  `side_effects` counts and learns
    one packet of `packet_size` bytes, `learn` has it learned only.  Raises LookupError for an
    unknown recirc_id; a trace tells that as its failure.
    """
