"""What the codec has to say about bytes and text, in the log of pyvs-ofctl."""

from ofproto.codec import notes
from pyvs_tools.diagnostics import Diagnostics

BURSTS = {"nx_match": 2}
VCONN = "vconn"  # module

_started: list[Diagnostics] = []


def start(options: list[tuple[str, str | None]]) -> None:
    """Log what the codec has to say.  Raises Fatal, OSError."""
    log = Diagnostics("pyvs-ofctl", (), options, bursts=BURSTS)
    notes.listen(log.tell)
    _started.append(log)


def of_connection(name: str):
    """What is told of the messages of a connection: a vconn_log.VconnLog where options want to see
    them, as `-vvconn` does; else None."""
    wanted = [log for log in _started if log.shows(VCONN, "DBG")]
    if not wanted:
        return None
    from ofproto.peers.vconn_log import VconnLog

    return VconnLog(name, lambda line: wanted[-1].tell(VCONN, "DBG", line()))


def leave_console() -> None:
    """Log to files only, from now on: standard error has what a monitor prints."""
    for log in _started:
        log.leave_console()


def take_commands() -> None:
    """Register vlog/*, for a monitor's control socket."""
    for log in _started:
        log.take_commands()
