"""Which container a word means: a name or id, asked of Docker and podman, or a process id."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from . import endpoint
from .errors import Fault, NotThere

RUNTIMES = ("docker", "podman")
# Seconds that a runtime may take to answer.
PATIENCE = 20
# What is asked of them, one word each; Docker writes a name with a slash before it.
ASKED = (".State.Pid", ".Id", ".Name")


class Container(NamedTuple):
    """A running container."""

    process: int
    started: int  # in ticks since the boot: a process id may soon be another process'
    id: str  # the runtime's, whole; of a container by its process id, that number
    name: str

    @contextlib.contextmanager
    def namespace(self) -> Iterator[str]:
        """A path of its network namespace, which is the same one whatever becomes of the process;
        raises NotThere where that has ended, though its id be another's by now."""
        with endpoint.namespace(f"/proc/{self.process}/ns/net") as descriptor:
            if _started(self.process) != self.started:
                raise NotThere(f"{self.name}: the container ended meanwhile")
            yield f"/proc/self/fd/{descriptor}"


def _started(process: int) -> int | None:
    """When a process began, proc(5); None where there is none."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])


def _running(process: int, identity: str, name: str) -> Container:
    started = _started(process)
    if started is None:
        raise NotThere(f"{name}: the container ended meanwhile")
    return Container(process, started, identity, name)


def find(container: str) -> Container:
    """A running container; raises NotThere, or Fault where nobody can be asked.

    A number is a container's name only when no process has that id.
    """
    if container.isascii() and container.isdigit() and os.path.exists(f"/proc/{container}"):
        return _running(int(container), container, container)
    asked = [name for name in RUNTIMES if shutil.which(name)]
    if not asked:
        raise Fault(f"{container}: neither docker nor podman is installed to ask about it")
    reasons = []
    for name in asked:
        done = _ask(name, container)
        said = done.stdout.split()
        if done.returncode == 0 and len(said) == len(ASKED) and said[0].isdigit():
            if process := int(said[0]):
                return _running(process, said[1], said[2].removeprefix("/"))
            raise NotThere(f"{container}: the container does not run")
        reasons.append((done.stderr.strip().splitlines() or ["no answer"])[-1])
    raise NotThere(f"{container}: no such container ({'; '.join(reasons)})")


def _ask(runtime: str, container: str) -> subprocess.CompletedProcess:
    form = " ".join(f"{{{{{each}}}}}" for each in ASKED)
    words = [runtime, "inspect", "--type=container", f"--format={form}", "--", container]
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 1, "", f"{runtime} does not answer")
