"""pyvs-exporter: what Prometheus reads of a real switch, and what others do to its HTTP."""

import contextlib
import random
import socket
import subprocess
import threading
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pyvs_tools.exporter import http
from pyvs_tools.exporter.main import Scrape
from pyvs_tools.exporter.reads import Seen
from tests.daemons import BIN, VSWITCHD, wait_until

pytestmark = pytest.mark.system

GET = """
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=20) as answer:
    sys.stdout.write(answer.read().decode())
"""


def parsed(text):
    """Name -> [(labels, value)]."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


@pytest.fixture
def exporter(switch):
    child = switch.host.popen(
        *(str(BIN / "pyvs-exporter"), "--listen=127.0.0.1:0"),
        **{"env": switch.environment, "stdout": subprocess.PIPE, "text": True},
    )
    port = int(child.stdout.readline().rsplit(maxsplit=1)[1])
    url = f"http://127.0.0.1:{port}/metrics"
    yield lambda: parsed(switch.host.run(str(BIN / "python"), "-c", GET, url))
    child.terminate()
    child.wait(10)
    child.stdout.close()


def test_what_prometheus_reads(switch, exporter):
    switch.allow("connection attempt failed")
    switch.vsctl("add-br", "br0")
    a = switch.container("ca", "10.0.0.1/24", "br0")
    switch.container("cb", "10.0.0.2/24", "br0")
    assert a.ping("10.0.0.2", 5) == 5
    assert exporter()["ovs_dp_flows"][0][1] >= 2
    switch.vsctl("set-controller", "br0", "tcp:127.0.0.1:1")
    name = {"bridge": "br0", "port": "ca", "name": "ca"}

    def counted():
        rows = exporter()["ovs_interface_receive_packets_total"]
        return max((value for labels, value in rows if labels == name), default=0)

    wait_until(lambda: counted() >= 5, 20, "statistics of the port")
    time.sleep(1.1)  # a look later than the last
    found = exporter()
    value = {key: rows[0][1] for key, rows in found.items()}
    assert value["ovs_up"] == value["ovs_build_info"] == 1
    assert value["ovs_bridge_ports"] == 3
    (controller,) = found["ovs_controller_connected"]
    assert (controller[0]["target"], controller[1]) == ("tcp:127.0.0.1:1", 0)
    assert (name, 1) in found["ovs_interface_link_state"]
    assert (name, 1500) in found["ovs_interface_mtu"]
    assert (name, int(switch.get("interface", "ca", "ofport"))) in found["ovs_interface_of_port"]
    assert value["ovs_dp_lookups_missed_total"] >= 2 and value["ovs_dp_lookups_lost_total"] == 0
    for metric, label, wanted in (
        ("ovs_upcalls_total", "event", {"upcalls", "misses", "installed"}),
        ("ovs_coverage_total", "event", {"bridge_reconfigure"}),
        ("ovs_memory_usage", "facility", {"ports", "rules"}),
        ("ovs_pmd_cache_total", "result", {"emc_hits", "miss_with_success_upcall"}),
        ("ovs_conntrack_connections", "protocol", {"total"}),
    ):
        assert wanted <= {labels[label] for labels, _ in found[metric]}, metric
    # A switch that is away is told to be, and seen again when it is back.
    switch.kill(VSWITCHD)
    wait_until(lambda: exporter()["ovs_up"] == [({}, 0)], what="that it is away")
    assert exporter()["ovs_interface_mtu"]
    switch.start_daemon(VSWITCHD)
    wait_until(lambda: exporter()["ovs_up"] == [({}, 1)], what="that it is back")
    once = switch.command("pyvs-exporter", "--once")
    assert parsed(once).keys() >= {"ovs_up", "ovs_info", "ovs_interface_receive_bytes_total"}


@contextlib.contextmanager
def connected(port):
    with socket.create_connection(("127.0.0.1", port), 20) as client:
        yield client


def asked(port, request=b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"):
    with connected(port) as client:
        client.sendall(request)
        octets = b""
        while more := client.recv(1 << 16):
            octets += more
    return octets


def test_hostile_clients():
    """They are answered or closed; others are served, and the switch is not asked the more."""
    looks = []

    def look():
        looks.append(time.monotonic())
        return Seen({}, {})

    server = http.Server(("127.0.0.1", 0), Scrape(look).respond)
    threading.Thread(target=server.serve, daemon=True).start()
    port, rng, began = server.port, random.Random(3), time.monotonic()
    assert b" 200 OK" in asked(port) and b"ovs_up 0.0" in asked(port)
    for request, status in (
        (b"GET / HTTP/1.0\n\n", b" 200 "), (b"GET /x HTTP/1.1\r\n\r\n", b" 404 "),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b" 405 "), (b"GET\r\n\r\n", b" 400 "),
        (b"GET /metrics HTTP/9\r\n\r\n", b" 400 "), (b"\xff\xfe \x00 \r\n\r\n", b" 400 "),
        (b"A" * (http.LARGEST + 1), b" 431 "),
    ):  # fmt: skip
        assert status in asked(port, request).split(b"\r\n")[0], request[:40]
    assert asked(port, b"HEAD /metrics HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\n")
    for _ in range(200):
        octets = rng.randbytes(rng.randint(1, 300)) + rng.choice((b"", b"\r\n\r\n"))
        with connected(port) as client, contextlib.suppress(OSError):
            client.sendall(octets)
            client.shutdown(socket.SHUT_WR)
            client.recv(10)
    # Those that say nothing have all places for a while, and no longer.
    slow = [socket.create_connection(("127.0.0.1", port), 20) for _ in range(3 * http.MOST)]
    try:
        for client in slow:
            with contextlib.suppress(OSError):
                client.sendall(b"G")
        assert threading.active_count() < http.MOST + 20
        wait_until(lambda: _answers(port), http.PATIENCE + 10, "a place")
    finally:
        for client in slow:
            client.close()
    assert len(looks) <= (time.monotonic() - began) + 2


def _answers(port):
    with contextlib.suppress(OSError):
        return b" 200 OK" in asked(port)
    return False
