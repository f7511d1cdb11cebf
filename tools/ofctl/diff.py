"""Flow tables side by side: diff-flows and replace-flows.

A table is a dict from (table, priority, match) to Version.
"""

import os
import sys
from dataclasses import replace
from typing import NamedTuple

from ofproto.codec import messages as m
from ofproto.codec.instructions import format_instructions
from ofproto.codec.match_text import format_match
from ofproto.text.flow_text import encode_flow
from pyvs_tools.command import Fatal

from . import flows as flows_

DIFFERENT = 2  # exit status


class Version(NamedTuple):
    """What two flows with the same key may differ in; instructions as text, so that two ways to
    say the same in different versions of OpenFlow compare equal where they print the same."""

    cookie: int
    idle_timeout: int
    hard_timeout: int
    importance: int
    actions: str
    flow: object  # FlowMod or FlowStats

    def same(self, other) -> bool:
        return self[:5] == other[:5]


def _entry(flow):
    key = (flow.table_id or 0, flow.priority, flow.match)
    actions = format_instructions(flow.instructions)
    return key, Version(
        flow.cookie, flow.idle_timeout, flow.hard_timeout, flow.importance, actions, flow
    )


def table_of(flows) -> dict:
    """Flows as a table; of two with the same key the later one counts."""
    return dict(map(_entry, flows))


def _is_file(name):
    """Names that begin with "/" or "." are files, ones with ":" are not; others are what exists."""
    if name.startswith(("/", ".")):
        return True
    return ":" not in name and (name == "-" or os.path.exists(name))


def _read_switch(settings, target):
    session, request = flows_.open_for_dump(settings, target)
    return table_of(flows_.collect(session, request)), session


def _read_file(settings, path, session):
    if path != "-" and not os.path.exists(path):
        raise Fatal(f"{path}: open (No such file or directory)")
    names = settings.numbers(session) if session else None
    flows = flows_.mods_of(flows_.read_flows(path, m.ADD, names))
    return table_of(as_told(session.version, flows) if session else flows)


def as_told(version: int, flows) -> list:
    """Flow mods as a switch tells them in a version: matches and actions that have several forms
    in text have one there, so that they compare equal to what a dump has."""
    told = []
    for flow in flows:
        try:
            raw = encode_flow(flow, version, nxm=True, table_id=True)
            back = m.decode(raw, flow_mod_table_id=True)
        except (ValueError, m.OFError):
            told.append(flow)
            continue
        told.append(replace(flow, match=back.match, instructions=back.instructions))
    return told


def _read_both(settings, sources):
    """The tables of two sources; port names in a file are those of the switch, if there is one."""
    tables, session = [None, None], None
    for at, source in enumerate(sources):
        if not _is_file(source):
            tables[at], session = _read_switch(settings, source)
    for at, source in enumerate(sources):
        if tables[at] is None:
            tables[at] = _read_file(settings, source, session)
    return (*tables, session)


def _line(key, version, names):
    """`table=1 priority=9,tcp cookie=0x3 actions=output:2`"""
    table, priority, match = key
    words = [f"table={table}"] if table else []
    words.append(format_match(match, names, priority))
    if version.cookie:
        words.append(f"cookie={version.cookie:#x}")
    for name in ("idle_timeout", "hard_timeout", "importance"):
        if getattr(version, name):
            words.append(f"{name}={getattr(version, name)}")
    words.append(f"actions={format_instructions(version.flow.instructions, names)}")
    return " ".join(words)


def _order(item):
    (table, priority, match), _version = item
    return table, -priority, format_match(match)


def diff_flows(settings, one, other):
    """diff-flows SOURCE1 SOURCE2"""
    left, right, session = _read_both(settings, (one, other))
    names = session.names() if session and settings.shows_names else None
    keys = sorted({**left, **right}.items(), key=_order)
    different = False
    for key, _ in keys:
        before, after = left.get(key), right.get(key)
        if before and after and before.same(after):
            continue
        different = True
        if before:
            sys.stdout.write(f"-{_line(key, before, names)}\n")
        if after:
            sys.stdout.write(f"+{_line(key, after, names)}\n")
    return DIFFERENT if different else 0


def _deletion(key, version):
    """Strictly that flow, its cookie included where the switch can look at it."""
    table, priority, match = key
    return m.FlowMod(m.DELETE_STRICT, match, priority, table_id=table)


def changes(have: dict, want: dict, readd: bool = False) -> list[m.FlowMod]:
    """The flow mods that make the tables `have` be `want`: table by table, deletions first.

    `readd`: flows that are the same are added, too.
    """
    mods = [_deletion(key, version) for key, version in have.items() if key not in want]
    for key, version in want.items():
        before = have.get(key)
        if readd or before is None or not before.same(version):
            mods.append(replace(version.flow, table_id=key[0]))
    return sorted(mods, key=lambda mod: mod.table_id or 0)  # stable


def replace_flows(settings, target, path):
    """[--readd] replace-flows SWITCH FILE"""
    if path != "-" and not os.path.exists(path):
        raise Fatal(f"{path}: open (No such file or directory)")
    session, wanted, form = flows_.open_for_mods(
        settings, target, lambda names: flows_.read_flows(path, m.ADD, names)
    )
    have = _read_have(session, form)
    wanted = flows_.mods_of(wanted)
    mods = changes(have, table_of(as_told(session.version, wanted)), "readd" in settings)
    if session.version == flows_.OF10:
        form = flows_.choose_format(session, mods, flows_.allowed_formats(settings))
    flows_.send_mods(session, mods, form)


def _read_have(session, form):
    """The flows of the switch; with Nicira's match where there is one, since others lose some."""
    request = m.FlowStatsRequest()
    if session.version == flows_.OF10 and (form[0] or flows_.try_nxm(session)):
        request = m.FlowStatsRequest(nxm=True)
        if form[0]:
            flows_.set_flow_format(session, True, False)
    return table_of(flows_.collect(session, request))
