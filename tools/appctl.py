"""pyvs-appctl: sends a command to a running daemon and prints its answer; see ovs-appctl(8)."""

import os
import sys

from pyvs import digits, identity
from pyvs_tools import getopt_long
from pyvs_tools.alarm import set_timeout
from pyvs_tools.command import Fatal, answered, guard
from pyvs_tools.control import Control, Disconnected, Refused
from pyvs_tools.diagnostics import check_levels

PROGRAM = identity.program("pyvs-appctl")
DEFAULT_TARGET = identity.program("pyvs-vswitchd")
SHORT = {"vswitchd": "pyvs-vswitchd", "datapath": "pyvs-datapath"}

OPTIONS = (
    ("target", "t", True),
    ("execute", "e", False),  # of long ago: it has no effect
    ("timeout", "T", True),
    ("format", "f", True),
    ("pretty", "", False),
    ("rundir", "", True),
    ("verbose", "v", "optional"),
    ("help", "h", False),
    ("version", "V", False),
)

USAGE = f"""{PROGRAM}: send commands to running pyvs daemons
usage: {PROGRAM} [OPTIONS] COMMAND [ARG...]

Options:
  -t, --target=TARGET   the daemon's name, or the path of its control socket
                        (default: {DEFAULT_TARGET})
  -T, --timeout=SECS    end with SIGALRM after SECS seconds
  -f, --format=FORMAT   text (default), or json where the daemon can do it
      --pretty          with -f json: one member a line
      --rundir=DIR      run directory
  -h, --help            this text
  -V, --version         version

Commands of every daemon:
  list-commands         all commands of the daemon
  version               its version
  vlog/list             log levels; vlog/set [SPEC] changes them, vlog/reopen opens the
                        log file anew
  exit                  ends the daemon
"""


class ServerError(Exception):
    """The daemon refused the command."""


def _running_pid(path):
    """The process id in a pid file.  Raises OSError."""
    with open(path) as file:
        text = file.read().strip()
    pid = digits.number(text, (1 << 31) - 1)
    if not pid:
        raise ProcessLookupError(3, os.strerror(3))
    os.kill(pid, 0)
    return pid


def _names(target):
    """The names under which a daemon may run: ours and Open vSwitch's, the likely one first."""
    theirs = {name: own for own, name in identity.OVS_PROGRAMS.items()}
    own = SHORT.get(target) or theirs.get(target, target)
    # The word itself, too: it may be somebody's own daemon.
    return dict.fromkeys((identity.program(own), own, target))


def find_socket(target):
    """The path of the control socket of a daemon: `target` is its name or that path."""
    from pyvs import rundir

    if "/" in target:
        return os.path.abspath(target)
    failure = None
    for name in _names(target):
        path = rundir.path(f"{name}.pid")
        try:
            pid = _running_pid(path)
        except PermissionError:  # it runs, as another user
            with open(path) as file:
                pid = int(file.read())
        except OSError as error:
            failure = failure or (path, error.strerror)
            continue
        return rundir.path(f"{name}.{pid}.ctl")
    raise Fatal(f'cannot read pidfile "{failure[0]}" ({failure[1]})')


def connect(path, timeout=None):
    """A Control for a control socket."""
    try:
        return Control(path, timeout)
    except OSError as error:
        raise Fatal(f'cannot connect to "{path}" ({error.strerror or error})') from None


def transact(client, command, args):
    """The daemon's answer to a command: text, or any JSON value after --format=json."""
    try:
        return client.request(command, args)
    except Refused as error:
        raise ServerError(str(error)) from None
    except Disconnected as error:
        raise Fatal(f"{client.remote}: transaction error ({error})") from None


def call(target, command, *args):
    """Runs a command; returns the answer.  Raises Fatal, ServerError."""
    client = connect(find_socket(target))
    try:
        return transact(client, command, args)
    finally:
        client.close()


def _set_format(client, name):
    if name not in ("text", "json"):
        raise Fatal(f"invalid output format '{name}': it must be 'text' or 'json'")
    if name == "json":
        try:
            transact(client, "set-options", ["--format=json"])
        except ServerError:
            raise Fatal(f"{client.remote}: the daemon cannot answer in JSON") from None


def _print_answer(answer, pretty):
    if not isinstance(answer, str):
        from pyvs_tools.ovsdb.table import dump_json

        answer = dump_json(answer, pretty)
    sys.stdout.write(answer if answer.endswith("\n") or not answer else answer + "\n")
    sys.stdout.flush()


def run(args):
    """Runs a command line; returns the exit status."""
    found, words = getopt_long.parse(args, OPTIONS)
    check_levels("pyvs-appctl", found)
    options = dict(found)
    if "rundir" in options:
        from pyvs import rundir

        rundir.use(options["rundir"])
    if answered(options, PROGRAM, USAGE):
        return 0
    if not words:
        raise Fatal("at least one non-option argument is required (use --help for help)")
    set_timeout(options.get("timeout"), "-T or --timeout", zero=True)
    return _send(options, words)


def _send(options, words):
    target = options.get("target") or DEFAULT_TARGET
    client = connect(find_socket(target))
    try:
        _set_format(client, options.get("format", "text"))
        _print_answer(transact(client, words[0], words[1:]), "pretty" in options)
        return 0
    except ServerError as error:
        text = str(error)
        sys.stderr.write(text if text.endswith("\n") else text + "\n")
        print(f"{PROGRAM}: {target}: server returned an error", file=sys.stderr)
        return 2
    finally:
        client.close()


def main(argv=None):
    """The command; returns the exit status."""
    return guard(PROGRAM, run, argv)
