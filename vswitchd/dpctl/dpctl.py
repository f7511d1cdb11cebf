"""What pyvs-dpctl and the dpctl/* commands of vswitchd do, in the manner of ovs-dpctl(8).

Each function takes a Run and the words behind the command's name (and DP); COMMANDS lists them.
What they need is imported when it is called for: most commands need little, and start fast.
One that may do much is a generator, whose steps are little work.
"""

import errno
import os
from collections.abc import Iterator

from pyvs import digits
from pyvs.named_files import read_regular
from vswitchd.dpctl import ct_dpctl, datapaths

MOST_FROM_FILE = 64 << 20  # bytes


class DpctlError(Exception):
    """The command cannot be done; its text is for the user."""


# Options of the commands themselves: long name, short letter, takes an argument.
OPTIONS = (
    ("statistics", "s", False),
    ("more", "m", False),
    ("names", "", False),
    ("no-names", "", False),
    ("may-create", "", False),
    ("read-only", "", False),
    ("clear", "", False),
)


class Run:
    """What a command gets: options, the connection, where text goes.

    Who runs commands gives it a `dpif`, print() and complain().
    """

    prefix = ""  # of the commands' names

    def __init__(self, options):
        """`options`: a dictionary by the long names of OPTIONS, and "format"."""
        self.options = options
        self._ports = None
        self.chosen = None  # TYPE@NAME of another datapath than the switch's,
        self.of_chosen = None  # and the connection to it

    def __contains__(self, option):
        return option in self.options

    @property
    def main(self):
        """The connection to the datapath process."""
        raise NotImplementedError

    @property
    def dpif(self):
        """The connection to the datapath that is meant."""
        return self.main if self.of_chosen is None else self.of_chosen

    def close(self):
        """The command is done."""
        if self.of_chosen is not None:
            self.of_chosen.close()

    def print(self, text):
        """Put out a part of the answer."""
        raise NotImplementedError

    def complain(self, text):
        """Tell of one of several things that failed."""
        raise NotImplementedError

    def read(self, path):
        """The text of a file that a daemon was told to read; "-" is none.  Raises OSError."""
        if path == "-":
            raise DpctlError("-: there is no standard input here")
        return read_regular(path, MOST_FROM_FILE).decode(errors="replace")

    def ports(self):
        """port_dump(), asked for once."""
        if self._ports is None:
            self._ports = self.dpif.port_dump()
        return self._ports

    def seen(self, info):
        """A FlowInfo with what is known of the packet that the flow was made for."""
        return info

    def given(self, ufid, key, framed):
        """A flow is in the datapath: its key as it was given, and whether it named a frame."""

    def shown_names(self):
        """Port names by number where the output is to have them, else None."""
        if "names" in self or ("more" in self and "no-names" not in self):
            return {port.port_no: port.name for port in self.ports()}
        return None

    def print_json(self, value):
        import orjson

        pretty = orjson.OPT_INDENT_2 if "pretty" in self else 0
        self.print(orjson.dumps(value, option=pretty).decode() + "\n")

    def wants_json(self):
        return self.options.get("format", "text") == "json"


# --- reading arguments


def _number_of(run, name):
    """The port number that a name, or a number, stands for; None when there is none."""
    for port in run.ports():
        if port.name == name:
            return port.port_no
    number = digits.number(name)
    return number if any(port.port_no == number for port in run.ports()) else None


def with_numbers(text, numbers):
    """A flow's text with in_port as a number, where it is a name of `numbers`."""
    before, found, rest = text.partition("in_port(")
    name, closed, rest = rest.partition(")")
    if not found or not closed or name not in numbers:
        return text
    return f"{before}{found}{numbers[name]}{closed}{rest}"


def _parse_flow(run, text):
    """(key as it is written, mask) of a flow, in_port by name too, and (ufid or None)."""
    from datapath.key import key_text
    from datapath.text import parse_ufid

    ufid = None
    if text.startswith("ufid:"):
        head, _, text = text.partition(",")
        ufid = _checked("parsing flow ufid", parse_ufid, head)
        text = text.strip()
    text = with_numbers(text, {port.name: port.port_no for port in run.ports()})
    key, mask = _checked("parsing flow key", key_text.parse_given, text)
    return key, _of_first_pass(mask), ufid


def _of_first_pass(mask):
    """A flow that says nothing of recirc_id is of packets that have none, as in Open vSwitch's
    userspace datapath."""
    from datapath.key import flow

    at, size = flow.MEMBERS["recirc_id"]
    return bytes(mask[:at]) + b"\xff" * size + bytes(mask[at + size :])


