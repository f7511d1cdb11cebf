"""Commands of pyvs-ofctl for flows: dump, add, modify, delete."""

import sys
from functools import cache

from datapath.base.protocols import ETH_IPV6
from ofproto.codec import messages as m
from ofproto.codec import notes
from ofproto.codec.actions import PushVlan, SetField
from ofproto.codec.dump import hex_dump
from ofproto.codec.fields import BY_NAME
from ofproto.codec.instructions import ClearActions, Meter, WriteActions, WriteMetadata
from ofproto.codec.match import VLAN_CFI, Match
from ofproto.codec.match_fixed import fits_of10, fits_of11
from ofproto.codec.match_text import format_match
from ofproto.codec.numbers import OF10, OF11, OF12, OF13, OF14, OF15
from ofproto.text import flow_text
from ofproto.text.flow_lines import FlowLine, FlowLines, examples
from ofproto.text.flow_text import (
    TextError,
    encode_flow,
    format_flow,
    parse_flow,
    parse_flow_request,
)
from ofproto.text.message_text import format_flows, format_message
from ofproto.text.row_lines import RowLines
from pyvs.record import replace
from pyvs_tools.command import Fatal

from .errors import SwitchError
from .switch import dump

# Flow formats: the name of each, and what it means of the version, NXM, and tables in commands.
FORMATS = {
    "OpenFlow10-table_id": (OF10, False, False),
    "OpenFlow10+table_id": (OF10, False, True),
    "NXM-table_id": (OF10, True, False),
    "NXM+table_id": (OF10, True, True),
    "OpenFlow11": (OF11, False, False),
    "OXM-OpenFlow12": (OF12, False, False),
    "OXM-OpenFlow13": (OF13, False, False),
    "OXM-OpenFlow14": (OF14, False, False),
    "OXM-OpenFlow15": (OF15, False, False),
}
# Names for several of them, by what theirs begin with
_ABBREVIATIONS = {"any": "", "OpenFlow10": "OpenFlow10", "NXM": "NXM", "OXM": "OXM"}
_NOT_IN_12 = m.NO_PKT_COUNTS | m.NO_BYT_COUNTS
_NOT_IN_11 = m.RESET_COUNTS | _NOT_IN_12


# Flow formats


def allowed_formats(settings, versions=None) -> dict:
    """The rows of FORMATS that -F allows.  `versions`: those that count without -O; None: all."""
    text = settings.options.get("flow-format")
    if text is None:
        return FORMATS
    if not text.strip(","):
        raise Fatal(f"{text}: no flow protocol specified")
    allowed = {}
    for word in text.split(","):
        low = word.lower()
        start = {name.lower(): text for name, text in _ABBREVIATIONS.items()}.get(low)
        if start is not None:
            allowed |= {name: row for name, row in FORMATS.items() if name.startswith(start)}
        elif low in (name.lower() for name in FORMATS):
            allowed |= {name: row for name, row in FORMATS.items() if name.lower() == low}
        else:
            raise Fatal(f"{word}: unknown flow protocol")
    _check_versions(settings, allowed, settings.versions or versions)
    return allowed


def _check_versions(settings, allowed, versions):
    if not allowed or (versions and versions.isdisjoint(row[0] for row in allowed.values())):
        known = sorted(versions or {row[0] for row in FORMATS.values()})
        names = ",".join(f"OpenFlow1{version - 1}" for version in known)
        given = short_names(allowed) or settings.options["flow-format"]
        raise Fatal(
            f"None of the enabled OpenFlow versions ({names}) supports any of the enabled flow "
            f"formats ({given}).  (Use -O to enable additional OpenFlow versions or -F to enable "
            "additional flow formats.)"
        )


def short_names(names) -> str:
    """A list of flow formats, with one name for several of them where all are there."""
    left, words = list(names), []
    for word, start in _ABBREVIATIONS.items():
        group = [name for name in FORMATS if name.startswith(start)]
        if all(name in left for name in group):
            words.append(word)
            left = [name for name in left if name not in group]
    return ",".join(words + left) or "none"


