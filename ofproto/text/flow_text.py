"""Flows as text: the "Flow Syntax" of ovs-ofctl(8), and the lines that dump-flows prints.

    priority=5,tcp,nw_dst=10.0.0.1,idle_timeout=60,actions=output:2

Errors in text raise TextError, whose message is for the user.
"""

from collections.abc import Callable

from ofproto.codec import match_text
from ofproto.codec.actions.base import CheckContext, parse_subfield
from ofproto.codec.errors import OFError, Refusal
from ofproto.codec.instructions import check_instructions, format_instructions, parse_instructions
from ofproto.codec.match import Match
from ofproto.codec.match_text import (
    DEFAULT_PRIORITY,
    PortNames,
    PortNumbers,
    TextError,
    check_needed,
    format_match,
    parse_int,
    parse_port,
    set_term,
    split_terms,
)
from ofproto.codec.messages import (
    ADD,
    DELETE,
    DELETE_STRICT,
    MODIFY,
    MODIFY_STRICT,
    FlowMod,
    FlowStatsRequest,
)
from ofproto.codec.normal_form import normalize
from ofproto.codec.numbers import OF10, OFPP_NONE
from pyvs import digits
from pyvs.record import field, record

ALL_TABLES = match_text.ALL_TABLES
OFPG_MAX = 0xFFFFFF00
_GROUPS = {"all": 0xFFFFFFFC, "any": 0xFFFFFFFF}
_U64 = (1 << 64) - 1
DUMP = -1  # a command of this module: text that selects flows

# Flags of a flow, by their words; the bits of OpenFlow 1.3's flow mods
FLAGS = {
    "send_flow_rem": 1,
    "check_overlap": 2,
    "reset_counts": 4,
    "no_packet_counts": 8,
    "no_byte_counts": 16,
}
# What a line may begin with, and what it means then; in the order in which the beginning of a word
# stands for it
COMMANDS = {
    "add": ADD,
    "delete": DELETE,
    "delete_strict": DELETE_STRICT,
    "modify": MODIFY,
    "modify_strict": MODIFY_STRICT,
}
TableNames = dict[int, str] | None

# Printed by dump-flows, and passed over so that its output can be read again
_IGNORED = {"duration", "n_packets", "n_bytes", "idle_age", "hard_age"}
_IGNORED_WORDS = {"no_readonly_table", "allow_hidden_fields"}
_SELECT = {"out_port", "out_group"}
_MAKE = {"priority", "idle_timeout", "hard_timeout", *FLAGS}
# Keys beside the match, by command; table and cookie are common to all.
_KEYS = {
    DUMP: _SELECT,
    ADD: _MAKE | {"importance"},
    MODIFY: _MAKE,
    MODIFY_STRICT: _MAKE,
    DELETE: _SELECT,
    DELETE_STRICT: _SELECT | {"priority"},
}
_WITH_ACTIONS = (ADD, MODIFY, MODIFY_STRICT)


@record
class _Terms:
    """What the terms of a flow said, as they are read."""

    command: int
    ports: PortNumbers
    match: Match = field(default_factory=Match)
    values: dict = field(default_factory=dict)
    flags: int = 0


# Keys: (terms, key, value) -> what is wrong with it raises TextError


def _set_flag(terms, key, value):
    terms.flags |= FLAGS[key]


def _set_u16(terms, key, value):
    terms.values[key] = parse_int(value, key, 16)


def _set_table(terms, key, value):
    terms.values["table_id"] = parse_table(value, terms.ports)


def _set_out_port(terms, key, value):
    port = parse_port(value, terms.ports)
    if port is None:
        raise TextError(f"{value} is not a valid OpenFlow port")
    terms.values[key] = port


def _set_out_group(terms, key, value):
    terms.values[key] = parse_group(value)


def _set_cookie(terms, key, value):
    cookie, slash, mask = value.partition("/")
    if not slash:
        if terms.command not in _WITH_ACTIONS:
            raise TextError(
                f"cannot set cookie (to match on a cookie, specify a mask, e.g. cookie={value}/-1)"
            )
        terms.values["new_cookie"] = _parse_u64(cookie)
        return
    if terms.command == ADD:
        raise TextError("flow additions cannot use a cookie mask")
    terms.values["cookie_mask"] = _parse_u64(mask)
    terms.values["cookie"] = _parse_u64(cookie) & terms.values["cookie_mask"]


