"""Time to attach a container: CNI's ADD and DEL as a runtime executes them, and the Docker
driver's calls, one after the other and many at once.

    python -m bench container_attach [COUNT]
"""

import concurrent.futures
import contextlib
import http.client
import json
import os
import socket
import statistics
import subprocess
import time

from demo.lab import LabError, quiet, wait_for

COUNT = 40
AT_ONCE = 100
CONFIG = {"cniVersion": "1.0.0", "name": "bench", "type": "pyvs-cni", "bridge": "br0"}
IPAM = {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/16"}]], "dataDir": "/run/ipam"}
SOCKET = "/run/docker/plugins/pyvs.sock"


def milliseconds(call, *words) -> float:
    begin = time.perf_counter()
    call(*words)
    return (time.perf_counter() - begin) * 1000


def cni(command: str, name: str) -> None:
    """One execution of the plug-in; the namespace is there."""
    environment = {
        **os.environ,
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": name,
        "CNI_NETNS": f"/run/netns/{name}",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/usr/lib/cni",
    }
    with_addresses = {"ipam": IPAM} if os.path.exists("/usr/lib/cni/host-local") else {}
    config = json.dumps({**CONFIG, **with_addresses})
    done = subprocess.run(
        ["pyvs-cni"], input=config, capture_output=True, text=True, env=environment
    )
    if done.returncode:
        raise LabError(f"pyvs-cni: {command} of {name}: {done.stdout}")


class Docker(http.client.HTTPConnection):
    """Says to the driver what dockerd says for a container."""

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(SOCKET)

    def say(self, call: str, **asked) -> None:
        self.request("POST", call, json.dumps(asked))
        answer = self.getresponse()
        body = answer.read()
        if answer.status != http.client.OK:
            raise LabError(f"{call}: {body.decode()}")


def docker_network() -> None:
    with contextlib.closing(Docker("docker")) as docker:
        options = {"com.docker.network.generic": {"bridge": "br0", "mode": "l2"}}
        subnet = [{"Pool": "10.2.0.0/16", "Gateway": "10.2.0.1/16"}]
        docker.say(
            "/NetworkDriver.CreateNetwork", NetworkID="bench", Options=options, IPv4Data=subnet
        )


def docker_join(number: int) -> None:
    """What makes an endpoint: two calls on one connection."""
    with contextlib.closing(Docker("docker")) as docker:
        ids = {"NetworkID": "bench", "EndpointID": f"{number:064x}"}
        address = {"Address": f"10.2.{number >> 8}.{number & 255}/16"}
        docker.say("/NetworkDriver.CreateEndpoint", **ids, Interface=address, Options={})
        docker.say("/NetworkDriver.Join", **ids, SandboxKey="/run/none", Options={})


def docker_leave(number: int) -> None:
    with contextlib.closing(Docker("docker")) as docker:
        ids = {"NetworkID": "bench", "EndpointID": f"{number:064x}"}
        docker.say("/NetworkDriver.Leave", **ids)
        docker.say("/NetworkDriver.DeleteEndpoint", **ids)


def measure(what: str, call, items) -> None:
    """One after the other, and all at once."""
    times = [milliseconds(call, each) for each in items[: len(items) - AT_ONCE]]
    median, slowest = statistics.median(times), max(times)
    begin = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(call, items[len(items) - AT_ONCE :]))
    whole = time.perf_counter() - begin
    print(
        f"{what:26} median {median:6.1f} ms, slowest {slowest:6.1f} ms;"
        f" {AT_ONCE} at once {whole:5.2f} s ({whole * 1000 / AT_ONCE:.1f} ms each)",
        flush=True,
    )


def main(words: list[str]) -> None:
    count = int(words[0]) if words else COUNT
    names = [f"c{number}" for number in range(count + AT_ONCE)]
    quiet("pyvs-ctl start")
    quiet("pyvs-vsctl add-br br0")
    for name in names:
        quiet(f"ip netns add {name}")
    try:
        measure("pyvs-cni ADD", lambda name: cni("ADD", name), names)
        measure("pyvs-cni DEL", lambda name: cni("DEL", name), names)
        os.makedirs("/run/docker/plugins", exist_ok=True)
        quiet("pyvs-docker-driver --detach --no-chdir --pidfile --log-file")
        wait_for("the driver", lambda: os.path.exists(SOCKET))
        docker_network()
        measure("driver: endpoint and join", docker_join, range(1, len(names) + 1))
        measure("driver: leave and delete", docker_leave, range(1, len(names) + 1))
    finally:
        for name in names:
            quiet(f"ip netns delete {name}")
        quiet("pyvs-appctl -t pyvs-docker-driver exit")
        quiet("pyvs-ctl stop")
