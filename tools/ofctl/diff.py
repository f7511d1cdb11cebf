"""Flow tables side by side: diff-flows and replace-flows.

A table is a dict from (table, priority, match) to Version.
"""

import os
import sys
from typing import NamedTuple

from ofproto.codec import messages as m
from ofproto.codec.instructions import format_instructions
from ofproto.codec.match_text import format_match
from ofproto.text.flow_text import encode_flow
from pyvs.record import replace
from pyvs_tools.command import Fatal

from . import flows as flows_
from . import wire_tables

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


class _Source(NamedTuple):
    """What diff-flows compares: the reply of a switch, or the flows of a file."""

    session: object
    raws: list | None
    flows: list | None

    def wire_table(self, form=None):
        """Its rows; a file's in the form of a switch's.  None where there is none."""
        if self.raws is not None:
            return wire_tables.of_replies(self.raws)
        return wire_tables.of_flows(form, self.flows)

    def table(self, version):
        """Its table; a file's flows as a switch tells them in this version."""
        if self.raws is not None:
            return table_of(_flows_in(self.session, self.raws))
        flows = flows_.mods_of(self.flows)
        return table_of(as_told(version, flows) if version else flows)


def _read_switch(settings, target):
    session, request = flows_.open_for_dump(settings, target)
    return _Source(session, list(session.raw_replies(request)), None)


def _read_file(settings, path, session):
    if path != "-" and not os.path.exists(path):
        raise Fatal(f"{path}: open (No such file or directory)")
    names = settings.numbers(session) if session else None
    return _Source(session, None, flows_.read_flows(path, m.ADD, names))


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
    """The tables of two sources, without flows that are seen to be the same before; port names in
    a file are those of the switch, if there is one."""
    read, session = [None, None], None
    for at, source in enumerate(sources):
        if not _is_file(source):
            read[at] = _read_switch(settings, source)
            session = read[at].session
    for at, source in enumerate(sources):
        if read[at] is None:
            read[at] = _read_file(settings, source, session)
    tables = session and _different(read, session.version)
    return (*(tables or [each.table(session and session.version) for each in read]), session)


def _different(sources, version):
    """The tables of two sources without what is the same; None where it cannot be said."""
    try:
        rows = [each.raws and each.wire_table() for each in sources]
        form = next((each.form for each in rows if each), None)
        if form is None:
            return None
        rows = [
            each if each or source.raws is not None else source.wire_table(form)
            for each, source in zip(rows, sources, strict=True)
        ]
        if not all(rows) or any(each.form is not form for each in rows):
            return None
        same = set(wire_tables.compare(*rows)[0])
        return [_rest(table, same, version) for table in rows]
    except m.OFError:
        return None


def _rest(table, same, version):
    """Of a wire table, as a table: what is not among the same."""
    if table.flows:
        flows = [flow for key, flow in table.flows.items() if key not in same]
        return table_of(as_told(version, flows_.mods_of(flows)))
    return table_of(table.decode(key for key in table.rows if key not in same))


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
    raws = list(session.raw_replies(_request_for(session, form)))
    mods = _changes_of_rows(session, raws, wanted, "readd" in settings)
    if mods is None:
        have = table_of(_flows_in(session, raws))
        want = table_of(as_told(session.version, flows_.mods_of(wanted)))
        mods = changes(have, want, "readd" in settings)
    if session.version == flows_.OF10:
        form = flows_.choose_format(session, mods, flows_.allowed_formats(settings))
    flows_.send_mods(session, mods, form)


def _flows_in(session, raws):
    return [flow for raw in raws for flow in session.decode(raw).flows]


def _changes_of_rows(session, raws, wanted, readd):
    """changes() of what a switch tells and the flows of a file; None where it cannot be said
    without looking closer."""
    try:
        have = wire_tables.of_replies(raws)
        want = have and wire_tables.of_flows(have.form, wanted)
        if not want or readd:
            return None
        same, different = wire_tables.compare(have, want)
        common = {*same, *different}
        gone = table_of(have.decode(key for key in have.rows if key not in common))
    except m.OFError:
        return None
    left = [(key, flow) for key, flow in want.flows.items() if key not in common]
    new = (
        table_of(as_told(session.version, flows_.mods_of(flow for _, flow in left))) if gone else {}
    )
    if gone.keys() & new.keys():
        return None  # the same match in two forms
    mods = [(key[0], _deletion(key, version)) for key, version in gone.items()]
    dropped = set(same)
    for key, flow in want.flows.items():
        if key not in dropped:
            mods.append((key[0], flow if session.version > flows_.OF10 else _told(flow, key[0])))
    return [mod for _table, mod in sorted(mods, key=lambda each: each[0])]  # stable


def _told(flow, table):
    """A flow of a file for 1.0, whose messages leave out the first table."""
    (told,) = as_told(flows_.OF10, flows_.mods_of([flow]))
    return replace(told, table_id=table)


def _request_for(session, form):
    """That for all flows; with Nicira's match where there is one, since others lose some."""
    request = m.FlowStatsRequest()
    if session.version == flows_.OF10 and (form[0] or flows_.try_nxm(session)):
        request = m.FlowStatsRequest(nxm=True)
        if form[0]:
            flows_.set_flow_format(session, True, False)
    return request
