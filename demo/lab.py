"""Private namespaces to show the switch in: nothing of the host changes, nothing stays behind.

The program that calls `enter()` is started again inside new mount, network and process
namespaces (as an ordinary user: in a new user namespace, too).  /run is a tmpfs of its own
there, so that `ip netns` and the default run directory are private.  When the program ends,
however it ends, the kernel ends every process that it started and drops the namespaces.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

INSIDE = "PYVS_LAB"
ROOT = Path(__file__).resolve().parent.parent
UNSHARE = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]


class LabError(Exception):
    """The namespaces cannot be had, or a step did not show what it must."""


def inside() -> bool:
    """Whether this process is in the namespaces already."""
    return os.environ.get(INSIDE) == "1"


def enter(argv: list[str], furniture: tuple[str, ...] = ()) -> None:
    """Return inside the namespaces; outside of them, run `argv` in them and exit as it does.

    `furniture`: further commands that make the private place what the caller needs.
    Raises LabError when the kernel or its configuration refuses the namespaces.
    """
    if inside():
        _furnish(furniture)
        return
    prefix = UNSHARE if os.geteuid() == 0 else [*UNSHARE, "--user", "--map-root-user"]
    trial = subprocess.run([*prefix, "true"], capture_output=True, text=True)
    if trial.returncode:
        raise LabError(
            f"this system refuses new namespaces ({trial.stderr.strip()}): run as root, "
            "or allow unprivileged user namespaces"
        )
    # Who kills this process ends the demo; unshare takes the rest with it.
    guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the inner one answers Ctrl-C
    sys.exit(subprocess.run([*guard, *prefix, *argv], env={**os.environ, INSIDE: "1"}).returncode)


def _furnish(more: tuple[str, ...]) -> None:
    for command in (
        "mount -t tmpfs -o mode=755 pyvs-run /run",
        "mkdir -p /run/netns /run/cgroup",
        "mount --rbind /sys/fs/cgroup /run/cgroup",
        "mount -t sysfs pyvs-sys /sys",
        "mount --rbind /run/cgroup /sys/fs/cgroup",
        "ip link set lo up",
        *more,
    ):
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
        if done.returncode:
            raise LabError(f"{command}: {done.stderr.strip()}")
    os.environ["PYVS_RUNDIR"] = "/run/pyvs"
    os.environ["PATH"] = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}:/usr/sbin:/sbin"
    os.environ["PYTHONPATH"] = str(ROOT)


class Terminal:
    """Shows each step as a user would type it, and what came of it."""

    def __init__(self) -> None:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._title, self._command, self._end = (
            ("\033[1;36m", "\033[1m", "\033[0m") if colour else ("", "", "")
        )

    def title(self, text: str) -> None:
        print(f"\n{self._title}== {text}{self._end}", flush=True)

    def say(self, text: str) -> None:
        print(f"   {text}", flush=True)

    def show(self, command: str) -> None:
        print(f"{self._command}$ {command}{self._end}", flush=True)

    def run(self, command: str, *, fails: bool = False, quiet: bool = False) -> str:
        """Run a shell command, show it with its output, and return its output.

        Raises LabError when it fails though it should not, or the other way round.
        """
        self.show(command)
        done = subprocess.run(command, shell=True, text=True, capture_output=True)
        if not quiet or bool(done.returncode) != fails:
            for line in (done.stdout + done.stderr).rstrip().splitlines():
                print(f"  {line}", flush=True)
        if bool(done.returncode) != fails:
            raise LabError(f"`{command}` exited with {done.returncode}")
        return done.stdout

    def start(self, command: str, **options) -> subprocess.Popen:
        """Start a command in the background and show it."""
        self.show(f"{command} &")
        return subprocess.Popen(shlex.split(command), **options)


def leave_shell(terminal: Terminal) -> None:
    """A shell beside what was shown, for as long as the user wants."""
    terminal.title("A shell in these namespaces (exit ends everything)")
    subprocess.run(["bash", "--norc"], env={**os.environ, "PS1": "pyvs demo# "})


def wait_for(what: str, condition, seconds: float = 15.0):
    """Return the first true value of `condition()`, asked ten times a second.

    Raises LabError naming `what` when the time is over.
    """
    end = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        if time.monotonic() > end:
            raise LabError(f"{what}: not within {seconds:g} seconds")
        time.sleep(0.1)


def quiet(command: str) -> str | None:
    """The output of a command that is not shown; None when it fails."""
    done = subprocess.run(shlex.split(command), text=True, capture_output=True)
    return None if done.returncode else done.stdout.strip()