def usable_formats(flows) -> list[str]:
    """The formats that can say all of these flow mods or requests."""
    flows = examples(flows)
    return [name for name in FORMATS if all(_can_say(flow, *FORMATS[name]) for flow in flows)]


def _can_say(flow, version, nxm, table_id):
    if any(not field.headers for field, _value, _mask in flow.match.fields()):
        return False  # a field of the switch's own
    if version == OF10:
        if needs_nxm(flow) and not nxm:
            return False
        if flow.table_id is not None and not table_id:
            return False
    elif version == OF11 and not fits_of11(flow.match):
        return False
    if isinstance(flow, m.FlowMod):
        return _instructions_fit(flow, version, nxm)
    return version > OF10 or flow.out_group is None


def _instructions_fit(flow, version, nxm):
    if flow.flags & (_NOT_IN_11 if version <= OF11 else _NOT_IN_12 if version < OF13 else 0):
        return False
    if version == OF10 and (flow.out_group is not None or not (nxm or _sets_fit_10(flow))):
        return False
    if version == OF10 and _pushes_tag(flow):
        return False
    if version < OF13 and any(isinstance(each, Meter) for each in flow.instructions):
        return False
    if version == OF11 and not _sets_fit_11(flow.instructions):
        return False
    try:
        if version > OF10:  # as which it was checked when it was read
            with notes.unheard():
                flow_text.check_flow(flow.instructions, flow.match, flow.table_id, version)
        encode_flow(sayable(flow, version), version, nxm=True, table_id=True)
    except (ValueError, m.OFError):
        return False
    return True


def sayable(flow, version):
    """The flow mod without the instructions that 1.0 is sent without."""
    if version > OF10:
        return flow
    kept = [each for each in flow.instructions if not isinstance(each, WriteActions | ClearActions)]
    return replace(flow, instructions=kept)


def _sets_fit_10(each):
    """1.0's structures go with fields that these can say."""
    if isinstance(each, SetField) and not each.legacy:
        return _in_structure(each.field, fits_of10)
    inner = getattr(each, "instructions", getattr(each, "actions", ()))
    return all(_sets_fit_10(one) for one in inner)


def _pushes_tag(each):
    """1.0 sets a tag, and does not push one."""
    inner = getattr(each, "instructions", getattr(each, "actions", ()))
    return isinstance(each, PushVlan) or any(_pushes_tag(one) for one in inner)


@cache
def _in_structure(field, fits):
    """Whether a version's match structure, for which `fits` speaks, has a field.  Open vSwitch
    counts SCTP's ports, the 32-bit port and ECN not among 1.0's."""
    if field.name in NOT_IN_10:
        return fits is fits_of11
    match, need = Match(), field.prerequisite
    if need is not None and need.eth:
        match.set("eth_type", need.eth[0])
    if need is not None and need.proto is not None:
        match.set("nw_proto", need.proto)
    match.set(field, VLAN_CFI if field.name in ("vlan_tci", "vlan_vid") else 0)
    return fits(match)


NOT_IN_10 = ("in_port_oxm", "sctp_src", "sctp_dst", "nw_ecn")


def _sets_fit_11(instructions):
    """1.1 sets fields by actions of their own only."""
    for each in instructions:
        for action in getattr(each, "actions", ()):
            plain = isinstance(action, SetField) and not action.legacy
            if (plain and not _in_structure(action.field, fits_of11)) or not _sets_fit_11([action]):
                return False
    return True


def needs_later(flow) -> bool:
    """Whether OpenFlow 1.0 cannot say a flow mod, or would lose instructions of it."""
    return _loses_in_10(flow) or _form([flow], FORMATS, OF10) is None


def _loses_in_10(flow) -> bool:
    """1.0 is said to say these, where ovs-ofctl names formats."""
    return any(isinstance(each, WriteActions | ClearActions) for each in flow.instructions)


