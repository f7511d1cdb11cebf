"""Which process a container is: by its name or id, asked of Docker and podman, or by number."""

import os
import shutil
import subprocess

from .errors import Fault, NotThere

RUNTIMES = ("docker", "podman")
# Seconds that a runtime may take to answer.
PATIENCE = 20


def process_of(container: str) -> int:
    """The process id of a running container; raises NotThere, or Fault where nobody can be asked.

    A number is a container's name only when no process has that id.
    """
    if container.isascii() and container.isdigit() and os.path.exists(f"/proc/{container}"):
        return int(container)
    asked = [name for name in RUNTIMES if shutil.which(name)]
    if not asked:
        raise Fault(f"{container}: neither docker nor podman is installed to ask about it")
    reasons = []
    for name in asked:
        done = _ask(name, container)
        if done.returncode == 0 and done.stdout.strip().isdigit():
            if pid := int(done.stdout):
                return pid
            raise NotThere(f"{container}: the container does not run")
        reasons.append((done.stderr.strip().splitlines() or ["no answer"])[-1])
    raise NotThere(f"{container}: no such container ({'; '.join(reasons)})")


def _ask(runtime: str, container: str) -> subprocess.CompletedProcess:
    words = [runtime, "inspect", "--type=container", "--format={{.State.Pid}}", "--", container]
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 1, "", f"{runtime} does not answer")


def namespace_of(container: str) -> str:
    """The path of a running container's network namespace; raises as process_of()."""
    return f"/proc/{process_of(container)}/ns/net"
