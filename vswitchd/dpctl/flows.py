"""dpctl's commands on flows: *-flow, *-flows, and how actions are read."""

import re

from datapath.base.protocols import (
    ETH_ARP,
    ETH_IP,
    ETH_IPV6,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_SCTP,
    PROTO_UDP,
)
from pyvs import digits
from vswitchd.dpctl.arguments import (
    check_whole,
    checked,
    masked,
    parse_actions,
    parse_flow,
    split_ufid,
    ufid_of,
)
from vswitchd.dpctl.run import MOST_LINE, DpctlError, JsonArray, Unread

# What Open vSwitch calls the reading of actions that are not for a flow
ODP_ACTIONS = "odp_actions_from_string"
MOST_WRONG_LINES = 1000  # that are told of; with more of them, it is no file of flows


def _find(run, ufid):
    """The flow, or None."""
    from datapath.ipc.dpif import DpifError

    try:
        return run.dpif.flow_get(ufid)
    except DpifError as error:
        if error.errno == 2:
            return None
        raise


def _flow_json(info, names):
    from datapath import text

    now = text.now_ms()
    return {
        "ufid": text.format_ufid(info.ufid),
        "match": text.format_match(info, names),
        "packets": info.packets,
        "bytes": info.bytes,
        "used": max(0, now - info.used) / 1000 if info.used else None,
        "flags": text.format_flags(info.tcp_flags),
        "actions": text.format_actions(info, names),
    }


def _filter(text, ports):
    """A function that tells whether a flow and the filter could match the same packet; `ports`:
    numbers by name."""
    from datapath.key import flow
    from ofproto.codec.match_text import parse_match

    try:
        match = parse_match(text, ports)
    except ValueError as error:
        raise DpctlError(f"Failed to parse filter ({error})") from error
    size = flow.KEY_DP_SIZE
    key = int.from_bytes(match.key_bytes[:size], "big")
    mask = int.from_bytes(match.mask_bytes[:size], "big")

    def passes(info):
        both = mask & int.from_bytes(info.mask[:size], "big")
        return not (key ^ int.from_bytes(info.key[:size], "big")) & both

    return passes


# type=TYPE of dump-flows: whether flows that the kernel cache has are shown, and others
_KINDS = {
    "all": (True, False),
    **dict.fromkeys(("offloaded", "tc"), (True,)),
    **dict.fromkeys(("non-offloaded", "ovs"), (False,)),
}


# What one may ask for besides; no flow is of these.
_TYPES = {*_KINDS, "dpdk", "partially-offloaded"}


def _core(text):
    """A core's number, or another below 0 for all."""
    found = digits.number(text.removeprefix("-"))
    return -found if found is not None and text.startswith("-") else found


def _offloaded(types):
    """Which flows the types of type= name: those that the kernel cache has, others."""
    kinds = types.split(",")
    unknown = [kind for kind in kinds if kind not in _TYPES]
    if unknown:
        raise DpctlError(f"Failed to parse type ({unknown[0]}) (Invalid argument)")
    return set().union(*(_KINDS.get(kind, ()) for kind in kinds))


def dump_flows(run, words):
    """dump-flows [filter=FILTER] [type=TYPE] [pmd=N]"""
    from datapath import text
    from pyvs import identity

    passes, offloaded, core = None, _KINDS["all"], None
    for word in words:
        name, _, value = word.partition("=")
        if name == "filter":
            passes = _filter(value, {port.name: port.port_no for port in run.ports()})
        elif name == "type":
            offloaded = _offloaded(value.rstrip(",") or "all")
        elif name != "pmd":
            raise DpctlError("datapath not found (Invalid argument)")
        else:
            core = _core(value)
            if core is None:
                raise DpctlError(f"dump-flows: {word}: not a processor core, or -1")
    names = run.shown_names()

    def flows(core):
        """None for one that is not wanted: much of that is work, too."""
        if core is not None and core >= 0 and core not in _cores(run):
            return
        for info in run.dpif.flow_dump(core=core):
            wanted = info.offloaded in offloaded and (passes is None or passes(info))
            yield run.seen(info) if wanted else None

    if run.wants_json():
        rows = JsonArray(run)
        for info in flows(core):
            if info is not None:
                rows.add(_flow_json(info, names))
            yield
        rows.end()
        return
    # Of each worker's own, as of Open vSwitch's userspace datapath
    separate = core is None and identity.is_ovs()
    for heading, group in _dump_groups(run) if separate else [("", core)]:
        for info in flows(group):
            if info is not None:
                run.print(heading + text.format_flow(info, "more" in run, names=names) + "\n")
                heading = ""
            yield


