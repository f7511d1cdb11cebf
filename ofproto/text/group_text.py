"""Groups as text: the "Group Syntax" of ovs-ofctl(8).

    group_id=1,type=select,bucket=weight:3,output:1,bucket=watch_port:2,actions=output:2

Errors in text raise TextError, whose message is for the user.
"""

import re

from ofproto.codec.actions.base import Action, long_number, parse_action
from ofproto.codec.fields import BY_NAME, selection_order
from ofproto.codec.match_text import (
    PortNumbers,
    TextError,
    parse_int,
    parse_port,
    parse_value,
    split_terms,
)
from ofproto.codec.messages import (
    BUCKET_ALL,
    BUCKET_FIRST,
    BUCKET_LAST,
    GROUP_ADD,
    GROUP_ADD_OR_MODIFY,
    GROUP_ALL,
    GROUP_DELETE,
    GROUP_FAST_FAILOVER,
    GROUP_INDIRECT,
    GROUP_INSERT_BUCKET,
    GROUP_MODIFY,
    GROUP_REMOVE_BUCKET,
    GROUP_SELECT,
    OFPG_ALL,
    OFPG_ANY,
    Bucket,
    GroupMod,
)
from ofproto.codec.numbers import OFPP_MAX, OFPP_NONE
from ofproto.text.flow_text import leading_command

OFPG_MAX = 0xFFFFFF00
MAX_METHOD = 15  # bytes of a selection method's name
TYPES = {
    "all": GROUP_ALL,
    "select": GROUP_SELECT,
    "indirect": GROUP_INDIRECT,
    "ff": GROUP_FAST_FAILOVER,
    "fast_failover": GROUP_FAST_FAILOVER,
}
# What a line of a file may begin with, and what it means then; see flow_text.COMMANDS
COMMANDS = {
    "add": GROUP_ADD,
    "delete": GROUP_DELETE,
    "modify": GROUP_MODIFY,
    "add_or_mod": GROUP_ADD_OR_MODIFY,
    "insert_bucket": GROUP_INSERT_BUCKET,
    "remove_bucket": GROUP_REMOVE_BUCKET,
}
_BUCKET_WORDS = {"first": BUCKET_FIRST, "last": BUCKET_LAST, "all": BUCKET_ALL}
_WITHOUT_BUCKETS = (GROUP_DELETE, GROUP_REMOVE_BUCKET)
_WITHOUT_TYPE = (*_WITHOUT_BUCKETS, GROUP_INSERT_BUCKET)
_OF_BUCKETS = (GROUP_INSERT_BUCKET, GROUP_REMOVE_BUCKET)
_BUCKET = re.compile(r"(?:^|[,\s])\s*bucket=")


def parse_group_id(text: str) -> int:
    """A group's number, or `all`."""
    if text.lower() == "all":
        return OFPG_ALL
    number = long_number(text, 32)
    if number > OFPG_MAX:
        raise TextError(f"invalid group id {number}")
    return number


def split_command(line: str) -> tuple[int, str]:
    """The command that a line begins with, GROUP_ADD without one, and the rest."""
    command, rest = leading_command(line, COMMANDS)
    return (GROUP_ADD, line) if command is None else (command, rest)


def parse_group(text: str, command: int, ports: PortNumbers = None) -> GroupMod:
    """The GROUP_MOD that a text means; GROUP_DELETE without a group means all of them."""
    head, *buckets = _BUCKET.split(text)
    if command in _WITHOUT_BUCKETS and buckets:
        raise TextError("bucket is not needed")
    words = _read_head(head, command)
    if command == GROUP_DELETE:
        return GroupMod(command, group_id=words.get("group_id", OFPG_ALL))
    _check_given(words, command)
    kind = words.get("type")
    made = [_parse_bucket(each, kind, ports) for each in buckets]
    if kind == GROUP_INDIRECT and len(made) > 1:
        raise TextError("Indirect groups can have at most one bucket.")
    where = words.get("command_bucket_id", BUCKET_ALL)
    selection = {name: words[name] for name, _ in _SELECTION.values() if name in words}
    return GroupMod(command, kind or GROUP_ALL, words["group_id"], made, where, **selection)


