"""What the codec has to say about bytes and text, in the log of pyvs-ofctl."""

from ofproto.codec import notes
from pyvs_tools.diagnostics import Diagnostics

BURSTS = {"nx_match": 2}

_started: list[Diagnostics] = []


def start(options: list[tuple[str, str | None]]) -> None:
    """Log what the codec has to say.  Raises Fatal, OSError."""
    log = Diagnostics("pyvs-ofctl", (), options, bursts=BURSTS)
    notes.listen(log.tell)
    _started.append(log)


def leave_console() -> None:
    """Log to files only, from now on: standard error has what a monitor prints."""
    for log in _started:
        log.leave_console()


def take_commands() -> None:
    """Register vlog/*, for a monitor's control socket."""
    for log in _started:
        log.take_commands()
