"""The command line of a daemon: options as getopt_long(3) takes them, and where they lead."""

import sys
from collections.abc import Sequence

import ovs.dirs
import ovs.stream
import ovs.util

from pyvs import identity, rundir
from pyvs.identity import version_text

NONE, OPTIONAL, REQUIRED = "none", "optional", "required"

# Long options of every daemon: whether they take an argument.
COMMON_OPTIONS = {
    "detach": NONE,
    "no-chdir": NONE,
    "pidfile": OPTIONAL,
    "overwrite-pidfile": NONE,
    "user": REQUIRED,
    "monitor": NONE,
    "no-self-confinement": NONE,
    "log-file": OPTIONAL,
    "verbose": OPTIONAL,
    "syslog-method": REQUIRED,
    "unixctl": REQUIRED,
    "rundir": REQUIRED,
    "help": NONE,
    "version": NONE,
}
SHORT_OPTIONS = {"h": "help", "V": "version", "v": "verbose"}

# For the daemons that speak TLS: merge into `extra`, then call use_ssl().
SSL_OPTIONS = {
    "private-key": REQUIRED,
    "certificate": REQUIRED,
    "ca-cert": REQUIRED,
    "bootstrap-ca-cert": REQUIRED,
    "peer-ca-cert": REQUIRED,
}
SSL_LETTERS = {"p": "private-key", "c": "certificate", "C": "ca-cert"}

COMMON_USAGE = """
Daemon options:
  --detach                run in background as daemon
  --monitor               start the daemon again when it crashes or is killed
  --no-chdir              do not chdir to '/'
  --pidfile[=FILE]        create pidfile (default: {rundir}/{program}.pid)
  --overwrite-pidfile     with --pidfile, start even if already running
  --user=USER[:GROUP]     become this user; only root may ask for it
  --rundir=DIR            run directory (default: {rundir})

Logging options:
  -vSPEC, --verbose=SPEC  set logging levels
  -v, --verbose           set maximum verbosity level
  --log-file[=FILE]       enable logging to FILE
                          (default: {logdir}/{program}.log)
  --syslog-method=(null|unix:FILE)
                          do not log to syslog, or through this socket

Other options:
  --unixctl=SOCKET        override default control socket name
  -h, --help              display this help message
  -V, --version           display version information
"""

Options = dict[str, list[str | None]]


def _match_long(name: str, known: dict[str, str]) -> str:
    """The option that `name` is, or is an unambiguous beginning of; ValueError otherwise."""
    if name in known:
        return name
    candidates = [option for option in known if option.startswith(name)]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        some = " ".join(f"'--{option}'" for option in candidates)
        raise ValueError(f"option '--{name}' is ambiguous; possibilities: {some}")
    raise ValueError(f"unrecognized option '--{name}'")


def split_options(
    argv: Sequence[str], known: dict[str, str], short: dict[str, str]
) -> tuple[Options, list[str]]:
    """Parse like getopt_long: options and other arguments in any order, `--` ends options.

    `known` maps long options to NONE, OPTIONAL (only as --name=value) or REQUIRED
    (--name=value or --name value); `short` maps letters to long options.  Returns the values
    of each option given, in order, and the other arguments.  Raises ValueError.
    """
    options: Options = {}
    arguments: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            arguments += rest
            break
        if word.startswith("--"):
            given, equals, text = word[2:].partition("=")
            name = _match_long(given, known)
            value: str | None = text if equals else None
            shown = f"--{name}"
        elif word.startswith("-") and len(word) > 1:
            shown = word[:2]
            if word[1] not in short:
                raise ValueError(f"invalid option -- '{word[1]}'")
            name, value = short[word[1]], word[2:] or None
            if value is not None and known[name] == NONE:
                rest.insert(0, "-" + value)
                value = None
        else:
            arguments.append(word)
            continue
        if known[name] == NONE and value is not None:
            raise ValueError(f"option '{shown}' doesn't allow an argument")
        if known[name] == REQUIRED and value is None:
            if not rest:
                raise ValueError(f"option '{shown}' requires an argument")
            value = rest.pop(0)
        options.setdefault(name, []).append(value)
    return options, arguments


def last(options: Options, name: str, default: str | None = None) -> str | None:
    """The last value given for an option, or `default`."""
    values = options.get(name)
    return values[-1] if values and values[-1] is not None else default


def parse(
    program: str,
    argv: Sequence[str] | None,
    extra: dict[str, str] | None = None,
    usage: str = "",
) -> tuple[Options, list[str]]:
    """Parse a daemon's command line and settle names and directories; see daemon.parse()."""
    own, program = program, identity.program(program)
    ovs.util.PROGRAM_NAME = program
    argv = sys.argv[1:] if argv is None else argv
    known = {**COMMON_OPTIONS, **(extra or {})}
    letters = {**SHORT_OPTIONS, **{k: v for k, v in SSL_LETTERS.items() if v in known}}
    try:
        options, args = split_options(argv, known, letters)
    except ValueError as error:
        sys.stderr.write(f"{program}: {error}\nTry '{program} --help' for more information.\n")
        sys.exit(1)
    rundir.use(last(options, "rundir"))
    ovs.dirs.RUNDIR = rundir.rundir()
    ovs.dirs.LOGDIR = rundir.logdir()
    ovs.dirs.DBDIR = rundir.dbdir()
    if "help" in options:
        names = {"rundir": rundir.rundir(), "logdir": rundir.logdir(), "dbdir": rundir.dbdir()}
        text = usage or f"usage: {program} [OPTIONS]\n"
        sys.stdout.write((text + COMMON_USAGE).format(program=program, **names))
        sys.exit(0)
    if "version" in options:
        print(version_text(own))
        sys.exit(0)
    return options, args


def use_ssl(options: Options) -> None:
    """Hand the files of SSL_OPTIONS to the `ovs` library's active TLS connections."""
    if not any(name in options for name in SSL_OPTIONS):
        return
    from pyvs.streams import tls_stream  # `ssl` is slow to import

    tls_stream.configure(
        last(options, "private-key"),
        last(options, "certificate"),
        last(options, "bootstrap-ca-cert") or last(options, "ca-cert"),
        bootstrap="bootstrap-ca-cert" in options,
    )
    tls_stream.TlsStream.peer_ca_cert = last(options, "peer-ca-cert")
