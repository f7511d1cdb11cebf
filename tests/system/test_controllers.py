"""Real controllers drive the switch: Ryu's stock learning switch, and one on os-ken."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.daemons import wait_until

ROOT = Path(__file__).resolve().parents[2]
APPS = {"ryu": "ryu.app.simple_switch_13", "os-ken": "learning_switch"}

pytestmark = [pytest.mark.system, pytest.mark.peer, pytest.mark.timeout(300)]


@pytest.fixture(params=sorted(APPS))
def controller(request, switch):
    """A controller that listens on tcp 6653 beside the switch; yields its name."""
    installed = subprocess.run(
        [str(ROOT / ".ci" / "controllers"), request.param], capture_output=True, text=True
    )
    if installed.returncode:
        pytest.skip(f"{request.param} cannot be installed here: {installed.stderr[-200:]}")
    log = switch.directory / "controller.out"
    with log.open("w") as output:
        process = switch.host.popen(
            installed.stdout.strip(),
            "--ofp-tcp-listen-port=6653",
            APPS[request.param],
            env={**os.environ, "PYTHONPATH": str(ROOT / "demo")},
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(
            lambda: ":6653" in switch.host.run("ss", "-Hltn"), seconds=30, what="the controller"
        )
        yield request.param
    finally:
        process.kill()
        process.wait()


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