def needs_nxm(flow) -> bool:
    """Whether OpenFlow 1.0 needs Nicira's form for a flow mod or a request."""
    if flow.cookie_mask or not fits_of10(flow.match):
        return True
    if any(isinstance(each, WriteMetadata) for each in getattr(flow, "instructions", ())):
        return True
    deeper = ("nw_proto", "nw_tos", "tcp_src", "tcp_dst")
    return flow.match.eth_type == ETH_IPV6 and any(
        not flow.match.is_wild(BY_NAME[name]) for name in deeper
    )


def _form(flows, formats: dict, version: int) -> tuple[bool, bool] | None:
    """(NXM, tables in commands) of a version's first format that can say all flows."""
    flows = examples(flows)
    for row in formats.values():
        if row[0] == version and all(_can_say(flow, *row) for flow in flows):
            return row[1:]
    return None


def choose_format(session, flows, formats: dict) -> tuple[bool, bool]:
    """What _form() gives for the version that is spoken.  Raises Fatal."""
    form = _form(flows, formats, session.version)
    if form is not None:
        return form
    spoken = session.allowed or [row[0] for row in formats.values()]
    allowed = [name for name, row in formats.items() if row[0] in spoken]
    raise Fatal(_no_format(short_names(usable_formats(flows)), short_names(allowed)))


def _no_format(usable, allowed):
    return (
        f"none of the usable flow formats ({usable}) is among the allowed flow formats ({allowed})"
    )


def no_format(usable: str, session) -> str:
    """What is said where only the formats `usable` can say something, and none of a session's."""
    versions = session.allowed or [session.version]
    allowed = [name for name, row in FORMATS.items() if row[0] in versions]
    return _no_format(usable, short_names(allowed))


def set_flow_format(session, nxm: bool, table_id: bool) -> None:
    """Tell a switch of 1.0 which forms of flow mods come."""
    if nxm:
        session.tell(m.NxSetFlowFormat("nxm"))
    if table_id:
        session.tell(m.NxFlowModTableId(True))


# Reading flows


def parse(text: str, command: int, names=None) -> m.FlowMod:
    """parse_flow(), whose errors end the run."""
    try:
        return parse_flow(text, command, names)
    except TextError as error:
        raise Fatal(str(error)) from None


def read_lines(path: str):
    """Yields (where, text) of a file's lines, without comments and empty lines; "-" is standard
    input."""
    try:
        with sys.stdin if path == "-" else open(path) as file:
            for number, line in enumerate(file, 1):
                line = line.partition("#")[0].strip()
                if line:
                    yield f"{path}:{number}", line
    except OSError as error:
        raise Fatal(f"{path}: open failed ({error.strerror})") from None
    except UnicodeDecodeError:
        raise Fatal(f"{path}: not a text file") from None


def read_flows(path: str, command: int | None, names=None) -> list[m.FlowMod | FlowLine]:
    """The flow mods of a file's lines, or what stands for them; `command` None: each line may
    begin with its own."""
    return flows_of(read_lines(path), command, names)


def flows_of(lines, command: int | None, names=None) -> list[m.FlowMod | FlowLine]:
    """The same of what read_lines() yields."""
    read, flows = FlowLines(names).read, []
    for where, line in lines:
        own = command
        if command is None:
            own, line = flow_text.split_command(line)
        try:
            flows.append(read(line, own))
        except TextError as error:
            raise Fatal(f"{where}: {error}") from None
    return flows


def mods_of(flows) -> list[m.FlowMod]:
    """What flows_of() gives, as flow mods."""
    return [flow.mod() if isinstance(flow, FlowLine) else flow for flow in flows]


# dump-flows, dump-aggregate


def _request(settings, session, words, request):
    try:
        return parse_flow_request(
            words[0] if words else "", settings.numbers(session), request=request
        )
    except TextError as error:
        raise Fatal(str(error)) from None


