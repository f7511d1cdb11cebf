"""pyvs-tcpdump: tcpdump on a switch's interface, by a mirror; see ovs-tcpdump(8).

The mirror and its output port, an internal interface, are made in one transaction, and go when
the dump command ends, however it does; signals that end this process end it first.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field

from pyvs import identity, rundir
from pyvs_tools.command import Fatal, guard, version_text
from pyvs_tools.getopt_long import UsageError
from pyvs_tools.ovs_names import run_program

PROGRAM = "pyvs-tcpdump"
WAIT = "10"  # seconds: for a switch that does not answer
DEVICE_NAME = 15  # bytes, of IFNAMSIZ
OWN = "pyvs-tcpdump"  # external_ids of the port and the mirror: whose they are
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

HELP = """\
{name}: tcpdump on an interface of the switch
usage: {name} -i INTERFACE [TCPDUMP OPTIONS]

  -i, --interface=NAME     the interface whose packets are dumped
      --mirror-to=NAME     the interface that is made for it (default: miINTERFACE)
      --span               mirror all ports of the bridge
      --dump-cmd=COMMAND   run COMMAND instead of tcpdump
      --db-sock=DATABASE   connect to DATABASE (default: unix:RUNDIR/db.sock)
  -h, --help               display this help message
  -V, --version            display version information
All other options go to the command, which captures on the interface that was made.
"""

# option -> attribute of Call
_VALUES = {
    "-i": "interface", "--interface": "interface", "--mirror-to": "mirror_to",
    "--dump-cmd": "dump_cmd", "--db-sock": "db_sock",
}  # fmt: skip


@dataclass
class Call:
    interface: str = ""
    mirror_to: str = ""
    dump_cmd: str = "tcpdump"
    db_sock: str = ""
    span: bool = False
    rest: list[str] = field(default_factory=list)


def parse(args: list[str]) -> Call:
    """The dump command's options are not known here: what is none of ours is its."""
    call, words = Call(), iter(args)
    for word in words:
        name, equals, value = word.partition("=")
        if word.startswith("-i") and not word.startswith("--") and len(word) > 2:
            name, equals, value = "-i", "=", word[2:]
        if name == "--filter":
            raise UsageError("--filter is not supported: mirrors have no filter")
        if name in _VALUES:
            _set(call, name, value if equals else next(words, None))
        elif word == "--span":
            call.span = True
        else:
            call.rest.append(word)
    return call


def _set(call: Call, name: str, value: str | None) -> None:
    if not value:
        raise UsageError(f"option '{name}' requires an argument")
    if _VALUES[name] == "interface" and call.interface:
        raise UsageError("-i may not appear multiple times")
    setattr(call, _VALUES[name], value)


class Tap:
    """The mirror and the interface on which its packets are seen."""

    def __init__(self, call: Call):
        self._database = call.db_sock or f"unix:{rundir.db_sock()}"
        self.source = call.interface
        self.device = call.mirror_to or f"mi{call.interface}"[:DEVICE_NAME]
        self._mirror = f"m_{call.interface}"
        self._span = call.span
        self._bridge = ""
        self._asked = False  # something may have been made, and has then
        self._own = f"external_ids:{OWN}={os.getpid()}"  # others may make the same meanwhile

    def _vsctl(self, *words: str) -> str:
        return run_program(
            "pyvs-vsctl", f"--timeout={WAIT}", f"--db={self._database}", *words
        ).strip()

    def make(self) -> None:
        """Raises Fatal where it cannot; nothing is left then."""
        port = self._port()
        if self._vsctl("--columns=_uuid", "--bare", "find", "Interface", f"name={self.device}"):
            raise Fatal(f"interface {self.device} is there already; --mirror-to names another")
        if self._vsctl("--columns=_uuid", "--bare", "find", "Mirror", f"name={self._mirror}"):
            raise Fatal(f"mirror {self._mirror} is there already: {self.source} is mirrored")
        choice = (
            ["select_all=true"]
            if self._span
            else [f"select_src_port={port}", f"select_dst_port={port}"]
        )
        self._asked = True
        self._vsctl(
            *("add-port", self._bridge, self.device),
            *("--", "set", "Interface", self.device, "type=internal"),
            *("--", "set", "Port", self.device, self._own),
            *("--", "--id=@out", "get", "Port", self.device),
            *("--", "--id=@m", "create", "Mirror", f"name={self._mirror}", self._own, *choice),
            *("output_port=@out", "--", "add", "Bridge", self._bridge, "mirrors", "@m"),
        )
        self._raise_link()

    def _port(self) -> str:
        """The UUID of the interface's port."""
        self._bridge = self._vsctl("iface-to-br", self.source)
        interface = self._vsctl("--bare", "get", "Interface", self.source, "_uuid")
        found = self._vsctl(
            "--columns=_uuid", "--bare", "find", "Port", f"interfaces{{>=}}{interface}"
        )
        if not found:
            raise Fatal(f"interface {self.source} is in no port")
        return found

    def _raise_link(self) -> None:
        error = self._vsctl("--bare", "get", "Interface", self.device, "error").strip('[]"')
        if error:
            raise Fatal(f"interface {self.device}: {error}")
        run_program("ip", "link", "set", self.device, "up")

    def remove(self) -> None:
        if not self._asked:
            return
        if self._of_own("Port", self.device):
            words = ["--if-exists", "del-port", self.device]
            for uuid in self._of_own("Mirror", self._mirror):
                words += ["--", "--if-exists", "remove", "Bridge", self._bridge, "mirrors", uuid]
            self._vsctl(*words)

    def _of_own(self, table: str, name: str) -> list[str]:
        """UUIDs of what this process has made."""
        return self._vsctl(
            "--columns=_uuid", "--bare", "find", table, f"name={name}", self._own
        ).split()


def _dump(call: Call, device: str) -> int:
    """Runs the command; its status, as a shell has it."""
    process = subprocess.Popen([call.dump_cmd, "-i", device, *call.rest])

    def end(number, _frame):
        # From a terminal it has the signal itself; a second one does no harm.
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)

    for number in ENDING:
        signal.signal(number, end)
    status = process.wait()
    return status if status >= 0 else 128 - status


def _stop(number, _frame):
    raise Fatal(f"ended by {signal.Signals(number).name}", 128 + number)


def run(args: list[str]) -> int:
    name = identity.program(PROGRAM)
    if "-h" in args or "--help" in args:
        print(HELP.format(name=name), end="")
        return 0
    if "-V" in args or "--version" in args:
        print(version_text(PROGRAM), end="")
        return 0
    call = parse(args)
    if not call.interface:
        raise UsageError("no interface: -i tells which")
    if shutil.which(call.dump_cmd) is None:
        raise Fatal(f"cannot find the command {call.dump_cmd}")
    for number in ENDING:
        signal.signal(number, _stop)
    tap = Tap(call)
    try:
        tap.make()
        return _dump(call, tap.device)
    finally:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        tap.remove()


def main() -> int:
    return guard(PROGRAM, run, None)


if __name__ == "__main__":
    sys.exit(main())
