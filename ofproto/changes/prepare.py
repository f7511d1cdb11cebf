"""Messages looked at before they are executed, alone or in a bundle.  Refusals are OFErrors."""

from typing import Any

from ofproto.codec import messages
from ofproto.codec.actions import check_actions
from ofproto.codec.actions.base import ActionList, CheckContext
from ofproto.codec.errors import OFError
from ofproto.codec.numbers import (
    N_VISIBLE_TABLES,
    OFPP_CONTROLLER,
    OFPP_LOCAL,
    OFPP_MAX,
    OFPP_NONE,
    OFPPC_PORT_DOWN,
)
from ofproto.rules.compile import compile_actions
from ofproto.tables.sizes import SURE_SIZE, check_flow


def check_buffer(mod: Any) -> None:
    """A FLOW_MOD may send a buffered packet on, and there are none.  One that deletes flows sends
    none, whatever its sender left there."""
    if mod.buffer_id is not None and mod.command < messages.DELETE:
        raise OFError("OFPBRC_BUFFER_UNKNOWN")


def flow_mod(mod: Any, size: int, version: int) -> None:
    """Whether a FLOW_MOD of `size` bytes makes flows that can be told again."""
    check_buffer(mod)
    if size > SURE_SIZE and mod.command < messages.DELETE:
        check_flow(mod, version)


def packet_out(ofproto: Any, message: Any, version: int) -> Any:
    """The Program of a PACKET_OUT."""
    if message.buffer_id is not None:
        raise OFError("OFPBRC_BUFFER_UNKNOWN")
    in_port = message.in_port
    if not 0 < in_port < OFPP_MAX and in_port not in (OFPP_LOCAL, OFPP_NONE, OFPP_CONTROLLER):
        raise OFError("OFPBRC_BAD_PORT", f"port {in_port}")
    if len(message.packet) < 14:
        raise OFError("OFPBRC_BAD_LEN", f"a packet of {len(message.packet)} bytes")
    actions = message.actions
    known = getattr(actions, "program", None)
    if known is not None and not known.groups:  # checked, and nothing else depends on the switch
        return known
    groups = ofproto.xbridge.groups
    check_actions(actions, CheckContext(None, version, 0, N_VISIBLE_TABLES, groups))
    try:
        program = compile_actions(actions)
    except ValueError as error:
        raise OFError("OFPBAC_BAD_TYPE", str(error)) from None
    if isinstance(actions, ActionList):
        actions.program = program
    return program


def find_port(ofproto: Any, mod: Any) -> Any:
    """The port that a PORT_MOD is about."""
    port = ofproto.ports.get(mod.port_no)
    if port is None:
        raise OFError("OFPPMFC_BAD_PORT", f"port {mod.port_no}")
    if mod.hw_addr != port.hw_addr:
        raise OFError("OFPPMFC_BAD_HW_ADDR", mod.hw_addr.hex(":"))
    return port


def configure_port(ofproto: Any, port: Any, mod: Any) -> None:
    """What a PORT_MOD does to its port, and then, what its device says."""
    ofproto.port_config(port, port.config & ~mod.mask | mod.config & mod.mask)
    if mod.mask & OFPPC_PORT_DOWN:
        ofproto.turn_device(port, not mod.config & OFPPC_PORT_DOWN)