def open_for_dump(settings, target, words=(), request=m.FlowStatsRequest):
    """(session, request) for flows, in the most telling format that both sides have."""
    formats = allowed_formats(settings)
    session = settings.connect(target, OF10 if _has(formats, OF10) else OF13)
    wanted = _request(settings, session, words, request)
    if wanted.out_group is not None and session.version == OF10:
        session = settings.connect(target, OF13)
        if session.version == OF10:
            raise Fatal("out_group needs OpenFlow 1.1 or later ('-O OpenFlow13')")
        wanted = _request(settings, session, words, request)
    if session.version > OF10:
        return session, wanted
    if any(row[1] for row in formats.values()) and try_nxm(session):
        return session, replace(wanted, nxm=True)
    if needs_nxm(wanted) or not any(row == (OF10, False, False) for row in formats.values()):
        raise Fatal(
            "none of the usable flow formats (NXM,OXM) is among the allowed flow formats "
            f"({short_names(formats)})"
        )
    return session, wanted


def _has(formats, version):
    return any(row[0] == version for row in formats.values())


def try_nxm(session):
    """Whether the switch knows Nicira's flow format, which is on then."""
    try:
        set_flow_format(session, True, False)
    except SwitchError:
        return False
    return True


HEX_LEVEL = 4  # of -m, above which messages are shown as bytes, too


def dump_flows(settings, target, *words):
    """dump-flows SWITCH [FLOW]"""
    criteria = [_criterion(name, text) for name, text in settings.sort_keys]
    if criteria:
        criteria.append((None, True))  # the rest by priority, as ovs-ofctl does
    session, request = open_for_dump(settings, target, words)
    if "tree" in settings:
        if settings.json:
            raise Fatal("--tree is text: it does not go with -f json")
        _dump_tree(settings, session, request, criteria or [(None, True)])
    elif settings.json:
        flows = sort_flows(collect(session, request), criteria)
        names = session.names() if settings.shows_names else None
        from .json_output import flow_value

        settings.print_json([flow_value(flow, settings.stats, names) for flow in flows])
    elif criteria or settings.shows_names or not settings.stats:
        _dump_plain(settings, session, request, criteria)
    else:
        style, colors = settings.style(), _colors(settings)
        rows = RowLines(style.names)
        for raw in session.raw_replies(request):
            text = format_flows(raw, rows) or format_message(session.decode(raw), raw, style)
            sys.stdout.write(text if colors is None else _colored_rows(colors, text))
            if style.more > HEX_LEVEL:
                sys.stdout.write(hex_dump(raw))


def _dump_tree(settings, session, request, criteria):
    """Flows below those that lead to them."""
    from .tree import tree

    names = session.names() if settings.shows_names else None

    def text(flow):
        flow.idle_age = flow.hard_age = None
        return format_flow(flow, stats=settings.stats, names=names)

    for line in tree(sort_flows(collect(session, request), criteria), text):
        sys.stdout.write(f"{line}\n")


def _dump_plain(settings, session, request, criteria):
    """Flows without the replies around them; ages are left out, as ovs-ofctl does."""
    names = session.names() if settings.shows_names else None
    colors = _colors(settings)
    for flow in sort_flows(collect(session, request), criteria):
        flow.idle_age = flow.hard_age = None
        text = format_flow(flow, stats=settings.stats, names=names)
        sys.stdout.write(f" {text if colors is None else colors.flow(text)}\n")


def _colors(settings):
    """Those that the flows are to have, or None."""
    if not settings.colored:
        return None
    from .colors import Colors

    return Colors()


def _colored_rows(colors, text):
    """A reply with its flows, each a line behind a space."""
    lines = text.splitlines(keepends=True)
    return "".join([colors.flow(line) if line.startswith(" ") else line for line in lines])


def collect(session, request) -> list[m.FlowStats]:
    """All flows that a request selects."""
    return [flow for _raw, reply in session.replies(request) for flow in reply.flows]


def _criterion(option, text):
    """(field or None for the priority, descending) of --sort or --rsort."""
    if not text or text == "priority":
        return None, option == "rsort"
    field = BY_NAME.get(text)
    if field is None:
        raise Fatal(f"{text}: unknown field name")
    return field, option == "rsort"