def _check_given(words, command):
    if "group_id" not in words:
        raise TextError("must specify a group_id")
    if "type" not in words and command not in _WITHOUT_TYPE:
        raise TextError("must specify a type")
    method = words.get("method")
    if method and words.get("type", GROUP_SELECT) != GROUP_SELECT:
        raise TextError("selection method is only for select groups")
    if not method and "parameter" in words:
        raise TextError('selection_method_param is only allowed with "selection_method"')
    if method != "hash" and "fields" in words:
        raise TextError('fields may only be specified with "selection_method=hash"')
    if command == GROUP_INSERT_BUCKET:
        if "command_bucket_id" not in words:
            raise TextError("must specify a command bucket id")
        if words["command_bucket_id"] == BUCKET_ALL:
            raise TextError("command_bucket_id=all is not permitted")


def _read_head(text, command):
    words = {}
    for key, value in split_terms(text):
        if key == "group_id":
            words[key] = parse_group_id(value or "")
        elif key == "type":
            if command in _WITHOUT_TYPE:
                raise TextError("type is not needed")
            if value not in TYPES:
                raise TextError(f"invalid group type {value or ''}")
            words[key] = TYPES[value]
        elif key == "command_bucket_id":
            if command not in _OF_BUCKETS:
                raise TextError("command bucket id is not needed")
            words[key] = _parse_bucket_id(value or "", "command bucket id")
        elif key in _SELECTION and command not in _WITHOUT_TYPE:
            name, parse = _SELECTION[key]
            words[name] = parse(value or "")
        else:
            raise TextError(f"unknown keyword {key}")
    return words


def _parse_method(text):
    if len(text) > MAX_METHOD:
        raise TextError(f"selection method is longer than {MAX_METHOD} bytes long")
    return text


def _parse_fields(text):
    """((Field, mask), ...) of `ip_dst,tcp_src=0xff`."""
    found = {}
    for name, value in split_terms(text):
        field = BY_NAME.get(name)
        if field is None:
            raise TextError(f"{name}: unknown field")
        if field in found:
            raise TextError(f"{name}: duplicate field")
        found[field] = field.mask if value is None else parse_value(field, value)[0]
    return tuple(sorted(found.items(), key=selection_order))


# Of groups of type select: the attribute of GroupMod, and how it is read.
_SELECTION = {
    "selection_method": ("method", _parse_method),
    "selection_method_param": ("parameter", lambda text: long_number(text, 64)),
    "fields": ("fields", _parse_fields),
}


def _parse_bucket_id(text, what):
    if what == "command bucket id" and text in _BUCKET_WORDS:
        return _BUCKET_WORDS[text]
    number = long_number(text, 32)
    if number > OFPG_MAX:
        raise TextError(f"invalid {what} {number}")
    return number


def _parse_bucket(text, kind, ports):
    """`kind` None: of a group whose type is not told."""
    bucket = Bucket(weight=1 if kind == GROUP_SELECT else 0)
    steps = []
    for key, value in split_terms(text):
        if key in _KEYS:
            _KEYS[key](bucket, value or "", ports)
        elif key in ("action", "actions"):
            steps += split_terms(value or "")
        else:
            steps.append((key, value))
    if not steps:
        raise TextError("bucket must specify actions")
    bucket.actions = _parse_steps(steps, ports)
    if bucket.weight and kind not in (GROUP_SELECT, None):
        raise TextError("Only select groups can have bucket weights.")
    watches = bucket.watch_port != OFPP_NONE or bucket.watch_group is not None
    if kind == GROUP_FAST_FAILOVER and not watches:
        raise TextError("fast failover bucket requires watch_port or watch_group")
    return bucket


def _parse_steps(steps, ports) -> list[Action]:
    if any(name == "drop" for name, _ in steps):
        if len(steps) > 1:
            raise TextError('"drop" must not be accompanied by any other action or instruction')
        return []
    return [parse_action(name, value, ports) for name, value in steps]


def _set_weight(bucket, value, _ports):
    bucket.weight = parse_int(value, "weight", 16)


def _set_watch_port(bucket, value, ports):
    port = parse_port(value, ports)
    if port is None or (port >= OFPP_MAX and port != OFPP_NONE):
        raise TextError(f"{value}: invalid watch_port")
    bucket.watch_port = port


def _set_watch_group(bucket, value, _ports):
    group = long_number(value, 32)
    if group > OFPG_MAX and group != OFPG_ANY:
        raise TextError(f"{value}: invalid watch_group")
    bucket.watch_group = None if group == OFPG_ANY else group


def _set_bucket_id(bucket, value, _ports):
    bucket.bucket_id = _parse_bucket_id(value, "bucket_id id")


_KEYS = {
    "weight": _set_weight,
    "watch_port": _set_watch_port,
    "watch_group": _set_watch_group,
    "bucket_id": _set_bucket_id,
}
