"""Where a daemon's log goes, at what level and in which form, on the `ovs` library's Vlog.

The library's own formatter writes milliseconds wrong and pads fields by itself; the one here
knows the patterns of ovs-appctl(8).
"""

import functools
import logging
import logging.handlers
import os
import re
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import ovs.util
import ovs.vlog

from pyvs import identity, log_limit, rundir
from pyvs.process import control
from pyvs.process.control import CommandError
from pyvs.process.options import Options, last
from pyvs.process.ovs_modules import COUNTERPARTS, modules

DESTINATIONS = ("console", "syslog", "file")
START = time.monotonic()
vlog = ovs.vlog.Vlog("vlog")
SEVERITIES = {"emer": 1, "err": 3, "warn": 4, "info": 5, "dbg": 7}  # of syslog(3)

_CONVERSION = re.compile(
    r"%(?P<left>-?)(?P<zero>0?)(?P<width>\d*)(?P<letter>[A-Za-z%])(\{(?P<form>[^}]*)\})?"
)
_MOST_WIDTH = 1000  # of a field
_DATE_DEFAULT = "%Y-%m-%d %H:%M:%S.###"


class _State:
    facility = "local0"  # as %B has it, until another is asked for


# --- patterns


class Record(NamedTuple):
    """What there is to say of one message."""

    module: str
    level: str
    message: str
    number: int
    now: float  # seconds of the epoch


def _date(record: Record, form: str, broken_down: Callable[[float], time.struct_time]) -> str:
    """`form` is one of strftime(3); a run of # stands for as many digits of the second."""
    micro = f"{int(record.now % 1 * 1_000_000):06d}"
    form = re.sub("#+", lambda run: micro[: len(run[0])].ljust(len(run[0]), "0"), form)
    return time.strftime(form, broken_down(record.now))


def _priority(level: str) -> int:
    """The PRI of RFC 5424: facility and severity."""
    number = logging.handlers.SysLogHandler.facility_names[_State.facility]
    return number * 8 + SEVERITIES.get(level.lower(), 7)


# Letter -> text, from the record and what stands in braces.
FIELDS: dict[str, Callable[[Record, str], str]] = {
    "A": lambda record, _: ovs.util.PROGRAM_NAME,
    "B": lambda record, _: str(_priority(record.level)),
    "c": lambda record, _: record.module,
    "d": lambda record, form: _date(record, form, time.localtime),
    "D": lambda record, form: _date(record, form, time.gmtime),
    "m": lambda record, _: record.message,
    "N": lambda record, _: str(record.number),
    "n": lambda record, _: "\n",
    "p": lambda record, _: record.level,
    "P": lambda record, _: str(os.getpid()),
    "r": lambda record, _: str(int((time.monotonic() - START) * 1000)),
    "t": lambda record, _: "main",
    "T": lambda record, _: "",
    "%": lambda record, _: "%",
}


def _field(match: re.Match, record: Record) -> str:
    function = FIELDS.get(match["letter"])
    if function is None:
        return match[0]
    text = function(record, match["form"] if match["form"] is not None else _DATE_DEFAULT)
    width = min(int(match["width"][:9] or 0), _MOST_WIDTH)
    if match["left"]:
        return text.ljust(width)
    return text.rjust(width, "0" if match["zero"] else " ")


@functools.lru_cache(maxsize=16)
def _split(pattern: str) -> list[str | re.Match]:
    """The literal pieces and the conversions of a pattern, in order."""
    pieces: list[str | re.Match] = []
    end = 0
    for match in _CONVERSION.finditer(pattern):
        pieces += [pattern[end : match.start()], match]
        end = match.end()
    return [*pieces, pattern[end:]]


def format_record(pattern: str, record: Record) -> str:
    """A line of the log."""
    return "".join(
        piece if isinstance(piece, str) else _field(piece, record) for piece in _split(pattern)
    )


def _build_message(vlog, message, destination, level, number):
    """In place of Vlog's method of this name."""
    record = Record(vlog.name, level, str(message), number + 1, time.time())
    try:
        return format_record(ovs.vlog.PATTERNS[destination], record)
    except (ValueError, OverflowError, OSError):  # what strftime(3) does not take
        return f"{level}|{record.message}"


def line(destination: str, record: Record) -> str:
    """A line as it is written to a destination."""
    return format_record(ovs.vlog.PATTERNS[destination], record)


# --- levels


def shows(module: str, destination: str, level: str) -> bool:
    """Whether a module's messages of this level go to this destination."""
    order = ovs.vlog.LEVELS
    wanted = levels(module)[destination]
    return order[level.lower()] >= order.get(wanted, order["emer"])


def levels(module: str) -> dict[str, str]:
    """Of a module, by destination; they are what vlog/set says at any time."""
    return ovs.vlog.Vlog._Vlog__mfl[module]


def set_verbosity(spec: str) -> None:
    """Set logging levels or patterns as -v and vlog/set do; ValueError.

    The `ovs` library does not know all spellings of ovs-appctl(8).
    """
    head, _, rest = spec.partition(":")
    if head.upper() == "PATTERN":
        destination, _, pattern = rest.partition(":")
        known = DESTINATIONS if destination.lower() == "any" else (destination.lower(),)
        if not destination:
            raise ValueError("missing destination")
        if not set(known) <= set(DESTINATIONS):
            raise ValueError(f'unknown destination "{destination}"')
        if not pattern:
            raise ValueError("missing pattern")
        for name in known:
            ovs.vlog.Vlog.set_pattern(name, pattern)
        return
    if head.upper() == "FACILITY":
        if rest not in ovs.vlog.FACILITIES:
            raise ValueError("invalid facility")
        _State.facility = rest
        _set_levels(f"FACILITY:{rest}")
        return
    words = [word for word in re.split(r"[:,\s]+", spec) if word]
    if not any(word.lower() in ovs.vlog.LEVELS for word in words):
        words.append("dbg")
    _set_levels(":".join(words))
    for at, word in enumerate(words):
        for ours in COUNTERPARTS.get(word.lower(), ()):
            if ours in known_modules():
                _set_levels(":".join([*words[:at], ours, *words[at + 1 :]]))