def _parse_actions(run, text):
    """Actions as bytes; outputs by name too."""
    from datapath.actions import odp_text
    from datapath.text import map_words

    def by_number(word):
        number = _number_of(run, word)
        return word if number is None else str(number)

    def is_name(word):
        return word and not word.isdigit() and any(port.name == word for port in run.ports())

    text = map_words(text, lambda word: by_number(word) if is_name(word) else word)
    return _checked("parsing actions", odp_text.parse_actions, text)


def _checked(doing, parse, text):
    from datapath.key.notations import TooLong

    try:
        return parse(text)
    except ValueError as error:
        number = errno.E2BIG if isinstance(error, TooLong) else errno.EINVAL
        raise DpctlError(f"{doing} ({error}) ({os.strerror(number)})") from error


def _masked(key, mask):
    from datapath.key import outer_text

    return outer_text.masked(key, mask)


def _ufid_of(key, mask, ufid):
    from datapath.key import flow

    if ufid is not None:
        return ufid
    size = flow.KEY_DP_SIZE
    return flow.ufid(_masked(key, mask)[:size], mask[:size])


def _find(run, ufid):
    """The flow, or None."""
    from datapath.ipc.dpif import DpifError

    try:
        return run.dpif.flow_get(ufid)
    except DpifError as error:
        if error.errno == 2:
            return None
        raise


# --- flows


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
            unknown = [kind for kind in value.split(",") if kind not in _TYPES]
            if unknown:
                raise DpctlError(f"Failed to parse type ({unknown[0]}) (Invalid argument)")
            offloaded = set().union(*(_KINDS.get(kind, ()) for kind in value.split(",")))
        elif name != "pmd":
            raise DpctlError(f"dump-flows: unknown argument {word}")
        else:
            core = _core(value)
            if core is None:
                raise DpctlError(f"dump-flows: {word}: not a processor core, or -1")
    names = run.shown_names()

    def flows(core):
        """None for one that is not wanted: much of that is work, too."""
        for info in run.dpif.flow_dump(core=core):
            wanted = info.offloaded in offloaded and (passes is None or passes(info))
            yield run.seen(info) if wanted else None

    if run.wants_json():
        found = []
        for info in flows(core):
            found += [] if info is None else [_flow_json(info, names)]
            yield
        run.print_json(found)
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
    cores = {each["core"] for each in run.dpif.stats()["workers"]} - {None}
    groups = [(f"flow-dump from pmd on cpu core: {core}\n", core) for core in sorted(cores)]
    return [*groups, ("flow-dump from the main thread:\n", -1)]


