"""Packets out to bonds, and in from them; translation uses this."""

from ofproto.xlate.recirc import FrozenState
from ofproto.xlate.xbridge import XBridge

def bond_state(bridge: XBridge, name: str) -> FrozenState:
    """What waits for a packet that is hashed for the bundle `name`."""
