"""The demo of containers: podman and Docker put theirs on one bridge, and what a user asks next.

Every command can be typed as it stands in the shell that `make demo-containers SHELL_AFTER=1`
leaves.  The storage of both runtimes, their networks and their daemons are in private namespaces
and go with them; the runtimes and networks of the host are not touched.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from demo import lab
from demo.lab import LabError, quiet, wait_for

# What the runtimes keep on a host, in memory here.
FURNITURE = (
    "mount -t tmpfs shm /dev/shm",
    "mount -t tmpfs cni /etc/cni",
    "mkdir -p /run/cni /etc/cni/net.d && mount --bind /usr/lib/cni /run/cni",
    "mount -t tmpfs cni /usr/lib/cni && ln -s /run/cni/* /usr/lib/cni/",
    "test -d /var/lib/cni && mount -t tmpfs cni /var/lib/cni || true",
    "mount -t tmpfs storage /var/lib/containers",
)
# Not every machine lets a container raise its own limits, and has overlayfs on tmpfs.
PODMAN = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
[network]
network_backend = "cni"
"""
DOCKERD = (
    "dockerd --bridge=none --iptables=false --ip6tables=false --storage-driver=vfs"
    " --data-root=/run/docker-data --default-ulimit=nofile=1024:1024"
    " --default-ulimit=nproc=1000:1000"
)
NETWORK = """\
cat > /etc/cni/net.d/{name}.conflist <<END
{{"cniVersion": "0.4.0", "name": "{name}", "plugins": [{{"type": "pyvs-cni", "bridge": "br0",
  "vlan": {vlan}{more}, "ipam": {{"type": "host-local", "dataDir": "/run/ipam",
  "ranges": [[{{"subnet": "10.3.0.0/24"}}]]}}}}]}}
END"""
NEEDED = {
    "podman": "podman",
    "runc": "runc",
    "busybox": "busybox-static",
    "/usr/lib/cni/host-local": "containernetworking-plugins",
}
FOR_DOCKER = {"dockerd": "docker.io", "docker": "docker.io", "nft": "nftables", "curl": "curl"}


def missing(programs: dict[str, str]) -> list[str]:
    """Debian's packages for those of the programs that are not here."""
    return sorted({package for program, package in programs.items() if not shutil.which(program)})


def start_switch(terminal: lab.Terminal) -> None:
    terminal.title("The switch with a bridge, and an image of busybox alone")
    terminal.run("pyvs-ctl start")
    terminal.run("pyvs-vsctl add-br br0")
    terminal.run(
        "mkdir -p /run/root/bin /run/root/etc /run/root/tmp /run/root/www"
        " && cp $(which busybox) /run/root/bin/busybox && echo hello > /run/root/www/index.html"
        " && for name in sh ip ping sleep httpd cat; do ln -s busybox /run/root/bin/$name; done"
    )
    terminal.run("tar -C /run/root -c . | podman import -q - box")


def podman_networks(terminal: lab.Terminal) -> None:
    terminal.title("podman: two networks of pyvs-cni with the same addresses, VLANs 10 and 20")
    terminal.run("ln -s $(which pyvs-cni) /usr/lib/cni/")
    terminal.run(NETWORK.format(name="blue", vlan=10, more=""))
    terminal.run(NETWORK.format(name="green", vlan=20, more=""))
    terminal.run("podman network ls")
    run = "podman run -d --cap-add=NET_RAW --name"
    terminal.run(f"{run} web --network blue --ip 10.3.0.10 box /bin/sleep 900")
    terminal.run(f"{run} one --network blue --ip 10.3.0.11 box /bin/sleep 900")
    terminal.run(f"{run} other --network green --ip 10.3.0.12 box /bin/sleep 900")
    terminal.run("pyvs-vsctl show")


def isolation(terminal: lab.Terminal) -> None:
    terminal.title("Within a network they reach each other; the other VLAN is apart")
    terminal.run("podman exec one ping -c 3 10.3.0.10")
    terminal.run("podman exec one ping -c 2 -W 1 10.3.0.12", fails=True)


def limits(terminal: lab.Terminal) -> None:
    terminal.title("Limits: memory and processor are the runtime's")
    terminal.run(
        "podman run -d --name small --network blue --memory 64m --cpus 0.5 box /bin/sleep 900"
    )
    terminal.run("podman inspect small --format '{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}'")
    group = quiet("podman inspect small --format {{.State.CgroupPath}}")
    for hierarchy, name in (("/memory", "memory.limit_in_bytes"), ("", "memory.max")):
        path = f"/sys/fs/cgroup{hierarchy}{group}/{name}"
        if os.path.exists(path) and terminal.run(f"cat {path}").strip() != str(64 << 20):
            raise LabError("the limit is not the cgroup's")
    terminal.run("podman rm -f -t 0 small")


def start_docker(terminal: lab.Terminal) -> None:
    terminal.title("Docker: its networks are the driver pyvs', on the same switch")
    terminal.run("pyvs-docker-driver --detach --no-chdir --pidfile --log-file")
    with open("/run/dockerd.log", "w") as log:
        terminal.start(DOCKERD, stdout=log, stderr=log)
    wait_for("dockerd", lambda: quiet("docker info --format {{.ID}}"), seconds=60)
    terminal.run("tar -C /run/root -c . | docker import - box")
    terminal.run("docker network create -d pyvs --subnet 10.5.0.0/24 outward")
    terminal.run(
        "docker network create -d pyvs --subnet 10.3.0.0/24"
        " -o bridge=br0 -o vlan=10 -o mode=l2 blue"
    )
    terminal.run("docker run -d --name page --network outward -p 8080:80 box /bin/httpd -f -h /www")


