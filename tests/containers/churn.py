"""Containers that come and go from all sides at once while daemons are killed.

    python -m tests.containers.churn [COUNT] [--seed N] [--no-kills]

COUNT containers are started and removed in random order by four lanes at once, two of Docker's
and two of a runtime that executes pyvs-cni.  Meanwhile vswitchd, the datapath, the driver and
dockerd are killed.  A lane whose call fails says it again, as a runtime or a user does; a call
that succeeded is a promise: its container must be reached, from the host or, at the CNI network,
from a neighbour.  At the end nothing is left.
"""

import argparse
import dataclasses
import json
import random
import sys
import threading
import time

from tests.containers.docker_host import DockerHost, missing
from tests.daemons import CommandFailed, wait_until

PATIENCE = 90  # seconds in which a call must have worked, kills and all
REACHED = 30  # and in which a new container must answer: a killed vswitchd comes back first
FORGOTTEN = 60  # and in which what Docker has forgotten is gone
MOST_AT_ONCE = 12  # of a lane's containers
DAEMONS = ("pyvs-vswitchd", "pyvs-datapath", "pyvs-docker-driver", "dockerd")
DOCKER_NETWORK, CNI_NETWORK = "10.7.0.0/16", "10.8.0.0/16"


def again(call, what):
    """Say it until it works; returns (its value, how many times it was said)."""
    end = time.monotonic() + PATIENCE
    for count in range(1, 10**6):
        try:
            return call(), count
        except CommandFailed as error:
            if time.monotonic() > end:
                raise AssertionError(f"{what}: in vain for {PATIENCE} s: {error}") from None
            time.sleep(0.3)


class Docker:
    """Containers of Docker on the network "churn"."""

    def __init__(self, host, number):
        self.host = host
        self.prefix = f"d{number}-"

    def start(self, name):
        """Returns its address."""
        try:
            self.host.start_container(name, "--network=churn")
        except CommandFailed:
            self.host.run("docker", "rm", "--force", name, check=False)
            raise
        form = "--format={{.NetworkSettings.Networks.churn.IPAddress}}"
        return self.host.run("docker", "inspect", form, name).strip()

    def remove(self, name):
        self.host.run("docker", "rm", "--force", name)


class Cni:
    """Network namespaces with what pyvs-cni gives them."""

    def __init__(self, host, number):
        self.host = host
        self.prefix = f"c{number}-"
        ipam = {"type": "host-local", "ranges": [[{"subnet": CNI_NETWORK}]], "dataDir": "/run/ipam"}
        config = {"cniVersion": "1.0.0", "name": "churn", "type": "pyvs-cni", "ipam": ipam}
        self.config = json.dumps({**config, "bridge": "br0", "vlan": 8})

    def _call(self, command, name):
        environment = (
            f"CNI_COMMAND={command} CNI_CONTAINERID={name} CNI_NETNS=/run/netns/{name}"
            " CNI_IFNAME=eth0 CNI_PATH=/usr/lib/cni"
        )
        return self.host.run("sh", "-c", f"echo '{self.config}' | {environment} pyvs-cni")

    def start(self, name):
        """Returns its address."""
        self.host.run("sh", "-c", f"test -e /run/netns/{name} || ip netns add {name}")
        try:
            given = json.loads(self._call("ADD", name))
        except CommandFailed:
            self._call("DEL", name)
            raise
        return given["ips"][0]["address"].partition("/")[0]

    def remove(self, name):
        if random.random() < 0.3:  # its processes ended before anybody told the network
            self.host.run("sh", "-c", f"test ! -e /run/netns/{name} || ip netns delete {name}")
        self._call("DEL", name)
        self.host.run("sh", "-c", f"test ! -e /run/netns/{name} || ip netns delete {name}")


@dataclasses.dataclass
class Tally:
    """What happened."""

    started: int = 0
    said: int = 0
    waits: list = dataclasses.field(default_factory=list)  # seconds until it was reached
    kills: dict = dataclasses.field(default_factory=dict)
    lost: list = dataclasses.field(default_factory=list)