def sort_flows(flows: list, criteria: list) -> list:
    """The flows by several fields, the first of which counts most.  Flows that do not match a
    field come last, whichever the order."""
    for field, descending in reversed(criteria):
        if field is None:
            flows = sorted(flows, key=lambda flow: flow.priority, reverse=descending)
            continue

        def matches(flow, field=field):
            return flow.match.holds(field.prerequisite) and not flow.match.is_wild(field)

        having = sorted(
            filter(matches, flows),
            key=lambda flow, field=field: flow.match.get(field)[0],
            reverse=descending,
        )
        flows = having + [flow for flow in flows if not matches(flow)]
    return flows


def dump_aggregate(settings, target, *words):
    """dump-aggregate SWITCH [FLOW]"""
    session, request = open_for_dump(settings, target, words, m.AggregateRequest)
    dump(settings, session, request)


# add-flow and the like


def open_for_mods(settings, target, read):
    """(session, flow mods, (NXM, tables in commands)); read(names) gives the flow mods."""
    formats = allowed_formats(settings)
    session = settings.connect(target, min((row[0] for row in formats.values()), default=OF10))
    flows = read(settings.numbers(session))
    form = _form(flows, formats, session.version)
    if session.version == OF10 and any(map(_loses_in_10, examples(flows))):
        form = None
    if form is None and not settings.versions:
        session = _reconnect(settings, target, session, flows, formats)
    return session, flows, form or choose_format(session, flows, formats)


def _reconnect(settings, target, session, flows, formats):
    """A session of a version that can say the flows, where there is one."""
    versions = {FORMATS[name][0] for name in usable_formats(flows) if name in formats}
    if any(map(needs_later, examples(flows))):
        versions.discard(OF10)
    if not versions or session.version in versions:
        return session
    session.close()
    return settings.connect(target, OF13 if OF13 in versions else min(versions))


def send_mods(session, flows, form, more=0) -> None:
    """Do flow mods in their order; `more`: how often -m was given."""
    nxm, table_id = form
    if session.version == OF10:
        set_flow_format(session, nxm, table_id)
    raws = []
    for flow in flows:
        try:
            raws.append(
                encode_flow(flow, session.version, session.next_xid(), nxm=nxm, table_id=table_id)
            )
        except (ValueError, m.OFError) as error:
            (mod,) = mods_of([flow])
            raise Fatal(f"{format_match(mod.match)}: {error}") from None
    if not session.bundles:
        sys.stdout.write("".join(_shown(raw, more) for raw in raws))
    session.execute(raws)


def _shown(raw, more):
    """The bytes of a flow mod that -m asks for at least five times, as ovs-ofctl writes them."""
    if more < 5:
        return ""
    return hex_dump(raw) if more == 5 else f"{int.from_bytes(raw, 'big'):#x}\n"


def _change(settings, target, words, command):
    """One flow given as text, or the lines of standard input."""

    def read(names):
        text = words[0] if words else ""
        if text == "-":
            # Lines of add-flow may say what else to do.
            return read_flows("-", None if command == m.ADD else command, names)
        return [parse(text, command, names)]

    send_mods(*open_for_mods(settings, target, read), settings.more)


def add_flow(settings, target, text):
    """add-flow SWITCH FLOW"""
    _change(settings, target, (text,), m.ADD)


def add_flows(settings, target, path):
    """add-flows SWITCH FILE"""
    opened = open_for_mods(settings, target, lambda names: read_flows(path, None, names))
    send_mods(*opened, settings.more)


def mod_flows(settings, target, text):
    """[--strict] mod-flows SWITCH FLOW"""
    strict = "strict" in settings
    _change(settings, target, (text,), m.MODIFY_STRICT if strict else m.MODIFY)


def del_flows(settings, target, *words):
    """[--strict] del-flows SWITCH [FLOW]"""
    strict = "strict" in settings
    _change(settings, target, words, m.DELETE_STRICT if strict else m.DELETE)