def published_port(terminal: lab.Terminal) -> None:
    terminal.title("A published port, reached with curl")
    wait_for("the page", lambda: quiet("curl -s -m 2 http://127.0.0.1:8080/"))
    terminal.run("curl -s -m 5 http://127.0.0.1:8080/")


def nat(terminal: lab.Terminal) -> None:
    terminal.title("NAT: the way out, to a neighbour that knows no way back to the network")
    terminal.run(
        "ip netns add far && ip link add uplink type veth peer name eth0 netns far"
        " && ip addr add 198.51.100.1/24 dev uplink && ip link set uplink up"
        " && ip -n far addr add 198.51.100.2/24 dev eth0 && ip -n far link set eth0 up"
    )
    terminal.run("docker exec page ping -c 2 198.51.100.2")
    terminal.run("ip netns exec far curl -s -m 5 http://198.51.100.1:8080/")


def both(terminal: lab.Terminal) -> None:
    terminal.title("A container of Docker in podman's VLAN: connected, reached, disconnected")
    terminal.run("docker network connect --ip 10.3.0.30 blue page")
    terminal.run("podman exec one ping -c 2 10.3.0.30")
    terminal.run("docker network disconnect blue page")
    terminal.run("podman exec one ping -c 2 -W 1 10.3.0.30", fails=True)


def vswitchd_pid() -> str:
    return (quiet("cat /run/pyvs/pyvs-vswitchd.pid") or "0").split()[0]


def answers(process: str) -> int:
    """How many pings of a process' namespace were answered so far."""
    lines = Path(f"/proc/{process}/net/snmp").read_text().splitlines()
    names, values = (line.split() for line in lines if line.startswith("Icmp:"))
    return int(values[names.index("InEchoReps")])


def crash(terminal: lab.Terminal) -> None:
    terminal.title("Kill vswitchd: running containers do not notice, new ones start")
    process = quiet("podman inspect --format={{.State.Pid}} one") or ""
    answered = answers(process)
    pinging = terminal.start(
        "podman exec one ping -c 5 10.3.0.10", stdout=subprocess.PIPE, text=True
    )
    wait_for("the first answer", lambda: answers(process) > answered)
    before = vswitchd_pid()
    terminal.show("kill -9 $(cat /run/pyvs/pyvs-vswitchd.pid)")
    os.kill(int(before), signal.SIGKILL)
    terminal.run("podman run --rm --cap-add=NET_RAW --network blue box /bin/ping -c 2 10.3.0.10")
    terminal.say(f"vswitchd was {before}; its monitor started it again as {vswitchd_pid()}")
    told = pinging.communicate(timeout=30)[0]
    terminal.say(f"the ping that ran meanwhile: {told.strip().splitlines()[-2]}")
    if "5 packets received" not in told:
        raise LabError("the ping lost packets")


def finish(terminal: lab.Terminal) -> None:
    terminal.title("The end of the containers is the end of their ports")
    terminal.run("podman rm -f -t 0 web one other")
    if not missing(FOR_DOCKER):
        terminal.run("docker rm -f page && docker network rm outward blue")
        terminal.run("nft list tables")
    left = terminal.run("pyvs-vsctl list-ports br0 && pyvs-vsctl list-stale")
    if left.strip():
        raise LabError(f"ports are left over: {left}")


PODMAN_STEPS = (start_switch, podman_networks, isolation, limits)
DOCKER_STEPS = (start_docker, published_port, nat, both)
LAST_STEPS = (crash, finish)


def prepare() -> None:
    """Settings of the runtimes for this place."""
    with open("/run/containers.conf", "w") as file:
        file.write(PODMAN)
    os.environ["CONTAINERS_CONF"] = "/run/containers.conf"
    os.environ["STORAGE_DRIVER"] = "vfs"


def end_runtimes() -> None:
    """Takes off what would outlive the namespaces: the containers' cgroups."""
    quiet("podman rm -f -a -t 0")
    if names := quiet("docker ps -aq") if shutil.which("docker") else "":
        quiet(f"docker rm -f {' '.join(names.split())}")


def steps(terminal: lab.Terminal) -> None:
    for step in PODMAN_STEPS:
        step(terminal)
    if packages := missing(FOR_DOCKER):
        terminal.say(f"skipped: Docker's part, for it lacks {', '.join(packages)}")
    else:
        for step in DOCKER_STEPS:
            step(terminal)
    for step in LAST_STEPS:
        step(terminal)


def main() -> int:
    terminal = lab.Terminal()
    if packages := missing(NEEDED):
        print(f"demo: lacks {', '.join(packages)} (names as in Debian)", file=sys.stderr)
        return 1
    if os.geteuid() != 0:
        print("demo: containers on a bridge want root", file=sys.stderr)
        return 1
    try:
        lab.enter([sys.executable, "-m", "demo.containers", *sys.argv[1:]], FURNITURE)
        prepare()
        steps(terminal)
        terminal.title("Done: the demo leaves nothing behind")
    except LabError as error:
        print(f"\ndemo: {error}", file=sys.stderr, flush=True)
        subprocess.run("tail -n 20 /run/pyvs/*.log", shell=True, stdout=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if lab.inside():
            if "--shell-after" in sys.argv:
                lab.leave_shell(terminal)
            end_runtimes()
    return 0


if __name__ == "__main__":
    sys.exit(main())