def get_flow(run, words):
    """get-flow ufid:UFID"""
    from datapath import text

    ufid = _checked("parsing flow ufid", text.parse_ufid, words[0])
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
    key, mask, ufid = _parse_flow(run, flow_text)
    actions = _parse_actions(run, actions_text)
    ufid = _ufid_of(key, mask, ufid)
    before = _find(run, ufid)
    if before is None and not may_create:
        raise DpctlError("updating flow table (No such file or directory)")
    if before is not None and not may_modify:
        raise DpctlError("updating flow table (File exists)")
    if before is not None and "clear" in run:
        run.dpif.flow_del(ufid)
    run.dpif.flow_put(_masked(key, mask), mask, actions, ufid=ufid)
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
    if word.startswith("ufid:") and "," not in word:
        ufid = _checked("parsing flow ufid", text.parse_ufid, word)
    else:
        ufid = _ufid_of(*_parse_flow(run, word))
    info = run.dpif.flow_del(ufid)
    if info is None:
        hint = "" if word.startswith("ufid:") else "\nPerhaps you need to specify a UFID?"
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
    """Each line: [add|modify|delete] FLOW [ACTIONS]; "#" starts a comment."""
    functions = {
        "add": lambda words: _put(run, *words, may_create=True, may_modify=False),
        "modify": lambda words: _put(run, *words, may_create="may-create" in run, may_modify=True),
        "delete": lambda words: del_flow(run, words[:1]),
    }
    try:
        lines = run.read(path).splitlines()
    except OSError as error:
        raise DpctlError(f"{path}: open failed ({error.strerror})") from error
    for number, line in enumerate(lines, 1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        first, _, rest = line.partition(" ")
        action, line = (first, rest.strip()) if first in functions else (default, line)
        try:
            functions[action](_split_line(line))
        except DpctlError as error:
            raise DpctlError(f"{path}:{number}: {error}") from error
        yield


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
    """normalize-actions [FLOW] ACTIONS: with a FLOW, by the tags that its packets then have."""
    from datapath.actions import odp_text

    actions = _parse_actions(run, words[-1])
    if len(words) == 1:
        run.print(odp_text.format_actions(actions) + "\n")
        return
    from vswitchd.dpctl import normalize

    key, mask, _ufid = _parse_flow(run, words[0])
    key = _masked(key, mask)
    run.print("".join(f"{line}\n" for line in normalize.by_tags(key, actions)))


def parse_actions(run, words):
    """parse-actions ACTIONS: as they are understood."""
    from datapath.actions import odp_text

    for word in words:
        run.print(odp_text.format_actions(_parse_actions(run, word)) + "\n")


# --- ports and counters


def dump_dps(run, _words):
    """dump-dps: nothing when no datapath process runs."""
    from datapath.ipc import further
    from datapath.text import datapath

    run.main.version()
    run.print("".join(f"{name}\n" for name in (datapath(), *further.names(run.main))))


def show(run, _words):
    """show [-s]"""
    from datapath import text

    stats, ports = run.dpif.stats(), run.ports()
    if run.wants_json():
        name = run.chosen or text.datapath()
        run.print_json({name: {**stats, "ports": [port._asdict() for port in ports]}})
    else:
        run.print(text.format_show(stats, ports, "statistics" in run, run.chosen))


def drops(run, _words):
    """drops: by reason, then of each port that had some."""
    from datapath import text

    total = run.dpif.stats()
    if run.wants_json():
        run.print_json({"total": total["drops"], "ports": {p.name: p.drops for p in run.ports()}})
        return
    run.print(text.format_drops(total))
    for port in run.ports():
        if port.drops:
            run.print(f"port {port.port_no}: {port.name}\n")
            run.print("".join(f"  {line}\n" for line in text.format_counts(port.drops)))


def dump_meters(run, _words):
    """dump-meters: by number."""
    from datapath import text

    meters = run.dpif.meter_dump()
    if run.wants_json():
        run.print_json([info._asdict() for info in meters])
        return
    run.print("".join(text.format_meter(info) for info in meters))


def stats(run, _words):
    """stats: of each worker."""
    from datapath import text

    counted = run.dpif.stats()
    if run.wants_json():
        run.print_json(counted)
    else:
        run.print(text.format_workers(counted))


def _failing(run, words, one):
    """Do `one` for each word, report what fails, and fail in the end."""
    failed = None
    for word in words:
        try:
            one(run, word)
        except OSError as error:
            failed = DpctlError(error.strerror or str(error))
        except DpctlError as error:
            failed = error
        else:
            continue
        run.complain(str(failed))
    return 1 if failed else 0


def _name(run):
    """Of the datapath that is meant."""
    from datapath.text import datapath

    return run.chosen or datapath()


def _add_one(run, word):
    name, *rest = word.split(",")
    options = {}
    for part in rest:
        key, equals, value = part.partition("=")
        if not equals:
            raise DpctlError(f"{name}: {part}: option has no value")
        options[key] = value
    type_ = options.pop("type", "system")
    wanted = options.pop("port_no", None)
    port_no = None if wanted is None else digits.number(wanted)
    if wanted is not None and port_no is None:
        raise DpctlError(f"{name}: port_no={wanted}: not a number")
    try:
        run.dpif.port_add(name, type_, port_no, options)
    except OSError as error:
        if run.chosen is None:
            raise
        raise DpctlError(f"adding {name} to {_name(run)} failed ({error.strerror})") from None


def add_if(run, words):
    """add-if IFACE[,OPTION=VALUE]..."""
    return _failing(run, words, _add_one)


def _is_own_port(run, name):
    """Whether it is the one that a datapath has as long as it is there."""
    return name == _name(run).partition("@")[2]


def _del_one(run, word):
    if _is_own_port(run, word):
        raise DpctlError(f"deleting port {word} from {_name(run)} failed (Invalid argument)")
    number = _number_of(run, word)
    if number is None:
        raise DpctlError(f"no port named {word}")
    run.dpif.port_del(number)


def del_if(run, words):
    """del-if IFACE..."""
    return _failing(run, words, _del_one)


def _set_one(run, word):
    """Nothing of a port can be changed: what is asked for must be so already."""
    name, *rest = word.split(",")
    wanted = dict(part.partition("=")[::2] for part in rest)
    port = next((each for each in run.ports() if each.name == name), None)
    if _is_own_port(run, name) and port is None:
        known = {"type": "dummy-internal", "port_no": "0"}
    elif port is None:
        raise DpctlError(f"{name}: failed to query port in {_name(run)} (No such device)")
    else:
        known = {"type": port.type, "port_no": str(port.port_no), **port.options}
    for key, value in wanted.items():
        if known.get(key) == value:
            continue
        if key in ("type", "port_no"):
            what = "number" if key == "port_no" else key
            raise DpctlError(f"{name}: can't change {what} from {known[key]} to {value}")
        raise DpctlError(f"{name}: can't change {key}: delete the port and add it anew")


def set_if(run, words):
    """set-if IFACE[,OPTION=VALUE]..."""
    return _failing(run, words, _set_one)


def add_dp(run, words):
    """add-dp DP [IFACE...]"""
    from datapath.ipc import further

    kind, name = datapaths.split(words[0])
    if words[0] in datapaths.own_names():
        raise DpctlError("add_dp (File exists)")
    try:
        further.add(run.main, name, kind)
    except OSError as error:
        raise DpctlError(f"add_dp ({error.strerror})") from None
    datapaths.choose(run, f"{kind}@{name}")
    return add_if(run, words[1:])


def del_dp(run, words):
    """del-dp DP"""
    from datapath.ipc import further

    if words[0] in datapaths.own_names():
        raise DpctlError("del_dp: it is the switch's (Device or resource busy)")
    known = datapaths.further_name(run, words[0])
    if known is None or ("@" in words[0] and known != words[0]):
        raise DpctlError("opening datapath (No such device)")
    further.remove(run.main, known.partition("@")[2])


def cache_sizes(run, _words):
    """cache-get-size: no cache of this datapath has a size that can be told or set."""
    from datapath.text import datapath

    run.print(f"{run.chosen or datapath()}:\n")


def set_cache_size(run, _words):
    """cache-set-size CACHE SIZE"""
    raise DpctlError("Setting caches not supported (Operation not supported)")


def offload_stats(run, _words):
    """offload-stats-show: no port's hardware takes flows over."""
    raise DpctlError("retrieving offload statistics: not supported (Operation not supported)")


def list_commands(run, _words):
    """list-commands"""
    from vswitchd.dpctl import usage

    run.print("The available commands are:\n")
    for name in COMMANDS:
        run.print(f"  {run.prefix}{name:<23} {usage.arguments(name)}\n")


# name -> function, least and most arguments without DP (None: any number), changes something
COMMANDS = {
    "dump-dps": (dump_dps, 0, 0, False),
    "show": (show, 0, 0, False),
    "dump-flows": (dump_flows, 0, None, False),
    "add-flow": (add_flow, 2, 2, True),
    "add-flows": (add_flows, 1, 1, True),
    "mod-flow": (mod_flow, 2, 2, True),
    "mod-flows": (mod_flows, 1, 1, True),
    "get-flow": (get_flow, 1, 1, False),
    "del-flow": (del_flow, 1, 1, True),
    "del-flows": (del_flows, 0, 1, True),
    "add-dp": (add_dp, 1, None, True),
    "del-dp": (del_dp, 1, 1, True),
    "add-if": (add_if, 1, None, True),
    "set-if": (set_if, 1, None, True),
    "del-if": (del_if, 1, None, True),
    "drops": (drops, 0, 0, False),
    "dump-meters": (dump_meters, 0, 0, False),
    "stats": (stats, 0, 0, False),
    "normalize-actions": (normalize_actions, 1, 2, False),
    "parse-actions": (parse_actions, 1, None, False),
    "cache-get-size": (cache_sizes, 0, 0, False),
    "cache-set-size": (set_cache_size, 2, 2, True),
    "offload-stats-show": (offload_stats, 0, 0, False),
    "list-commands": (list_commands, 0, 0, False),
    **ct_dpctl.COMMANDS,
}
NAMED_BY_THEMSELVES = ("add-dp", "del-dp")


def without_datapath(run, words, least):
    """The words behind DP, which is chosen.  A name with "@" that nothing has is an error."""
    if not words or len(words) < least:
        return words
    try:
        return words[1:] if datapaths.choose(run, words[0]) else words
    except LookupError:
        raise DpctlError("opening datapath (No such device)") from None


def do(run, name, words):
    """Check and call a row of COMMANDS; returns the exit status."""
    steps = do_in_steps(run, name, words)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def do_in_steps(run, name, words):
    """The same as a generator, whose value is the exit status."""
    function, least, most, changes = COMMANDS[name]
    if name not in NAMED_BY_THEMSELVES:
        words = without_datapath(run, words, least)
    if len(words) < least:
        raise DpctlError(f"'{name}' command requires at least {least} arguments")
    if most is not None and len(words) > most:
        raise DpctlError(f"'{name}' command takes at most {most} arguments")
    if changes and "read-only" in run:
        raise DpctlError(f"'{name}' command does not work in read only mode")
    try:
        done = function(run, words)
        if isinstance(done, Iterator):
            done = yield from done
    except ct_dpctl.CtError as error:
        raise DpctlError(str(error)) from None
    finally:
        run.close()
    return done or 0