class Churn:
    """A host with its lanes."""

    def __init__(self, host, count, seed):
        self.host = host
        self.count = count
        self.random = random.Random(seed)
        self.tally = Tally()
        self.over = threading.Event()
        self.failures = []
        self.lock = threading.Lock()

    def prepare(self):
        run = self.host.run
        run("pyvs-vsctl", "add-br", "br0")
        self.probe = Cni(self.host, "probe")
        self.probe.start("probe")
        self.host.start_driver()
        self.host.start_dockerd()
        self.host.import_image()
        create = "docker network create -d pyvs -o bridge=br0 -o vlan=7 churn --subnet"
        run(*create.split(), DOCKER_NETWORK)

    def reach(self, name, address):
        """The promise of a call that returned."""
        begin = time.monotonic()
        # The host is in Docker's network only, whose gateway the driver keeps.
        inside = ("ip", "netns", "exec", "probe") if address.startswith("10.8.") else ()
        ping = (*inside, "ping", "-n", "-c1", "-W1", address)
        while "1 received" not in self.host.run(*ping, check=False):
            if time.monotonic() > begin + REACHED:
                raise AssertionError(f"{name} at {address}: not reached within {REACHED} s")
        with self.lock:
            self.tally.waits.append(time.monotonic() - begin)

    def lane(self, runtime, count, seed):
        mine, running, number = random.Random(seed), {}, 0
        try:
            while (number < count or running) and not self.failures:
                starts = number < count and (
                    not running or (len(running) < MOST_AT_ONCE and mine.random() < 0.55)
                )
                if starts:
                    name = f"{runtime.prefix}{number}"
                    number += 1
                    running[name] = self.start(runtime, name)
                else:
                    name = mine.choice(sorted(running))
                    self.reach(name, running.pop(name))  # it is there as long as it lives
                    again(lambda name=name: runtime.remove(name), f"the removal of {name}")
        except BaseException as error:
            self.failures.append(f"{runtime.prefix}: {error}")

    def start(self, runtime, name):
        address, said = again(lambda: runtime.start(name), f"the start of {name}")
        with self.lock:
            self.tally.started += 1
            self.tally.said += said
        self.reach(name, address)
        return address

    def killer(self):
        while not self.over.wait(self.random.uniform(2, 5)):
            name = self.random.choice(DAEMONS)
            self.tally.kills[name] = self.tally.kills.get(name, 0) + 1
            try:
                self.kill(name)
            except (CommandFailed, AssertionError) as error:
                self.failures.append(f"the kill of {name}: {error}")
                return

    def kill(self, name):
        if name == "dockerd":
            self.host.kill_dockerd()
            self.host.start_dockerd()
            return
        again(lambda: self.host.kill(name), f"the kill of {name}")  # it may be on its way back
        if name == "pyvs-docker-driver":  # the others have monitors
            again(self.host.start_driver, "the driver's start")

    def run(self, kills=True):
        """Raises AssertionError with all that went wrong."""
        kinds, share = (Docker, Cni, Docker, Cni), -(-self.count // 4)
        lanes = [
            threading.Thread(
                target=self.lane, args=(kind(self.host, number), share, self.random.random())
            )
            for number, kind in enumerate(kinds)
        ]
        killer = threading.Thread(target=self.killer)
        for thread in (*lanes, *([killer] if kills else [])):
            thread.start()
        for thread in lanes:
            thread.join()
        self.over.set()
        if kills:
            killer.join()
        assert not self.failures, "\n".join(self.failures)
        wait_until(lambda: self.host.run("pyvs-appctl", "version", check=False), 30, "vswitchd")
        self.finish()

    def finish(self):
        """Nothing is left over of any container, and then of the network."""
        self.probe.remove("probe")
        nothing = {"ports": [], "devices": [], "endpoints": 0, "addresses": []}
        # What dockerd forgot when it was killed, the driver finds out by asking it, twice.
        end = time.monotonic() + FORGOTTEN
        while (left := self.left()) != nothing:
            assert time.monotonic() < end, left
            time.sleep(0.5)
        again(lambda: self.host.run("docker", "network", "rm", "churn"), "the network's end")
        left = (
            self.host.run("pyvs-vsctl", "list-ports", "br0").split(),
            self.host.run("pyvs-vsctl", "get", "bridge", "br0", "external_ids").strip(),
            self.host.run("nft", "list", "tables"),
        )
        assert left == ([], "{}", ""), left

    def left(self):
        """What there is; the network's own gateway does not count."""
        run = self.host.run
        ports = run("pyvs-vsctl", "list-ports", "br0").split()
        links = [line.split(": ")[1] for line in run("ip", "-o", "link").splitlines()]
        ids = run("pyvs-vsctl", "get", "bridge", "br0", "external_ids")
        files = run("ls", "/run/ipam/churn", check=False).split()
        return {
            "ports": sorted(name for name in ports if not name.startswith("pg")),
            "devices": sorted(name for name in links if name.startswith("pv")),
            "endpoints": ids.count("pyvs_docker_endpoint"),
            "addresses": [name for name in files if name[0].isdigit()],
        }


def report(tally):
    waits = sorted(tally.waits)
    kills = ", ".join(f"{name} {count}" for name, count in sorted(tally.kills.items()))
    return (
        f"{tally.started} containers, started by {tally.said} calls; reached within"
        f" {waits[len(waits) // 2]:.2f} s (median), {waits[-1]:.2f} s (longest); killed: {kills}"
    )


def churn(count, seed, kills=True):
    """One of them on a host of its own; returns its report."""
    host = DockerHost()
    try:
        made = Churn(host, count, seed)
        made.prepare()
        made.run(kills)
        return report(made.tally)
    except AssertionError:
        print(host.tell(), file=sys.stderr)
        raise
    finally:
        host.close()


def main():
    parser = argparse.ArgumentParser(prog="tests.containers.churn")
    parser.add_argument("count", nargs="?", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--no-kills", action="store_true")
    arguments = parser.parse_args()
    if reason := missing():
        parser.error(reason)
    print(f"seed {arguments.seed}", flush=True)
    begin = time.monotonic()
    try:
        print(churn(arguments.count, arguments.seed, not arguments.no_kills))
    except AssertionError as error:
        print(error)
        return 1
    print(f"{time.monotonic() - begin:.0f} s; nothing was left over")
    return 0


if __name__ == "__main__":
    sys.exit(main())