def _dump_groups(run):
    """A heading, and the core, of the workers whose flows are listed together."""
    groups = [(f"flow-dump from pmd on cpu core: {core}\n", core) for core in sorted(_cores(run))]
    return [*groups, ("flow-dump from the main thread:\n", -1)]


def _cores(run):
    """Those that have a worker."""
    return {each["core"] for each in run.dpif.stats()["workers"]} - {None}


def get_flow(run, words):
    """get-flow ufid:UFID"""
    from datapath import text

    try:
        ufid = text.parse_ufid(words[0])
    except ValueError:
        raise Unread("parsing flow ufid (Invalid argument)") from None
    info = _find(run, ufid)
    if info is None:
        raise DpctlError("getting flow (No such file or directory)")
    info = run.seen(info)
    names = run.shown_names()
    if run.wants_json():
        run.print_json(_flow_json(info, names))
    else:
        run.print(text.format_flow(info, "more" in run, names=names) + "\n")


def _put(run, flow_text, actions_text, may_create, may_modify):
    """Add or change a flow; returns it as it was before, or None."""
    key, mask, ufid = parse_flow(run, flow_text)
    actions = parse_actions(run, actions_text)
    check_whole(run, flow_text)
    ufid = ufid_of(key, mask, ufid)
    before = _find(run, ufid)
    if before is None and not may_create:
        raise DpctlError("updating flow table (No such file or directory)")
    if before is not None and not may_modify:
        raise DpctlError("updating flow table (File exists)")
    if before is not None and "clear" in run:
        run.dpif.flow_del(ufid)
    run.dpif.flow_put(masked(key, mask), mask, actions, ufid=ufid)
    run.given(ufid, key, "eth(" in flow_text)
    return before


def add_flow(run, words):
    """add-flow FLOW ACTIONS"""
    _put(run, *words, may_create=True, may_modify=False)


def mod_flow(run, words):
    """mod-flow FLOW ACTIONS"""
    from datapath import text

    before = _put(run, *words, may_create="may-create" in run, may_modify=True)
    if "statistics" in run:
        run.print(text.format_counters(before) + "\n" if before else "")


def del_flow(run, words):
    """del-flow FLOW or UFID"""
    from datapath import text

    word = words[0]
    by_ufid = word.startswith("ufid:") and "(" not in word
    if by_ufid:
        ufid = checked("parsing flow ufid", text.parse_ufid, word)
    else:
        ufid = ufid_of(*parse_flow(run, word, doing=""))
    info = run.dpif.flow_del(ufid)
    if info is None:
        hint = "" if by_ufid else "\nPerhaps you need to specify a UFID?"
        raise DpctlError(f"deleting flow (No such file or directory){hint}")
    if "statistics" in run:
        run.print(text.format_counters(info) + "\n")


def _split_line(line):
    """(flow, actions) of a line: the first space or comma outside parentheses divides them."""
    depth = 0
    for at, char in enumerate(line):
        depth += (char == "(") - (char == ")")
        if char.isspace() and depth == 0:
            return line[:at].rstrip(","), line[at:].strip()
    return line, ""


