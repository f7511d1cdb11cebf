"""monitor and snoop: what a switch says, printed as it comes, in the background if wanted, where
pyvs-appctl tells it to send messages or to write elsewhere (ovs-ofctl(8), "Runtime Management
Commands")."""

import os
import re
import select
import sys
from datetime import datetime
from typing import Any

import ovs.unixctl

from ofproto.codec import messages as m
from ofproto.codec.messages import monitor as wire
from ofproto.codec.numbers import OF10, OF11, OF12
from ofproto.peers.connection import CLOSED
from ofproto.text.flow_text import TextError, parse_flow_request
from ofproto.text.message_text import INVALID_TTL, format_message, format_raw, load_all
from pyvs import identity, rundir
from pyvs.poller import Poller
from pyvs.process import control, supervise
from pyvs_tools.command import Fatal

from . import log
from .errors import SwitchError
from .session import VERSIONS, cut_messages

OWN_NAME = "pyvs-ofctl"
_PACKET_IN_FORMATS = {
    "standard": "standard",
    "openflow10": "standard",
    "nxt_packet_in": "nxt_packet_in",
    "nxm": "nxt_packet_in",
    "nxt_packet_in2": "nxt_packet_in2",
}
_WITH_INVALID_TTL = frozenset({OF10, OF11, OF12})
_WATCH_WORDS = {
    "!initial": wire.FM_INITIAL,
    "!add": wire.FM_ADD,
    "!delete": wire.FM_REMOVED,
    "!modify": wire.FM_MODIFY,
    "!actions": wire.FM_INSTRUCTIONS,
    "!own": wire.FM_NO_ABBREV,
}


class Printer:
    """One message at a time on standard error."""

    def __init__(self, settings, style):
        self._stamps = "timestamp" in settings
        self._style = style
        self._sent_style = settings.style(more=0)

    def received(self, raw: bytes) -> None:
        if self._stamps:
            now = datetime.now().astimezone()
            sys.stderr.write(f"{now:%Y-%m-%d %H:%M:%S}.{now.microsecond // 1000:03}: ")
        sys.stderr.write(format_raw(raw, self._style))
        sys.stderr.flush()

    def sent(self, raw: bytes, before: str = "send: ") -> None:
        sys.stderr.write(before + format_raw(raw, self._sent_style))
        sys.stderr.flush()


# The process: in the background, and told what to do


def _detach(settings) -> Any:
    """Go on as the options say; returns the control socket's server, or None."""
    detached = "detach" in settings
    if detached:
        supervise.detach()
    if "pidfile" in settings:
        name = settings.options["pidfile"] or f"{identity.program(OWN_NAME)}.pid"
        path = os.path.join(rundir.rundir(), name)
        supervise.make_pidfile(path, "overwrite-pidfile" in settings)
    try:
        server = control.unixctl_server(OWN_NAME, settings.options.get("unixctl"))
    except OSError as error:
        if detached or "unixctl" in settings:
            raise Fatal(f"could not initialize control socket ({error.strerror})") from None
        return None  # nobody asked for one
    log.take_commands()
    return server


def _is_ready(settings) -> None:
    """Let the command return, when it goes on in the background.  Its output stays what it is,
    and has no lines of the log."""
    chdir = "detach" in settings and "no-chdir" not in settings
    supervise.ready(False, False)
    if chdir:
        os.chdir("/")
    if "detach" in settings:
        log.leave_console()


def _set_output(args: list[str]) -> None:
    """ofctl/set-output-file FILE"""
    try:
        fd = os.open(args[0], os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o666)
    except OSError as error:
        raise control.CommandError(error.strerror or str(error)) from None
    sys.stderr.flush()
    os.dup2(fd, 2)
    os.close(fd)


