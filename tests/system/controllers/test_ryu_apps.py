"""Ryu's stock applications run on pyvs: the learning switches of all versions, and those that are
configured over HTTP."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.daemons import wait_until

ROOT = Path(__file__).resolve().parents[3]
DPID = "0000000000000001"

pytestmark = [pytest.mark.system, pytest.mark.peer, pytest.mark.timeout(300)]


class Application:
    """An application of Ryu on tcp 6653, and HTTP on 8080, beside the switch."""

    def __init__(self, switch, program, name, output):
        self.switch = switch
        with output.open("w") as file:
            self.process = switch.host.popen(
                program,
                "--ofp-tcp-listen-port=6653",
                "--wsapi-host=127.0.0.1",
                f"ryu.app.{name}",
                stdout=file,
                stderr=file,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    def call(self, method, path, body=None):
        """What it answers."""
        words = ["curl", "-s", "--max-time", "20", "-X", method]
        if body is not None:
            words += ["-d", json.dumps(body)]
        return json.loads(self.switch.host.run(*words, f"http://127.0.0.1:8080/{path}"))

    def close(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def application(switch, tmp_path):
    """Starts the one of that name; its output may have no complaint."""
    installed = subprocess.run(
        [str(ROOT / ".ci" / "controllers"), "ryu"], capture_output=True, text=True
    )
    if installed.returncode:
        pytest.skip(f"Ryu cannot be installed here: {installed.stderr[-200:]}")
    switch.allow("6653: connection (attempt )?(failed|dropped|closed)")
    started = []

    def start(name, *protocols):
        started.append(Application(switch, installed.stdout.strip(), name, tmp_path / "ryu.out"))
        switch.vsctl(
            *("add-br", "br0", "--", "set-fail-mode", "br0", "secure", "--", "set", "bridge"),
            *("br0", f"other_config:datapath-id={DPID}", f"protocols={','.join(protocols)}"),
            *("--", "set-controller", "br0", "tcp:127.0.0.1:6653"),
            *("--", "set", "controller", "br0", "max_backoff=1000"),
        )
        return started[0]

    try:
        yield start
        told = (tmp_path / "ryu.out").read_text()
        assert "Traceback" not in told and "EventOFPErrorMsg" not in told, told
    finally:
        for each in started:
            each.close()


def is_connected(switch):
    return switch.get("controller", ".", "is_connected") == "true"


LEARNING = {
    "simple_switch": "OpenFlow10",
    "simple_switch_12": "OpenFlow12",
    "simple_switch_13": "OpenFlow13",
    "simple_switch_14": "OpenFlow14",
    "simple_switch_15": "OpenFlow15",
    "simple_switch_igmp_13": "OpenFlow13",
    "simple_switch_lacp_13": "OpenFlow13",
    "simple_monitor_13": "OpenFlow13",
}


@pytest.mark.parametrize("name", LEARNING)
def test_learning_switches(switch, application, name):
    application(name, LEARNING[name])
    one = switch.container("c1", "10.0.0.1/24", "br0")
    switch.container("c2", "10.0.0.2/24", "br0")
    wait_until(lambda: is_connected(switch), seconds=30, what="Ryu")
    wait_until(lambda: one.ping("10.0.0.2", count=1) == 1, seconds=20, what="a first ping")
    flows = ("-O", LEARNING[name], "--no-stats", "dump-flows", "br0")
    wait_until(lambda: "output:1" in switch.ofctl(*flows).replace('"c1"', "1"), what="its flow")
    assert one.ping("10.0.0.2") == 3


def test_rest_router(switch, application):
    """Two networks and the router that Ryu makes of the switch."""
    router = application("rest_router", "OpenFlow13")
    one = switch.container("c1", "10.0.1.1/24", "br0")
    two = switch.container("c2", "10.0.2.1/24", "br0")
    one.run("ip", "route", "add", "default", "via", "10.0.1.254")
    two.run("ip", "route", "add", "default", "via", "10.0.2.254")
    wait_until(lambda: is_connected(switch), seconds=30, what="Ryu")
    wait_until(lambda: DPID in str(router.call("GET", "router/all")), what="the switch")
    for address in ("10.0.1.254/24", "10.0.2.254/24"):
        answer = router.call("POST", f"router/{DPID}", {"address": address})
        assert answer[0]["command_result"][0]["result"] == "success", answer
    wait_until(lambda: one.ping("10.0.1.254", count=1) == 1, seconds=20, what="the router")
    wait_until(lambda: one.ping("10.0.2.1", count=1) == 1, seconds=20, what="a routed ping")
    assert two.ping("10.0.1.1") == 3


def test_rest_firewall(switch, application):
    """Nothing passes but what its rules let."""
    firewall = application("rest_firewall", "OpenFlow13")
    one = switch.container("c1", "10.0.0.1/24", "br0")
    switch.container("c2", "10.0.0.2/24", "br0")
    switch.container("c3", "10.0.0.3/24", "br0")
    wait_until(lambda: is_connected(switch), seconds=30, what="Ryu")
    wait_until(lambda: DPID in str(firewall.call("GET", "firewall/module/status")), what="a switch")
    assert one.ping("10.0.0.2", count=2, wait=0.3) == 0
    firewall.call("PUT", f"firewall/module/enable/{DPID}")
    for a, b in (("10.0.0.1", "10.0.0.2"), ("10.0.0.2", "10.0.0.1")):
        rule = {"nw_src": f"{a}/32", "nw_dst": f"{b}/32", "nw_proto": "ICMP"}
        answer = firewall.call("POST", f"firewall/rules/{DPID}", rule)
        assert answer[0]["command_result"][0]["result"] == "success", answer
    wait_until(lambda: one.ping("10.0.0.2", count=1) == 1, seconds=20, what="what is allowed")
    assert one.ping("10.0.0.3", count=2, wait=0.3) == 0
    rules = firewall.call("GET", f"firewall/rules/{DPID}")
    assert len(rules[0]["access_control_list"][0]["rules"]) == 2


def test_ofctl_rest(switch, application):
    """Flows, groups and meters over HTTP, and what they are read back as."""
    rest = application("ofctl_rest", "OpenFlow13")
    one = switch.container("c1", "10.0.0.1/24", "br0")
    switch.container("c2", "10.0.0.2/24", "br0")
    wait_until(lambda: is_connected(switch), seconds=30, what="Ryu")
    wait_until(lambda: rest.call("GET", "stats/switches") == [1], what="the switch")
    assert rest.call("GET", "stats/desc/1")["1"]["dp_desc"] == "None"  # as Open vSwitch

    def post(path, body):
        words = ("curl", "-s", "-f", "-X", "POST", "-d", json.dumps(body))
        switch.host.run(*words, f"http://127.0.0.1:8080/stats/{path}")

    meter = {"type": "DROP", "rate": 1000000, "burst_size": 100}
    post("meterentry/add", {"dpid": 1, "flags": "KBPS", "meter_id": 1, "bands": [meter]})
    buckets = [{"actions": [{"type": "OUTPUT", "port": 2}]}]
    post("groupentry/add", {"dpid": 1, "type": "ALL", "group_id": 1, "buckets": buckets})
    for match, action in (
        ({"in_port": 1}, {"type": "GROUP", "group_id": 1}),
        ({"in_port": 2}, {"type": "OUTPUT", "port": 1}),
    ):
        flow = {"dpid": 1, "priority": 7, "match": match, "actions": [action]}
        post("flowentry/add", flow)
    wait_until(lambda: one.ping("10.0.0.2", count=1) == 1, seconds=20, what="a ping")
    assert one.ping("10.0.0.2") == 3
    flows = {
        each["match"].get("in_port"): each
        for each in rest.call("GET", "stats/flow/1")["1"]
        if each["priority"] == 7
    }
    assert flows[1]["actions"] == ["GROUP:1"] and flows[2]["actions"] == ["OUTPUT:1"]
    assert flows[1]["packet_count"] >= 4
    assert rest.call("GET", "stats/group/1")["1"][0]["packet_count"] >= 4
    assert rest.call("GET", "stats/meterconfig/1")["1"][0]["meter_id"] == 1
    assert {each["port_no"] for each in rest.call("GET", "stats/port/1")["1"]} == {1, 2, "LOCAL"}
    switch.host.run(
        *("curl", "-s", "-f", "-X", "DELETE", "http://127.0.0.1:8080/stats/flowentry/clear/1")
    )
    wait_until(lambda: rest.call("GET", "stats/flow/1")["1"] == [], what="an empty table")
