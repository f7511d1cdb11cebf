"""Real controllers drive the switch: Ryu's stock learning switch, and one on os-ken."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.daemons import wait_until

ROOT = Path(__file__).resolve().parents[3]
APPS = {"ryu": "ryu.app.simple_switch_13", "os-ken": "learning_switch"}

FAIL_OPEN = "priority=15790320,actions=NORMAL"  # among in-band control's

pytestmark = [pytest.mark.system, pytest.mark.peer, pytest.mark.timeout(300)]


class Controller:
    """A controller of that name, on tcp 6653 beside the switch."""

    def __init__(self, switch, name, program):
        self.switch = switch
        self.name = name
        self.program = program
        self.start()

    def start(self):
        with (self.switch.directory / "controller.out").open("a") as output:
            self.process = self.switch.host.popen(
                self.program,
                "--ofp-tcp-listen-port=6653",
                APPS[self.name],
                env={**os.environ, "PYTHONPATH": str(ROOT / "demo")},
                stdout=output,
                stderr=output,
            )
        wait_until(
            lambda: ":6653" in self.switch.host.run("ss", "-Hltn"),
            seconds=30,
            what="the controller",
        )

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(params=sorted(APPS))
def controller(request, switch):
    installed = subprocess.run(
        [str(ROOT / ".ci" / "controllers"), request.param], capture_output=True, text=True
    )
    if installed.returncode:
        pytest.skip(f"{request.param} cannot be installed here: {installed.stderr[-200:]}")
    switch.allow("6653: connection (dropped|closed)")  # when the controller is killed at the end
    made = Controller(switch, request.param, installed.stdout.strip())
    try:
        yield made
    finally:
        made.kill()


def test_learning_switch(switch, controller):
    """Table-miss flow, packet-ins, flow mods: pings pass, and flows of priority 1 appear."""
    switch.vsctl("add-br", "br0", "--", "set-fail-mode", "br0", "secure")
    switch.vsctl("set-controller", "br0", "tcp:127.0.0.1:6653")
    one = switch.container("c1", "10.0.0.1/24", "br0")
    switch.container("c2", "10.0.0.2/24", "br0")
    wait_until(lambda: switch.get("controller", ".", "is_connected") == "true", what="connection")
    wait_until(
        lambda: "CONTROLLER" in switch.ofctl("dump-flows", "br0"), what="the table-miss flow"
    )
    assert one.ping("10.0.0.2", count=5) >= 4
    assert one.ping("10.0.0.2", count=3) == 3
    flows = switch.ofctl("-O", "OpenFlow13", "--no-stats", "dump-flows", "br0")
    assert flows.count("priority=1,") >= 2, flows


def test_switch_reconnects(switch, controller):
    """vswitchd comes back after a kill -9, finds its controller again and goes on."""
    switch.vsctl("add-br", "br0", "--", "set-fail-mode", "br0", "secure")
    switch.vsctl("set-controller", "br0", "tcp:127.0.0.1:6653")
    one = switch.container("c1", "10.0.0.1/24", "br0")
    switch.container("c2", "10.0.0.2/24", "br0")
    wait_until(lambda: one.ping("10.0.0.2", count=1) == 1, seconds=20, what="a first ping")
    switch.restart("pyvs-vswitchd")
    wait_until(lambda: switch.get("controller", ".", "is_connected") == "true", what="connection")
    assert one.ping("10.0.0.2", count=5) >= 4
    ports = json.loads(switch.vsctl("-f", "json", "--columns=name,ofport", "list", "interface"))
    assert {row[0]: row[1] for row in ports["data"]}["c1"] == 1


@pytest.mark.parametrize("mode", ["standalone", "secure"])
def test_it_goes_and_comes(switch, controller, mode):
    """Standalone forwards by itself meanwhile, secure by the flows that it has."""
    switch.allow("connection (attempt )?(failed|dropped|closed)|failing open")
    switch.vsctl("add-br", "br0", "--", "set-fail-mode", "br0", mode)
    switch.vsctl(
        *("set-controller", "br0", "tcp:127.0.0.1:6653", "--", "set", "controller", "br0"),
        *("inactivity_probe=1000", "max_backoff=1000"),
    )
    one = switch.container("c1", "10.0.0.1/24", "br0")
    switch.container("c2", "10.0.0.2/24", "br0")
    wait_until(lambda: one.ping("10.0.0.2", count=1) == 1, seconds=20, what="a first ping")
    wait_until(
        lambda: "priority=1," in switch.ofctl("dump-flows", "br0"), what="the controller's flows"
    )
    controller.kill()
    wait_until(lambda: switch.get("controller", ".", "is_connected") == "false", what="its end")
    if mode == "standalone":
        wait_until(
            lambda: FAIL_OPEN in switch.appctl("bridge/dump-flows", "br0"),
            seconds=20,
            what="fail-open",
        )
    third = switch.container("c3", "10.0.0.3/24", "br0")
    assert one.ping("10.0.0.2") == 3
    assert third.ping("10.0.0.1", count=2, wait=0.3) == (2 if mode == "standalone" else 0)
    controller.start()
    wait_until(lambda: switch.get("controller", ".", "is_connected") == "true", what="its return")
    wait_until(lambda: third.ping("10.0.0.1", count=1) == 1, seconds=20, what="a ping")
    flows = switch.ofctl("dump-flows", "br0")
    assert "NORMAL" not in flows and "CONTROLLER" in flows


@pytest.mark.skipif(shutil.which("ovs-ofctl") is None, reason="no ovs-ofctl")
def test_snoop_and_monitor_of_open_vswitch(switch, controller):
    """Real ovs-ofctl listens to a controller's talk, and to packet-ins of its own."""
    switch.vsctl("add-br", "br0", "--", "set-fail-mode", "br0", "secure")
    switch.vsctl("set-controller", "br0", "tcp:127.0.0.1:6653")
    out = {}
    children = []
    for name, words in (
        ("snoop", ["snoop", f"unix:{switch.directory}/br0.snoop"]),
        ("monitor", ["monitor", f"unix:{switch.directory}/br0.mgmt", "65535"]),
    ):
        out[name] = switch.directory / f"{name}.out"
        with out[name].open("w") as output:
            children.append(
                switch.host.popen(
                    *("ovs-ofctl", "-OOpenFlow13", *words),
                    env={**os.environ, "OVS_RUNDIR": str(switch.directory)},
                    stdout=output,
                    stderr=output,
                )
            )
    try:
        one = switch.container("c1", "10.0.0.1/24", "br0")
        switch.container("c2", "10.0.0.2/24", "br0")

        def ping_anew():
            """As if the controller had not said yet where to."""
            switch.ofctl("del-flows", "br0", "in_port=1")
            return one.ping("10.0.0.2", count=1) == 1

        wait_until(ping_anew, seconds=20, what="a ping")
        wait_until(lambda: "_PACKET_IN" in out["monitor"].read_text(), what="a packet-in")
        for kind in ("FLOW_MOD", "PACKET_IN", "PACKET_OUT"):
            wait_until(
                lambda kind=kind: ping_anew() and f"OFPT_{kind}" in out["snoop"].read_text(),
                seconds=20,
                what=kind,
            )
        heard = out["snoop"].read_text()
        assert "OFPT_PORT_STATUS" in out["monitor"].read_text()
        assert "decode error" not in heard + out["monitor"].read_text()
    finally:
        for child in children:
            child.kill()
            child.wait()