class _Monitor:
    """The loop of monitor on a session, and the commands that it takes."""

    def __init__(self, settings, session, printer, resume):
        self._settings = settings
        self._resume = resume  # packets that wait for it are to go on
        self._session = session
        self._printer = printer
        self._blocked = False
        self._barrier: Any = None  # who waits for it
        for name, usage, least, most, function in (
            ("ofctl/send", "OFMSG...", 1, 1 << 16, self._send),
            ("ofctl/packet-out", '"in_port=<port> packet=<hex data> actions=..."', 1, 1,
             self._packet_out),
            ("ofctl/block", "", 0, 0, lambda _args: self._block(True)),
            ("ofctl/unblock", "", 0, 0, lambda _args: self._block(False)),
            ("ofctl/set-output-file", "FILE", 1, 1, _set_output),
        ):  # fmt: skip
            control.command(name, usage, least, most, function)
        ovs.unixctl.command_register("ofctl/barrier", "", 0, 0, self._ask_barrier, None)

    # --- commands

    def _send(self, args: list[str]) -> str:
        for text in args:
            try:
                raw = bytes.fromhex("".join(text.split()))
            except ValueError:
                raise control.CommandError("Trailing garbage in hex data") from None
            if len(raw) < m.HEADER_SIZE:
                raise control.CommandError("Message too short for OpenFlow")
            if len(raw) != int.from_bytes(raw[2:4], "big"):
                raise control.CommandError("Message size does not match length in OpenFlow header")
            self._printer.sent(raw)
            self._session.connection.send(raw)
        return "sent"

    def _packet_out(self, args: list[str]) -> str:
        from .packets import parse_packet_out

        session = self._session
        try:
            message = parse_packet_out(args[0], self._settings.numbers(session))
            raw = message.encode(session.version, session.next_xid())
        except (Fatal, TextError, ValueError, m.OFError) as error:
            raise control.CommandError(str(error)) from None
        self._printer.sent(raw, "")
        session.connection.send(raw)
        return ""

    def _block(self, blocked: bool) -> str:
        if blocked == self._blocked:
            return "already blocking" if blocked else "already unblocked"
        self._blocked = blocked
        return ""

    def _ask_barrier(self, connection: Any, _args: list[str], _aux: Any) -> None:
        if self._barrier is not None:
            connection.reply_error("already waiting for barrier reply\n")
            return
        session = self._session
        xid = session.next_xid()
        session.connection.send(m.BarrierRequest().encode(session.version, xid))
        self._barrier = connection

    # --- the loop

    def run(self, server: Any) -> None:
        """Until `exit`, or the switch ends the connection (Fatal)."""
        while True:
            if server is not None:
                server.run()
            if control.exiting():
                break
            if not self._blocked:
                self._take()
            self._session.write()
            poller = Poller()
            self._wait(poller, server)
            poller.block()
        if server is not None:
            server.run()
            server.close()

    def _take(self) -> None:
        """Print what has come."""
        session = self._session
        session.read_some()
        while (raw := session.connection.next_message()) is not None:
            self._printer.received(raw)
            if self._resume:
                self._send_on(raw)
            if self._barrier is not None and raw[1] in (19, 21) and _is_barrier_reply(raw):
                self._barrier.reply("")
                self._barrier = None
        if session.connection.state == CLOSED:
            raise Fatal(f"{session.target}: {session.connection.error}")

    def _send_on(self, raw: bytes) -> None:
        """A packet that waits goes on as it is."""
        session = self._session
        try:
            message = m.decode(raw)
        except m.OFError:
            return
        if isinstance(message, m.PacketIn) and message.continuation is not None:
            answer = m.Resume(message).encode(session.version, session.next_xid())
            self._printer.sent(answer)
            session.connection.send(answer)

    def _wait(self, poller: Poller, server: Any) -> None:
        session = self._session
        if server is not None:
            server.wait(poller)
        if not self._blocked:
            if session.has_more:
                poller.immediate_wake()
            poller.fd_wait(session.fileno(), select.POLLIN)
        if session.connection.has_output:
            poller.fd_wait(session.fileno(), select.POLLOUT)


def _is_barrier_reply(raw: bytes) -> bool:
    return raw[1] == (19 if raw[0] == OF10 else 21)


# monitor


def parse_watch(text: str, names=None) -> wire.Monitor:
    """`!own,table=1,tcp` as ovs-ofctl(8) has it behind "watch:".  Raises TextError."""
    flags = sum(_WATCH_WORDS.values())
    terms = []
    for term in text.replace(" ", ",").split(","):
        if term in _WATCH_WORDS:
            flags &= ~_WATCH_WORDS[term]
        elif term:
            terms.append(term)
    chosen = parse_flow_request(",".join(terms), names)
    return wire.Monitor(1, flags, chosen.match, chosen.table_id, chosen.out_port, chosen.out_group)


