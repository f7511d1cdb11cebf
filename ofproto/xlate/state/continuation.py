"""Continuations: what a packet that waits for a controller has before it, as the bytes that
NXT_PACKET_IN2 and NXT_RESUME carry.

They are private to the switch, and whole: nothing has to be kept for a packet that waits.  What
the tables, metadata and registers are to the packet is in the message's match, which the
controller may change.  The form is a run of properties; what is left to do is in them as text,
which is looked at like a flow's when it comes back, for a controller can send anything.
"""

from struct import Struct
from typing import Any

from datapath.key import flow
from ofproto.codec.actions import CheckContext, check_actions, format_actions, parse_actions
from ofproto.codec.errors import OFError
from ofproto.codec.instructions import check_instructions, format_instructions, parse_instructions
from ofproto.codec.match import Match
from ofproto.codec.match_text import TextError
from ofproto.codec.messages.properties import make, split
from ofproto.codec.numbers import N_VISIBLE_TABLES, OF15, OFPP_UNSET
from ofproto.rules.classifier import Rule
from ofproto.rules.compile import compile_actions

from .recirc import FrozenState

_PAD = bytes(4)  # the properties stand within another, whose payload is aligned to 8
_FIRST = 0xA000  # apart from the types that Open vSwitch has, and prints
_BRIDGE, _STACK, _STEP, _ACTION_SET, _FLAGS, _MIRRORS = range(_FIRST, _FIRST + 6)
_STEP_HEAD = Struct("!BBQ")  # table, _HAS_RULE | _MISS, the rule's cookie
_HAS_RULE, _MISS = 1, 2
_KEPT_FLAGS = 0x2F  # of FrozenState: where the actions stand, whether ct_* are known
_VALUE = 16  # bytes of one on the stack
_MAX_STEPS, _MAX_STACK = 64, 1024
_IN_PHY_PORT = flow.MEMBERS["in_phy_port"]
_ACTSET = flow.MEMBERS["actset_output"]


def encode(state: Any) -> bytes:
    """The continuation of a frozen state."""
    rows = [(_BRIDGE, state.bridge.name.encode()), (_FLAGS, bytes((state.flags & _KEPT_FLAGS,)))]
    if state.mirrors:
        rows.append((_MIRRORS, state.mirrors.to_bytes(4, "big")))
    if state.stack:
        rows.append((_STACK, b"".join(state.stack)))
    for program, pc, table_id, rule in state.todo:
        text = format_instructions(program.remaining(pc))
        rows.append((_STEP, _STEP_HEAD.pack(table_id, *_rule_bits(rule)) + text.encode()))
    for program in state.action_set:
        rows.append((_ACTION_SET, format_actions(program.remaining(0)).encode()))
    return _PAD + b"".join([make(kind, value) for kind, value in rows])


def _rule_bits(rule: Any) -> tuple[int, int]:
    if rule is None:
        return 0, 0
    miss = rule.priority == 0 and not any(rule.mask)
    return _HAS_RULE | _MISS * miss, rule.cookie


def decode(bridge: Any, told: Any) -> Any:
    """The FrozenState of a packet that a controller sends back (`told`, a PacketIn) to `bridge`.

    Raises OFError: NXR_STALE for what this bridge does not know, or a check's.
    """
    if told.continuation is None:
        raise OFError("NXR_STALE", "NXT_RESUME without a continuation")
    found: dict[int, list[bytes]] = {_FIRST + i: [] for i in range(6)}
    for kind, value in split(told.continuation[len(_PAD) :], "NXR_STALE"):
        if kind not in found:
            raise OFError("NXR_STALE", f"property {kind}")
        found[kind].append(value)
    if found[_BRIDGE] != [bridge.name.encode()] or [len(each) for each in found[_FLAGS]] != [1]:
        raise OFError("NXR_STALE", "continuation of another bridge")
    if len(found[_STEP]) > _MAX_STEPS or len(found[_ACTION_SET]) > _MAX_STEPS:
        raise OFError("NXR_STALE", "too many steps")
    action_set = [_actions(bridge, text) for text in found[_ACTION_SET]]
    return FrozenState(
        bridge, _pipeline(told, action_set), told.in_port, _stack(b"".join(found[_STACK])),
        [_step(bridge, value) for value in found[_STEP]],
        [_program(actions) for actions in action_set], found[_FLAGS][0][0] & _KEPT_FLAGS,
        mirrors=int.from_bytes(b"".join(found[_MIRRORS])[:4], "big"),
    )  # fmt: skip


def _stack(values: bytes) -> list[bytes]:
    if len(values) % _VALUE or len(values) > _MAX_STACK * _VALUE:
        raise OFError("NXR_STALE", f"stack of {len(values)} bytes")
    return [values[at : at + _VALUE] for at in range(0, len(values), _VALUE)]


def _text(value: bytes, parse: Any) -> Any:
    try:
        return parse(value.decode())
    except (TextError, UnicodeDecodeError, RecursionError) as error:
        raise OFError("NXR_STALE", str(error)) from None


def _context(bridge: Any, table_id: int) -> CheckContext:
    # A packet may be anything by now: what an action wants of it is looked at when it runs.
    return CheckContext(None, OF15, table_id, N_VISIBLE_TABLES, bridge.groups, bridge.meters)


def _actions(bridge: Any, value: bytes) -> list[Any]:
    actions = bridge.options.of_actions(_text(value, parse_actions))
    check_actions(actions, _context(bridge, 0))
    return actions


def _program(actions: Any, instructions: Any = ()) -> Any:
    try:
        return compile_actions(actions, instructions)
    except ValueError as error:  # an action that translation does not have
        raise OFError("NXR_STALE", str(error)) from None


def _step(bridge: Any, value: bytes) -> tuple[Any, int, int, Any]:
    if len(value) < _STEP_HEAD.size:
        raise OFError("NXR_STALE", "truncated step")
    table_id, bits, cookie = _STEP_HEAD.unpack_from(value)
    instructions = _text(value[_STEP_HEAD.size :], parse_instructions)
    instructions = bridge.options.of_actions(instructions)
    check_instructions(instructions, _context(bridge, table_id))
    program = _program((), instructions)
    rule = None
    if bits & _HAS_RULE:
        rule = Rule(Match(), 0 if bits & _MISS else 1, table_id=table_id, cookie=cookie)
    return program, 0, table_id, rule


def _pipeline(told: Any, action_set: list[list[Any]]) -> bytes:
    """Registers and metadata as the controller says, and what goes without saying."""
    key = bytearray(told.match.key_bytes)
    for (offset, size), value in (
        (_IN_PHY_PORT, told.in_port),
        (_ACTSET, _output_of(action_set)),
    ):
        if not any(key[offset : offset + size]):
            key[offset : offset + size] = value.to_bytes(size, "big")
    return bytes(key[flow.KEY_DP_SIZE :])


def _output_of(action_set: list[list[Any]]) -> int:
    """As write_actions has set it."""
    port = OFPP_UNSET
    for action in (each for actions in action_set for each in actions):
        name = type(action).__name__
        if name == "Group":
            return OFPP_UNSET
        if name == "Output":
            port = action.port
    return port
