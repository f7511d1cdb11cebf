"""Flows and statistics for `-f json`."""

from ofproto.codec import messages as m
from ofproto.codec.match import Match
from ofproto.codec.match_text import format_eth, format_terms, split_terms
from ofproto.text.flow_text import FLAGS
from ofproto.text.message_text import FRAGS
from ofproto.text.message_text_stats import (
    ACTIONS_10,
    CAPABILITIES,
    CONFIG_BITS,
    FEATURE_BITS,
    STATE_BITS,
    bit_names,
)
from pyvs.record import fields


def match_value(match: Match, names=None) -> dict:
    """The terms of a match, `{"tcp": true, "nw_dst": "10.0.0.1"}`; decimal numbers as such."""
    value = {}
    for term in format_terms(match, names):
        for key, text in split_terms(term):
            value[key] = True if text is None else int(text) if text.isdecimal() else text
    return value


def instruction_values(instructions, names=None) -> list[str]:
    """Each action or instruction as text; none: the flow drops."""
    texts = []
    for each in instructions:
        actions = getattr(each, "actions", None)
        if actions is not None and type(each).__name__ == "ApplyActions":
            texts += [action.format(names) for action in actions]
        else:
            texts.append(each.format(names))
    return texts


def flow_value(flow: m.FlowStats, stats: bool = True, names=None) -> dict:
    """A flow; counters and ages only with `stats`."""
    value = {"cookie": flow.cookie, "table": flow.table_id, "priority": flow.priority}
    if stats:
        value["duration"] = flow.duration_sec + flow.duration_nsec / 1e9
        value |= {"n_packets": flow.n_packets, "n_bytes": flow.n_bytes}
        value |= {
            name: getattr(flow, name)
            for name in ("idle_age", "hard_age")
            if getattr(flow, name) is not None
        }
    value |= {"idle_timeout": flow.idle_timeout, "hard_timeout": flow.hard_timeout}
    value["flags"] = [word for word, bit in FLAGS.items() if flow.flags & bit]
    value["match"] = match_value(flow.match, names)
    value["actions"] = instruction_values(flow.instructions, names)
    return value


def _words(bits, names):
    """Names of set bits, as a list."""
    return bit_names(bits, names).split() if bits else []


# Members of messages that are bits -> the names of these
_BITS = {
    (m.PortDesc, "config"): CONFIG_BITS,
    (m.PortDesc, "state"): STATE_BITS,
    **{(m.PortDesc, name): FEATURE_BITS for name in ("curr", "advertised", "supported", "peer")},
}


def _member(value, name):
    member = getattr(value, name)
    names = _BITS.get((type(value), name))
    return _plain(member) if names is None else _words(member, names)


def _plain(value):
    """Any value of a message as JSON has it."""
    if described := fields(value):
        return {
            field.name: _member(value, field.name)
            for field in described
            if field.name not in ("version", "xid", "more", "nxm")
        }
    if isinstance(value, bytes):
        return format_eth(int.from_bytes(value, "big")) if len(value) == 6 else value.hex()
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, int | str | float | bool):
        return value
    return value.format() if hasattr(value, "format") else getattr(value, "name", str(value))


_LISTS = ("ports", "tables", "queues", "groups", "meters")


def reply_value(replies: list):
    """One value for all parts of a reply: a list of its items, or an object."""
    for name in _LISTS:
        if hasattr(replies[0], name) and not isinstance(replies[0], m.FeaturesReply):
            return [_plain(item) for reply in replies for item in getattr(reply, name)]
    value = _plain(replies[0])
    if isinstance(replies[0], m.FeaturesReply):
        value["datapath_id"] = f"{replies[0].datapath_id:016x}"
        bits = value["capabilities"]
        value["capabilities"] = [name for bit, name in CAPABILITIES.items() if bits & bit]
        value["actions"] = _words(value["actions"], ACTIONS_10)
    if isinstance(replies[0], m.GetConfigReply):
        value["frags"] = FRAGS[value.pop("flags") & 3]
    return value