def take_option(spec: str | None) -> None:
    """The value of a -v; ValueError."""
    try:
        set_verbosity(spec or "any:any:dbg")
    except ValueError as error:
        raise ValueError(f'processing "{spec}": {error}') from None


def _set_levels(spec: str) -> None:
    error = ovs.vlog.Vlog.set_levels_from_string(spec)
    if error:
        raise ValueError(error)


def known_modules() -> set[str]:
    """The names of all modules, ours and Open vSwitch's."""
    return set(ovs.vlog.Vlog._Vlog__mfl)


def _vlog_set(args: list[str]) -> None:
    try:
        for spec in args or ["any:any:dbg"]:
            set_verbosity(spec)
    except ValueError as error:
        raise CommandError(str(error)) from error


def _set_rate_limit(args: list[str], limited: bool) -> None:
    """Of these modules, or of all."""
    known = known_modules()
    if not known.issuperset(args):
        raise CommandError("unknown module")
    ours = {module for name in args for module in COUNTERPARTS.get(name, ())}
    log_limit.set_limited({*args, *ours} or known, limited)


def _vlog_reopen(_args: list[str]) -> None:
    """After its file was renamed; one that cannot be opened leaves the former in its place."""
    ours = ovs.vlog.Vlog
    name, former = ours._Vlog__log_file, ours._Vlog__file_handler
    if not name:
        raise CommandError("Logging to file not configured")
    try:
        made = logging.FileHandler(name)
    except OSError as error:
        vlog.warn(f"failed to open {name} for logging: {error.strerror}")
        raise CommandError(error.strerror) from None
    logger = logging.getLogger("file")
    is_open = former is not None and former in logger.handlers
    if is_open and os.path.sameopenfile(former.stream.fileno(), made.stream.fileno()):
        made.close()
        return
    if is_open:
        vlog.info("closing log file")
    if former is not None:  # vlog/close leaves it open
        logger.removeHandler(former)
        former.close()
    ours._Vlog__file_handler = made
    logger.addHandler(made)
    vlog.info(f"opened log file {name}")


def _vlog_list(_args: list[str]) -> str:
    """As ovs-appctl prints it: destinations in this order, levels in capitals."""
    lines = [f"{'':17}console    syslog    file", f"{'':17}-------    ------    ------"]
    for line in ovs.vlog.Vlog.get_levels().splitlines()[2:]:
        module, *levels = line.split()
        console, syslog, file = (level.upper() for level in levels)
        lines.append(f"{module:<16}  {console:>4}       {syslog:>4}       {file:>4}")
    return "\n".join(lines) + "\n"


def _vlog_list_pattern(_args: list[str]) -> str:
    lines = [f"{'':9}prefix{'':28}format", f"{'':9}------{'':28}------"]
    for name in ("syslog", "console", "file"):
        prefix = "" if name == "syslog" else "none"
        lines.append(f"{name.upper():<7}  {prefix:<32}  {ovs.vlog.PATTERNS[name]}")
    return "\n".join(lines) + "\n"


# --- start


def _set_syslog(method: str | None) -> None:
    """Raises ValueError for a method that there is not."""
    if method is None:
        return
    if method == "null":
        os.environ["OVS_SYSLOG_METHOD"] = "null"
    elif method not in ("libc", "unix:/dev/log"):
        raise ValueError(f"syslog method {method} is not supported")


def register_commands() -> None:
    """vlog/*, but those for the log file."""
    control.command("vlog/set", "{spec | PATTERN:destination:pattern}", 0, sys.maxsize, _vlog_set)
    for word, limited in (("enable", True), ("disable", False)):
        function = functools.partial(_set_rate_limit, limited=limited)
        control.command(f"vlog/{word}-rate-limit", "[module]...", 0, sys.maxsize, function)
    control.command("vlog/list", "", 0, 0, _vlog_list)
    control.command("vlog/list-pattern", "", 0, 0, _vlog_list_pattern)


def start(options: Options, program: str) -> str | None:
    """Set levels from -v, open the log file of our `program`.  No Vlog may be made after this.

    Returns the name of the log file, if there is one.  Raises ValueError, OSError (of that file).
    """
    ovs.vlog.Vlog._build_message = _build_message
    for name in modules(program):
        ovs.vlog.Vlog(name)
    _set_syslog(last(options, "syslog-method"))
    for spec in options.get("verbose", []):
        take_option(spec)
    register_commands()  # before the library's own are
    control.command("vlog/reopen", "", 0, 0, _vlog_reopen)
    for name in DESTINATIONS:
        # Without a handler of its own a logger writes to stderr.
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False
    log_file = None
    if "log-file" in options:
        given = last(options, "log-file")
        if given:
            log_file = os.path.abspath(given)
        else:
            os.makedirs(rundir.logdir(), exist_ok=True)
            log_file = os.path.join(rundir.logdir(), f"{identity.program(program)}.log")
        open(log_file, "a").close()
    ovs.vlog.Vlog.init(log_file)
    if log_file:
        vlog.info(f"opened log file {log_file}")
    return log_file