_SETTERS: dict[str, Callable] = {
    "table": _set_table,
    "cookie": _set_cookie,
    "out_port": _set_out_port,
    "out_group": _set_out_group,
    **dict.fromkeys(("priority", "idle_timeout", "hard_timeout", "importance"), _set_u16),
    **dict.fromkeys(FLAGS, _set_flag),
}


def _parse_u64(text: str) -> int:
    """A 64-bit number; a negative one counts from the top."""
    negative = text.startswith("-")
    try:
        number = parse_int(text[negative:], "number")
    except TextError:
        raise TextError(f"invalid numeric format {text}") from None
    return -number & _U64 if negative else number


def parse_table(text: str, names: PortNumbers = None) -> int | None:
    """A table by number or name; None for 255, which stands for all of them."""
    found = match_text.parse_table(text, names)
    if found is None:
        raise TextError(f'unknown table "{text}"')
    return None if found == ALL_TABLES else found


def parse_group(text: str) -> int:
    """A group's number, or `all` or `any`."""
    if text.lower() in _GROUPS:
        return _GROUPS[text.lower()]
    number = digits.number(text, OFPG_MAX - 1)
    if number is None:
        raise TextError(f"{text} is not a valid OpenFlow group")
    return number


def _set_subfield(match, key, value):
    """`reg0[3..5]=2` adds bits to what the match has of the field."""
    found, start, n_bits = parse_subfield(key)
    try:
        number = parse_int(value or "", key, 8 * found.n_bytes)
    except TextError:
        raise TextError(f"{key}: cannot parse integer value: {value}") from None
    if number >> n_bits:
        raise TextError(f"{key}: value {number:#x} does not fit into {n_bits} bits")
    before, mask = match.get(found)
    ones = (1 << n_bits) - 1 << start
    match.set(found, before & ~ones | number << start, mask | ones)


def _read_terms(text, terms):
    for key, value in split_terms(text):
        if key in _KEYS[terms.command] or key in ("table", "cookie"):
            if not value and key not in FLAGS:
                raise TextError(f"field {key} missing value")
            _SETTERS[key](terms, key, value)
        elif "[" in key:
            _set_subfield(terms.match, key, value)
        elif key not in _IGNORED_WORDS and not set_term(terms.match, key, value, terms.ports):
            if not value:
                raise TextError(f"field {key} missing value")
            if key not in _IGNORED:
                raise TextError(f"unknown keyword {key}")


def _split_actions(text):
    """(what stands before `actions=`, what follows)."""
    start = text.find("action")
    equals = text.find("=", start)
    if start < 0 or equals < 0:
        raise TextError("must specify an action")
    return text[:start], text[equals + 1 :]


def check_flow(instructions, match: Match, table: int | None, version: int) -> None:
    """Raises OFError where instructions are none for a flow of `table` (None: not said)."""
    place = -1 if table is None else table
    everything = range(1 << 32)
    context = CheckContext(match, version, place, ALL_TABLES, everything, everything)
    check_instructions(instructions, context)


def _check(instructions, match, table, version):
    try:
        check_flow(instructions, match, table, version)
    except Refusal as error:
        raise TextError(error.detail) from None
    except OFError as error:
        raise TextError(f"actions are invalid with specified match ({error.name})") from None


def parse_flow(
    text: str,
    command: int = ADD,
    names: PortNumbers = None,
    *,
    version: int = OF10,
) -> FlowMod:
    """The flow mod of a flow's text.  `names`: ports by name, or match_text.Names of tables, too;
    Actions are checked as `version` has it; 1.0 is the most lenient.  Raises TextError."""
    terms = _Terms(command, names)
    instructions = []
    if command in _WITH_ACTIONS:
        text, actions = _split_actions(text)
        instructions = parse_instructions(actions, names)
    _read_terms(text, terms)
    check_needed(terms.match)
    normalize(terms.match)
    values = terms.values
    if instructions:
        _check(instructions, terms.match, values.get("table_id"), version)
    if command == ADD:
        values["cookie"] = values.pop("new_cookie", 0)
    elif command in _WITH_ACTIONS and "cookie_mask" not in values:
        values.setdefault("new_cookie", 0)  # also for the flow that is made where none is there
    return FlowMod(
        command=command, match=terms.match, flags=terms.flags, instructions=instructions, **values
    )


def encode_flow(
    flow: FlowMod, version: int, xid: int = 0, *, nxm: bool = False, table_id: bool = False
) -> bytes:
    """A flow mod's bytes.  After 1.0 only deletions can leave the table open: others are for
    table 0 there.  `nxm`, `table_id`: as FlowMod.encode() has them.  Raises ValueError, OFError."""
    return flow.encode(version, xid, nxm=nxm, table_id_in_command=table_id)


