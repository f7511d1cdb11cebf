"""What the commands share: how a run ends, how many words it wants.

Imported by each command, so it imports little.
"""

import os
import sys

from pyvs import identity
from pyvs_tools.getopt_long import UsageError


class Fatal(Exception):
    """The run ends with this message and exit status `status`."""

    def __init__(self, message, status=1):
        super().__init__(message)
        self.status = status


def schema_path():
    """The file of the switch's schema."""
    here = os.path.dirname(os.path.realpath(__file__))
    return os.path.join(os.path.dirname(here), "ovsdb", "vswitch.ovsschema")


def guard(program, run, argv, told=(), hints=True):
    """`run(argv)` of our `program`, what ends it told on standard error; returns the exit status.

    `argv` None: the process' own.  `told`: (exception class, function from exception to text)
    rows for what a command raises besides Fatal, UsageError and OSError; first match counts.
    `hints`: a second line says what to do where no switch runs.
    """
    program = identity.program(program)
    try:
        status = run(list(sys.argv[1:] if argv is None else argv)) or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever reads has had enough: Python is not to complain once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        for kind, tell in (*told, (Fatal, str), (UsageError, str), (OSError, _reason)):
            if isinstance(error, kind):
                if text := tell(error):
                    print(f"{program}: {text}{_hint(text) if hints else ''}", file=sys.stderr)
                return getattr(error, "status", 1)
        raise


def answered(options, program, usage):
    """Whether the words only asked for --help or --version, which is told then.

    `options`: by name, as getopt_long gives them.
    """
    if "help" in options:
        print(usage, end="")
    elif "version" in options:
        sys.stdout.write(version_text(program))
    else:
        return False
    return True


def _hint(text):
    """What to do about a socket or pid file that is not in the run directory."""
    from pyvs import rundir

    gone = any(word in text for word in ("No such file or directory", "Connection refused"))
    if not gone or rundir.rundir() not in text:
        return ""
    ctl, variable = identity.program("pyvs-ctl"), identity.variable("RUNDIR")
    return f"\nIs the switch running?  `{ctl} start` starts it; --rundir or {variable} tells where."


def _reason(error):
    if error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return error.strerror or str(error)


def version_text(program):
    """What --version prints; `program` is our own name."""
    return identity.version_text(program) + "\n"


def check_count(name, words, least, most):
    """Raises Fatal unless a command has at least and at most (None: any) so many arguments."""
    if len(words) < least:
        raise Fatal(f"'{name}' command requires at least {least} arguments")
    if most is not None and len(words) > most:
        raise Fatal(f"'{name}' command takes at most {most} arguments")
