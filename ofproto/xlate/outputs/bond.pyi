"""Packets out to bonds, and in from them; translation uses this."""

from ofproto.xlate.bridges.xbridge import XBridge
from ofproto.xlate.state.recirc import FrozenState

def bond_state(bridge: XBridge, name: str) -> FrozenState:
    """What waits for a packet that is hashed for the bundle `name`."""
