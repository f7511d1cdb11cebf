"""What OpenFlow peers and the switch say to each other, in the log while somebody asks for it.

`vlog/set vconn:dbg` and `-vvconn` are how users of Open vSwitch watch such a conversation; the
lines have the form that it gives them, which scripts cut messages out of.
"""

from collections.abc import Callable, Collection

import ovs.vlog

from ofproto.text.message_text import Style, format_raw
from pyvs.log_limit import LimitedLog

PER_MINUTE, BURST = 600, 600

vlog = ovs.vlog.Vlog("vconn")
_lines = LimitedLog(vlog, PER_MINUTE, BURST)


def of(name: str) -> "VconnLog | None":
    """For the connection of that name, when these lines are wanted now."""
    return VconnLog(name, _lines.dbg) if vlog.dbg_is_enabled() else None


class VconnLog:
    """The lines of one connection.  Messages are raw and whole; whatever is wrong with one is told
    in its text.  `tell` is given each line, as a function that makes it."""

    def __init__(self, name: str, tell: Callable[[Callable[[], str]], None]):
        self.name = name
        self._line = tell

    def received(self, raw: bytes) -> None:
        self._tell("received", raw)

    def sent(self, raw: bytes) -> None:
        """Said when a message, or several, are queued: whether the peer reads them shows later."""
        while len(raw) >= 8:
            size = max(int.from_bytes(raw[2:4], "big"), 8)
            self._tell("sent (Success)", raw[:size])
            raw = raw[size:]

    def _tell(self, what: str, raw: bytes) -> None:
        self._line(lambda: f"{self.name}: {what}: {format_raw(raw, Style()).rstrip()}")

    def negotiated(self, version: int, ours: Collection[int], theirs: Collection[int]) -> None:
        self._line(
            lambda: (
                f"{self.name}: negotiated OpenFlow version 0x{version:02x}"
                f" (we support {_versions(ours)}, peer supports {_versions(theirs)})"
            )
        )


def _versions(versions: Collection[int]) -> str:
    known = sorted(versions)
    if len(known) > 1 and known == list(range(1, known[-1] + 1)):
        return f"version 0x{known[-1]:02x} and earlier"
    numbers = ", ".join(f"0x{each:02x}" for each in known) or "none"
    return f"version{'s' if len(known) > 1 else ''} {numbers}"
