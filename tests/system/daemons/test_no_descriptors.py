"""Each listener of each daemon while the process may have no further descriptor: nobody spins,
nobody ends, and who waits is served afterwards."""

import contextlib
import os
import resource
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.daemons import BIN, DATAPATH, OVSDB_SERVER, VSWITCHD, wait_until

pytestmark = pytest.mark.system

CLIENTS = 3
WATCHED = 1.5  # s without descriptors
MOST_BUSY = 0.05  # of a processor, meanwhile


def descriptors(pid):
    return {int(name) for name in os.listdir(f"/proc/{pid}/fd")}


def processor_time(pid):
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def without_descriptors(pid):
    there = descriptors(pid)
    former = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    first_free = next(number for number in range(len(there) + 1) if number not in there)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (first_free, former[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, former)


def connected(address):
    kind = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
    client = socket.socket(kind, socket.SOCK_STREAM)
    client.connect(address)
    return client


@pytest.fixture
def helpers(switch):
    """The daemons that stand beside the switch: (pid, address of its listener) of each."""
    exporter = subprocess.Popen(
        [str(BIN / "pyvs-exporter"), "--listen=127.0.0.1:0"],
        env=switch.environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    port = int(exporter.stdout.readline().rsplit(maxsplit=1)[1])
    path = str(switch.directory / "driver.sock")
    driver = switch.host.popen(
        str(BIN / "pyvs-docker-driver"), f"--socket={path}", "--docker=/nowhere/docker.sock",
        env=switch.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(lambda: os.path.exists(path), what="the driver")
    yield [(exporter.pid, ("127.0.0.1", port)), (driver.pid, path)]
    for child in (exporter, driver):
        child.terminate()
        child.wait(10)
    exporter.stdout.close()


def listeners(switch):
    """(pid, path) of the switch's own; those for TCP are of the same class."""
    run = switch.directory
    pids = {name: switch.pid(name) for name in (OVSDB_SERVER, VSWITCHD, DATAPATH)}
    yield from ((pid, str(run / f"{name}.{pid}.ctl")) for name, pid in pids.items())
    yield pids[OVSDB_SERVER], str(run / "db.sock")
    yield pids[DATAPATH], str(run / "datapath.sock")
    for name in ("br0.mgmt", "br0.snoop", "br0.more"):
        yield pids[VSWITCHD], str(run / name)


def test_who_waits_costs_nothing_and_is_served_later(switch, helpers):
    switch.allow("accept|descriptor|Too many open files|docker|fault|EMFILE")
    switch.vsctl(
        "add-br", "br0", "--", "set-controller", "br0", f"punix:{switch.directory}/br0.more"
    )
    wait_until(lambda: (switch.directory / "br0.more").exists(), what="the controllers' listener")
    for pid, address in [*listeners(switch), *helpers]:
        before = len(descriptors(pid))
        with without_descriptors(pid):
            clients = [connected(address) for _ in range(CLIENTS)]
            spent = processor_time(pid)
            time.sleep(WATCHED)
            assert processor_time(pid) - spent < MOST_BUSY * WATCHED, address
        wait_until(
            lambda pid=pid, before=before: len(descriptors(pid)) >= before + CLIENTS,
            what=f"service at {address}",
        )
        for client in clients:
            client.close()
        wait_until(
            lambda pid=pid, before=before: len(descriptors(pid)) <= before,
            what=f"descriptors of {address} to be given back",
        )
    switch.vsctl("add-port", "br0", "p1", "--", "set", "interface", "p1", "type=internal")
    assert switch.get("interface", "p1", "ofport") == "1"