def parse_flow_request(
    text: str,
    names: PortNumbers = None,
    *,
    request=FlowStatsRequest,
):
    """The request, FlowStatsRequest or AggregateRequest, for the flows that text selects."""
    terms = _Terms(DUMP, names)
    _read_terms(text, terms)
    check_needed(terms.match)
    terms.match.normalize()  # nobody is told, as by ovs-ofctl
    return request(match=terms.match, **terms.values)


def split_command(text: str, default: int = ADD) -> tuple[int, str]:
    """The command that a line of a flow file begins with, and the rest of it."""
    command, rest = leading_command(text, COMMANDS)
    return (default, text) if command is None else (command, rest)


def leading_command(text: str, commands: dict[str, int]) -> tuple[int | None, str]:
    """The command that a text's first word, or the beginning of one, names, and the rest."""
    stripped = text.lstrip()
    word = next(iter(stripped.replace(",", " ").split(maxsplit=1)), "")
    for name, command in commands.items():
        if word and name.startswith(word):
            return command, stripped[len(word) :]
    return None, text


# Printing


def format_duration(seconds: int, nanoseconds: int) -> str:
    """`3s`, `3.250s` or `3.00000001s`."""
    if not nanoseconds:
        return f"{seconds}s"
    if nanoseconds % 1_000_000:
        return f"{seconds}.{nanoseconds:09}".rstrip("0") + "s"
    return f"{seconds}.{nanoseconds // 1_000_000:03}s"


def format_table(table: int | None, names: TableNames = None) -> str:
    """A table's name where it has one in `names`, or its number."""
    number = ALL_TABLES if table is None else table
    if not names:
        return str(number)
    return match_text.format_table(number, match_text.Names({}, names))


def format_flags(flags: int) -> str:
    """Words of flow flags, a space behind each; bits that none has as a number."""
    words = [f"{word} " for word, bit in FLAGS.items() if flags & bit]
    rest = flags & ~sum(FLAGS.values())
    return "".join(words) + (f"0x{rest:x} " if rest else "")


def format_flow(
    flow,
    *,
    stats: bool = True,
    names: PortNames = None,
) -> str:
    """A messages.FlowStats as dump-flows prints it, without the space in front.

    `stats` False leaves out counters and ages, and cookie and table where they are 0.
    """
    return format_head(flow, stats=stats, names=names) + format_body(flow, names)


def format_head(flow, *, stats: bool = True, names: PortNames = None) -> str:
    """What stands before a flow's match."""
    parts = []
    if stats or flow.cookie:
        parts.append(f"cookie={flow.cookie:#x}, ")
    if stats:
        parts.append(f"duration={format_duration(flow.duration_sec, flow.duration_nsec)}, ")
    tables = getattr(names, "tables", None)
    if stats or flow.table_id or (tables and flow.table_id in tables):
        parts.append(f"table={format_table(flow.table_id, tables)}, ")
    if stats:
        parts.append(f"n_packets={_count(flow.n_packets)}, n_bytes={_count(flow.n_bytes)}, ")
    if flow.idle_timeout:
        parts.append(f"idle_timeout={flow.idle_timeout}, ")
    if flow.hard_timeout:
        parts.append(f"hard_timeout={flow.hard_timeout}, ")
    if flow.flags:
        parts.append(format_flags(flow.flags))
    if flow.importance:
        parts.append(f"importance={flow.importance}, ")
    if stats:
        parts.append(_format_ages(flow))
    return "".join(parts)


def format_body(flow, names: PortNames = None) -> str:
    """Its match, with the priority, and what it does."""
    match = format_match(flow.match, names, flow.priority)
    actions = f"actions={format_instructions(flow.instructions, names)}"
    return f"{match} {actions}" if match else actions


def _count(number):
    return "?" if number is None else str(number)


def _format_ages(flow):
    """idle_age where it is known; hard_age where it tells more than the duration."""
    text = "" if flow.idle_age is None else f"idle_age={flow.idle_age}, "
    if flow.hard_age is not None and flow.hard_age != flow.duration_sec:
        text += f"hard_age={flow.hard_age}, "
    return text


__all__ = [
    "ALL_TABLES", "COMMANDS", "DEFAULT_PRIORITY", "FLAGS", "OFPP_NONE", "TextError",
    "encode_flow", "format_duration", "format_flags", "format_flow", "format_table", "parse_flow",
    "parse_flow_request", "parse_group", "parse_table", "split_command",
]  # fmt: skip
