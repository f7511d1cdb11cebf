"""A host of its own for Docker: private mount, network and process namespaces with a switch, the
driver and dockerd; all of it ends with its first process."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.daemons import BIN, CommandFailed, wait_until

# The first process waits for whatever ends: dockerd takes a dead containerd for a living one else.
START = (
    "mount -t tmpfs run /run && mkdir -p /run/netns /run/docker/plugins"
    " && while :; do sleep 1000 & wait $!; done"
)
DOCKERD = (
    *("dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none"),
    *("--storage-driver=vfs", "--exec-root=/run/dk", "-H", "unix:///run/docker.sock"),
    "--live-restore",  # containers go on without it
)
# The limits because not every machine lets a container raise its own.
LIMITS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000")


def missing():
    """Why Docker cannot be tested here, or None."""
    if os.geteuid() != 0:
        return "root is needed"
    for program in ("dockerd", "docker", "runc", "containerd", "busybox", "nft", "nsenter"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return None


class DockerHost:
    """Start it; `run()` runs a command in it."""

    def __init__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="pyvs-docker-"))
        path = f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin"
        self.environment = {**os.environ, "PATH": path, "PYVS_RUNDIR": "/run/pyvs"}
        self.environment["DOCKER_HOST"] = "unix:///run/docker.sock"
        command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
        self._holder = subprocess.Popen([*command, "--mount-proc", "sh", "-c", START])
        self.pid = wait_until(self._first_process, what="the namespaces")
        wait_until(lambda: self.run("ls", "/run", check=False) == "docker\nnetns\n", what="/run")
        self._children = []
        self.run("ip", "link", "set", "lo", "up")
        self.run("pyvs-ctl", "start")

    def _first_process(self):
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children").read_text()
        return int(children) if children.strip() else None

    @property
    def prefix(self):
        """What to put before a command to run it inside."""
        return ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid"]

    def run(self, *command, check=True, timeout=60):
        """Run a command inside; returns its standard output."""
        done = subprocess.run(
            [*self.prefix, *command],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment,
        )
        if check and done.returncode:
            said = done.stdout + done.stderr
            raise CommandFailed(f"{' '.join(command)}: status {done.returncode}\n{said}")
        return done.stdout

    def popen(self, *command, log):
        """Start a daemon inside, its output in a file of the directory."""
        with open(self.directory / log, "ab") as output:
            child = subprocess.Popen(
                [*self.prefix, *command], stdout=output, stderr=output, env=self.environment
            )
        self._children.append(child)
        return child

    def start_driver(self):
        """pyvs-docker-driver, as a user starts it."""
        self.run("pyvs-docker-driver", "--detach", "--no-chdir", "--pidfile", "--log-file")

    def start_dockerd(self):
        """dockerd with the image "box", whose commands are busybox's."""
        self.popen(*DOCKERD, f"--data-root={self.directory}/data", log="dockerd.log")
        ready = "wait for the socket"
        wait_until(
            lambda: self.run("docker", "info", "--format={{.ID}}", check=False).strip(),
            seconds=60,
            what=f"dockerd ({ready})",
        )

    def import_image(self):
        """A root file system of busybox alone."""
        root = self.directory / "root"
        for folder in ("bin", "proc", "sys", "dev", "tmp", "etc"):
            (root / folder).mkdir(parents=True)
        shutil.copy(shutil.which("busybox"), root / "bin" / "busybox")
        for name in ("sh", "ip", "ping", "sleep", "nc", "wget", "httpd"):
            (root / "bin" / name).symlink_to("busybox")
        self.run("sh", "-c", f"tar -C {root} -c . | docker import - box")

    def start_container(self, name, *options, command=("/bin/sleep", "600")):
        """docker run --detach"""
        words = ["docker", "run", "--detach", f"--name={name}", "--cap-add=NET_RAW", *LIMITS]
        return self.run(*words, *options, "box", *command)

    def execute(self, name, *command, check=True):
        """docker exec"""
        return self.run("docker", "exec", name, *command, check=check)

    def kill(self, pidfile):
        """kill -9 of a daemon with a pid file in the run directory."""
        self.run("sh", "-c", f"kill -9 $(cat /run/pyvs/{pidfile}.pid)")

    def kill_dockerd(self):
        """kill -9 of dockerd, and so of the containerd that it started."""
        self.run("sh", "-c", "kill -9 $(cat /run/docker.pid)")
        for child in self._children:
            child.wait(timeout=30)
        self._children.clear()

    def tell(self):
        """What there is to know after trouble."""
        commands = (
            "docker ps -a",
            "docker network ls -q | xargs docker network inspect",
            "ls -i /run/docker/netns; ip -o link; ip -o address",
            "pyvs-vsctl list bridge; pyvs-vsctl list port",
            "tail -n 60 /run/pyvs/*.log",
            f"grep -v plugin {self.directory}/dockerd.log | tail -n 60",
        )
        return "\n".join(self.run("sh", "-c", words, check=False) for words in commands)

    def close(self):
        """End everything, delete its files."""
        self._holder.kill()
        self._holder.wait()
        for child in self._children:
            child.wait(timeout=30)
        shutil.rmtree(self.directory, ignore_errors=True)