def _flows_from_file(run, path, default):
    """Each line: [add|modify|delete] FLOW [ACTIONS]; "#" starts a comment.  As in Open vSwitch, a
    line that cannot be done is told of, and the others are done."""
    functions = {
        "add": lambda words: _put(run, *words, may_create=True, may_modify=False),
        "modify": lambda words: _put(run, *words, may_create="may-create" in run, may_modify=True),
        "delete": lambda words: del_flow(run, words[:1]),
    }
    functions["del"] = functions["delete"]
    wrong = 0
    for number, line in enumerate(_lines(run, path), 1):
        line = line.partition("#")[0].strip()
        if not line:
            yield  # of these, too, there may be millions
            continue
        first, _, rest = line.partition(" ")
        function = functions.get(first)
        if function is None:
            function, rest = functions[default], line
        try:
            _do_line(function, function is functions["delete"], rest.strip(), number)
        except DpctlError as error:
            wrong += 1
            if wrong > MOST_WRONG_LINES:
                raise DpctlError(f"{path}:{number}: more than {MOST_WRONG_LINES} errors") from error
            run.complain(str(error))
        yield


def _do_line(function, deletes, line, number):
    """A deletion has no actions, all else has some."""
    if len(line) > MOST_LINE:
        raise DpctlError(f"line number {number} has more than {MOST_LINE} characters, skipped!")
    words = _split_line(line)
    if deletes == bool(words[1]):
        raise DpctlError(f"Failed parsing line number {number}, skipped!")
    function(words)


def _lines(run, path):
    try:
        yield from run.lines(path)
    except OSError as error:
        raise Unread(f'Opening file "{path}" failed ({error.strerror})') from error


def add_flows(run, words):
    """add-flows FILE"""
    return _flows_from_file(run, words[0], "add")


def mod_flows(run, words):
    """mod-flows FILE"""
    return _flows_from_file(run, words[0], "modify")


def del_flows(run, words):
    """del-flows [FILE]"""
    if words:
        return _flows_from_file(run, words[0], "delete")
    return run.dpif.flow_flush()


def normalize_actions(run, words):
    """normalize-actions FLOW ACTIONS: by the tags that its packets then have."""
    from vswitchd.dpctl import normalize

    key, _mask, _ufid = parse_flow(run, words[0], "odp_flow_key_from_string")
    run.print(f"input flow: {normalize.as_given(split_ufid(words[0])[1], key)}\n")
    actions = parse_actions(run, words[1], ODP_ACTIONS)
    run.print("".join(f"{line}\n" for line in normalize.by_tags(key, actions)))


def show_parsed(run, words):
    """parse-actions ACTIONS: as they are understood."""
    from datapath.actions.text import odp_text

    for word in words:
        actions = parse_actions(run, word, ODP_ACTIONS)
        run.print(odp_text.format_actions(actions, _key_of_sets(word)) + "\n")


# What set(NAME(...)) is of: Ethernet type, and the protocol of IP
_SET_FOR = {
    "udp": (ETH_IP, PROTO_UDP),
    "sctp": (ETH_IP, PROTO_SCTP),
    "icmp": (ETH_IP, PROTO_ICMP),
    "icmpv6": (ETH_IPV6, PROTO_ICMPV6),
    "nd": (ETH_IPV6, PROTO_ICMPV6),
    "arp": (ETH_ARP, 0),
    "ipv6": (ETH_IPV6, 0),
}


def _key_of_sets(text):
    """The key of a packet that actions set headers of, for it is not in their bytes; or None."""
    from datapath.key import flow

    found = re.search(rf"set\(({'|'.join(_SET_FOR)})\(", text)
    if found is None:
        return None
    kind, protocol = _SET_FOR[found[1]]
    key = bytearray(flow.KEY_SIZE)
    for name, value in (("eth_type", kind), ("nw_proto", protocol)):
        at, size = flow.MEMBERS[name]
        key[at : at + size] = value.to_bytes(size, "big")
    return bytes(key)