def monitor(settings, target, *words):
    """monitor SWITCH [MISS_LEN] [invalid_ttl] [resume] [watch:[SPEC]]"""
    miss_len, invalid_ttl, resume, watches = None, False, False, []
    for word in words:
        if number := re.match("[0-9]+", word):
            miss_len = int(number[0][:10]) & 0xFFFF  # the rest is not looked at, as by ovs-ofctl
        elif word == "invalid_ttl":
            invalid_ttl = True
        elif word == "resume":
            resume = True
            miss_len = 0xFFFF if miss_len is None else miss_len  # no packet comes without
        elif word.startswith("watch:"):
            watches.append(word.removeprefix("watch:"))
        else:
            raise Fatal(f'{word}: unsupported "monitor" argument')
    load_all()  # whoever reads the output of one in the background has it at once
    chosen = _packet_in_format(settings)
    if invalid_ttl:
        _choose_version_with_ttl(settings)
    session = settings.connect(target)
    session.connection.tells_echoes = True
    _configure(session, miss_len, invalid_ttl)
    for text in watches:
        _start_watch(settings, session, text)
    _set_packet_in_format(session, chosen)
    printer = Printer(settings, settings.style(session, more=2))
    server = _detach(settings)
    loop = _Monitor(settings, session, printer, resume)
    _is_ready(settings)
    loop.run(server)


def _choose_version_with_ttl(settings):
    """From 1.3 on no flag says that packets with a bad TTL are wanted, but SET_ASYNC."""
    if settings.versions is None:
        return
    settings.versions &= _WITH_INVALID_TTL
    if not settings.versions:
        names = ", ".join(name for name, each in VERSIONS.items() if each in _WITH_INVALID_TTL)
        raise Fatal(
            f"invalid_ttl requires one of the OpenFlow versions {names} but none is enabled"
            " (use -O)"
        )


def _start_watch(settings, session, text):
    """Ask for it, and print the flows that there are."""
    try:
        wanted = parse_watch(text, settings.numbers(session))
    except TextError as error:
        where = "" if str(error).startswith("unknown table") else f"{text}: "
        raise Fatal(f"{where}{error}") from None
    style = settings.style(session)
    for raw, reply in session.replies(m.FlowMonitorRequest([wanted])):
        sys.stdout.write(format_message(reply, raw, style))
    sys.stdout.flush()


def _configure(session, miss_len, invalid_ttl):
    if miss_len is None and not invalid_ttl:
        return
    config = session.request(m.GetConfigRequest())
    if miss_len is not None:
        config.miss_send_len = miss_len
    if invalid_ttl:
        config.flags |= INVALID_TTL
    session.tell(m.SetConfig(config.flags, config.miss_send_len))


def _packet_in_format(settings):
    """The format of -P; None when none is given."""
    text = settings.options.get("packet-in-format")
    if text is None:
        return None
    if text not in _PACKET_IN_FORMATS:
        raise Fatal(f"unknown packet-in format `{text}'")
    return _PACKET_IN_FORMATS[text]


def _set_packet_in_format(session, chosen):
    """The chosen format, or the first of the better ones that the switch has."""
    if chosen is not None:
        try:
            session.tell(m.NxSetPacketInFormat(chosen))
        except SwitchError:
            if chosen != "standard":
                raise Fatal(
                    f"{session.target}: switch does not support the requested packet-in format"
                ) from None
        return
    better = ["nxt_packet_in2"] + (["nxt_packet_in"] if session.version == OF10 else [])
    for name in better:
        try:
            session.tell(m.NxSetPacketInFormat(name))
        except SwitchError:
            continue
        return


def snoop(settings, target):
    """snoop SWITCH: what a bridge and its controller say to each other."""
    load_all()
    printer = Printer(settings, settings.style(more=2))
    versions = settings.versions or frozenset(range(1, 7))
    for raw in cut_messages(target, settings.tls, "snoop", versions):
        printer.received(raw)
